"""Releases on a real Postgres: when sources are due, that one is released once, and what stays is told once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from catalogue_world import (
    LATER,
    NOW,
    a_run,
    a_site,
    archived,
    ask,
    events,
    picture,
    planned,
    receipts_for,
    seen,
    sensed,
    the_recording,
)
from vms.catalogue.connection import Connection
from vms.catalogue.custody import record_receipts, record_releases
from vms.catalogue.planning import plan_run
from vms.errors import CatalogueError
from vms.receipts import ReleaseReceipt


def test_sources_are_due_after_the_keep_time_and_released_once(conn: Connection) -> None:
    (batch,) = planned(conn, seen("lobby/a.mp4")).batches
    archived(conn, batch)
    assert planned(conn, run=2, now=NOW + timedelta(hours=23)).due == ()
    (order,) = planned(conn, run=3, now=LATER).due
    assert planned(conn, run=3, now=LATER + timedelta(minutes=5)).due == (order,)
    assert planned(conn, run=4, now=LATER + timedelta(minutes=10)).due == ()
    receipt = ReleaseReceipt(order.recording_id, order.start_utc, ("lobby/a.mp4",), {}, done=True)
    record_releases(conn, [receipt], a_run(3), LATER)
    before = picture(conn)
    record_releases(conn, [receipt], a_run(3), LATER + timedelta(hours=1))
    assert picture(conn) == before
    assert the_recording(conn, batch).state == "released"
    assert events(conn, order.recording_id)[-1] == "released"
    assert planned(conn, run=5, now=LATER + timedelta(days=1)).due == ()


def test_a_site_tells_of_no_release_but_its_own(conn: Connection) -> None:
    """A stolen branch would have another site's sources taken for released, which then nobody removes any more."""
    (batch,) = planned(conn, seen("lobby/a.mp4")).batches
    archived(conn, batch)
    item = batch.items[0]
    lie = ReleaseReceipt(item.recording_id, item.start_utc, ("lobby/a.mp4",), {}, done=True)
    thief = replace(a_run(7), dag_id="footage_mks")
    plan_run(conn, a_site(id="mks", name="Makassar"), sensed(site="mks"), thief, NOW)
    before = picture(conn)
    with pytest.raises(CatalogueError, match="footage_mks has no recording"):
        record_releases(conn, [lie], thief, LATER)
    assert picture(conn) == before


def test_a_source_that_stays_is_tried_again_later_and_told_once(conn: Connection) -> None:
    (batch,) = planned(conn, seen("lobby/a.mp4")).batches
    archived(conn, batch)
    (order,) = planned(conn, run=2, now=LATER).due
    kept = ReleaseReceipt(order.recording_id, order.start_utc, (), {"lobby/a.mp4": "its bytes differ"}, done=False)
    for hours in (0, 2, 4):
        now = LATER + timedelta(hours=hours)
        assert planned(conn, run=10 + hours, now=now + timedelta(hours=1)).due == (order,)
        record_releases(conn, [kept], a_run(2), now)
    assert events(conn, order.recording_id).count("release_kept") == 1
    assert the_recording(conn, batch).state == "archived"


def test_sources_are_never_due_when_the_site_keeps_them(conn: Connection) -> None:
    (batch,) = planned(conn, seen("lobby/a.mp4"), keep_source=None).batches
    recorded = record_receipts(conn, batch, receipts_for(batch), a_run(), NOW, None)
    assert recorded.archived[0].keep_until is None
    again = planned(conn, seen("lobby/a.mp4"), run=2, now=LATER, keep_source=None)
    assert (again.due, again.settled) == ((), (seen("lobby/a.mp4").source,))


def test_a_released_file_that_lies_there_again_is_released_again(conn: Connection) -> None:
    (batch,) = planned(conn, seen("lobby/a.mp4")).batches
    archived(conn, batch)
    (order,) = planned(conn, run=2, now=LATER).due
    receipt = ReleaseReceipt(order.recording_id, order.start_utc, ("lobby/a.mp4",), {}, done=True)
    record_releases(conn, [receipt], a_run(2), LATER)
    back = planned(conn, seen("lobby/a.mp4", mtime_ns=7), run=3, now=LATER)
    assert back.batches == ()
    assert [each.sources for each in back.due] == [(seen("lobby/a.mp4", mtime_ns=7).source,)]
    assert the_recording(conn, batch).state == "archived"
    assert ask(conn, "SELECT archived, released FROM camera_day") == [(1, 0)]
    record_releases(conn, [receipt], a_run(3), LATER)
    assert the_recording(conn, batch).state == "released"


def test_an_adopted_recording_whose_source_lies_on_site_is_archived_and_released_when_its_time_has_come(
    conn: Connection,
) -> None:
    (batch,) = planned(conn, seen("lobby/a.mp4")).batches
    archived(conn, batch)
    ask(conn, "UPDATE recording SET custody = 2 RETURNING 1")  # as it is taken in when the catalogue is rebuilt
    ask(conn, "DELETE FROM recording_source RETURNING 1")
    found = planned(conn, seen("lobby/a.mp4"), run=2, now=NOW + timedelta(hours=1))
    assert (found.batches, found.due, found.settled) == ((), (), (seen("lobby/a.mp4").source,))
    assert the_recording(conn, batch).state == "archived"
    assert events(conn, batch.items[0].recording_id)[-1] == "source_seen"
    (order,) = planned(conn, run=3, now=LATER).due
    assert order.sources == (seen("lobby/a.mp4").source,)


def test_release_of_what_is_not_archived_is_refused(conn: Connection) -> None:
    (batch,) = planned(conn, seen("lobby/a.mp4")).batches
    item = batch.items[0]
    with pytest.raises(CatalogueError, match="not archived"):
        record_releases(
            conn, [ReleaseReceipt(item.recording_id, item.start_utc, ("lobby/a.mp4",), {}, done=True)], a_run(), NOW
        )
