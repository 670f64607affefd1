"""What an S3 server shows of an object, and whether that proves that it holds our very bytes.

The CRC32 of all bytes, which the server has checked while taking them, and our SHA-256 beside it are the proof; where a
server keeps none, only reading the object back is.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from vms.errors import StoreUnreachable
from vms.stores.base import StoredObject
from vms.stores.read_back import hash_of
from vms.stores.refusals import another_object
from vms.stores.s3_errors import FAILURES, is_missing
from vms.stores.s3_place import S3Place
from vms.stores.staged import StagedFile

Reads = Callable[[str, int], Iterator[bytes]]
"""The bytes of the object under this key, from an offset on."""


@dataclass(frozen=True)
class Shown:
    """An object as the server shows it. crc32: of the whole object, None when the server has none."""

    size_bytes: int
    sha256: str | None
    crc32: int | None
    modified_at: datetime

    def __str__(self) -> str:
        crc32 = "no CRC32" if self.crc32 is None else f"CRC32 {self.crc32:08x}"
        return f"{self.size_bytes} bytes, SHA-256 {self.sha256 or 'not known'}, {crc32}"


def look(place: S3Place, key: str) -> Shown | None:
    """What is under the key; None when the server says that nothing is. Raises FAILURES."""
    try:
        answer = place.client().head_object(**place.at(key), ChecksumMode="ENABLED")
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    return Shown(
        answer["ContentLength"],
        answer.get("Metadata", {}).get("sha256"),
        _whole_crc32(answer),
        answer["LastModified"].astimezone(UTC),
    )


def described(key: str, there: Shown, sha256: str | None, sent: int = 0, *, read_back: bool = False) -> StoredObject:
    """read_back: its bytes were read and gave this SHA-256."""
    checksum = "" if there.crc32 is None else f"crc32:{there.crc32:08x}"
    if read_back:
        checksum = f"sha256:{sha256}"
    return StoredObject(key, there.size_bytes, sha256, checksum, there.modified_at, sent)


def equal(
    place: S3Place, reads: Reads, there: Shown, file: Path, key: str, *, sha256: str, size_bytes: int, sent: int = 0
) -> StoredObject:
    """The object that is there already, proven to be ours. Raises StoreConflict when it is another."""
    same = there.size_bytes == size_bytes and there.sha256 in (None, sha256)
    if same and there.sha256 is not None and there.crc32 is not None and not place.options.read_back:
        return described(key, there, sha256, sent)
    found = there.sha256
    if same:  # put by another program, or by a server that checks or keeps no CRC32: only its bytes can tell
        found = hash_of(reads, key, size_bytes)
        if found == sha256:
            return described(key, there, sha256, sent, read_back=True)
    held = f"{there.size_bytes} bytes, SHA-256 {found or 'not known'}"
    raise another_object(place.name, key, held, there.modified_at, file=file, sha256=sha256, size_bytes=size_bytes)


def must_be_whole(place: S3Place, reads: Reads, there: Shown, staged: StagedFile, key: str) -> None:
    """What was just made must be shown as it was sent; else it is taken away again, so that a retry can heal it."""
    whole = there.size_bytes == staged.size_bytes and there.sha256 == staged.sha256
    if place.options.read_back:
        found = hash_of(reads, key, staged.size_bytes) if whole else "not taken"
        shown = f"{there}, read back as SHA-256 {found}"
        whole = whole and found == staged.sha256
    else:
        shown = str(there)
        whole = whole and there.crc32 == staged.crc32
    if whole:
        return
    if there.sha256 == staged.sha256:
        with contextlib.suppress(*FAILURES):
            place.client().delete_object(**place.at(key))
    raise StoreUnreachable(
        f"Store {place.name} took {key} but does not show what was sent: {shown}, instead of {staged.size_bytes} "
        f"bytes, SHA-256 {staged.sha256}, CRC32 {staged.crc32:08x}.",
        "It is sent again. If this stays, the server keeps no checksums or damages data: see `vms stores check`.",
    )


def _whole_crc32(answer: dict[str, Any]) -> int | None:
    """The CRC32 over all bytes; a checksum made of the checksums of parts ("...-3") says nothing of the whole."""
    text = answer.get("ChecksumCRC32", "")
    if answer.get("ChecksumType", "FULL_OBJECT") != "FULL_OBJECT":
        return None
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return int.from_bytes(raw, "big") if len(raw) == 4 else None
