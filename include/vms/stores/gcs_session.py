"""An upload session that outlives its process: its address lies beside the staged file until the object is there.

Whoever has the address may write to the object, so only this user may read the file. While a process sends, it holds a
lock on it; a second one that puts the same file meanwhile gets a session of its own that nobody remembers.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

_LIVES_S = 6 * 24 * 3600
"""The store forgets a session after a week."""

_MOST_BYTES = 16384


class KeptSession:
    """The session of one file and one object. handle None: it is not remembered."""

    def __init__(self, handle: int | None, about: Mapping[str, object]) -> None:
        self._handle = handle
        self._about = dict(about)
        self.uri = self._read()

    def keep(self, uri: str) -> None:
        """Remember this upload instead of any other."""
        self.uri = uri
        self._write(json.dumps({**self._about, "session": uri, "begun_at": time.time()}))

    def forget(self) -> None:
        """The session is of no use any more."""
        self.uri = ""
        self._write("")

    def _read(self) -> str:
        if self._handle is None:
            return ""
        try:
            found = json.loads(os.pread(self._handle, _MOST_BYTES, 0))
            uri, age = found.pop("session"), time.time() - found.pop("begun_at")
        except (OSError, ValueError, TypeError, AttributeError, KeyError):
            return ""
        return uri if isinstance(uri, str) and found == self._about and 0 <= age < _LIVES_S else ""

    def _write(self, text: str) -> None:
        if self._handle is not None:
            with contextlib.suppress(OSError):  # a full disk only costs the resume
                os.ftruncate(self._handle, 0)
                os.pwrite(self._handle, text.encode(), 0)
                os.fsync(self._handle)


@contextlib.contextmanager
def kept_session(file: Path, store: str, about: Mapping[str, object]) -> Iterator[KeptSession]:
    """The session that an earlier process has begun for this very file and object, or a new one that is remembered.

    about: what the session is for (object, size, hash); another session is not taken up.
    """
    path = _path(file, store)
    handle: int | None = None
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if handle is not None:
            os.close(handle)
            handle = None
    try:
        session = KeptSession(handle, about)
        yield session
        if handle is not None and not session.uri:
            path.unlink(missing_ok=True)
    finally:
        if handle is not None:
            os.close(handle)


def forget_session(file: Path, store: str) -> None:
    """Remove what is remembered for this file: the object is there."""
    with contextlib.suppress(OSError):
        _path(file, store).unlink(missing_ok=True)


def _path(file: Path, store: str) -> Path:
    return file.with_name(f"{file.name}.{store}.session.json")
