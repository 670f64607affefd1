"""Room on the staging disk: a file is begun only when there is space for all of it, and somebody can see who waits."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vms.config import Site
from vms.errors import StagingFull
from vms.home import Home
from vms.steps.waiting import no_longer_waiting, now_waiting
from vms.video.ffmpeg import Stopped

_FLOOR_BYTES = 1 << 30  # for the database and logs that often share the disk
_FLOOR_PART = 0.05  # of a small disk, where a whole GiB would never be free
_PATIENCE_S = 600.0
_POLL_S = 5.0
_LOOK_BYTES = 64 << 20


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
    """Return when expected_bytes and the floor are free on the disk of `folder`; `vms status` tells while it waits.

    Raises StagingFull after patience_s, Stopped when `stop` is set."""
    needed = expected_bytes + floor_bytes(folder)
    if shutil.disk_usage(folder).free >= needed:
        return
    text = (
        f"{site.id}: waiting for space in {folder}: {_gb(shutil.disk_usage(folder).free)} are free and "
        f"{_gb(needed)} are needed"
    )
    report(text)
    now_waiting(home, site.id, "space", text, until=datetime.now(UTC) + timedelta(seconds=patience_s))
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
        no_longer_waiting(home, site.id, "space")


def with_room(chunks: Iterable[bytes], folder: Path, what: str) -> Iterator[bytes]:
    """The chunks, for who writes them into `folder`: whoever has put an object into a store says how large it is, and
    must not be able to fill the disk of who looks at it. Raises StagingFull."""
    unlooked = _LOOK_BYTES
    for chunk in chunks:
        unlooked += len(chunk)
        if unlooked >= _LOOK_BYTES:
            unlooked, free = 0, shutil.disk_usage(folder).free
            if free < floor_bytes(folder) + _LOOK_BYTES:
                raise StagingFull(
                    f"{what} does not fit on the disk of {folder}: {_gb(free)} are free.",
                    "Free space there. If the object is far larger than footage is, look at who has put it.",
                )
        yield chunk


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
