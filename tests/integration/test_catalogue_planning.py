"""Planning on a real Postgres: identity, names, reruns and batches."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from catalogue_world import (
    KEEP,
    NOW,
    START,
    a_run,
    a_site,
    archive_all,
    ask,
    events,
    five_minute_files,
    picture,
    planned,
    receipt_for,
    receipts_for,
    recordings,
    refused,
    seen,
    sensed,
)
from vms.catalogue import partitions, planning
from vms.catalogue.connection import Connection
from vms.catalogue.custody import close_run, record_receipts, record_releases
from vms.catalogue.planning import FILES_PER_RUN, plan_run
from vms.config import CameraConfig, StoreConfig
from vms.errors import CatalogueError
from vms.model import Plan, StoreOptions, dump, load
from vms.receipts import ReleaseReceipt
from vms.sightings import Fault

HOUR = timedelta(hours=1)


def names(plan: Plan) -> list[list[str]]:
    return [[item.sources[0].path for item in batch.items] for batch in plan.batches]


def test_a_look_by_a_clock_that_is_ahead_was_not_later_than_now(conn: Connection) -> None:
    """Else footage of the next ten minutes would be missing already."""
    early = NOW - timedelta(minutes=10)
    plan_run(conn, a_site(), sensed(at=early + timedelta(minutes=10)), a_run(1), early)
    assert ask(conn, "SELECT last_sensed, (SELECT max(to_at) FROM site_watch) FROM site") == [(early, early)]
    plan_run(conn, a_site(), sensed(at=NOW - timedelta(minutes=5)), a_run(2), NOW)
    assert ask(conn, "SELECT last_sensed FROM site") == [(NOW - timedelta(minutes=5),)]


def test_a_plan_names_camera_files_and_stores_newest_first(conn: Connection) -> None:
    files = [*five_minute_files(9), *five_minute_files(2, "gate", START - HOUR)]
    plan = planned(conn, *files)
    assert [batch.title for batch in plan.batches] == [
        "lobby 31 Jan 08:00-08:45 WIB, 9 files",
        "gate 31 Jan 07:00-07:10 WIB, 2 files",
    ]
    assert names(plan)[1] == ["gate/001.mp4", "gate/000.mp4"]
    assert [(store.name, store.url, store.identity) for store in plan.batches[0].stores] == [
        ("nas", "file:///nas", None)
    ]
    assert load(Plan, dump(plan)) == plan
    assert ask(conn, "SELECT slug, name FROM camera ORDER BY slug") == [("gate", "gate"), ("lobby", "Lobby")]


def test_the_same_run_again_gives_the_same_batches_however_the_folder_looks(conn: Connection) -> None:
    first = planned(conn, *five_minute_files(3))
    before = picture(conn)
    other = [refused("lobby/000.mp4"), seen("lobby/new.mp4", start=START + HOUR)]
    assert planned(conn, *other, now=NOW + HOUR).batches == first.batches
    assert picture(conn) == before
    assert names(planned(conn, other[1], run=2)) == [
        ["lobby/new.mp4", "lobby/002.mp4", "lobby/001.mp4", "lobby/000.mp4"]
    ]


def test_a_run_planned_with_nothing_stays_empty(conn: Connection) -> None:
    assert planned(conn).batches == ()
    assert planned(conn, seen("lobby/a.mp4")).batches == ()
    assert close_run(conn, a_run()).planned == 0
    with pytest.raises(CatalogueError, match="never planned"):
        close_run(conn, a_run(99))


def test_the_same_files_in_a_later_run_are_planned_again_but_registered_once(conn: Connection) -> None:
    files = five_minute_files(3)
    first, second = planned(conn, *files), planned(conn, *files, run=2)
    assert names(first) == names(second)
    assert recordings(conn) == 3
    assert ask(conn, "SELECT count(*) FROM lineage") == [(3,)]


def test_what_is_archived_is_settled_and_not_planned_again(conn: Connection) -> None:
    files = five_minute_files(3)
    archive_all(conn, planned(conn, *files))
    again = planned(conn, *files, run=2)
    assert again.batches == ()
    assert again.settled == tuple(each.source for each in files)


def test_the_same_content_under_two_names_is_one_recording_with_two_sources(conn: Connection) -> None:
    plan = planned(conn, seen("lobby/a.mp4", content="x"), seen("lobby/copy of a.mp4", content="x"))
    (item,) = plan.batches[0].items
    assert {source.path for source in item.sources} == {"lobby/a.mp4", "lobby/copy of a.mp4"}
    assert events(conn, item.recording_id) == ["planned", "source_seen"]


def test_two_starts_that_were_named_are_two_recordings(conn: Connection) -> None:
    planned(conn, seen("lobby/a.mp4", content="x"), seen("lobby/b.mp4", content="x", start=START + HOUR))
    assert recordings(conn) == 2


def test_a_guessed_start_never_makes_known_content_a_second_recording(conn: Connection) -> None:
    archive_all(conn, planned(conn, seen("lobby/a.mp4", content="x")))
    again = planned(conn, seen("lobby/strange.mp4", content="x", start=START + HOUR, basis="mtime"), run=2)
    assert (again.batches, recordings(conn)) == ((), 1)
    archive_all(conn, planned(conn, seen("lobby/b.mp4", content="y", basis="container"), run=3))
    assert planned(conn, seen("lobby/c.mp4", content="y", start=START + HOUR), run=4).batches == ()
    assert recordings(conn) == 2


def test_the_recorder_s_own_start_replaces_a_guess_while_nothing_is_archived(conn: Connection) -> None:
    planned(conn, seen("lobby/a.mp4", content="x", start=START + HOUR, basis="mtime"))
    (item,) = planned(conn, seen("lobby/b.mp4", content="x"), run=2).batches[0].items
    assert (item.start_utc, item.time_basis) == (START, "name")
    assert {source.path for source in item.sources} == {"lobby/a.mp4", "lobby/b.mp4"}
    assert recordings(conn) == 1


def test_other_content_under_the_same_name_is_a_new_recording_and_the_planned_one_is_withdrawn(
    conn: Connection,
) -> None:
    (old,) = planned(conn, seen("lobby/a.mp4", content="x")).batches[0].items
    (new,) = planned(conn, seen("lobby/a.mp4", content="y"), run=2).batches[0].items
    assert new.recording_id != old.recording_id
    assert events(conn, old.recording_id) == ["planned", "withdrawn"]
    assert close_run(conn, a_run(1)).withdrawn == 1
    assert [len(batch.items) for batch in planned(conn).batches] == [0]


def test_other_content_under_the_same_name_leaves_the_archived_one(conn: Connection) -> None:
    first = planned(conn, seen("lobby/a.mp4", content="x"))
    archive_all(conn, first)
    planned(conn, seen("lobby/a.mp4", content="y"), run=2)
    assert recordings(conn) == 2
    (order,) = planned(conn, run=3, now=NOW + 2 * KEEP).due
    assert (order.recording_id, order.sources) == (first.batches[0].items[0].recording_id, ())


def test_a_refused_file_is_quarantined_once_and_settled(conn: Connection) -> None:
    bad = refused("lobby/bad.mp4")
    for run in (1, 2):
        plan = planned(conn, bad, run=run)
        assert (plan.batches, plan.settled) == ((), (bad.source,))
    assert ask(conn, "SELECT reason, path, stage FROM quarantine") == [("no_video_stream", "lobby/bad.mp4", "sense")]
    assert ask(conn, "SELECT event FROM lineage") == [("quarantined",)]


def test_a_refused_file_without_a_fingerprint_is_quarantined_once(conn: Connection) -> None:
    bad = replace(refused("lobby/bad.mp4", basis="mtime"), fingerprint="")
    planned(conn, bad)
    planned(conn, replace(bad, start_utc=START + HOUR), run=2)
    assert recordings(conn) == 1


@pytest.mark.parametrize("content", ["lobby/a.mp4", "repaired"])
def test_a_refused_file_that_became_good_is_resolved(conn: Connection, content: str) -> None:
    planned(conn, refused("lobby/a.mp4"))
    plan = planned(conn, seen("lobby/a.mp4", content=content), run=2)
    assert names(plan) == [["lobby/a.mp4"]]
    assert ask(conn, "SELECT count(*) FROM quarantine") == [(0,)]
    assert ("resolved",) in ask(conn, "SELECT event FROM lineage")
    assert recordings(conn) == 1


def test_a_refused_file_with_other_wrong_content_is_one_quarantined_file(conn: Connection) -> None:
    planned(conn, refused("lobby/a.mp4", content="x"))
    planned(conn, refused("lobby/a.mp4", content="y"), run=2)
    assert recordings(conn) == 1
    assert ask(conn, "SELECT count(*) FROM quarantine") == [(1,)]


def test_a_run_takes_on_a_bounded_number_of_files_and_the_next_one_the_rest(conn: Connection) -> None:
    files = five_minute_files(FILES_PER_RUN + 10)
    assert sum(len(batch.items) for batch in planned(conn, *files).batches) == FILES_PER_RUN
    archive_all(conn, planned(conn, run=1))
    assert sum(len(batch.items) for batch in planned(conn, run=2).batches) == 10


def test_any_clock_finds_its_partition(conn: Connection) -> None:
    years = (1, 1970, 1999, 2038, 9999)
    for run, year in enumerate(years):
        starts = [datetime(year, month, day, 23, 59, tzinfo=UTC) for month, day in ((1, 1), (12, 31))]
        files = [seen(f"lobby/{start:%Y%m}.mp4", start=start, duration_s=30 * 3600.0) for start in starts]
        archive_all(conn, planned(conn, *files, run=run))
    assert ask(conn, "SELECT count(*) FROM recording WHERE custody = 1") == [(2 * len(years),)]


def test_odd_names_keep_their_text(conn: Connection) -> None:
    odd = ["'; DROP TABLE recording; --.mp4", "%00%0A .mp4", "\U0001f3a5.mp4", "-i.mp4", "d/" * 2000 + "%FF" * 255]
    plan = planned(conn, *(seen(name, start=START + number * HOUR) for number, name in enumerate(odd)))
    assert names(plan) == [list(reversed(odd))]


def test_a_renamed_site_store_or_camera_stays_itself(conn: Connection) -> None:
    planned(conn, seen("lobby/a.mp4"))
    cameras = (CameraConfig("lobby", "Main lobby", "lobby"),)
    plan = planned(conn, run=2, name="HQ", cameras=cameras, stores=(StoreConfig("nas", "file:///mnt/nas"),))
    assert plan.batches[0].stores[0].url == "file:///mnt/nas"
    assert ask(conn, "SELECT s.name, c.name FROM site s JOIN camera c USING (site_id)") == [("HQ", "Main lobby")]
    assert ask(conn, "SELECT count(*) FROM store") == [(1,)]


def test_connection_and_storage_class_of_a_store_reach_the_batch_and_follow_sites_yaml(conn: Connection) -> None:
    cloud = StoreConfig("cloud", "s3://company/cctv", "company_s3", StoreOptions(storage_class="STANDARD_IA"))
    (target,) = planned(conn, seen("lobby/a.mp4"), stores=(cloud,)).batches[0].stores
    assert (target.url, target.conn_id, target.options) == (cloud.url, cloud.conn_id, cloud.options)
    (target,) = planned(conn, run=2, stores=(StoreConfig("cloud", cloud.url, "other"),)).batches[0].stores
    assert (target.store_id, target.conn_id, target.options.storage_class) == (1, "other", "")


def test_receipts_of_a_killed_first_try_count_in_the_next_run(conn: Connection) -> None:
    first = planned(conn, *five_minute_files(2))
    record_receipts(
        conn, first.batches[0], [receipt_for(first.batches[0].items[0], first.batches[0])], a_run(), NOW, KEEP
    )
    second = planned(conn, *five_minute_files(2), run=2)
    assert names(second) == [["lobby/000.mp4"]]
    assert len(close_run(conn, a_run(1)).unfinished) == 1
    archive_all(conn, second)
    assert close_run(conn, a_run(1)).archived == 2


def test_a_file_that_the_catalogue_can_not_take_stops_no_other_and_has_an_outcome(conn: Connection) -> None:
    wide = replace(seen("lobby/wide.mp4", start=START + HOUR), width=1_000_000)
    odd = replace(seen("lobby/odd.mp4", start=START + 2 * HOUR), codec="a\0b")
    plan = planned(conn, wide, odd, seen("lobby/good.mp4"))
    assert names(plan) == [["lobby/wide.mp4", "lobby/good.mp4"]]
    assert ask(conn, "SELECT source_name, width FROM recording WHERE custody = 0 ORDER BY start_at DESC") == [
        ("lobby/wide.mp4", None),
        ("lobby/good.mp4", 1920),
    ]
    (told,) = ask(conn, "SELECT path, reason FROM quarantine")
    assert told == ("lobby/odd.mp4", "not_recordable")
    assert [source.path for source in plan.settled] == ["lobby/odd.mp4"]


def test_a_look_that_no_program_of_ours_takes_is_refused_whole(
    conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a branch others may have the machine; names of cameras become names of files and keys at the centre."""
    for camera in ("../../secrets", "a/b", "", "Lobby", "-x", "x" * 41):
        with pytest.raises(CatalogueError, match="tells of a camera"):
            planned(conn, seen("a.mp4"), seen("b.mp4", camera=camera))
        with pytest.raises(CatalogueError, match="tells of a camera"):
            planned(conn, refused("b.mp4", camera=camera))
    monkeypatch.setattr(planning, "MOST_FILES", 3)
    with pytest.raises(CatalogueError, match="4 files at once"):
        planned(conn, *five_minute_files(2), *(refused(f"{number}.mp4") for number in range(2)))
    assert ask(conn, "SELECT count(*) FROM recording, camera, run") == [(0,)]
    assert len(names(planned(conn, *five_minute_files(3)))) == 1


def test_what_a_look_says_of_lengths_and_why_is_what_pages_can_show(conn: Connection) -> None:
    """Sums over it stand on everybody's pages."""
    endless = replace(seen("lobby/endless.mp4"), duration_s=float("inf"), fps=float("nan"))
    huge = replace(seen("lobby/huge.mp4", start=START + HOUR), duration_s=1e30, fps=1e30)
    none = replace(seen("lobby/none.mp4", start=START + 2 * HOUR), duration_s=float("nan"))
    wordy = refused("lobby/wordy.mp4", start=START + 3 * HOUR)
    wordy = replace(wordy, fault=load(Fault, dump(replace(wordy.fault, message="x" * 100_000, remedy="y" * 100_000))))
    planned(conn, endless, huge, none, wordy)
    year = 366 * 86_400.0
    assert ask(conn, "SELECT source_name, duration_s, fps FROM recording ORDER BY start_at") == [
        ("lobby/endless.mp4", year, None),
        ("lobby/huge.mp4", year, None),
        ("lobby/none.mp4", 0.0, None),
        ("lobby/wordy.mp4", 0.0, None),
    ]
    assert max(ask(conn, "SELECT length(message), length(remedy) FROM quarantine")) <= (4000, 4000)
    with pytest.raises(CatalogueError, match="longer than one can be"):
        planned(conn, seen("x" * 20_001), run=2)
    for words in ({"codec": "x" * 201}, {"audio_codec": "x" * 201}, {"pattern": "x" * 201}):
        with pytest.raises(CatalogueError, match="a codec or pattern longer"):
            planned(conn, replace(seen("lobby/words.mp4"), **words), run=2)  # type: ignore[arg-type]


def test_who_says_when_footage_begins_does_not_say_how_many_tables_there_are(
    conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(conn)
    ((there,),) = ask(conn, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'recording'::regclass")
    monkeypatch.setattr(partitions, "MOST_MONTHS", there + 2)
    near = [seen("lobby/near.mp4", start=START), refused("lobby/last.mp4", start=START - timedelta(days=40))]
    far = [seen(f"lobby/{year}.mp4", start=datetime(year, 1, 1, tzinfo=UTC)) for year in (1, 1871, 4000, 9999)]
    far += [refused("lobby/refused.mp4", start=datetime(2999, 1, 1, tzinfo=UTC))]  # type: ignore[list-item]
    plan = planned(conn, *far, *near, run=2)
    assert names(plan) == [["lobby/near.mp4"]]
    assert [one.path for one in plan.settled] == ["lobby/last.mp4"]
    assert ask(conn, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'recording'::regclass")[0][0] <= there + 2
    later = NOW + timedelta(days=400)  # the calendar's own months are made all the same
    planned(conn, seen("lobby/new.mp4", start=later), run=3, now=later)
    assert ask(conn, "SELECT count(*) FROM recording WHERE source_name = 'lobby/new.mp4'") == [(1,)]


def test_a_run_planned_again_after_its_sources_were_released_still_names_them(conn: Connection) -> None:
    plan = planned(conn, seen("lobby/a.mp4"), keep_source=timedelta(0))
    (batch,) = plan.batches
    recorded = record_receipts(conn, batch, receipts_for(batch), a_run(), NOW, timedelta(0))
    (order,) = recorded.archived
    gone = ReleaseReceipt(order.recording_id, order.start_utc, ("lobby/a.mp4",), {}, done=True)
    record_releases(conn, [gone], a_run(), NOW)
    again = planned(conn, keep_source=timedelta(0))
    assert names(again) == [["lobby/a.mp4"]]
    assert again.due == ()


def test_what_fails_again_and_again_keeps_no_place_from_what_is_older(
    conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "FILES_PER_RUN", 4)
    stuck = Fault("compress_failed", "FFmpeg was killed.", "It is tried again.", permanent=False)
    old = [seen(f"lobby/old{number}.mp4", start=START - number * HOUR) for number in range(3)]
    new = [seen(f"lobby/new{number}.mp4", start=START + (number + 1) * HOUR) for number in range(6)]
    tried: list[set[str]] = []
    for run in range(1, 6):
        plan = planned(conn, *old, *new, run=run, now=NOW + run * HOUR)
        tried.append({name for batch in names(plan) for name in batch})
        for batch in plan.batches:
            receipts = [receipt_for(item, batch, fault=stuck) for item in batch.items]
            record_receipts(conn, batch, receipts, a_run(run), NOW + run * HOUR, KEEP)
    assert tried[0] == {f"lobby/new{number}.mp4" for number in range(2, 6)}
    assert {each.source.path for each in old} <= set.union(*tried)
    assert all(set.union(*tried[at : at + 3]) >= tried[at] for at in range(3)), "what failed is tried again in turn"


@pytest.mark.parametrize("camera", ["lobby", "gate"])
def test_a_name_that_is_read_differently_today_archives_no_file_twice(conn: Connection, camera: str) -> None:
    archived, waiting = seen("ch1/a.mp4"), seen("ch1/b.mp4")
    archive_all(conn, planned(conn, archived))
    planned(conn, waiting, run=2)
    today = [replace(each, start_utc=START - 2 * HOUR, camera=camera) for each in (archived, waiting)]
    plan = planned(conn, *today, run=3)
    assert names(plan) == [["ch1/b.mp4"]]
    assert plan.batches[0].items[0].start_utc == START - 2 * HOUR, "what only waits takes the corrected reading"
    assert plan.settled == (archived.source,)
    assert recordings(conn) == 2
