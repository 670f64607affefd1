"""A local file on its way into a bucket: read whole once before a byte is sent, then in slices that can be rewound."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from vms.stores.base import CHUNK_BYTES, Pace, Progress
from vms.stores.refusals import must_be_as_told, unreadable


@dataclass(frozen=True)
class StagedFile:
    """A file that was found to be what it should be. part_crc32: of each slice of part_bytes, in order."""

    path: Path
    size_bytes: int
    sha256: str
    crc32: int
    part_bytes: int
    part_crc32: tuple[int, ...]

    def slice(self, number: int) -> tuple[int, int]:
        """Offset and length of a slice, counted from 0."""
        start = number * self.part_bytes
        return start, min(self.part_bytes, self.size_bytes - start)


def examine(path: Path, *, sha256: str, size_bytes: int, part_bytes: int) -> StagedFile:
    """Read the file and take its sums. Raises FileRotted when it is gone, unreadable or not of this size and hash."""
    digest = hashlib.sha256()
    whole, parts, left, found = 0, [0], part_bytes, 0
    alone = part_bytes >= size_bytes  # then the sum of the one part is that of the whole
    try:
        with FileIO(path, "rb") as file:
            while chunk := file.read(min(CHUNK_BYTES, left)):
                digest.update(chunk)
                parts[-1] = zlib.crc32(chunk, parts[-1])
                whole = parts[-1] if alone else zlib.crc32(chunk, whole)
                found += len(chunk)
                left -= len(chunk)
                if left == 0 and found < size_bytes:
                    parts.append(0)
                    left = part_bytes
                left = left or part_bytes
    except OSError as error:
        raise unreadable(path, error) from error
    must_be_as_told(path, digest.hexdigest(), found, sha256=sha256, size_bytes=size_bytes)
    return StagedFile(path, size_bytes, sha256, whole, part_bytes, tuple(parts))


class Slice:
    """A slice of a file as the body of a request: read once, rewound when the request is tried again.

    progress is told how many bytes of the whole file have gone out, and never a smaller number than before. pace is
    asked after `goes_out`, until the next rewind: before that, a body may be read only to be signed.
    """

    def __init__(self, file: StagedFile, number: int, progress: Progress | None, pace: Pace | None = None) -> None:
        self._start, self._length = file.slice(number)
        self._file = FileIO(file.path, "rb")
        self._file.seek(self._start)
        self._at = 0
        self._progress = progress
        self._pace = pace
        self._going_out = False
        self.most = 0

    def read(self, size: int | None = -1) -> bytes:
        left = self._length - self._at
        wanted = left if size is None or size < 0 else min(size, left)
        if self._going_out and self._pace is not None and wanted > 0:
            wanted = self._pace(wanted)
        chunk = self._file.read(wanted)
        self._at += len(chunk)
        if self._at > self.most:
            self.most = self._at
            if self._progress is not None:
                self._progress(self._start + self.most)
        return chunk

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, offset + (0, self._at, self._length)[whence])
        self._file.seek(self._start + self._at)
        self._going_out = False
        return self._at

    def goes_out(self) -> None:
        """What is read from now on is sent."""
        self._going_out = True

    def tell(self) -> int:
        return self._at

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._length

    def __enter__(self) -> Slice:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
