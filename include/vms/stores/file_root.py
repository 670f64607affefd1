"""The open folder of a store: which store it is, and what lies under a key.

A NAS that is not mounted leaves an empty folder on the system disk behind. Writing there would fill the system disk and
call it an archive; reading there would call every recording lost. So a store carries its identity in a file.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vms.errors import StoreConflict, WrongStore
from vms.stores import disk, mount
from vms.stores.identity import IDENTITY_FILE, new_identity, parse_identity
from vms.stores.refusals import holds_other_things

# What a file server or a fresh file system puts into an otherwise empty folder by itself.
_FURNITURE = {"lost+found", "#recycle", "@eaDir", "@Recycle", "$RECYCLE.BIN", "System Volume Information", "Thumbs.db"}


@dataclass(frozen=True)
class FileRoot:
    """See `vms.stores.identity.Place`. name: the store's. root: the folder's descriptor, while it is open."""

    name: str
    path: Path
    root: int

    def wrong(self, why: str) -> WrongStore:
        return mount.not_the_store(self.name, str(self.path), why)

    def read_identity(self) -> str | None:
        for patience in (0.05, 0.2, 1.0, 0.0):
            try:
                handle = os.open(IDENTITY_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.root)
            except FileNotFoundError:
                return None
            with os.fdopen(handle, "rb") as file:
                raw = file.read(4096)
            if raw.strip():
                break
            time.sleep(patience)  # another process is just making it, on a file system without hard links
        return parse_identity(self, raw)

    def must_be_new(self) -> None:
        """A new folder holds nothing but what systems put there by themselves, or what another process makes of it."""
        with os.scandir(self.root) as entries:
            new = not any(not entry.name.startswith(".") and entry.name not in _FURNITURE for entry in entries)
        if not new and self.read_identity() is None:
            raise holds_other_things(self.name, str(self.path), "Name an empty folder of its own for the store.")

    def make_identity(self) -> str:
        """Durably."""
        identity, content = new_identity()
        fresh = f"{IDENTITY_FILE}.{secrets.token_hex(8)}"
        try:
            disk.write_durably(self.root, fresh, content)
            disk.place_new(self.root, fresh, self.root, IDENTITY_FILE)
        except FileExistsError:
            identity = self.read_identity() or identity
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(fresh, dir_fd=self.root)
        os.fsync(self.root)
        return identity

    def look(self, key: str) -> os.stat_result | None:
        """The file under the key; None when there is none. StoreConflict when it is no file."""
        folder_key, _, name = key.rpartition("/")
        try:
            with disk.open_folder(self.root, folder_key) as folder:
                there = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(there.st_mode):
            raise StoreConflict(
                f"Store {self.name}: {key} is no file but a folder, a link or a device.",
                "Move it away from the store by hand.",
            )
        return there

    def remove(self, key: str) -> bool:
        """Whether the object is gone now."""
        folder_key, _, name = key.rpartition("/")
        try:
            with disk.open_folder(self.root, folder_key) as folder:
                os.unlink(name, dir_fd=folder)
                os.fsync(folder)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            pass
        gone = self.look(key) is None
        if gone:
            disk.remove_empty(self.root, folder_key)
        return gone


@contextlib.contextmanager
def opened(name: str, path: Path) -> Iterator[FileRoot]:
    """The store's folder, open. WrongStore when there is no such folder."""
    try:
        root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise mount.not_the_store(name, str(path), "there is no such folder") from error
    try:
        yield FileRoot(name, path, root)
    finally:
        os.close(root)
