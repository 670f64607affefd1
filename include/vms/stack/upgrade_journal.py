"""What was there before an upgrade, written down in `run/upgrade.json` while one is under way.

The file is there from the moment at which the system is backed up and about to be stopped until it is usable again.
While it is, the launcher (./vms) installs what the program pins before anything else. Afterwards it is kept for
`vms upgrade --back`.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from vms.home import Home


@dataclass(frozen=True)
class Journal:
    """commit, branch: of the program before, "" where it is not known; target: the commit to bring in, "" for what is
    there; named: it was asked for by name; revision: of the schema; backup: the dump's file, "" when there was nothing
    to back up; looked: whether the doctor had looked; wrong: what he had found."""

    commit: str
    branch: str
    target: str
    named: bool
    revision: str
    backup: str
    looked: bool
    wrong: tuple[str, ...] = ()


def under_way(home: Home) -> Journal | None:
    """Of the upgrade that has not come to its end."""
    return _read(_file(home))


def last(home: Home) -> Journal | None:
    """Of the one under way, else of the last that was done."""
    return under_way(home) or _read(_last_file(home))


def begin(home: Home, journal: Journal) -> None:
    """From now on the next call goes on instead of beginning."""
    fresh = _file(home).with_suffix(".new")
    with fresh.open("w") as file:
        json.dump(asdict(journal), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(_file(home))


def end(home: Home) -> None:
    """It is done, or the system runs again whoever started it."""
    if _file(home).exists():
        _file(home).replace(_last_file(home))


def forget(home: Home) -> None:
    """It was gone back from."""
    for file in (_file(home), _last_file(home)):
        file.unlink(missing_ok=True)


def _read(file: Path) -> Journal | None:
    try:
        said = json.loads(file.read_text())
        return Journal(**{**said, "wrong": tuple(said["wrong"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _file(home: Home) -> Path:
    return home.run / "upgrade.json"


def _last_file(home: Home) -> Path:
    return home.run / "upgrade-last.json"
