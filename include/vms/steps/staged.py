"""Files in staging: written aside, made durable, hashed, and swept up after a process that died."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

_CHUNK = 1 << 20
_WORK = ".work"


def sha256_of(path: Path) -> str:
    """64 hex digits over all bytes of the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_file(source: Path, target: Path) -> str:
    """Copy byte by byte, durable when it returns; the SHA-256 of what was read, compared with what lies on disk."""
    digest = hashlib.sha256()
    with source.open("rb") as reader, target.open("wb") as writer:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())
    read, written = digest.hexdigest(), sha256_of(target)
    return read if read == written else f"{written} instead of {read}"


def durable(path: Path) -> None:
    """Return when the file's bytes are on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def durable_folder(path: Path) -> None:
    """Return when the folder's names are on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def work_folder(staging: Path, stem: str) -> Iterator[Path]:
    """A folder beside the results for what is not finished, on the same disk so that a rename is enough. It is locked
    while it is in use, see `sweep`."""
    folder, handle = _locked_folder(staging, stem)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def sweep(staging: Path) -> None:
    """Remove what processes that are no more have left unfinished."""
    for folder in staging.glob(f".*{_WORK}"):
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused while its owner lives
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)


def _locked_folder(staging: Path, stem: str) -> tuple[Path, int]:
    while True:
        folder = Path(mkdtemp(prefix=f".{stem}.", suffix=_WORK, dir=staging))
        with contextlib.suppress(FileNotFoundError):  # swept up by another before it was locked
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(handle, fcntl.LOCK_EX)
            if folder.exists():
                return folder, handle
            os.close(handle)


def jpeg_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels. Raises ValueError when it is no whole JPEG."""
    data, at = path.read_bytes(), 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], struct.unpack(">H", data[at + 2 : at + 4])[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + length
    raise ValueError(f"{path} is no JPEG.")
