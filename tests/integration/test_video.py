"""Renditions of real footage, odd and broken footage among it: what is encoded, what is kept as it is, and why."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

import video_clips as clips
from vms.config import Profile
from vms.errors import SourceRejected
from vms.model import BatchItem
from vms.sightings import SourceSeen
from vms.video.binaries import Binaries, binaries
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
