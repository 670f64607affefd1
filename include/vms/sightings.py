"""What a look at a footage folder finds: sightings of source files, and why some can't become recordings.

See `vms.model` for what holds of times, durations, sizes, sums and paths here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from vms.errors import Reason

TimeBasis = Literal["name", "name_end", "container", "mtime"]
TimeMark = Literal["dst_repeated", "dst_skipped", "future", "before_2000"]


LONGEST_TEXT = 4000


@dataclass(frozen=True)
class Fault:
    """Why a file did not get further. permanent: trying again unchanged can't help (quarantine it).

    What is longer than pages and messages can hold is cut off, whoever says it.
    """

    reason: Reason
    message: str
    remedy: str
    permanent: bool

    def __post_init__(self) -> None:
        for name in ("message", "remedy"):
            object.__setattr__(self, name, getattr(self, name)[:LONGEST_TEXT])


@dataclass(frozen=True)
class SourceSeen:
    """One source file by its path and the size and mtime that it had when it was looked at."""

    path: str
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Sighting:
    """A closed source file that can become a recording, as `sense` read it."""

    source: SourceSeen
    camera: str
    fingerprint: str
    start_utc: datetime
    duration_s: float
    time_basis: TimeBasis
    time_marks: tuple[TimeMark, ...]
    pattern: str
    codec: str
    width: int
    height: int
    fps: float | None
    audio_codec: str | None


@dataclass(frozen=True)
class Rejection:
    """A source file that can't become a recording; it stays where it is. start_utc is the best guess there is."""

    source: SourceSeen
    camera: str
    fingerprint: str
    start_utc: datetime
    time_basis: TimeBasis
    fault: Fault


@dataclass(frozen=True)
class Waiting:
    """A source file that is not closed yet, and why."""

    path: str
    why: str


@dataclass(frozen=True)
class Sensed:
    """What one look at a site's footage folder found. `more`: closed files left for the next run by the limit."""

    site: str
    looked_at: datetime
    files: int
    settled: int
    ignored: int
    more: int
    waiting: tuple[Waiting, ...]
    sightings: tuple[Sighting, ...]
    rejections: tuple[Rejection, ...]
