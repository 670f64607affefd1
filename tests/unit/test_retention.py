"""What may be purged, decided by plain functions; and when purging must ask."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from vms.config import RetentionPolicy
from vms.retention import LivingCopy, PlanSums, Recorded, Rules, counts_from, decide
from vms.retention_breaker import ClockFacts, PastRun, StoreLook, alarms, worst_day
from vms.retention_proof import CameraFacts, StoreFacts, forecast, prove_camera

NOW = datetime(2026, 7, 1, tzinfo=UTC)
DAY = timedelta(days=1)
RULES = Rules({"ho": 180 * DAY}, {("ho", "gate"): 14 * DAY}, {"nas": 30 * DAY}, 30 * DAY)
NAS, CLOUD = LivingCopy(1, "nas", 10), LivingCopy(2, "cloud", 20)
POLICY = RetentionPolicy()
QUIET = ClockFacts(NOW - DAY, None)


def recorded(days_old: float, **changes: Any) -> Recorded:
    end = NOW - days_old * DAY
    made = Recorded(1, end - timedelta(minutes=5), end, end + DAY, "ho", "lobby", "name", (), 1, (), (NAS, CLOUD))
    return replace(made, **changes)


def purged(at: Recorded, **how: Any) -> list[str]:
    return [copy.store for copy in decide(at, RULES, NOW, **how).purge]


@pytest.mark.parametrize(("days_old", "gone"), [(29.9, []), (30, ["nas"]), (179.99, ["nas"]), (180, ["nas", "cloud"])])
def test_each_store_to_its_time_and_all_at_the_end(days_old: float, gone: list[str]) -> None:
    assert purged(recorded(days_old)) == gone


def test_a_camera_s_own_time_counts_everywhere_and_a_site_without_rule_loses_nothing() -> None:
    assert purged(recorded(14, camera="gate")) == ["nas", "cloud"]
    unknown = decide(recorded(999, site="gone"), RULES, NOW)
    assert (unknown.purge, {why for _, why in unknown.kept}) == ((), {"no_rule"})


def test_suspect_clocks_count_from_arrival_when_that_is_later() -> None:
    arrived = NOW - 10 * DAY
    for changes in ({"time_basis": "mtime"}, {"time_marks": ("before_2000",)}, {"time_marks": ("future",)}):
        at = recorded(400, archived_at=arrived, **changes)
        assert counts_from(at) == arrived
        assert purged(at) == []
    ahead = recorded(-500, archived_at=arrived, time_marks=("future",))
    assert counts_from(ahead) == ahead.end_utc
    assert counts_from(recorded(400, archived_at=arrived, time_marks=("dst_repeated",))) < arrived


def test_the_last_copy_stays_until_the_recording_s_own_time_is_over() -> None:
    alone = decide(recorded(40, copies=(NAS,)), RULES, NOW)
    assert (alone.purge, alone.kept) == ((), ((NAS, "only_copy"),))
    unseen = decide(recorded(40), RULES, NOW, away=frozenset({2}))  # the other copy can't be seen now
    assert (unseen.purge, unseen.kept) == ((), ((NAS, "only_copy"),))
    assert purged(recorded(200, copies=(NAS,))) == ["nas"]


def test_holds_and_stores_in_doubt_win() -> None:
    assert purged(recorded(400, held=(7,)), also_late=True) == []
    away = decide(recorded(400), RULES, NOW, away=frozenset({1}))
    assert ([copy.store for copy in away.purge], away.kept) == (["cloud"], ((NAS, "store_away"),))


def test_what_came_too_late_waits_until_asked_for_or_its_time_is_over() -> None:
    late = recorded(400, archived_at=NOW - 29 * DAY)
    assert purged(late) == []
    assert purged(late, also_late=True) == ["nas", "cloud"]
    assert purged(replace(late, archived_at=NOW - 30 * DAY)) == ["nas", "cloud"]


def sums(count: int, living: int, size: int = 10) -> PlanSums:
    made = PlanSums()
    for number in range(count):
        copies = (LivingCopy(2, "cloud", size),)
        made.add(decide(recorded(200, recording_id=number, copies=copies), RULES, NOW))
    if count:
        made.sites["ho"].living = living
    return made


def kinds(made: PlanSums, *looks: StoreLook, clock: ClockFacts = QUIET, past: tuple[PastRun, ...] = ()) -> list[str]:
    rules = replace(RULES, cameras={}, stores={})
    return [alarm.kind for alarm in alarms(made, rules, POLICY, looks, clock, past, NOW)]


def test_a_share_is_unusual_only_beyond_what_expires_anyway() -> None:
    assert kinds(sums(100, 1000)) == []  # 10 % and what expires in a day
    assert kinds(sums(110, 1000)) == ["share"]
    assert kinds(sums(19, 19)) == []
    week_ago = (PastRun(NOW - 7 * DAY, 0),)
    assert kinds(sums(130, 1000), past=week_ago) == []


def test_bytes_are_compared_with_the_last_runs() -> None:
    past = tuple(PastRun(NOW - (n + 1) * DAY, 5 * 10**11) for n in range(3))
    assert kinds(sums(10, 10**6, 149 * 10**9), past=past) == []
    assert kinds(sums(10, 10**6, 151 * 10**9), past=past) == ["bytes"]


@pytest.mark.parametrize(
    ("clock", "found"),
    [
        (ClockFacts(None, None), []),
        (ClockFacts(NOW + timedelta(minutes=50), None), []),
        (ClockFacts(NOW + timedelta(hours=2), None), ["clock"]),
        (ClockFacts(NOW - 8 * DAY, None), ["clock"]),
        (ClockFacts(NOW, (NOW - 300 * DAY, NOW - 2 * DAY)), ["clock"]),
        (ClockFacts(NOW, (NOW - 300 * DAY, NOW - 31 * DAY)), []),
    ],
)
def test_a_clock_that_jumped_is_seen(clock: ClockFacts, found: list[str]) -> None:
    assert kinds(sums(0, 0), clock=clock) == found


def test_stores_in_doubt_are_asked_about() -> None:
    good = StoreLook(1, "nas", looked=20, missing=1, recent=100, unknown=10)
    assert kinds(sums(0, 0), good) == []
    assert kinds(sums(0, 0), replace(good, unknown=11)) == ["catalogue_old"]
    assert kinds(sums(0, 0), replace(good, missing=10)) == ["store_empty"]
    assert kinds(sums(0, 0), StoreLook(1, "nas", wrong=True)) == ["store_wrong"]
    assert kinds(sums(0, 0), StoreLook(1, "nas", away=True)) == []
    assert [StoreLook(1, "x", away=True).unusable, replace(good, missing=10).unusable, good.unusable] == [
        True,
        True,
        False,
    ]


def test_the_days_that_an_old_catalogue_knows_do_not_hide_those_it_lacks() -> None:
    days = {f"2026-01-{day:02}": (900, 0) for day in range(2, 16)} | {"2026-01-16": (90, 90), "2026-01-17": (400, 20)}
    assert worst_day(days) == ("2026-01-16", 90, 90)
    assert worst_day({}) == ("", 0, 0)


def test_the_promise_is_met_on_its_way_or_broken() -> None:
    today = date(2026, 7, 1)
    facts = CameraFacts("ho", "lobby", date(2025, 1, 1), date(2026, 1, 2), None, today)
    met = prove_camera(facts, 180 * DAY)
    assert (met.state, met.achieved_days, met.since) == ("met", 180, date(2025, 6, 30))
    young = prove_camera(replace(facts, first=date(2026, 6, 1), oldest=date(2026, 6, 1)), 180 * DAY)
    assert (young.state, young.achieved_days, young.since) == ("filling", 30, date(2026, 11, 28))
    broken = prove_camera(replace(facts, broken=date(2026, 5, 1)), 180 * DAY)
    assert (broken.state, broken.achieved_days, broken.since) == ("broken", 60, date(2026, 10, 29))
    assert prove_camera(replace(facts, first=None, oldest=None), 180 * DAY).state == "nothing"


def test_a_store_that_will_be_full_is_told_with_what_helps() -> None:
    day = 10**9
    facts = StoreFacts("nas", 20 * day, 14 * day, 0, 30 * day, 180 * DAY)
    full = forecast(facts, NOW)
    assert (full.per_day, full.needed, full.full_on) == (day, 180 * day, date(2026, 7, 31))
    assert "130 GB" in full.advice
    assert "stores.nas.retention: 50d" in full.advice
    assert forecast(replace(facts, room=200 * day), NOW).full_on is None
    assert forecast(replace(facts, leaving=14 * day), NOW).full_on is None
    assert forecast(replace(facts, room=None), NOW).full_on is None
