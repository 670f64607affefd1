"""What a source file is: probed, counted, and refused where it is no footage."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

import video_clips as clips
from vms.errors import SourceRejected
from vms.video.binaries import binaries
from vms.video.ffmpeg import DEMUXERS, file_url, run
from vms.video.probe import probe


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
