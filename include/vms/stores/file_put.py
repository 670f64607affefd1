"""Putting a file into a folder: written aside, synced, read back past the cache, and only then given its name."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import socket
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from vms.errors import StoreError
from vms.stores import disk
from vms.stores.base import CHUNK_BYTES, Progress, StoredObject
from vms.stores.file_root import FileRoot
from vms.stores.refusals import another_object, must_be_as_told, unreadable

_PARTS = ".tmp"
_STALE_PART_S = 24 * 3600
_PATIENCE = 8


@dataclass(frozen=True)
class Outgoing:
    """A file that is to be put, and what it must be."""

    file: Path
    key: str
    sha256: str
    size_bytes: int
    progress: Progress | None


def described(key: str, there: os.stat_result, sha256: str | None, sent: int = 0) -> StoredObject:
    return StoredObject(
        key=key,
        size_bytes=there.st_size,
        sha256=sha256,
        checksum="" if sha256 is None else f"sha256:{sha256}",
        modified_at=datetime.fromtimestamp(there.st_mtime, UTC),
        bytes_sent=sent,
    )


def proven(root: FileRoot, out: Outgoing) -> StoredObject | None:
    """The equal object under the key, read back; None when there is no object. StoreConflict when it is another."""
    there = root.look(out.key)
    patience = time.monotonic() + disk.ABANDONED_S
    while there is not None and there.st_size == 0 and out.size_bytes > 0:
        # Without hard links: another writer's claim of the name, or one that died. See disk.place_new.
        if time.monotonic() > patience:
            return None
        time.sleep(0.25)
        there = root.look(out.key)
    if there is None:
        return None
    found = ""
    if there.st_size == out.size_bytes:
        folder_key, _, name = out.key.rpartition("/")
        with disk.open_folder(root.root, folder_key) as folder:
            found = disk.hash_from_medium(folder, name)
            os.fsync(folder)  # its writer may have died before the name was durable
        if found == out.sha256:
            return described(out.key, there, out.sha256)
    held = f"{there.st_size} bytes, SHA-256 {found or 'not taken'}"
    made_at = datetime.fromtimestamp(there.st_mtime, UTC)
    raise another_object(root.name, out.key, held, made_at, sha256=out.sha256, size_bytes=out.size_bytes)


def send(root: FileRoot, out: Outgoing, swept: threading.Event) -> bool:
    """Whether this made the object; False: there is one already. swept: whether old parts were cleared already."""
    with disk.open_folder(root.root, _PARTS, make=True) as parts:
        _sweep(parts, swept)
        part = f"{socket.gethostname()[:64]}.{os.getpid()}.{secrets.token_hex(8)}"
        try:
            _write(out, parts, part)
            _read_back(root, out, parts, part)
            return _place(root, out.key, parts, part)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(part, dir_fd=parts)


def _write(out: Outgoing, parts: int, part: str) -> None:
    digest = hashlib.sha256()
    sent = 0
    try:
        source = FileIO(out.file, "rb")
    except OSError as error:
        raise unreadable(out.file, error) from error
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=parts)
    with source, FileIO(handle, "wb") as target:
        while chunk := _read(source, out.file):
            digest.update(chunk)
            view = memoryview(chunk)
            while view:
                view = view[target.write(view) :]
            sent += len(chunk)
            if out.progress is not None:
                out.progress(sent)
        must_be_as_told(out.file, digest.hexdigest(), sent, sha256=out.sha256, size_bytes=out.size_bytes)
        os.fsync(target.fileno())


def _read(source: FileIO, file: Path) -> bytes:
    try:
        return source.read(CHUNK_BYTES)
    except OSError as error:
        raise unreadable(file, error) from error


def _read_back(root: FileRoot, out: Outgoing, parts: int, part: str) -> None:
    found = disk.hash_from_medium(parts, part)
    if found != out.sha256:
        raise StoreError(
            f"Store {root.name}: {out.key} ({out.size_bytes} bytes) reads back as SHA-256 {found} instead of "
            f"{out.sha256}.",
            "Nothing was stored under the key. Check the disks and the memory of the file server.",
        )


def _place(root: FileRoot, key: str, parts: int, part: str) -> bool:
    folder_key, _, name = key.rpartition("/")
    for _ in range(_PATIENCE):
        try:
            with disk.open_folder(root.root, folder_key, make=True) as folder:
                disk.place_new(parts, part, folder, name)
                os.fsync(folder)
        except FileExistsError:
            return False
        except FileNotFoundError:  # a delete removed the folder while it was still empty
            continue
        return True
    raise FileNotFoundError(errno.ENOENT, "the folder vanishes again and again", folder_key)


def _sweep(parts: int, swept: threading.Event) -> None:
    """Remove, once per process, what writers that died more than a day ago have left."""
    if swept.is_set():
        return
    swept.set()
    now = time.time()
    with os.scandir(parts) as entries:
        found = [entry.name for entry in entries]
    for part in found:
        with contextlib.suppress(OSError):  # such as one whose writer has ended meanwhile
            if now - os.stat(part, dir_fd=parts, follow_symlinks=False).st_mtime > _STALE_PART_S:
                os.unlink(part, dir_fd=parts)
