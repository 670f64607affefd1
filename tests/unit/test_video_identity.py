"""Finding the identity in the head of a rendition, without FFmpeg."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime

import pytest

from vms.config import Profile
from vms.model import BatchItem
from vms.sightings import SourceSeen
from vms.video.identity import Identity, read_identity

SEEN = SourceSeen("lobby/caf%E9 📷.mp4", 10, 1)
ITEM = BatchItem(1, "ho", "lobby", datetime(2026, 1, 31, 1, 2, 3, 500_000, UTC), "ab" * 16, 5.0, "name", (SEEN,))
IDENTITY = Identity(ITEM, SEEN, "cd" * 32, Profile("av1", "av1", "9", 36, 10.0, "yuv420p"))


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def keys(*names: bytes) -> bytes:
    return box(b"keys", bytes(4), struct.pack(">I", len(names)), *(box(b"mdta", name) for name in names))


def value(index: int, text: str) -> bytes:
    return box(struct.pack(">I", index), box(b"data", struct.pack(">II", 1, 0), text.encode()))


def meta(version: bytes = bytes(4)) -> bytes:
    names = keys(b"encoder", b"vms")
    return box(
        b"meta", version, box(b"hdlr", bytes(24)), names, box(b"ilst", value(1, "x"), value(2, IDENTITY.to_json()))
    )


@pytest.mark.parametrize(
    "head",
    [
        box(b"ftyp", b"isom") + box(b"moov", box(b"mvhd", bytes(100)), meta()),
        box(b"ftyp", b"isom") + box(b"moov", box(b"udta", meta())),
        box(b"moov", meta(version=b"")),
        box(b"moov", meta()) + box(b"sidx", bytes(40)) + struct.pack(">I4s", 1 << 20, b"moof"),
    ],
)
def test_identity_is_found_wherever_writers_put_it(head: bytes) -> None:
    found = read_identity(head)
    assert found == json.loads(IDENTITY.to_json())
    assert found["start_utc"] == "2026-01-31T01:02:03.500000Z"
    assert found["source_name"] == SEEN.path


def test_identity_is_ascii_and_always_the_same() -> None:
    assert IDENTITY.to_json().isascii()
    assert "\n" not in IDENTITY.to_json()
    assert IDENTITY.to_json() == IDENTITY.to_json()


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\x00\x00\x00",
        b"not an mp4 at all, only text",
        box(b"ftyp", b"isom") + box(b"moov", box(b"mvhd", bytes(100))),
        (box(b"ftyp", b"isom") + box(b"moov", meta()))[:-20],
        box(b"moov", box(b"meta", bytes(4), keys(b"vms"), box(b"ilst"))),
        box(b"moov", box(b"meta", bytes(4), keys(b"vms"), box(b"ilst", value(1, "no json")))),
        box(b"moov", box(b"meta", bytes(4), box(b"keys", bytes(4), struct.pack(">I", 1 << 30)))),
        struct.pack(">I4sQ", 1, b"moov", 1 << 60),
        bytes(64),
    ],
)
def test_other_files_have_none(head: bytes) -> None:
    with pytest.raises(ValueError):
        read_identity(head)
