"""Custody on a real Postgres: what is archived, quarantined and withdrawn; doing it twice changes nothing."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest

from catalogue_world import (
    BROKEN,
    KEEP,
    NOW,
    START,
    a_run,
    archived,
    ask,
    events,
    five_minute_files,
    opened,
    picture,
    planned,
    receipt_for,
    receipts_for,
    refused,
    seen,
    sha,
    the_recording,
)
from vms.catalogue.connection import Connection
from vms.catalogue.custody import close_run, record_receipts
from vms.catalogue.reads import get_recording
from vms.catalogue.retries import ask_retry
from vms.config import StoreConfig
from vms.errors import CatalogueError
from vms.home import Home
from vms.model import Batch, Recorded, dump, load
from vms.sightings import Fault

AWAY = Fault("store_unreachable", "The NAS does not answer.", "Look at its mount.", permanent=False)


def test_proven_in_all_stores_is_archived_with_facts_copies_and_lineage(conn: Connection) -> None:
    (batch,) = planned(conn, seen("lobby/a.mp4")).batches
    (order,) = archived(conn, batch).archived
    row = the_recording(conn, batch)
    assert (row.state, row.codec, row.kind, row.rendition_bytes) == ("archived", "av1", "encoded", 9_000_000)
    assert row.end_utc == START + timedelta(seconds=299.5)
    assert row.source_sha256 == sha("source " + batch.items[0].fingerprint) == order.source_sha256
    assert [copy.key for copy in row.copies] == [batch.items[0].key_stem + ".mp4"]
    assert row.has_poster
    assert row.sprite is not None
    assert row.sprite.tiles == 30
    assert events(conn, row.id) == ["planned", "copied", "copied", "copied", "compressed", "archived"]
    assert order.keep_until == NOW + KEEP
    assert order.stores[0].identity == "identity of nas"
    assert order.sources == (seen("lobby/a.mp4").source,)
    assert load(Recorded, dump(archived(conn, batch))).archived == (order,)


def test_the_same_receipts_again_change_nothing(conn: Connection) -> None:
    files = five_minute_files(4)
    (batch,) = planned(conn, *files, refused("lobby/bad.mp4", start=START + timedelta(hours=3))).batches
    faults = [AWAY, BROKEN, Fault("source_gone", "It is gone.", "", permanent=False)]
    receipts = [
        receipt_for(batch.items[0], batch),
        *(receipt_for(item, batch, fault=fault) for item, fault in zip(batch.items[1:], faults, strict=True)),
    ]
    first = record_receipts(conn, batch, receipts, a_run(), NOW, KEEP)
    before = picture(conn)
    again = record_receipts(conn, batch, receipts, a_run(try_number=2), NOW + timedelta(hours=1), KEEP)
    assert again == first
    assert picture(conn) == before
    assert (len(first.archived), len(first.quarantined), len(first.unfinished)) == (1, 2, 1)


def test_one_store_without_proof_keeps_it_planned(conn: Connection) -> None:
    both = (StoreConfig("nas", "file:///nas"), StoreConfig("san", "file:///san"))
    (batch,) = planned(conn, seen("lobby/a.mp4"), stores=both).batches
    whole = receipt_for(batch.items[0], batch)
    half = replace(whole, copies=whole.copies[:3], store_faults={"san": replace(AWAY, permanent=True)})
    recorded = record_receipts(conn, batch, [half], a_run(), NOW, KEEP)
    assert recorded.unfinished == (batch.items[0].recording_id,)
    row = the_recording(conn, batch)
    assert (row.state, row.reason, len(row.copies)) == ("planned", "store_unreachable", 1)
    assert close_run(conn, a_run()).unfinished == (
        "lobby 2026-01-31 08:00:00 WIB (lobby/a.mp4): store_unreachable: The NAS does not answer.",
    )
    assert len(record_receipts(conn, batch, [whole], a_run(), NOW, KEEP).archived) == 1
    assert close_run(conn, a_run()).archived == 1


@pytest.mark.parametrize("fault", [BROKEN, Fault("source_gone", "It is gone.", "Nothing.", permanent=False)])
def test_what_can_not_be_archived_is_quarantined_with_its_reason(conn: Connection, fault: Fault) -> None:
    (batch,) = planned(conn, seen("lobby/a.mp4")).batches
    recorded = record_receipts(conn, batch, [receipt_for(batch.items[0], batch, fault=fault)], a_run(), NOW, KEEP)
    assert recorded.quarantined == batch.items[0].sources
    row = the_recording(conn, batch)
    assert (row.state, row.reason, row.message, row.remedy) == (
        "quarantined",
        fault.reason,
        fault.message,
        fault.remedy,
    )


def test_source_gone_is_revived_when_seen_again_but_a_broken_file_is_not(conn: Connection) -> None:
    files = [seen("lobby/gone.mp4"), seen("lobby/broken.mp4", start=START + timedelta(hours=1))]
    (batch,) = planned(conn, *files).batches
    gone = Fault("source_gone", "It is gone.", "", permanent=False)
    receipts = [
        receipt_for(item, batch, fault=gone if "gone" in item.sources[0].path else BROKEN) for item in batch.items
    ]
    record_receipts(conn, batch, receipts, a_run(), NOW, KEEP)
    again = planned(conn, *files, run=2)
    assert [item.sources[0].path for batch in again.batches for item in batch.items] == ["lobby/gone.mp4"]
    assert again.settled == (files[1].source,)
    touched = seen("lobby/broken.mp4", start=START + timedelta(hours=1), mtime_ns=2)
    assert len(planned(conn, files[0], touched, run=3).batches[0].items) == 2


def test_source_changed_is_withdrawn_and_its_lineage_stays(conn: Connection) -> None:
    (batch,) = planned(conn, seen("lobby/a.mp4")).batches
    changed = Fault("source_changed", "It grew while it was read.", "", permanent=False)
    recorded = record_receipts(conn, batch, [receipt_for(batch.items[0], batch, fault=changed)], a_run(), NOW, KEEP)
    assert (recorded.archived, recorded.quarantined, recorded.unfinished) == ((), (), ())
    assert get_recording(conn, batch.items[0].recording_id) is None
    assert events(conn, batch.items[0].recording_id) == ["planned", "withdrawn"]
    verdict = close_run(conn, a_run())
    assert (verdict.planned, verdict.withdrawn, verdict.unfinished) == (1, 1, ())


def test_a_fault_never_takes_back_what_is_archived(conn: Connection) -> None:
    (batch,) = planned(conn, seen("lobby/a.mp4")).batches
    first = archived(conn, batch)
    before = picture(conn)
    for fault in (BROKEN, AWAY, Fault("source_changed", "", "", permanent=False)):
        again = record_receipts(conn, batch, [receipt_for(batch.items[0], batch, fault=fault)], a_run(), NOW, KEEP)
        assert again.archived == first.archived
    assert picture(conn).recordings == before.recordings
    assert picture(conn).lineage == before.lineage


def test_a_contradiction_is_refused_and_the_other_files_are_committed(
    conn: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    (batch,) = planned(conn, *five_minute_files(2)).batches
    record_receipts(conn, batch, receipts_for(batch)[:1], a_run(), NOW, KEEP)
    before = get_recording(conn, batch.items[0].recording_id)
    other = receipt_for(batch.items[0], batch, source_sha256=sha("other bytes"))
    with caplog.at_level(logging.ERROR), pytest.raises(CatalogueError, match="archived already"):
        record_receipts(conn, batch, [other, receipt_for(batch.items[1], batch)], a_run(), NOW, KEEP)
    assert get_recording(conn, batch.items[0].recording_id) == before
    assert close_run(conn, a_run()).archived == 2


@pytest.mark.parametrize("what", ["sha256", "key", "store"])
def test_a_copy_that_does_not_fit_is_no_proof(conn: Connection, what: str) -> None:
    (batch,) = planned(conn, seen("lobby/a.mp4")).batches
    receipt = receipt_for(batch.items[0], batch)
    wrong = {
        "sha256": replace(receipt.copies[0], sha256=sha("something else")),
        "key": replace(receipt.copies[0], key="ho/lobby/other.mp4"),
        "store": replace(receipt.copies[0], store_id=99),
    }[what]
    with pytest.raises(CatalogueError):
        record_receipts(conn, batch, [replace(receipt, copies=(wrong,))], a_run(), NOW, KEEP)
    assert the_recording(conn, batch).state == "planned"
    assert the_recording(conn, batch).copies == ()


def test_a_store_with_another_identity_is_refused(conn: Connection) -> None:
    (batch,) = planned(conn, *five_minute_files(2)).batches
    record_receipts(conn, batch, receipts_for(batch)[:1], a_run(), NOW, KEEP)
    swapped = replace(receipts_for(batch)[1], store_identities={str(batch.stores[0].store_id): "another disk"})
    with pytest.raises(CatalogueError, match="another disk"):
        record_receipts(conn, batch, [swapped], a_run(), NOW, KEEP)
    assert ask(conn, "SELECT identity FROM store") == [("identity of nas",)]
    assert len(close_run(conn, a_run()).unfinished) == 1


def test_a_batch_of_another_catalogue_is_refused(conn: Connection) -> None:
    (batch,) = planned(conn, seen("lobby/a.mp4")).batches
    with pytest.raises(CatalogueError, match="no batch"):
        archived(conn, replace(batch, batch_id=batch.batch_id + 1))


def test_retry_asks_for_quarantined_recordings_only_and_the_next_run_takes_them_up(conn: Connection) -> None:
    bad = [refused("lobby/a.mp4"), refused("gate/b.mp4", camera="gate")]
    assert planned(conn, *bad, seen("lobby/c.mp4", start=START + timedelta(hours=1))).batches[0].camera == "lobby"
    assert ask_retry(conn, "ho", "gate", None, "Sari", NOW) == 1
    assert ask_retry(conn, "ho", "gate", None, "Sari", NOW) == 0
    assert ask_retry(conn, "elsewhere", None, None, "Sari", NOW) == 0
    batches = planned(conn, *bad, run=2).batches
    assert sorted(batch.camera for batch in batches) == ["gate", "lobby"]
    (gate,) = (batch for batch in batches if batch.camera == "gate")
    record_receipts(conn, gate, [receipt_for(gate.items[0], gate)], a_run(2), NOW, KEEP)
    assert the_recording(conn, gate).state == "archived"
    assert ask(conn, "SELECT path FROM quarantine") == [("lobby/a.mp4",)]
    assert events(conn, gate.items[0].recording_id)[:2] == ["quarantined", "retry_asked"]


def test_a_connection_lost_between_two_files_leaves_whole_files(catalogue: tuple[Home, str]) -> None:
    """Killed at any statement: each file is there with everything or not at all, and the rerun completes it."""
    _, url = catalogue
    with opened(url) as conn:
        (batch,) = planned(conn, *five_minute_files(3)).batches
    for statements in range(1, 200, 3):
        with opened(url) as conn:
            conn.cursor_factory = _dying_cursor(statements)
            finished = _survives(conn, batch)
        with opened(url) as conn:
            whole = ask(
                conn,
                "SELECT r.custody = 1, (SELECT count(*) FROM copy k WHERE k.recording_id = r.recording_id),"
                " (SELECT count(*) FROM lineage l WHERE l.recording_id = r.recording_id) FROM recording r",
            )
            assert set(whole) <= {(True, 3, 6), (False, 0, 1)}
        if finished:
            break
    else:
        pytest.fail("the last round was to run to its end")
    with opened(url) as conn:
        assert len(archived(conn, batch).archived) == 3
        assert ask(conn, "SELECT archived FROM camera_day") == [(3,)]


def _survives(conn: Connection, batch: Batch) -> bool:
    try:
        archived(conn, batch)
    except psycopg2.Error:
        return False
    return True


def _dying_cursor(after: int) -> type[psycopg2.extensions.cursor]:
    left = [after]

    class Dying(psycopg2.extensions.cursor):
        def execute(self, sql: object, params: object = None) -> None:  # type: ignore[override]
            left[0] -= 1
            if left[0] < 0:
                self.connection.close()
            super().execute(sql, params)  # type: ignore[arg-type]

    return Dying


def test_days_count_overlapping_footage_once_and_split_at_midnight(conn: Connection) -> None:
    midnight = datetime(2026, 1, 31, 17, 0, tzinfo=UTC)  # of 1 February in Jakarta
    files = [
        seen("lobby/a.mp4", start=midnight - timedelta(seconds=200)),
        seen("lobby/b.mp4", start=midnight - timedelta(seconds=100)),
    ]
    (batch,) = planned(conn, *files).batches
    archived(conn, batch)
    assert ask(conn, "SELECT day::text, archived, secs, bytes_in FROM camera_day ORDER BY day") == [
        ("2026-01-31", 2, 200, 100_000_000),
        ("2026-02-01", 0, 200, 0),
    ]


def test_two_tasks_that_record_one_day_at_once_leave_nothing_out_of_it(catalogue: tuple[Home, str]) -> None:
    _, url = catalogue
    paused, resume = threading.Event(), threading.Event()

    class Pausing(psycopg2.extensions.cursor):
        """Stops between rebuilding the day and the commit."""

        def execute(self, sql: Any, params: Any = None) -> None:
            super().execute(sql, params)
            if "INSERT INTO camera_day" in str(sql):
                paused.set()
                assert resume.wait(30)

    with opened(url) as first, opened(url) as second, opened(url) as watching:
        one, other = planned(watching, *five_minute_files(13)).batches
        record_receipts(watching, one, receipts_for(one)[1:2], a_run(), NOW, KEEP)  # the store is known from here on
        first.cursor_factory = Pausing
        with ThreadPoolExecutor() as pool:
            slow = pool.submit(record_receipts, first, other, receipts_for(other)[:1], a_run(), NOW, KEEP)
            assert paused.wait(30)
            quick = pool.submit(record_receipts, second, one, receipts_for(one)[:1], a_run(), NOW, KEEP)
            while not quick.done() and not ask(watching, "SELECT 1 FROM pg_locks WHERE NOT granted"):
                pass
            resume.set()
            slow.result()
            quick.result()
        assert ask(watching, "SELECT archived FROM camera_day") == [(3,)]


def test_a_rendition_without_a_length_is_not_archived(conn: Connection) -> None:
    (batch,) = planned(conn, seen("lobby/a.mp4")).batches
    (honest,) = receipts_for(batch)
    assert honest.rendition is not None
    for length in ("nan", "inf", "-1", "1e30"):
        lie = replace(honest, rendition=replace(honest.rendition, duration_s=float(length)))
        with pytest.raises(CatalogueError, match="is no length"):
            record_receipts(conn, batch, [lie], a_run(), NOW, timedelta(days=1))
    assert the_recording(conn, batch).state == "planned"


def test_a_receipt_does_not_fill_pages_and_the_ledger(conn: Connection) -> None:
    (batch,) = planned(conn, seen("lobby/a.mp4")).batches
    (honest,) = receipts_for(batch)
    made = honest.rendition
    assert made is not None
    for much in (
        replace(made, codec="x" * 201),
        replace(made, profile="x" * 201),
        replace(made, argv=("x" * 200_001,)),
    ):
        with pytest.raises(CatalogueError, match="says more than"):
            record_receipts(conn, batch, [replace(honest, rendition=much)], a_run(), NOW, timedelta(days=1))
    wordy = replace(made, damaged="x" * 100_000)
    record_receipts(conn, batch, [replace(honest, rendition=wordy)], a_run(), NOW, timedelta(days=1))
    assert len(the_recording(conn, batch).damaged) == 4000
