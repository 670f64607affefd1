"""Whether what Google Cloud Storage shows of an object proves that it holds our very bytes.

The CRC32C that the server has checked while taking them, and our SHA-256 beside it are the proof; of an object that
somebody else wrote, or where the store is to be read back, only its bytes are.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any

from google.api_core import exceptions as api

from vms.errors import StoreError
from vms.stores import gcs_upload
from vms.stores.base import StoredObject
from vms.stores.gcs_errors import TIMEOUT, retry
from vms.stores.gcs_place import GcsPlace
from vms.stores.gcs_read import stream
from vms.stores.refusals import another_object


def described(
    key: str, blob: Any, *, sha256: str | None = None, bytes_sent: int = 0, read_back: bool = False
) -> StoredObject:
    """read_back: its bytes were read and gave this SHA-256."""
    return StoredObject(
        key=key,
        size_bytes=int(blob.size),
        sha256=sha256 or (blob.metadata or {}).get(gcs_upload.SHA256),
        checksum=f"sha256:{sha256}" if read_back else f"crc32c:{blob.crc32c}",
        modified_at=blob.time_created,
        bytes_sent=bytes_sent,
    )


def read(place: GcsPlace, there: Any, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
    """The bytes of the object that was looked up. Raises the store's own errors."""
    with place.doing(f"reading {key}"):
        try:
            yield from stream(place.client(), there, place.name, start, length)
        except api.NotFound as error:
            raise place.missing(key) from error


def must_be_whole(place: GcsPlace, there: Any, key: str, out: gcs_upload.Outgoing) -> None:
    """Take our own object away again when the server holds something else than it was sent and had accepted."""
    if there.size == out.size_bytes and there.crc32c == (there.metadata or {}).get(gcs_upload.CRC32C):
        return
    with contextlib.suppress(api.NotFound):
        place.blob(key).delete(if_generation_match=there.generation, timeout=TIMEOUT, retry=retry())
    raise StoreError(
        f"Store {place.name}: {key} was accepted, but is shown with {there.size} bytes of {out.size_bytes}, "
        f"CRC32C {there.crc32c}.",
        "It was taken away again and is sent anew by the next run. Look for a proxy between here and the store.",
    )


def proven(place: GcsPlace, there: Any, key: str, sha256: str, size_bytes: int, bytes_sent: int) -> StoredObject:
    """The object under the key, when it is ours. StoreConflict when it is another one."""
    sums = there.metadata or {}
    known = sums.get(gcs_upload.SHA256, "")
    by_reading = place.options.read_back
    if there.size == size_bytes:
        as_announced = known and sums.get(gcs_upload.CRC32C) == there.crc32c  # else written by somebody else
        if by_reading or not as_announced:
            known = _sha256(place, there, key)
        if known == sha256:
            return described(key, there, sha256=known, bytes_sent=bytes_sent, read_back=by_reading)
    held = f"{there.size} bytes, SHA-256 {known or 'not taken'}, CRC32C {there.crc32c}"
    raise another_object(place.name, key, held, there.time_created, sha256=sha256, size_bytes=size_bytes)


def _sha256(place: GcsPlace, there: Any, key: str) -> str:
    digest = hashlib.sha256()
    for piece in read(place, there, key):
        digest.update(piece)
    return digest.hexdigest()
