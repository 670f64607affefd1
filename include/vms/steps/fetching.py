"""Fetch one proven copy out of a store into staging, so that it can be put into another store.

A fetched file keeps a name made from what it is. Whoever fetches it next, after a cut line or a kill, goes on where its
bytes end; a lock on it sees to it that nobody else does so at the same time. Nothing is used before all of it has the
SHA-256 of the catalogue's proof.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from vms.errors import CopyDamaged
from vms.model import CopyOrder
from vms.receipts import CopyReceipt
from vms.steps.staged import sha256_of
from vms.stores import ObjectMissing, Store
from vms.video.ffmpeg import Stopped

_ENDING = ".fetched"
_KEPT_S = 3 * 24 * 3600.0
_POLL_S = 0.5


def staged_file(order: CopyOrder, copy: CopyReceipt, staging: Path) -> Path:
    """Where `compress` has staged this part, if it still lies there."""
    _, dot, ending = PurePosixPath(copy.key).name.partition(".")
    return staging / f"{order.staging_stem}{dot}{ending}"


def fetched_file(order: CopyOrder, copy: CopyReceipt, staging: Path) -> Path:
    """Where this part is fetched to: another name for other bytes, and none that a staged file could have."""
    return staging / f".{staged_file(order, copy, staging).name}.{copy.sha256[:12]}{_ENDING}"


@contextmanager
def owned(path: Path, stop: threading.Event, waits: Callable[[], None]) -> Iterator[None]:
    """Nobody else, in whatever process, is at this fetched file meanwhile. It is made when there is none.

    waits: called once when somebody else is at it. Raises Stopped when `stop` is set before it is free.
    """
    told = False
    while (handle := _locked(path)) is None:
        if not told:
            told = True
            waits()
        if stop.wait(_POLL_S):
            raise Stopped
    try:
        yield
    finally:
        os.close(handle)


def fill(path: Path, holder: Store, copy: CopyReceipt, moved: Callable[[int], None], stop: threading.Event) -> None:
    """Return when the file is this copy, all of it, verified. What lies there already is not fetched again.

    moved: told how many bytes of it are there. Raises CopyDamaged when the holder has no such object or gave wrong
    bytes twice (the file is empty then); StoreError when it does not give them; Stopped.
    """
    for again in (False, True):
        _append(path, holder, copy, moved, stop)
        size = path.stat().st_size
        digest = sha256_of(path) if size == copy.size_bytes else ""
        if digest == copy.sha256:
            return
        os.truncate(path, 0)
        if again:
            found = f"SHA-256 {digest}" if digest else f"{size} bytes"
            proof = f"SHA-256 {copy.sha256}" if digest else f"{copy.size_bytes} bytes"
            raise CopyDamaged(
                f"Store {holder.name}: {copy.key} has {found} instead of {proof}; it is not copied.",
                f"Check the disks of {holder.name}. Where another store has a good copy, copy from there.",
            )


def discard(path: Path) -> None:
    """Remove a fetched file, and what a store may have kept beside it of an upload that was begun."""
    for one in (path, *path.parent.glob(f"{glob.escape(path.name)}.*")):
        with contextlib.suppress(OSError):
            one.unlink()


def discard_left(path: Path) -> None:
    """Discard it if a process that is no more has left it; what somebody is at stays."""
    with contextlib.suppress(OSError):
        if path.exists() and (handle := _locked(path)) is not None:
            discard(path)
            os.close(handle)


def sweep_fetched(staging: Path) -> None:
    """Discard what was left days ago and that nobody has gone on with."""
    for path in staging.glob(f".*{_ENDING}"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _KEPT_S:
                discard_left(path)


def _append(path: Path, holder: Store, copy: CopyReceipt, moved: Callable[[int], None], stop: threading.Event) -> None:
    at = path.stat().st_size
    if at > copy.size_bytes:
        os.truncate(path, 0)
        at = 0
    moved(at)
    if at == copy.size_bytes:
        return
    try:
        with path.open("ab") as file, contextlib.closing(_chunks(holder, copy, at)) as chunks:
            for chunk in chunks:
                if stop.is_set():
                    raise Stopped
                at += file.write(chunk)
                moved(min(at, copy.size_bytes))
                if at > copy.size_bytes:
                    return
    except ObjectMissing as error:
        raise CopyDamaged(
            f"{error.message} The catalogue holds a proof that it was there.",
            f"Find out who removes objects from {holder.name}. Where another store has a copy, copy from there.",
        ) from error


def _chunks(holder: Store, copy: CopyReceipt, at: int) -> Generator[bytes, None, None]:
    yield from holder.open_range(copy.key, at)


def _locked(path: Path) -> int | None:
    """An open handle on the file that is locked by us; None while another has it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(handle).st_ino == path.stat().st_ino:
                return handle
        except BlockingIOError:
            os.close(handle)
            return None
        except FileNotFoundError:
            pass
        os.close(handle)  # it was finished and removed by another before it was locked
