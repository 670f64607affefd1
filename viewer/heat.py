"""Coverage as the heat map shows it: sites, cameras, days, and the gaps that need a person. Pure data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from viewer import formats
from viewer.i18n import Words
from vms.coverage import OPEN, CameraFacts, DayCoverage, Gap, GapReason, by_day, find_gaps

MOST_GAPS = 24
_ROOM_FOR_ALL = 16  # days whose numbers stand side by side on a phone, too
_APART = 3

_TONES: dict[GapReason, str] = {"waiting": "blue", "purged": "gray", "acknowledged": "teal"}
_FILE_REASONS: tuple[GapReason, ...] = ("quarantined", "never_arrived")
"""Their detail is the code of what was wrong with the file."""


@dataclass(frozen=True)
class CameraMap:
    """A camera with its days, and its gaps that need a person, the longest first."""

    site: str
    camera: str
    name: str
    time_zone: str
    days: tuple[DayCoverage, ...]
    gaps: tuple[Gap, ...]


def camera_map(facts: CameraFacts, first: date, last: date) -> CameraMap:
    """The camera's days from first to last, both included."""
    begin, end = formats.day_bounds(first, last, facts.time_zone)
    gaps = [gap for gap in find_gaps(facts, begin, end) if gap.reason in OPEN]
    longest = sorted(gaps, key=lambda gap: gap.seconds, reverse=True)[:MOST_GAPS]
    days = tuple(by_day(facts, first, last))
    return CameraMap(facts.site, facts.camera, facts.camera_name, facts.time_zone, days, tuple(longest))


def page(words: Words, maps: Sequence[CameraMap], names: dict[str, str], first: date, last: date) -> dict[str, Any]:
    """All that the component draws. names: of the sites, by id; maps: by site, in order."""
    days = [first + timedelta(days=step) for step in range((last - first).days + 1)]
    return {
        "lang": words.lang,
        "title": words("coverage.title"),
        "days": _days(words, days),
        "sites": [
            _site(words, names.get(site, site), list(of_site)) for site, of_site in groupby(maps, lambda one: one.site)
        ],
        "gaps": _gaps(words, maps, names),
        "summary": _summary(words, maps),
        "legend": [
            {"tone": tone, "fill": fill, "text": words.one_of("coverage.legend", name)}
            for name, tone, fill in (
                ("full", "", 100),
                ("part", "red", 60),
                ("none", "red", 0),
                ("waiting", "blue", 60),
                ("purged", "gray", 0),
                ("acknowledged", "teal", 60),
                ("unexpected", "off", 0),
            )
        ],
        "words": {
            "open": words("coverage.open"),
            "grid": words("coverage.grid"),
            "camera": words("coverage.camera"),
            "there": words("coverage.there"),
            "gaps": words("coverage.gaps"),
            "keys": words("coverage.keys"),
        },
    }


def percent(words: Words, value: float) -> str:
    """99,9 %; only what is whole is 100 %."""
    return "100 %" if value >= 100 else f"{formats.number(words, int(value * 10) / 10, 1)} %"


def reason(words: Words, code: GapReason, detail: str) -> str:
    """Why it is missing, in words; of a file with what was wrong with it, of a note with the note."""
    said = words.one_of("gap", code)
    if code in _FILE_REASONS:
        detail = words.one_of("reason", detail)
    return f"{said}: {detail}" if detail else said


def _days(words: Words, days: Sequence[date]) -> list[dict[str, Any]]:
    """The head of the map: each day where there is room, else months and Mondays that do not run into each other."""
    told = -_APART
    shown: list[dict[str, Any]] = []
    for at, day in enumerate(days):
        begins = at == 0 or day.day == 1
        tick = len(days) <= _ROOM_FOR_ALL or begins or (day.weekday() == 0 and at - told >= _APART)
        if begins and at - told < _APART and told > 0 and len(days) > _ROOM_FOR_ALL:
            shown[told]["number"] = ""
        told = at if tick else told
        shown.append(
            {
                "iso": day.isoformat(),
                "number": str(day.day) if tick else "",
                "month": formats.day_short(words, day).split()[1] if begins else "",
                "long": formats.day_long(words, day),
            }
        )
    return shown


def _site(words: Words, name: str, cameras: Sequence[CameraMap]) -> dict[str, Any]:
    days = [day for one in cameras for day in one.days]
    zone = formats.zone_name(datetime.now(formats.zone(cameras[0].time_zone)))
    return {
        "id": cameras[0].site,
        "name": name,
        "zone": words("coverage.days_in", zone=zone),
        "there": _there(words, days),
        "rows": [
            {
                "camera": one.camera,
                "name": one.name,
                "there": _there(words, one.days),
                "cells": [_cell(words, day) for day in one.days],
            }
            for one in cameras
        ],
    }


def _there(words: Words, days: Sequence[DayCoverage]) -> str:
    expected = sum(day.expected_s for day in days)
    return percent(words, 100 * sum(day.present_s for day in days) / expected) if expected else ""


def _cell(words: Words, day: DayCoverage) -> list[Any]:
    """[per mille present, tone of what is missing, percentage, lines of reasons]"""
    if day.percent is None:
        return [0, "off", words("coverage.unexpected"), []]
    share = int(day.percent * 10)
    if day.reason is None:
        return [1000, "", percent(words, 100), []]
    lines = [
        f"{formats.length(words, seconds)}: {words.one_of('gap', code)}" for code, seconds in day.missing_s.items()
    ]
    return [share, _TONES.get(day.reason, "red"), percent(words, day.percent), lines]


def _gaps(words: Words, maps: Sequence[CameraMap], names: dict[str, str]) -> list[dict[str, Any]]:
    """The longest; what befell several cameras of a site at once is one of them."""
    together: dict[tuple[object, ...], list[tuple[Gap, CameraMap]]] = {}
    for one in maps:
        for gap in one.gaps:
            minutes = [at.replace(second=0, microsecond=0) for at in (gap.start, gap.end)]
            together.setdefault((one.site, *minutes, gap.reason, gap.detail), []).append((gap, one))
    longest = sorted(together.values(), key=lambda some: some[0][0].seconds * len(some), reverse=True)
    return [_gap(words, some, names.get(some[0][1].site, some[0][1].site)) for some in longest[:MOST_GAPS]]


def _gap(words: Words, some: Sequence[tuple[Gap, CameraMap]], site: str) -> dict[str, Any]:
    gap, one = some[0]
    zone = formats.zone(one.time_zone)
    first, last = gap.start.astimezone(zone).date(), (gap.end - timedelta(seconds=1)).astimezone(zone).date()
    cameras = ",".join(f"{each.site}/{each.camera}" for _, each in some)
    show = urlencode({"camera": cameras, "from": first, "to": last, "state": "all"})
    several = words("coverage.cameras", count=formats.number(words, len(some)))
    return {
        "camera": one.name if len(some) == 1 else several,
        "cameras": ", ".join(each.name for _, each in some) if len(some) > 1 else "",
        "site": site,
        "when": f"{formats.day_short(words, first)}, {formats.span(words, gap.start, gap.end, one.time_zone)}",
        "length": formats.length(words, gap.seconds),
        "reason": reason(words, gap.reason, gap.detail),
        "remedy": words.one_of("gap_remedy", gap.reason),
        "show": show,
        "href": f"/?{show}",
    }


def _summary(words: Words, maps: Sequence[CameraMap]) -> dict[str, str]:
    days = [day for one in maps for day in one.days]
    missing = sum(day.open_s for day in days)
    cameras = sum(any(day.open_s for day in one.days) for one in maps)
    lengths = {"length": formats.length(words, missing), "count": formats.number(words, cameras)}
    return {
        "there": _there(words, days),
        "of": words("coverage.summary.of"),
        "missing": words("coverage.summary.missing", **lengths) if missing else words("coverage.summary.complete"),
        "tone": "orange" if missing else "green",
    }
