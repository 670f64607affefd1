"""What counts as a gap, how it is explained, and how days add up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vms.coverage import (
    OPEN,
    REASONS,
    REMEDIES,
    CameraFacts,
    Cause,
    DayCoverage,
    Gap,
    add_up,
    by_day,
    find_gaps,
    unwatched,
)
from vms.pieces import micros
from vms.schedule import Interval, parse_schedule

DAY = date(2026, 1, 31)
ZERO = datetime(2026, 1, 30, 17, tzinfo=UTC)
"""Midnight in Jakarta."""


def at(hours: float, seconds: float = 0) -> datetime:
    return ZERO + timedelta(hours=hours, seconds=seconds)


def facts(*kept: Interval, **changes: Any) -> CameraFacts:
    made = CameraFacts(
        site="ho",
        camera="lobby",
        camera_name="Lobby",
        time_zone="Asia/Jakarta",
        schedule=parse_schedule("always"),
        tolerance_s=5,
        since=at(-240),
        until=at(240),
        kept=[(micros(begin), micros(end)) for begin, end in kept],
    )
    return replace(made, **changes)


def shown(gaps: list[Gap]) -> list[tuple[float, float, str]]:
    return [
        ((gap.start - ZERO) / timedelta(hours=1), (gap.end - ZERO) / timedelta(hours=1), gap.reason) for gap in gaps
    ]


def cause(begin: datetime, end: datetime, reason: Any, detail: str = "") -> Cause:
    return Cause(micros(begin), micros(end), reason, detail)


def a_day(given: CameraFacts) -> DayCoverage:
    (day,) = by_day(given, DAY, DAY)
    return day


def test_a_full_day_has_no_gap() -> None:
    day = a_day(facts((at(-1), at(25))))
    assert (day.expected_s, day.present_s, day.missing_s, day.reason, day.percent) == (86400, 86400, {}, None, 100)


@pytest.mark.parametrize(("hole_s", "gaps"), [(4.9, 0), (5, 0), (5.1, 1), (30, 1)])
def test_holes_up_to_the_tolerance_are_none(hole_s: float, gaps: int) -> None:
    kept = ((at(-1), at(8)), (at(8, hole_s), at(25)))
    assert len(find_gaps(facts(*kept), at(0), at(24))) == gaps
    assert len(find_gaps(facts(*kept), at(8, 1), at(24))) == gaps, "an edge of the question is no edge of the footage"


def test_a_hole_over_midnight_counts_on_both_days() -> None:
    days = by_day(facts((at(-25), at(23)), (at(26), at(49))), DAY, DAY + timedelta(days=1))
    assert [day.missing_s for day in days] == [{"camera_silent": 3600}, {"camera_silent": 7200}]
    assert len(find_gaps(facts((at(-25), at(23)), (at(26), at(49))), at(0), at(48))) == 1


def test_only_expected_time_counts() -> None:
    given = facts((at(6), at(9)), (at(12), at(20)), schedule=parse_schedule("07:00-19:00"))
    assert shown(find_gaps(given, at(0), at(24))) == [(9, 12, "camera_silent")]
    day = a_day(given)
    assert (day.expected_s, day.present_s, day.percent) == (12 * 3600, 9 * 3600, 75)


def test_a_camera_counts_from_its_first_footage_to_what_should_be_archived_by_now() -> None:
    day = a_day(facts((at(8), at(12)), since=at(8), until=at(14)))
    assert (day.expected_s, day.missing_s) == (6 * 3600, {"camera_silent": 2 * 3600})
    assert a_day(facts(since=None)).percent is None
    assert a_day(facts(since=at(48))).expected_s == 0
    assert find_gaps(facts(since=None), at(0), at(24)) == []


def test_each_piece_of_a_gap_has_its_reason() -> None:
    causes = (
        cause(at(2), at(3), "quarantined", "no_moov"),
        cause(at(5), at(6), "waiting"),
        cause(at(4), at(12), "not_looked"),
        cause(at(11), at(13), "acknowledged", "Sari: power cut"),
    )
    found = find_gaps(facts((at(-1), at(1)), (at(20), at(30)), causes=causes), at(0), at(24))
    assert shown(found) == [
        (1, 2, "camera_silent"),
        (2, 3, "quarantined"),
        (3, 4, "camera_silent"),
        (4, 5, "not_looked"),
        (5, 6, "waiting"),
        (6, 11, "not_looked"),
        (11, 13, "acknowledged"),
        (13, 20, "camera_silent"),
    ]
    assert (found[1].detail, found[6].detail) == ("no_moov", "Sari: power cut")


def test_slivers_between_files_of_one_kind_are_not_silence() -> None:
    causes = tuple(cause(at(8, 300 * step + 2), at(8, 300 * (step + 1)), "waiting") for step in range(12))
    found = find_gaps(facts((at(-1), at(8)), (at(9), at(30)), causes=causes), at(0), at(24))
    assert shown(found) == [(8 + 2 / 3600, 9, "waiting")]


def test_the_worst_reason_of_a_day_is_the_one_for_a_person() -> None:
    causes = (cause(at(2), at(3), "waiting"), cause(at(3), at(4), "lost"), cause(at(4), at(24), "purged"))
    day = a_day(facts((at(-1), at(2)), causes=causes))
    assert (day.reason, day.open_s) == ("lost", 3600)
    assert "waiting" not in OPEN
    assert set(REMEDIES) == set(REASONS)


def test_less_than_all_is_never_a_hundred_percent() -> None:
    day = a_day(facts((at(-1), at(23, 3590)), (at(24), at(30))))
    assert day.percent is not None
    assert 99.9 < day.percent < 100


def test_days_of_a_clock_change_are_as_long_as_they_are() -> None:
    berlin = facts(
        time_zone="Europe/Berlin", since=datetime(2026, 1, 1, tzinfo=UTC), until=datetime(2027, 1, 1, tzinfo=UTC)
    )
    (short,) = by_day(berlin, date(2026, 3, 29), date(2026, 3, 29))
    (long,) = by_day(berlin, date(2026, 10, 25), date(2026, 10, 25))
    assert (short.expected_s, long.expected_s) == (23 * 3600, 25 * 3600)
    assert short.missing_s == {"camera_silent": 23 * 3600}


def test_nobody_looked_between_the_looks() -> None:
    assert unwatched([(at(0), at(4)), (at(6), at(7))], at(10)) == [(at(4), at(6)), (at(7), at(10))]
    assert unwatched([], at(10)) == []
    assert unwatched([(at(0), at(10))], at(10)) == []


MINUTES = st.integers(0, 3 * 24 * 60)
INTERVALS = st.lists(st.tuples(MINUTES, MINUTES).map(sorted).filter(lambda two: two[0] < two[1]), max_size=8)


@given(kept=INTERVALS, causes=st.lists(st.tuples(MINUTES, MINUTES, st.sampled_from(REASONS)), max_size=8))
def test_whatever_there_is_gaps_and_footage_make_the_expected_time(kept: Any, causes: Any) -> None:
    joined: list[Interval] = []
    for first, last in sorted(kept):
        begin, end = at(first / 60), at(last / 60)
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((begin, end))
    explained = tuple(cause(at(a / 60), at(b / 60), reason) for a, b, reason in causes if a < b)
    given = facts(*joined, causes=explained)
    gaps = find_gaps(given, at(0), at(72))
    assert all(one.end <= two.start for one, two in pairwise(gaps))
    covered = sum((min(last, at(72)) - max(first, at(0))).total_seconds() for first, last in joined)
    assert covered + sum(gap.seconds for gap in gaps) == pytest.approx(72 * 3600)
    days = by_day(given, DAY, DAY + timedelta(days=2))
    for day in days:
        assert day.present_s + sum(day.missing_s.values()) == day.expected_s == 86400
    twice = add_up([given, given], DAY, DAY + timedelta(days=2))
    assert twice == {day.day: (2 * day.expected_s, 2 * day.present_s) for day in days}


@given(kept=INTERVALS, causes=st.lists(st.tuples(MINUTES, MINUTES, st.sampled_from(REASONS)), max_size=5))
def test_each_minute_has_the_reason_that_explains_it_best(kept: Any, causes: Any) -> None:
    """Against the definition, minute by minute."""
    explained = [(first, last, reason) for first, last, reason in causes if first < last]
    given = facts(
        *((at(a / 60), at(b / 60)) for a, b in sorted(kept)),
        causes=tuple(cause(at(a / 60), at(b / 60), reason) for a, b, reason in explained),
    )
    found = {
        int((gap.start - ZERO) / timedelta(minutes=1)) + step: gap.reason
        for gap in find_gaps(given, at(0), at(72))
        for step in range(int(gap.seconds // 60))
    }
    strength = ("acknowledged", "lost", "purged", "waiting", "quarantined", "never_arrived", "clock_jump", "not_looked")
    for minute in range(72 * 60):
        if any(a <= minute < b for a, b in kept):
            assert minute not in found
            continue
        reasons = {reason for a, b, reason in explained if a <= minute < b}
        assert found[minute] == next((one for one in strength if one in reasons), "camera_silent")
