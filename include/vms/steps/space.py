"""Room on the staging disk: a file is begun only when there is space for all of it, and somebody can see who waits."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from vms.config import Site
from vms.errors import StagingFull
from vms.home import Home
from vms.video.ffmpeg import Stopped

_FLOOR_BYTES = 1 << 30  # for the database and logs that often share the disk
_FLOOR_PART = 0.05  # of a small disk, where a whole GiB would never be free
_PATIENCE_S = 600.0
_POLL_S = 5.0


def floor_bytes(folder: Path) -> int:
    """What must stay free on the disk of `folder`."""
    return int(min(_FLOOR_BYTES, _FLOOR_PART * shutil.disk_usage(folder).total))


def wait_for_space(
    folder: Path,
    expected_bytes: int,
    site: Site,
    home: Home,
    report: Callable[[str], None],
    stop: threading.Event | None = None,
    patience_s: float = _PATIENCE_S,
) -> None:
    """Return when expected_bytes and the floor are free on the disk of `folder`. While it waits, the state file
    run/waiting-<site>.json says so. Raises StagingFull after patience_s, Stopped when `stop` is set."""
    needed = expected_bytes + floor_bytes(folder)
    if shutil.disk_usage(folder).free >= needed:
        return
    state = home.run / f"waiting-{site.id}.json"
    text = (
        f"{site.id}: waiting for space in {folder}: {_gb(shutil.disk_usage(folder).free)} are free and "
        f"{_gb(needed)} are needed"
    )
    report(text)
    _write(state, {"site": site.id, "since": datetime.now(UTC).isoformat(), "why": text, "needed_bytes": needed})
    try:
        deadline = time.monotonic() + patience_s
        while shutil.disk_usage(folder).free < needed:
            if stop is not None and stop.is_set():
                raise Stopped
            if time.monotonic() > deadline:
                raise StagingFull(
                    f"{site.id}: the staging disk at {folder} has {_gb(shutil.disk_usage(folder).free)} free; "
                    f"{_gb(needed)} are needed for the next file.",
                    "Free space there, or give the site another `staging` folder in sites.yaml. Renditions leave "
                    "staging when they are uploaded: is a store full or away? Nothing is lost; it is tried again.",
                )
            (stop or threading.Event()).wait(min(_POLL_S, max(0.05, patience_s / 10)))
    finally:
        state.unlink(missing_ok=True)


def _write(path: Path, data: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}.new")
    fresh.write_text(json.dumps(data))
    fresh.replace(path)


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
