"""The pulse of a part that no port can be asked: it says by the time of a file when its work last went on.

Beaten by the work itself, not by a clock beside it, so that a part that is stuck, or can't do its work, falls silent.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from vms.home import Home

EXPORTS, RECORDER = "exports", "demo-recorder"
PARTS = (EXPORTS, RECORDER)
EVERY_S = 5.0
SILENT_S = 3600.0
"""Longer than what a part does at a stretch without saying that it goes on: an export waits for a turn at encoding or
puts hours of footage together, a store that does not answer is given up."""


class Pulse:
    """Of one part, which calls `beat` as often as it likes."""

    def __init__(self, home: Home, part: str) -> None:
        self._file = _file(home, part)
        self._next = 0.0

    def beat(self) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + EVERY_S
        with contextlib.suppress(OSError):  # a disk that takes nothing must not end the work
            self._file.touch()


def beats(home: Home, part: str) -> bool:
    """Whether the part's work went on lately. Either way of the clock, as that may have been put back since."""
    try:
        return abs(time.time() - _file(home, part).stat().st_mtime) < SILENT_S
    except OSError:
        return False


def _file(home: Home, part: str) -> Path:
    return home.run / f"{part}.pulse"
