"""A NAS or SAN mount as a store: objects are files below one folder.

The operating system's "written" proves little on a network mount, so an object counts only after its bytes were synced,
dropped from the cache and read back with the right hash. Only then does it get its name, which nothing ever overwrites.
All paths are walked from the folder's own descriptor without following links, so no key and no link leads out of it.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import hashlib
import os
import secrets
import socket
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from io import FileIO
from pathlib import Path

from vms.errors import StoreConflict, StoreError, StoreUnreachable
from vms.stores import disk, file_aside, mount
from vms.stores.base import (
    CHUNK_BYTES,
    FileRotted,
    Finding,
    ObjectMissing,
    Progress,
    StoredObject,
    Tell,
    is_key,
    valid_key,
)
from vms.stores.identity import IDENTITY_FILE
from vms.stores.probe import probe_findings

_PARTS = ".tmp"
_STALE_PART_S = 24 * 3600
_PATIENCE = 8


class FileStore:
    """See `vms.stores.base.Store` for what each method promises."""

    def __init__(self, name: str, url: str, folder: str) -> None:
        self._name = name
        self._url = url
        self._path = Path(os.path.normpath(folder))
        self._identity: str | None = None
        self._swept = threading.Event()

    @property
    def name(self) -> str:
        return self._name

    @property
    def url(self) -> str:
        return self._url

    def identify(self, expected: str | None) -> str:
        point = mount.missing_mount(self._path)
        if point is not None:
            raise self._wrong(f"{point} is not mounted, though the system's mount table names it")
        if expected is None and not self._path.exists():
            self._make_folder()
        with self._doing("reading its identity"), self._root() as root:
            found = self._read_identity(root)
            if found is None and expected is None:
                if not mount.looks_new(root) and self._read_identity(root) is None:
                    raise StoreUnreachable(
                        f"Store {self._name}: {self._path} holds other things and is no store yet.",
                        "Name an empty folder of its own for the store.",
                    )
                found = mount.make_identity(root)
        if found is None:
            raise self._wrong(f"it has no {IDENTITY_FILE}")
        if expected is not None and found != expected:
            raise self._wrong(f"its identity is {found}, expected was {expected}")
        self._identity = found
        return found

    def put(
        self,
        file: Path,
        key: str,
        *,
        sha256: str,
        size_bytes: int,
        progress: Progress | None = None,
        preview: bool = False,  # noqa: ARG002 - files have no options
    ) -> StoredObject:
        folder_key, _, name = valid_key(key).rpartition("/")
        with self._doing(f"writing {key}"), self._checked_root() as root:
            proven = self._proven(root, key, sha256, size_bytes)
            if proven is not None:
                return proven
            with disk.open_folder(root, _PARTS, make=True) as parts:
                self._sweep(parts)
                part = f"{socket.gethostname()[:64]}.{os.getpid()}.{secrets.token_hex(8)}"
                try:
                    self._write(file, parts, part, sha256, size_bytes, progress)
                    self._read_back(parts, part, key, sha256, size_bytes)
                    placed = self._place(root, parts, part, folder_key, name)
                finally:
                    with contextlib.suppress(OSError):
                        os.unlink(part, dir_fd=parts)
            there = self._stat(root, key)
            if placed and there is not None and there.st_size == size_bytes:
                return _described(key, there, sha256, sent=size_bytes)
            proven = self._proven(root, key, sha256, size_bytes)
            if proven is None:
                raise self._wrong(f"{key} is gone again right after it was written")
            return proven

    def head(self, key: str) -> StoredObject | None:
        valid_key(key)
        with self._doing(f"looking at {key}"), self._checked_root(reading=True) as root:
            there = self._stat(root, key)
            return None if there is None else _described(key, there, None)

    def open_range(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        if start < 0 or (length is not None and length < 0):
            raise ValueError("start and length of a range can't be negative")
        folder_key, _, name = valid_key(key).rpartition("/")
        with self._doing(f"opening {key}"), self._checked_root(reading=True) as root:
            if self._stat(root, key) is None:
                raise ObjectMissing(
                    f"Store {self._name} has no object {key}.", "It was purged, or removed on the store by hand."
                )
            with disk.open_folder(root, folder_key) as folder:
                handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        return self._stream(FileIO(handle, "rb"), key, start, length)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        return self._walk("", prefix)

    def delete(self, keys: Iterable[str]) -> builtins.list[str]:
        wanted = [valid_key(key) for key in keys]
        gone: builtins.list[str] = []
        for key in wanted:
            with self._doing(f"deleting {key}"), self._checked_root() as root:
                try:
                    if self._remove(root, key):
                        gone.append(key)
                except PermissionError:
                    continue
        return gone

    def set_aside(self, keys: Iterable[str]) -> builtins.list[str]:
        """As `delete`, but the objects lie below .purged for a while and can be brought back."""
        gone: builtins.list[str] = []
        today = datetime.now(UTC).date()
        for key in [valid_key(key) for key in keys]:
            with self._doing(f"setting {key} aside"), self._checked_root() as root:
                if file_aside.set_aside(root, key, today) and self._stat(root, key) is None:
                    gone.append(key)
        return gone

    def bring_back(self, keys: Iterable[str]) -> builtins.list[str]:
        """Put back what was set aside; the keys whose object lies in its place now. Nothing is overwritten."""
        back: builtins.list[str] = []
        for key in [valid_key(key) for key in keys]:
            with self._doing(f"bringing {key} back"), self._checked_root() as root:
                file_aside.bring_back(root, key)
                if self._stat(root, key) is not None:
                    back.append(key)
        return back

    def clear_aside(self, before: date) -> int:
        """Remove for good what was set aside before this day (UTC); how many bytes that freed."""
        with self._doing("emptying .purged"), self._checked_root() as root:
            return file_aside.clear(root, before)

    def check(self, tell: Tell | None = None) -> builtins.list[Finding]:
        return probe_findings(self, self._identity, tell)

    def free_bytes(self) -> int | None:
        with self._doing("asking for its free space"), self._root() as root:
            space = os.fstatvfs(root)
            return space.f_bavail * space.f_frsize if space.f_blocks else None

    # --- parts of put ---

    def _proven(self, root: int, key: str, sha256: str, size_bytes: int) -> StoredObject | None:
        """The equal object under the key, read back; None when there is no object. StoreConflict when it is another."""
        there = self._stat(root, key)
        patience = time.monotonic() + disk.ABANDONED_S
        while there is not None and there.st_size == 0 and size_bytes > 0:
            # Without hard links: another writer's claim of the name, or one that died. See disk.place_new.
            if time.monotonic() > patience:
                return None
            time.sleep(0.25)
            there = self._stat(root, key)
        if there is None:
            return None
        found = ""
        if there.st_size == size_bytes:
            folder_key, _, name = key.rpartition("/")
            with disk.open_folder(root, folder_key) as folder:
                found = disk.hash_from_medium(folder, name)
                os.fsync(folder)  # its writer may have died before the name was durable
            if found == sha256:
                return _described(key, there, sha256)
        at = datetime.fromtimestamp(there.st_mtime, UTC)
        held = f"{there.st_size} bytes, SHA-256 {found or 'not taken'}, of {at:%Y-%m-%d %H:%M:%S} UTC"
        raise StoreConflict(
            f"Store {self._name} holds another object under {key}: {held}; "
            f"ours has {size_bytes} bytes, SHA-256 {sha256}.",
            "Nothing was overwritten. Compare the two; move the wrong one away from the store by hand.",
        )

    def _write(
        self, file: Path, parts: int, part: str, sha256: str, size_bytes: int, progress: Progress | None
    ) -> None:
        digest = hashlib.sha256()
        sent = 0
        try:
            source = FileIO(file, "rb")
        except OSError as error:
            raise FileRotted(
                f"{file} can't be read ({error.strerror}).", "It is made again from its source."
            ) from error
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=parts)
        with source, FileIO(handle, "wb") as target:
            while chunk := _read(source, file):
                digest.update(chunk)
                view = memoryview(chunk)
                while view:
                    view = view[target.write(view) :]
                sent += len(chunk)
                if progress is not None:
                    progress(sent)
            if sent != size_bytes or digest.hexdigest() != sha256:
                raise FileRotted(
                    f"{file} is not what its receipt says: {sent} bytes of {size_bytes}, SHA-256 {digest.hexdigest()} "
                    f"instead of {sha256}.",
                    "It is made again from its source; if this comes back, check the staging disk.",
                )
            os.fsync(target.fileno())

    def _read_back(self, parts: int, part: str, key: str, sha256: str, size_bytes: int) -> None:
        found = disk.hash_from_medium(parts, part)
        if found != sha256:
            raise StoreError(
                f"Store {self._name}: {key} ({size_bytes} bytes) reads back as SHA-256 {found} instead of {sha256}.",
                "Nothing was stored under the key. Check the disks and the memory of the file server.",
            )

    def _place(self, root: int, parts: int, part: str, folder_key: str, name: str) -> bool:
        for _ in range(_PATIENCE):
            try:
                with disk.open_folder(root, folder_key, make=True) as folder:
                    disk.place_new(parts, part, folder, name)
                    os.fsync(folder)
            except FileExistsError:
                return False
            except FileNotFoundError:  # a delete removed the folder while it was still empty
                continue
            return True
        raise FileNotFoundError(errno.ENOENT, "the folder vanishes again and again", folder_key)

    def _sweep(self, parts: int) -> None:
        """Remove, once per process, what writers that died more than a day ago have left."""
        if self._swept.is_set():
            return
        self._swept.set()
        now = time.time()
        with os.scandir(parts) as entries:
            stale = [
                entry.name for entry in entries if now - entry.stat(follow_symlinks=False).st_mtime > _STALE_PART_S
            ]
        for part in stale:
            with contextlib.suppress(OSError):
                os.unlink(part, dir_fd=parts)

    # --- parts of the rest ---

    def _stream(self, file: FileIO, key: str, start: int, length: int | None) -> Iterator[bytes]:
        with file:
            left = length
            with self._doing(f"reading {key}"):
                file.seek(start)
            while left is None or left > 0:
                with self._doing(f"reading {key}"):
                    chunk = file.read(CHUNK_BYTES if left is None else min(left, CHUNK_BYTES))
                if not chunk:
                    return
                left = None if left is None else left - len(chunk)
                yield chunk

    def _walk(self, folder_key: str, prefix: str) -> Iterator[StoredObject]:
        """Files and folders of one folder in key order; a folder sorts as its name with the slash that follows it."""
        names: builtins.list[str] = []
        sizes: dict[str, os.stat_result] = {}
        with self._doing(f"listing {folder_key or 'the store'}"), self._checked_root() as root:
            try:
                with disk.open_folder(root, folder_key) as folder, os.scandir(folder) as entries:
                    for entry in entries:
                        path = f"{folder_key}/{entry.name}" if folder_key else entry.name
                        if entry.name.startswith(".") or not is_key(path):
                            continue
                        if entry.is_dir(follow_symlinks=False):
                            if (path + "/").startswith(prefix) or prefix.startswith(path + "/"):
                                names.append(path + "/")
                        elif entry.is_file(follow_symlinks=False) and path.startswith(prefix):
                            with contextlib.suppress(FileNotFoundError):
                                sizes[path] = entry.stat(follow_symlinks=False)
                                names.append(path)
            except FileNotFoundError:
                return  # emptied and removed since its parent was read
        for path in sorted(names):
            if path.endswith("/"):
                yield from self._walk(path[:-1], prefix)
            else:
                yield _described(path, sizes[path], None)

    def _remove(self, root: int, key: str) -> bool:
        folder_key, _, name = key.rpartition("/")
        try:
            with disk.open_folder(root, folder_key) as folder:
                os.unlink(name, dir_fd=folder)
                os.fsync(folder)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            pass
        gone = self._stat(root, key) is None
        if gone:
            disk.remove_empty(root, folder_key)
        return gone

    def _stat(self, root: int, key: str) -> os.stat_result | None:
        folder_key, _, name = key.rpartition("/")
        try:
            with disk.open_folder(root, folder_key) as folder:
                there = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(there.st_mode):
            raise StoreConflict(
                f"Store {self._name}: {key} is no file but a folder, a link or a device.",
                "Move it away from the store by hand.",
            )
        return there

    def _make_folder(self) -> None:
        with self._doing("making its folder"):
            try:
                self._path.mkdir()
            except FileExistsError:
                return
            except FileNotFoundError as error:
                raise StoreUnreachable(
                    f"Store {self._name}: {self._path.parent} does not exist, so {self._path} can't be made in it.",
                    "Mount the NAS there, or make the folder.",
                ) from error

    def _read_identity(self, root: int) -> str | None:
        try:
            return mount.read_identity(root)
        except ValueError as error:
            raise self._wrong(f"its {IDENTITY_FILE} can't be read ({error})") from error

    @contextlib.contextmanager
    def _root(self) -> Iterator[int]:
        try:
            root = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise self._wrong("there is no such folder") from error
        try:
            yield root
        finally:
            os.close(root)

    @contextlib.contextmanager
    def _checked_root(self, *, reading: bool = False) -> Iterator[int]:
        """The folder's descriptor, after looking that it still is the store. Only reading may do without `identify`."""
        if self._identity is None and not reading:
            raise StoreError(f"Store {self._name} was not identified before it was used.", "Call identify first.")
        with self._root() as root:
            found = self._read_identity(root)
            if found is None:
                raise self._wrong(f"it has no {IDENTITY_FILE}")
            if self._identity is not None and found != self._identity:
                raise self._wrong(f"its identity is {found}, expected was {self._identity}")
            yield root

    @contextlib.contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise mount.refusal(self._name, str(self._path), error, what) from error

    def _wrong(self, why: str) -> StoreUnreachable:
        return mount.not_the_store(self._name, str(self._path), why)


def _read(source: FileIO, file: Path) -> bytes:
    try:
        return source.read(CHUNK_BYTES)
    except OSError as error:
        raise FileRotted(f"{file} can't be read ({error.strerror}).", "It is made again from its source.") from error


def _described(key: str, there: os.stat_result, sha256: str | None, sent: int = 0) -> StoredObject:
    return StoredObject(
        key=key,
        size_bytes=there.st_size,
        sha256=sha256,
        checksum="" if sha256 is None else f"sha256:{sha256}",
        modified_at=datetime.fromtimestamp(there.st_mtime, UTC),
        bytes_sent=sent,
    )
