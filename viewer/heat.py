"""Coverage as the heat map shows it: sites, cameras, days, and the gaps that need a person. Pure data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any

from viewer import absence, formats
from viewer.absence import CameraGaps
from viewer.i18n import Words
from vms.coverage import OPEN, CameraFacts, DayCoverage, GapReason, by_day

_ROOM_FOR_ALL = 16  # days whose numbers stand side by side on a phone, too
_APART = 3

_TONES: dict[GapReason, str] = {"waiting": "blue", "purged": "gray", "acknowledged": "teal"}


@dataclass(frozen=True)
class CameraMap:
    """A camera's days, and its gaps that need a person."""

    days: tuple[DayCoverage, ...]
    gaps: CameraGaps

    @property
    def site(self) -> str:
        return self.gaps.site


def camera_map(facts: CameraFacts, first: date, last: date) -> CameraMap:
    """The camera's days from first to last, both included."""
    begin, end = formats.day_bounds(first, last, facts.time_zone)
    return CameraMap(tuple(by_day(facts, first, last)), absence.of_camera(facts, begin, end, OPEN))


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
        "gaps": absence.gaps(words, [one.gaps for one in maps], names),
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
        "counted": words("coverage.counted"),
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


def _days(words: Words, days: Sequence[date]) -> list[dict[str, Any]]:
    """The head of the map: each day where there is room, else months and Mondays that do not run into each other."""
    told = -_APART
    shown: list[dict[str, Any]] = []
    for at, day in enumerate(days):
        begins = at == 0 or day.day == 1
        tick = len(days) <= _ROOM_FOR_ALL or begins or (day.weekday() == 0 and at - told >= _APART)
        if begins and told >= 0 and at - told < _APART and len(days) > _ROOM_FOR_ALL:
            shown[told] |= {"number": "", "month": ""}
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
    zone = formats.zone_name(datetime.now(formats.zone(cameras[0].gaps.time_zone)))
    return {
        "id": cameras[0].site,
        "name": name,
        "zone": words("coverage.days_in", zone=zone),
        "there": _there(words, days),
        "rows": [
            {
                "camera": one.gaps.camera,
                "name": one.gaps.name,
                "there": _there(words, one.days),
                "cells": [_cell(words, day, one.gaps) for day in one.days],
            }
            for one in cameras
        ],
    }


def _there(words: Words, days: Sequence[DayCoverage]) -> str:
    expected = sum(day.expected_s for day in days)
    return percent(words, 100 * sum(day.present_s for day in days) / expected) if expected else ""


def _cell(words: Words, day: DayCoverage, camera: CameraGaps) -> list[Any]:
    """[per mille present, tone of what is missing, percentage, lines of reasons, whether there is anything to watch]"""
    is_there = day.present_s > 0
    since = camera.since and camera.since.astimezone(formats.zone(camera.time_zone))
    begun = [words("coverage.since", time=formats.clock(since))] if since and since.date() == day.day else []
    if day.percent is None:
        return [0, "off", words("coverage.unexpected"), begun, is_there]
    share = int(day.percent * 10)
    if day.reason is None:
        return [1000, "", percent(words, 100), begun, is_there]
    lines = [
        f"{formats.length(words, seconds)}: {words.one_of('gap', code)}" for code, seconds in day.missing_s.items()
    ]
    return [share, _TONES.get(day.reason, "red"), percent(words, day.percent), begun + lines, is_there]


def _summary(words: Words, maps: Sequence[CameraMap]) -> dict[str, str]:
    """What is there of what is expected, as a share and as time: a share alone can't be judged."""
    days = [day for one in maps for day in one.days]
    expected = sum(day.expected_s for day in days)
    if not expected:
        return {"there": "", "of": words("coverage.summary.early"), "missing": "", "tone": "gray", "waiting": ""}
    missing = sum(day.open_s for day in days)
    cameras = sum(any(day.open_s for day in one.days) for one in maps)
    waiting = sum(day.missing_s.get("waiting", 0) for day in days)
    lengths = {"length": formats.length(words, missing), "count": formats.number(words, cameras)}
    return {
        "there": _there(words, days),
        "of": words(
            "coverage.summary.of",
            there=formats.length(words, sum(day.present_s for day in days)),
            expected=formats.length(words, expected),
        ),
        "missing": words("coverage.summary.missing", **lengths) if missing else words("coverage.summary.complete"),
        "tone": "orange" if missing else "green",
        "waiting": words("coverage.summary.waiting", length=formats.length(words, waiting)) if waiting else "",
    }
