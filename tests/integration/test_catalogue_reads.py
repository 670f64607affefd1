"""What the viewer and the command line read: right answers, pages without holes, and an index under every query."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from catalogue_world import (
    BROKEN,
    NOW,
    START,
    a_run,
    a_site,
    ask,
    five_minute_files,
    opened,
    receipt_for,
    receipts_for,
    refused,
    seen,
    sensed,
)
from vms.catalogue import connection, copying, reads
from vms.catalogue.connection import Connection
from vms.catalogue.custody import close_run, record_receipts, record_releases
from vms.catalogue.partitions import ensure_partitions
from vms.catalogue.planning import plan_run
from vms.catalogue.reads import RecordingFilter
from vms.catalogue.retries import ask_retry
from vms.errors import CatalogueError
from vms.home import Home
from vms.model import Batch
from vms.receipts import Copied, ReleaseReceipt

MINUTES = timedelta(minutes=1)


@pytest.fixture
def owner(catalogue: tuple[Home, str]) -> Iterator[Connection]:
    with opened(catalogue[1]) as conn:
        yield conn


@pytest.fixture
def viewer(catalogue: tuple[Home, str]) -> Iterator[Connection]:
    with opened(connection.url(catalogue[0], "viewer")) as conn:
        yield conn


def fill(owner: Connection) -> tuple[Batch, ...]:
    """Two sites; in ho ten recordings of the lobby are archived, one of the gate is broken, one waits."""
    files = [*five_minute_files(10), refused("gate/bad.mp4", camera="gate")]
    first = plan_run(owner, a_site(), sensed(*files), a_run(1), NOW)
    record_receipts(owner, first.batches[0], receipts_for(first.batches[0]), a_run(1), NOW, None)
    waiting = seen("gate/wait.mp4", camera="gate", start=START - timedelta(hours=1))
    second = plan_run(owner, a_site(), sensed(waiting), a_run(2), NOW)
    jaya = a_site(id="jayapura", name="Jayapura", time_zone="Asia/Jayapura", cameras=())
    third = plan_run(owner, jaya, sensed(*five_minute_files(3, "door"), site="jayapura"), a_run(3), NOW)
    return first.batches + second.batches + third.batches


def found(conn: Connection, **wanted: Any) -> list[str]:
    return [row.source_name for row in reads.find_recordings(conn, RecordingFilter(**wanted))]


def test_filters_narrow_by_site_camera_time_state_and_run(owner: Connection, viewer: Connection) -> None:
    fill(owner)
    assert len(found(viewer)) == 15
    assert found(viewer, sites=("jayapura",)) == ["door/002.mp4", "door/001.mp4", "door/000.mp4"]
    assert found(viewer, cameras=(("ho", "gate"),)) == ["gate/bad.mp4", "gate/wait.mp4"]
    assert found(viewer, sites=("jayapura",), cameras=(("ho", "gate"),)) == []
    assert found(viewer, states=("quarantined",)) == ["gate/bad.mp4"]
    assert found(viewer, run=("footage_ho", "run 2")) == ["gate/wait.mp4"]
    assert found(viewer, run=("footage_ho", "run 1"), sites=("jayapura",)) == []
    window = {"from_utc": START + 7 * MINUTES, "to_utc": START + 15 * MINUTES}
    assert found(viewer, cameras=(("ho", "lobby"),), **window) == ["lobby/002.mp4", "lobby/001.mp4"]
    assert found(viewer, sites=("ho",), from_utc=START + 48 * MINUTES) == ["lobby/009.mp4"]
    assert found(viewer, sites=("unknown",)) == []


def test_a_file_without_length_is_found_at_its_own_moment(owner: Connection, viewer: Connection) -> None:
    fill(owner)
    assert found(viewer, states=("quarantined",), from_utc=START, to_utc=START + MINUTES) == ["gate/bad.mp4"]


@pytest.mark.parametrize("newest_first", [True, False])
def test_pages_join_without_a_hole_or_a_double(owner: Connection, viewer: Connection, newest_first: bool) -> None:
    fill(owner)  # starts are equal across sites, so the id decides
    whole = [row.id for row in reads.find_recordings(viewer, RecordingFilter(), newest_first=newest_first)]
    assert len(set(whole)) == 15
    pages: list[int] = []
    after = None
    while rows := reads.find_recordings(viewer, RecordingFilter(), limit=4, after=after, newest_first=newest_first):
        pages += [row.id for row in rows]
        after = (rows[-1].start_utc, rows[-1].id)
    assert pages == whole


def test_totals_count_what_the_filter_lets_through(owner: Connection, viewer: Connection) -> None:
    fill(owner)
    totals = reads.count_recordings(viewer, RecordingFilter(cameras=(("ho", "lobby"),)))
    assert totals == reads.Totals(10, 2995.0, 500_000_000, 90_000_000)
    assert reads.count_recordings(viewer, RecordingFilter(sites=("ho",), states=("planned",))).count == 1
    assert reads.count_recordings(viewer, RecordingFilter(run=("footage_ho", "run 1"))).count == 10


def test_a_recording_says_why_it_waits_or_failed(owner: Connection, viewer: Connection) -> None:
    batches = fill(owner)
    (bad,) = reads.find_recordings(viewer, RecordingFilter(states=("quarantined",)))
    assert (bad.reason, bad.remedy, bad.site_name, bad.camera_name) == (
        BROKEN.reason,
        BROKEN.remedy,
        "Head office",
        "gate",
    )
    (door,) = (batch for batch in batches if batch.camera == "door")
    away = receipt_for(door.items[0], door, fault=BROKEN.__class__("store_full", "Full.", "Buy disks.", False))
    record_receipts(owner, door, [away], a_run(3), NOW, None)
    row = reads.get_recording(viewer, door.items[0].recording_id, door.items[0].start_utc)
    assert row is not None
    assert (row.state, row.reason, row.remedy, row.time_zone) == (
        "planned",
        "store_full",
        "Buy disks.",
        "Asia/Jayapura",
    )
    assert reads.get_recording(viewer, row.id) == row
    assert reads.get_recording(viewer, 10**9) is None


def test_parts_are_located_with_a_name_that_says_the_local_time(owner: Connection, viewer: Connection) -> None:
    item = fill(owner)[0].items[-1]
    (rendition,) = reads.locate(viewer, item.recording_id, item.start_utc, "rendition")
    assert rendition == reads.Located(
        "nas",
        "file:///nas",
        "identity of nas",
        item.key_stem + ".mp4",
        9_000_000,
        "video/mp4",
        "ho_lobby_2026-01-31_08-00-00_WIB.mp4",
    )
    (poster,) = reads.locate(viewer, item.recording_id, item.start_utc, "poster")
    assert (poster.media_type, poster.key) == ("image/jpeg", item.key_stem + ".poster.jpg")
    assert reads.locate(viewer, item.recording_id, item.start_utc + MINUTES, "poster") == ()


def test_sites_overviews_and_days(owner: Connection, viewer: Connection) -> None:
    fill(owner)
    ho, jayapura = reads.list_sites(viewer)
    assert ([camera.id for camera in ho.cameras], jayapura.time_zone) == (["gate", "lobby"], "Asia/Jayapura")
    overview, waiting = reads.site_overviews(viewer)
    assert overview.counts == {"planned": 1, "archived": 10, "released": 0, "purged": 0, "quarantined": 1}
    assert (overview.bytes_in, overview.bytes_out) == (500_000_000, 90_000_000)
    assert overview.newest_archived == START + 45 * MINUTES + timedelta(seconds=299.5)
    assert overview.oldest_waiting == START - timedelta(hours=1)
    assert overview.last_sensed == NOW
    assert (waiting.newest_archived, waiting.counts["planned"]) == (None, 3)
    (day,) = reads.camera_days(viewer, ("ho",), date(2026, 1, 1), date(2026, 1, 31))
    assert (day.camera, day.day, day.recordings, day.seconds) == ("lobby", date(2026, 1, 31), 10, 2995)
    assert reads.camera_days(viewer, ("jayapura",), date(2026, 1, 1), date(2026, 1, 31)) == []
    assert reads.camera_days(viewer, (), date(2026, 1, 1), date(2026, 1, 31)) == [day]


def test_lineage_tells_the_whole_story_in_order(owner: Connection, viewer: Connection) -> None:
    item = fill(owner)[0].items[0]
    story = reads.lineage_of(viewer, item.recording_id, item.start_utc)
    assert [row.event for row in story] == ["planned", "copied", "copied", "copied", "compressed", "archived"]
    compressed = story[4]
    assert (compressed.run_id, compressed.host, compressed.detail["host"]) == ("run 1", "centre", "branch")
    assert (compressed.detail["argv"], compressed.detail["cpu_s"]) == (["ffmpeg", "-i", "file:/x"], 55.0)


@pytest.mark.parametrize("table", ["lineage", "lineage_2026_02", "view_log"])
@pytest.mark.parametrize("what", ["UPDATE {} SET detail = '{{}}'", "DELETE FROM {}", "TRUNCATE {}"])
def test_nobody_changes_what_happened(owner: Connection, viewer: Connection, table: str, what: str) -> None:
    fill(owner)
    reads.log_view(viewer, "sari", "play", 1, START, {"page": "search"})
    for conn in (owner, viewer):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            ask(conn, what.format(table))
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="append-only"):
        ask(owner, what.format(table))


def test_the_viewer_can_read_everything_and_only_append_to_its_log(owner: Connection, viewer: Connection) -> None:
    fill(owner)
    reads.log_view(viewer, "sari", "play", 1, START, {})
    assert ask(viewer, "SELECT who, action FROM view_log") == [("sari", "play")]
    for sql in (
        "UPDATE recording SET custody = 3",
        "DELETE FROM copy",
        "INSERT INTO store (name, url) VALUES ('a', 'b')",
        "INSERT INTO lineage (at) VALUES (now())",
        "CREATE TABLE mine (a int)",
        "SELECT nextval('run_run_no_seq')",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            ask(viewer, sql)


def test_addresses_come_from_the_environment_or_the_running_stack(
    catalogue: tuple[Home, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, owner_url = catalogue
    with opened(connection.url(home, "owner")) as conn:
        assert ask(conn, "SELECT current_user, current_setting('TimeZone')") == [("vms_owner", "UTC")]
    monkeypatch.setenv("VMS_CATALOGUE_URL", "postgresql://there/catalogue")
    assert connection.url(home, "owner") == "postgresql://there/catalogue"
    monkeypatch.delenv("VMS_CATALOGUE_URL")
    (home.run / "postgres.json").write_text("{}")
    with pytest.raises(CatalogueError, match=r"vms up"):
        connection.url(home, "owner")
    with (
        pytest.raises(CatalogueError, match="does not answer"),
        opened(owner_url.replace("@127.0.0.1:", "@127.0.0.1:1")),
    ):
        pass


# --- every query has its index ---------------------------------------------------------------------------------------

FILLED = ("2026_01", "2026_02", "2026_03", "2026_04")
BIG = {f"{table}_{month}" for table in ("recording", "recording_source", "copy", "lineage") for month in FILLED}
BIG |= {"batch_item", "batch", "run"}


def test_no_query_of_the_viewer_reads_a_big_table_through(owner: Connection, viewer: Connection) -> None:
    _fill_months(owner)
    plans = _explained(viewer)
    begin, end = datetime(2026, 3, 10, tzinfo=UTC), datetime(2026, 3, 11, tzinfo=UTC)
    (row, *_) = reads.find_recordings(viewer, RecordingFilter(sites=("site3",)), limit=50)
    for wanted in (
        RecordingFilter(),
        RecordingFilter(sites=("site1", "site2"), from_utc=begin, to_utc=end),
        RecordingFilter(cameras=(("site1", "cam1"),), from_utc=begin, to_utc=end),
        RecordingFilter(sites=("site1",), states=("quarantined",)),
        RecordingFilter(run=("footage_site1", "run 1")),
    ):
        page = reads.find_recordings(viewer, wanted, limit=50)
        if page:
            reads.find_recordings(viewer, wanted, limit=50, after=(page[-1].start_utc, page[-1].id))
        reads.find_recordings(viewer, wanted, limit=50, newest_first=False)
    reads.count_recordings(viewer, RecordingFilter(cameras=(("site1", "cam1"),), from_utc=begin, to_utc=end))
    reads.get_recording(viewer, row.id, row.start_utc)
    reads.get_recording(viewer, row.id)
    reads.locate(viewer, row.id, row.start_utc, "rendition")
    reads.site_overviews(viewer)
    reads.lineage_of(viewer, row.id, row.start_utc)
    for wanted in (RecordingFilter(), RecordingFilter(cameras=(("site1", "cam1"),), from_utc=begin, to_utc=end)):
        page = copying.orders_to_copy(viewer, "nas", "cloud", wanted, None, 10)
        assert len(page) == 10
        copying.orders_to_copy(viewer, "nas", "cloud", wanted, (page[-1].start_utc, page[-1].recording_id), 10)
        copying.orders_to_copy(viewer, "nas", "nas", wanted, None, 10)
    assert copying.count_to_copy(viewer, "nas", "cloud", wanted)[0] > 10
    assert len(plans) > 20
    _refuse_reading_through(plans)


def test_no_statement_of_a_run_reads_a_big_table_through(owner: Connection) -> None:
    _fill_months(owner)
    plans = _explained(owner)
    site = a_site(id="site1", cameras=())
    files = [
        seen("cam1/a.mp4", camera="cam1"),
        seen("cam1/b.mp4", camera="cam1", basis="mtime"),
        refused("cam1/c.mp4", camera="cam1", basis="mtime"),
    ]
    plan = plan_run(owner, site, sensed(*files, site="site1"), a_run(), NOW + timedelta(days=90))
    (batch,) = plan.batches
    assert len(plan.due) > 100
    record_receipts(owner, batch, receipts_for(batch), a_run(), NOW, None)
    done = [ReleaseReceipt(order.recording_id, order.start_utc, (), {}, done=True) for order in plan.due[:2]]
    record_releases(owner, done, a_run(), NOW)
    close_run(owner, a_run())
    ask_retry(owner, "site1", "cam1", None, "sari", NOW)
    (order,) = copying.orders_to_copy(owner, "nas", "cloud", RecordingFilter(sites=("site1",)), None, 1)
    failed = Copied(order.recording_id, order.start_utc, order.held[0].store_id, "", fault=BROKEN)
    copying.record_copies(owner, [failed], a_run(), NOW)
    assert len(plans) > 100
    _refuse_reading_through(plans)


Plans = list[tuple[str, dict[str, Any]]]


def _explained(conn: Connection) -> Plans:
    """The plan of every statement that this connection runs from now on."""
    plans: Plans = []

    class Explaining(Cursor):
        def execute(self, sql: Any, params: Any = None) -> None:
            if str(sql).split(maxsplit=1)[0] in ("SELECT", "WITH", "UPDATE", "DELETE", "INSERT"):
                super().execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
                plans.append((str(sql), self.fetchall()[0][0][0]["Plan"]))
            super().execute(sql, params)

    conn.cursor_factory = Explaining
    return plans


def _refuse_reading_through(plans: Plans) -> None:
    for sql, plan in plans:
        scanned = [node["Relation Name"] for node in _nodes(plan) if node["Node Type"] == "Seq Scan"]
        through = [name for name in scanned if name in BIG]
        assert not through, f"{through} read through by {sql}\n{json.dumps(plan, indent=1)}"


def test_a_camera_s_day_is_answered_by_the_timeline_index_of_its_month_alone(owner: Connection) -> None:
    _fill_months(owner)
    plan = ask(
        owner,
        "EXPLAIN (FORMAT JSON) SELECT start_at, end_at, custody FROM recording WHERE camera_id = 1"
        " AND start_at >= '2026-03-10 00:00+00' AND start_at < '2026-03-11 00:00+00'",
    )[0][0][0]["Plan"]
    assert [(node["Node Type"], node["Relation Name"]) for node in _nodes(plan)] == [
        ("Index Only Scan", "recording_2026_03")
    ]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _fill_months(owner: Connection) -> None:
    """Four sites of four cameras with a recording every two hours for four months, by plain SQL: 23,000 recordings."""
    ensure_partitions(owner, [(2026, month) for month in range(1, 6)])
    with owner, owner.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO site (slug, name, tz)
            SELECT 'site' || n, 'Site ' || n, 'Asia/Jakarta' FROM generate_series(1, 4) n;

            INSERT INTO camera (site_id, slug, name)
            SELECT site_id, 'cam' || n, 'Camera ' || n FROM site, generate_series(1, 4) n ORDER BY site_id, n;

            INSERT INTO store (name, url) VALUES ('nas', 'file:///nas');

            INSERT INTO recording (start_at, end_at, fingerprint, source_bytes, rendition_bytes, archived_at, site_id,
                camera_id, duration_s, custody, time_basis, source_name, source_sha256, rendition_sha256)
            SELECT at, at + interval '2 hours', gen_random_uuid(), 1000, 100, at, site_id,
                camera_id, 7200, CASE WHEN random() < 0.01 THEN 4 ELSE 1 END, 'name', 'x', sha256(''), sha256('')
            FROM generate_series(timestamptz '2026-01-01 00:00+00', '2026-04-30 22:00+00', interval '2 hours') at,
                camera;

            INSERT INTO copy (recording_id, start_at, size_bytes, stored_at, verified_at, store_id, part, sha256, key,
                checksum)
            SELECT recording_id, start_at, 100, start_at, start_at, 1, part, sha256(''), 'k', 'c'
            FROM recording, generate_series(0, 1) part;

            INSERT INTO recording_source (recording_id, start_at, site_id, path, size_bytes, mtime_ns, first_seen)
            SELECT recording_id, start_at, site_id, recording_id::text, 1000, 1, start_at FROM recording;

            INSERT INTO lineage (at, recording_id, start_at, site_id, camera_id, event, dag_id, run_id, task_id,
                map_index, try_number, host, detail)
            SELECT start_at, recording_id, start_at, site_id, camera_id, 'archived', 'd', 'r', '', -1, 1, '', '{}'
            FROM recording;

            INSERT INTO run (dag_id, run_id, site_id, planned_at)
            SELECT 'footage_' || slug, 'run ' || n, site_id, now() FROM site, generate_series(1, 300) n;

            INSERT INTO batch (run_no, position, camera_id, title, store_ids, min_copies, made_at)
            SELECT run_no, 0, 1, 't', '{1}', 1, now() FROM run;

            INSERT INTO batch_item (batch_id, position, recording_id, start_at, outcome)
            SELECT 1 + recording_id % 1200, row_number() OVER (), recording_id, start_at, 'archived' FROM recording;
            """
        )
    with owner.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
