"""When a camera is expected to record: "Mon-Sat 07:00-19:00, Sun 08:00-12:00", or always.

Times are on the site's own clock. What lies between 22:00 and 06:00 belongs to the weekday on which it begins. On days
on which clocks change a span is as long as it really is: 23:00-05:00 may last five or seven hours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

Interval = tuple[datetime, datetime]
"""Begin and end of a stretch of time: aware, UTC, the end not included."""

ALWAYS_TEXT = "always"
ALLOWED = 'allowed is "always", or times such as "07:00-19:00" or "Mon-Sat 07:00-19:00, Sun 08:00-12:00"'

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN = re.compile(
    r"(?:(?P<days>[a-z]+(?:\s*-\s*[a-z]+)?)\s+)?(?P<h1>\d{1,2}):(?P<m1>\d\d)\s*-\s*(?P<h2>\d{1,2}):(?P<m2>\d\d)"
)
_MIDNIGHT = 24 * 60


@dataclass(frozen=True)
class Span:
    """On these weekdays (0 is Monday) from begin_min to end_min, minutes since midnight; above 1440: the next day."""

    days: frozenset[int]
    begin_min: int
    end_min: int


@dataclass(frozen=True)
class Schedule:
    """The spans of a week; none means always."""

    spans: tuple[Span, ...] = ()


ALWAYS = Schedule()


@lru_cache(maxsize=512)
def parse_schedule(text: str) -> Schedule:
    """What the text says; "" and "always" are always. Raises ValueError that says what is allowed."""
    if text.strip().lower() in ("", ALWAYS_TEXT):
        return ALWAYS
    return Schedule(tuple(_span(part.strip()) for part in re.split(r"[,;]", text.lower()) if part.strip()))


@lru_cache(maxsize=4096)
def expected_on(schedule: Schedule, zone: ZoneInfo, day: date) -> tuple[Interval, ...]:
    """When the camera is expected to record on this day of the zone: in order, joined where spans touch or overlap."""
    first, last = midnight(day, zone), midnight(day + timedelta(days=1), zone)
    if not schedule.spans:
        return ((first, last),)
    found: list[Interval] = []
    for begins in (day - timedelta(days=1), day):
        for span in schedule.spans:
            if begins.weekday() in span.days:
                begin, end = _at(begins, span.begin_min, zone), _at(begins, span.end_min, zone)
                found.append((max(begin, first), min(end, last)))
    joined: list[Interval] = []
    for begin, end in sorted(one for one in found if one[0] < one[1]):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((begin, end))
    return tuple(joined)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """When this day begins in the zone, as UTC."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _at(day: date, minutes: int, zone: ZoneInfo) -> datetime:
    local = datetime.combine(day, time(), zone) + timedelta(minutes=minutes)  # wall time: an aware sum does not shift
    return local.astimezone(UTC)


def _span(text: str) -> Span:
    found = _SPAN.fullmatch(text)
    if not found:
        raise ValueError(f"{ALLOWED}.")
    begin, end = (int(found[hour]) * 60 + int(found[minute]) for hour, minute in (("h1", "m1"), ("h2", "m2")))
    if begin >= _MIDNIGHT or end > _MIDNIGHT or int(found["m1"]) > 59 or int(found["m2"]) > 59:
        raise ValueError(f"{ALLOWED}; times lie between 00:00 and 24:00.")
    if begin == end:
        raise ValueError(f"{ALLOWED}; a whole day is 00:00-24:00.")
    return Span(_days(found["days"]), begin, end if end > begin else end + _MIDNIGHT)


def _days(text: str | None) -> frozenset[int]:
    if text is None:
        return frozenset(range(7))
    names = [part.strip() for part in text.split("-")]
    for name in names:
        if name[:3] not in _DAYS or not _whole(name):
            raise ValueError(f"{ALLOWED}; the days are Mon, Tue, Wed, Thu, Fri, Sat, Sun.")
    numbers = [_DAYS.index(name[:3]) for name in names]
    first, last = numbers[0], numbers[-1]
    return frozenset((first + step) % 7 for step in range((last - first) % 7 + 1))


def _whole(name: str) -> bool:
    full = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    return len(name) == 3 or name in full
