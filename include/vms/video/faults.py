"""What FFmpeg's complaints mean: FFmpeg ends with 0 on cut-off and corrupt footage, so its words have to be judged."""

from __future__ import annotations

import re
from collections.abc import Sequence

_HARMLESS = (
    "co located pocs unavailable",
    "mmco: unref short failure",
    "number of reference frames",
    "non monotonically increasing dts",
    "non-monotonic dts",
    "timestamps are unset",
    "guessed channel layout",
    "deprecated pixel format",
    "last message repeated",
    "svt[",
    "application provided invalid",
    "queue input is backward in time",
    "could not update timestamps",
    "sei type",
)
_SOUND = re.compile(
    r"aist#|aost#|\[(aac|mp[123]|ac3|opus|vorbis|pcm_|adpcm|g72)|dec:(aac|mp[123]|pcm|adpcm|g72|opus|vorbis)|audio"
)
_OUTPUT = re.compile(
    r"out#|vost#|enc:|\[(libsvtav1|libx264|mp4|mjpeg|image2|null) @|output|conversion failed|error muxing|task finished"
)


def picture_faults(stderr: Sequence[str]) -> tuple[str, ...]:
    """The lines that mean that some of the source's picture could not be read or decoded."""
    return tuple(
        line for line in stderr if not _is_harmless(line) and not _is_sound(line) and not _OUTPUT.search(line.lower())
    )


def sound_faults(stderr: Sequence[str]) -> tuple[str, ...]:
    """The lines that mean that some of the sound could not be read, decoded or stored."""
    return tuple(line for line in stderr if not _is_harmless(line) and _is_sound(line))


def is_cut_off(faults: Sequence[str]) -> bool:
    """Whether they say that the file ends too early, so that what decodes is its beginning."""
    return any("partial file" in line or "ended prematurely" in line for line in faults)


def short(line: str) -> str:
    """A line of FFmpeg without the brackets and addresses in front."""
    return re.sub(r"^(\[[^\]]*\]\s*)+", "", line)[:200]


def _is_harmless(line: str) -> bool:
    low = line.lower()
    return any(words in low for words in _HARMLESS)


def _is_sound(line: str) -> bool:
    return _SOUND.search(line.lower()) is not None
