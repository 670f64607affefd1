"""Turns at encoding, shared by everything on this machine: as many at once as there are cores and memory for.

A container is a machine of its own here, with its own name, cores and memory, also when several share a state folder.

A slot is a locked file, so that it is free again the moment that its holder ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vms.home import Home
from vms.machine import cores, free_memory_bytes
from vms.video.ffmpeg import Stopped

_ENCODE_BYTES = 600 << 20  # measured for 1080p
_LARGE_ENCODE_BYTES = 1800 << 20  # measured for 4K
_LARGE_PIXELS = 2560 * 1440
_POLL_S = 0.2
_WAITING = "waiting"

LONGEST_WAY_S = 300.0
"""How long a file that gives way lets others go first; then it has its turn, so that it is done in the end also where
new footage comes faster than it can be encoded."""


def slots_folder(home: Home) -> Path:
    """Where the slots of this machine are."""
    return home.run / "encode-slots" / socket.gethostname()


@contextmanager
def encode_slot(
    home: Home, pixels: int, stop: threading.Event | None = None, *, gives_way: bool = False
) -> Iterator[None]:
    """Hold one of the machine's slots; waits for one. The first is always given, the others only while there is
    memory for a picture of this many pixels. Raises Stopped when `stop` is set while waiting.

    gives_way: take none while somebody who does not give way waits for one, for up to LONGEST_WAY_S.
    """
    folder = slots_folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    handle = _take(folder, pixels, stop, gives_way)
    try:
        yield
    finally:
        os.close(handle)


def _take(folder: Path, pixels: int, stop: threading.Event | None, gives_way: bool) -> int:
    need = _LARGE_ENCODE_BYTES if pixels > _LARGE_PIXELS else _ENCODE_BYTES
    patient_until = time.monotonic() + LONGEST_WAY_S if gives_way else 0.0
    waiting: int | None = None
    try:
        while True:
            if time.monotonic() >= patient_until or not _others_wait(folder):
                handle = _free_slot(folder, need)
                if handle is not None:
                    return handle
            if stop is not None and stop.is_set():
                raise Stopped
            if waiting is None and not gives_way:
                waiting = os.open(folder / _WAITING, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
                fcntl.flock(waiting, fcntl.LOCK_SH)
            time.sleep(_POLL_S)
    finally:
        if waiting is not None:
            os.close(waiting)


def _free_slot(folder: Path, need: int) -> int | None:
    for number in range(cores()):
        if number > 0 and free_memory_bytes() < need:
            break
        handle = os.open(folder / f"slot-{number}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
        else:
            return handle
    return None


def _others_wait(folder: Path) -> bool:
    """Whether somebody who does not give way waits for a slot: each of those holds a share of one lock."""
    handle = os.open(folder / _WAITING, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
