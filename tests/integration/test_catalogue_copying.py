"""What a further store lacks, and how copies in it are recorded: right answers, pages without holes, nothing twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from catalogue_world import (
    NOW,
    START,
    a_run,
    a_site,
    ask,
    events,
    five_minute_files,
    picture,
    receipts_for,
    refused,
    seen,
    sensed,
    sha,
)
from vms.catalogue.connection import Connection
from vms.catalogue.copying import count_to_copy, known_stores, orders_to_copy, record_copies, store_to_use
from vms.catalogue.custody import record_receipts
from vms.catalogue.missing import want
from vms.catalogue.planning import plan_run
from vms.catalogue.reads import RecordingFilter
from vms.catalogue.registering import lock
from vms.config import StoreConfig
from vms.errors import CatalogueError
from vms.model import CopyOrder, RunRef
from vms.receipts import Copied, CopyReceipt, DamagedCopy
from vms.sightings import Fault

FULL = Fault("store_full", "The store is full.", "Buy disks.", permanent=False)
ALL = RecordingFilter()
DESK = RunRef("", "", "vms copy")


def archive(conn: Connection, count: int = 10) -> None:
    """So many recordings of the lobby archived in nas, one quarantined, one waiting."""
    plan = plan_run(
        conn, a_site(), sensed(*five_minute_files(count), refused("gate/bad.mp4", camera="gate")), a_run(), NOW
    )
    for batch in plan.batches:
        record_receipts(conn, batch, receipts_for(batch), a_run(), NOW, None)
    plan_run(conn, a_site(), sensed(seen("gate/wait.mp4", camera="gate")), a_run(2), NOW)


def orders(conn: Connection, wanted: RecordingFilter = ALL, limit: int = 1000, **places: Any) -> list[CopyOrder]:
    return orders_to_copy(conn, "nas", "cloud", wanted, places.get("after"), limit)


def to_cloud(conn: Connection) -> int:
    return store_to_use(conn, StoreConfig("cloud", "s3://company/cctv")).store_id


def done(order: CopyOrder, store_id: int, **changes: Any) -> Copied:
    copies = tuple(replace(copy, store_id=store_id, checksum="crc32:0") for copy in order.held)
    return replace(Copied(order.recording_id, order.start_utc, store_id, "identity of cloud", copies), **changes)


def test_orders_are_what_is_archived_and_lacking_the_newest_first(conn: Connection) -> None:
    archive(conn)
    assert count_to_copy(conn, "nas", "cloud", ALL) == (10, 90_000_000)
    found = orders(conn)
    assert [one.start_utc for one in found] == [START + number * timedelta(minutes=5) for number in range(9, -1, -1)]
    assert {copy.part for copy in found[0].held} == {"rendition", "poster", "sprite"}
    assert (found[0].site, found[0].camera) == ("ho", "lobby")
    assert (count_to_copy(conn, "cloud", "nas", ALL), orders_to_copy(conn, "cloud", "nas", ALL, None, 5)) == (
        (0, 0),
        [],
    )
    window = RecordingFilter(cameras=(("ho", "lobby"),), from_utc=START, to_utc=START + timedelta(minutes=12))
    assert count_to_copy(conn, "nas", "cloud", window)[0] == len(orders(conn, window)) == 3
    assert count_to_copy(conn, "nas", "cloud", RecordingFilter(cameras=(("ho", "gate"),))) == (0, 0)


def test_three_hundred_recordings_are_paged_without_a_hole_while_they_are_copied(conn: Connection) -> None:
    archive(conn, 300)
    store_id = to_cloud(conn)
    whole = [one.recording_id for one in orders(conn)]
    assert len(whole) == 300
    paged: list[int] = []
    after = None
    while page := orders(conn, limit=64, after=after):
        record_copies(conn, [done(one, store_id) for one in page[::2]], DESK, NOW)
        paged += [one.recording_id for one in page]
        after = (page[-1].start_utc, page[-1].recording_id)
    assert paged == whole
    assert count_to_copy(conn, "nas", "cloud", ALL)[0] == 150


def test_recorded_once_however_often_it_is_told(conn: Connection) -> None:
    archive(conn, 3)
    store_id = to_cloud(conn)
    found = orders(conn)
    with conn, conn.cursor() as cursor:
        known = lock(cursor, "r.recording_id = %s AND r.start_at = %s", (found[0].recording_id, found[0].start_utc))
        assert known is not None
        want(cursor, known, [store_id], {}, NOW)
    record_copies(conn, [done(one, store_id) for one in found], DESK, NOW)
    before = picture(conn)
    assert len(before.copies) == 18
    assert events(conn, found[0].recording_id)[-3:] == ["copied"] * 3
    assert ask(conn, "SELECT * FROM copy_wanted") == []
    assert orders(conn) == []
    assert known_stores(conn)["cloud"].identity == "identity of cloud"
    record_copies(conn, [done(one, store_id) for one in found], DESK, NOW + timedelta(hours=1))
    assert picture(conn) == before
    assert ask(conn, "SELECT task_id FROM lineage ORDER BY lineage_id DESC LIMIT 1") == [("vms copy",)]


def test_a_fault_is_told_once_per_reason_and_store(conn: Connection) -> None:
    archive(conn, 1)
    store_id = to_cloud(conn)
    (order,) = orders(conn)
    failed = done(order, store_id, copies=(), fault=FULL)
    for hour in range(3):
        record_copies(conn, [failed], DESK, NOW + timedelta(hours=hour))
    away = Fault("store_unreachable", "Away.", "Wait.", permanent=False)
    record_copies(conn, [replace(failed, fault=away)], DESK, NOW)
    record_copies(conn, [failed], DESK, NOW)
    assert events(conn, order.recording_id)[-3:] == ["archived", "copy_failed", "copy_failed"]
    assert orders(conn) == [order]
    record_copies(conn, [done(order, store_id)], DESK, NOW)
    arrived = picture(conn)
    record_copies(conn, [replace(failed, fault=replace(FULL, reason="store_refused"))], DESK, NOW)
    assert picture(conn) == arrived


def test_a_damaged_copy_is_told_once_also_when_another_holder_was_good(conn: Connection) -> None:
    archive(conn, 1)
    store_id = to_cloud(conn)
    (order,) = orders(conn)
    bad = DamagedCopy(order.held[0].store_id, "rendition", order.held[0].key, "Other bytes.")
    for _ in range(2):
        record_copies(conn, [done(order, store_id, damaged=(bad,))], DESK, NOW)
    told = ask(conn, "SELECT detail FROM lineage WHERE event = 'copy_damaged'")
    assert told == [({"store": 1, "part": "rendition", "key": bad.key, "message": "Other bytes."},)]


def test_only_a_run_of_the_site_says_how_its_stores_answer(conn: Connection) -> None:
    archive(conn, 2)
    store_id = to_cloud(conn)
    first, second = orders(conn)
    answers = [done(first, store_id), done(second, store_id, copies=(), fault=FULL)]
    before = ask(conn, "SELECT store_id, state FROM store_state ORDER BY store_id")
    record_copies(conn, answers, DESK, NOW)
    assert ask(conn, "SELECT store_id, state FROM store_state ORDER BY store_id") == before
    record_copies(conn, answers, a_run(), NOW)
    assert ask(conn, "SELECT state FROM store_state WHERE store_id = %s", store_id) == [("full",)]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"sha256": sha("other")}, "not the rendition that was archived"),
        ({"size_bytes": 1}, "not the rendition that was archived"),
        ({"key": "ho/lobby/2026/01/01/other.mp4"}, "another recording's key"),
        ({"store_id": 1}, "another store than was asked"),
        ({"checksum": ""}, "not confirmed by the store"),
    ],
)
def test_what_contradicts_the_catalogue_changes_nothing_and_keeps_nobody_else(
    conn: Connection, wrong: dict[str, Any], words: str
) -> None:
    archive(conn, 2)
    store_id = to_cloud(conn)
    first, second = orders(conn)
    good = done(first, store_id).copies
    copies: tuple[CopyReceipt, ...] = (replace(good[0], **wrong), *good[1:])
    with pytest.raises(CatalogueError, match=words):
        record_copies(conn, [done(first, store_id, copies=copies), done(second, store_id)], DESK, NOW)
    assert [one.recording_id for one in orders(conn)] == [first.recording_id]
    assert events(conn, first.recording_id)[-1] == "archived"


def test_what_contradicts_the_catalogue_does_not_bar_the_way_back_of_its_store(conn: Connection) -> None:
    site = a_site(stores=(*a_site().stores, StoreConfig("cloud", "s3://company/cctv")), min_copies=1)
    (batch,) = plan_run(conn, site, sensed(*five_minute_files(2)), a_run(), NOW).batches
    receipts = [
        replace(one, copies=one.copies[:3], store_faults={"cloud": replace(FULL, reason="store_unreachable")})
        for one in receipts_for(batch)
    ]
    record_receipts(conn, batch, receipts, a_run(), NOW, None)
    tried = []
    for run in (2, 3):
        (knock,) = plan_run(conn, site, sensed(), a_run(run), NOW + timedelta(hours=run)).batches
        (order,) = knock.orders
        tried.append(order.recording_id)
        with pytest.raises(CatalogueError):
            record_copies(conn, [done(order, 2, copies=())], a_run(run), NOW + timedelta(hours=run))
    assert sorted(tried) == sorted(item.recording_id for item in batch.items)


def test_a_batch_of_copies_of_which_none_can_be_made_any_more_still_is_one(conn: Connection) -> None:
    site = a_site(stores=(*a_site().stores, StoreConfig("cloud", "s3://company/cctv")), min_copies=1)
    (batch,) = plan_run(conn, site, sensed(*five_minute_files(1)), a_run(), NOW).batches
    lacking = [replace(one, copies=one.copies[:3], store_faults={"cloud": FULL}) for one in receipts_for(batch)]
    record_receipts(conn, batch, lacking, a_run(), NOW, None)
    assert [len(one.orders) for one in plan_run(conn, site, sensed(), a_run(2), NOW).batches] == [1]
    ask(conn, "UPDATE copy SET state = 3 RETURNING 1")
    (copies,) = plan_run(conn, site, sensed(), a_run(2), NOW).batches
    assert (copies.orders, copies.items, copies.is_copies, batch.is_copies) == ((), (), True, False)


def test_what_is_not_archived_or_from_another_store_is_refused(conn: Connection) -> None:
    archive(conn, 1)
    store_id = to_cloud(conn)
    (order,) = orders(conn)
    unknown = replace(done(order, store_id), recording_id=10**6)
    with pytest.raises(CatalogueError, match="not archived"):
        record_copies(conn, [unknown], DESK, NOW)
    with pytest.raises(CatalogueError, match="neither a copy"):
        record_copies(conn, [done(order, store_id, copies=())], DESK, NOW)
    record_copies(conn, [done(order, store_id)], DESK, NOW)
    with pytest.raises(CatalogueError, match="knows it as identity of cloud"):
        record_copies(conn, [done(order, store_id, identity="another")], DESK, NOW)


def test_a_store_that_moved_keeps_its_number(conn: Connection, tmp_path: Path) -> None:
    first = store_to_use(conn, StoreConfig("cloud", "s3://company/cctv"))
    moved = store_to_use(conn, StoreConfig("cloud", f"file://{tmp_path}/x"))
    assert (moved.store_id, moved.url) == (first.store_id, f"file://{tmp_path}/x")
