"""Has a task end at once when it is asked to: by `vms down`, a restarted worker, or a click in the Airflow UI.

On SIGTERM Airflow only calls an operator's `on_kill`, and its task would then work on until it is killed outright. A
task killed like that says nothing, and Airflow waits minutes for its heartbeat before it tries again.
"""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn, TypeVar, cast

Work = TypeVar("Work", bound=Callable[..., Any])

WORDS = "This task was asked to stop. Nothing is lost: it is tried again, and goes on where it was."


def stoppable(work: Work) -> Work:
    """While `work` runs, SIGTERM raises vms.video.ffmpeg.Stopped in it, which ends its FFmpeg and its transfers."""

    @functools.wraps(work)
    def run(*args: Any, **kwargs: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():  # only the main thread may hear signals
            return work(*args, **kwargs)
        before = signal.signal(signal.SIGTERM, _stop)
        try:
            return work(*args, **kwargs)
        finally:
            signal.signal(signal.SIGTERM, before)

    return cast("Work", run)


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    from vms.video.ffmpeg import Stopped

    signal.signal(signal.SIGTERM, lambda _number, _frame: None)  # asked again while it tidies up: it is on its way
    raise Stopped(WORDS)
