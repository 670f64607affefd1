"""An installation of an older version, with footage and people's work in it, becomes this one by `./vms upgrade`.

The older version is the commit before one of the migrations, so that several are applied to a real archive; its own
command line then still works on the new schema.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from installation import free_port
from source_world import put
from upgrade_world import Clone, environment, inherited
from vms.catalogue import migrate
from vms.home import PROJECT_ROOT

BEFORE = "include/vms/catalogue/migrations/versions/v0019_retries_by_people.sql"
SCHEMA_THEN = "0015"
SITES = """
stores: {{ nas: {{ url: "file://{folder}/nas" }} }}
sites: [{{ id: ho, time_zone: WIB, stores: [nas], footage: "{folder}/footage", retention: 3650d, every: 1h }}]
"""


def _git(*words: str, where: Path = PROJECT_ROOT) -> str:
    return subprocess.run(["git", *words], cwd=where, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def older() -> Iterator[Clone]:
    """A clone at the older version, and a home that it has not been started on yet."""
    try:
        added = _git("log", "--diff-filter=A", "--format=%H", "--", BEFORE).splitlines()
        commit = _git("rev-parse", f"{added[-1]}^1")
    except (OSError, IndexError, subprocess.CalledProcessError):
        pytest.skip("the history of this repository is not here")
    folder = Path(tempfile.mkdtemp(prefix="vms-test-"))
    folder.chmod(0o755)  # the account that the server drops to must get through
    ports = {"VMS_VIEWER_PORT": str(free_port()), "VMS_AIRFLOW_PORT": str(free_port())}
    places = {"VMS_HOME": "home", "VMS_VENV": "venv", "VMS_SITES": "sites.yaml"}
    places = {name: str(folder / where) for name, where in places.items()}
    clone = Clone(folder, folder / "program", PROJECT_ROOT, inherited() | ports | places)
    try:
        _git("clone", "-q", "--no-checkout", str(PROJECT_ROOT), str(clone.root))
        _git("branch", "newest", "HEAD", where=clone.root)
        _git("checkout", "-q", "-B", "site", commit, where=clone.root)
        environment(folder / "venv", clone, faults=False)
        (folder / "sites.yaml").write_text(SITES.format(folder=folder))
        yield clone
    finally:
        clone.vms("down")
        shutil.rmtree(folder, ignore_errors=True)


def _recordings(clone: Clone, *words: str) -> dict[str, dict[str, Any]]:
    done = clone.vms("recordings", "--json", "--state", "archived", *words)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {f"{one['site']}/{one['camera']}/{one['start_utc']}": one for one in rows}


def _footage(clone: Clone, *times: str) -> None:
    for one in times:
        put(clone.folder / "footage" / "lobby" / f"20260131_{one}.mp4", 4)


@pytest.mark.slow
def test_footage_and_holds_are_there_and_playable_and_runs_go_on(older: Clone) -> None:
    _footage(older, "080000", "080500", "081000")
    begun = older.vms("up", "--detach")
    assert begun.returncode == 0, begun.stdout + begun.stderr
    assert older.vms("run", "ho", "--wait").returncode == 0
    before = _recordings(older)
    assert len(before) == 3
    held = older.vms("hold", "add", "--site", "ho", "--from", "2020-01-01", "--to", "2030-01-01", "--reason", "case 12")
    assert held.returncode == 0, held.stderr
    assert older.revision() == SCHEMA_THEN

    older.git("merge", "-q", "--ff-only", "newest")
    done = older.vms("upgrade", "--here")

    assert done.returncode == 0, done.stdout + done.stderr
    assert older.revision() == migrate.newest()
    assert f"{SCHEMA_THEN} to {migrate.newest()}" in done.stdout
    assert older.installs() == 1
    (dump,) = (one for one in older.dumps() if str(one) in done.stdout)  # the nightly one may have been made, too
    assert json.loads(dump.with_suffix(".json").read_text())["revision"] == SCHEMA_THEN
    after = _recordings(older)
    assert {name: after[name]["id"] for name in before} == {name: one["id"] for name, one in before.items()}
    assert "case 12" in older.vms("hold", "list").stdout
    _footage(older, "081500")
    run = older.vms("run", "ho", "--wait")
    assert run.returncode == 0, run.stdout + run.stderr
    assert len(_recordings(older)) == 4, "this version archives what is new"
    proven = older.vms("verify", "--sample", "0", "--json")
    assert proven.returncode == 0, proven.stdout + proven.stderr

    # the older version's readers and writers on the new schema, while the new one runs
    _git("worktree", "add", "-q", "--detach", str(older.folder / "then"), "site@{1}", where=older.root)
    then = replace(older, root=older.folder / "then")
    (older.folder / "venv" / ".requirements.stamp").unlink()
    assert set(_recordings(then)) >= set(before)
    for words in (("coverage", "--json"), ("status", "--json"), ("verify", "--sample", "2", "--json")):
        told = then.vms(*words)
        assert told.returncode == 0, f"{words}: {told.stdout}{told.stderr}"
    again = then.vms("hold", "add", "--site", "ho", "--from", "2020-01-01", "--to", "2030-01-01", "--reason", "case 13")
    assert again.returncode == 0, again.stderr
    assert "case 13" in older.vms("hold", "list").stdout
