"""The line of a site as one budget, shared by every file that is being sent from this machine, in whatever process.

A small file in the site's staging folder is the account. Whoever wants to send books his bytes behind those of the
others and goes when the line, at the rate of the hour, has carried what was booked before. The account is in bytes
and not in times, so that a new rate holds at once, also for those who are waiting.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from vms.uplink import Uplink, rate_text
from vms.video.ffmpeg import Stopped

logger = logging.getLogger(__name__)

FILE = ".uplink"
"""The account's name in the staging folder."""

_LEAST_PIECE, _MOST_PIECE = 4 << 10, 64 << 10
"""The least is small enough that sixteen files wait 4 s for their turn at the lowest cap: S3 bears for 20 s with a body
that stands still. The most is large enough that asking costs little at a high one."""

_PIECE_S = 0.05
_BURST_S = 0.25
_LOOK_AGAIN_S = 0.5
_MOST_WAIT_S = 15.0
_LOCK_S = 2.0
_LENGTH = 128


def pace_of(uplink: Uplink, zone: ZoneInfo, staging: Path, stop: threading.Event) -> Line | None:
    """What uploads of the site of this staging folder keep to; None when its line has no cap at any hour."""
    return None if uplink.is_unlimited else Line(uplink, zone, staging, stop)


def paces_of(
    uplink: Uplink, zone: ZoneInfo, staging: Path, stop: threading.Event, cap: Cap | None
) -> Callable[[int], int] | None:
    """As `pace_of`, and a cap of their own beside it when there is one: no byte goes out before both let it."""
    line = pace_of(uplink, zone, staging, stop)
    if cap is None:
        return line
    own = Line(Uplink((), cap.rate), zone, cap.account.parent, stop, file=cap.account.name)
    return own if line is None else both(own, line)


def both(first: Callable[[int], int], second: Callable[[int], int]) -> Callable[[int], int]:
    """A turn that both give: what the first lets through is asked of the second, all of it."""

    def pace(wanted: int) -> int:
        granted = first(wanted)
        left = granted
        while left > 0:
            left -= second(left)
        return granted

    return pace


@dataclass(frozen=True)
class Cap:
    """A cap of its own for some uploads, whatever the line of their site allows. rate: bytes per second; account: the
    file in which those of this machine that share it keep their account."""

    rate: float
    account: Path


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Clock:
    """Where a line takes its times from. hour: for the timetable; seconds: counts evenly, the same for all processes
    of this machine; wait: until the event is set or these seconds have passed, and whether it is set."""

    hour: Callable[[], datetime] = _now
    seconds: Callable[[], float] = time.monotonic
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait


_CLOCK = Clock()


@dataclass(frozen=True)
class _Account:
    """at: when it was last brought up to date, in seconds of the clock; booked, carried: bytes since it was opened.

    carried may be ahead of booked by the burst: what a line that was idle carries at once.
    """

    at: float
    booked: float
    carried: float

    def at_time(self, now: float, rate: float) -> _Account:
        passed = max(0.0, now - self.at)  # the clock begins anew when the machine does
        return _Account(now, self.booked, min(self.carried + passed * rate, self.booked + rate * _BURST_S))


class Line:
    """What a store asks before it sends. Call it from any thread; see `vms.stores.base.Pace`.

    stop: waiting ends with `Stopped` as soon as it is set. Never waits longer than 15 s: with so many files in flight,
    connections that stay alive count more than the cap.
    """

    def __init__(
        self,
        uplink: Uplink,
        zone: ZoneInfo,
        staging: Path,
        stop: threading.Event,
        clock: Clock = _CLOCK,
        file: str = FILE,
    ) -> None:
        self._uplink = uplink
        self._zone = zone
        self._path = staging / file
        self._stop = stop
        self._clock = clock
        self._own: _Account | None = None  # in use where the shared one can't be
        self._owning = threading.Lock()
        self._told: tuple[float | None] | None = None

    def __call__(self, wanted: int) -> int:
        """Wait for a turn to send up to so many bytes; how many may go out now, at least 1."""
        if self._stop.is_set():
            raise Stopped
        rate = self._rate()
        if rate is None:
            return wanted
        piece = min(wanted, _MOST_PIECE, max(_LEAST_PIECE, int(rate * _PIECE_S)))
        place, carried = self._book(piece, rate)
        until = self._clock.seconds() + _MOST_WAIT_S
        while carried < place and rate is not None:
            left = until - self._clock.seconds()
            if left <= 0:
                self._skip_to(place)
                break
            if self._clock.wait(self._stop, min(left, _LOOK_AGAIN_S, max((place - carried) / rate, 0.001))):
                raise Stopped
            rate = self._rate()
            if rate is not None:
                carried = self._carried(rate)
        return piece

    def _rate(self) -> float | None:
        rate = self._uplink.rate_at(self._clock.hour(), self._zone)
        if self._told != (rate,):
            self._told = (rate,)
            logger.info("Uploads may now take %s of the line (%s)", rate_text(rate), self._uplink)
        return rate

    def _book(self, piece: int, rate: float) -> tuple[float, float]:
        """Where in the account the piece begins, and how far the line is."""
        with self._account() as account:
            now = account.value.at_time(self._clock.seconds(), rate)
            account.value = _Account(now.at, now.booked + piece, now.carried)
        return now.booked, now.carried

    def _carried(self, rate: float) -> float:
        with self._account() as account:
            account.value = account.value.at_time(self._clock.seconds(), rate)
        return account.value.carried

    def _skip_to(self, place: float) -> None:
        """Somebody has waited too long, so the line is taken to be there."""
        with self._account() as account:
            now = account.value
            account.value = _Account(now.at, max(now.booked, place), max(now.carried, place))

    @contextmanager
    def _account(self) -> Iterator[_Kept]:
        """The account while nobody else has it. What is in `value` at the end is kept."""
        handle = None
        if self._own is None:
            try:
                handle = self._locked()
            except OSError as error:
                self._go_alone(error.strerror or str(error))
        if handle is None:
            with self._owning:
                kept = _Kept(self._own or _opened(self._clock.seconds()))
                yield kept
                self._own = kept.value
            return
        try:
            kept = _Kept(_read(handle) or _opened(self._clock.seconds()))
            yield kept
            with contextlib.suppress(OSError):  # the disk is full: then the account is a little out of date
                _write(handle, kept.value)
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)  # closing is not enough where a fork has the file open too
            os.close(handle)

    def _locked(self) -> int | None:
        """Opened for each look, so that threads and forked processes exclude each other and the dead hold nothing."""
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        until = time.monotonic() + _LOCK_S
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < until:
                    time.sleep(0.002)
                    continue
                os.close(handle)
                self._go_alone("another process does not let go of it")
                return None
            except OSError:
                os.close(handle)
                raise
            return handle

    def _go_alone(self, why: str) -> None:
        with self._owning:
            if self._own is None:
                self._own = _opened(self._clock.seconds())
                logger.warning(
                    "%s can't be used (%s): this task keeps to the cap by itself, without regard to others of its site",
                    self._path,
                    why,
                )


@dataclass
class _Kept:
    value: _Account


def _opened(now: float) -> _Account:
    return _Account(now, 0.0, 0.0)


def _read(handle: int) -> _Account | None:
    """None when nothing is kept, or nothing that makes sense."""
    try:
        account = _Account(*map(float, os.pread(handle, _LENGTH, 0).split()))
    except (TypeError, ValueError):
        return None
    numbers = (account.at, account.booked, account.carried)
    return account if all(math.isfinite(one) and 0 <= one < 1e18 for one in numbers) else None


def _write(handle: int, account: _Account) -> None:
    text = f"{account.at:.6f} {account.booked:.3f} {account.carried:.3f}"
    os.pwrite(handle, f"{text:<{_LENGTH - 1}}\n".encode(), 0)
