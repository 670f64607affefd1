"""Stores that rot, lose and gain objects behind our back: all of it found, explained and made good; nothing deleted."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from catalogue_world import START, ask, events
from integrity_world import RUN, Archive, age, an_archive, damage, rendition_that_says
from test_catalogue_reads import _explained, _fill_months, _refuse_reading_through
from vms.catalogue import adopting, integrity
from vms.catalogue.connection import Connection
from vms.catalogue.coverage import gaps
from vms.catalogue.events import Actor
from vms.catalogue.integrity import list_strays, proofs
from vms.catalogue.losing import lose
from vms.catalogue.partitions import ensure_partitions
from vms.catalogue.planning import load_batches
from vms.home import PROJECT_ROOT, Home
from vms.steps import space
from vms.steps.prove import sample_size
from vms.video.identity import Identity

LATER = datetime.now(UTC) + timedelta(days=2)


@pytest.fixture
def home(catalogue: tuple[Home, str]) -> Home:
    return catalogue[0]


def two_stores(conn: Connection, home: Home, tmp_path: Path, count: int = 4) -> Archive:
    return an_archive(conn, home, tmp_path, count, ("nas", "san"))


def contents(archive: Archive, store: str) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in archive.files(store)}


def first_gap(conn: Connection) -> list[str]:
    return [gap.reason for gap in gaps(conn, "ho", "lobby", START, START + timedelta(seconds=4), now=LATER)]


def test_a_sound_archive_is_left_as_it_is(conn: Connection, home: Home, tmp_path: Path) -> None:
    archive = two_stores(conn, home, tmp_path)
    before = ask(conn, "SELECT k::text FROM copy k ORDER BY recording_id, store_id")
    found = archive.reconcile()
    assert (found.rows, found.objects, found.lost, found.damaged, found.foreign, found.finished) == (
        4,
        4,
        0,
        0,
        0,
        True,
    )
    assert ask(conn, "SELECT k::text FROM copy k ORDER BY recording_id, store_id") == before
    proven = archive.prove()
    assert (proven.checked, proven.damaged, proven.error) == (4, 0, "")
    assert [(one.store, one.copies, one.proven) for one in proofs(conn)] == [("nas", 4, 4), ("san", 4, 0)]
    assert archive.repair().broken == 0


def test_a_deleted_object_is_found_explained_and_repaired(conn: Connection, home: Home, tmp_path: Path) -> None:
    archive = two_stores(conn, home, tmp_path)
    gone = archive.files()[0]
    sound = contents(archive, "nas")
    gone.unlink()
    found = archive.reconcile()
    assert (found.lost, found.error) == (1, "")
    assert "made good from another copy" in archive.said[0]
    assert ask(conn, "SELECT store_id FROM copy_wanted") == [(1,)]
    assert first_gap(conn) == [], "the other store still has it"
    assert (archive.repair().repaired, contents(archive, "nas")) == (1, sound)
    assert ask(conn, "SELECT count(*) FROM copy_wanted") == [(0,)]
    assert ask(conn, "SELECT DISTINCT state FROM copy") == [(0,)]
    assert events(conn, 1)[-3:] == ["copy_lost", "copied", "repaired"]
    assert archive.reconcile().lost == 0


def test_a_disk_without_room_keeps_copies_from_being_repaired_and_ends_no_round(
    conn: Connection, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = two_stores(conn, home, tmp_path)
    for gone in archive.files()[:2]:
        gone.unlink()
    assert archive.reconcile().lost == 2
    with monkeypatch.context() as full:
        full.setattr(space, "floor_bytes", lambda _folder: 1 << 60)
        assert (archive.repair().repaired, sum("does not fit" in line for line in archive.said)) == (0, 2)
    assert archive.repair().repaired == 2


def test_without_another_copy_the_source_on_site_is_archived_again(
    conn: Connection, home: Home, tmp_path: Path
) -> None:
    archive = an_archive(conn, home, tmp_path, 3)
    archive.files()[0].unlink()
    assert archive.reconcile().lost == 1
    assert "archived again from its source" in archive.said[0]
    assert ask(conn, "SELECT custody FROM recording ORDER BY start_at") == [(0,), (1,), (1,)]
    assert first_gap(conn) == ["waiting"]
    assert archive.repair().broken == 0, "that is the next run's to do"


def test_what_nothing_can_make_good_is_lost_until_it_is_back(conn: Connection, home: Home, tmp_path: Path) -> None:
    archive = an_archive(conn, home, tmp_path, 3)
    ask(conn, "UPDATE recording_source SET released_at = now() RETURNING 1")
    gone = archive.files()[0]
    gone.rename(tmp_path / "aside.mp4")
    assert archive.reconcile().lost == 1
    assert "this footage is lost" in archive.said[0]
    assert first_gap(conn) == ["lost"]
    assert archive.repair().without == 1
    (tmp_path / "aside.mp4").rename(gone)
    assert archive.repair().repaired == 1
    assert first_gap(conn) == []
    assert archive.reconcile().foreign == 0


def test_half_of_the_objects_corrupted(conn: Connection, home: Home, tmp_path: Path) -> None:
    archive = two_stores(conn, home, tmp_path, count=6)
    sound = contents(archive, "san")
    for path in archive.files()[:3]:
        damage(path)
    rotten = contents(archive, "nas")
    assert archive.reconcile().damaged == 0, "sizes agree: only the deep check can tell"
    proven = archive.prove()
    assert (proven.checked, proven.damaged, proven.lost) == (6, 3, 0)
    assert archive.repair().repaired == 3
    after = contents(archive, "nas")
    assert {name: digest for name, digest in after.items() if name in rotten} == rotten, "nothing is overwritten"
    assert set(sound.values()) <= set(after.values())
    assert sorted(one.kind for one in list_strays(conn, "nas")) == ["damaged"] * 3
    again = archive.prove()
    assert (again.checked, again.damaged) == (6, 0)
    assert (archive.reconcile().foreign, archive.prove("san").damaged) == (0, 0)


def test_a_truncated_object_is_seen_by_its_size(conn: Connection, home: Home, tmp_path: Path) -> None:
    archive = two_stores(conn, home, tmp_path)
    path = archive.files()[1]
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:1000])
    assert archive.reconcile().damaged == 1
    assert archive.repair().repaired == 1


def test_foreign_objects_are_reported_once_and_left(conn: Connection, home: Home, tmp_path: Path) -> None:
    archive = an_archive(conn, home, tmp_path, 2)
    folder = archive.files()[0].parent
    foreign = [folder / "holiday.mp4", tmp_path / "nas/ho/notes.txt", folder / "20260131T020000Z_0123456789ab.mp4"]
    for path in foreign:
        path.write_bytes(b"not ours")
        age(path)
    young = folder / "young.mp4"
    young.write_bytes(b"on its way")
    found = archive.reconcile()
    assert (found.foreign, found.adopted, found.young, len(archive.said)) == (3, 0, 1, 3)
    assert {one.detail for one in list_strays(conn)} == {
        "its key is none of ours",
        "it does not say which recording it is",
    }
    assert (archive.reconcile().foreign, archive.said) == (3, [])
    assert all(path.exists() for path in (*foreign, young))


def test_what_somebody_lets_an_object_say_of_itself_stops_no_round(
    conn: Connection, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A branch's key may put what it likes below its own prefix."""
    archive = an_archive(conn, home, tmp_path, 4)
    with conn, conn.cursor() as cursor:
        item = load_batches(cursor, 1)[0].items[0]
    source = item.sources[0]
    sha = "ab" * 32
    lies = {
        "no hex": Identity(replace(item, start_utc=START - timedelta(hours=1)), source, "z" * 64, archive.site.profile),
        "no basis": Identity(
            replace(item, start_utc=START - timedelta(hours=2), time_basis="stars"),  # type: ignore[arg-type]
            source,
            sha,
            archive.site.profile,
        ),
        "a NUL": Identity(
            replace(item, start_utc=START - timedelta(hours=3)), replace(source, path="a\0b"), sha, archive.site.profile
        ),
    }
    for lie in lies.values():
        told = tmp_path / "nas" / f"{lie.item.key_stem}.mp4"
        told.parent.mkdir(parents=True, exist_ok=True)
        rendition_that_says(home, tmp_path, lie).rename(told)
        age(told)
    last = archive.files()[-1]
    last.unlink()  # what is wrong behind them is found
    found = archive.reconcile()
    assert (found.finished, found.foreign, found.adopted, found.lost) == (True, 3, 0, 1)
    assert all("can't hold what it says" in one.detail for one in list_strays(conn))

    large = archive.files()[0].with_name("20260131T040000Z_0123456789ab.mp4")
    large.write_bytes(b"as large as the disk")
    age(large)
    monkeypatch.setattr(space, "floor_bytes", lambda _folder: 1 << 60)
    found = archive.reconcile()
    assert (found.finished, found.foreign) == (True, 0)
    assert [one for one in archive.said if large.name in one and "can't be looked at now" in one]
    monkeypatch.undo()
    assert archive.reconcile().foreign == 4, "it is looked at when there is room"


def test_an_object_whose_row_or_recording_is_gone_is_adopted(conn: Connection, home: Home, tmp_path: Path) -> None:
    archive = an_archive(conn, home, tmp_path, 3)
    for path in archive.files():
        age(path)
    before = ask(conn, "SELECT start_at, fingerprint, source_name, rendition_sha256 FROM recording ORDER BY start_at")
    ask(conn, "DELETE FROM copy WHERE recording_id = 1 RETURNING 1")
    ask(conn, "DELETE FROM copy WHERE recording_id = 2 RETURNING 1")
    ask(conn, "DELETE FROM recording WHERE recording_id = 2 RETURNING 1")
    found = archive.reconcile()
    assert (found.adopted, found.foreign, found.lost) == (2, 0, 0)
    after = ask(conn, "SELECT start_at, fingerprint, source_name, rendition_sha256 FROM recording ORDER BY start_at")
    assert after == before
    assert ask(conn, "SELECT count(*) FROM copy WHERE state = 0") == [(3,)]
    assert archive.prove().damaged == 0


def test_a_store_that_is_away_or_another_one_marks_nothing(conn: Connection, home: Home, tmp_path: Path) -> None:
    archive = an_archive(conn, home, tmp_path, 3)
    (tmp_path / "nas").rename(tmp_path / "unmounted")
    (tmp_path / "nas").mkdir()
    for found in (archive.reconcile(), archive.prove()):
        assert found.error
        assert found.lost == 0
    assert archive.repair().broken == 0
    assert ask(conn, "SELECT DISTINCT state FROM copy") == [(0,)]
    (tmp_path / "nas").rmdir()
    (tmp_path / "unmounted").rename(tmp_path / "nas")
    assert archive.reconcile().error == ""


def test_a_store_that_was_emptied_marks_nothing_until_a_person_says_so(
    conn: Connection, home: Home, tmp_path: Path
) -> None:
    archive = an_archive(conn, home, tmp_path, 3)
    for path in archive.files():
        path.unlink()
    found = archive.reconcile()
    assert "shows no object at all" in found.error
    assert ask(conn, "SELECT DISTINCT state FROM copy") == [(0,)]
    assert archive.reconcile(accept_losses=True).lost == 3


def test_many_losses_at_once_are_an_error_first(conn: Connection, home: Home, tmp_path: Path) -> None:
    archive = an_archive(conn, home, tmp_path, 30)
    for path in archive.files()[:22]:
        path.unlink()
    found = archive.reconcile()
    assert "looks emptied: 22 of 30" in found.error
    assert (found.lost, ask(conn, "SELECT DISTINCT state FROM copy")) == (0, [(0,)])


def test_a_round_goes_on_where_its_budget_or_a_kill_ended_it(
    conn: Connection, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vms.steps import reconcile as module

    archive = two_stores(conn, home, tmp_path, count=5)
    archive.files()[4].unlink()
    monkeypatch.setattr(module, "PAGE", 2)
    first = archive.reconcile(budget_s=-1.0)
    assert (first.objects, first.finished, first.lost) == (2, False, 0)
    script = (
        "import os, signal, sys; sys.path[:0] = ['include']\n"
        "from vms.home import from_environment; from vms.catalogue.connection import connect\n"
        "from vms.catalogue.integrity import stores_in_use; from vms.model import RunRef\n"
        "from vms.steps import reconcile as module\n"
        "module.PAGE = 1\n"
        "conn = connect(sys.argv[1])\n"
        "module.reconcile(conn, stores_in_use(conn)['nas'], from_environment(), RunRef('', ''), budget_s=3600.0,\n"
        "    report=print, moved=lambda _: os.kill(os.getpid(), signal.SIGKILL))\n"
    )
    environment = os.environ | {"VMS_HOME": str(home.root)}
    killed = subprocess.run(
        [sys.executable, "-c", script, _address(home)],
        cwd=PROJECT_ROOT,
        env=environment,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    last = archive.reconcile()
    assert (last.objects, last.finished, last.lost) == (1, True, 1)
    assert ask(conn, "SELECT round, after_key FROM store_round") == [(1, None)]
    assert archive.reconcile().objects == 4
    assert ask(conn, "SELECT round FROM store_round") == [(2,)]


def _address(home: Home) -> str:
    from vms.stack.postgres import role_url

    return role_url(home, "vms_owner", "catalogue")


def test_the_deep_check_takes_all_in_turn(conn: Connection, home: Home, tmp_path: Path) -> None:
    archive = an_archive(conn, home, tmp_path, 4)
    for _ in range(2):
        assert archive.prove(sample=2).checked == 2
    assert proofs(conn)[0].proven == 4
    first = ask(conn, "SELECT recording_id FROM copy ORDER BY proven_at LIMIT 1")
    archive.prove(sample=1)
    assert ask(conn, "SELECT recording_id FROM copy ORDER BY proven_at DESC LIMIT 1") == first
    assert sample_size(0, timedelta(days=180)) == 20
    assert sample_size(180_000, timedelta(days=180)) == 1200


def test_the_right_bytes_that_do_not_play_are_told_and_not_proven(conn: Connection, home: Home, tmp_path: Path) -> None:
    archive = an_archive(conn, home, tmp_path, 2)
    path = archive.files()[0]
    path.chmod(0o644)
    path.write_bytes(b"x" * 5000)
    digest = hashlib.sha256(b"x" * 5000).digest()
    ask(conn, "UPDATE copy SET sha256 = %s, size_bytes = 5000 WHERE recording_id = 1 RETURNING 1", digest)
    proven = archive.prove()
    assert (proven.unplayable, proven.damaged, proven.checked) == (1, 0, 2)
    assert "does not play" in archive.said[0]
    assert ask(conn, "SELECT state, proven_at IS NULL FROM copy WHERE recording_id = 1") == [(0, True)]


def test_verify_by_hand(
    conn: Connection, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    from vms.cli.app import main

    monkeypatch.setenv("VMS_HOME", str(home.root))
    monkeypatch.setenv("VMS_SITES", str(home.sites_file))
    archive = two_stores(conn, home, tmp_path)
    assert main(["verify", "--sample", "4"]) == 0
    assert "4 copies proven restorable" in capsys.readouterr().out
    archive.files()[0].unlink()
    damage(archive.files()[1])
    assert main(["verify", "--sample", "4", "--no-repair", "--store", "nas", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], answer["compared"][0]["lost"], answer["proven"][0]["damaged"]) == (False, 1, 1)
    assert main(["verify", "--sample", "4", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["repair"] == {"broken": 2, "repaired": 2, "from_source": 0, "without": 0, "failed": 0}
    assert [one["kind"] for one in answer["strays"]] == ["damaged"]
    assert main(["verify", "--store", "nass"]) == 1
    assert 'Did you mean "nas"?' in capsys.readouterr().err


def test_no_query_of_integrity_reads_a_big_table_through(conn: Connection) -> None:
    _fill_months(conn)
    ensure_partitions(conn, [(LATER.year, LATER.month)])
    ask(conn, "UPDATE copy SET key = 'k/' || recording_id || '/' || part RETURNING 1")
    ask(conn, "UPDATE copy SET state = 3 WHERE mod(recording_id, 3000) = 7 RETURNING 1")
    with conn.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    plans = _explained(conn)
    due = integrity.due_for_proof(conn, 1, 50)
    assert len(due) == 50
    assert len(list(integrity.copies_between(conn, 1, "k/1000/", "k/1001/"))) == 22
    assert integrity.has_copies(conn, 1)
    assert integrity.broken_copies(conn, 100)
    integrity.parts_of(conn, due[0])
    integrity.must_decode(conn, due[0])
    integrity.save_proof(conn, due[0], LATER)
    integrity.recordings_kept(conn)
    adopting.owner_of(conn, adopting.KeyParts("site1", "cam1", START, "0" * 12, ".mp4"))
    lose(conn, Actor(RUN, LATER), due[1], "lost", "gone")
    assert len(plans) > 12
    _refuse_reading_through(plans)
