"""Clips: footage of one camera from one moment to another as one H.264 file that every player opens.

A clip is for watching; the recordings that it is made of stay the evidence. Of a hole in the footage it is asked
whether it takes its time in the clip, black and with words, or begins a new clip (Gaps).
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from vms.errors import EncodeFailed
from vms.home import Home
from vms.model import Gaps
from vms.video import clips
from vms.video.binaries import binaries
from vms.video.clips import Piece, Shape
from vms.video.ffmpeg import Progress, run, wall_limit_s
from vms.video.slots import encode_slot

LONGEST_HOLE = timedelta(seconds=60)
MOST_BLACK = timedelta(hours=6)
_MOST_PIXELS = 1920 * 1080
_MOST_FPS = 30.0
TOO_SHORT = timedelta(milliseconds=500)  # neither a piece nor a hole: recorders lose as much between two files
_LONGEST: dict[Gaps, timedelta] = {"short": LONGEST_HOLE, "black": timedelta.max, "separate": TOO_SHORT}


@dataclass(frozen=True)
class Footage:
    """A recording that lies in a file. start, end: UTC."""

    path: Path
    start: datetime
    end: datetime
    width: int
    height: int
    fps: float
    has_sound: bool


@dataclass(frozen=True)
class Clip:
    """What is made: begin, end: UTC; parts: what of it is footage, in order; holes: what is black."""

    begin: datetime
    end: datetime
    parts: tuple[tuple[datetime, datetime, Footage], ...]

    @property
    def holes(self) -> Iterator[tuple[datetime, datetime]]:
        """Where nothing was recorded, in order."""
        at = self.begin
        for first, last, _ in self.parts:
            if first - at > TOO_SHORT:
                yield at, first
            at = last

    @property
    def seconds(self) -> float:
        return (self.end - self.begin).total_seconds()


def plan_clips(footage: Sequence[Footage], begin: datetime, end: datetime, gaps: Gaps = "short") -> list[Clip]:
    """The clips of one camera within [begin, end), in order. Of two recordings of one moment the earlier one counts."""
    planned: list[Clip] = []
    parts: list[tuple[datetime, datetime, Footage]] = []
    at = begin
    for one in sorted(footage, key=lambda one: (one.start, one.end)):
        first, last = max(one.start, at), min(one.end, end)
        if last - first <= TOO_SHORT:
            continue
        if parts and first - at > _LONGEST[gaps]:
            planned.append(Clip(parts[0][0], at, tuple(parts)))
            parts = []
        parts.append((first, last, one))
        at = last
    if parts:
        planned.append(Clip(parts[0][0], at, tuple(parts)))
    return planned


def make_clip(
    home: Home,
    clip: Clip,
    target: Path,
    *,
    zone: str,
    burn_in: str = "",
    moved: Callable[[float], None] = lambda _seconds: None,
    stop: threading.Event | None = None,
) -> None:
    """Write the clip to target, which is there only when it is whole.

    zone: of the words in it; burn_in: the camera's name, written below the picture with a running clock. moved: told
    how many seconds of it are made. Raises EncodeFailed, OSError.
    """
    black = sum((last - first for first, last in clip.holes), timedelta())
    if black > MOST_BLACK:
        raise EncodeFailed(
            f"{black / timedelta(hours=1):.1f} hours of the clip would be black.", "Take gaps as separate files."
        )
    program, shape = binaries(home).ffmpeg, _shape(clip)
    pixels = shape.width * shape.height
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".clip-", dir=target.parent) as scratch:
        piece_file, all_pieces, made = (Path(scratch) / name for name in ("piece.ts", "all.ts", "clip.mp4"))
        with all_pieces.open("wb") as together:
            for piece in _pieces(clip, shape, zone):
                heard = _heard(piece, shape, moved)
                argv = clips.piece(program, piece, shape, piece_file, (burn_in, zone) if burn_in else None)
                with encode_slot(home, pixels, stop):
                    run_for(argv, piece.frames / shape.fps, pixels, stop, heard)
                with piece_file.open("rb") as part:
                    shutil.copyfileobj(part, together, 1 << 20)
        run_for(clips.whole(program, all_pieces, made), clip.seconds, pixels, stop)
        made.chmod(0o644)
        made.replace(target)
    moved(clip.seconds)


def _shape(clip: Clip) -> Shape:
    """As most of the footage is, but not larger than 1080p and not faster than 30 frames a second."""
    seconds: Counter[tuple[int, int, float]] = Counter()
    for first, last, one in clip.parts:
        seconds[one.width, one.height, one.fps] += round((last - first).total_seconds() * 1000)
    (width, height, fps), _ = seconds.most_common(1)[0]
    shrunk = min(1.0, (_MOST_PIXELS / max(1, width * height)) ** 0.5)
    wide, high = (max(2, 2 * round(side * shrunk / 2)) for side in (width, height))
    return Shape(wide, high, fps=min(_MOST_FPS, fps or 25.0), sound=any(one.has_sound for *_, one in clip.parts))


def _pieces(clip: Clip, shape: Shape, zone: str) -> Iterator[Piece]:
    """The clip in the order of its frames. Every moment is counted from its begin, so nothing adds up."""

    def frame(at: datetime) -> int:
        return round((at - clip.begin).total_seconds() * shape.fps)

    moments: list[tuple[datetime, datetime, Footage | None]] = [
        *clip.parts,
        *((first, last, None) for first, last in clip.holes),
    ]
    for first, last, one in sorted(moments, key=lambda moment: moment[0]):
        frames = frame(last) - frame(first)
        if frames <= 0:
            continue
        if one is None:
            local = [moment.astimezone(ZoneInfo(zone)) for moment in (first, last)]
            words = f"no footage / tidak ada rekaman  {local[0]:%H:%M:%S} - {local[1]:%H:%M:%S}"
            yield Piece(first, frame(first), frames, words=words)
        else:
            skip_s = (first - one.start).total_seconds()
            yield Piece(first, frame(first), frames, one.path, skip_s, one.has_sound)


def _heard(piece: Piece, shape: Shape, moved: Callable[[float], None]) -> Callable[[Progress], bool]:
    def heard(progress: Progress) -> bool:
        moved((piece.first + min(progress.frame, piece.frames)) / shape.fps)
        return True

    return heard


def run_for(
    argv: list[str],
    seconds: float,
    pixels: int,
    stop: threading.Event | None,
    heard: Callable[[Progress], bool] | None = None,
) -> None:
    """Run FFmpeg for so many seconds of footage. Raises EncodeFailed, and Stopped."""
    limit_s = wall_limit_s(seconds, pixels)
    done = run(argv, wall_limit_s=limit_s, stop=stop, on_progress=heard)
    if done.returncode != 0:
        raise EncodeFailed(
            f"FFmpeg could not make the clip ({done.last_words}).",
            "The recordings themselves were written and can be played; is there room on the disk?",
        )
