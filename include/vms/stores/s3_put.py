"""Sending a file to S3: in one request when it is small, else in parts that survive a kill, a reboot and a retry.

Nothing is ever overwritten (If-None-Match), and the server itself checks the CRC32 of the whole object before it takes
it. Of a large file, a state file beside it keeps the number of its upload; which parts have arrived is asked of the
server, so that at most the part that was under way is sent again. For that its parts go one after the other: two on
their way at once could both be lost. Lines are filled by many files at once.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from botocore.exceptions import ClientError

from vms.model import StoreOptions, dump
from vms.stores import s3_line
from vms.stores.base import Pace, Progress
from vms.stores.s3_errors import code, is_taken
from vms.stores.staged import Slice, StagedFile

logger = logging.getLogger(__name__)

WHOLE_BYTES = 32 << 20
"""Up to this size a file is one request: less work for both sides, and little to lose."""

PART_BYTES = 16 << 20
"""How large parts are at least before anything is known of the line; those of long files are a 64th of it."""

PART_S = 10.0
"""How long a part should be under way: that much time is lost by a kill."""

LEAST_PART_BYTES, MOST_PART_BYTES = 5 << 20, 32 << 20  # the least is what S3 asks for
_MOST_PARTS = 10_000
_MIB = 1 << 20


@dataclass(frozen=True)
class Target:
    """Where a file goes and what it gets there. key: the whole key in the bucket. name: the store's, for the name of
    the state file."""

    client: Any
    bucket: str
    key: str
    name: str
    options: StoreOptions
    pace: Pace | None = None

    @property
    def place(self) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.key}


def part_bytes(size_bytes: int, bytes_per_s: float | None = None) -> int:
    """How large the parts of a file of this size are; the file's own size when it goes out in one request.

    bytes_per_s: what a request gets of the line, when that is known.
    """
    wanted = max(size_bytes / 64, PART_BYTES) if bytes_per_s is None else bytes_per_s * PART_S
    part = round(min(max(wanted, LEAST_PART_BYTES), MOST_PART_BYTES)) // _MIB * _MIB
    if size_bytes <= min(WHOLE_BYTES, 2 * part):
        return max(size_bytes, 1)
    least = -(-size_bytes // _MOST_PARTS)
    return max(part, -(-least // _MIB) * _MIB)


def part_bytes_of(client: Any, file: Path, store: str, size_bytes: int) -> int:
    """Like `part_bytes`, for a file that may have been begun before, and by what is known of the line."""
    try:
        begun = json.loads(state_file(file, store).read_text())["part_bytes"]
    except (OSError, ValueError, KeyError, TypeError):
        begun = None
    if isinstance(begun, int) and begun >= LEAST_PART_BYTES and -(-size_bytes // begun) <= _MOST_PARTS:
        return begun
    return part_bytes(size_bytes, s3_line.bytes_per_s(client.meta.endpoint_url))


def send(target: Target, file: StagedFile, progress: Progress | None) -> tuple[bool, int]:
    """Whether this made the object (False: there is one already), and how many bytes went out. Raises FAILURES."""
    if file.part_bytes >= file.size_bytes:
        return _whole(target, file, progress)
    return send_in_parts(target, file, progress)


def crc32_text(crc32: int) -> str:
    """A CRC32 as S3 writes it."""
    return base64.b64encode(crc32.to_bytes(4, "big")).decode()


def state_file(path: Path, store: str) -> Path:
    """Where the state of an upload of this file to this store is kept."""
    return path.with_name(f"{path.name}.{store}.upload.json")


def asked_for(options: StoreOptions) -> dict[str, Any]:
    """What a new object gets, as S3 is asked for it. A lock counts from now."""
    asked: dict[str, Any] = {}
    if options.storage_class:
        asked["StorageClass"] = options.storage_class
    if options.encryption:
        kind, _, key = options.encryption.partition(":kms:")
        asked["ServerSideEncryption"] = f"{kind}:kms" if key else options.encryption
        if key:
            asked["SSEKMSKeyId"] = key
    if options.tags:
        asked["Tagging"] = urlencode(options.tags, quote_via=quote)
    if options.lock_days:
        until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=options.lock_days)
        asked["ObjectLockMode"] = options.lock_mode.upper()
        asked["ObjectLockRetainUntilDate"] = until
    return asked


def _described(target: Target, file: StagedFile) -> dict[str, Any]:
    return {
        "Metadata": {"sha256": file.sha256},
        "ContentType": _media_type(target.key),
        **asked_for(target.options),
    }


def _media_type(key: str) -> str:
    ends = {".mp4": "video/mp4", ".jpg": "image/jpeg", ".json": "application/json"}
    return next((kind for end, kind in ends.items() if key.endswith(end)), "application/octet-stream")


def _whole(target: Target, file: StagedFile, progress: Progress | None) -> tuple[bool, int]:
    with Slice(file, 0, progress, target.pace) as body:
        began = time.monotonic()
        try:
            target.client.put_object(
                **target.place,
                **_described(target, file),
                Body=body,
                ContentLength=file.size_bytes,
                ChecksumCRC32=crc32_text(file.crc32),
                IfNoneMatch="*",
            )
        except ClientError as error:
            if is_taken(error):
                return False, body.most
            raise
        s3_line.note(target.client.meta.endpoint_url, body.most, time.monotonic() - began)
        return True, body.most


def send_in_parts(target: Target, file: StagedFile, progress: Progress | None) -> tuple[bool, int]:
    """Like `send`, whatever the size."""
    state = state_file(file.path, target.name)
    upload_id, there = _begun(target, file, state) or (_begin(target, file, state), {})
    etags: dict[int, str] = {}
    sent = 0
    for number, crc32 in enumerate(file.part_crc32):
        if number + 1 in there:
            etags[number + 1] = there[number + 1]
            if progress is not None:
                progress(sum(file.slice(number)))
            continue
        with Slice(file, number, progress, target.pace) as body:
            began = time.monotonic()
            try:
                answer = target.client.upload_part(
                    **target.place,
                    UploadId=upload_id,
                    PartNumber=number + 1,
                    Body=body,
                    ContentLength=len(body),
                    ChecksumCRC32=crc32_text(crc32),
                )
            except ClientError as error:
                if code(error) != "NoSuchUpload":
                    raise
                state.unlink(missing_ok=True)  # another process that took up the same upload has finished it
                return False, sent + body.most
            s3_line.note(target.client.meta.endpoint_url, body.most, time.monotonic() - began)
            etags[number + 1] = answer["ETag"]
            sent += body.most
    parts = [
        {"PartNumber": number, "ETag": etag, "ChecksumCRC32": crc32_text(file.part_crc32[number - 1])}
        for number, etag in etags.items()
    ]
    made = _complete(target, file, upload_id, parts, lambda: _forget(target, upload_id, state))
    state.unlink(missing_ok=True)
    return made, sent


def _complete(
    target: Target, file: StagedFile, upload_id: str, parts: list[dict[str, Any]], give_up: Callable[[], None]
) -> bool:
    try:
        target.client.complete_multipart_upload(
            **target.place,
            UploadId=upload_id,
            MultipartUpload={"Parts": parts},
            ChecksumCRC32=crc32_text(file.crc32),
            ChecksumType="FULL_OBJECT",
            MpuObjectSize=file.size_bytes,
            IfNoneMatch="*",
        )
    except ClientError as error:
        if is_taken(error):
            give_up()
            return False
        if code(error) == "NoSuchUpload":  # an earlier answer was lost, or another process was quicker
            return False
        if code(error) in ("BadDigest", "InvalidPart", "InvalidPartOrder", "InvalidRequest", "EntityTooSmall"):
            give_up()  # what has arrived is no good as a whole: the next try begins anew
        raise
    return True


def _begin(target: Target, file: StagedFile, state: Path) -> str:
    answer = target.client.create_multipart_upload(
        **target.place, **_described(target, file), ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT"
    )
    upload_id = str(answer["UploadId"])
    fresh = state.with_name(f".{state.name}.{os.getpid()}.{threading.get_ident()}.new")
    try:
        fresh.write_text(json.dumps(_state(target, file) | {"upload_id": upload_id}, indent=1))
        fresh.replace(state)
    except OSError as error:
        logger.warning("%s can't be kept (%s): if this is stopped, it begins anew", state, error.strerror)
    return upload_id


def _state(target: Target, file: StagedFile) -> dict[str, Any]:
    """What must be the same for an upload to go on."""
    return {
        "endpoint": target.client.meta.endpoint_url,
        "bucket": target.bucket,
        "key": target.key,
        "sha256": file.sha256,
        "part_bytes": file.part_bytes,
        "options": dump(target.options),
    }


def _begun(target: Target, file: StagedFile, state: Path) -> tuple[str, dict[int, str]] | None:
    """The upload that an earlier try has begun and the ETags of its good parts by number (from 1)."""
    try:
        kept = json.loads(state.read_text())
        upload_id = kept.pop("upload_id")
    except (OSError, ValueError, KeyError, AttributeError):
        return None
    if kept != _state(target, file):
        return None
    good: dict[int, str] = {}
    try:
        for page in target.client.get_paginator("list_parts").paginate(**target.place, UploadId=upload_id):
            for part in page.get("Parts", ()):
                number = part["PartNumber"] - 1
                if number < len(file.part_crc32) and _is_good(part, file, number):
                    good[number + 1] = part["ETag"]
    except ClientError as error:
        if code(error) in ("NoSuchUpload", "404"):
            return None
        raise
    logger.info("%s goes on: %d of %d parts have arrived before", target.key, len(good), len(file.part_crc32))
    return upload_id, good


def _is_good(part: dict[str, Any], file: StagedFile, number: int) -> bool:
    told = part.get("ChecksumCRC32")
    return bool(part["Size"] == file.slice(number)[1] and told in (None, "", crc32_text(file.part_crc32[number])))


def _forget(target: Target, upload_id: str, state: Path) -> None:
    state.unlink(missing_ok=True)
    with contextlib.suppress(ClientError):
        target.client.abort_multipart_upload(**target.place, UploadId=upload_id)
