"""Sensing real folders with real files: what is closed is seen once, what is odd has an outcome, what grows waits."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

import vms.examine
import vms.steps.sense
from vms import footage, model
from vms.cli.sites import app
from vms.config import load_config
from vms.errors import ConfigError, FootageUnreachable
from vms.home import Home, from_environment
from vms.ledger import FILE, Ledger
from vms.sightings import Sensed, SourceSeen
from vms.steps.sense import sense
from vms.video.binaries import binaries

LONG_AGO = 3600.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real H.264 MP4 of 2 s."""
    return _make(tmp_path_factory.mktemp("clip") / "clip.mp4", "-c:v", "libx264", "-preset", "ultrafast")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("VMS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VMS_SITES", str(tmp_path / "sites.yaml"))
    monkeypatch.setattr(footage, "SECOND_LOOK_S", 1.0)
    (tmp_path / "footage").mkdir()
    (tmp_path / "sites.yaml").write_text(
        f"sites:\n- {{id: ho, name: Head Office, footage: {tmp_path}/footage, time_zone: WIB}}\n"
    )
    return from_environment()


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    def put(name: str | bytes, content: bytes | Path, age_s: float = LONG_AGO) -> Path:
        path = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path / "footage"), os.fsencode(name))))  # noqa: PTH118
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copyfile(content, path)
        else:
            path.write_bytes(content)
        at = time.time() - age_s
        os.utime(path, (at, at))
        return path

    return put


def look(home: Home, now: datetime | None = None, limit: int = 500) -> Sensed:
    config = load_config(home.sites_file)
    return sense(config.site("ho"), config, home, now=now or datetime.now(UTC), limit=limit)


def names(sensed: Sensed) -> set[str]:
    return {one.source.path for one in sensed.sightings}


def reasons(sensed: Sensed) -> dict[str, str]:
    return {one.source.path: one.fault.reason for one in sensed.rejections}


def ledger(home: Home) -> Ledger:
    return Ledger(home.site_staging("ho"))


def _make(path: Path, *options: str) -> Path:
    source = ["-f", "lavfi", "-i", "testsrc=size=320x240:rate=10:duration=2"]
    argv = [binaries(None).ffmpeg, "-v", "error", "-y", *source, "-pix_fmt", "yuv420p", *options, str(path)]
    subprocess.run(argv, check=True, capture_output=True)
    return path


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


def test_a_file_is_opened_once_and_reported_until_it_is_settled(home, put, clip, monkeypatch):
    put("lobby/20260131_080000.mp4", clip)
    put("lobby/20260131_081000.mp4", b"no video at all")
    first = look(home)
    monkeypatch.setattr(vms.examine, "probe", lambda path: pytest.fail(f"{path} was opened again"))
    again = look(home)
    assert (again.sightings, again.rejections) == (first.sightings, first.rejections)
    ledger(home).settle([one.source for one in (*again.sightings, *again.rejections)], "known")
    quiet = look(home)
    assert (quiet.sightings, quiet.rejections, quiet.settled) == ((), (), 2)


def test_a_changed_file_and_a_forgotten_one_are_looked_at_again(home, put, clip):
    put("lobby/20260131_080000.mp4", clip)
    path = put("lobby/20260131_081000.mp4", clip)
    settled = [one.source for one in look(home).sightings]
    ledger(home).settle(settled, "archived")
    path.write_bytes(clip.read_bytes() + b"\0" * 10)
    os.utime(path, (time.time() - LONG_AGO,) * 2)
    assert names(look(home)) == {"lobby/20260131_081000.mp4"}
    ledger(home).forget(["lobby/20260131_080000.mp4"])
    assert names(look(home)) == {"lobby/20260131_080000.mp4", "lobby/20260131_081000.mp4"}


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


def test_a_refused_file_is_examined_again_within_the_hour_and_told_if_that_helps(home, put, clip, monkeypatch):
    put("lobby/20260131_080000.mp4", clip)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(footage, "fingerprint", refuse)
        first = look(home)
    assert list(reasons(first).values()) == ["unreadable"]
    ledger(home).settle([first.rejections[0].source], "known")
    hour = timedelta(seconds=vms.steps.sense.EXAMINE_AGAIN_S)
    assert look(home).sightings == ()
    with monkeypatch.context() as patched:
        patched.setattr(footage, "fingerprint", refuse)
        assert look(home, now=datetime.now(UTC) + hour).rejections == ()
    assert names(look(home, now=datetime.now(UTC) + 2 * hour)) == {"lobby/20260131_080000.mp4"}


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


@pytest.mark.parametrize("damage", [b"this is no database" * 500, b""])
def test_the_ledger_is_safe_to_lose(home, put, clip, damage):
    put("lobby/20260131_080000.mp4", clip)
    before = look(home)
    file = home.site_staging("ho") / FILE
    for one in file.parent.glob(FILE + "*"):
        one.unlink()
    file.write_bytes(damage)
    assert look(home).sightings == before.sightings


def test_two_runs_may_use_the_ledger_at_once(home):
    sources = [SourceSeen(f"lobby/{number}.mp4", number, number) for number in range(200)]
    faults: list[sqlite3.Error] = []

    def work(part: list[SourceSeen]) -> None:
        try:
            for one in part:
                ledger(home).settle([one], "known")
        except sqlite3.Error as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(sources[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [footage.Found(one.path, one.size_bytes, one.mtime_ns, "file", likely=True) for one in sources]
    assert faults == []
    assert all(one.settled for one in ledger(home).look(found, 1.0).values())


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


def test_refused_files_that_are_examined_again_keep_no_place_from_what_is_new(home, put, clip):
    for number in range(3):
        put(f"lobby/2038010{number + 1}_080000.mp4", b"no video at all")
    ledger(home).settle([one.source for one in look(home).rejections], "known")
    put("lobby/20260131_080000.mp4", clip)
    assert names(look(home, datetime.now(UTC) + timedelta(hours=2), limit=2)) == {"lobby/20260131_080000.mp4"}


def test_what_is_reported_again_and_again_keeps_no_place_from_what_is_older(home, put, clip):
    for minute in range(6):
        put(f"lobby/20260131_08{minute}000.mp4", clip)
    told = [names(look(home, limit=2)) for _ in range(8)]
    assert told[0] == {"lobby/20260131_085000.mp4", "lobby/20260131_084000.mp4"}
    assert len(set.union(*told)) == 6, "none was settled, and all had their turn"
    assert len(set.union(*told[-4:])) > 2, "what was reported is reported again in turn, not only the newest of it"


def test_a_corrected_time_zone_counts_for_what_was_seen_before_it(home, put, clip):
    put("lobby/20260131_080000.mp4", clip)
    assert look(home).sightings[0].start_utc == datetime(2026, 1, 31, 1, tzinfo=UTC)
    home.sites_file.write_text(home.sites_file.read_text().replace("WIB", "WIT"))
    assert look(home).sightings[0].start_utc == datetime(2026, 1, 30, 23, tzinfo=UTC)


def test_a_camera_listed_later_counts_for_what_was_seen_before_it(home, put, clip):
    put("ch1/20260131_080000.mp4", clip)
    assert look(home).sightings[0].camera == "ch1"
    text = home.sites_file.read_text().replace("WIB}", "WIB, cameras: [{id: gate, name: Gate, match: ch1}]}")
    home.sites_file.write_text(text)
    assert look(home).sightings[0].camera == "gate"


def test_a_clock_that_stands_at_zero_is_marked_and_not_taken_for_now(home, put, clip):
    path = put("lobby/clip.mp4", clip)
    os.utime(path, ns=(0, 0))
    (seen,) = look(home).sightings
    assert (seen.start_utc.year, seen.time_marks) == (1969, ("before_2000",))


def test_a_catalogue_older_than_the_ledger_learns_again_what_lies_there(home, put, clip):
    put("lobby/20260131_080000.mp4", clip)
    path = put("lobby/20260131_081000.mp4", clip)
    ledger(home).settle([one.source for one in look(home).sightings], "known")
    status, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-9] + bytes(9))
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
    later = datetime.now(UTC) + timedelta(days=8)
    put("lobby/20260131_082000.mp4", clip)
    assert names(look(home, later - timedelta(days=2), limit=2)) == {"lobby/20260131_082000.mp4"}
    again = {one.source.path: one.fingerprint for one in look(home, later).sightings}
    assert set(again) == {f"lobby/20260131_08{minute}000.mp4" for minute in range(3)}
    assert again["lobby/20260131_081000.mp4"] == footage.fingerprint(path), "also what was replaced unseen"


def test_a_look_that_takes_long_keeps_what_it_has_and_leaves_the_rest(home, put, clip, monkeypatch):
    for minute in range(6):
        put(f"lobby/20260131_08{minute}000.mp4", clip)
    monkeypatch.setattr(vms.steps.sense, "LOOK_S", 0.0)
    monkeypatch.setattr(vms.steps.sense, "FILES_AT_ONCE", 2)
    first = look(home)
    assert (len(first.sightings), first.more) == (2, 4)
    for _ in range(4):
        found = names(look(home))
    assert len(found) >= 2
    monkeypatch.setattr(vms.examine, "probe", lambda path: pytest.fail(f"{path} was opened again"))
    monkeypatch.setattr(vms.steps.sense, "LOOK_S", 60.0)
    assert len(look(home).sightings) == 6


def test_what_was_found_before_a_share_hangs_is_not_found_again(home, put, clip, monkeypatch):
    for minute in range(4):
        put(f"lobby/20260131_08{minute}000.mp4", clip)
    real, opened = vms.examine.probe, []

    def probe(path):
        opened.append(path.name)
        if path.name == "20260131_080000.mp4":
            raise ConfigError("FFmpeg went away.", "Install it again.")
        return real(path)

    monkeypatch.setattr(vms.examine, "probe", probe)
    monkeypatch.setattr(vms.steps.sense, "FILES_AT_ONCE", 1)
    with pytest.raises(ConfigError):
        look(home)
    monkeypatch.setattr(vms.examine, "probe", real)
    look(home)
    assert len(opened) == 4


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
