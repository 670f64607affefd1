"""Stand-ins: pieces of renditions as H.264, made the moment a browser asks for them and kept for a while.

For browsers that can't play a rendition's format, and for thin lines. A piece is some seconds of a rendition, fetched
by its byte range and made by itself, so that a player begins within seconds wherever it starts. Never put into a store.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from viewer import media
from viewer.watch import playlist
from viewer.watch.heads import Heads, Why
from vms.catalogue.playables import Playable
from vms.home import Home
from vms.logs import of_recording
from vms.machine import cores
from vms.video import commands, ffmpeg
from vms.video.binaries import binaries
from vms.video.fragments import FragmentIndex
from vms.video.probe import probe

log = logging.getLogger(__name__)

Quality = Literal["good", "low"]
QUALITIES: tuple[Quality, ...] = get_args(Quality)

MOST_BYTES = 2 << 30
"""What is kept of them on disk; what was not watched for longest goes first."""

MISSING = ".missing.ts"
"""How a piece is called of which nothing could be decoded: it is black."""

WHOLE_S = 10.0
"""How long the pieces are of a file without an index of its own."""

_WALL_LIMIT_S = 120.0
_STALL_LIMIT_S = 60.0
_SIZES: dict[Quality, commands.StandIn] = {
    "good": commands.StandIn(height=720, crf=25, sound="48k"),
    "low": commands.StandIn(height=360, crf=31, sound="24k"),
}

Key = tuple[int, int, int, Quality]
"""(recording, its bytes, number of the piece, quality)"""


@dataclass
class _Job:
    """One piece on its way. waiters: requests that want it; without any it is given up."""

    future: Future[Path]
    stop: threading.Event
    waiters: int = 1
    share: float = 0.0
    marks: set[str] = field(default_factory=set)


def lengths_of(one: Playable, index: FragmentIndex | Why) -> list[float]:
    """How long each of its pieces is, in seconds; none when no store gives it."""
    if isinstance(index, FragmentIndex):
        return [piece.seconds for piece in playlist.segments(index.fragments)]
    if index != "form":
        return []
    whole, rest = divmod(one.duration_s, WHOLE_S)
    return [WHOLE_S] * int(whole) + ([rest] if rest > 0.05 else [])


class StandIns:
    """Makes pieces, a few at a time."""

    def __init__(self, home: Home, heads: Heads, most_bytes: int = MOST_BYTES, workers: int = 0) -> None:
        self._home = home
        self._heads = heads
        self._most = most_bytes
        self._folder = home.run / "stand-ins"
        self._workers = ThreadPoolExecutor(workers or max(1, cores() // 2), thread_name_prefix="stand-in")
        self._jobs: dict[Key, _Job] = {}
        self._lock = threading.Lock()
        self._fetching = threading.Lock()

    @contextlib.contextmanager
    def wanted(self, one: Playable, number: int, quality: Quality, mark: str) -> Iterator[Future[Path]]:
        """The piece's file, once it is there. Leaving before gives it up, unless somebody else waits, too.

        The future raises Refusal when no store gives the footage, VmsError when it is nothing that can be decoded.
        mark: of the session that waits, for `progress`.
        """
        key: Key = (one.recording_id, one.size_bytes, number, quality)
        with self._lock:
            job = self._jobs.get(key)
            if job is None or job.stop.is_set():
                stop = threading.Event()
                job = self._jobs[key] = _Job(Future(), stop, 0)
                make = of_recording(one.recording_id, self._make)
                job.future = self._workers.submit(make, job, key, one, number, quality)
            job.waiters += 1
            job.marks.add(mark)
        try:
            yield job.future
        finally:
            with self._lock:
                job.waiters -= 1
                if job.waiters == 0:
                    job.stop.set()
                    job.future.cancel()
                    if self._jobs.get(key) is job:
                        del self._jobs[key]

    def progress(self, mark: str) -> float | None:
        """How far (0 to 1) the piece is that the session waits for longest; None when it waits for none."""
        with self._lock:
            mine = [job.share for job in self._jobs.values() if mark in job.marks and not job.future.done()]
        return max(mine) if mine else None

    def _make(self, job: _Job, key: Key, one: Playable, number: int, quality: Quality) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        name = "-".join(map(str, key))
        made, missing = (self._folder / f"{name}{ending}" for ending in (".ts", MISSING))
        for path in (made, missing):
            with contextlib.suppress(FileNotFoundError):
                os.utime(path)
                return path
        (index,) = self._heads.read([one])
        lengths = lengths_of(one, index)
        if number >= len(lengths):
            raise media.Refusal(404, "media.missing")
        begins_s, length_s = sum(lengths[:number]), lengths[number]
        source, target = (self._folder / f"{name}.{id(job):x}.part{ending}" for ending in (".mp4", ".ts"))
        try:
            of = None
            if isinstance(index, FragmentIndex):
                piece = list(playlist.segments(index.fragments))[number]
                self._fetch(job, one, source, ((0, index.head_bytes), (piece.start, piece.size)))
                whole = source
            else:
                whole = self._whole(job, one)
                of = commands.Stretch(length_s, probe(whole, home=self._home))
            program, how = binaries(self._home).ffmpeg, _SIZES[quality]
            frames = max(1.0, length_s * (one.fps or 15.0))
            if not self._encode(job, target, commands.stand_in(program, whole, target, how, begins_s, of), frames):
                log.warning("Nothing of %s from second %.0f on could be decoded", one.places[0].key, begins_s)
                made = missing
                self._encode(job, target, commands.nothing(program, target, how, begins_s, length_s), length_s * 5)
            target.replace(made)
        finally:
            source.unlink(missing_ok=True)
            target.unlink(missing_ok=True)
        self._trim(made)
        return made

    def _encode(self, job: _Job, target: Path, argv: list[str], frames: float) -> bool:
        """Whether anything came out: of damaged footage it is what could be decoded, whatever FFmpeg says."""

        def told(progress: ffmpeg.Progress) -> bool:
            job.share = min(0.99, progress.frame / frames)
            return True

        ffmpeg.run(argv, wall_limit_s=_WALL_LIMIT_S, stall_limit_s=_STALL_LIMIT_S, on_progress=told, stop=job.stop)
        return target.exists() and target.stat().st_size > 0 and job.share > 0

    def _whole(self, job: _Job, one: Playable) -> Path:
        """All of a file of a form that can't be read piece by piece, fetched once and kept like the pieces."""
        whole = self._folder / f"{one.recording_id}-{one.size_bytes}.whole{one.suffix}"
        if one.size_bytes > self._most:
            raise media.Refusal(413, "watch.left_out.form")
        with self._fetching:
            if not whole.exists():
                part = whole.with_name(f"{whole.name}.part")
                self._fetch(job, one, part, ((0, one.size_bytes),))
                part.replace(whole)
        os.utime(whole)
        return whole

    def _fetch(self, job: _Job, one: Playable, to: Path, ranges: Sequence[tuple[int, int]]) -> None:
        with to.open("wb") as file:
            for start, length in ranges:
                for chunk in media.open_bytes(one.places, start, length):
                    if job.stop.is_set():
                        raise ffmpeg.Stopped
                    file.write(chunk)

    def _trim(self, fresh: Path) -> None:
        """Keep the newest up to the limit."""
        files = []
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                files.append((stat.st_mtime, stat.st_size, path))
        total = 0
        for _, size, path in sorted(files, reverse=True):
            total += size
            if total > self._most and path != fresh and ".part." not in path.name:
                path.unlink(missing_ok=True)
