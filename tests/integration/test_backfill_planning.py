"""Runs of a backfill and a site's own runs share the work: neither takes what the other is at, and all is done once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from catalogue_world import (
    BROKEN,
    NOW,
    START,
    a_run,
    a_site,
    ask,
    five_minute_files,
    receipt_for,
    receipts_for,
    sensed,
)
from vms.backfill import Order, run_id
from vms.catalogue import backfill_planning
from vms.catalogue.backfill_period import subjects
from vms.catalogue.backfill_planning import Round, plan_backfill
from vms.catalogue.backfills import begin_backfill, next_round, set_state, unfinished
from vms.catalogue.connection import Connection
from vms.catalogue.custody import record_receipts
from vms.catalogue.planning import plan_run
from vms.model import RunRef
from vms.sightings import Fault, Sighting

AWAY = Fault("store_unreachable", "The NAS does not answer.", "Look at its mount.", permanent=False)


def begin(conn: Connection, **changes: Any) -> Order:
    wanted = {"from_utc": START, "to_utc": START + timedelta(hours=1)} | changes
    _, (order,) = begin_backfill(conn, "test", [(a_site(), Order(0, "ho", "missing", **wanted))], NOW)
    return order


def plan(conn: Connection, order: Order, *files: Sighting, number: int = 1, again: bool = False) -> Round:
    run = RunRef("backfill", run_id(order, number), "plan", -1, 1, "centre")
    return plan_backfill(conn, a_site(), order, sensed(*files), run, NOW, again=again)


def starts(made: Round) -> list[int]:
    return [int((item.start_utc - START).total_seconds() // 300) for batch in made.plan.batches for item in batch.items]


def test_the_sites_own_runs_leave_a_backfill_its_files_until_it_is_over(conn: Connection) -> None:
    order = begin(conn)
    made = plan(conn, order, *five_minute_files(3))
    assert starts(made) == [2, 1, 0]
    assert plan_run(conn, a_site(), sensed(*five_minute_files(3)), a_run(), NOW).batches == ()

    set_state(conn, order.backfill_id, "ho", "cancelled", "", NOW)

    own = plan_run(conn, a_site(), sensed(*five_minute_files(3)), a_run(2), NOW)
    assert [len(batch.items) for batch in own.batches] == [3]


def test_a_backfill_leaves_a_run_its_files_until_it_has_reported(conn: Connection) -> None:
    own = plan_run(conn, a_site(), sensed(*five_minute_files(2)), a_run(), NOW)
    order = begin(conn)
    assert all(one.busy for one in subjects(conn, order, NOW))
    assert starts(plan(conn, order, *five_minute_files(3))) == [2]

    (batch,) = own.batches
    record_receipts(conn, batch, [receipt_for(item, batch, fault=AWAY) for item in batch.items], a_run(), NOW, None)

    next_round(conn, order, after=run_id(order, 1), now=NOW)
    assert starts(plan(conn, order, number=2)) == [2, 1, 0]


def test_a_long_period_goes_on_in_a_further_run_and_ends(conn: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill_planning, "FILES_PER_ROUND", 2)
    order = begin(conn)
    first = plan(conn, order, *five_minute_files(3))
    assert (starts(first), first.more) == ([2, 1], True)
    assert starts(plan(conn, order, *five_minute_files(3))) == [2, 1], "a run is planned once"
    for batch in first.plan.batches:
        record_receipts(conn, batch, receipts_for(batch), a_run(), NOW, None)
    next_round(conn, order, after=run_id(order, 1), now=NOW)
    second = plan(conn, order, number=2)
    assert (starts(second), second.more) == ([0], False)
    for batch in second.plan.batches:
        record_receipts(conn, batch, receipts_for(batch), a_run(), NOW, None)
    assert unfinished(conn, order.backfill_id, "ho") == 0
    assert starts(plan(conn, order, number=3)) == []


def test_what_failed_is_tried_again_when_it_is_resumed_and_not_by_the_further_run(conn: Connection) -> None:
    order = begin(conn)
    (batch,) = plan(conn, order, *five_minute_files(2)).plan.batches
    faults = [AWAY, BROKEN]
    receipts = [receipt_for(item, batch, fault=fault) for item, fault in zip(batch.items, faults, strict=True)]
    record_receipts(conn, batch, receipts, a_run(), NOW + timedelta(seconds=1), None)
    assert unfinished(conn, order.backfill_id, "ho") == 1
    further = plan(conn, order, number=2)
    assert (starts(further), further.more) == ([], False)
    assert starts(plan(conn, order, number=3, again=True)) == [1], "the other is in quarantine since"
    assert ask(conn, "SELECT custody FROM recording ORDER BY start_at") == [(4,), (0,)]
    set_state(conn, order.backfill_id, "ho", "cancelled", "", NOW)
    later = begin_later(conn)
    assert set(starts(plan(conn, later))) == {0, 1}, "who asks anew has also that tried again"


def begin_later(conn: Connection) -> Order:
    order = Order(0, "ho", "missing", START, START + timedelta(hours=1))
    _, (begun,) = begin_backfill(conn, "test", [(a_site(), order)], NOW + timedelta(minutes=1))
    return begun


def test_other_cameras_and_times_are_left_alone(conn: Connection) -> None:
    order = begin(conn, cameras=("gate",), to_utc=START + timedelta(minutes=10))
    made = plan(conn, order, *five_minute_files(3), *five_minute_files(3, "gate"))
    assert [(batch.camera, len(batch.items)) for batch in made.plan.batches] == [("gate", 2)]
