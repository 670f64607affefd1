"""An installation in containers becomes the next version, and goes back, by the very lines of docs/operations.md.

The older version is the one from before the newest migration. It archives the demonstration; upgraded, all of it is
there and more comes; the older program refuses the newer catalogue and changes nothing; put back, it knows again what
was archived in the meantime, too, be its source still there or not. Needs a container engine, some GB and half an hour:

    ./vms test tests/compose/check_upgrade.py
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from branch_machine import ask
from containers import ROOT, Installation, _engine, eventually, installation

from vms.catalogue import migrate

BOOK = ROOT / "docs" / "operations.md"
STORE = "nas"
LASTING = (
    *("postgres", "redis", "api-server", "scheduler", "dag-processor", "triggerer"),
    *("worker", "viewer", "exports", "demo-recorder"),
)

GONE = """
import glob, sys
from vms.home import from_environment
(file,) = from_environment().demo_footage.rglob(glob.escape(sys.argv[1]))
file.unlink()
"""
"""The recorder has this file no more, as when the site's time to keep it is over."""

COPIES = """
    SELECT store.name, key, encode(sha256, 'hex') FROM copy JOIN store USING (store_id) WHERE state = 0
"""


def test_an_installation_becomes_this_version_and_goes_back(tmp_path: Path) -> None:
    older, newest = versions()
    upgrade, back = lines_of_the_book()
    origin = tmp_path / "origin"
    _git("clone", "-q", "--bare", str(ROOT), str(origin))
    publish(origin, older)
    with installation(tmp_path, "--demo", source=origin) as here:
        here.start_demonstration()
        assert_well(here)
        schema, before = revision(here), copies(here)
        assert migrate.revisions()[1] == schema

        publish(origin, newest)
        here.typed(upgrade)
        dump = assert_brought_forward(here, schema)
        assert_well(here)
        assert_whole(here, before)
        eventually("more is archived", lambda: footage(copies(here)) > footage(before) + 2)
        here.vms("backup")  # as each night: from here on the upgrade's backup is not the newest
        lose_a_source(here, before)

        since = assert_refused(here, older) - before
        assert since
        for place, meant in {"VERSION": older, "NAME.dump": dump, "STORE": STORE}.items():
            assert place in back
            back = back.replace(place, meant)
        here.typed(back)
        assert revision(here) == schema
        assert_well(here)
        eventually("what was archived since is known again", lambda: copies(here) >= before | since)
        assert_whole(here, before | since)
        eventually("the older version archives", lambda: footage(copies(here)) > footage(before | since) + 2)
        assert_whole(here, before | since)


def versions() -> tuple[str, str]:
    """The commit before the newest migration, and this one."""
    (step,) = (ROOT / "include/vms/catalogue/migrations/versions").glob(f"v{migrate.newest()}_*.py")
    try:
        added = _git("log", "--diff-filter=A", "--format=%H", "--", str(step)).split()[-1]
        return _git("rev-parse", "-q", "--verify", f"{added}^"), _git("rev-parse", "HEAD")
    except (subprocess.CalledProcessError, IndexError):
        pytest.fail(f"What is known of the past does not reach to before {step.stem}: git fetch --unshallow")


def lines_of_the_book() -> tuple[str, str]:
    """What it has people type to upgrade, and to go back."""
    _, _, told = BOOK.read_text().partition("**Upgrade.**")
    upgrade, back = re.findall(r"```sh\n(.*?)```", told, re.DOTALL)[:2]
    assert "git pull" in upgrade
    assert "git checkout" in back
    return upgrade, back


def publish(origin: Path, commit: str) -> None:
    """That is the newest version now, of whoever pulls."""
    _git("update-ref", "refs/heads/main", commit, where=origin)
    _git("symbolic-ref", "HEAD", "refs/heads/main", where=origin)


def assert_brought_forward(here: Installation, schema: str) -> str:
    """Backed up, then migrated, once, and told. Returns the name of the backup."""
    eventually("all is prepared", lambda: prepared(here) > 0)
    told = here.compose("logs", "init")
    (dump,) = re.findall(r"The catalogue is backed up: /backups/(\S+\.dump)", told)
    assert f"The catalogue goes from {schema} to {migrate.newest()}." in told
    assert revision(here) == migrate.newest()
    eventually("a worker runs", lambda: bool(here.vms("status")))
    kept = backups(here)
    assert kept[dump] == schema

    times = prepared(here)
    here.compose("up", "-d")
    eventually("it is prepared again", lambda: prepared(here) > times)
    told = here.compose("logs", "init")
    assert told.count("The catalogue goes from") == told.count("The catalogue is backed up") == 1, "once is enough"
    assert backups(here) == kept
    return str(dump)


def prepared(here: Installation) -> int:
    """How often `init` came to its end."""
    return here.compose("logs", "init").count("All is prepared.")


def assert_refused(here: Installation, older: str) -> set[str]:
    """The older program does not start on the newer catalogue, and leaves all as it is. Returns the copies there."""
    here.compose("down")
    here.compose("up", "-d", "postgres")
    eventually("the database answers", lambda: bool(revision(here)))
    known, was = copies(here), contents(here)
    _git("checkout", "-q", older, where=here.folder)
    here.compose("build")
    here.compose("up", "-d", check=False)  # fails where compose waits for init
    said = f"The catalogue is newer ({migrate.newest()}) than this program, which knows it up to"
    eventually("it refuses", lambda: said in here.compose("logs", "init"))
    assert not [one for one in ("api-server", "scheduler", "worker", "viewer") if well(here, one)]
    assert contents(here) == was
    return known


def assert_well(here: Installation) -> None:
    for one in LASTING:
        eventually(f"{one} is healthy", lambda one=one: well(here, one))


def well(here: Installation, service: str) -> bool:
    """By the check that compose has been given for it."""
    if not (names := here.containers(service)):
        return False
    asked = "{{if .Config.Healthcheck}}{{json .Config.Healthcheck.Test}}{{end}}"  # not every version has one for each
    kind, *words = json.loads(_engine("inspect", "-f", asked, names[0]).strip() or '["CMD", "true"]')
    command = ["sh", "-c", *words] if kind == "CMD-SHELL" else words
    try:
        here.inside(names[0], *command)
    except subprocess.CalledProcessError:
        return False
    return True


def assert_whole(here: Installation, wanted: set[str]) -> None:
    """Each copy is known and lies in its store, its bytes are fetched and are what they were; no recording is double.
    Whether they play does not count: the demonstration has odd files."""
    assert copies(here) >= wanted
    (told,) = here.vms("verify", "--sample", "1000")
    (compared,), (proven,) = told["compared"], told["proven"]
    wrong = [compared[what] for what in ("error", "lost", "damaged", "foreign")]
    wrong += [proven[what] for what in ("error", "lost", "damaged")]
    assert not any(wrong), told
    assert proven["checked"] >= footage(wanted), proven
    rows = here.vms("recordings")
    assert len({(row["site"], row["camera"], row["start_utc"]) for row in rows}) == len(rows)


def lose_a_source(here: Installation, before: set[str]) -> None:
    """Of something that was archived since."""
    keys = {one.split("|")[1] for one in before}

    def fresh() -> list[str]:
        rows = here.vms("recordings", "--site", "ho", "--state", "archived")
        return [row["source_name"] for row in rows if not keys & {copy["key"] for copy in row["copies"]}]

    eventually("there is something new", lambda: bool(fresh()))
    here.inside(here.containers("worker")[0], "python", "-c", GONE, fresh()[0])


def copies(here: Installation) -> set[str]:
    return set(ask(here, "catalogue", COPIES))


def footage(known: set[str]) -> int:
    """How many of these copies are no previews."""
    return sum(".mp4|" in one for one in known)


def revision(here: Installation) -> str:
    (found,) = ask(here, "catalogue", "SELECT version_num FROM alembic_version")
    return found


def backups(here: Installation) -> dict[str, str]:
    """The schema of each, by name."""
    (found,) = here.vms("backup", "list")
    return {f"{one['name']}.dump": one["revision"] for one in found}


def contents(here: Installation) -> list[str]:
    """Of both databases, all that a dump tells."""
    (server,) = here.containers("postgres")
    dumps = (here.inside(server, "pg_dump", "-U", "vms_admin", name) for name in ("catalogue", "airflow"))
    return [line for dump in dumps for line in dump.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]


def _git(*words: str, where: Path = ROOT) -> str:
    return subprocess.run(["git", *words], cwd=where, check=True, capture_output=True, text=True).stdout.strip()
