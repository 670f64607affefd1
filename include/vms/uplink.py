"""How much of a site's line uploads may take, by the hour of the week: the `uplink` of sites.yaml as data.

"07:00-18:00 2 Mbit/s, else unlimited" keeps the office usable by day and catches up at night. Hours are those on the
wall of the site, also on the days when clocks are changed. `vms.line` keeps to what is said here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

LEAST = 128_000 / 8
"""The lowest cap, in bytes per second. Below it the files in flight would wait so long for their turn that servers take
them for dead: S3 gives up a body that stands still for 20 s."""

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
ALLOWED = 'allowed is a cap such as "2 Mbit/s", or a timetable such as "Mon-Fri 07:00-18:00 2 Mbit/s, else unlimited"'

_DAY_MINUTES = 24 * 60
_LONG_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_UNIT_BITS = {"kbit/s": 1e3, "Mbit/s": 1e6, "Gbit/s": 1e9, "kB/s": 8e3, "MB/s": 8e6}
_ENTRY = re.compile(
    r"(?:(?P<first>[a-z]+)(?:\s*-\s*(?P<last>[a-z]+))?\s+)??"
    r"(?:(?P<begin>\d{1,2}:\d{2})\s*-\s*(?P<end>\d{1,2}:\d{2})\s+)?"
    r"(?P<rate>unlimited|\d.*)",
    re.ASCII | re.IGNORECASE,
)
_RATE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*(\S+)", re.ASCII)


@dataclass(frozen=True)
class Cap:
    """One entry of the timetable. days: 0 is Monday, one after the other; begin, end: minutes after midnight.

    When end is not after begin, the hours run over midnight and belong to the day on which they begin.
    rate: bytes per second; None is unlimited.
    """

    days: tuple[int, ...]
    begin: int
    end: int
    rate: float | None

    def covers(self, day: int, minute: int) -> bool:
        """Whether this minute of this day of the week is in its hours."""
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        return (day in self.days and minute >= self.begin) or ((day - 1) % 7 in self.days and minute < self.end)

    def __str__(self) -> str:
        words = []
        if len(self.days) < len(DAYS):
            ends = dict.fromkeys((self.days[0], self.days[-1]))
            words.append("-".join(DAYS[day] for day in ends))
        if (self.begin, self.end) != (0, _DAY_MINUTES):
            words.append(f"{_clock(self.begin)}-{_clock(self.end)}")
        return " ".join([*words, rate_text(self.rate)])


@dataclass(frozen=True)
class Uplink:
    """The timetable. otherwise: what goes in the hours that no cap covers, in bytes per second; None is unlimited."""

    caps: tuple[Cap, ...] = ()
    otherwise: float | None = None

    @property
    def is_unlimited(self) -> bool:
        """Whether there is no hour with a cap."""
        return self.otherwise is None and all(cap.rate is None for cap in self.caps)

    def rate_at(self, when: datetime, zone: ZoneInfo) -> float | None:
        """Bytes per second that may be sent at this time (with a time zone of its own); None is unlimited."""
        local = when.astimezone(zone)
        day, minute = local.weekday(), local.hour * 60 + local.minute
        return next((cap.rate for cap in self.caps if cap.covers(day, minute)), self.otherwise)

    def __str__(self) -> str:
        """One line for people, which `parse` reads back."""
        if not self.caps:
            return rate_text(self.otherwise)
        return ", ".join([*map(str, self.caps), f"else {rate_text(self.otherwise)}"])


UNLIMITED = Uplink()


def parse(given: str | Sequence[str]) -> Uplink:
    """The timetable that a text, or a list of its entries, says. Raises ValueError that says what is allowed."""
    texts = [given] if isinstance(given, str) else list(given)
    entries = [" ".join(entry.split()) for text in texts for entry in text.split(",")]
    if not any(entries):
        raise ValueError(f"{ALLOWED}.")
    caps: dict[Cap, str] = {}
    otherwise: list[tuple[float | None, str]] = []
    for entry in entries:
        rest = re.fullmatch(r"else\s+(.+)", entry, re.IGNORECASE)
        if rest:
            otherwise.append((_rate(rest.group(1), entry), entry))
            continue
        cap = _cap(entry)
        for other, text in caps.items():
            _must_be_apart(cap, entry, other, text)
        caps[cap] = entry
    if len(otherwise) > 1:
        raise ValueError(f'"{otherwise[0][1]}" and "{otherwise[1][1]}" can\'t both be; allowed is one "else".')
    rest_rate = otherwise[0][0] if otherwise else None
    if len(caps) == 1:
        (only,) = caps
        if only == Cap(tuple(range(7)), 0, _DAY_MINUTES, only.rate):
            if otherwise:
                raise ValueError(f'"{otherwise[0][1]}" never comes about: "{caps[only]}" is for all hours.')
            return Uplink((), only.rate)
    return Uplink(tuple(caps), rest_rate)


def parse_rate(text: str) -> float:
    """Bytes per second of a cap such as "5 Mbit/s" or, as it is typed on a command line, "5Mbit". Raises ValueError."""
    words = text.strip()
    if re.fullmatch(r".*[kMG]bit", words, re.IGNORECASE):
        words += "/s"
    rate = _rate(words, text)
    if rate is None:
        raise ValueError(f'"{text}" is no cap; leave it out, or give a number and one of {", ".join(_UNIT_BITS)}.')
    return rate


def rate_text(rate: float | None) -> str:
    """Bytes per second as lines are sold: "2 Mbit/s"; None is "unlimited"."""
    if rate is None:
        return "unlimited"
    kilobits = rate * 8 / 1000
    return f"{kilobits / 1000:.10g} Mbit/s" if kilobits >= 1000 else f"{kilobits:.10g} kbit/s"


def _cap(entry: str) -> Cap:
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise ValueError(f'"{entry}" is not understood; {ALLOWED}.')
    days = _days(match["first"], match["last"], entry)
    begin, end = 0, _DAY_MINUTES
    if match["begin"]:
        begin, end = _minutes(match["begin"], entry), _minutes(match["end"], entry)
        if begin in (end, _DAY_MINUTES):
            raise ValueError(f'"{entry}" covers no time; leave out the hours when the whole day is meant.')
        end = end or _DAY_MINUTES
    return Cap(days, begin, end, _rate(match["rate"], entry))


def _days(first: str | None, last: str | None, entry: str) -> tuple[int, ...]:
    if first is None:
        return tuple(range(7))
    begin = _day(first, entry)
    end = begin if last is None else _day(last, entry)
    days = tuple((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    return tuple(range(7)) if len(days) == 7 else days


def _day(word: str, entry: str) -> int:
    for names in (DAYS, _LONG_DAYS):
        if word.capitalize() in names:
            return names.index(word.capitalize())
    raise ValueError(f'"{word}" in "{entry}" is no day; allowed are {", ".join(DAYS)}, or a range such as Mon-Fri.')


def _minutes(text: str, entry: str) -> int:
    hour, minute = map(int, text.split(":"))
    if minute > 59 or hour * 60 + minute > _DAY_MINUTES:
        raise ValueError(f'"{text}" in "{entry}" is no time of day; allowed is 00:00 to 24:00.')
    return hour * 60 + minute


def _rate(text: str, entry: str) -> float | None:
    if text.lower() == "unlimited":
        return None
    match = _RATE.fullmatch(text)
    unit = match and _unit(match[2])
    if match is None or unit is None:
        raise ValueError(
            f'the rate of "{entry}" is not understood; allowed is "unlimited", or a number and one of'
            f" {', '.join(_UNIT_BITS)}."
        )
    rate = round(float(match[1]) * unit) / 8
    if rate < LEAST:
        raise ValueError(
            f'"{entry}" is too little: a server gives up an upload that hardly moves; allowed is {rate_text(LEAST)} or'
            " more."
        )
    return rate


def _unit(text: str) -> float | None:
    """Bits are taken in any case; a B for bytes must be a large one, as Mb/s could be meant as either."""
    bits = {name.lower(): size for name, size in _UNIT_BITS.items() if "bit" in name}
    return _UNIT_BITS.get(text, bits.get(text.lower()))


def _must_be_apart(one: Cap, text: str, other: Cap, other_text: str) -> None:
    for moment in range(7 * _DAY_MINUTES):
        day, minute = divmod(moment, _DAY_MINUTES)
        if one.covers(day, minute) and other.covers(day, minute):
            raise ValueError(
                f'"{other_text}" and "{text}" both speak of {DAYS[day]} {_clock(minute)}; give each hour one cap.'
            )


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def until_text(uplink: Uplink, when: datetime, zone: ZoneInfo) -> str:
    """What goes at this time and until when, on the site's clock: "2 Mbit/s until 18:00"."""
    now = uplink.rate_at(when, zone)
    step = timedelta(minutes=1)
    later = when.replace(second=0, microsecond=0)
    for _ in range(_DAY_MINUTES):
        later += step
        if uplink.rate_at(later, zone) != now:
            return f"{rate_text(now)} until {later.astimezone(zone):%H:%M}"
    return rate_text(now)
