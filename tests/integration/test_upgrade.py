"""`vms upgrade` in a clone of its own: forward by a new migration, killed anywhere, refused, and back."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from upgrade_world import MIGRATION, Clone, made
from vms.catalogue import migrate
from vms.home import Home
from vms.restoring import running_server
from vms.stack import postgres as server
from vms.stack.airflow_env import owner_url

FAULTY = (
    "vms.stack.launch:stop",
    "vms.stack.program:Program.take",
    "vms.stack.upgrading:migrate_all",
    "vms.catalogue.migrate:_migrate",
    "vms.catalogue.migrate:_grant",
    "vms.stack.upgrade_journal:end",
)
"""In the order in which the command comes by."""


@pytest.fixture(scope="module")
def clone() -> Iterator[Clone]:
    """One for all tests here, which each begin where the one before left it; its database server runs throughout."""
    if not shutil.which("git"):
        pytest.skip("there is no git here")
    folder = Path(tempfile.mkdtemp(prefix="vms-test-"))
    folder.chmod(0o755)  # the account that the server drops to must get through
    clone = made(folder)
    try:
        with running_server(clone.home):
            _catalogue(clone.home)
            yield clone
    finally:
        shutil.rmtree(folder)


def test_forward_by_one_command_killed_anywhere_and_back(clone: Clone) -> None:
    before = clone.git("rev-parse", "HEAD")
    new = clone.release()
    for number, fault in enumerate(FAULTY, 1):
        killed = clone.vms("upgrade", "--no-start", fault=fault)
        assert killed.returncode in (-9, 137), f"{fault}: {killed.stdout}{killed.stderr}"
        assert (clone.home.run / "upgrade.json").exists(), fault
        assert clone.git("rev-parse", "HEAD") == (before if number <= 2 else new.commit), fault
    done = clone.vms("upgrade", "--no-start", "--json")

    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert (told["from"], told["to"], told["upgraded"]) == (before, new.commit, True)
    assert (told["schema_before"], told["schema"]) == (migrate.newest(), new.revision)
    assert (clone.revision(), clone.git("rev-parse", "HEAD")) == (new.revision, new.commit)
    assert clone.git("branch", "--show-current") == "main"
    assert clone.installs() == 1, "what the new version pins is installed once, by its own launcher"
    (dump,) = clone.dumps()
    assert json.loads(dump.with_suffix(".json").read_text())["revision"] == migrate.newest(), "from before, and one"
    assert clone.ask("SELECT reason FROM hold") == [("case 12",)]
    assert not (clone.home.run / "upgrade.json").exists()

    clone.ask("UPDATE hold SET released_at = now(), released_by = 'x', release_reason = 'y' RETURNING 1")
    refused = clone.vms("upgrade", "--back", "--no-start")
    assert (refused.returncode, "--yes" in refused.stderr) == (1, True), "nobody said yes"
    assert clone.revision() == new.revision
    back = clone.vms("upgrade", "--back", "--yes", "--no-start", "--json")
    assert back.returncode == 0, back.stdout + back.stderr
    assert json.loads(back.stdout) | {"went_back": True, "to": before, "restored": told["backup"]} == json.loads(
        back.stdout
    )
    assert (clone.revision(), clone.git("rev-parse", "HEAD")) == (migrate.newest(), before)
    assert clone.git("branch", "--show-current") == "main", "the next upgrade goes forward again"
    assert clone.ask("SELECT reason, released_by FROM hold") == [("case 12", None)]
    assert len(clone.dumps()) == 2, "what was there is backed up, too"


def test_a_migration_that_fails_says_how_to_go_on_and_back(clone: Clone) -> None:
    before, found = clone.git("rev-parse", "HEAD"), clone.revision()
    clone.release(migration=MIGRATION.replace("CREATE TABLE", "CREATE TABEL"))

    done = clone.vms("upgrade", "--no-start")
    assert done.returncode == 1
    assert "./vms upgrade --back" in done.stderr
    back = clone.vms("upgrade", "--back", "--yes", "--no-start")
    assert back.returncode == 0, back.stdout + back.stderr
    assert (clone.revision(), clone.git("rev-parse", "HEAD")) == (found, before)
    clone.git("reset", "-q", "--hard", "HEAD~1", where=clone.origin)


def test_refused_before_anything_is_done(clone: Clone) -> None:
    clone.git("tag", "v1", before := clone.git("rev-parse", "HEAD"), where=clone.origin)
    new = clone.release()
    assert clone.vms("upgrade", "--no-start", "--to", new.commit[:12]).returncode == 0
    assert (clone.git("branch", "--show-current"), before != new.commit) == ("", True)
    known = len(clone.dumps())
    said = "No branch is checked out"
    _refused(clone, said)
    _refused(clone, f"newer ({new.revision}) than v1", "--to", "v1")
    _refused(clone, "no version v7", "--to", "v7")
    _refused(clone, "only one of", "--to", "v1", "--here")
    clone.git("switch", "-q", "main")
    clone.git("merge", "-q", "--ff-only", new.commit)
    (clone.root / "vms").write_text((clone.root / "vms").read_text() + "# mine\n")
    _refused(clone, "were changed here: vms")
    clone.git("checkout", "-q", "--", "vms")
    clone.git("commit", "-q", "--allow-empty", "-m", "mine")
    clone.release(migration="")
    _refused(clone, "has commits that origin/main has not")
    clone.origin.rename(clone.folder / "away")
    _refused(clone, "--here")
    assert (len(clone.dumps()), clone.revision()) == (known, new.revision)


def _refused(clone: Clone, told: str, *words: str) -> None:
    done = clone.vms("upgrade", "--no-start", *words)
    assert done.returncode != 0, done.stdout
    assert told in " ".join(done.stderr.split()), done.stderr
    assert not (clone.home.run / "upgrade.json").exists()


def _catalogue(home: Home) -> None:
    """That knows of a hold."""
    server.prepare_databases(home)
    migrate.upgrade(owner_url(home))
    with closing(psycopg2.connect(owner_url(home))) as conn, conn, conn.cursor() as cursor:
        cursor.execute(
            "INSERT INTO hold (from_at, to_at, reason, who, made_at) VALUES"
            " ('2026-11-24T08:00Z', '2026-11-24T09:00Z', 'case 12', 'sari', now())"
        )
