"""Where the pieces of a fragmented MP4 lie, read from the index (`sidx`) at its head.

Enough for a player to fetch any moment by byte range. Only the head is read, never the footage itself.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

HEAD_BYTES = 64 << 10
_MOST_BYTES = 8 << 20  # a day in pieces of a second is an index of 1 MB
_PICTURE = b"vide"


@dataclass(frozen=True)
class Fragment:
    """Bytes start to start + size - 1 hold `seconds` of footage, and begin with a key frame."""

    start: int
    size: int
    seconds: float


@dataclass(frozen=True)
class FragmentIndex:
    """The first `head_bytes` bytes are what a player needs before any fragment. has_sound: there is a sound track."""

    head_bytes: int
    fragments: tuple[Fragment, ...]
    has_sound: bool

    @property
    def seconds(self) -> float:
        return sum(one.seconds for one in self.fragments)


class NotFragmented(ValueError):
    """The file has no index of fragments: it can only be played as a whole."""


def read_index(read: Callable[[int, int], bytes], size_bytes: int) -> FragmentIndex:
    """The index of a file of this size. read(start, length): its bytes; asked once, twice for very long recordings.

    Fragments that lie behind the end of the file (it was cut off) are left out. Raises NotFragmented.
    """
    head = read(0, min(HEAD_BYTES, size_bytes))
    while True:
        try:
            return _parse(head, size_bytes)
        except _More as more:
            if more.needed > min(_MOST_BYTES, size_bytes) or more.needed <= len(head):
                raise NotFragmented("Its index is not at its head.") from more
            further = read(len(head), more.needed - len(head))
            if not further:
                raise NotFragmented("It ends within its head.") from more
            head += further


@dataclass(frozen=True)
class _More(Exception):
    """The head is longer than what was read; needed: bytes from the beginning of the file."""

    needed: int


@dataclass(frozen=True)
class _Index:
    track: int
    fragments: tuple[Fragment, ...]


def _parse(head: bytes, size_bytes: int) -> FragmentIndex:
    at, head_bytes = 0, 0
    tracks: dict[int, bytes] = {}
    indexes: list[_Index] = []
    while at < size_bytes:
        kind, body, end = _box(head, at)
        if kind in (b"moof", b"mdat"):
            break
        if kind in (b"ftyp", b"moov", b"sidx"):
            if end > len(head):
                raise _More(end + 16)
            content = head[body:end]
            if kind == b"moov":
                tracks, head_bytes = _tracks(content), end
            elif kind == b"sidx":
                indexes.append(_sidx(content, end, size_bytes))
        at = end
        if at < size_bytes and len(head) < at + 16:
            raise _More(at + 16)
    picture = [one for one in indexes if tracks.get(one.track) == _PICTURE]
    if not head_bytes or not picture or not picture[0].fragments:
        raise NotFragmented("It has no index of fragments.")
    return FragmentIndex(head_bytes, picture[0].fragments, b"soun" in tracks.values())


def _box(data: bytes, at: int) -> tuple[bytes, int, int]:
    """(kind, where its content begins, where it ends) of the box at this offset."""
    if at + 8 > len(data):
        raise _More(at + 16)
    size, kind = struct.unpack_from(">I4s", data, at)
    body = at + 8
    if size == 1:
        if at + 16 > len(data):
            raise _More(at + 16)
        (size,) = struct.unpack_from(">Q", data, body)
        body = at + 16
    if size < body - at:
        raise NotFragmented("It is no MP4.")
    return kind, body, at + size


def _tracks(moov: bytes) -> dict[int, bytes]:
    """What each track is (vide, soun), by its number."""
    found: dict[int, bytes] = {}
    for trak in _inside(moov, b"trak"):
        number, handler = 0, b""
        for tkhd in _inside(trak, b"tkhd"):
            (number,) = struct.unpack_from(">I", tkhd, 20 if tkhd[:1] == b"\1" else 12)
        for mdia in _inside(trak, b"mdia"):
            for hdlr in _inside(mdia, b"hdlr"):
                handler = hdlr[8:12]
        found[number] = handler
    return found


def _inside(data: bytes, kind: bytes) -> list[bytes]:
    found, at = [], 0
    while at + 8 <= len(data):
        name, body, end = _box(data, at)
        if name == kind:
            found.append(data[body:end])
        at = end
    return found


def _sidx(box: bytes, end: int, size_bytes: int) -> _Index:
    """The fragments that this index lists; it counts from its own end on."""
    try:
        track, timescale = struct.unpack_from(">II", box, 4)
        wide = box[0] == 1
        (first,) = struct.unpack_from(">Q" if wide else ">I", box, 20 if wide else 16)
        at = 28 if wide else 20
        (count,) = struct.unpack_from(">H", box, at + 2)
        entries = list(struct.iter_unpack(">III", box[at + 4 : at + 4 + 12 * count]))
    except struct.error as error:
        raise NotFragmented("Its index is damaged.") from error
    if not timescale or len(entries) != count:
        raise NotFragmented("Its index is damaged.")
    fragments, start = [], end + first
    for size, duration, _ in entries:
        size &= 0x7FFFFFFF
        if size and start + size <= size_bytes:
            fragments.append(Fragment(start, size, duration / timescale))
        start += size
    return _Index(track, tuple(fragments))
