"""Whether a folder really is the store it should be: its identity file, its mount, and what its errors mean.

A NAS that is not mounted leaves an empty folder on the system disk behind. Writing there would fill the system disk and
call it an archive; reading there would call every recording lost. So a store carries its identity in a file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from pathlib import Path

from vms.errors import StoreConflict, StoreError, StoreFull, StoreUnreachable, WrongStore
from vms.stores import disk
from vms.stores.identity import IDENTITY_FILE, new_identity, parse_identity

_FULL = {errno.ENOSPC, errno.EDQUOT}
_AWAY = {
    errno.EROFS,
    errno.EIO,
    errno.ESTALE,
    errno.ENOTCONN,
    errno.ETIMEDOUT,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ECONNABORTED,
    errno.ECONNRESET,
    errno.ECONNREFUSED,
    errno.ENODEV,
    errno.ENXIO,
    errno.ESHUTDOWN,
}
# What a file server or a fresh file system puts into an otherwise empty folder by itself.
_FURNITURE = {"lost+found", "#recycle", "@eaDir", "@Recycle", "$RECYCLE.BIN", "System Volume Information", "Thumbs.db"}


def refusal(store: str, root: str, error: OSError, doing: str) -> StoreError:
    """The store's error for what the operating system said while `doing` (e.g. "writing a/b.mp4")."""
    said = error.strerror or str(error)
    what = f"Store {store} at {root}: {doing} failed ({said})."
    if error.errno in _FULL:
        return StoreFull(what, "Free space on it or enlarge it; what is waiting is copied by the next run.")
    if error.errno == errno.EROFS:
        return StoreUnreachable(what, "It is mounted read-only: look for disk errors on it, then mount it read-write.")
    if error.errno in _AWAY:
        return StoreUnreachable(what, "Check that the server is on, the line to it works and the folder is mounted.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return StoreError(what, f"Give this user (uid {os.geteuid()}) the right to read and write in {root}.")
    if error.errno in (errno.ENOTDIR, errno.ELOOP):
        return StoreConflict(what, "A file or a link lies where a folder should be; move it away by hand.")
    if error.errno == errno.EFBIG:
        return StoreError(what, "Its file system does not take files of this size; use another one for this store.")
    return StoreError(what, "Look into the system log of this machine and of the file server.")


def not_the_store(store: str, root: str, why: str) -> WrongStore:
    return WrongStore(
        f"Store {store} at {root} is not mounted or is another store: {why}.",
        "Mount the right folder there. Nothing was written; what is waiting is copied by the next run.",
    )


def missing_mount(path: Path, table: Path = Path("/etc/fstab")) -> str | None:
    """The mount point at or above `path` that the system's mount table names but that is not mounted now."""
    try:
        lines = table.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    for line in lines:
        fields = line.split()
        if len(fields) < 2 or fields[0].startswith("#") or not fields[1].startswith("/") or fields[1] == "/":
            continue
        point = fields[1].replace("\\040", " ")
        if path.is_relative_to(point) and not os.path.ismount(point):
            return point
    return None


def read_identity(root: int) -> str | None:
    """The identity in the folder of this descriptor; None when it has no identity file. Raises OSError, ValueError."""
    for patience in (0.05, 0.2, 1.0, 0.0):
        try:
            handle = os.open(IDENTITY_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
        except FileNotFoundError:
            return None
        with os.fdopen(handle, "rb") as file:
            raw = file.read(4096)
        if raw.strip():
            break
        time.sleep(patience)  # another process is just making it, on a file system without hard links
    return parse_identity(raw)


def make_identity(root: int) -> str:
    """Give the folder an identity, durably; when two do so at once, both get the identity of the first."""
    identity, content = new_identity()
    fresh = f"{IDENTITY_FILE}.{secrets.token_hex(8)}"
    try:
        disk.write_durably(root, fresh, content)
        disk.place_new(root, fresh, root, IDENTITY_FILE)
    except FileExistsError:
        identity = read_identity(root) or identity
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh, dir_fd=root)
    os.fsync(root)
    return identity


def looks_new(root: int) -> bool:
    """Whether the folder holds nothing but what systems put there by themselves."""
    with os.scandir(root) as entries:
        return not any(not entry.name.startswith(".") and entry.name not in _FURNITURE for entry in entries)
