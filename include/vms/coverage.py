"""Coverage: what a camera should have recorded against what the archive has, and why the rest is missing.

Pure: the facts of a camera go in (`vms.catalogue.coverage` reads them), gaps and sums by day come out. A gap is a piece
of expected time without kept footage that is longer than the site's tolerance; it is cut where its explanation changes,
so that each piece has one reason.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Literal
from zoneinfo import ZoneInfo

from vms.schedule import Interval, Schedule, expected_on, midnight

GapReason = Literal[
    "lost", "never_arrived", "quarantined", "camera_silent", "clock_jump", "not_looked", "waiting", "purged",
    "acknowledged",
]  # fmt: skip
"""Why footage is missing, the worst first.

lost: it was archived, and no store has a good copy any more. never_arrived: the file was seen on site and was gone
before it could be archived. quarantined: the file is there but could not become a recording. camera_silent: the site
was looked at, nothing came. clock_jump: meanwhile the recorder named files with an impossible time. not_looked: nobody
looked at the site. waiting: seen, not archived yet. purged: its retention has passed. acknowledged: somebody looked
into it and left a note.
"""

REASONS: tuple[GapReason, ...] = (
    "lost", "never_arrived", "quarantined", "camera_silent", "clock_jump", "not_looked", "waiting", "purged",
    "acknowledged",
)  # fmt: skip

OPEN: tuple[GapReason, ...] = REASONS[: REASONS.index("waiting")]
"""Reasons that ask for a person; the others settle by themselves or are settled."""

REMEDIES: dict[GapReason, str] = {
    "lost": "If the recorder still has it, export it again into the footage folder.",
    "never_arrived": "The recorder deleted it before it was archived: let it keep files longer, or look more often.",
    "quarantined": "`vms recordings --state quarantined` says why; export that time from the recorder again.",
    "camera_silent": "Check the camera, its power and its recorder; put missing files into the footage folder.",
    "clock_jump": "Set the recorder's clock (NTP); `vms recordings` shows under which time the footage was filed.",
    "not_looked": "The site was paused or the system was down; what the recorder still has comes by itself.",
    "waiting": "Nothing to do: it is archived by the next runs.",
    "purged": "Nothing to do: the retention time has passed.",
    "acknowledged": "Nothing to do.",
}  # fmt: skip

# What explains a piece of a gap when several things could: what a person said, then what is known of files, then the
# surroundings. Silence is what remains.
_PRECEDENCE: tuple[GapReason, ...] = (
    "acknowledged", "lost", "purged", "waiting", "quarantined", "never_arrived", "clock_jump", "not_looked",
)  # fmt: skip

_MARGIN = timedelta(days=1)
_EVER, _NEVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Cause:
    """Something that explains missing footage between start and end (UTC). detail: see `Gap`."""

    start: datetime
    end: datetime
    reason: GapReason
    detail: str = ""


@dataclass(frozen=True)
class Gap:
    """Expected time without footage, in UTC.

    detail: for quarantined and never_arrived the reason's code (vms.errors.Reason), for acknowledged who and what
    ("Sari: camera was being replaced"), else "".
    """

    start: datetime
    end: datetime
    reason: GapReason
    detail: str = ""

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()


@dataclass(frozen=True)
class CameraFacts:
    """All that coverage needs to know of a camera over a stretch of time.

    since: its first footage; None when it never had any, then nothing is expected. until: up to when footage must have
    been archived by now. kept: footage in the archive, in order, not overlapping. tolerance_s: a hole between two files
    that is no longer than this is none.
    """

    site: str
    camera: str
    camera_name: str
    time_zone: str
    schedule: Schedule
    tolerance_s: float
    since: datetime | None
    until: datetime
    kept: Sequence[Interval] = ()
    causes: Sequence[Cause] = ()

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)


@dataclass(frozen=True)
class DayCoverage:
    """One camera on one day of its site's zone. missing_s: seconds by reason; with present_s they make expected_s."""

    site: str
    camera: str
    day: date
    expected_s: int
    present_s: int
    missing_s: dict[GapReason, int] = field(default_factory=dict)

    @property
    def reason(self) -> GapReason | None:
        """The worst reason, None when nothing is missing."""
        return next((one for one in REASONS if one in self.missing_s), None)

    @property
    def percent(self) -> float | None:
        """Present of expected, None when nothing was expected. Never rounded up to 100."""
        return 100 * self.present_s / self.expected_s if self.expected_s else None

    @property
    def open_s(self) -> int:
        """Seconds missing for which a person should do something."""
        return sum(seconds for reason, seconds in self.missing_s.items() if reason in OPEN)


def find_gaps(facts: CameraFacts, begin: datetime, end: datetime) -> list[Gap]:
    """The gaps of a camera within [begin, end), UTC, in order."""
    if facts.since is None:
        return []
    tolerance = timedelta(seconds=facts.tolerance_s)
    # wider than asked: whether a hole is long enough does not depend on where the question cuts it
    first, last = max(begin - _MARGIN, facts.since), min(end + _MARGIN, facts.until)
    holes = _holes(facts.kept, first, last, tolerance)
    if not holes:
        return []
    long_enough = [one for one in _overlaps(_expected(facts, first, last), holes) if one[1] - one[0] > tolerance]
    gaps: list[Gap] = []
    for piece in _overlaps(long_enough, [(begin, end)]):
        gaps.extend(_explained(piece, facts.causes, tolerance))
    return gaps


def by_day(facts: CameraFacts, first: date, last: date) -> list[DayCoverage]:
    """The camera's days from first to last, both included; days on which nothing was expected are among them."""
    zone = facts.zone
    bounds = [midnight(first + timedelta(days=step), zone) for step in range((last - first).days + 2)]
    gaps = find_gaps(facts, bounds[0], bounds[-1])
    missing: list[dict[GapReason, float]] = [{} for _ in bounds[:-1]]
    for gap in gaps:
        at = bisect_right(bounds, gap.start) - 1
        while at < len(missing) and bounds[at] < gap.end:
            part = min(gap.end, bounds[at + 1]) - max(gap.start, bounds[at])
            missing[at][gap.reason] = missing[at].get(gap.reason, 0.0) + part.total_seconds()
            at += 1
    days = []
    for step, reasons in enumerate(missing):
        day = first + timedelta(days=step)
        expected = round(_expected_s(facts, day))
        seconds = {reason: round(reasons[reason]) for reason in REASONS if round(reasons.get(reason, 0)) > 0}
        present = max(0, expected - sum(seconds.values()))
        days.append(DayCoverage(facts.site, facts.camera, day, expected, present, seconds))
    return days


def unwatched(watches: Sequence[Interval], now: datetime) -> list[Interval]:
    """Between the stretches in which a site was looked at regularly, and from the last one until now.

    Before the first one nothing is known, which is no reproach.
    """
    if not watches:
        return []
    between = [(one[1], following[0]) for one, following in pairwise(watches)]
    return [one for one in (*between, (watches[-1][1], now)) if one[0] < one[1]]


def _expected(facts: CameraFacts, begin: datetime, end: datetime) -> Iterator[Interval]:
    """Expected time within [begin, end), joined over midnight where it goes on."""
    zone = facts.zone
    if not facts.schedule.spans:
        yield begin, end
        return
    day, last = begin.astimezone(zone).date(), end.astimezone(zone).date()
    open_one: Interval | None = None
    while day <= last:
        for first, until in expected_on(facts.schedule, zone, day):
            first, until = max(first, begin), min(until, end)
            if first >= until:
                continue
            if open_one and first <= open_one[1]:
                open_one = (open_one[0], until)
            else:
                if open_one:
                    yield open_one
                open_one = (first, until)
        day += timedelta(days=1)
    if open_one:
        yield open_one


def _expected_s(facts: CameraFacts, day: date) -> float:
    if facts.since is None:
        return 0.0
    spans = expected_on(facts.schedule, facts.zone, day)
    cut = ((max(first, facts.since), min(last, facts.until)) for first, last in spans)
    return sum((last - first).total_seconds() for first, last in cut if first < last)


def _holes(kept: Sequence[Interval], begin: datetime, end: datetime, tolerance: timedelta) -> list[Interval]:
    """Within [begin, end): where nothing is kept for longer than the tolerance. Footage before and behind counts."""
    holes: list[Interval] = []
    covered_to: datetime | None = None
    for first, last in kept:
        if covered_to is None or first > covered_to + tolerance:
            holes.append((covered_to or _EVER, first))
        covered_to = last if covered_to is None else max(covered_to, last)
    holes.append((covered_to or _EVER, _NEVER))
    cut = ((max(first, begin), min(last, end)) for first, last in holes)
    return [one for one in cut if one[0] < one[1]]


def _overlaps(some: Iterable[Interval], others: Sequence[Interval]) -> Iterator[Interval]:
    """Where both are; each is in order and does not overlap itself."""
    at = 0
    for begin, end in some:
        while at < len(others) and others[at][1] <= begin:
            at += 1
        step = at
        while step < len(others) and others[step][0] < end:
            yield max(begin, others[step][0]), min(end, others[step][1])
            step += 1


def _explained(piece: Interval, causes: Sequence[Cause], tolerance: timedelta) -> list[Gap]:
    """The piece cut by what explains it. What remains is silence, unless it is but a sliver between two others."""
    gaps: list[Gap] = []
    near = [one for one in causes if one.start < piece[1] and one.end > piece[0]]
    left = [piece]
    for reason in _PRECEDENCE if near else ():
        for cause in (one for one in near if one.reason == reason):
            rest: list[Interval] = []
            for begin, end in left:
                first, last = max(begin, cause.start), min(end, cause.end)
                if first >= last:
                    rest.append((begin, end))
                    continue
                gaps.append(Gap(first, last, reason, cause.detail))
                rest.extend(one for one in ((begin, first), (last, end)) if one[0] < one[1])
            left = rest
    gaps.extend(Gap(*one, "camera_silent") for one in left if not gaps or one[1] - one[0] > tolerance)
    return _joined(sorted(gaps, key=lambda gap: gap.start), tolerance)


def _joined(gaps: list[Gap], tolerance: timedelta) -> list[Gap]:
    """Neighbours of one reason and detail as one."""
    joined: list[Gap] = []
    for gap in gaps:
        before = joined[-1] if joined else None
        same = before is not None and (before.reason, before.detail) == (gap.reason, gap.detail)
        if before is not None and same and gap.start - before.end <= tolerance:
            joined[-1] = Gap(before.start, max(before.end, gap.end), gap.reason, gap.detail)
        else:
            joined.append(gap)
    return joined
