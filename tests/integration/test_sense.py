"""Sensing real folders with real files: what is closed is seen once, what is odd has an outcome, what grows waits."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

import vms.examine
import vms.steps.sense
from sense_world import LONG_AGO, _make, ledger, look, names, reasons
from sense_world import clip as clip  # fixtures
from sense_world import home as home
from sense_world import put as put
from vms import footage, model
from vms.cli.sites import app
from vms.errors import FootageUnreachable
from vms.sightings import Sensed, SourceSeen
from vms.video.binaries import binaries


def test_a_closed_file_is_seen_with_camera_time_and_picture(home, put, clip):
    path = put("lobby/20260131_080000.mp4", clip)
    sensed = look(home)
    (seen,) = sensed.sightings
    assert (seen.camera, seen.start_utc) == ("lobby", datetime(2026, 1, 31, 1, tzinfo=UTC))
    assert (seen.codec, seen.width, seen.height, seen.fps, seen.audio_codec) == ("h264", 320, 240, 10.0, None)
    assert seen.duration_s == pytest.approx(2.0, abs=0.2)
    assert (seen.time_basis, seen.pattern) == ("name", "date-time")
    assert seen.fingerprint == footage.fingerprint(path)
    assert seen.source == SourceSeen("lobby/20260131_080000.mp4", path.stat().st_size, path.stat().st_mtime_ns)
    assert (sensed.files, sensed.settled, sensed.waiting, sensed.rejections) == (1, 0, (), ())
    assert model.load(Sensed, json.loads(json.dumps(model.dump(sensed)))) == sensed


def test_a_freshly_copied_set_is_closed_but_for_its_newest(home, put, clip):
    for minute in range(3):
        put(f"lobby/20260131_08{minute:02}00.mp4", clip, age_s=3 - minute)
    sensed = look(home)
    assert names(sensed) == {"lobby/20260131_080000.mp4", "lobby/20260131_080100.mp4"}
    assert [one.path for one in sensed.waiting] == ["lobby/20260131_080200.mp4"]
    later = look(home, now=datetime.now(UTC) + timedelta(minutes=1))
    assert "lobby/20260131_080200.mp4" in names(later)


def test_a_growing_file_waits_though_a_newer_one_follows_and_is_seen_when_it_ends(home, put, clip):
    path = put("lobby/20260131_080000.mp4", clip.read_bytes()[:5000], age_s=1)
    put("lobby/20260131_080100.mp4", clip, age_s=0)
    ended = threading.Event()

    def record() -> None:
        while not ended.wait(0.2):
            with path.open("ab") as file:
                file.write(b"\0" * 100)

    recorder = threading.Thread(target=record)
    recorder.start()
    try:
        assert "lobby/20260131_080000.mp4" in {one.path for one in look(home).waiting}
    finally:
        ended.set()
        recorder.join()
    shutil.copyfile(clip, path)
    os.utime(path, (time.time() - LONG_AGO,) * 2)
    assert "lobby/20260131_080000.mp4" in names(look(home))


def test_odd_things_get_an_outcome_and_stop_nothing(home, put, clip, tmp_path):
    root = tmp_path / "footage"
    put("lobby/20260131_080000.mp4", clip)
    put("cam/empty.mp4", b"")
    put("cam/text.mp4", b"hello\n")
    put("cam/concat.mp4", b"ffconcat version 1.0\nfile /etc/hostname\n")
    put("cam/list.mp4", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n")
    put("cam/noise.dav", os.urandom(5000))
    put("cam/cut.mp4", clip.read_bytes()[:4000])
    put("cam/readme.xyz", b"hello")
    put("cam/nothing", b"")
    put("folder.mp4/20260131_090000.mp4", clip)
    (root / "link.mp4").symlink_to("/etc/hostname")
    os.mkfifo(root / "pipe.mp4")
    sound = tmp_path / "sound.m4a"
    tone = ["-f", "lavfi", "-i", "sine=duration=1"]
    subprocess.run([binaries(None).ffmpeg, "-v", "error", *tone, str(sound)], check=True, capture_output=True)
    put("cam/sound.mp4", sound)

    sensed = look(home)
    assert names(sensed) == {"lobby/20260131_080000.mp4", "folder.mp4/20260131_090000.mp4"}
    found = reasons(sensed)
    cut = found.pop("cam/cut.mp4")
    assert cut in ("no_moov", "not_video", "damaged")
    assert found == {
        "cam/empty.mp4": "zero_bytes",
        "cam/text.mp4": "not_video",
        "cam/concat.mp4": "playlist",
        "cam/list.mp4": "playlist",
        "cam/noise.dav": "not_video",
        "cam/sound.mp4": "no_video_stream",
        "folder.mp4": "directory",
        "link.mp4": "link_outside",
        "pipe.mp4": "not_a_file",
    }
    for one in sensed.rejections:
        assert one.source.path in one.fault.message
        assert one.fault.remedy
        assert one.fault.permanent
        assert len(one.fingerprint) == 32
    assert len({one.fingerprint for one in sensed.rejections}) == len(sensed.rejections)
    assert sensed.ignored == 2


@pytest.mark.parametrize(
    "name",
    [
        'lobby/it\'s "quoted" $(x) `y` ;.mp4',
        "lobby/new\nline.mp4",
        "lobby/-i.mp4",
        "lobby/co:lon concat:x.mp4",
        "lobby/😀.mp4",
        b"lobby/caf\xe9.mp4",
        b"lobby/" + b"n" * 251 + b".mp4",
        "lobby/100%25.mp4",
    ],
)
def test_any_name_that_a_disk_can_hold_is_seen(home, put, clip, name):
    path = put(name, clip)
    (seen,) = look(home).sightings
    assert seen.camera == "lobby"
    assert seen.time_basis == "mtime"
    assert (home.root.parent / "footage" / footage.from_text(seen.source.path)).samefile(path)


def test_footage_of_an_unknown_ending_is_seen(home, put, clip):
    put("lobby/20260131_080000.rec0", clip)
    put("lobby/20260131_080500", clip)
    assert names(look(home)) == {"lobby/20260131_080000.rec0", "lobby/20260131_080500"}


def test_what_does_not_open_waits_while_it_is_young(home, put, clip):
    put("lobby/20260131_080000.mp4", clip.read_bytes()[:4000], age_s=footage.SETTLE_S + 1)
    sensed = look(home)
    assert sensed.rejections == ()
    assert "does not open yet" in sensed.waiting[0].why
    later = look(home, now=datetime.now(UTC) + timedelta(seconds=footage.YOUNG_S))
    assert set(reasons(later)) == {"lobby/20260131_080000.mp4"}


def test_an_unforeseen_fault_in_one_file_lets_the_others_through(home, put, clip, monkeypatch):
    put("lobby/20260131_080000.mp4", clip)
    put("lobby/20260131_081000.mp4", clip)
    real = vms.examine.probe

    def probe(path: Path):
        if "081000" in path.name:
            raise RuntimeError("unforeseen")
        return real(path)

    monkeypatch.setattr(vms.examine, "probe", probe)
    sensed = look(home)
    assert names(sensed) == {"lobby/20260131_080000.mp4"}
    assert "RuntimeError" in sensed.waiting[0].why


def test_the_newest_come_first_and_the_rest_is_left_for_the_next_run(home, put, clip):
    for minute in range(5):
        put(f"lobby/20260131_08{minute:02}00.mp4", clip)
    sensed = look(home, limit=2)
    assert [one.source.path[-10:] for one in sensed.sightings] == ["080400.mp4", "080300.mp4"]
    assert sensed.more == 3
    ledger(home).settle([one.source for one in sensed.sightings], "known")
    assert [one.source.path[-10:] for one in look(home, limit=2).sightings] == ["080200.mp4", "080100.mp4"]


def test_the_same_content_under_two_names_has_one_fingerprint(home, put, clip):
    put("lobby/20260131_080000.mp4", clip)
    put("lobby/copy of 20260131_080000.mp4", clip)
    assert len({(one.camera, one.start_utc, one.fingerprint) for one in look(home).sightings}) == 1


def test_a_container_time_counts_when_the_name_tells_none(home, put, tmp_path):
    made = _make(tmp_path / "made.mp4", "-c:v", "libx264", "-metadata", "creation_time=2026-02-03T04:05:06Z")
    put("lobby/movie.mp4", made)
    (seen,) = look(home).sightings
    assert (seen.time_basis, seen.start_utc) == ("container", datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC))


def test_a_share_that_stops_answering_fails_its_site(home, put, clip, monkeypatch):
    put("lobby/20260131_080000.mp4", clip)
    never = threading.Event()
    monkeypatch.setattr(vms.steps.sense, "EXAMINE_STALL_S", 0.3)
    monkeypatch.setattr(footage, "fingerprint", lambda _: never.wait())
    with pytest.raises(FootageUnreachable, match="Site ho"):
        look(home)
    never.set()


def test_a_lost_mount_does_not_pass_for_an_empty_folder(home, put, clip, tmp_path):
    put("lobby/20260131_080000.mp4", clip)
    look(home)
    shutil.rmtree(tmp_path / "footage" / "lobby")
    assert look(home).files == 0  # emptied, but on the same disk
    ledger(home).remember_device(-1)
    with pytest.raises(FootageUnreachable, match="another disk"):
        look(home)


@pytest.mark.usefixtures("home")
def test_trying_a_site_tells_each_file_and_touches_nothing(put, clip, tmp_path):
    put("lobby/20260131_080000.mp4", clip)
    put("lobby/20260131_081000.mp4", b"text")
    put("lobby/20260131_082000.mp4", clip, age_s=1)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    done = CliRunner().invoke(app, ["try", "ho", "--json"])
    assert done.exit_code == 0, done.output
    rows = {row["path"][-10:-4]: row for row in map(json.loads, done.stdout.splitlines())}
    assert {name: row["outcome"] for name, row in rows.items()} == {
        "080000": "recording",
        "081000": "quarantined",
        "082000": "waiting",
    }
    row = rows["080000"]
    assert (row["camera"], row["start_utc"], row["pattern"]) == ("lobby", "2026-01-31T01:00:00Z", "date-time")
    assert row["start_local"] == "2026-01-31T08:00:00+07:00"
    assert row["closed"] is True
    assert rows["082000"]["closed"] is False
    assert rows["082000"]["why"]
    assert rows["081000"]["reason"] == "not_video"
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    table = CliRunner().invoke(app, ["try", "ho"], env={"COLUMNS": "200"})
    assert "2026-01-31 08:00:00 WIB" in table.stdout


def test_checking_sites_yaml_prints_every_mistake_and_fails(home):
    assert CliRunner().invoke(app, ["check"]).exit_code == 0
    home.sites_file.write_text("sites:\n- {id: ho, footage: rel, time_zone: WIB, evry: 5m}\n")
    done = CliRunner().invoke(app, ["check"])
    assert done.exit_code == 1
    assert ":2:21:" in done.stdout
    assert 'Did you mean "every"?' in done.stdout
    answer = CliRunner().invoke(app, ["check", "--json"])
    assert answer.exit_code == 1
    assert json.loads(answer.stdout)["errors"][0]["site"] == "ho"
    home.sites_file.write_text("")
    assert CliRunner().invoke(app, ["check"]).exit_code == 1


def test_a_clock_that_stands_at_zero_is_marked_and_not_taken_for_now(home, put, clip):
    path = put("lobby/clip.mp4", clip)
    os.utime(path, ns=(0, 0))
    (seen,) = look(home).sightings
    assert (seen.start_utc.year, seen.time_marks) == (1969, ("before_2000",))


@pytest.mark.parametrize("mtime_s", [10**10, -(10**10)], ids=["far future", "far past"])
def test_a_file_time_that_no_database_holds_stops_nothing(home, put, clip, mtime_s):
    path = put("lobby/20260131_080000.mp4", clip)
    try:
        os.utime(path, (mtime_s, mtime_s))
    except OverflowError:
        pytest.skip("this file system can't hold such a time")
    if path.stat().st_mtime != mtime_s:
        pytest.skip("this file system can't hold such a time")
    put("lobby/20260131_081000.mp4", clip)
    assert "lobby/20260131_081000.mp4" in names(look(home))
    told = look(home, datetime.now(UTC) + timedelta(minutes=5))
    assert names(told) == {"lobby/20260131_080000.mp4", "lobby/20260131_081000.mp4"}
    assert all(abs(one.source.mtime_ns) < 2**63 for one in told.sightings)
