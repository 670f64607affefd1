"""Stand-ins: pieces of renditions as H.264, made the moment a browser asks for them and kept for a while.

For browsers that can't play a rendition's format, and for thin lines. A piece is some seconds of a rendition, fetched
by its byte range and made by itself, so that a player begins within seconds wherever it starts. Never put into a store.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from viewer import media
from viewer.watch import playlist
from viewer.watch.heads import Heads
from vms.catalogue.timeline import Playable
from vms.errors import EncodeFailed
from vms.home import Home
from vms.video import commands, ffmpeg
from vms.video.binaries import binaries
from vms.video.fragments import FragmentIndex
from vms.video.slots import cores

log = logging.getLogger(__name__)

Quality = Literal["good", "low"]
QUALITIES: tuple[Quality, ...] = get_args(Quality)

MOST_BYTES = 1 << 30
"""What is kept of them on disk; what was not watched for longest goes first."""

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

    @contextlib.contextmanager
    def wanted(self, one: Playable, number: int, quality: Quality, mark: str) -> Iterator[Future[Path]]:
        """The piece's file, once it is there. Leaving before gives it up, unless somebody else waits, too.

        The future raises Refusal when no store gives the footage, EncodeFailed when nothing could be made of it.
        mark: of the session that waits, for `progress`.
        """
        key: Key = (one.recording_id, one.size_bytes, number, quality)
        with self._lock:
            job = self._jobs.get(key)
            if job is None or job.stop.is_set():
                stop = threading.Event()
                job = self._jobs[key] = _Job(Future(), stop, 0)
                job.future = self._workers.submit(self._make, job, key, one, number, quality)
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
        """How far (0 to 1) the piece is that this session waits for longest; None when it waits for none."""
        with self._lock:
            mine = [job.share for job in self._jobs.values() if mark in job.marks and not job.future.done()]
        return max(mine) if mine else None

    def _make(self, job: _Job, key: Key, one: Playable, number: int, quality: Quality) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        name = "-".join(map(str, key))
        made = self._folder / f"{name}.ts"
        if made.exists():
            os.utime(made)
            return made
        (index,) = self._heads.read([one])
        pieces = list(playlist.segments(index.fragments)) if isinstance(index, FragmentIndex) else []
        if not isinstance(index, FragmentIndex) or number >= len(pieces):
            raise media.Refusal(404, "media.missing")
        piece = pieces[number]
        source, target = (self._folder / f"{name}.{id(job):x}.part.{kind}" for kind in ("mp4", "ts"))
        try:
            with source.open("wb") as file:
                for start, length in ((0, index.head_bytes), (piece.start, piece.size)):
                    for chunk in media.open_bytes(one.places, start, length):
                        file.write(chunk)
            begins_s = sum(each.seconds for each in pieces[:number])
            self._encode(job, source, target, quality, begins_s, piece.seconds, one.fps or 15.0)
            target.replace(made)
        finally:
            source.unlink(missing_ok=True)
            target.unlink(missing_ok=True)
        self._trim(made)
        return made

    def _encode(
        self, job: _Job, source: Path, target: Path, quality: Quality, begins_s: float, length_s: float, fps: float
    ) -> None:
        def told(progress: ffmpeg.Progress) -> bool:
            job.share = min(0.99, progress.frame / max(1.0, length_s * fps))
            return True

        argv = commands.stand_in(binaries(self._home).ffmpeg, source, target, _SIZES[quality], begins_s)
        done = ffmpeg.run(
            argv, wall_limit_s=_WALL_LIMIT_S, stall_limit_s=_STALL_LIMIT_S, on_progress=told, stop=job.stop
        )
        if not target.exists() or target.stat().st_size == 0:  # damaged footage: what decodes is shown
            raise EncodeFailed(f"Nothing of this piece could be decoded ({done.last_words}).")

    def _trim(self, fresh: Path) -> None:
        """Keep the newest up to the limit."""
        files = []
        for path in self._folder.glob("*.ts"):
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                files.append((stat.st_mtime, stat.st_size, path))
        total = 0
        for _, size, path in sorted(files, reverse=True):
            total += size
            if total > self._most and path != fresh and ".part." not in path.name:
                path.unlink(missing_ok=True)
