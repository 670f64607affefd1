"""Clips, made and decoded by real FFmpeg: every moment of them is the moment of the clock that it says."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from test_cli_copy import archive
from test_cli_evidence import RANGE, Vms, verify, vms  # noqa: F401 (a fixture)
from video_clips import camera, ffmpeg, picture
from vms.catalogue.connection import Connection
from vms.errors import EncodeFailed
from vms.home import Home, from_environment
from vms.steps.clip import Clip, Footage, make_clip, plan_clips
from vms.steps.fast_clip import make_fast_clip, plan_fast_clips
from vms.video.binaries import binaries
from vms.video.probe import Probe, probe

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ZONE = "Asia/Jakarta"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return from_environment({"VMS_HOME": str(tmp_path / "home")})


def footage(path: Path, start_s: float) -> Footage:
    found: Probe = probe(path)
    start = NOON + timedelta(seconds=start_s)
    end = start + timedelta(seconds=found.duration_s)
    shape = (found.video.width, found.video.height, found.video.fps or 0.0)
    return Footage(path, start, end, *shape, has_sound=found.audio is not None)


def made(home: Home, target: Path, some: list[Footage], begin_s: float, end_s: float, burn_in: str = "") -> Clip:
    (clip,) = plan_clips(some, NOON + timedelta(seconds=begin_s), NOON + timedelta(seconds=end_s))
    make_clip(home, clip, target, zone=ZONE, burn_in=burn_in)
    return clip


def grey(path: Path, frame: int) -> bytes:
    """A frame, small and without colour."""
    words = ["-vf", f"select=eq(n\\,{frame}),scale=32:24", "-frames:v", "1", "-pix_fmt", "gray", "-f", "rawvideo", "-"]
    argv = [binaries().ffmpeg, "-v", "error", "-i", str(path), *words]
    data = subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout
    assert len(data) == 32 * 24
    return data


def apart(one: bytes, other: bytes) -> float:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)


def test_the_cut_is_exact_over_two_files_and_a_hole(home: Home, tmp_path: Path) -> None:
    first, second = camera(tmp_path / "a.mp4", 8, sound="aac"), camera(tmp_path / "b.mp4", 8)
    target = tmp_path / "out" / "clip.mp4"
    clip = made(home, target, [footage(first, 0), footage(second, 12)], 3.4, 17)
    found = probe(target)
    assert (found.video.codec, found.video.pixel_format, found.video.frames) == ("h264", "yuv420p", 136)
    assert found.duration_s == pytest.approx(13.6, abs=0.15)
    assert found.audio is not None
    assert found.audio.codec == "aac"
    # frame 0 is the source's frame 34; after 4.6 s of footage and 4 s of hole the second file begins
    assert apart(grey(target, 0), grey(first, 34)) < 4
    assert apart(grey(target, 0), grey(first, 30)) > apart(grey(target, 0), grey(first, 34))
    assert apart(grey(target, 45), grey(first, 79)) < 4
    assert sum(grey(target, 60)) / len(grey(target, 60)) < 30  # black, but for the words
    assert apart(grey(target, 86), grey(second, 0)) < 4
    assert apart(grey(target, 130), grey(second, 44)) < 4
    assert len(list(clip.holes)) == 1
    assert [one.name for one in target.parent.iterdir()] == ["clip.mp4"]


def test_other_sizes_and_rates_are_fitted_in_without_being_bent(home: Home, tmp_path: Path) -> None:
    wide = camera(tmp_path / "wide.mp4", 6, size="640x360")
    tall = tmp_path / "tall.mp4"
    ffmpeg(*picture(3, "240x320", 25), "-c:v", "mpeg4", tall)
    target = tmp_path / "clip.mp4"
    made(home, target, [footage(wide, 0), footage(tall, 6)], 0, 9)
    found = probe(target)
    assert (found.video.width, found.video.height, found.video.frames) == (640, 360, 90)
    row = grey(target, 75)[32 * 12 : 32 * 13]
    assert max(row[:8]) < 40 < max(row[12:20])  # black beside the tall picture


def test_words_stand_below_the_picture_and_cover_nothing_of_it(home: Home, tmp_path: Path) -> None:
    source = camera(tmp_path / "a.mp4", 4)
    plain, written = tmp_path / "plain.mp4", tmp_path / "written.mp4"
    made(home, plain, [footage(source, 0)], 0, 4)
    made(home, written, [footage(source, 0)], 0, 4, burn_in="Lobi 'utama': 100 % [x], \\ ; %{pts}")
    assert probe(written).video.height > probe(plain).video.height
    cut = tmp_path / "cut.mp4"
    ffmpeg("-i", written, "-vf", f"crop=iw:{probe(plain).video.height}:0:0", "-c:v", "libx264", "-crf", "18", cut)
    assert apart(grey(cut, 20), grey(plain, 20)) < 2


def test_of_a_file_that_breaks_off_no_picture_is_made_up(home: Home, tmp_path: Path) -> None:
    whole = camera(tmp_path / "a.mp4", 10)
    broken = tmp_path / "broken.ts"
    ffmpeg("-i", whole, "-c", "copy", broken)
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    found = footage(whole, 0)
    told = Footage(broken, found.start, found.end, found.width, found.height, found.fps, has_sound=False)
    target = tmp_path / "clip.mp4"
    made(home, target, [told, footage(whole, 10)], 0, 20)
    frames = probe(target).video.frames
    assert frames is not None
    assert 140 <= frames <= 175  # about 5 s of the broken one, one second of its last picture, and the 10 s after it
    assert probe(target).duration_s == pytest.approx(20, abs=0.2)


def test_what_is_no_video_is_told_and_leaves_nothing(home: Home, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"not a video" * 1000)
    (clip,) = plan_clips(
        [Footage(bad, NOON, NOON + timedelta(seconds=5), 320, 240, 10.0, has_sound=False)],
        NOON,
        NOON + timedelta(seconds=5),
    )
    with pytest.raises(EncodeFailed, match="could not make the clip"):
        make_clip(home, clip, tmp_path / "out" / "clip.mp4", zone=ZONE)
    assert list((tmp_path / "out").iterdir()) == []


def test_an_export_with_clips_names_and_signs_them(vms: Vms, conn: Connection, tmp_path: Path) -> None:  # noqa: F811
    archive(conn, tmp_path, video=camera(tmp_path / "clip.mp4").read_bytes())
    with conn, conn.cursor() as cursor:
        cursor.execute("UPDATE recording SET duration_s = 5, end_at = start_at + interval '5 s', fps = 10")
        cursor.execute("UPDATE recording SET width = 320, height = 240, audio_codec = NULL")
    to = tmp_path / "out"
    words = ("--clip", "--burn-in", "--evidence", "--reason", "why")
    done = vms("export", RANGE, "--to", str(to), *words)
    assert done.exit_code == 0, done.output
    told = json.loads((to / "manifest.json").read_text())
    assert [one["file"] for one in told["clips"]] == [
        "clips/ho_lobby_2026-01-31_08-05-00_WIB.mp4",
        "clips/ho_lobby_2026-01-31_08-10-00_WIB.mp4",
    ]
    assert told["clips"][0]["made_of"] == [told["recordings"][0]["file"]]
    assert told["clips"][0]["start"] == "2026-01-31T08:05:00+07:00"
    assert probe(to / told["clips"][0]["file"]).video.frames == 50
    assert verify(to)[0] == 0
    alone = tmp_path / "alone"
    assert vms("export", RANGE, "--to", str(alone), *words, "--only-clips").exit_code == 0
    assert sorted(one.name for one in alone.iterdir() if one.is_dir()) == ["clips"]
    assert verify(alone)[0] == 0
    refused = vms("export", RANGE, "--to", str(to), *words, "--only-clips").exception
    assert "of more than clips" in str(refused)
    assert verify(to)[0] == 0, "what was handed over before stays"
    (to / told["clips"][0]["file"]).unlink()
    assert verify(to)[0] == 1


def test_a_clip_that_fails_is_told_and_the_recordings_are_there(vms: Vms, conn: Connection, tmp_path: Path) -> None:  # noqa: F811
    archive(conn, tmp_path)
    to = tmp_path / "out"
    done = vms("export", RANGE, "--to", str(to), "--clip")
    assert done.exit_code == 1
    assert "could not make the clip" in " ".join(done.output.split())
    assert len(list(to.rglob("*.mp4"))) == 2
    done = vms("export", RANGE, "--to", str(tmp_path / "fast"), "--clip", "--cut", "fast")
    assert done.exit_code == 1
    assert len(list((tmp_path / "fast").rglob("*.mp4"))) == 2
    for more in (
        ("--cut", "fast"),
        ("--only-clips",),
        ("--clip", "--cut", "fast", "--burn-in"),
        ("--clip", "--cut", "fast", "--gaps", "black"),
    ):
        refused = vms("export", RANGE, "--to", str(tmp_path / "none"), *more)
        assert refused.exit_code == 2, more
    assert not (tmp_path / "none").exists()


def test_what_becomes_of_gaps_can_be_chosen(home: Home, tmp_path: Path) -> None:
    short, long = camera(tmp_path / "a.mp4", 2), camera(tmp_path / "b.mp4", 2)
    some = [footage(short, 0), footage(short, 10), footage(long, 200)]
    begin, end = NOON, NOON + timedelta(minutes=5)
    lengths = {
        gaps: [round(one.seconds) for one in plan_clips(some, begin, end, gaps)]
        for gaps in ("short", "black", "separate")
    }
    assert lengths == {"short": [12, 2], "black": [202], "separate": [2, 2, 2]}
    (one,) = plan_clips([footage(short, 0), footage(short, 7 * 3600)], begin, NOON + timedelta(hours=8), "black")
    with pytest.raises(EncodeFailed, match=r"7\.0 hours of the clip would be black"):
        make_clip(home, one, tmp_path / "black.mp4", zone=ZONE)
    assert not (tmp_path / "black.mp4").exists()


def test_a_fast_cut_is_the_recordings_as_they_are_stored(home: Home, tmp_path: Path) -> None:
    first, second = camera(tmp_path / "a.mp4", 8, sound="aac"), camera(tmp_path / "b.mp4", 8, sound="aac")
    some = [footage(first, 0), footage(second, 8), footage(second, 60)]
    planned = plan_fast_clips(home, some, NOON + timedelta(seconds=5.3), NOON + timedelta(seconds=64))
    assert len(planned) == 2, "the hole begins a new file"
    ahead = NOON + timedelta(seconds=5.3) - planned[0].begin
    assert timedelta() <= ahead <= timedelta(seconds=5), "from the picture that can be begun with"
    assert planned[0].end == NOON + timedelta(seconds=16)
    assert (planned[1].begin, planned[1].end) == (NOON + timedelta(seconds=60), NOON + timedelta(seconds=64))
    told: list[float] = []
    for number, clip in enumerate(planned):
        target = tmp_path / "out" / f"{number}.mp4"
        make_fast_clip(home, clip, target, moved=told.append)
        found = probe(target)
        assert found.video.codec == probe(first).video.codec, "nothing is encoded"
        assert found.audio is not None
        assert found.duration_s == pytest.approx(clip.seconds, abs=0.2)
    assert told[-1] == pytest.approx(4)
    skipped = round((planned[0].begin - NOON).total_seconds() * (probe(first).video.fps or 0))
    assert apart(grey(tmp_path / "out" / "0.mp4", 0), grey(first, skipped)) < 1
    ffmpeg("-xerror", "-i", tmp_path / "out" / "0.mp4", "-f", "null", "-")


def test_footage_of_other_settings_begins_a_new_fast_clip(home: Home, tmp_path: Path) -> None:
    one, other = camera(tmp_path / "a.mp4", 2), camera(tmp_path / "b.mp4", 2, size="160x120")
    planned = plan_fast_clips(home, [footage(one, 0), footage(other, 2)], NOON, NOON + timedelta(seconds=4))
    assert [clip.seconds for clip in planned] == [pytest.approx(2, abs=0.1), pytest.approx(2, abs=0.1)]
