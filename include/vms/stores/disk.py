"""Files and folders below an open folder: walked without following links, written durably, never overwritten."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from io import FileIO

from vms.stores.base import CHUNK_BYTES

ABANDONED_S = 60
"""How long an empty file is taken for another writer's claim of a name."""

_NO_NEW_LINK = {errno.EEXIST, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


@contextlib.contextmanager
def open_folder(root: int, folder_key: str, *, make: bool = False) -> Iterator[int]:
    """The descriptor of a folder below root, walked part by part without following links."""
    here = os.dup(root)
    try:
        for part in folder_key.split("/") if folder_key else ():
            if make:
                try:
                    os.mkdir(part, 0o755, dir_fd=here)
                    os.fsync(here)
                except FileExistsError:
                    pass
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = below
        yield here
    finally:
        os.close(here)


def remove_empty(root: int, folder_key: str) -> None:
    """Remove this folder and those above it, as far as they are empty."""
    while folder_key:
        parent_key, _, name = folder_key.rpartition("/")
        try:
            with open_folder(root, parent_key) as parent:
                os.rmdir(name, dir_fd=parent)
        except OSError:
            return
        folder_key = parent_key


def write_durably(folder: int, name: str, data: bytes) -> None:
    """Make a new small file; FileExistsError when there is one."""
    handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=folder)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def place_new(from_folder: int, from_name: str, to_folder: int, to_name: str) -> None:
    """Move a finished file to its name, atomically and never over another: FileExistsError then, and it is removed.

    File systems without hard links (SMB, some FUSE) have no such move. There the name is claimed by an empty file
    first; the empty file of a writer that died in between is nobody's object and is taken over after a minute.
    """
    try:
        os.link(from_name, to_name, src_dir_fd=from_folder, dst_dir_fd=to_folder, follow_symlinks=False)
        os.unlink(from_name, dir_fd=from_folder)
    except OSError as error:
        if error.errno not in _NO_NEW_LINK:
            raise
        finished = os.stat(from_name, dir_fd=from_folder, follow_symlinks=False).st_mtime
        try:
            _claim(to_folder, to_name, finished - ABANDONED_S)
        except FileExistsError:
            os.unlink(from_name, dir_fd=from_folder)
            raise
        os.rename(from_name, to_name, src_dir_fd=from_folder, dst_dir_fd=to_folder)


def _claim(folder: int, name: str, abandoned_before: float) -> None:
    try:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=folder))
    except FileExistsError:
        there = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISREG(there.st_mode) or there.st_size > 0 or there.st_mtime > abandoned_before:
            raise


def hash_from_medium(folder: int, name: str) -> str:
    """The SHA-256 of a file, read past this machine's cache as far as the system allows."""
    digest = hashlib.sha256()
    with FileIO(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder), "rb") as file:
        with contextlib.suppress(OSError):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
