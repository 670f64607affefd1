"""Why footage is missing: gaps as the pages list them, the longest first, with reason and remedy. Pure data."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from heapq import nlargest
from typing import Any
from urllib.parse import urlencode

from viewer import formats
from viewer.i18n import Words
from vms.coverage import OPEN, REASONS, CameraFacts, Gap, GapReason, missing

MOST_GAPS = 24

_FILE_REASONS: tuple[GapReason, ...] = ("quarantined", "never_arrived")
"""Their detail is the code of what was wrong with the file."""


@dataclass(frozen=True)
class CameraGaps:
    """A camera with its gaps, the longest first. since: its first footage (UTC), None when it never had any."""

    site: str
    camera: str
    name: str
    time_zone: str
    since: datetime | None
    gaps: tuple[Gap, ...]


def of_camera(
    facts: CameraFacts, start: datetime, end: datetime, reasons: Collection[GapReason] = REASONS
) -> CameraGaps:
    """The camera's gaps of these reasons within [start, end), aware."""
    found = (one for one in missing(facts, start, end) if one.reason in reasons)
    longest = nlargest(MOST_GAPS, found, key=lambda one: one.end - one.begin)
    gaps = tuple(one.gap for one in longest)
    return CameraGaps(facts.site, facts.camera, facts.camera_name, facts.time_zone, facts.since, gaps)


def with_purge_days(
    one: CameraGaps, purged_at: Callable[[tuple[str, str], datetime, datetime], datetime | None]
) -> CameraGaps:
    """Gaps that retention left, with the day on the camera's clock as their detail, as far as that is known."""
    told = []
    for gap in one.gaps:
        at = purged_at((one.site, one.camera), gap.start, gap.end) if gap.reason == "purged" else None
        day = at.astimezone(formats.zone(one.time_zone)).date().isoformat() if at else ""
        told.append(replace(gap, detail=day) if day else gap)
    return replace(one, gaps=tuple(told))


def gaps(words: Words, cameras: Sequence[CameraGaps], names: dict[str, str]) -> list[dict[str, Any]]:
    """The longest of all; what befell several cameras of a site at once is one of them. names: of the sites, by id."""
    together: dict[tuple[object, ...], list[tuple[Gap, CameraGaps]]] = {}
    for one in cameras:
        for gap in one.gaps:
            minutes = [at.replace(second=0, microsecond=0) for at in (gap.start, gap.end)]
            together.setdefault((one.site, *minutes, gap.reason, gap.detail), []).append((gap, one))
    longest = sorted(together.values(), key=lambda some: some[0][0].seconds * len(some), reverse=True)
    return [_gap(words, some, names.get(some[0][1].site, some[0][1].site)) for some in longest[:MOST_GAPS]]


def unexpected(words: Words, cameras: Sequence[CameraGaps], end: datetime) -> str:
    """Why nothing is missing though nothing is there: cameras that came later, or that were not to record."""
    later = [one for one in cameras if one.since is None or one.since >= end]
    if not later:
        return words("find.none.schedule")
    firsts = [(one.since, one) for one in later if one.since is not None]
    if not firsts:
        return words("find.none.never")
    first, one = min(firsts, key=lambda pair: pair[0])
    return words("find.none.later", camera=one.name, time=formats.moment(words, first, one.time_zone))


def reason(words: Words, code: GapReason, detail: str) -> str:
    """Why it is missing, in words; of a file with what was wrong with it, of a note with the note, of what retention
    has removed with the day."""
    said = words.one_of("gap", code)
    if code == "purged" and detail:
        return words("gap.purged_on", day=formats.day_long(words, date.fromisoformat(detail)))
    if code in _FILE_REASONS:
        detail = words.one_of("reason", detail)
    return f"{said}: {detail}" if detail else said


def _gap(words: Words, some: Sequence[tuple[Gap, CameraGaps]], site: str) -> dict[str, Any]:
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
        "tone": "orange" if gap.reason in OPEN else "gray",
        "reason": reason(words, gap.reason, gap.detail),
        "remedy": words.one_of("gap_remedy", gap.reason),
        "href": f"/?{show}",
    }
