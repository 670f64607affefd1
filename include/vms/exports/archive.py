"""A finished export as one ZIP that is never on the disk: made from its folder while it is handed out.

Sizes and checksums (CRC-32) are read once, when the export is finished, into a list beside the folder. So the length of
the ZIP is known before its first byte, every unpacker can read it (sizes stand before the data), and memory does not
grow with the files. Nothing is compressed: video does not get smaller. With a password every file is encrypted on its
way (`locking`); names, sizes and times can still be read.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from vms.errors import ConfigError
from vms.exports.locking import EXTRA, FLAG, GROWS_BY, METHOD, VERSION, Lock
from vms.home import Home
from vms.video.ffmpeg import Stopped
from vms.whole_file import write_whole

_CHUNK = 1 << 18
_LIMIT = 0xFFFFFFFF
_UTF8 = 0x0800
_MADE_BY = (3 << 8) | 45  # Unix, ZIP 4.5


@dataclass(frozen=True)
class Entry:
    """One file. name: its path below the folder, with slashes; modified: on the clock of this machine."""

    name: str
    size: int
    crc: int
    modified: datetime

    @property
    def encoded(self) -> bytes:
        return self.name.encode()


def folder_of(home: Home, export_id: int) -> Path:
    """Where an export is made and kept."""
    return home.exports / f"{export_id:d}"


def list_of(home: Home, export_id: int) -> Path:
    """Where the list of its files lies; there is none before it is whole."""
    return home.exports / f"{export_id:d}.json"


def remove(home: Home, export_id: int) -> None:
    """Remove all of it, the list first: without it nothing is handed out. Raises OSError."""
    list_of(home, export_id).unlink(missing_ok=True)
    folder = folder_of(home, export_id)
    if folder.exists():
        shutil.rmtree(folder)


def pack(
    home: Home,
    export_id: int,
    began: Callable[[int, int], None],
    moved: Callable[[int, int], None],
    stop: threading.Event,
) -> int:
    """Write the list of a folder that is whole; returns the size of the ZIP in bytes.

    began: told how many bytes in how many files there are; moved: how many of them are read. Raises Stopped, OSError,
    ConfigError.
    """
    entries = listed(folder_of(home, export_id), began, moved, stop)
    told = [[one.name, one.size, one.crc, one.modified.isoformat()] for one in entries]
    write_whole(list_of(home, export_id), json.dumps(told, ensure_ascii=False) + "\n")
    return length(entries)


def listed(
    folder: Path, began: Callable[[int, int], None], moved: Callable[[int, int], None], stop: threading.Event
) -> tuple[Entry, ...]:
    """Every file of a folder, read once. Raises Stopped, OSError."""
    files = sorted(one for one in folder.rglob("*") if one.is_file() and not _is_hidden(one.relative_to(folder)))
    began(sum(one.stat().st_size for one in files), len(files))
    entries: list[Entry] = []
    done = 0
    for path in files:
        crc = size = 0
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                if stop.is_set():
                    raise Stopped
                crc = zlib.crc32(chunk, crc)
                size += len(chunk)
                moved(done + size, len(entries))
        modified = datetime.fromtimestamp(path.stat().st_mtime).replace(microsecond=0)  # noqa: DTZ006 (ZIP knows no zone)
        entries.append(Entry(path.relative_to(folder).as_posix(), size, crc, modified))
        done += size
    return tuple(entries)


def entries_of(home: Home, export_id: int) -> tuple[Entry, ...]:
    """The files of a finished export. Raises ConfigError when there is no usable list of them."""
    try:
        told = json.loads(list_of(home, export_id).read_text())
        found = tuple(Entry(name, size, crc, datetime.fromisoformat(at)) for name, size, crc, at in told)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"The list of export {export_id} can't be read ({error}).", "Order it again.") from error
    if any(PurePosixPath(one.name).is_absolute() or ".." in PurePosixPath(one.name).parts for one in found):
        raise ConfigError(f"The list of export {export_id} was changed.", "Order it again.")
    return found


def length(entries: Sequence[Entry], *, locked: bool = False) -> int:
    """How many bytes `stream` gives. locked: with a password."""
    at, central = 0, 0
    for one in entries:
        central += len(_central(one, at, locked))
        at += len(_local(one, locked)) + _packed(one, locked)
    return at + central + len(_end(len(entries), at, central))


def stream(folder: Path, entries: Sequence[Entry], password: str = "") -> Iterator[bytes]:
    """The ZIP, piece by piece. Raises OSError when a file is gone or not what the list says: then it is broken off."""
    at, directory, locked = 0, [], bool(password)
    for one in entries:
        head = _local(one, locked)
        directory.append(_central(one, at, locked))
        yield head
        lock = Lock(password) if locked else None
        if lock:
            yield lock.begin
        left = one.size
        with open(folder / one.name, "rb", opener=_without_links) as file:
            while left and (chunk := file.read(min(_CHUNK, left))):
                left -= len(chunk)
                yield lock.encrypt(chunk) if lock else chunk
        if left:
            raise OSError(f"{folder / one.name} has become shorter")
        if lock:
            yield lock.end()
        at += len(head) + _packed(one, locked)
    central = b"".join(directory)
    yield central + _end(len(entries), at, len(central))


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _times(at: datetime) -> tuple[int, int]:
    clock = (at.hour << 11) | (at.minute << 5) | (at.second // 2)
    return clock, (max(0, at.year - 1980) << 9) | (at.month << 5) | at.day


def _packed(one: Entry, locked: bool) -> int:
    """How many bytes it has in the ZIP."""
    return one.size + (GROWS_BY if locked else 0)


def _how(one: Entry, locked: bool, version: int) -> tuple[int, int, int, int]:
    """Version, flags, method and CRC-32 as the headers say them; a locked file is proven by its seal instead."""
    return (VERSION, _UTF8 | FLAG, METHOD, 0) if locked else (version, _UTF8, 0, one.crc)


def _local(one: Entry, locked: bool) -> bytes:
    is_large = _packed(one, locked) >= _LIMIT
    extra = struct.pack("<HHQQ", 1, 16, one.size, _packed(one, locked)) if is_large else b""
    sizes = (_LIMIT, _LIMIT) if is_large else (_packed(one, locked), one.size)
    version, flags, method, crc = _how(one, locked, 45 if is_large else 20)
    extra += EXTRA if locked else b""
    clock, day = _times(one.modified)
    head = (0x04034B50, version, flags, method, clock, day, crc, *sizes, len(one.encoded), len(extra))
    return struct.pack("<IHHHHHIIIHH", *head) + one.encoded + extra


def _central(one: Entry, at: int, locked: bool) -> bytes:
    is_large = _packed(one, locked) >= _LIMIT
    values = [*([one.size, _packed(one, locked)] if is_large else []), *([at] if at >= _LIMIT else [])]
    extra = struct.pack(f"<HH{len(values)}Q", 1, 8 * len(values), *values) if values else b""
    sizes = (_LIMIT, _LIMIT) if is_large else (_packed(one, locked), one.size)
    version, flags, method, crc = _how(one, locked, 45 if values else 20)
    extra += EXTRA if locked else b""
    clock, day = _times(one.modified)
    head = (0x02014B50, _MADE_BY, version, flags, method, clock, day, crc, *sizes, len(one.encoded), len(extra))
    tail = (0, 0, 0, 0o100644 << 16, min(at, _LIMIT))
    return struct.pack("<IHHHHHHIIIHH", *head) + struct.pack("<HHHII", *tail) + one.encoded + extra


def _end(count: int, at: int, size: int) -> bytes:
    large = b""
    if at >= _LIMIT or size >= _LIMIT or count >= 0xFFFF:
        large = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, _MADE_BY, 45, 0, 0, count, count, size, at)
        large += struct.pack("<IIQI", 0x07064B50, 0, at + size, 1)
    some = min(count, 0xFFFF)
    return large + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, some, some, min(size, _LIMIT), min(at, _LIMIT), 0)
