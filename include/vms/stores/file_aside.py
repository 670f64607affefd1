"""The undo window of a folder store: what was purged lies below .purged/<day>/ for a while before it is removed.

A move inside one file system costs nothing and is atomic; the space is free only after the window. Names with a dot
are no keys, so nothing here can be taken for an object.
"""

from __future__ import annotations

import contextlib
import os
import stat
from datetime import date

from vms.stores import disk

AREA = ".purged"


def set_aside(root: int, key: str, today: date) -> bool:
    """Move an object there; True when it lies under its key no more. Raises OSError."""
    folder_key, _, name = key.rpartition("/")
    try:
        with disk.open_folder(root, folder_key) as source:
            if not stat.S_ISREG(os.stat(name, dir_fd=source, follow_symlinks=False).st_mode):
                return False
            with disk.open_folder(root, _aside(f"{today:%Y-%m-%d}", folder_key), make=True) as target:
                os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
                os.fsync(target)
            os.fsync(source)
    except FileNotFoundError:
        return True
    except PermissionError:
        return False
    disk.remove_empty(root, folder_key)
    return True


def bring_back(root: int, key: str) -> None:
    """Move an object back to its key, from the newest day that has it; nothing happens when no day has. OSError."""
    folder_key, _, name = key.rpartition("/")
    for day in sorted(_days(root), reverse=True):
        try:
            with disk.open_folder(root, _aside(day, folder_key)) as source:
                os.stat(name, dir_fd=source, follow_symlinks=False)
                with disk.open_folder(root, folder_key, make=True) as target:
                    with contextlib.suppress(FileExistsError):
                        disk.place_new(source, name, target, name)
                    os.fsync(target)
        except FileNotFoundError:
            continue
        disk.remove_empty(root, _aside(day, folder_key))
        return


def clear(root: int, before: date) -> int:
    """Remove the days before this one; how many bytes that freed. Raises OSError."""
    freed = 0
    for day in sorted(_days(root)):
        if day < f"{before:%Y-%m-%d}":
            with disk.open_folder(root, AREA) as area:
                freed += _remove_tree(area, day)
    return freed


def _aside(day: str, folder_key: str) -> str:
    return f"{AREA}/{day}/{folder_key}" if folder_key else f"{AREA}/{day}"


def _days(root: int) -> list[str]:
    try:
        with disk.open_folder(root, AREA) as area, os.scandir(area) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _remove_tree(parent: int, name: str) -> int:
    freed = 0
    here = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        with os.scandir(here) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for one, is_folder in found:
            if is_folder:
                freed += _remove_tree(here, one)
            else:
                freed += os.stat(one, dir_fd=here, follow_symlinks=False).st_size
                os.unlink(one, dir_fd=here)
    finally:
        os.close(here)
    os.rmdir(name, dir_fd=parent)
    return freed
