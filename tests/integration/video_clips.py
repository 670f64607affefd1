"""Short clips made with FFmpeg's own sources, good ones and broken ones, for tests of everything that reads footage."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

from vms.video.binaries import binaries


def ffmpeg(*words: str | Path) -> None:
    """Run the FFmpeg of the requirements; raises with its last words."""
    argv = [binaries().ffmpeg, "-nostdin", "-hide_banner", "-y", "-v", "error", *map(str, words)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


def picture(seconds: float = 5, size: str = "320x240", fps: int = 10) -> list[str]:
    return ["-f", "lavfi", "-i", f"testsrc2=s={size}:r={fps}:d={seconds}"]


H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-b:v", "1500k", "-bf", "0", "-g", "20"]
"""As a camera does it: no B-frames, a keyframe every two seconds, more bits than needed."""


def camera(path: Path, seconds: float = 5, sound: str = "", fps: int = 10, size: str = "320x240") -> Path:
    """A clip of a camera; sound is an audio codec, or "" for none."""
    words = picture(seconds, size, fps)
    if sound:
        words += ["-f", "lavfi", "-i", f"sine=d={seconds}:r=8000", "-c:a", sound, "-ar", "8000", "-ac", "1"]
    ffmpeg(*words, *H264, path)
    return path


def variable_rate(path: Path) -> Path:
    source = picture(6, fps=30)
    ffmpeg(*source, "-vf", "select='lt(mod(n,7),3)'", "-fps_mode", "vfr", *H264, path)
    return path


def bare(path: Path, seconds: float = 4, fps: int = 15) -> Path:
    """H.264 without a container, as some recorders name it .dav."""
    ffmpeg(*picture(seconds, fps=fps), *H264, "-f", "h264", path)
    return path


def transport_stream(path: Path) -> Path:
    """With B-frames."""
    ffmpeg(*picture(4), "-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-b:v", "1500k", "-f", "mpegts", path)
    return path


def efficient(path: Path, seconds: float = 8) -> Path:
    """HEVC at so few bits that encoding it again makes it larger."""
    quiet = ["-x265-params", "log-level=none", "-tag:v", "hvc1"]
    ffmpeg(*picture(seconds, "640x360", 15), "-c:v", "libx265", "-preset", "ultrafast", "-crf", "51", *quiet, path)
    return path


def cut_off(path: Path, part: float = 0.6) -> Path:
    """An MP4 with its index in front that ends too early."""
    whole = path.with_name("whole-" + path.name)
    ffmpeg(*picture(8), *H264, "-movflags", "+faststart", whole)
    path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * part)])
    whole.unlink()
    return path


def without_index(path: Path) -> Path:
    """An MP4 whose recorder lost power: no moov."""
    whole = camera(path.with_name("whole-" + path.name))
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    whole.unlink()
    return path


def rotten(path: Path) -> Path:
    """Whole, with flipped bytes in the middle third."""
    camera(path, 8)
    data = bytearray(path.read_bytes())
    dice = random.Random(1)
    for _ in range(60):
        data[dice.randrange(len(data) // 3, len(data) * 2 // 3)] ^= 0xFF
    path.write_bytes(data)
    return path


def with_broken_sound(path: Path) -> Path:
    """A TS whose AAC is garbage and whose picture is whole."""
    words = [*picture(4), "-f", "lavfi", "-i", "sine=d=4", *H264, "-c:a", "aac", "-f", "mpegts", path]
    ffmpeg(*words)
    data = bytearray(path.read_bytes())
    for at in range(0, len(data), 188):
        is_sound = (data[at + 1] & 0x1F) << 8 | data[at + 2] == 0x101
        if is_sound and not data[at + 1] & 0x40:
            for byte in range(at + 20, at + 180, 3):
                data[byte] ^= 0x5A
    path.write_bytes(data)
    return path
