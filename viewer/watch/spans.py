"""The timeline as the component draws it: where each camera has footage and in what state, and why it has none.

Pure data. Times are whole milliseconds; those of footage and gaps count from the beginning of what was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from viewer import absence, formats, tokens
from viewer.i18n import Words
from vms import pieces
from vms.catalogue.timeline import CameraKey, Stretch
from vms.coverage import OPEN, CameraFacts, find_gaps

LACKING, DAMAGED, DOUBTFUL, UNKNOWN, COLD = 1, 2, 4, 8, 16
"""What the number of a piece of footage says, added up: a copy is missing; the footage is damaged; its time is in
doubt; nobody has looked whether all is as it should be, because the time asked for is too long; it has to be restored
first. 0: all is as it should be."""

_DAY_MS = 86_400_000
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Asked:
    """Cameras and time, from begin to end (UTC, end not included)."""

    cameras: tuple[CameraKey, ...]
    begin: datetime
    end: datetime

    @property
    def days(self) -> float:
        return (self.end - self.begin) / timedelta(days=1)

    @property
    def is_fine(self) -> bool:
        """Recording by recording; else only where there is footage at all."""
        return self.days * len(self.cameras) <= 64 and self.days <= 4


def timeline(
    words: Words,
    asked: Asked,
    facts: Sequence[CameraFacts],
    stretches: Iterable[Stretch],
    held: Iterable[tuple[CameraKey, datetime, datetime]],
    *,
    are_all: bool = True,
) -> dict[str, Any]:
    """What the component draws. stretches: of all cameras; of a long time those that are not as they should be, and
    are_all says whether there are no others of that kind."""
    by_camera: dict[CameraKey, list[list[int]]] = {key: [] for key in asked.cameras}
    odd: dict[CameraKey, list[list[int]]] = {key: [] for key in asked.cameras}
    for one in stretches:
        code = LACKING * one.lacking | DAMAGED * one.damaged | DOUBTFUL * one.doubtful | COLD * one.cold
        _add((by_camera if asked.is_fine else odd)[one.camera], asked, one.start_utc, one.end_utc, code)
    held_of: dict[CameraKey, list[list[int]]] = {key: [] for key in asked.cameras}
    for key, begin, end in held:
        _add(held_of[key], asked, begin, end)
    texts: dict[str, int] = {}
    cameras = []
    for one in facts:
        key = (one.site, one.camera)
        if not asked.is_fine:
            for begin, end in one.kept:
                _add(by_camera[key], asked, pieces.moment(begin), pieces.moment(end), 0 if are_all else UNKNOWN)
        gaps: list[list[int]] = []
        for gap in find_gaps(one, asked.begin, asked.end):
            text = absence.reason(words, gap.reason, gap.detail)
            tone = 0 if gap.reason == "waiting" else 1 if gap.reason in OPEN else 2
            _add(gaps, asked, gap.start, gap.end, tone, texts.setdefault(text, len(texts)))
        cameras.append(
            {
                "id": f"{one.site}/{one.camera}",
                "clock": clock(asked.begin, asked.end, one.time_zone),
                "spans": by_camera[key],
                "odd": _joined(odd[key], max(1, round(asked.days * _DAY_MS / 4000))),
                "gaps": gaps,
                "held": held_of[key],
            }
        )
    return {
        "from": milliseconds(asked.begin),
        "to": milliseconds(asked.end),
        "fine": asked.is_fine,
        "whole": are_all,
        "cameras": cameras,
        "texts": list(texts),
    }


def clock(begin: datetime, end: datetime, zone_id: str) -> list[list[Any]]:
    """The zone's clock over this time: [from when on (ms), seconds ahead of UTC, name of the zone], at each change."""
    zone = formats.zone(zone_id)
    changes: list[list[Any]] = []
    at, step = begin, max(_HOUR, (end - begin) / 800)
    while True:
        local = at.astimezone(zone)
        offset = local.utcoffset() or timedelta()
        if not changes or changes[-1][1] != int(offset.total_seconds()):
            if changes:
                at = _change(at - step, at, zone_id)
            changes.append([milliseconds(at), int(offset.total_seconds()), formats.zone_name(local)])
        if at >= end:
            return changes
        at = min(at + step, end)


def _change(before: datetime, after: datetime, zone_id: str) -> datetime:
    """The first minute with the offset that the zone has after."""
    zone = formats.zone(zone_id)
    new = after.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) / 2
        before, after = (before, middle) if middle.astimezone(zone).utcoffset() == new else (middle, after)
    return after.replace(second=0, microsecond=0)


def milliseconds(at: datetime) -> int:
    return tokens.microseconds(at) // 1000


def from_milliseconds(value: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value)


def _joined(rows: list[list[int]], seen_ms: int) -> list[list[int]]:
    """Neighbours of one kind as one, where what lies between them is too short to be seen."""
    made: list[list[int]] = []
    for first, length, code in rows:
        if made and made[-1][2] == code and first - made[-1][0] - made[-1][1] <= seen_ms:
            made[-1][1] = max(made[-1][1], first + length - made[-1][0])
        else:
            made.append([first, length, code])
    return made


def _add(rows: list[list[int]], asked: Asked, begin: datetime, end: datetime, *more: int) -> None:
    """[from, length, ...] cut to what was asked for; nothing when it lies outside."""
    begin, end = max(begin, asked.begin), min(end, asked.end)
    if begin < end:
        first = milliseconds(begin) - milliseconds(asked.begin)
        rows.append([first, milliseconds(end) - milliseconds(asked.begin) - first, *more])
