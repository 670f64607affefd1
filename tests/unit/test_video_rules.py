"""The rules of a rendition that need no FFmpeg: what to keep, how to lay out a sheet, what a complaint means."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from vms.config import Profile
from vms.model import BatchItem
from vms.sightings import SourceSeen
from vms.video import commands
from vms.video.faults import is_cut_off, picture_faults, short, sound_faults
from vms.video.identity import Identity
from vms.video.probe import Probe
from vms.video.rendition import bits_per_pixel, reason_to_keep
from vms.video.streams import AudioStream, VideoStream

AV1 = Profile("av1", "av1", "9", 36, 10.0, "yuv420p")
SEEN = SourceSeen("a.mp4", 10, 1)
ITEM = BatchItem(1, "ho", "lobby", datetime(2026, 1, 31, tzinfo=UTC), "ab" * 16, 5.0, "name", (SEEN,))
TARGETS = commands.Targets(Path("/s/r.mp4"), Path("/s/p.jpg"), Path("/s/t.nut"), Path("/s/s.jpg"))


def found(codec: str = "h264", bits: float = 0.1, fps: float = 15.0, audio: str = "", container: str = "mov") -> Probe:
    rate = int(bits * 1920 * 1080 * fps)
    video = VideoStream(0, codec, 1920, 1080, fps, "yuv420p", None, 300.0, rate)
    return Probe(container, 300.0, None, rate, video, AudioStream(1, audio, 1, 8000) if audio else None)


def encode(
    source: str = "/f/a.mp4", probe: Probe | None = None, profile: Profile = AV1, sound: str = "none"
) -> list[str]:
    identity = Identity(ITEM, SEEN, "cd" * 32, profile)
    return commands.encode("ffmpeg", Path(source), probe or found(), profile, identity, TARGETS, sound)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("codec", "bits", "keeps"),
    [
        ("hevc", 0.019, True),
        ("hevc", 0.021, False),
        ("h264", 0.014, True),
        ("h264", 0.016, False),
        ("av1", 0.5, True),
        ("mjpeg", 0.001, False),
    ],
)
def test_what_is_efficient_already_is_kept(codec: str, bits: float, keeps: bool) -> None:
    assert bool(reason_to_keep(found(codec, bits), AV1, 1)) is keeps


def test_bits_per_pixel_without_a_stated_rate() -> None:
    video = VideoStream(0, "hevc", 100, 100, 10.0, "yuv420p", None)
    assert bits_per_pixel(Probe("matroska", 10.0, None, 0, video, None), 12_500) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("duration_s", "interval_s", "tiles", "rows"),
    [
        (0.04, 1.0, 1, 1),
        (8.0, 1.0, 8, 1),
        (60.0, 1.0, 60, 6),
        (61.0, 1.1, 56, 6),
        (300.0, 5.0, 60, 6),
        (3600, 60, 60, 6),
    ],
)
def test_a_sheet_never_has_more_than_sixty_tiles(duration_s: float, interval_s: float, tiles: int, rows: int) -> None:
    sheet = commands.sheet_for(duration_s)
    assert (sheet.interval_s, sheet.tiles, sheet.rows) == (pytest.approx(interval_s), tiles, rows)
    assert sheet.columns <= 10


def test_keyframes_are_ten_seconds_apart_but_not_too_many_frames() -> None:
    assert commands.gop_frames(found(fps=15), AV1) == 150
    assert commands.gop_frames(found(fps=30), AV1) == 250
    assert commands.gop_frames(found(fps=0.02), AV1) == 1


@pytest.mark.parametrize("name", ["-y.mp4", "concat:x.mp4", "a'b\n.mp4", "\udce9.mp4", "http:x.mp4", "vms-source"])
def test_names_reach_ffmpeg_only_as_absolute_file_urls(name: str) -> None:
    argv = encode(f"/f/{name}")
    assert argv[argv.index("-i") + 1] == f"file:/f/{name}"
    assert argv[argv.index("-protocol_whitelist") + 1] == "file"
    assert "concat" not in argv[argv.index("-format_whitelist") + 1].split(",")
    assert argv.index("-format_whitelist") < argv.index("-i")


@pytest.mark.parametrize("codec", ["av1", "h264"])
@pytest.mark.parametrize("sound", ["copy", "aac", "none"])
def test_rendition_is_the_first_output(codec: str, sound: str) -> None:
    """FFmpeg's progress is about the first output."""
    argv = encode(probe=found(audio="aac"), profile=Profile("p", codec, "9", 36, 10.0, "yuv420p"), sound=sound)  # type: ignore[arg-type]
    outputs = [word for word in argv if word.startswith("file:/s/")]
    assert outputs == ["file:/s/r.mp4", "file:/s/p.jpg", "file:/s/t.nut"]
    assert ("-an" in argv) is (sound == "none")


def test_a_bare_stream_is_told_its_rate() -> None:
    argv = encode(probe=found(container="h264", fps=12.5))
    assert argv[argv.index("-framerate") + 1] == "12.5"


SOUND = "[aist#0:1/aac @ 0x5] [dec:aac @ 0x6] Error submitting packet to decoder: Invalid data found"
PICTURE = "[h264 @ 0x561b9d1c8340] error while decoding MB 38 11"
PARTIAL = "[in#0/mov,mp4,m4a,3gp,3g2,mj2 @ 0x5] stream 0, offset 0x1281c2: partial file"


def test_complaints_are_told_apart() -> None:
    harmless = [
        "[h264 @ 0x5] co located POCs unavailable",
        "    Last message repeated 3 times",
        "[mp4 @ 0x5] Application provided invalid, non monotonically increasing dts to muxer",
        "Svt[info]: SVT [version]: x",
    ]
    output = ["[out#0/mp4 @ 0x5] Error muxing a packet", "[vost#0:0/libsvtav1 @ 0x5] Error", "Conversion failed!"]
    lines = [*harmless, *output, SOUND, PICTURE, PARTIAL]
    assert picture_faults(lines) == (PICTURE, PARTIAL)
    assert sound_faults(lines) == (SOUND,)
    assert is_cut_off(lines)
    assert not is_cut_off([PICTURE])
    assert short(SOUND) == "Error submitting packet to decoder: Invalid data found"
