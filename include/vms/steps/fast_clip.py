"""Fast clips: footage of one camera put together as it is stored, without being encoded.

Such a clip is made as fast as the disk reads, in the codec of the recordings. It begins where its first picture can be
begun with, up to some seconds ahead of the moment asked for, and says so; a hole, or footage that was recorded with
other settings, begins a new one.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from vms.home import Home
from vms.steps.clip import TOO_SHORT, Clip, Footage, run_for
from vms.video import clips
from vms.video.binaries import binaries
from vms.video.probe import begins_at, build


def plan_fast_clips(home: Home, footage: Sequence[Footage], begin: datetime, end: datetime) -> list[Clip]:
    """The clips of one camera within [begin, end), in order. Raises SourceRejected for footage that can't be read."""
    planned: list[list[tuple[datetime, datetime, Footage]]] = []
    at, before = begin, None
    for one in sorted(footage, key=lambda one: (one.start, one.end)):
        first, last = max(one.start, at), min(one.end, end)
        if last - first <= TOO_SHORT:
            continue
        skip_s = (first - one.start).total_seconds()
        if skip_s > 0:
            first = one.start + timedelta(seconds=begins_at(one.path, skip_s, home))
        made = build(one.path, home)
        if not planned or made != before or not timedelta() <= first - at <= TOO_SHORT:
            planned.append([])
        planned[-1].append((first, last, one))
        at, before = last, made
    return [Clip(parts[0][0], parts[-1][1], tuple(parts)) for parts in planned]


def make_fast_clip(
    home: Home,
    clip: Clip,
    target: Path,
    *,
    moved: Callable[[float], None] = lambda _seconds: None,
    stop: threading.Event | None = None,
) -> None:
    """Write the clip to target, which is there only when it is whole. moved: told how many seconds of it are made.

    Raises EncodeFailed, Stopped, OSError.
    """
    program = binaries(home).ffmpeg
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".clip-", dir=target.parent) as text:
        scratch = Path(text)
        names, made = scratch / "names.txt", scratch / "clip.mp4"
        for number, (first, last, one) in enumerate(clip.parts):
            skip_s, seconds = (first - one.start).total_seconds(), (last - first).total_seconds()
            piece = scratch / f"{number}.mkv"
            run_for(clips.copied(program, one.path, skip_s, seconds, piece), seconds, one.width * one.height, stop)
            moved((last - clip.begin).total_seconds())
        names.write_text("ffconcat version 1.0\n" + "".join(f"file {n}.mkv\n" for n in range(len(clip.parts))))
        largest = max(one.width * one.height for *_, one in clip.parts)
        run_for(clips.joined(program, names, made), clip.seconds, largest, stop)
        made.chmod(0o644)
        made.replace(target)
