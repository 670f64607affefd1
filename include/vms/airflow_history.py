"""Keeps Airflow's own history short: finished runs in its database, and the logs of tasks on disk.

Airflow's database is another one than the catalogue, with a role that may not enter the catalogue; Airflow's own
command cleans it. The last run of each DAG stays, whatever its age, so that schedules go on from where they are.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vms.errors import StackError
from vms.home import PROJECT_ROOT, Home
from vms.stack.airflow_env import airflow_environment

BATCH_ROWS = 20_000
_FOUND = re.compile(r"Found (\d+) rows")


@dataclass(frozen=True)
class Cleared:
    """What is gone: files of logs and their bytes."""

    files: int
    size_bytes: int


def clean_database(home: Home, before: datetime, tell: Callable[[str], None]) -> int:
    """Delete what Airflow knows of runs from before this moment. Returns how many rows. Raises StackError.

    Killed in the middle it leaves a table of rows that it was about to delete; the next call drops that.
    """
    moment = before.astimezone(UTC).isoformat(timespec="seconds")
    _airflow(home, tell, "drop-archived", "--yes")
    rows = _airflow(
        home,
        tell,
        "clean",
        *("--clean-before-timestamp", moment, "--batch-size", str(BATCH_ROWS)),
        *("--skip-archive", "--error-on-cleanup-failure", "--yes"),
    )
    return sum(int(found[1]) for found in map(_FOUND.search, rows) if found)


def clean_logs(folders: tuple[Path, ...], before: datetime) -> Cleared:
    """Delete log files that were last written before this moment, and the folders that this empties.

    An empty folder that is fresh stays: a task may be about to write there. Links are not followed; what can't be
    deleted stays for the next time.
    """
    files = size = 0
    limit = before.timestamp()
    emptied: set[Path] = set()
    for root in folders:
        for name, _, inside in os.walk(root, topdown=False):
            folder = Path(name)
            for file in (folder / one for one in inside):
                with contextlib.suppress(OSError):
                    about = file.lstat()
                    if about.st_mtime < limit:
                        file.unlink()
                        emptied.add(folder)
                        files, size = files + 1, size + about.st_size
            with contextlib.suppress(OSError):
                if folder != root and (folder in emptied or folder.lstat().st_mtime < limit):
                    folder.rmdir()
                    emptied.add(folder.parent)
    return Cleared(files, size)


def log_folders(home: Home) -> tuple[Path, ...]:
    """Where Airflow writes a file for each try of a task, and one a day for each DAG file."""
    return (home.logs / "airflow", home.logs / "dag-processor")


def _airflow(home: Home, tell: Callable[[str], None], *words: str) -> list[str]:
    """`airflow db ...` in a process of its own, because a task may not enter Airflow's database itself."""
    lines = []
    with subprocess.Popen(
        (sys.executable, "-m", "airflow", "db", *words),
        cwd=PROJECT_ROOT,
        env=airflow_environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as child:
        try:
            for line in child.stdout or ():
                lines.append(line.rstrip())
                if lines[-1].startswith(("Checking", "Found", "Performing")):
                    tell(lines[-1])
        except BaseException:
            child.kill()
            raise
    if child.returncode != 0:
        said = next((line for line in reversed(lines) if line.strip()), "it said nothing")
        raise StackError(f"airflow db {words[0]} failed: {said}", "It is tried again; nothing else depends on it.")
    return lines
