"""What a source file really is, whatever its name says: container, picture, sound, length; or why it is no video.

Reads with ffprobe under the runner's limits. A file that is refused gets a reason, a sentence that says what is wrong
with it, and what to do; the caller adds the site and the camera.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from vms.errors import EncodeFailed, SourceRejected
from vms.home import Home
from vms.paths import to_text
from vms.video.binaries import binaries
from vms.video.ffmpeg import DEMUXERS, Finished, file_url, run
from vms.video.streams import (
    AudioStream,
    VideoStream,
    any_audio,
    choose_audio,
    choose_video,
    creation_time,
    pictures,
    positive,
    ratio,
    sounds,
)

RAW_CONTAINERS = ("h264", "hevc", "vvc")
"""Bare bitstreams: no times in them, so the frame rate must be told to whoever reads them."""

_RAW_FPS = 25.0
_SLOWEST_READ = 20_000_000  # bytes per second that a footage share must manage when frames have to be counted
_LOOK_S = 60.0  # for a question that is answered by the beginning of a file


@dataclass(frozen=True)
class Probe:
    """What the file says of itself. duration_s is the picture's where it is known; creation_time is UTC.

    container is FFmpeg's first name for it, such as "mov", "matroska", "mpegts", "h264". bit_rate is of the whole
    file in bits per second. unreadable_audio: the codec of sound that is there but can't be read at all.
    pictures, sounds: how many of each there are, of which video and audio are the ones that are looked at.
    """

    container: str
    duration_s: float
    creation_time: datetime | None
    bit_rate: int
    video: VideoStream
    audio: AudioStream | None
    unreadable_audio: str = ""
    pictures: int = 1
    sounds: int = 0

    @property
    def pixels(self) -> int:
        return self.video.width * self.video.height


def probe(path: Path, *, timeout_s: float = 30, home: Home | None = None) -> Probe:
    """Read what is in the file. Raises SourceRejected with one of the reasons missing, zero_bytes, unreadable,
    playlist, not_video, no_video_stream, no_moov, damaged; ConfigError when there is no ffprobe."""
    _look_at_head(path)
    told = _ask(path, timeout_s, ("-show_format", "-show_streams"), home)
    streams = told.get("streams") or []
    video = choose_video(streams)
    name = _shown(path)
    if video is None:
        kinds = ", ".join(sorted({str(one.get("codec_type", "data")) for one in streams})) or "nothing"
        raise SourceRejected(
            "no_video_stream",
            f"{name}: there is no picture in it (only {kinds}).",
            "Is it a sound or event file? Leave such files out of the footage folder, or export it again with picture.",
        )
    if not video.width or not video.height:
        raise SourceRejected(
            "damaged",
            f"{name}: its {video.codec} picture has no size; the beginning of the file seems to be missing.",
            "Export it again from the recorder.",
        )
    form = told.get("format") or {}
    container = str(form.get("format_name", "")).split(",")[0]
    size = path.stat().st_size
    if container in RAW_CONTAINERS:
        video = _count_raw(path, video, timeout_s, size, home)
    duration_s = video.duration_s or positive(form.get("duration")) or 0.0
    if not duration_s:
        video = _count(path, video, timeout_s, size, home)
        duration_s = video.duration_s or 0.0
    audio = choose_audio(streams)
    return Probe(
        container=container,
        duration_s=duration_s,
        creation_time=creation_time(form, streams),
        bit_rate=int(size * 8 / duration_s) if duration_s else 0,
        video=video,
        audio=audio,
        unreadable_audio="" if audio else any_audio(streams),
        pictures=len(pictures(streams)),
        sounds=len(sounds(streams)),
    )


def _look_at_head(path: Path) -> None:
    name = _shown(path)
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except FileNotFoundError as error:
        raise SourceRejected("missing", f"{name}: it is not there.", "Was it moved or removed?") from error
    except OSError as error:
        raise SourceRejected(
            "unreadable", f"{name}: it can't be read ({error.strerror}).", "Give this user the right to read it."
        ) from error
    if not head:
        raise SourceRejected(
            "zero_bytes",
            f"{name}: it is empty (0 bytes); the recorder opened it and never wrote to it.",
            "Export it again from the recorder if footage is expected there, else remove it.",
        )
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith((b"#EXTM3U", b"ffconcat")) or (text.startswith(b"<") and b"<MPD" in text):
        raise _playlist(name)
    if _is_text(head):
        raise SourceRejected(
            "not_video",
            f"{name}: it is a text file, whatever its name says.",
            "Leave such files out of the footage folder, or export the footage again.",
        )


def _is_text(head: bytes) -> bool:
    try:
        text = head[: len(head) - 4 if len(head) == 4096 else None].decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char in "\r\n\t\f" for char in text)


def build(path: Path, home: Home | None = None) -> tuple[object, ...]:
    """What two files have to have in common for one to follow the other without being encoded: codecs, sizes, and the
    settings that stand ahead of the footage. Raises SourceRejected."""
    entries = "stream=codec_type,codec_name,profile,width,height,pix_fmt,sample_rate,channels,extradata_hash"
    told = _ask(path, _LOOK_S, ("-show_data_hash", "MD5", "-show_entries", entries), home)
    firsts = {one["codec_type"]: tuple(sorted(one.items())) for one in reversed(told.get("streams", []))}
    return firsts.get("video"), firsts.get("audio")


def begins_at(path: Path, at_s: float, home: Home | None = None) -> float:
    """Where the picture that is seen at this second can be begun with: at it or before. Raises SourceRejected."""
    asked = ("-select_streams", "v:0", "-show_entries", "packet=pts_time,flags", "-read_intervals", f"{at_s:.6f}%+#1")
    packets = _ask(path, _LOOK_S, asked, home).get("packets", [])
    found = [float(one["pts_time"]) for one in packets if "K" in one.get("flags", "") and one.get("pts_time")]
    return min(max(0.0, found[0]), at_s) if found else 0.0


def _playlist(name: str) -> SourceRejected:
    return SourceRejected(
        "playlist",
        f"{name}: it is a playlist that names other files, not footage; it was not followed.",
        "Leave playlists out of the footage folder; the files that it names are archived on their own.",
    )


def _ask(path: Path, timeout_s: float, questions: tuple[str, ...], home: Home | None) -> dict[str, Any]:
    argv = [
        *(binaries(home).ffprobe, "-hide_banner", "-v", "error"),
        *("-protocol_whitelist", "file", "-format_whitelist", DEMUXERS, "-of", "json"),
        *(*questions, "-i", file_url(path)),
    ]
    try:
        done = run(argv, wall_limit_s=timeout_s, stall_limit_s=None, keep_stdout=True)
    except EncodeFailed as error:
        raise SourceRejected(
            "unreadable",
            f"{_shown(path)}: it could not be looked at within {timeout_s:.0f} s.",
            "Is the share or disk hung or very slow? It is looked at again when it changes or when asked.",
        ) from error
    if done.returncode != 0:
        raise _refusal(path, done)
    answer: dict[str, Any] = json.loads(done.stdout.decode("utf-8", "replace") or "{}")
    return answer


def _refusal(path: Path, done: Finished) -> SourceRejected:
    name, said = _shown(path), "\n".join(done.stderr)
    if "not on whitelist" in said:
        container = said.split("[", 1)[-1].split(" @", 1)[0]
        if container in ("concat", "hls", "dash", "applehttp"):
            return _playlist(name)
        return SourceRejected(
            "not_video",
            f"{name}: it is no video but {container.replace('_', ' ')}, whatever its name says.",
            "Leave such files out of the footage folder, or export the footage again.",
        )
    if "moov atom not found" in said:
        with path.open("rb") as file:
            is_mp4 = file.read(12)[4:8] in (b"ftyp", b"mdat", b"free", b"skip", b"wide")
        if is_mp4:
            return SourceRejected(
                "no_moov",
                f"{name}: no moov atom; the recorder may have lost power or space before it closed the file.",
                "Export it again from the recorder; it is looked at again when it changes or when asked.",
            )
    if any(words in said for words in ("Permission denied", "Input/output error", "Stale file handle")):
        return SourceRejected(
            "unreadable", f"{name}: it can't be read ({done.last_words}).", "Check the disk, the share and its rights."
        )
    return SourceRejected(
        "not_video",
        f"{name}: no video container that is known can be found in it ({_reason(done)}).",
        "Export it again from the recorder in MP4, MKV, AVI, TS or its own .dav.",
    )


def _reason(done: Finished) -> str:
    return done.last_words.rsplit(": ", 1)[-1]


def _count_raw(path: Path, video: VideoStream, timeout_s: float, size: int, home: Home | None) -> VideoStream:
    """A bare stream has no times: its frames are counted, at the rate that its headers give, otherwise 25 a second."""
    told = _ask(path, timeout_s, ("-select_streams", str(video.index), "-show_entries", "stream=r_frame_rate"), home)
    rate = ratio((told.get("streams") or [{}])[0].get("r_frame_rate")) or 0.0
    fps = rate / 2 if video.codec == "h264" else rate  # H.264 counts fields
    return _count(path, replace(video, fps=fps if 1 <= fps <= 120 else _RAW_FPS), timeout_s, size, home)


def _count(path: Path, video: VideoStream, timeout_s: float, size: int, home: Home | None) -> VideoStream:
    told = _ask(
        path,
        timeout_s + size / _SLOWEST_READ,
        ("-count_packets", "-select_streams", str(video.index), "-show_entries", "stream=nb_read_packets"),
        home,
    )
    text = str((told.get("streams") or [{}])[0].get("nb_read_packets", "0"))
    frames = int(text) if text.isdecimal() else 0
    fps = video.fps or _RAW_FPS
    return replace(video, frames=frames, fps=fps, duration_s=frames / fps)


def _shown(path: Path) -> str:
    return to_text(path.name)
