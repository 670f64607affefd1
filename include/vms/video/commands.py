"""The FFmpeg commands of a rendition, as argument lists built with ffmpeg-python.

ffmpeg-python is given plain placeholder names, because it can't take names that are no Unicode; the real names are put
in afterwards, always as `file:` with an absolute path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import ffmpeg

from vms.config import Profile
from vms.video.ffmpeg import DEMUXERS, file_url
from vms.video.identity import Identity
from vms.video.probe import RAW_CONTAINERS, Probe

SoundMode = Literal["copy", "aac", "none"]

POSTER_WIDTH = 640
STILL_WIDTH = 480
TILE_WIDTH = 160
COLUMNS = 10
MOST_TILES = 60
_LONGEST_GOP = 250  # frames; longer ones save 4 % more and make seeking slow
_MOVFLAGS = "+frag_keyframe+empty_moov+default_base_moof+global_sidx+use_metadata_tags"


@dataclass(frozen=True)
class Sheet:
    """How the sprite sheet is laid out: one tile each interval_s, columns to a row."""

    interval_s: float
    tiles: int

    @property
    def columns(self) -> int:
        return min(COLUMNS, self.tiles)

    @property
    def rows(self) -> int:
        return math.ceil(self.tiles / self.columns)


@dataclass(frozen=True)
class Targets:
    """The files that the commands of one rendition write. tiles: the pictures of the sprite sheet, uncompressed."""

    rendition: Path
    poster: Path
    tiles: Path
    sprite: Path


@dataclass(frozen=True)
class StandIn:
    """How a piece of a rendition becomes H.264 for a browser. height: at most; sound: its rate, such as "48k"."""

    height: int
    crf: int
    sound: str


def sheet_for(duration_s: float) -> Sheet:
    """A tile a second, or fewer so that there are at most 60; intervals are whole tenths of a second."""
    interval_s = max(1.0, math.ceil(duration_s / MOST_TILES * 10 - 1e-6) / 10)
    return Sheet(interval_s, max(1, math.ceil(duration_s / interval_s - 1e-6)))


def gop_frames(probe: Probe, profile: Profile) -> int:
    """Frames from keyframe to keyframe."""
    return max(1, min(_LONGEST_GOP, round((probe.video.fps or 25.0) * profile.keyframe_every_s)))


def encode(
    program: str, source: Path, probe: Probe, profile: Profile, identity: Identity, targets: Targets, sound: SoundMode
) -> list[str]:
    """Rendition, poster and sprite sheet in one decode."""
    options: dict[str, Any] = {
        "fps_mode": "passthrough",
        "enc_time_base": "demux",
        "pix_fmt": profile.pixel_format,
        "preset": profile.preset,
        "crf": profile.crf,
        "g": gop_frames(probe, profile),
        "threads": 1,
    }
    if profile.codec == "av1":
        options |= {"c:v": "libsvtav1", "svtav1-params": "lp=1"}
    else:
        options |= {"c:v": "libx264"}
    read = _input(probe)
    frames = read[str(probe.video.index)].filter_multi_output("split", 3)
    picture = frames[0]
    if probe.video.width % 2 or probe.video.height % 2:
        picture = picture.filter("pad", "ceil(iw/2)*2", "ceil(ih/2)*2")
    rendition = _rendition(read, picture, probe, identity, sound, options)
    return _placed(program, _with_previews(rendition, frames[1], frames[2], probe), source, targets)


def remux(
    program: str, source: Path, probe: Probe, identity: Identity, targets: Targets, sound: SoundMode
) -> list[str]:
    """The picture as it is in our container, with previews; all of it is decoded on the way."""
    options: dict[str, Any] = {"c:v": "copy"}
    if probe.video.codec == "hevc":
        options["tag:v"] = "hvc1"
    read = _input(probe)
    picture = read[str(probe.video.index)]
    frames = picture.filter_multi_output("split", 2)
    rendition = _rendition(read, picture, probe, identity, sound, options)
    return _placed(program, _with_previews(rendition, frames[0], frames[1], probe), source, targets)


def previews(program: str, source: Path, probe: Probe, targets: Targets) -> list[str]:
    """Only decode, and make previews from what decodes; the decoded frames are counted."""
    frames = _input(probe)[str(probe.video.index)].filter_multi_output("split", 3)
    counted = ffmpeg.output(frames[0], _NULL, f="null", fps_mode="passthrough")
    return _placed(program, _with_previews(counted, frames[1], frames[2], probe), source, targets)


def sheet(program: str, probe: Probe, targets: Targets) -> list[str]:
    """The sprite sheet from its tiles."""
    layout = sheet_for(probe.duration_s)
    tiles = ffmpeg.input(_SOURCE, threads=1, protocol_whitelist="file", format_whitelist="nut")["v:0"]
    node = ffmpeg.output(tiles.filter("tile", f"{layout.columns}x{layout.rows}"), _SPRITE, **_JPEG)
    return _placed(program, [node], targets.tiles, targets)


def still(program: str, source: Path, at_s: float, picture: Path) -> list[str]:
    """One picture of a finished rendition as JPEG, at_s seconds after its start, at most STILL_WIDTH wide."""
    read = ffmpeg.input(_SOURCE, ss=f"{at_s:.3f}", threads=1, protocol_whitelist="file", format_whitelist=DEMUXERS)
    node = ffmpeg.output(_scaled(read["v:0"], STILL_WIDTH), _POSTER, **_JPEG)
    return _placed(program, [node], source, Targets(picture, picture, picture, picture))


def decode_all(program: str, rendition: Path) -> list[str]:
    """Decode picture and sound of a finished rendition and stop at the first thing that is wrong."""
    read = ffmpeg.input(_SOURCE, threads=1, protocol_whitelist="file", format_whitelist=DEMUXERS)
    outputs = [ffmpeg.output(read["v:0"], read["a:0?"], _NULL, f="null", fps_mode="passthrough")]
    return _placed(program, outputs, rendition, None, ("-xerror",))


def decode_sound(program: str, source: Path, probe: Probe) -> list[str]:
    """Decode only the sound of a source, to know what can be done with it."""
    index = probe.audio.index if probe.audio else 0
    return _placed(program, [ffmpeg.output(_input(probe)[str(index)], _NULL, f="null")], source, None)


@dataclass(frozen=True)
class Stretch:
    """length_s seconds of a whole file; what the file is was found out by `probe`."""

    length_s: float
    probe: Probe


def stand_in(
    program: str, source: Path, target: Path, how: StandIn, begins_s: float, of: Stretch | None = None
) -> list[str]:
    """A piece of a rendition as H.264 in MPEG-TS, whose times begin at begins_s. What can't be decoded is left out.

    The source holds this piece alone, or is a whole file `of` which a stretch is taken, from begins_s on.
    """
    read = ffmpeg.input(_SOURCE, threads=1, protocol_whitelist="file", format_whitelist=DEMUXERS)
    cut: dict[str, Any] = {}
    if of is not None and of.probe.container in RAW_CONTAINERS:
        read, cut = (
            _input(of.probe),
            {"ss": begins_s, "t": of.length_s},
        )  # without times in it, it is read from the start
    elif of is not None:
        options = {"ss": begins_s, "t": of.length_s, "protocol_whitelist": "file", "format_whitelist": DEMUXERS}
        read = ffmpeg.input(_SOURCE, threads=1, **options)
    picture = read["v:0"].filter("scale", w=-2, h=f"min({how.height},2*trunc(ih/2))").filter("format", "yuv420p")
    times = {"fps_mode": "passthrough", "output_ts_offset": f"{begins_s:.6f}", **cut}
    node = ffmpeg.output(picture, read["a:0?"], _RENDITION, **times, **_h264(how))
    return _placed(program, [node], source, Targets(target, target, target, target))


def nothing(program: str, target: Path, how: StandIn, begins_s: float, length_s: float) -> list[str]:
    """Black for this long, in place of a piece that can't be decoded at all."""
    black = ffmpeg.input(f"color=c=black:s=640x360:r=5:d={length_s:.3f}", f="lavfi")
    node = ffmpeg.output(black["v:0"], _RENDITION, output_ts_offset=f"{begins_s:.6f}", pix_fmt="yuv420p", **_h264(how))
    return _placed(program, [node], target, Targets(target, target, target, target))


def _h264(how: StandIn) -> dict[str, Any]:
    return {
        **{"c:v": "libx264", "preset": "superfast", "crf": how.crf, "bf": 0, "g": 600, "threads": 2},
        **{"c:a": "aac", "ac": 1, "b:a": how.sound},
        **{"f": "mpegts", "map_metadata": -1, "muxdelay": 0, "muxpreload": 0},
    }


_SOURCE, _NULL = "vms-source", "vms-null"
_RENDITION, _POSTER, _TILES, _SPRITE = "vms-rendition", "vms-poster", "vms-tiles", "vms-sprite"

_JPEG: dict[str, Any] = {
    "frames:v": 1,
    "c:v": "mjpeg",
    "q:v": 5,
    "f": "image2",
    "update": 1,
    "map_metadata": -1,
    "threads": 1,
    "flags": "+bitexact",
}


def _input(probe: Probe) -> Any:
    options: dict[str, Any] = {"threads": 1, "protocol_whitelist": "file", "format_whitelist": DEMUXERS}
    if probe.container in RAW_CONTAINERS:
        options |= {"f": probe.container, "framerate": f"{probe.video.fps:.6g}"}
    return ffmpeg.input(_SOURCE, **options)


def _rendition(
    read: Any, picture: Any, probe: Probe, identity: Identity, sound: SoundMode, options: dict[str, Any]
) -> Any:
    streams = [picture]
    if probe.audio is None or sound == "none":
        options |= {"an": None}
    else:
        streams.append(read[str(probe.audio.index)])
        mono = probe.audio.channels == 1
        encoded = {"c:a": "aac", "ac": 1 if mono else 2, "b:a": "32k" if mono else "48k"}
        options |= {"c:a": "copy"} if sound == "copy" else encoded
    return ffmpeg.output(
        *streams,
        _RENDITION,
        **options,
        **{
            "f": "mp4",
            "movflags": _MOVFLAGS,
            "map_metadata": -1,
            "map_chapters": -1,
            "metadata": f"vms={identity.to_json()}",
            "metadata:g": f"creation_time={identity.creation_time}",
        },
    )


def _with_previews(first: Any, for_poster: Any, for_sprite: Any, probe: Probe) -> list[Any]:
    """The poster is the frame a quarter in; the first frame is written before it, for footage that ends earlier.

    The tiles are put together by `sheet` afterwards: FFmpeg reports no progress until each of its outputs has begun,
    and a sheet begins at the end.
    """
    quarter_s = f"{probe.duration_s / 4:.3f}"
    first_and_quarter = f"eq(n,0)+gte(t,{quarter_s})*lt(prev_selected_t,{quarter_s})"
    poster = _scaled(for_poster.filter("select", first_and_quarter), POSTER_WIDTH)
    tiles = _scaled(
        for_sprite.filter("fps", f"1/{sheet_for(probe.duration_s).interval_s}", eof_action="pass"), TILE_WIDTH
    )
    return [
        first,
        ffmpeg.output(poster, _POSTER, **{**_JPEG, "frames:v": 2, "fps_mode": "passthrough"}),
        ffmpeg.output(tiles, _TILES, **{"c:v": "rawvideo", "pix_fmt": "yuv420p", "f": "nut"}),
    ]


def _scaled(picture: Any, width: int) -> Any:
    """At most this wide, square pixels, even sides."""
    wide = f"2*trunc(min({width},iw)/2)"
    return picture.filter("scale", w=wide, h=f"max(2,2*trunc({wide}/dar/2))").filter("setsar", 1)


def _placed(
    program: str, outputs: list[Any], source: Path, targets: Targets | None, front: tuple[str, ...] = ()
) -> list[str]:
    names = {_SOURCE: source}
    if targets is not None:
        names |= {
            _RENDITION: targets.rendition,
            _POSTER: targets.poster,
            _TILES: targets.tiles,
            _SPRITE: targets.sprite,
        }
    return placed(program, outputs, names, front)


def placed(program: str, outputs: list[Any], files: dict[str, Path], front: tuple[str, ...] = ()) -> list[str]:
    """The argument list of what ffmpeg-python has built, with the real names in the placeholders' places."""
    names = {_NULL: "-"} | {word: file_url(path) for word, path in files.items()}
    compiled = ffmpeg.merge_outputs(*outputs).compile() if len(outputs) > 1 else outputs[0].compile()
    return [
        program,
        *("-nostdin", "-hide_banner", "-y", "-v", "error", "-progress", "pipe:1", "-stats_period", "0.5"),
        *("-filter_threads", "1", "-filter_complex_threads", "1", *front),
        *(names.get(word, word) for word in compiled[1:]),
    ]
