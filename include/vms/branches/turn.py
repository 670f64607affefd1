"""One state folder has one agent: who holds its lock is it, and whoever asks learns whether there is one, and, by the
time of the lock's file, whether it gets on."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import IO

from vms.errors import StackError
from vms.home import Home

_FILE = "branch.lock"

SILENT_S = 900.0
"""Longer than from one word with the centre to the next, also where each has to wait for a line that is away."""


def take(home: Home) -> IO[str]:
    """Until it is closed, or this process ends. Raises StackError when another has it."""
    held = (home.run / _FILE).open("a")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.close()
        raise StackError("The branch's agent runs already.", "See ./vms branch status.") from None
    go_on(home)
    return held


def go_on(home: Home) -> None:
    """Say that the agent has had its turn. It needs no room, so a full disk does not silence who gets on with it."""
    with contextlib.suppress(OSError):
        os.utime(home.run / _FILE)


def is_running(home: Home) -> bool:
    """Whether an agent of this home is at work."""
    try:
        with (home.run / _FILE).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def is_at_work(home: Home) -> bool:
    """Whether it runs and had a turn lately. Either way of the clock, as that may have been put back since."""
    try:
        return is_running(home) and abs(time.time() - (home.run / _FILE).stat().st_mtime) < SILENT_S
    except OSError:
        return False
