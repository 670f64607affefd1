"""Makes an evidence package of an export: the custody of each recording, a sheet with stills, the verifier.

The order matters: first the old signature goes, so that a package that is being changed is never signed; last, when the
list of hashes lies there, comes the new one (`vms.evidence.signing`).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from vms.catalogue.connection import Connection
from vms.catalogue.reads import lineage_of
from vms.errors import VmsError
from vms.evidence import check_package
from vms.evidence.sheet import render
from vms.home import Home
from vms.video import commands
from vms.video.binaries import binaries
from vms.video.ffmpeg import run
from vms.whole_file import write_whole

SHEET, VERIFIER = "report.html", "verify.py"
_FEW = 20  # up to so many recordings have three stills each, more have one: the sheet stays a page that opens at once
_STILL_LIMIT_S = 60.0


def unseal(folder: Path) -> None:
    """Take the signature away, before anything that it vouches for changes."""
    (folder / check_package.SIGNATURE).unlink(missing_ok=True)


def add_custody(conn: Connection, recordings: Sequence[dict[str, Any]]) -> None:
    """Put into each recording of the manifest what happened to it, oldest first, by whom (DAG, run, task, try)."""
    for one in recordings:
        start = datetime.fromisoformat(one["start_utc"])
        one["custody"] = [
            {
                "at": event.at.isoformat(),
                "event": event.event,
                "by": " ".join(word for word in (event.dag_id, event.run_id, event.task_id) if word),
                "try": event.try_number,
                "host": event.host,
                "detail": event.detail,
            }
            for event in lineage_of(conn, one["recording"], start)
        ]


def furnish(
    home: Home, folder: Path, told: dict[str, Any], fingerprint: str, tell: Callable[[int], None]
) -> tuple[str, ...]:
    """Write sheet and verifier into the folder; returns their names. told: the manifest, with custody.

    tell: how many recordings have their stills. Raises ConfigError when the disk does not take it.
    """
    program = binaries(home).ffmpeg
    each = (0.05, 0.5, 0.95) if len(told["recordings"]) <= _FEW else (0.5,)
    stills: dict[str, list[tuple[str, bytes]]] = {}
    with tempfile.TemporaryDirectory(prefix="vms-stills-") as scratch:
        for done, one in enumerate(told["recordings"], 1):
            shares = each if one["duration_s"] else (0.0,)
            found = (_still(program, folder / one["file"], one, share, Path(scratch)) for share in shares)
            stills[one["file"]] = [picture for picture in found if picture]
            tell(done)
    write_whole(folder / SHEET, render(told, stills, fingerprint))
    shutil.copyfile(check_package.__file__, folder / VERIFIER)
    return SHEET, VERIFIER


def _still(program: str, video: Path, one: dict[str, Any], share: float, scratch: Path) -> tuple[str, bytes] | None:
    """The picture and the moment that it shows; None where the file does not decode (the sheet says of damage)."""
    at_s = share * float(one["duration_s"] or 0.0)
    picture = scratch / "still.jpg"
    picture.unlink(missing_ok=True)
    try:
        run(commands.still(program, video, at_s, picture), wall_limit_s=_STILL_LIMIT_S, stall_limit_s=None)
        data = picture.read_bytes()
    except (VmsError, OSError):
        return None
    moment = datetime.fromisoformat(one["start_utc"]) + timedelta(seconds=at_s)
    local = moment.astimezone(ZoneInfo(one["time_zone"]))
    return f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()}", data
