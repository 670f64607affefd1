"""What a rendition says of itself: a small JSON text in the MP4's own metadata, at the head of the file.

With it the catalogue can be rebuilt from a store alone: the first 64 KiB of an object are enough.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vms.config import Profile
from vms.model import BatchItem
from vms.sightings import SourceSeen

SCHEMA = 1
HEAD_BYTES = 64 << 10
_KEY = b"vms"


@dataclass(frozen=True)
class Identity:
    """Whose picture this is and what it was made from. All that goes in is known before the first frame is made."""

    item: BatchItem
    source: SourceSeen
    source_sha256: str
    profile: Profile

    @property
    def creation_time(self) -> str:
        """The recording's start as MP4 wants it; never the time of the encode, so that output can be compared."""
        return f"{self.item.start_utc:%Y-%m-%dT%H:%M:%S}.{self.item.start_utc.microsecond:06d}Z"

    def to_json(self) -> str:
        """ASCII on one line, keys in a fixed order."""
        return json.dumps(
            {
                "schema": SCHEMA,
                "site": self.item.site,
                "camera": self.item.camera,
                "start_utc": self.creation_time,
                "fingerprint": self.item.fingerprint,
                "time_basis": self.item.time_basis,
                "source_name": self.source.path,
                "source_bytes": self.source.size_bytes,
                "source_sha256": self.source_sha256,
                "profile": self.profile.name,
            },
            separators=(",", ":"),
        )


def read_identity(head: bytes) -> dict[str, Any]:
    """The identity in the first 64 KiB of a rendition. Raises ValueError when there is none: not one of ours."""
    for moov in _boxes(head, b"moov"):
        metas = [*_boxes(moov, b"meta"), *(meta for udta in _boxes(moov, b"udta") for meta in _boxes(udta, b"meta"))]
        for meta in metas:
            for value in _values(_meta_body(meta)):
                try:
                    found = json.loads(value.decode("utf-8"))
                except RecursionError:
                    raise ValueError("What stands where the identity should is nested too deeply.") from None
                if isinstance(found, dict) and isinstance(found.get("schema"), int):
                    return found
    raise ValueError("There is no identity of this product in the head of this file.")


def _meta_body(meta: bytes) -> bytes:
    """ISO says that `meta` begins with version and flags, QuickTime says that it does not."""
    return meta if meta[4:8] in (b"hdlr", b"keys", b"ilst") else meta[4:]


def _values(meta: bytes) -> Iterator[bytes]:
    for keys in _boxes(meta, b"keys"):
        names, at = [], 8
        while at + 8 <= len(keys):
            (size,) = struct.unpack(">I", keys[at : at + 4])
            if size < 8:
                return
            names.append(keys[at + 8 : at + size])
            at += size
        if _KEY not in names:
            continue
        index = struct.pack(">I", names.index(_KEY) + 1)
        for ilst in _boxes(meta, b"ilst"):
            for item in _boxes(ilst, index):
                for data in _boxes(item, b"data"):
                    yield data[8:]


def _boxes(data: bytes, kind: bytes) -> Iterator[bytes]:
    """The bodies of all boxes of this kind in `data`; a box that is cut off by the end of `data` ends the walk."""
    at = 0
    while at + 8 <= len(data):
        size, found = struct.unpack(">I4s", data[at : at + 8])
        header = 8
        if size == 1 and at + 16 <= len(data):
            (size,) = struct.unpack(">Q", data[at + 8 : at + 16])
            header = 16
        elif size == 0:
            size = len(data) - at
        if size < header or at + size > len(data):
            return
        if found == kind:
            yield data[at + header : at + size]
        at += size
