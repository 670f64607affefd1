"""What lies in the footage folders of the demonstration when it starts: last night, just now, and one broken file."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

from vms.demo.cameras import SITES, DemoSite
from vms.demo.clips import Clip, footage_folder, record
from vms.home import Home

RECENT_S = 15
NIGHT_S = 8
_NIGHT_BEGINS = timedelta(hours=21, minutes=40)


def first_clips(now: datetime, sites: tuple[DemoSite, ...] = SITES) -> tuple[Clip, ...]:
    """The clips of the first set, the most recent first. now: UTC."""
    return tuple(clip for site in sites for clip in _recent(site, now)) + tuple(
        clip for site in sites for clip in _last_night(site, now)
    )


def make_first_set(home: Home, now: datetime, sites: tuple[DemoSite, ...] = SITES) -> tuple[Path, ...]:
    """Make the first clips and the broken file, and return where they lie. Raises EncodeFailed, OSError."""
    workers = min(4, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers, thread_name_prefix="demo") as pool:
        made = list(pool.map(lambda clip: record(clip, home, live=False), first_clips(now, sites)))
    broken = break_one(home, sites[0], made[0], now)
    return (*made, broken)


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
        Clip(site, camera, minute - timedelta(minutes=4 + number), RECENT_S)
        for number, camera in enumerate(site.cameras)
    ]


def _last_night(site: DemoSite, now: datetime) -> list[Clip]:
    today = now.astimezone(site.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    begins = today - timedelta(days=1) + _NIGHT_BEGINS
    return [
        Clip(site, camera, (begins + timedelta(minutes=7 * number)).astimezone(now.tzinfo), NIGHT_S)
        for number, camera in enumerate(site.cameras)
    ]
