"""What the demonstration's cameras recorded before it began: days of time lapse, so that calendar, timeline and
coverage have something to show. They come in through the footage folders as everything does, the newest first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vms.demo.cameras import SITES, DemoSite
from vms.demo.clips import Clip
from vms.demo.first_set import EARLIEST_RECENT
from vms.home import Home

DAYS = 3
CLIP = timedelta(hours=4)
PICTURE_EVERY_S = 60
AT_ONCE = 3
"""So many are made between the clips of two minutes: they are not to hold up what is recorded now."""

_MISSING = {
    "makassar/gudang": (4, 5),  # the camera had no power
    "jayapura/gerbang": (11,),  # the branch's line was cut
    "jayapura/halaman": (11,),
}
"""Which clips, counted backwards, are not there: no archive of real cameras is without a hole."""


def past_clips(until: datetime, sites: tuple[DemoSite, ...] = SITES) -> tuple[Clip, ...]:
    """All of them, back from `until` (UTC, a whole minute), the newest first."""
    return tuple(
        Clip(site, replace(camera, width=640, height=360, fps=1 / PICTURE_EVERY_S, encoding="h264"), start, length_s)
        for step in range(timedelta(days=DAYS) // CLIP)
        for start, length_s in [(until - (step + 1) * CLIP, round(CLIP.total_seconds()))]
        for site in sites
        for camera in site.cameras
        if step not in _MISSING.get(f"{site.id}/{camera.word}", ())
    )


def still_to_make(home: Home, now: datetime) -> Iterator[Clip]:
    """The next few that are not made yet. A clip counts as made when the one after it is asked for."""
    until, made = _progress(home, now)
    for number, clip in enumerate(past_clips(until)[made : made + AT_ONCE], start=made + 1):
        yield clip
        _note(home, until, number)


def _progress(home: Home, now: datetime) -> tuple[datetime, int]:
    """Until when the past reaches, and how many of its clips were made. It is settled at the first time."""
    try:
        noted = json.loads(_file(home).read_text())
        return datetime.fromisoformat(noted["until"]), int(noted["made"])
    except FileNotFoundError:
        until = now.astimezone(UTC).replace(second=0, microsecond=0) - EARLIEST_RECENT
        _note(home, until, 0)
        return until, 0


def _note(home: Home, until: datetime, made: int) -> None:
    fresh = _file(home).with_suffix(".new")
    fresh.write_text(json.dumps({"until": until.isoformat(), "made": made}))
    fresh.rename(_file(home))


def _file(home: Home) -> Path:
    return home.demo_footage / "past.json"
