"""A NAS or SAN mount as a store: objects are files below one folder.

The operating system's "written" proves little on a network mount, so an object counts only after its bytes were synced,
dropped from the cache and read back with the right hash. Only then does it get its name, which nothing ever overwrites.
All paths are walked from the folder's own descriptor without following links, so no key and no link leads out of it.
"""

from __future__ import annotations

import builtins
import contextlib
import os
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from io import FileIO
from pathlib import Path

from vms.errors import StoreUnreachable
from vms.stores import disk, file_aside, file_put, mount
from vms.stores.base import (
    CHUNK_BYTES,
    Finding,
    Progress,
    StoredObject,
    Tell,
    is_key,
    lies_behind,
    valid_key,
    valid_range,
)
from vms.stores.file_put import described
from vms.stores.file_root import FileRoot, opened
from vms.stores.identity import identity_of, must_be
from vms.stores.probe import probe_findings
from vms.stores.refusals import no_object, not_identified


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
            raise mount.not_the_store(
                self._name, str(self._path), f"{point} is not mounted, though the system's mount table names it"
            )
        if expected is None and not self._path.exists():
            self._make_folder()
        with self._doing("reading its identity"), self._root() as root:
            self._identity = identity_of(root, expected)
        return self._identity

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
        out = file_put.Outgoing(file, valid_key(key), sha256, size_bytes, progress)
        with self._doing(f"writing {key}"), self._checked_root() as root:
            proven = file_put.proven(root, out)
            if proven is not None:
                return proven
            placed = file_put.send(root, out, self._swept)
            there = root.look(key)
            if placed and there is not None and there.st_size == size_bytes:
                return described(key, there, sha256, sent=size_bytes)
            proven = file_put.proven(root, out)
            if proven is None:
                raise root.wrong(f"{key} is gone again right after it was written")
            return proven

    def head(self, key: str) -> StoredObject | None:
        valid_key(key)
        with self._doing(f"looking at {key}"), self._checked_root(reading=True) as root:
            there = root.look(key)
            return None if there is None else described(key, there, None)

    def open_range(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        valid_range(start, length)
        folder_key, _, name = valid_key(key).rpartition("/")
        with self._doing(f"opening {key}"), self._checked_root(reading=True) as root:
            if root.look(key) is None:
                raise no_object(self._name, key, "on the store")
            with disk.open_folder(root.root, folder_key) as folder:
                handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        return self._stream(FileIO(handle, "rb"), key, start, length)

    def list(self, prefix: str = "", after: str = "") -> Iterator[StoredObject]:
        return self._walk("", prefix, after)

    def delete(self, keys: Iterable[str]) -> builtins.list[str]:
        wanted = [valid_key(key) for key in keys]
        gone: builtins.list[str] = []
        for key in wanted:
            with self._doing(f"deleting {key}"), self._checked_root() as root:
                try:
                    if root.remove(key):
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
                if file_aside.set_aside(root.root, key, today) and root.look(key) is None:
                    gone.append(key)
        return gone

    def bring_back(self, keys: Iterable[str]) -> builtins.list[str]:
        """Put back what was set aside; the keys whose object lies in its place now. Nothing is overwritten."""
        back: builtins.list[str] = []
        for key in [valid_key(key) for key in keys]:
            with self._doing(f"bringing {key} back"), self._checked_root() as root:
                file_aside.bring_back(root.root, key)
                if root.look(key) is not None:
                    back.append(key)
        return back

    def clear_aside(self, before: date) -> int:
        """Remove for good what was set aside before this day (UTC); how many bytes that freed."""
        with self._doing("emptying .purged"), self._checked_root() as root:
            return file_aside.clear(root.root, before)

    def check(self, tell: Tell | None = None) -> builtins.list[Finding]:
        return probe_findings(self, self._identity, tell)

    def free_bytes(self) -> int | None:
        with self._doing("asking for its free space"), self._root() as root:
            space = os.fstatvfs(root.root)
            return space.f_bavail * space.f_frsize if space.f_blocks else None

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

    def _walk(self, folder_key: str, prefix: str, after: str) -> Iterator[StoredObject]:
        """Files and folders of one folder in key order; a folder sorts as its name with the slash that follows it."""
        names: builtins.list[str] = []
        sizes: dict[str, os.stat_result] = {}
        with self._doing(f"listing {folder_key or 'the store'}"), self._checked_root() as root:
            try:
                with disk.open_folder(root.root, folder_key) as folder, os.scandir(folder) as entries:
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
        for path in sorted(name for name in names if lies_behind(name, after)):
            if path.endswith("/"):
                yield from self._walk(path[:-1], prefix, after)
            else:
                yield described(path, sizes[path], None)

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

    def _root(self) -> contextlib.AbstractContextManager[FileRoot]:
        return opened(self._name, self._path)

    @contextlib.contextmanager
    def _checked_root(self, *, reading: bool = False) -> Iterator[FileRoot]:
        """The open folder, after looking that it still is the store. Only reading may do without `identify`."""
        if self._identity is None and not reading:
            raise not_identified(self._name)
        with self._root() as root:
            must_be(root, root.read_identity(), self._identity)
            yield root

    @contextlib.contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise mount.refusal(self._name, str(self._path), error, what) from error
