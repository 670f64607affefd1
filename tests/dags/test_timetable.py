"""When a site runs: aligned to the clock, staggered by site, the same through summer time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from airflow.timetables.base import DataInterval, TimeRestriction
from airflow.utils.types import DagRunType
from pendulum import instance

import vms_airflow.timetable as module
from vms_airflow.timetable import SiteTimetable, stagger_of

TEN = timedelta(minutes=10)
CATCH_UP = TimeRestriction(earliest=instance(datetime(2026, 3, 28, 23, 3, tzinfo=UTC)), latest=None, catchup=True)
LIVE = TimeRestriction(earliest=None, latest=None, catchup=False)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> datetime:
    at = datetime(2026, 1, 31, 10, 4, 30, tzinfo=UTC)

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return at.astimezone(tz)

    monkeypatch.setattr(module, "datetime", Clock)
    return at


def follow(timetable: SiteTimetable, restriction: TimeRestriction, count: int) -> list:
    runs, last = [], None
    for _ in range(count):
        run = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction)
        assert run is not None
        runs.append(run)
        last = run.data_interval
    return runs


@pytest.mark.parametrize("minutes", [1, 7, 10, 15, 60, 1440, 10080])
def test_intervals_join_and_lie_on_the_clock(minutes: int) -> None:
    every = timedelta(minutes=minutes)
    runs = follow(SiteTimetable(every, timedelta(seconds=13)), CATCH_UP, 5)
    for before, after in pairwise(runs):
        assert before.data_interval.end == after.data_interval.start
    for run in runs:
        assert run.data_interval.end - run.data_interval.start == every
        assert run.data_interval.start.timestamp() % every.total_seconds() == 0
        assert run.run_after == run.data_interval.end + timedelta(seconds=13)
    assert runs[0].data_interval.start >= CATCH_UP.earliest


def test_summer_time_moves_nothing() -> None:
    """Europe's clocks went forward at 2026-03-29 01:00 UTC; the restriction begins two hours before."""
    runs = follow(SiteTimetable(TEN), CATCH_UP, 40)
    assert {(after.run_after - before.run_after).total_seconds() for before, after in pairwise(runs)} == {600}


def test_a_new_site_runs_at_once_for_the_interval_that_is_over(now: datetime) -> None:
    (run,) = follow(SiteTimetable(TEN, timedelta(seconds=20)), LIVE, 1)
    assert run.data_interval.end == datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
    assert run.run_after <= now


def test_within_the_stagger_the_interval_before_counts(now: datetime) -> None:
    (run,) = follow(SiteTimetable(TEN, timedelta(seconds=280)), LIVE, 1)
    assert run.data_interval.end == datetime(2026, 1, 31, 9, 50, tzinfo=UTC)
    assert run.run_after <= now


def test_after_an_outage_one_run_covers_all(now: datetime) -> None:
    long_ago = DataInterval(instance(now - timedelta(days=3)), instance(now - timedelta(days=3) + TEN))
    run = SiteTimetable(TEN).next_dagrun_info(last_automated_data_interval=long_ago, restriction=LIVE)
    assert run is not None
    assert run.data_interval.end == datetime(2026, 1, 31, 10, 0, tzinfo=UTC)


@pytest.mark.usefixtures("now")
def test_the_next_run_follows_the_last() -> None:
    end = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
    last = DataInterval(instance(end - TEN), instance(end))
    run = SiteTimetable(TEN).next_dagrun_info(last_automated_data_interval=last, restriction=LIVE)
    assert run is not None
    assert run.data_interval == DataInterval(instance(end), instance(end + TEN))


@pytest.mark.usefixtures("now")
def test_a_longer_period_never_repeats_an_interval_that_has_run() -> None:
    end = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
    last = DataInterval(instance(end - timedelta(minutes=1)), instance(end))
    run = SiteTimetable(timedelta(hours=4)).next_dagrun_info(last_automated_data_interval=last, restriction=LIVE)
    assert run is not None
    assert run.data_interval.start >= end


def test_a_run_by_hand_belongs_to_the_interval_that_is_over() -> None:
    at = instance(datetime(2026, 1, 31, 10, 4, 30, tzinfo=UTC))
    interval = SiteTimetable(TEN).infer_manual_data_interval(run_after=at)
    assert interval.start == datetime(2026, 1, 31, 9, 50, tzinfo=UTC)
    assert interval.end == datetime(2026, 1, 31, 10, 0, tzinfo=UTC)


def test_stagger_is_bounded_stable_and_spread() -> None:
    ids = [f"branch-{number}" for number in range(1000)]
    seconds = [stagger_of(one, TEN).total_seconds() for one in ids]
    assert seconds == [stagger_of(one, TEN).total_seconds() for one in ids]
    assert min(seconds) >= 0
    assert max(seconds) < 60
    assert len(set(seconds)) > 50
    assert all(stagger_of(one, timedelta(minutes=1)) < timedelta(seconds=30) for one in ids)
    assert stagger_of("ho", timedelta(seconds=1)) == timedelta(0)


def test_a_large_fleet_is_spread_over_the_period_and_moves_only_when_it_has_doubled() -> None:
    ids = [f"branch-{number}" for number in range(1000)]
    spread = [stagger_of(one, 3 * TEN, 1000).total_seconds() for one in ids]
    starts = sorted(spread)
    assert max(starts[place + 50] - starts[place] for place in range(950)) < 100  # about one a second, all the time
    assert max(starts) > 850
    for count in (513, 1024):
        assert spread == [stagger_of(one, 3 * TEN, count).total_seconds() for one in ids]
    assert all(stagger_of(one, TEN, 10**6) < TEN for one in ids)
    assert [stagger_of(one, TEN, 64) for one in ids] == [stagger_of(one, TEN) for one in ids]


def test_it_travels_through_json() -> None:
    timetable = SiteTimetable(timedelta(minutes=1), timedelta(seconds=7))
    again = SiteTimetable.deserialize(timetable.serialize())
    assert (again.every, again.stagger) == (timetable.every, timetable.stagger)
    assert again.summary == "every 1 minute"


def test_run_ids_are_plain_and_unique_by_interval_or_moment() -> None:
    timetable = SiteTimetable(TEN)
    (run,) = follow(timetable, CATCH_UP, 1)
    made = {
        kind: timetable.generate_run_id(run_type=kind, run_after=run.run_after, data_interval=run.data_interval)
        for kind in (DagRunType.SCHEDULED, DagRunType.MANUAL)
    }
    assert made[DagRunType.SCHEDULED] == "scheduled__20260328T231000Z"
    assert made[DagRunType.MANUAL] == "manual__20260328T232000.000000Z"
