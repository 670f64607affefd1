"""Times, lengths and sizes as people read them, in both languages.

Instants come in as UTC and are shown in the zone of their site with the zone's name (WIB, WITA, WIT, or UTC+8 where a
zone has no name of its own).
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from viewer.i18n import Words

_DAYS = {
    "id": ("Senin", "Selasa", "Rabu", "Kamis", "Jumat", "Sabtu", "Minggu"),
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
}
_MONTHS = {
    "id": [
        "Januari",
        "Februari",
        "Maret",
        "April",
        "Mei",
        "Juni",
        "Juli",
        "Agustus",
        "September",
        "Oktober",
        "November",
        "Desember",
    ],
    "en": [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
}
_SHORT_MONTHS = {
    "id": ["Jan", "Feb", "Mar", "Apr", "Mei", "Jun", "Jul", "Agu", "Sep", "Okt", "Nov", "Des"],
    "en": ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
}
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


@lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo:
    """The zone of this name; UTC when this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def zone_name(at: datetime) -> str:
    """WIB, WITA, WIT, UTC, or UTC+8 for zones that only have a number."""
    name = at.tzname() or "UTC"
    if name[:1] in "+-":
        hours, minutes = name[1:3], name[3:5]
        return f"UTC{name[0]}{int(hours)}" + (f":{minutes}" if minutes not in ("", "00") else "")
    return name


def clock(at: datetime) -> str:
    """08:00:05"""
    return f"{at:%H:%M:%S}"


def day_long(words: Words, day: date) -> str:
    """Sabtu, 31 Januari 2026"""
    return f"{_DAYS[words.lang][day.weekday()]}, {day.day} {_MONTHS[words.lang][day.month - 1]} {day.year}"


def day_short(words: Words, day: date) -> str:
    """31 Jan 2026"""
    return f"{day.day} {_SHORT_MONTHS[words.lang][day.month - 1]} {day.year}"


def short_months(words: Words) -> list[str]:
    """Jan, Feb, Mar, ..."""
    return list(_SHORT_MONTHS[words.lang])


def month_long(words: Words, day: date) -> str:
    """Januari 2026"""
    return f"{_MONTHS[words.lang][day.month - 1]} {day.year}"


def weekdays(words: Words) -> list[tuple[str, str]]:
    """(three letters, whole name) of each weekday, Monday first."""
    return [(name[:3], name) for name in _DAYS[words.lang]]


def moment(words: Words, utc: datetime, zone_id: str) -> str:
    """31 Jan 2026 08:00:05 WIB"""
    at = utc.astimezone(zone(zone_id))
    return f"{day_short(words, at.date())} {clock(at)} {zone_name(at)}"


def span(words: Words, start: datetime, end: datetime, zone_id: str) -> str:
    """08:00:00-08:05:00 WIB; the end carries its day when that is another one."""
    first, last = start.astimezone(zone(zone_id)), end.astimezone(zone(zone_id))
    if first == last:
        return f"{clock(first)} {zone_name(first)}"
    if first.date() == last.date():
        return f"{clock(first)}\N{EN DASH}{clock(last)} {zone_name(first)}"
    return f"{clock(first)} \N{EN DASH} {day_short(words, last.date())} {clock(last)} {zone_name(first)}"


def number(words: Words, value: float, digits: int = 0) -> str:
    """1.234,5 in Indonesian, 1,234.5 in English."""
    text = f"{value:,.{digits}f}"
    return text.translate(str.maketrans(",.", ".,")) if words.lang == "id" else text


def counted(words: Words, key: str, count: int, **values: object) -> str:
    """The text `key` with its {count}; of one thing the text `key`.one, as one is said otherwise in English."""
    return words(f"{key}.one" if count == 1 else key, count=number(words, count), **values)


def size(words: Words, count: int) -> str:
    """52,1 MB: decimal units, three figures at most."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    digits = 0 if unit == 0 or value >= 99.95 else 1
    return f"{number(words, value, digits)} {_UNITS[unit]}"


def saving(words: Words, before: int, after: int) -> str:
    """65 % when the stored file is smaller; "" when there is nothing to say."""
    if before <= 0 or after <= 0 or after >= before:
        return ""
    return f"{number(words, 100 * (1 - after / before))} %"


def stopwatch(seconds: float) -> str:
    """5:00 or 1:02:03, for the badge on a poster."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def length(words: Words, seconds: float) -> str:
    """4 mnt 5 dtk; 12 jam 3 mnt"""
    whole = max(0, round(seconds))
    if whole < 60:
        return words("length.seconds", s=whole)
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return words("length.minutes_seconds", m=minutes, s=rest) if rest else words("length.minutes", m=minutes)
    hours, minutes = divmod(round(whole / 60), 60)
    shown = number(words, hours)
    return words("length.hours_minutes", h=shown, m=minutes) if minutes else words("length.hours", h=shown)


def age(words: Words, then: datetime, now: datetime) -> str:
    """3 menit lalu. A moment that is still to come (a recorder's wrong clock) is called so."""
    seconds = (now - then).total_seconds()
    if seconds < -90:
        return words("age.ahead")
    if seconds < 60:
        return words("age.seconds")
    for unit, one, many, below in ((60, "age.minute", "age.minutes", 60), (3600, "age.hour", "age.hours", 48)):
        count = int(seconds // unit)
        if count < below:
            return words(one) if count == 1 else words(many, n=count)
    count = int(seconds // 86400)
    return words("age.day") if count == 1 else words("age.days", n=number(words, count))


def day_bounds(first: date, last: date, zone_id: str) -> tuple[datetime, datetime]:
    """The instants (zone-aware) at which `first` begins and the day after `last` begins in this zone."""
    tz = zone(zone_id)
    after = last + timedelta(days=1) if last < date.max else last
    return (
        datetime(first.year, first.month, first.day, tzinfo=tz),
        datetime(after.year, after.month, after.day, tzinfo=tz),
    )
