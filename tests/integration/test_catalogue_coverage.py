"""Coverage over a real catalogue: current as footage lands, every gap with its reason, an index under each query."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
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
    opened,
    receipt_for,
    receipts_for,
    refused,
    seen,
    sensed,
)
from test_catalogue_reads import _explained, _fill_months, _refuse_reading_through
from vms.catalogue import connection
from vms.catalogue.connection import Connection
from vms.catalogue.coverage import camera_days, gaps
from vms.catalogue.custody import record_receipts
from vms.catalogue.gap_notes import add_note, list_notes, withdraw_note
from vms.catalogue.planning import plan_run
from vms.config import CameraConfig, Site
from vms.errors import CatalogueError
from vms.home import Home
from vms.sightings import Fault, Rejection, Sighting

HOUR = timedelta(hours=1)
DAY = date(2026, 1, 31)
LATER = START + 60 * HOUR
"""When all of the day should have been archived, however slow the site."""


@pytest.fixture
def owner(catalogue: tuple[Home, str]) -> Iterator[Connection]:
    with opened(catalogue[1]) as conn:
        yield conn


@pytest.fixture
def viewer(catalogue: tuple[Home, str]) -> Iterator[Connection]:
    with opened(connection.url(catalogue[0], "viewer")) as conn:
        yield conn


def archive(
    owner: Connection, *files: Sighting | Rejection, number: int = 1, site: Site | None = None, now: datetime = NOW
) -> None:
    """One run of the site that looks at `now`, sees these files and archives all that can be."""
    site = site or a_site()
    run = a_run(number, dag_id=f"footage_{site.id}")
    plan = plan_run(owner, site, sensed(*files, site=site.id, at=now), run, now)
    for batch in plan.batches:
        receipts = receipts_for(batch)
        for item, receipt in zip(batch.items, receipts, strict=True):
            made = receipt.rendition and replace(receipt.rendition, duration_s=item.duration_s)
            record_receipts(owner, batch, [replace(receipt, rendition=made)], run, now, None)


def hour_files(*hours: float, camera: str = "lobby") -> list[Sighting]:
    """Files of an hour each, beginning so many hours after 08:00 in Jakarta."""
    return [seen(f"{camera}/{hour}.mp4", start=START + hour * HOUR, camera=camera, duration_s=3600.0) for hour in hours]


def told(conn: Connection, **question: Any) -> list[tuple[float, float, str]]:
    """The gaps of the lobby's day, in hours after 08:00."""
    found = gaps(conn, "ho", "lobby", START - 8 * HOUR, START + 16 * HOUR, **{"now": LATER, **question})
    return [((gap.start - START) / HOUR, (gap.end - START) / HOUR, gap.reason) for gap in found]


def test_a_hole_is_silence_until_its_footage_lands(owner: Connection, viewer: Connection) -> None:
    archive(owner, *hour_files(0, 1, 4, 5))
    assert told(viewer) == [(2, 4, "camera_silent"), (6, 16, "camera_silent")]
    (day,) = camera_days(viewer, DAY, DAY, now=LATER)
    assert (day.site, day.camera, day.expected_s, day.present_s) == ("ho", "lobby", 16 * 3600, 4 * 3600)
    assert day.missing_s == {"camera_silent": 12 * 3600}
    archive(owner, *hour_files(2, 3), number=2)
    assert told(viewer) == [(6, 16, "camera_silent")]
    archive(owner, *hour_files(2, 3), number=3)
    assert told(viewer) == [(6, 16, "camera_silent")]


def test_a_camera_without_footage_has_no_days(owner: Connection, viewer: Connection) -> None:
    plan_run(owner, a_site(), sensed(), a_run(), NOW)
    assert camera_days(viewer, DAY, DAY, now=LATER) == []
    assert gaps(viewer, "ho", "lobby", START, NOW, now=NOW) == []
    with pytest.raises(CatalogueError, match="no camera ho/attic"):
        gaps(viewer, "ho", "attic", START, NOW)


def test_small_holes_are_none_and_the_site_says_how_small(owner: Connection, viewer: Connection) -> None:
    files = [seen(f"lobby/s{n}.mp4", start=START + n * timedelta(minutes=5), duration_s=296.4) for n in range(12)]
    archive(owner, *files, *hour_files(*range(1, 16)))
    assert told(viewer) == []
    archive(owner, number=2, site=a_site(gap_tolerance=timedelta(seconds=3)))
    assert len(told(viewer)) == 12


def test_what_waits_is_quarantined_or_vanished_says_so(owner: Connection, viewer: Connection) -> None:
    archive(owner, *hour_files(0, 1), refused("lobby/2.mp4", start=START + 2 * HOUR), *hour_files(*range(6, 16)))
    files = [*hour_files(3, 4)]
    plan = plan_run(owner, a_site(), sensed(*files), a_run(2), NOW)
    gone = Fault("source_gone", "It is gone.", "Keep footage longer.", permanent=False)
    first, batch = next((i, b) for b in plan.batches for i in b.items if i.start_utc == START + 3 * HOUR)
    record_receipts(owner, batch, [receipt_for(first, batch, fault=gone)], a_run(2), NOW, None)
    assert told(viewer) == [
        (2, 3, "quarantined"),
        (3, 4, "never_arrived"),
        (4, 5, "waiting"),
        (5, 6, "camera_silent"),
    ]
    found = gaps(viewer, "ho", "lobby", START, START + 5 * HOUR, now=LATER)
    assert [gap.detail for gap in found] == [BROKEN.reason, "source_gone", ""]
    (day,) = camera_days(viewer, DAY, DAY, now=LATER)
    assert day.reason == "never_arrived"


def test_time_in_which_nobody_looked_is_no_silence(owner: Connection, viewer: Connection) -> None:
    for minute in range(0, 180, 25):
        archive(owner, number=minute, now=START + timedelta(minutes=minute))
    archive(owner, *hour_files(0, 1), number=500, now=START + timedelta(minutes=180))
    for minute in range(600, 960, 25):
        archive(owner, number=minute, now=START + timedelta(minutes=minute))
    archive(owner, *hour_files(12, 13), number=2000, now=START + 16 * HOUR)
    assert told(viewer)[:3] == [(2, 3, "camera_silent"), (3, 10, "not_looked"), (10, 12, "camera_silent")]
    assert ask(owner, "SELECT count(*) FROM site_watch") == [(2,)]


def test_a_site_that_is_no_longer_looked_at_goes_on_missing_footage(owner: Connection, viewer: Connection) -> None:
    archive(owner, *hour_files(*range(16)), now=START + 16 * HOUR)
    later = START + 40 * HOUR
    found = gaps(viewer, "ho", "lobby", START + 16 * HOUR, later, now=later)
    assert [(gap.reason, gap.start) for gap in found] == [("not_looked", START + 16 * HOUR)]
    assert found[0].end < later


def test_today_counts_up_to_what_should_be_archived_by_now(owner: Connection, viewer: Connection) -> None:
    # hour-long files that are archived an hour and a quarter after they began
    for hour in range(5):
        archive(owner, *hour_files(hour), number=hour, now=START + hour * HOUR + timedelta(minutes=75))
    look = START + timedelta(hours=5, minutes=55)
    archive(owner, number=99, now=look)
    (day,) = camera_days(viewer, DAY, DAY, now=look)
    assert day.missing_s == {}
    assert 3.5 * 3600 < day.expected_s <= 5 * 3600


def test_a_recorder_with_a_wrong_clock_is_told_apart(owner: Connection, viewer: Connection) -> None:
    archive(owner, *hour_files(0, 1), now=START + 2 * HOUR)
    jumped = replace(
        seen("lobby/jumped.mp4", start=datetime(1970, 1, 3, tzinfo=UTC), duration_s=3600.0), time_marks=("before_2000",)
    )
    archive(owner, jumped, number=2, now=START + 4 * HOUR)
    archive(owner, *hour_files(*range(4, 16)), number=3, now=START + 16 * HOUR)
    assert told(viewer) == [(2, 4, "clock_jump")]


def test_a_note_settles_a_gap_until_it_is_withdrawn(owner: Connection, viewer: Connection) -> None:
    archive(owner, *hour_files(0, 1, *range(4, 16)))
    number = add_note(owner, "ho", "lobby", START + 2 * HOUR, START + 4 * HOUR, "camera replaced", "Sari", NOW)
    assert told(viewer) == [(2, 4, "acknowledged")]
    (day,) = camera_days(viewer, DAY, DAY, now=LATER)
    assert (day.reason, day.open_s) == ("acknowledged", 0)
    (note,) = list_notes(viewer, ("ho",))
    assert (note.id, note.camera, note.note, note.who) == (number, "lobby", "camera replaced", "Sari")
    withdraw_note(owner, number, "Budi", NOW)
    assert told(viewer) == [(2, 4, "camera_silent")]
    with pytest.raises(CatalogueError, match="no note"):
        withdraw_note(owner, number, "Budi", NOW)
    with pytest.raises(CatalogueError, match="no camera ho/attic"):
        add_note(owner, "ho", "attic", START, NOW, "x", "Sari", NOW)


def test_purged_and_lost_footage_is_missing_for_a_reason(owner: Connection, viewer: Connection) -> None:
    from zoneinfo import ZoneInfo

    from vms.catalogue.rollup import rebuild_days

    archive(owner, *hour_files(*range(16)))
    ask_sql = "UPDATE recording SET {} WHERE start_at = %s RETURNING 1"
    ask(owner, ask_sql.format("custody = 3"), START + 2 * HOUR)
    ask(owner, ask_sql.format("lost_at = now()"), START + 5 * HOUR)
    with owner, owner.cursor() as cursor:
        rebuild_days(cursor, 1, ZoneInfo("Asia/Jakarta"), START, START + 16 * HOUR)
    assert told(viewer) == [(2, 3, "purged"), (5, 6, "lost")]


def test_only_scheduled_time_is_expected(owner: Connection, viewer: Connection) -> None:
    site = a_site(
        cameras=(CameraConfig("lobby", "Lobby", "lobby", schedule="Sat 09:00-12:00"),), schedule="Mon 07:00-19:00"
    )
    archive(owner, *hour_files(0, 1, 5), *hour_files(0, camera="gate"), site=site)
    assert told(viewer) == [(2, 4, "camera_silent")]
    assert ask(owner, "SELECT slug, schedule FROM camera ORDER BY slug") == [
        ("gate", "Mon 07:00-19:00"),
        ("lobby", "Sat 09:00-12:00"),
    ]
    archive(owner, number=2, site=replace(site, schedule=""))
    assert ask(owner, "SELECT schedule FROM camera WHERE slug = 'gate'") == [("",)], "it need not be seen for that"


def test_the_migration_gives_older_days_the_same_spans(owner: Connection) -> None:
    from vms.catalogue import migrate

    archive(owner, *five_minute_files(4), *hour_files(2), *hour_files(15.5))
    ask(owner, "UPDATE recording SET custody = 3 WHERE start_at = %s RETURNING 1", START + 2 * HOUR)
    before = ask(owner, "SELECT camera_id, day, kept_spans::text FROM camera_day ORDER BY day")
    ask(owner, "UPDATE camera_day SET kept_spans = '{}' RETURNING 1")
    script = (migrate._SCRIPTS / "versions" / "v0005_coverage.sql").read_text()
    (fill,) = (part for part in script.split(";") if part.strip().startswith("UPDATE camera_day"))
    with owner.cursor() as cursor:
        cursor.execute(fill)
    after = ask(owner, "SELECT camera_id, day, kept_spans::text FROM camera_day ORDER BY day")
    assert len(after) == 2
    assert after[1] == before[1]
    assert ask(owner, "SELECT purged_spans::text FROM camera_day ORDER BY day")[0] == ("{[36000,39600)}",)


def test_no_query_of_coverage_reads_a_big_table_through(owner: Connection, viewer: Connection) -> None:
    _fill_months(owner)
    with owner.cursor() as cursor:
        cursor.execute(
            "INSERT INTO camera_day (camera_id, day, archived, released, purged, secs, bytes_in, bytes_out, kept_spans)"
            " SELECT camera_id, day, 12, 0, 0, 86400, 1, 1, '{[0,86400)}' FROM camera,"
            " generate_series(timestamp '2016-01-01', timestamp '2026-04-30', interval '1 day') day"
        )
        cursor.execute("VACUUM ANALYZE camera_day")
    plans = _explained(viewer)
    now = datetime(2026, 4, 30, tzinfo=UTC)
    days = camera_days(viewer, date(2026, 3, 1), date(2026, 3, 31), now=now)
    assert [(day.present_s, day.expected_s) for day in days] == [(86_400, 86_400)] * 16 * 31
    gaps(viewer, "site1", "cam1", datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC), now=now)
    assert len(plans) == 14
    _refuse_reading_through(plans)
    assert not [
        plan
        for _, plan in plans
        if "camera_day" in str(plan) and "'Seq Scan', 'Relation Name': 'camera_day'" in str(plan)
    ]
