"""What lies in the footage folders of the demonstration when it starts: a clip of each camera and one broken file."""

from __future__ import annotations

import os
import threading
from datetime import datetime, timedelta
from pathlib import Path

from vms.demo.cameras import SITES, DemoSite
from vms.demo.clips import Clip, footage_folder, record
from vms.errors import VmsError
from vms.home import Home
from vms.video.ffmpeg import Stopped

RECENT_S = 15
EARLIEST_RECENT = timedelta(minutes=5)
"""How long before the start these clips begin, at the earliest."""


def first_clips(now: datetime, sites: tuple[DemoSite, ...] = SITES) -> tuple[Clip, ...]:
    """The clips of the first set, the most recent first. now: UTC."""
    return tuple(clip for site in sites for clip in _recent(site, now))


def make_first_set(
    home: Home, now: datetime, sites: tuple[DemoSite, ...] = SITES, stop: threading.Event | None = None
) -> tuple[Path, ...]:
    """Make the first clips and the broken file, and return where they lie. Raises EncodeFailed, OSError, and Stopped
    when `stop` is set."""
    clips = first_clips(now, sites)
    made: dict[int, Path] = {}
    failed: list[BaseException] = []
    numbers = iter(range(len(clips)))
    turn = threading.Lock()

    def work() -> None:
        while not failed:
            with turn:
                number = next(numbers, None)
            if number is None:
                return
            try:
                made[number] = record(clips[number], home, live=False, stop=stop)
            except (VmsError, OSError, Stopped) as error:
                failed.append(error)

    # Daemons, unlike a pool's threads, don't keep a process alive that is told to stop; their FFmpeg ends with it.
    workers = [threading.Thread(target=work, daemon=True) for _ in range(min(4, os.cpu_count() or 1))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failed:
        raise failed[0]
    broken = break_one(home, sites[0], made[0], now)
    return (*(made[number] for number in range(len(clips))), broken)


def break_one(home: Home, site: DemoSite, whole: Path, now: datetime) -> Path:
    """A recording that a power cut ended: the first part of an MP4, without the index that is written last."""
    camera = site.cameras[-1]
    clip = Clip(site, camera, now.replace(microsecond=0) - timedelta(minutes=47), RECENT_S)
    path = footage_folder(home, site) / clip.name
    path.parent.mkdir(parents=True, exist_ok=True)
    content = whole.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 5])
    end = clip.start_utc.timestamp() + clip.duration_s
    os.utime(path, (end, end))
    return path


def _recent(site: DemoSite, now: datetime) -> list[Clip]:
    minute = now.replace(second=0, microsecond=0)
    return [
        Clip(site, camera, minute - EARLIEST_RECENT + timedelta(minutes=number), RECENT_S)
        for number, camera in enumerate(reversed(site.cameras))
    ]
