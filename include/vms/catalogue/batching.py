"""Cutting planned recordings into batches: one camera each, newest footage first, a few minutes of work each.

Pure: what goes in is data, what comes out is data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

# At about ten times real time on two cores, an hour of video is six minutes of work: short enough to lose to a crash,
# long enough that the second or so that a task costs does not count. Many short files are bounded by number, and what
# has to lie in staging at once by bytes.
BATCH_VIDEO_S = 3600.0
BATCH_FILES = 24
BATCH_BYTES = 2 * 2**30

LONGEST_S = 366 * 86_400.0
LONGEST_WORD = 200
"""Of a codec, profile or pattern."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class Candidate:
    """A planned recording as far as batching needs it. start_utc is aware."""

    recording_id: int
    start_utc: datetime
    camera_id: int
    camera: str
    duration_s: float
    size_bytes: int


def cut(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Batches, the one with the newest footage first; inside a batch the newest first, too."""
    open_batch: dict[int, list[Candidate]] = {}
    batches: list[list[Candidate]] = []
    for one in sorted(candidates, key=lambda each: (each.start_utc, each.recording_id), reverse=True):
        batch = open_batch.get(one.camera_id)
        if batch is None or not _fits(batch, one):
            batch = open_batch[one.camera_id] = []
            batches.append(batch)
        batch.append(one)
    return batches


def _fits(batch: list[Candidate], one: Candidate) -> bool:
    return (
        len(batch) < BATCH_FILES
        and sum(each.duration_s for each in batch) + one.duration_s <= BATCH_VIDEO_S
        and sum(each.size_bytes for each in batch) + one.size_bytes <= BATCH_BYTES
    )


def title(batch: Sequence[Candidate], zone: ZoneInfo) -> str:
    """What people read in Airflow: "lobby 31 Jan 08:00-08:45 WIB, 9 files"."""
    first = min(one.start_utc for one in batch)
    last = max(end_of(one.start_utc, one.duration_s) for one in batch)
    first, last = local(first, zone), local(last, zone)
    files = "1 file" if len(batch) == 1 else f"{len(batch)} files"
    begin, end = _clock(first), f"{last:%H:%M}" if first.date() == last.date() else _clock(last)
    dash = "-" if first.date() == last.date() else " - "
    return f"{batch[0].camera} {begin}{dash}{end} {last:%Z}, {files}"


def end_of(start: datetime, duration_s: float) -> datetime:
    """When a recording ends, at most 25 hours after its start (the catalogue's bound)."""
    try:
        return start + timedelta(seconds=min(max(duration_s, 0.0), 25 * 3600.0))
    except OverflowError:
        return start


def length_of(duration_s: float) -> float:
    """A length that pages can show and sum up; a header may claim anything. Raises ValueError for what is no number."""
    if math.isnan(duration_s):
        raise ValueError("its length is no number")
    return min(max(duration_s, 0.0), LONGEST_S)


def rate_of(fps: float | None) -> float | None:
    """Pictures a second; not known when it is said to be what none has."""
    return fps if fps is not None and 0 < fps <= 1000 else None


def side(pixels: int) -> int | None:
    """A picture's width or height; not known when a damaged header claims more than any camera has (the catalogue's
    bound)."""
    return pixels if 0 <= pixels < 2**15 else None


def local(at: datetime, zone: ZoneInfo) -> datetime:
    """In the site's zone; a clock at the very edge of the calendar stays in UTC."""
    try:
        return at.astimezone(zone)
    except OverflowError:
        return at


def _clock(at: datetime) -> str:
    return f"{at.day} {_MONTHS[at.month - 1]} {at:%H:%M}"
