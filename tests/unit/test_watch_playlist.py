"""The index of a real fragmented MP4, and the playlist that is made of several."""

from __future__ import annotations

import json
import struct
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import video_clips
from viewer.watch import playlist
from vms.video import commands, fragments
from vms.video.binaries import binaries
from vms.video.fragments import FragmentIndex, NotFragmented, read_index

START = datetime(2026, 1, 31, 1, 0, tzinfo=UTC)
AV1 = ["-c:v", "libsvtav1", "-preset", "12", "-crf", "50", "-g", "20", "-pix_fmt", "yuv420p"]


def _index(path: Path) -> FragmentIndex:
    data = path.read_bytes()
    return read_index(lambda start, length: data[start : start + length], len(data))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    made = {name: folder / f"{name}.mp4" for name in ("silent", "sound", "plain")}
    flags = ["-movflags", commands._MOVFLAGS, "-metadata", 'vms={"schema":1}']
    video_clips.ffmpeg(*video_clips.picture(5), *AV1, *flags, made["silent"])
    tone = ["-f", "lavfi", "-i", "sine=d=5:r=8000", "-c:a", "aac", "-b:a", "32k"]
    video_clips.ffmpeg(*video_clips.picture(5), *tone, *video_clips.H264, *flags, made["sound"])
    video_clips.camera(made["plain"])
    return made


@pytest.mark.parametrize(("name", "has_sound"), [("silent", False), ("sound", True)])
def test_head_and_fragments_alone_are_the_footage(
    clips: dict[str, Path], name: str, has_sound: bool, tmp_path: Path
) -> None:
    data, index = clips[name].read_bytes(), _index(clips[name])
    assert index.seconds == pytest.approx(5.0, abs=0.15), "sound may begin a little earlier"
    assert [round(one.seconds) for one in index.fragments] == [2, 2, 1]
    assert index.has_sound is has_sound
    for one in index.fragments:
        assert data[one.start + 4 : one.start + 8] == b"moof"
    last = index.fragments[-1]
    piece = tmp_path / "piece.mp4"
    piece.write_bytes(data[: index.head_bytes] + data[last.start : last.start + last.size])
    asked = ["-v", "error", "-count_packets", "-select_streams", "v", "-show_entries", "stream=nb_read_packets"]
    done = subprocess.run([binaries().ffprobe, *asked, "-of", "json", piece], capture_output=True, check=True)
    assert json.loads(done.stdout)["streams"][0]["nb_read_packets"] == "10"


def test_what_is_cut_off_has_the_fragments_that_are_left(clips: dict[str, Path]) -> None:
    data = clips["silent"].read_bytes()
    whole = _index(clips["silent"])
    cut = whole.fragments[-1].start + 10
    left = read_index(lambda start, length: data[:cut][start : start + length], cut)
    assert left.fragments == whole.fragments[:-1]


def test_a_head_longer_than_the_first_read_is_read_on(clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    data, whole = clips["silent"].read_bytes(), _index(clips["silent"])
    monkeypatch.setattr(fragments, "HEAD_BYTES", 100)
    asked: list[int] = []

    def read(start: int, length: int) -> bytes:
        asked.append(start)
        return data[start : start + length]

    assert read_index(read, len(data)) == whole
    assert 1 < len(asked) < 8


def test_what_has_no_index_or_a_broken_one_is_refused(clips: dict[str, Path]) -> None:
    data = bytearray(clips["silent"].read_bytes())
    at = data.index(b"sidx")
    broken = [clips["plain"].read_bytes(), b"", b"RIFF" * 100, bytes(data[:300]), bytes(data[: at + 20])]
    endless = bytearray(data)
    struct.pack_into(">I", endless, at - 4, 0xFFFFFFF0)
    no_scale = bytearray(data)
    struct.pack_into(">I", no_scale, at + 12, 0)
    for one in (*broken, bytes(endless), bytes(no_scale)):
        with pytest.raises(NotFragmented):
            read_index(lambda start, length, one=one: one[start : start + length], len(one))  # type: ignore[misc]


def test_a_playlist_over_files_and_a_gap(clips: dict[str, Path]) -> None:
    first, second = _index(clips["silent"]), _index(clips["sound"])
    sources = [
        playlist.Source("1.1", START, "/m/a", first),
        playlist.Source("2.2", START + timedelta(hours=1), "/m/b", second),
    ]
    text = playlist.write(sources)
    lines = text.splitlines()
    assert lines[0] == "#EXTM3U"
    assert lines[-1] == "#EXT-X-ENDLIST"
    assert lines.count("#EXT-X-DISCONTINUITY") == 1
    assert f'#EXT-X-MAP:URI="/m/a",BYTERANGE="{first.head_bytes}@0"' in lines
    assert "#EXT-X-PROGRAM-DATE-TIME:2026-01-31T02:00:00.000+00:00" in lines
    lengths = [float(line[8:-1]) for line in lines if line.startswith("#EXTINF:")]
    assert lengths == pytest.approx([5.0, 5.0], abs=0.15), "short fragments are put together"
    ranges = [line.partition(":")[2] for line in lines if line.startswith("#EXT-X-BYTERANGE:")]
    assert ranges[0] == f"{sum(one.size for one in first.fragments)}@{first.fragments[0].start}"
    assert [round(one.at_s, 2) for one in playlist.pieces(sources)] == [0.0, round(first.seconds, 2)]


def test_long_fragments_stay_apart() -> None:
    parts = tuple(fragments.Fragment(100 + 10 * n, 10, 4.0) for n in range(3))
    holed = (*parts, fragments.Fragment(500, 10, 1.0))
    text = playlist.write([playlist.Source("1.1", START, "/m/a", FragmentIndex(100, holed, False))])
    assert [line for line in text.splitlines() if line.startswith("#EXT-X-BYTERANGE")] == [
        f"#EXT-X-BYTERANGE:10@{start}" for start in (100, 110, 120, 500)
    ]


def test_pieces_that_are_made_when_asked_for_have_numbers() -> None:
    sources = [
        playlist.Source("1.1", START, "/api/watch/piece/a", (16.0, 3.5)),
        playlist.Source("2.2", START + timedelta(minutes=5), "/api/watch/piece/b", (10.0,)),
    ]
    lines = playlist.write(sources).splitlines()
    assert [one for one in lines if one.startswith("/")] == [
        "/api/watch/piece/a/0.ts",
        "/api/watch/piece/a/1.ts",
        "/api/watch/piece/b/0.ts",
    ]
    assert "#EXT-X-TARGETDURATION:16" in lines
    assert lines.count("#EXT-X-DISCONTINUITY") == 1
    assert not any("MAP" in one for one in lines)
    assert [one.at_s for one in playlist.pieces(sources)] == [0.0, 19.5]
