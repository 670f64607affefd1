"""The FFmpeg commands of a clip: footage of one camera from one moment to another as H.264 that every player opens.

A clip is made piece by piece, one for each recording and each hole, all with the same size, frame rate and settings, as
MPEG-TS whose time stamps say where in the clip the piece lies. So the pieces are put behind each other as they are, and
a moment of the clip is a moment of the clock: holes take their time, as black with words.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import ffmpeg

from vms.video.commands import placed
from vms.video.ffmpeg import DEMUXERS

FONT = Path(__file__).with_name("mono.ttf")
_PIECE = "vms-piece"
_SOURCE = "vms-source"
_SOUND_HZ = 48_000
_FILL_S = 1.0  # a recording may decode to so much less than the catalogue says; more is missing, and not filled up


@dataclass(frozen=True)
class Shape:
    """What all pieces of a clip have in common. fps: frames a second. sound: whether the clip has any."""

    width: int
    height: int
    fps: float
    sound: bool


@dataclass(frozen=True)
class Piece:
    """A part of a clip. start: its moment (UTC). first: its first frame, counted from the clip's; frames: how many.

    source: the recording it is of, None for a hole; skip_s: seconds of it before the piece; its_sound: whether it has
    any. words: what a hole says.
    """

    start: datetime
    first: int
    frames: int
    source: Path | None = None
    skip_s: float = 0.0
    its_sound: bool = False
    words: str = ""


def piece(program: str, one: Piece, shape: Shape, target: Path, burnt_in: tuple[str, str] | None) -> list[str]:
    """One piece as MPEG-TS. burnt_in: the camera's name and its time zone, to be written below the picture."""
    length_s = one.frames / shape.fps
    if one.source is None:
        black = f"color=black:s={shape.width}x{shape.height}:r={shape.fps}:d={length_s:.6f}"
        picture = _text(ffmpeg.input(black, f="lavfi"), one.words, shape, x="(w-tw)/2", y="(h-th)/2")
        sound = None
    else:
        skip = {"ss": f"{one.skip_s:.6f}"} if one.skip_s else {}
        read = ffmpeg.input(_SOURCE, threads=1, protocol_whitelist="file", format_whitelist=DEMUXERS, **skip)
        picture = _fitted(read["v:0"], shape)
        sound = read["a:0"] if one.its_sound else None
    if burnt_in:  # in a strip of its own: the picture is evidence, and cameras write into it themselves
        (name, zone), strip = burnt_in, 2 * (_size(shape) + 2)
        picture = picture.filter("pad", "iw", f"ih+{strip}")
        low = f"h-{strip // 2}-th/2"
        picture = _text(picture, name, shape, x=f"w-tw-{strip // 2}", y=low)
        picture = _text(picture, _clock(one.start, zone), shape, x=strip // 2, y=low, expanded=True)
    streams = [picture]
    options: dict[str, Any] = {
        "frames:v": one.frames,
        "c:v": "libx264",
        "preset": "veryfast",
        "crf": 22,
        "bf": 0,
        "g": round(2 * shape.fps),
        "pix_fmt": "yuv420p",
        "threads": 2,
        "f": "mpegts",
        "muxdelay": 0,
        "muxpreload": 0,
        "output_ts_offset": f"{one.first / shape.fps:.6f}",
    }
    if shape.sound:
        silence = ffmpeg.input(f"anullsrc=r={_SOUND_HZ}:cl=mono:d={length_s:.6f}", f="lavfi")
        heard = silence if sound is None else sound.filter("aresample", _SOUND_HZ, **{"async": 1}).filter("apad")
        streams.append(heard)
        options |= {"c:a": "aac", "b:a": "96k", "ac": 1, "ar": _SOUND_HZ, "t": f"{length_s:.6f}"}
    node = ffmpeg.output(*streams, _PIECE, **options)
    files = {_PIECE: target} if one.source is None else {_PIECE: target, _SOURCE: one.source}
    return placed(program, [node], files)


def whole(program: str, pieces: Path, target: Path) -> list[str]:
    """The pieces, which lie behind each other in one file, as an MP4 that plays before all of it is loaded."""
    read = ffmpeg.input(_SOURCE, f="mpegts", protocol_whitelist="file", format_whitelist="mpegts")
    node = ffmpeg.output(read["v:0"], read["a:0?"], _PIECE, c="copy", movflags="+faststart", f="mp4")
    return placed(program, [node], {_SOURCE: pieces, _PIECE: target})


def copied(program: str, source: Path, skip_s: float, length_s: float, target: Path) -> list[str]:
    """A stretch of a recording as it is stored, as Matroska, which holds whatever recorders write. It has to begin
    where the picture can be begun with."""
    skip = {"ss": f"{skip_s:.6f}"} if skip_s else {}
    read = ffmpeg.input(_SOURCE, protocol_whitelist="file", format_whitelist=DEMUXERS, **skip)
    streams = (read["v:0"], read["a:0?"])
    node = ffmpeg.output(*streams, _PIECE, c="copy", t=f"{length_s:.6f}", avoid_negative_ts="make_zero", f="matroska")
    return placed(program, [node], {_SOURCE: source, _PIECE: target})


def joined(program: str, names: Path, target: Path) -> list[str]:
    """What was `copied`, one behind the other. names: a list of files for FFmpeg's concat, which lie beside it."""
    read = ffmpeg.input(_SOURCE, f="concat", protocol_whitelist="file", format_whitelist="concat,matroska")
    node = ffmpeg.output(read["v:0"], read["a:0?"], _PIECE, c="copy", movflags="+faststart", f="mp4")
    return placed(program, [node], {_SOURCE: names, _PIECE: target})


def _fitted(picture: Any, shape: Shape) -> Any:
    """The whole picture in the clip's frame, black where its form differs; a frame for each of the clip's."""
    return (
        picture.filter("scale", "trunc(iw*sar/2)*2", "ih")
        .filter("scale", shape.width, shape.height, force_original_aspect_ratio="decrease", force_divisible_by=2)
        .filter("pad", shape.width, shape.height, "(ow-iw)/2", "(oh-ih)/2")
        .filter("setsar", 1)
        .filter("fps", f"{shape.fps}")
        .filter("tpad", stop_mode="clone", stop_duration=_FILL_S)
    )


def _clock(start: datetime, zone: str) -> str:
    """The running clock of the zone for drawtext, which prints a time as UTC only: it gets the wall clock as if UTC."""
    local = start.astimezone(ZoneInfo(zone))
    as_if_utc = local.replace(tzinfo=UTC).timestamp()
    name = local.tzname() or ""
    name = f"UTC{name}" if name[:1] in ("+", "-") else name
    return rf"%{{pts:gmtime:{as_if_utc:.3f}:%Y-%m-%d %H\:%M\:%S}} {name}"


def _size(shape: Shape) -> int:
    return max(10, shape.height // 28)


def _text(picture: Any, words: str, shape: Shape, *, x: str | int, y: str, expanded: bool = False) -> Any:
    size = _size(shape)
    return picture.filter(
        "drawtext",
        fontfile=FONT.as_posix(),
        text=words,
        expansion="normal" if expanded else "none",
        x=x,
        y=y,
        fontsize=size,
        fontcolor="white",
        borderw=max(1, size // 12),
        bordercolor="black@0.8",
    )
