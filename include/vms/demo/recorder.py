"""The recorders of the demonstration: one new clip per site and minute, its cameras in turn, until it is stopped.
Between them they bring in what they recorded in the days before (`vms.demo.past`).

Run as `python -m vms.demo.recorder` by the stack. SIGTERM ends it and its FFmpeg at once.
"""

from __future__ import annotations

import logging
import shutil
import signal
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from types import FrameType

from vms import demo, logs, pulse
from vms.demo.cameras import SITES
from vms.demo.clips import Clip, record, sweep
from vms.demo.past import still_to_make
from vms.errors import EncodeFailed, VmsError
from vms.home import Home, from_environment
from vms.video.ffmpeg import Stopped

CLIP_S = 20
_FREE_FLOOR_BYTES = 1 << 30

log = logging.getLogger(__name__)


def clips_of(minute: datetime) -> tuple[Clip, ...]:
    """What is recorded in the last seconds before this full minute (UTC): one camera of each site."""
    number = int(minute.timestamp()) // 60
    start = minute - timedelta(seconds=CLIP_S)
    return tuple(Clip(site, site.cameras[number % len(site.cameras)], start, CLIP_S) for site in SITES)


def record_until(stop: threading.Event, home: Home) -> None:
    """Record until `stop` is set. A clip that fails is logged and the next one is made."""
    home.prepare()
    sweep(home, SITES)
    log.info("Recording a clip of each site every minute, into %s.", home.demo_footage)
    while not stop.wait(60 - time.time() % 60):
        now = datetime.now(UTC)
        make_up(home, stop)
        if not _record(clips_of(now.replace(second=0, microsecond=0)), home, stop, live=True):
            log.warning("Less than 1 GiB is free below %s: the demo cameras pause.", home.root)
            continue
        _record(still_to_make(home, now), home, stop, live=False)


def make_up(home: Home, stop: threading.Event) -> None:
    """The first footage, where it could not be made when the demonstration began: on a machine that had too much to
    do FFmpeg did not end in time. Tried again each minute."""
    if demo.has_first_set(home):
        return
    try:
        demo.prepare(home, report=log.info, stop=stop)
    except VmsError:
        log.exception("The first footage could not be made. It is tried again.")


def _record(clips: Iterable[Clip], home: Home, stop: threading.Event, *, live: bool) -> bool:
    """Whether there was room for all of them."""
    alive = pulse.Pulse(home, pulse.RECORDER)
    for clip in clips:
        if shutil.disk_usage(home.root).free < _FREE_FLOOR_BYTES:
            return False
        try:
            path = record(clip, home, live=live, stop=stop)
        except (EncodeFailed, OSError):
            log.exception("%s of %s was not recorded.", clip.camera.word, clip.site.id)
        else:
            alive.beat()
            log.info("%s: %s (%.1f MB)", clip.site.id, clip.name, path.stat().st_size / 1e6)
    return True


def main() -> None:
    logs.set_up()
    stop = threading.Event()

    def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_stop)
    try:
        record_until(stop, from_environment())
    except Stopped:
        log.info("Stopped while recording; nothing half-made was left.")


if __name__ == "__main__":
    main()
