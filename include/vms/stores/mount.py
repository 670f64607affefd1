"""Whether the folder of a store is mounted, and what the operating system's errors about it mean."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from vms.errors import StoreConflict, StoreError, StoreFull, StoreUnreachable, WrongStore

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
