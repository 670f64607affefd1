"""Several stores for one site, on a real Postgres: enough copies archive, the rest is wanted, a fallback helps."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from catalogue_world import NOW, START, a_run, a_site, ask, five_minute_files, receipt_for, seen, sensed
from vms.catalogue.connection import Connection
from vms.catalogue.custody import close_run, record_receipts
from vms.catalogue.events import Actor
from vms.catalogue.losing import StoredCopy, lose
from vms.catalogue.missing import COPIES_PER_BATCH
from vms.catalogue.pace import backlogs
from vms.catalogue.planning import LEAST_VIDEO_S, plan_run
from vms.catalogue.reads_stores import store_states
from vms.config import StoreConfig
from vms.errors import CatalogueError
from vms.model import Batch, Plan, Recorded
from vms.sightings import Fault

NAS, SAN, USB = (StoreConfig(name, f"file:///{name}") for name in ("nas", "san", "usb"))
AWAY = Fault("store_unreachable", "The SAN does not answer.", "Look at its mount.", permanent=False)
FULL = Fault("store_full", "The SAN is full.", "Free space.", permanent=False)


def planned(conn: Connection, *files: object, run: int = 1, now: datetime = NOW, **site: object) -> Plan:
    changes: dict[str, object] = {"stores": (NAS, SAN), "min_copies": 1, **site}
    return plan_run(conn, a_site(**changes), sensed(*files), a_run(run), now)  # type: ignore[arg-type]


def recorded(
    conn: Connection, batch: Batch, *, without: str = "", fault: Fault = AWAY, now: datetime = NOW
) -> Recorded:
    """What an upload reports that reached all stores of the batch but one."""
    missing = {one.store_id for one in batch.stores if one.name == without}
    receipts = []
    for item in batch.items:
        whole = receipt_for(item, batch)
        copies = tuple(copy for copy in whole.copies if copy.store_id not in missing)
        receipts.append(replace(whole, copies=copies, store_faults={without: fault} if missing else {}))
    return record_receipts(conn, batch, receipts, a_run(task_id="record"), now, None)


def wanted(conn: Connection) -> list[tuple[str, int]]:
    return ask(
        conn,
        "SELECT st.name, count(*)::int FROM copy_wanted JOIN store st USING (store_id) GROUP BY st.name ORDER BY 1",
    )


def test_enough_copies_archive_and_the_missing_one_is_wanted(conn: Connection) -> None:
    (batch,) = planned(conn, *five_minute_files(3)).batches
    assert (batch.min_copies, [one.name for one in batch.stores]) == (1, ["nas", "san"])
    assert len(recorded(conn, batch, without="san").archived) == 3
    assert close_run(conn, a_run()).unfinished == ()
    assert wanted(conn) == [("san", 3)]
    (detail,) = ask(conn, "SELECT DISTINCT detail->'missing' FROM lineage WHERE event = 'archived'")
    assert detail == ([batch.stores[1].store_id],)
    assert len(recorded(conn, batch).archived) == 3  # the upload task was cleared, and reaches both now
    assert wanted(conn) == []


def test_too_few_copies_keep_it_planned_and_want_nothing(conn: Connection) -> None:
    (batch,) = planned(conn, seen("lobby/a.mp4"), min_copies=None).batches
    assert batch.min_copies == 2
    assert recorded(conn, batch, without="san").unfinished == (batch.items[0].recording_id,)
    assert wanted(conn) == []


def test_the_next_run_copies_what_is_missing_after_what_is_new(conn: Connection) -> None:
    (batch,) = planned(conn, *five_minute_files(3)).batches
    recorded(conn, batch, without="san")
    recorded(conn, planned(conn, seen("lobby/x.mp4", start=START - timedelta(days=1)), run=2).batches[0])  # it is back
    plan = planned(conn, seen("lobby/new.mp4", start=START + timedelta(hours=5)), run=3)
    fresh, copies = plan.batches
    assert [one.sources[0].path for one in fresh.items] == ["lobby/new.mp4"]
    assert (copies.items, [one.name for one in copies.stores], [one.name for one in copies.holders]) == (
        (),
        ["san"],
        ["nas"],
    )
    assert [order.recording_id for order in copies.orders] == [item.recording_id for item in batch.items]
    assert {copy.part for copy in copies.orders[0].held} == {"rendition", "poster", "sprite"}
    assert copies.title == "missing on san, 3 recordings"
    assert planned(conn, run=3).batches == plan.batches
    assert close_run(conn, a_run(3)).planned == 1


def test_a_store_that_is_out_is_only_knocked_at(conn: Connection) -> None:
    count = COPIES_PER_BATCH + 5
    for number, batch in enumerate(planned(conn, *five_minute_files(count)).batches):
        recorded(conn, batch, without="san", now=NOW + timedelta(minutes=number))
    (knock,) = planned(conn, run=2).batches
    assert len(knock.orders) == 1
    with conn, conn.cursor() as cursor:
        cursor.execute("UPDATE store_state SET state = 'ok'")
    assert [len(one.orders) for one in planned(conn, run=3).batches] == [COPIES_PER_BATCH, 5]


def test_a_store_that_the_site_no_longer_names_lacks_nothing(conn: Connection) -> None:
    (batch,) = planned(conn, seen("lobby/a.mp4")).batches
    recorded(conn, batch, without="san")
    assert wanted(conn) == [("san", 1)]
    assert planned(conn, run=2, stores=(NAS,)).batches == ()
    assert wanted(conn) == []
    assert [one.store for one in store_states(conn)] == ["nas"]


def test_how_long_a_store_is_out_counts_from_its_first_fault(conn: Connection) -> None:
    hour = timedelta(hours=1)

    def state(run: int, fault: Fault | None) -> tuple[str, datetime, datetime]:
        (batch, *_) = planned(conn, seen(f"lobby/{run}.mp4", start=START + run * hour), run=run).batches
        recorded(conn, batch, without="san" if fault else "", fault=fault or AWAY, now=NOW + run * hour)
        (row,) = [one for one in store_states(conn) if one.store == "san"]
        return row.state, row.since, row.seen_at

    assert state(1, None) == ("ok", NOW + hour, NOW + hour)
    assert state(2, AWAY) == ("unreachable", NOW + 2 * hour, NOW + 2 * hour)
    assert state(3, FULL) == ("full", NOW + 2 * hour, NOW + 3 * hour)
    assert state(4, None) == ("ok", NOW + 4 * hour, NOW + 4 * hour)
    assert [one.state for one in store_states(conn) if one.store == "nas"] == ["ok"]


def test_the_fallback_stands_in_after_a_while_and_leaves_when_the_store_is_back(conn: Connection) -> None:
    after = timedelta(hours=6)
    settings = {"stores": (SAN,), "fallback": USB, "fallback_after": after, "min_copies": None}

    def names(run: int, now: datetime) -> tuple[Batch, list[str]]:
        plan = planned(conn, seen(f"lobby/{run}.mp4", start=START + timedelta(hours=run)), run=run, now=now, **settings)
        return plan.batches[0], [one.name for one in plan.batches[0].stores]

    first, used = names(1, NOW)
    assert used == ["san"]
    recorded(conn, first, without="san")
    assert names(2, NOW + after - timedelta(minutes=1))[1] == ["san"]
    batch, used = names(3, NOW + after)
    assert used == ["usb"]
    recorded(conn, batch, now=NOW + after)
    assert wanted(conn) == [("san", len(batch.items))]
    assert names(4, NOW + after)[1] == ["usb"]
    with conn, conn.cursor() as cursor:
        cursor.execute("UPDATE store_state SET state = 'ok' WHERE state <> 'ok'")
    plan = planned(conn, run=5, now=NOW + after, **settings)
    assert [one.name for one in plan.batches[0].stores] == ["san"]
    assert ([one.name for one in plan.batches[-1].stores], [one.name for one in plan.batches[-1].holders]) == (
        ["san"],
        ["usb"],
    )


def test_a_fallback_never_makes_fewer_copies_do(conn: Connection) -> None:
    settings = {"stores": (NAS, SAN), "fallback": USB, "min_copies": None}
    (batch,) = planned(conn, seen("lobby/a.mp4"), **settings).batches
    recorded(conn, batch, without="nas")
    recorded(conn, batch, without="san")
    with conn, conn.cursor() as cursor:
        cursor.execute("UPDATE store_state SET state = 'unreachable'")
    (batch,) = planned(conn, run=2, now=NOW + timedelta(days=1), **settings).batches
    assert ([one.name for one in batch.stores], batch.min_copies) == (["usb", "san"], 2)


def test_a_bad_minute_of_long_ago_does_not_keep_a_fallback_from_standing_in(conn: Connection) -> None:
    after = timedelta(hours=6)

    def batch(run: int, now: datetime) -> Batch:
        file = seen(f"lobby/{run}.mp4", start=START + timedelta(hours=run))
        settings = {"stores": (SAN,), "fallback": USB, "fallback_after": after, "min_copies": None}
        return planned(conn, file, run=run, now=now, **settings).batches[0]

    recorded(conn, batch(1, NOW), without="san")
    recorded(conn, batch(2, NOW + after), without="usb", now=NOW + after)
    assert [one.name for one in batch(3, NOW + 2 * after).stores] == ["usb"]
    recorded(conn, batch(4, NOW + 2 * after), without="usb", now=NOW + 2 * after)
    assert [one.name for one in batch(5, NOW + 2 * after).stores] == ["san"]  # neither is there
    with conn, conn.cursor() as cursor:
        cursor.execute("UPDATE store_state SET state = 'ok' FROM store st WHERE st.name = 'san' AND"
                       " st.store_id = store_state.store_id")  # fmt: skip
    later = NOW + timedelta(days=30)
    recorded(conn, batch(6, later), without="san", now=later)
    assert [one.name for one in batch(7, later + after).stores] == ["usb"]


def test_what_a_fallback_has_lost_is_copied_to_it_again(conn: Connection) -> None:
    settings = {"fallback": USB, "fallback_after": timedelta(0), "min_copies": None}
    recorded(conn, planned(conn, seen("lobby/a.mp4"), **settings).batches[0], without="san")
    (batch, *_) = planned(conn, run=2, **settings).batches
    assert [one.name for one in batch.stores] == ["nas", "usb"]
    recorded(conn, batch)
    usb = batch.stores[1].store_id
    key, size, digest = ask(
        conn, "SELECT key, size_bytes, encode(sha256, 'hex') FROM copy WHERE store_id = %s AND part = 0", usb
    )[0]
    copy = StoredCopy(batch.items[0].recording_id, START, usb, "rendition", key, size, digest, NOW)
    assert lose(conn, Actor(a_run(), NOW), copy, "lost", "gone") == "wanted"
    assert wanted(conn) == [("san", 1), ("usb", 1)]
    copies = planned(conn, run=3, **settings).batches
    assert [[one.name for one in batch.stores] for batch in copies] == [["san"], ["usb"]]


def test_one_place_under_two_names_never_counts_as_two_copies(conn: Connection) -> None:
    (batch,) = planned(conn, seen("lobby/a.mp4"), min_copies=2).batches
    (receipt,) = [receipt_for(item, batch) for item in batch.items]
    same = replace(receipt, store_identities=dict.fromkeys(receipt.store_identities, "one and the same"))
    with pytest.raises(CatalogueError, match=r"The store san .* is the store nas \(at file:///nas\)"):
        record_receipts(conn, batch, [same], a_run(task_id="record"), NOW, None)
    assert ask(conn, "SELECT custody FROM recording") == [(0,)]
    assert ask(conn, "SELECT count(*) FROM copy") == [(0,)]


def test_backlog_tells_hours_and_when_it_is_done(conn: Connection) -> None:
    files = five_minute_files(24, start=NOW - timedelta(hours=2))
    plan = planned(conn, *files)
    for batch in plan.batches:
        recorded(conn, batch, now=NOW + timedelta(minutes=10))
    late = five_minute_files(12, "gate", start=NOW - timedelta(hours=3))
    planned(conn, *late, run=2, now=NOW + timedelta(minutes=20))
    found = backlogs(conn, NOW + timedelta(minutes=20))["ho"]
    assert (found.files, found.footage_s, found.missing_copies, found.falls_behind) == (12, 3600.0, 0, False)
    pace = 24 * 299.5 / 600  # what two hours took in ten minutes
    arriving = (24 * 299.5 + 12 * 300) / (200 * 60)
    assert found.catches_up_s == pytest.approx(3600 / (pace - arriving), rel=0.01)


def test_a_slow_site_plans_no_more_than_half_an_hour_of_work(conn: Connection) -> None:
    for batch in planned(conn, *five_minute_files(4, start=NOW - timedelta(hours=1))).batches:
        recorded(conn, batch, now=NOW + timedelta(hours=1))  # 20 minutes of footage took an hour
    later = NOW + timedelta(hours=2)
    begun = later - timedelta(hours=5)
    plan = planned(conn, *five_minute_files(60, "gate", start=begun), run=2, now=later)
    items = [item for batch in plan.batches for item in batch.items]
    assert sum(item.duration_s for item in items) == LEAST_VIDEO_S
    assert min(item.start_utc for item in items) == begun + timedelta(minutes=5 * 48)
    assert backlogs(conn, later)["ho"].falls_behind


def test_what_fails_again_and_again_leaves_half_of_a_slow_run_to_what_is_new(conn: Connection) -> None:
    for batch in planned(conn, *five_minute_files(4, start=NOW - timedelta(hours=1))).batches:
        recorded(conn, batch, now=NOW + timedelta(hours=1))  # 20 minutes of footage took an hour
    later = NOW + timedelta(hours=2)
    planned(conn, *five_minute_files(12, "gate"), run=2, now=later)  # an hour of footage of which nothing comes
    new = five_minute_files(12, "hall", start=later - timedelta(hours=1))
    plan = planned(conn, *new, run=3, now=later)
    assert {batch.camera: sum(item.duration_s for item in batch.items) for batch in plan.batches} == {
        "gate": LEAST_VIDEO_S / 2,
        "hall": LEAST_VIDEO_S / 2,
    }
