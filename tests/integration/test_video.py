"""Probing and the rendition itself, on real clips."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

import video_clips as clips
from vms.config import Profile
from vms.errors import ConfigError, EncodeFailed, SourceRejected
from vms.home import from_environment
from vms.model import BatchItem
from vms.sightings import SourceSeen
from vms.video.binaries import Binaries, binaries
from vms.video.ffmpeg import DEMUXERS, Progress, Stopped, file_url, run
from vms.video.identity import HEAD_BYTES, Identity, read_identity
from vms.video.probe import probe
from vms.video.rendition import Made, bits_per_pixel, make, reason_to_keep

AV1 = Profile("av1", "av1", "9", 36, 10.0, "yuv420p")
H264 = Profile("h264-seed", "h264", "medium", 28, 10.0, "yuv420p")
START = datetime(2026, 1, 31, 1, 2, 3, tzinfo=UTC)


def make_of(source: Path, folder: Path, profile: Profile = AV1, programs: Binaries | None = None) -> Made:
    folder.mkdir()
    found = probe(source)
    seen = SourceSeen(source.name, source.stat().st_size, 1)
    item = BatchItem(1, "ho", "lobby", START, "ab" * 16, found.duration_s, "name", (seen,))
    return make(source, found, Identity(item, seen, "cd" * 32, profile), profile, folder, programs or binaries())


def frame_times(path: Path) -> list[float]:
    words = [binaries().ffprobe, "-v", "error", "-select_streams", "v:0", "-show_entries", "packet=pts_time"]
    said = subprocess.run([*words, "-of", "csv=p=0", str(path)], capture_output=True, text=True, check=True).stdout
    return sorted(float(line.strip(",")) for line in said.splitlines() if line.strip(","))


def rejection(path: Path) -> str:
    with pytest.raises(SourceRejected) as caught:
        probe(path)
    assert caught.value.message
    assert caught.value.remedy
    return caught.value.reason


def test_probe_of_a_camera_clip(tmp_path: Path) -> None:
    found = probe(clips.camera(tmp_path / "a.mkv", 5, "pcm_alaw"))
    assert (found.container, found.video.codec, found.video.width, found.video.height) == ("matroska", "h264", 320, 240)
    assert found.video.fps == pytest.approx(10)
    assert found.duration_s == pytest.approx(5, abs=0.1)
    assert found.audio is not None
    assert (found.audio.codec, found.audio.channels, found.audio.sample_rate) == ("pcm_alaw", 1, 8000)


def test_bare_stream_is_counted_at_the_rate_in_its_headers(tmp_path: Path) -> None:
    found = probe(clips.bare(tmp_path / "cam.dav", 4, fps=15))
    assert (found.container, found.video.frames, found.video.fps) == ("h264", 60, 15.0)
    assert found.duration_s == pytest.approx(4)


def test_average_rate_of_a_variable_one(tmp_path: Path) -> None:
    found = probe(clips.variable_rate(tmp_path / "v.mp4"))
    assert found.video.frames == 78
    assert found.video.fps == pytest.approx(78 / found.duration_s, rel=0.01)


def test_cover_art_is_not_the_picture(tmp_path: Path) -> None:
    camera, cover = clips.camera(tmp_path / "c.mp4"), tmp_path / "cover.png"
    clips.ffmpeg(*clips.picture(1, "1280x720"), "-frames:v", "1", cover)
    both = tmp_path / "both.mp4"
    clips.ffmpeg(
        *("-i", cover, "-i", camera, "-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic"), both
    )
    assert (probe(both).video.codec, probe(both).video.width) == ("h264", 320)


@pytest.mark.parametrize(("text", "expected"), [("2026-01-31T08:00:00+07:00", 1), ("1970-01-01T00:00:00Z", None)])
def test_creation_time_is_utc_and_nonsense_is_ignored(tmp_path: Path, text: str, expected: int | None) -> None:
    clip, stamped = clips.camera(tmp_path / "c.mp4", 1), tmp_path / "s.mp4"
    clips.ffmpeg("-i", clip, "-c", "copy", "-metadata", f"creation_time={text}", stamped)
    at = probe(stamped).creation_time
    assert at == (None if expected is None else datetime(2026, 1, 31, expected, tzinfo=UTC))


def test_what_is_no_footage_is_refused_with_its_reason(tmp_path: Path) -> None:
    def file(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    assert rejection(file("zero.mp4", b"")) == "zero_bytes"
    assert rejection(file("text.mp4", b"the guard was here\n")) == "not_video"
    assert rejection(file("random.dav", os.urandom(50_000))) == "not_video"
    assert rejection(clips.without_index(tmp_path / "lost.mp4")) == "no_moov"
    assert rejection(tmp_path / "absent.mp4") == "missing"
    clips.ffmpeg("-f", "lavfi", "-i", "sine=d=1", tmp_path / "sound.m4a")
    assert rejection(tmp_path / "sound.m4a") == "no_video_stream"


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile other.mp4\n",
        "file other.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nother.mp4\n#EXT-X-ENDLIST\n",
        '<?xml version="1.0"?>\n<MPD><BaseURL>other.mp4</BaseURL></MPD>\n',
    ],
)
def test_a_list_of_other_files_is_never_followed(tmp_path: Path, text: str) -> None:
    clips.camera(tmp_path / "other.mp4", 1)
    (tmp_path / "list.mp4").write_text(text)
    assert rejection(tmp_path / "list.mp4") in ("playlist", "not_video")
    (tmp_path / "list.mp4").write_bytes(text.encode() + b"\xff" * 8)  # past the look at the head
    assert rejection(tmp_path / "list.mp4") in ("playlist", "not_video")


def test_concat_script_is_refused_by_ffmpeg_itself(tmp_path: Path) -> None:
    """The allow-list of containers holds without our own look at the head."""
    clips.camera(tmp_path / "other.mp4", 1)
    script = tmp_path / "s.mp4"
    script.write_text("ffconcat version 1.0\nfile other.mp4\n")
    argv = [binaries().ffmpeg, "-nostdin", "-v", "error", "-protocol_whitelist", "file"]
    refused = run([*argv, "-format_whitelist", DEMUXERS, "-i", file_url(script), "-f", "null", "-"], wall_limit_s=60)
    followed = run([*argv, "-i", file_url(script), "-f", "null", "-"], wall_limit_s=60)
    assert refused.returncode != 0
    assert followed.returncode == 0


@pytest.mark.parametrize(
    "name",
    [
        b"-y.mp4",
        b'it\'s "quoted" & spaced;.mp4',
        b"new\nline.mp4",
        b"co:lon.mp4",
        b"concat:a.mp4",
        b"100%d.mp4",
        b"latin-\xe9\xff.mp4",
        "kamera-📷-%20.mp4".encode(),
        b"n" * 251 + b".mp4",
    ],
)
def test_any_name_that_a_disk_can_hold(tmp_path: Path, name: bytes) -> None:
    plain = clips.camera(tmp_path / "plain.mp4", 1)
    odd = tmp_path / os.fsdecode(name)
    plain.rename(odd)
    made = make_of(odd, tmp_path / "work")
    assert (made.kind, made.frames) == ("encoded", 10)
    assert all(word.isprintable() for word in made.argv)


def test_rendition_of_a_camera_with_g711(tmp_path: Path) -> None:
    source = clips.camera(tmp_path / "a.mkv", 5, "pcm_alaw")
    made = make_of(source, tmp_path / "work")
    assert (made.kind, made.codec, made.audio_codec, made.frames) == ("encoded", "av1", "aac", 50)
    assert made.path.stat().st_size < source.stat().st_size
    assert (made.why_kept, made.damaged) == ("", "")
    assert made.cpu_s > 0
    head = made.path.read_bytes()[:HEAD_BYTES]
    identity = read_identity(head)
    assert identity["site"] == "ho"
    assert identity["start_utc"] == "2026-01-31T01:02:03.000000Z"
    assert identity["source_sha256"] == "cd" * 32
    assert probe(made.path).creation_time == START
    assert head.index(b"moov") < head.index(b"sidx") < head.index(b"moof")
    assert made.poster is not None
    assert made.sprite is not None


def test_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    source = clips.camera(tmp_path / "a.mp4", 3, "aac")
    one, two = make_of(source, tmp_path / "one"), make_of(source, tmp_path / "two")
    assert one.path.read_bytes() == two.path.read_bytes()


def test_frame_times_of_a_variable_rate_are_kept(tmp_path: Path) -> None:
    source = clips.variable_rate(tmp_path / "v.mp4")
    made = make_of(source, tmp_path / "work")
    assert made.kind == "encoded"
    assert frame_times(made.path) == pytest.approx(frame_times(source), abs=0.002)


def test_full_range_is_kept(tmp_path: Path) -> None:
    source = tmp_path / "full.mp4"
    clips.ffmpeg(*clips.picture(2), "-vf", "format=yuvj420p", *clips.H264[:4], "-pix_fmt", "yuvj420p", source)
    made = make_of(source, tmp_path / "work")
    words = [binaries().ffprobe, "-v", "error", "-show_entries", "stream=color_range", "-of", "csv=p=0"]
    assert "pc" in subprocess.run([*words, str(made.path)], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("degrees", ["90", "180"])
def test_rotated_footage_is_shown_upright(tmp_path: Path, degrees: str) -> None:
    clip, turned = clips.camera(tmp_path / "c.mp4", 2), tmp_path / "t.mp4"
    clips.ffmpeg("-display_rotation", degrees, "-i", clip, "-c", "copy", turned)
    made = make_of(turned, tmp_path / "work")
    assert (made.width, made.height) == ((240, 320) if degrees == "90" else (320, 240))


@pytest.mark.parametrize("maker", [clips.transport_stream, clips.bare])
def test_b_frames_and_bare_streams_are_whole(tmp_path: Path, maker: object) -> None:
    source = maker(tmp_path / "x.dav")  # type: ignore[operator]
    found, made = probe(source), make_of(source, tmp_path / "work")
    assert (made.kind, made.damaged) == ("encoded", "")
    assert made.duration_s == pytest.approx(found.duration_s, abs=0.2)
    assert made.frames == round(found.duration_s * (found.video.fps or 0))


def test_one_frame_is_footage_too(tmp_path: Path) -> None:
    source = tmp_path / "one.avi"
    clips.ffmpeg(*clips.picture(1), "-frames:v", "1", "-c:v", "mjpeg", "-q:v", "2", source)
    made = make_of(source, tmp_path / "work")
    assert made.frames == 1
    assert made.poster is not None
    assert made.sprite is not None


def test_odd_sides(tmp_path: Path) -> None:
    source = tmp_path / "odd.avi"
    clips.ffmpeg(*clips.picture(2, "323x241"), "-c:v", "mjpeg", "-q:v", "2", source)
    assert make_of(source, tmp_path / "work").kind == "encoded"


@pytest.mark.parametrize(("picture_s", "sound_s"), [(2, 8), (6, 2)])
def test_sound_of_another_length_is_no_fault(tmp_path: Path, picture_s: int, sound_s: int) -> None:
    source = tmp_path / "s.mkv"
    clips.ffmpeg(
        *(*clips.picture(picture_s), "-f", "lavfi", "-i", f"sine=d={sound_s}", *clips.H264, "-c:a", "aac"), source
    )
    made = make_of(source, tmp_path / "work")
    assert (made.kind, made.frames, made.audio_codec, made.damaged) == ("encoded", picture_s * 10, "aac", "")


def test_broken_sound_does_not_cost_the_picture(tmp_path: Path) -> None:
    made = make_of(clips.with_broken_sound(tmp_path / "b.ts"), tmp_path / "work")
    assert (made.kind, made.frames) == ("encoded", 40)
    assert "sound" in made.damaged


def test_efficient_source_is_copied_not_enlarged(tmp_path: Path) -> None:
    source = clips.efficient(tmp_path / "night.mp4")
    found = probe(source)
    assert bits_per_pixel(found, source.stat().st_size) < 0.02
    made = make_of(source, tmp_path / "work")
    assert made.kind in ("remuxed", "original")
    assert made.codec == "hevc"
    assert "efficient" in made.why_kept
    assert made.path.stat().st_size <= source.stat().st_size


def test_encode_that_would_not_get_smaller_is_given_up(tmp_path: Path) -> None:
    noise = tmp_path / "noise.mp4"  # so long that FFmpeg tells how it is getting on before it is done
    clips.ffmpeg(
        *("-f", "lavfi", "-i", "color=gray:s=320x240:r=15:d=160,noise=alls=60:allf=t", "-c:v", "libx264"),
        *("-preset", "ultrafast", "-b:v", "120k", "-pix_fmt", "yuv420p", noise),
    )
    assert reason_to_keep(probe(noise), AV1, noise.stat().st_size) == ""
    made = make_of(noise, tmp_path / "work")
    assert made.kind in ("remuxed", "original")
    assert "would not make it smaller" in made.why_kept
    assert made.frames == 2400


def test_copy_profile_keeps_the_picture(tmp_path: Path) -> None:
    source = clips.camera(tmp_path / "a.mkv", 5, "pcm_alaw")
    made = make_of(source, tmp_path / "work", Profile("copy", "copy", "", 0, 10.0, "yuv420p"))
    assert (made.kind, made.codec, made.audio_codec) == ("remuxed", "h264", "aac")
    assert read_identity(made.path.read_bytes()[:HEAD_BYTES])["profile"] == "copy"


def test_h264_profile(tmp_path: Path) -> None:
    made = make_of(clips.camera(tmp_path / "a.mp4", 3), tmp_path / "work", H264)
    assert (made.kind, made.codec) == ("encoded", "h264")


def test_cut_off_footage_is_kept_as_it_is(tmp_path: Path) -> None:
    source = clips.cut_off(tmp_path / "cut.mp4")
    made = make_of(source, tmp_path / "work")
    assert (made.kind, made.path) == ("original", source)
    assert made.damaged.startswith("first ")
    assert "of 8.0 s decode" in made.damaged
    assert 0 < made.frames < 80
    assert made.poster is not None


def test_rotten_footage_is_kept_as_it_is(tmp_path: Path) -> None:
    made = make_of(clips.rotten(tmp_path / "rot.mp4"), tmp_path / "work")
    assert made.kind == "original"
    assert "errors while decoding" in made.damaged or "decode" in made.damaged


def test_nothing_decodes(tmp_path: Path) -> None:
    source = clips.camera(tmp_path / "x.mp4", 2)
    data = bytearray(source.read_bytes())
    at = data.index(b"mdat") + 4
    end = at - 8 + int.from_bytes(data[at - 8 : at - 4], "big")
    data[at:end] = bytes(end - at)
    source.write_bytes(data)
    with pytest.raises(SourceRejected) as caught:
        make_of(source, tmp_path / "work")
    assert caught.value.reason == "undecodable"


@pytest.mark.parametrize("more", [["-map", "0:v"], ["-map", "1:a"]], ids=["picture", "sound"])
def test_a_file_with_two_pictures_or_two_sounds_is_kept_whole(tmp_path: Path, more: list[str]) -> None:
    source = tmp_path / "two.mkv"
    sound = ["-f", "lavfi", "-i", "sine=d=3:r=8000", "-c:a", "pcm_s16le"]
    clips.ffmpeg(*clips.picture(3), *sound, "-map", "0:v", "-map", "1:a", *more, *clips.H264, source)
    made = make_of(source, tmp_path / "work")
    assert (made.kind, made.path, made.damaged) == ("original", source, "")
    assert "2 " in made.why_kept
    assert made.poster is not None


@pytest.mark.parametrize("name", ["SEGV", "ABRT"])
def test_a_file_on_which_ffmpeg_crashes_is_kept_as_it_is(tmp_path: Path, name: str) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text(f'#!/bin/sh\n[ "$2" = -version ] && exec "{binaries().ffmpeg}" "$@"\nkill -{name} $$\n')
    program.chmod(0o755)
    source = clips.camera(tmp_path / "a.mp4", 1)
    made = make_of(source, tmp_path / "work", programs=Binaries(str(program), binaries().ffprobe))
    assert (made.kind, made.path, made.suffix) == ("original", source, ".mp4")
    assert "crashes" in made.damaged
    assert made.duration_s == pytest.approx(1.0)
    assert (made.poster, made.sprite) == (None, None)


def test_limits_of_the_runner() -> None:
    endless = [binaries().ffmpeg, "-nostdin", "-v", "error", "-progress", "pipe:1", "-re"]
    endless += ["-f", "lavfi", "-i", "testsrc2=s=64x64", "-f", "null", "-"]
    with pytest.raises(EncodeFailed, match="did not end within"):
        run(endless, wall_limit_s=1)
    with pytest.raises(EncodeFailed, match="no progress"):
        run([sys.executable, "-c", "import time; time.sleep(60)"], wall_limit_s=50, stall_limit_s=1)
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(Stopped):
        run(endless, wall_limit_s=50, stop=stop)

    def enough(progress: Progress) -> bool:
        return progress.frame < 5

    assert run(endless, wall_limit_s=50, on_progress=enough).cut_short
    assert [one for one in psutil.Process().children(recursive=True) if "testsrc2=s=64x64" in one.cmdline()] == []


def test_noise_on_stderr_is_bounded_and_nothing_hangs() -> None:
    loud = "import sys\nfor n in range(200000): print('x' * 80, n, file=sys.stderr)"
    done = run([sys.executable, "-c", loud], wall_limit_s=60)
    assert done.returncode == 0
    assert len(done.stderr) == 300
    assert done.stderr[0].endswith(" 0")
    assert done.stderr[-1].endswith("199999")


def test_ffmpeg_dies_with_us_even_when_we_are_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "from vms.video.binaries import binaries\nfrom vms.video.ffmpeg import run\n"
        "run([binaries().ffmpeg, '-nostdin', '-v', 'error', '-progress', 'pipe:1', '-re', '-f', 'lavfi', '-i',"
        " 'testsrc2=s=66x66', '-f', 'null', '-'], wall_limit_s=600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, str(script)], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    try:
        child = _wait_for(lambda: _encoder_below(parent.pid))
        assert child.nice() >= 10
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        _wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE or None)
    finally:
        parent.kill()
        parent.wait()


def _encoder_below(pid: int) -> psutil.Process | None:
    for child in psutil.Process(pid).children():
        try:
            if "testsrc2=s=66x66" in child.cmdline() and "ffmpeg" in Path(child.exe()).name:
                return child
        except psutil.Error:
            continue
    return None


def _wait_for(question: object) -> psutil.Process:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        answer = question()  # type: ignore[operator]
        if answer is not None:
            return answer  # type: ignore[no-any-return]
        time.sleep(0.05)
    raise AssertionError("it did not happen within 30 s")


def test_a_configured_ffmpeg_that_lacks_what_is_needed_is_refused(tmp_path: Path) -> None:
    poor, old = tmp_path / "ffmpeg", tmp_path / "old"
    poor.write_text("#!/bin/sh\necho ' V..... libx264 x'\n")
    old.write_text("#!/bin/sh\necho 'ffmpeg version 5.1.9-0+deb12u1 Copyright'\n")
    poor.chmod(0o755)
    old.chmod(0o755)
    for path in (poor, old, tmp_path / "absent"):
        home = from_environment({"VMS_HOME": str(tmp_path), "VMS_FFMPEG": str(path)})
        with pytest.raises(ConfigError, match="VMS_FFMPEG") as caught:
            binaries(home)
        assert caught.value.remedy
