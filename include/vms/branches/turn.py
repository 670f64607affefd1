"""One state folder has one agent: who holds its lock is it, and whoever asks learns whether there is one."""

from __future__ import annotations

import fcntl
from typing import IO

from vms.errors import StackError
from vms.home import Home

_FILE = "branch.lock"


def take(home: Home) -> IO[str]:
    """Until it is closed, or this process ends. Raises StackError when another has it."""
    held = (home.run / _FILE).open("a")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.close()
        raise StackError("The branch's agent runs already.", "See ./vms branch status.") from None
    return held


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
