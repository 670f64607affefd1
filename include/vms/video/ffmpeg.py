"""The one way to run FFmpeg and ffprobe.

A child gets a list of arguments and never a shell, no stdin, a lower priority, a memory bound, a limit on its whole
time and on the time without progress, and its own process group. It ends with us: by our hand when we are asked to
stop or raise, by the kernel's when we are killed outright.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vms.errors import EncodeFailed

NICE = 10
MEMORY_BYTES = 8 << 30  # address space, not use: threads' stacks and file mappings count; a 4K encode maps about 3 GB
STALL_LIMIT_S = 180.0
_STDERR_FIRST = 100  # lines kept of each end: the first faults matter as much as the last words
_STDERR_LAST = 200
_STDERR_LINE_CHARS = 500
_KILL_PATIENCE_S = 10.0
_STDOUT_BYTES = 16 << 20
_WRAPPER = str(Path(__file__).with_name("limited_exec.py"))

DEMUXERS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,asf,h264,hevc,vvc,mjpeg,dhav,m4v,mpegvideo,av1,obu,ivf,nut,ogg,mxf,dv,"
    "pva,wtv,rm,ifv"
)
"""Containers that hold video in one file. Absent on purpose: everything that opens other files or addresses."""


class Stopped(BaseException):
    """The caller asked to stop; the child has been killed. Not an error of the file, so nothing may swallow it."""


@dataclass(frozen=True)
class Progress:
    """What FFmpeg last reported of its first output: frames, seconds and bytes written; frames doubled and left out."""

    frame: int = 0
    out_time_s: float = 0.0
    total_size: int = 0
    dup_frames: int = 0
    drop_frames: int = 0


@dataclass(frozen=True)
class Finished:
    """How a child ended. stderr: its first and last lines. cut_short: ended because `on_progress` answered False."""

    returncode: int
    stdout: bytes
    stderr: tuple[str, ...]
    progress: Progress
    cut_short: bool
    wall_s: float
    cpu_s: float

    @property
    def last_words(self) -> str:
        """The last line of stderr, for a message."""
        return self.stderr[-1] if self.stderr else f"exit code {self.returncode}"


def file_url(path: Path) -> str:
    """The only form in which FFmpeg is given a name: with it, no name can be an option, a protocol or a pattern."""
    return f"file:{path.absolute()}"


def wall_limit_s(duration_s: float, pixels: int) -> float:
    """The longest that encoding may take: 20 x real time at 1080p, in proportion for larger pictures, plus 10 min."""
    return 600.0 + 20.0 * duration_s * max(1.0, pixels / (1920 * 1080))


def run(
    argv: Sequence[str],
    *,
    wall_limit_s: float,
    stall_limit_s: float | None = STALL_LIMIT_S,
    on_progress: Callable[[Progress], bool] | None = None,
    stop: threading.Event | None = None,
    keep_stdout: bool = False,
) -> Finished:
    """Run FFmpeg or ffprobe to its end and say how it ended; a non-zero exit is the caller's to judge.

    Without keep_stdout, stdout is read as `-progress pipe:1`, and stall_limit_s bounds the time in which nothing in
    it moves. on_progress answers False to end the child early. Raises EncodeFailed when a limit is passed, Stopped
    when `stop` is set.
    """
    child = _Child(argv, keep_stdout)
    try:
        child.drive(time.monotonic() + wall_limit_s, wall_limit_s, stall_limit_s, on_progress, stop)
    except BaseException:
        child.end(kill=True)
        raise
    child.end(kill=child.cut_short)
    return child.finished()


@dataclass
class _Child:
    argv: Sequence[str]
    keep_stdout: bool
    stdout: bytearray = field(default_factory=bytearray)
    first_words: list[str] = field(default_factory=list)
    stderr: deque[str] = field(default_factory=lambda: deque(maxlen=_STDERR_LAST))
    progress: Progress = field(default_factory=Progress)
    cut_short: bool = False
    cpu_s: float = 0.0
    wall_s: float = 0.0

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._moved = self._began
        self._half_line = b""
        self._half_error = b""
        self._fields: dict[str, str] = {}
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", _WRAPPER),
                *(str(os.getpid()), str(NICE), str(MEMORY_BYTES)),
                *self.argv,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
            env={**os.environ, "SVT_LOG": "1", "AV_LOG_FORCE_NOCOLOR": "1"},
        )

    def drive(
        self,
        deadline: float,
        wall_limit_s: float,
        stall_limit_s: float | None,
        on_progress: Callable[[Progress], bool] | None,
        stop: threading.Event | None,
    ) -> None:
        with selectors.DefaultSelector() as selector:
            for pipe, take in ((self._process.stdout, self._take_stdout), (self._process.stderr, self._take_stderr)):
                assert pipe is not None  # noqa: S101 - both were asked for as pipes
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, selectors.EVENT_READ, take)
            while selector.get_map():
                before = self.progress
                for key, _ in selector.select(0.25):
                    chunk = _read(key.fd)
                    if chunk:
                        key.data(chunk)
                    elif chunk == b"":
                        selector.unregister(key.fileobj)
                now = time.monotonic()
                if stop is not None and stop.is_set():
                    raise Stopped
                if now > deadline:
                    raise EncodeFailed(
                        f"{Path(self.argv[0]).name} did not end within {wall_limit_s:.0f} s and was stopped.",
                        "Is the disk or the share that it reads hung, or the machine overloaded? It is tried again.",
                    )
                if self.progress != before:
                    self._moved = now
                    if on_progress is not None and not on_progress(self.progress):
                        self.cut_short = True
                        return
                elif stall_limit_s is not None and now - self._moved > stall_limit_s:
                    raise EncodeFailed(
                        f"{Path(self.argv[0]).name} made no progress for {stall_limit_s:.0f} s and was stopped.",
                        "Is the disk or the share that it reads hung? It is tried again.",
                    )

    def end(self, *, kill: bool) -> None:
        """Reap the child and account for it; with kill, end its whole group first."""
        if kill:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        given_up = time.monotonic() + _KILL_PATIENCE_S
        while True:
            pid, status, usage = os.wait4(self._process.pid, os.WNOHANG if kill else 0)
            if pid:
                self._process.returncode = os.waitstatus_to_exitcode(status)
                self.cpu_s = usage.ru_utime + usage.ru_stime
                break
            if time.monotonic() > given_up:  # it sleeps in the kernel on a hung mount and dies when that wakes up
                break
            time.sleep(0.02)
        self.wall_s = time.monotonic() - self._began
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def finished(self) -> Finished:
        return Finished(
            -signal.SIGKILL if self._process.returncode is None else self._process.returncode,
            bytes(self.stdout),
            (*self.first_words, *self.stderr),
            self.progress,
            self.cut_short,
            self.wall_s,
            self.cpu_s,
        )

    def _take_stdout(self, chunk: bytes) -> None:
        if self.keep_stdout:
            if len(self.stdout) + len(chunk) > _STDOUT_BYTES:
                raise EncodeFailed(
                    f"{Path(self.argv[0]).name} wrote more than {_STDOUT_BYTES >> 20} MiB of answer and was stopped.",
                    "The file is not what it seems to be; look at it with ffprobe.",
                )
            self.stdout += chunk
            return
        *lines, self._half_line = (self._half_line + chunk).split(b"\n")
        for line in lines:
            name, _, value = line.decode("ascii", "replace").partition("=")
            self._fields[name.strip()] = value.strip()
            if name == "progress":
                self.progress = Progress(
                    frame=_number(self._fields.get("frame")),
                    out_time_s=max(0, _number(self._fields.get("out_time_us"))) / 1e6,
                    total_size=_number(self._fields.get("total_size")),
                    dup_frames=_number(self._fields.get("dup_frames")),
                    drop_frames=_number(self._fields.get("drop_frames")),
                )

    def _take_stderr(self, chunk: bytes) -> None:
        *lines, rest = (self._half_error + chunk).replace(b"\r", b"\n").split(b"\n")
        self._half_error = rest[-_STDERR_LINE_CHARS:]
        for line in lines:
            if line.strip():
                keep = self.first_words if len(self.first_words) < _STDERR_FIRST else self.stderr
                keep.append(line.decode("utf-8", "replace").strip()[:_STDERR_LINE_CHARS])


def _read(pipe: int) -> bytes | None:
    try:
        return os.read(pipe, 1 << 16)
    except BlockingIOError:
        return None


def _number(text: str | None) -> int:
    try:
        return int(text or 0)
    except ValueError:  # "N/A" before the first frame
        return 0
