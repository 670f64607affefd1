"""The calendar of the Find page: a month whose days show how much footage there is, and the chosen period.

Pure data for the component.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from viewer import formats, query
from viewer.i18n import Words


@dataclass(frozen=True)
class DayShare:
    """Of one day, over all chosen cameras. expected_s, present_s: footage that should be there, and that is."""

    expected_s: float
    present_s: float

    @property
    def per_mille(self) -> int:
        """How much of what should be there is there; 1000 only when all is."""
        if self.present_s <= 0:
            return 0
        if self.present_s >= self.expected_s:
            return 1000
        return min(999, max(1, int(1000 * self.present_s / self.expected_s)))


_NOTHING = DayShare(0, 0)


def page(
    words: Words, month: date, shares: Mapping[date, DayShare] | None, shown: query.Find, zone_name: str, today: date
) -> dict[str, Any]:
    """All that the component draws. month: any day of it. shares: days without an entry have no footage;
    None: not counted yet, and the component asks for the month as soon as somebody sees it."""
    first = month.replace(day=1)
    days = [first + timedelta(days=step) for step in range(monthrange(first.year, first.month)[1])]
    return {
        "lang": words.lang,
        "title": formats.month_long(words, first),
        "month": f"{first:%Y-%m}",
        "before": f"{first - timedelta(days=1):%Y-%m}",
        "after": f"{days[-1] + timedelta(days=1):%Y-%m}" if days[-1] < today else "",
        "weekdays": [{"short": short, "long": long} for short, long in formats.weekdays(words)],
        "lead": first.weekday(),
        "counted": shares is not None,
        "days": [_day(words, day, None if shares is None else shares.get(day, _NOTHING), today) for day in days],
        "from": shown.first.isoformat() if shown.first else "",
        "to": (shown.last or shown.first or today).isoformat() if shown.first else "",
        "from_time": f"{shown.first_time:%H:%M}" if shown.first_time else "",
        "to_time": f"{shown.last_time:%H:%M}" if shown.last_time else "",
        "words": {
            "before": words("calendar.before"),
            "after": words("calendar.after"),
            "from_time": words("calendar.from_time", zone=zone_name),
            "to_time": words("calendar.to_time"),
            "whole": words("calendar.whole"),
            "hint": words("calendar.hint"),
            "several": words("calendar.several"),
            "all": words.one_of("calendar.state", "all"),
            "part": words.one_of("calendar.state", "part"),
            "none": words.one_of("calendar.state", "none"),
        },
    }


def label(words: Words, shown: query.Find) -> str:
    """The period as its button says it: 24 Nov 2026, 18:00-21:00."""
    if shown.first is None:
        return words("find.quick.all")
    last = shown.last or shown.first
    begin, end = formats.day_short(words, shown.first), formats.day_short(words, last)
    from_time = f"{shown.first_time:%H:%M}" if shown.first_time else ""
    to_time = f"{shown.last_time:%H:%M}" if shown.last_time else ""
    if shown.first == last:
        times = f"{from_time or '00:00'}\N{EN DASH}{to_time or '24:00'}" if from_time or to_time else ""
        return f"{begin}, {times}" if times else begin
    return f"{' '.join(filter(None, (begin, from_time)))} \N{EN DASH} {' '.join(filter(None, (end, to_time)))}"


def chosen(text: str) -> dict[str, list[str]] | None:
    """What the component tells ("2026-11-24T18:00/2026-11-25"), as parameters of an address; None when it is none."""
    begin, slash, end = text.partition("/")
    return {"from": [begin], "to": [end]} if slash and begin and end else None


def month_of(text: str) -> date | None:
    """The month that the component asks for ("2026-11"); None when it is none."""
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        return None


def _day(words: Words, day: date, share: DayShare | None, today: date) -> dict[str, Any]:
    per_mille = share.per_mille if share else 0
    state = "all" if per_mille == 1000 else "part" if per_mille else "none"
    told = words.one_of("calendar.state", state) if share and day <= today else ""
    if share and state == "part":
        told = words("calendar.there", length=formats.length(words, share.present_s), percent=max(1, per_mille // 10))
    return {
        "iso": day.isoformat(),
        "number": day.day,
        "share": per_mille,
        "off": day > today,
        "label": ", ".join(filter(None, (formats.day_long(words, day), told))),
        "today": day == today,
    }
