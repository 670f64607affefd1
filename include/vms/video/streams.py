"""Which of a file's streams are its picture and its sound, and what they say of themselves.

Pure: what ffprobe told goes in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

_EARLIEST_YEAR = 2000  # recorders with an empty clock battery say 1970 or 1904
_THUMBNAIL_CODECS = ("mjpeg", "png", "bmp", "gif", "webp", "tiff")
_THUMBNAIL_WIDTH = 320


@dataclass(frozen=True)
class VideoStream:
    """The picture. fps is the average (None when unknown); width and height are as coded, before rotation."""

    index: int
    codec: str
    width: int
    height: int
    fps: float | None
    pixel_format: str
    frames: int | None
    duration_s: float | None = None
    bit_rate: int | None = None


@dataclass(frozen=True)
class AudioStream:
    """The sound; sample_rate in Hz."""

    index: int
    codec: str
    channels: int
    sample_rate: int


def pictures(streams: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The video streams that may be footage: no covers, and no thumbnails where there is anything else."""
    candidates = [one for one in streams if one.get("codec_type") == "video" and not _is_cover(one)]
    return [one for one in candidates if not _is_thumbnail(one)] or candidates


def choose_video(streams: list[dict[str, Any]]) -> VideoStream | None:
    """The largest picture; None when there is none."""
    real = pictures(streams)
    if not real:
        return None

    def rank(one: dict[str, Any]) -> tuple[int, int]:
        default = int((one.get("disposition") or {}).get("default", 0))
        return int(one.get("width") or 0) * int(one.get("height") or 0), default

    chosen = max(real, key=rank)
    return VideoStream(
        index=int(chosen["index"]),
        codec=str(chosen.get("codec_name", "unknown")),
        width=int(chosen.get("width") or 0),
        height=int(chosen.get("height") or 0),
        fps=_fps(chosen),
        pixel_format=str(chosen.get("pix_fmt", "")),
        frames=int(chosen["nb_frames"]) if str(chosen.get("nb_frames", "")).isdecimal() else None,
        duration_s=positive(chosen.get("duration")) or _tagged_duration_s(chosen),
        bit_rate=int(chosen["bit_rate"]) if str(chosen.get("bit_rate", "")).isdecimal() else None,
    )


def _tagged_duration_s(stream: dict[str, Any]) -> float | None:
    """Matroska keeps a stream's length in a tag, as 00:00:08.000000000."""
    tags = stream.get("tags") or {}
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", str(tags.get("DURATION", "")))
    if match is None:
        return None
    return (int(match[1]) * 60 + int(match[2])) * 60 + float(match[3]) or None


def _is_cover(stream: dict[str, Any]) -> bool:
    disposition = stream.get("disposition") or {}
    return bool(
        disposition.get("attached_pic") or disposition.get("timed_thumbnails") or disposition.get("still_image")
    )


def _is_thumbnail(stream: dict[str, Any]) -> bool:
    return stream.get("codec_name") in _THUMBNAIL_CODECS and int(stream.get("width") or 0) <= _THUMBNAIL_WIDTH


def sounds(streams: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The audio streams that can be read."""
    return [
        one
        for one in streams
        if one.get("codec_type") == "audio"
        and str(one.get("codec_name", "unknown")) != "unknown"
        and int(one.get("channels") or 0) > 0
        and int(one.get("sample_rate") or 0) > 0
    ]


def choose_audio(streams: list[dict[str, Any]]) -> AudioStream | None:
    """The one that a player would take; None when none can be read."""
    heard = sounds(streams)
    if not heard:
        return None
    best = max(
        heard,
        key=lambda one: (
            int((one.get("disposition") or {}).get("default", 0)),
            min(2, int(one["channels"])),
            int(one["sample_rate"]),
            -int(one["index"]),
        ),
    )
    return AudioStream(int(best["index"]), str(best["codec_name"]), int(best["channels"]), int(best["sample_rate"]))


def any_audio(streams: list[dict[str, Any]]) -> str:
    """The codec of the first sound, also of one that can't be read; "" when there is none."""
    return next((str(one.get("codec_name", "unknown")) for one in streams if one.get("codec_type") == "audio"), "")


def creation_time(form: dict[str, Any], streams: list[dict[str, Any]]) -> datetime | None:
    """When the file says that it was made (UTC); None for what no clock that was set says."""
    for place in (form, *streams):
        tags = {str(name).lower(): str(value) for name, value in (place.get("tags") or {}).items()}
        text = tags.get("creation_time", "").strip()
        if not text:
            continue
        try:
            at = datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            continue
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        if _EARLIEST_YEAR <= at.year < 2100:
            return at
    return None


def _fps(stream: dict[str, Any]) -> float | None:
    for name in ("avg_frame_rate", "r_frame_rate"):
        fps = ratio(stream.get(name))
        if fps and 0.01 <= fps <= 240:
            return fps
    return None


def ratio(text: object) -> float | None:
    """A rate as ffprobe writes it, such as "25/1"."""
    try:
        return float(Fraction(str(text)))
    except (ValueError, ZeroDivisionError):
        return None


def positive(text: object) -> float | None:
    """A number above zero; None for anything else."""
    try:
        value = float(str(text))
    except ValueError:
        return None
    return value if value > 0 else None
