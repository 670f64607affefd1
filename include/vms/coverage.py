"""Coverage: what a camera should have recorded against what the archive has, and why the rest is missing.

Pure: the facts of a camera go in (`vms.catalogue.coverage` reads them), gaps and sums by day come out. A gap is a piece
of expected time without kept footage that is longer than the site's tolerance; it is cut where its explanation changes,
so that each piece has one reason. In between, time is whole numbers (`vms.pieces`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from vms.pieces import DAY, SECOND, Piece, holes, joined, micros, moment, overlaps
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
_RANK = {reason: rank for rank, reason in enumerate(_PRECEDENCE)}


@dataclass(frozen=True)
class Cause:
    """Something that explains missing footage between start and end. detail: see `Gap`."""

    start: int
    end: int
    reason: GapReason
    detail: str = ""


class Missing(NamedTuple):
    """A gap as it is reckoned with, before somebody looks at it."""

    begin: int
    end: int
    reason: GapReason
    detail: str

    @property
    def gap(self) -> Gap:
        """As it is told."""
        return Gap(moment(self.begin), moment(self.end), self.reason, self.detail)


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
    kept: Sequence[Piece] = ()
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
    """The gaps of a camera within [begin, end), in order."""
    return [one.gap for one in missing(facts, begin, end)]


def missing(facts: CameraFacts, begin: datetime, end: datetime) -> list[Missing]:
    """As `find_gaps`, for those who look at many and tell of few."""
    return _missing(facts, micros(begin), micros(end))


def by_day(facts: CameraFacts, first: date, last: date) -> list[DayCoverage]:
    """The camera's days from first to last, both included; days on which nothing was expected are among them."""
    bounds = _midnights(facts.time_zone, first, last)
    gaps = _missing(facts, bounds[0], bounds[-1])
    made, at = [], 0
    for step, expected in enumerate(_expected_by_day(facts, first, bounds)):
        begin, end = bounds[step], bounds[step + 1]
        found: dict[GapReason, int] = {}
        while at < len(gaps) and gaps[at].begin < end:
            gap = gaps[at]
            found[gap.reason] = found.get(gap.reason, 0) + min(gap.end, end) - max(gap.begin, begin)
            if gap.end > end:
                break
            at += 1
        seconds = _in_seconds(found) if found else {}
        whole = round(expected / SECOND)
        present = max(0, whole - sum(seconds.values()))
        day = first + timedelta(days=step)
        made.append(DayCoverage(facts.site, facts.camera, day, whole, present, seconds))
    return made


def add_up(cameras: Iterable[CameraFacts], first: date, last: date) -> dict[date, tuple[int, int]]:
    """(expected_s, present_s) of all cameras together on each day from first to last, both included."""
    expected, lacking = [0] * ((last - first).days + 1), [0] * ((last - first).days + 1)
    for facts in cameras:
        bounds = _midnights(facts.time_zone, first, last)
        for step, some in enumerate(_expected_by_day(facts, first, bounds)):
            expected[step] += some
        at = 0
        for begin, end, *_ in _missing(facts, bounds[0], bounds[-1]):
            while bounds[at + 1] <= begin:
                at += 1
            while end > bounds[at + 1]:
                lacking[at] += bounds[at + 1] - begin
                at += 1
                begin = bounds[at]
            lacking[at] += end - begin
    return {
        first + timedelta(days=step): (round(some / SECOND), round((some - lacking[step]) / SECOND))
        for step, some in enumerate(expected)
        if some
    }


def _expected_by_day(facts: CameraFacts, first: date, bounds: Sequence[int]) -> list[int]:
    """How much is expected of each day; the days from `first` on lie between these bounds."""
    if facts.since is None or facts.since >= facts.until:
        return [0] * (len(bounds) - 1)
    since, until = micros(facts.since), micros(facts.until)
    if not facts.schedule.spans:
        cut = [since if one < since else until if one > until else one for one in bounds]
        return [end - begin for begin, end in pairwise(cut)]
    return [
        sum(
            max(0, min(end, until) - max(begin, since))
            for begin, end in _expected_on(facts.schedule, facts.time_zone, first + timedelta(days=step))
        )
        for step in range(len(bounds) - 1)
    ]


def _in_seconds(found: dict[GapReason, int]) -> dict[GapReason, int]:
    """Whole seconds by reason, the worst first."""
    rounded = {reason: round(found[reason] / SECOND) for reason in REASONS if reason in found}
    return {reason: seconds for reason, seconds in rounded.items() if seconds > 0}


@lru_cache(maxsize=512)
def _midnights(zone: str, first: date, last: date) -> tuple[int, ...]:
    """When each of these days begins in the zone, and when the last one ends."""
    days = (last - first).days + 2
    return tuple(micros(midnight(first + timedelta(days=step), ZoneInfo(zone))) for step in range(days))


def unwatched(watches: Sequence[Interval], now: datetime) -> list[Interval]:
    """Between the stretches in which a site was looked at regularly, and from the last one until now.

    Before the first one nothing is known, which is no reproach.
    """
    if not watches:
        return []
    between = [(one[1], following[0]) for one, following in pairwise(watches)]
    return [one for one in (*between, (watches[-1][1], now)) if one[0] < one[1]]


def _missing(facts: CameraFacts, begin: int, end: int) -> list[Missing]:
    if facts.since is None:
        return []
    tolerance = round(facts.tolerance_s * SECOND)
    # wider than asked: whether a hole is long enough does not depend on where the question cuts it
    first, last = max(begin - DAY, micros(facts.since)), min(end + DAY, micros(facts.until))
    open_ones: Iterable[Piece] = holes(facts.kept, first, last, tolerance) if first < last else ()
    if not open_ones:
        return []
    if facts.schedule.spans:
        open_ones = overlaps(_expected(facts, first, last), list(open_ones))
    pieces = [
        (one if one > begin else begin, other if other < end else end)
        for one, other in open_ones
        if other - one > tolerance and one < end and other > begin
    ]
    if not facts.causes:
        return [Missing(one, other, "camera_silent", "") for one, other in pieces]
    return _explained(pieces, facts.causes, tolerance)


def _expected(facts: CameraFacts, begin: int, end: int) -> list[Piece]:
    """Time within [begin, end) that the schedule asks for, joined over midnight where it goes on."""
    zone = facts.zone
    day, last = moment(begin).astimezone(zone).date(), moment(end).astimezone(zone).date()
    days = (day + timedelta(days=step) for step in range((last - day).days + 1))
    pieces = (piece for one in days for piece in _expected_on(facts.schedule, facts.time_zone, one))
    return joined(((max(one, begin), min(other, end)) for one, other in pieces if one < end and other > begin), 0)


@lru_cache(maxsize=4096)
def _expected_on(schedule: Schedule, zone: str, day: date) -> tuple[Piece, ...]:
    return tuple((micros(begin), micros(end)) for begin, end in expected_on(schedule, ZoneInfo(zone), day))


def _explained(pieces: Iterable[Piece], causes: Sequence[Cause], tolerance: int) -> list[Missing]:
    """The pieces (in order) cut by what explains them."""
    ranked = ((_RANK[cause.reason], at, cause) for at, cause in enumerate(causes) if cause.reason in _RANK)
    waiting = sorted(ranked, key=lambda one: one[2].start, reverse=True)
    near: list[tuple[int, int, Cause]] = []
    found: list[Missing] = []
    for piece in pieces:
        while waiting and waiting[-1][2].start < piece[1]:
            near.append(waiting.pop())
        near = [one for one in near if one[2].end > piece[0]]
        if near:
            found += _cut(piece, [cause for *_, cause in sorted(near, key=lambda one: one[:2])], tolerance)
        else:
            found.append(Missing(*piece, "camera_silent", ""))
    return found


def _cut(piece: Piece, causes: Iterable[Cause], tolerance: int) -> list[Missing]:
    """The piece cut by its causes, the strongest first. What remains is silence, unless it is but a sliver."""
    gaps: list[Missing] = []
    left = [piece]
    for cause in causes:
        rest: list[Piece] = []
        for begin, end in left:
            first, last = max(begin, cause.start), min(end, cause.end)
            if first >= last:
                rest.append((begin, end))
                continue
            gaps.append(Missing(first, last, cause.reason, cause.detail))
            rest.extend(one for one in ((begin, first), (last, end)) if one[0] < one[1])
        left = rest
    gaps.extend(Missing(*one, "camera_silent", "") for one in left if not gaps or one[1] - one[0] > tolerance)
    return _together(sorted(gaps), tolerance)


def _together(gaps: Iterable[Missing], tolerance: int) -> list[Missing]:
    """Neighbours of one reason and detail as one."""
    made: list[Missing] = []
    for gap in gaps:
        before = made[-1] if made else None
        same = before is not None and before[2:] == gap[2:]
        if before is not None and same and gap.begin - before.end <= tolerance:
            made[-1] = Missing(before.begin, max(before.end, gap.end), gap.reason, gap.detail)
        else:
            made.append(gap)
    return made
