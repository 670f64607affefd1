"""What `stores check` asks of an S3 server beyond the common probe: does it really keep the promises we build on?

Some servers that speak S3 take If-None-Match and checksums without heeding them; there footage would not be safe. Each
right is used in a step of its own, so that every one that is missing is named.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from vms.errors import StoreError
from vms.stores import s3_bucket, s3_put, s3_unfinished
from vms.stores.base import Finding, Tell, preview_options
from vms.stores.s3_errors import FAILURES, clock_apart_s, code, is_denied, is_taken, status
from vms.stores.s3_place import S3Place
from vms.stores.staged import examine

CLOCK_S = 30
_BYTES = 64 * 1024
_READ_BACK = (
    "Give the store `verify: read-back` in sites.yaml: every object is then read back and compared. Or use another"
    " server, or a newer version of it."
)


def findings(place: S3Place, tell: Tell | None = None) -> list[Finding]:
    """Never raises; leaves nothing behind where the server lets it delete."""
    key = f"{place.prefix}vms-check/{secrets.token_hex(8)}.bin"
    steps: tuple[tuple[str, Callable[[S3Place, str], list[Finding]]], ...] = (
        ("comparing clocks", _clock),
        ("writing twice", _write_once),
        ("sending a wrong checksum", _refuses_wrong_sum),
        ("uploading in parts", _parts),
        ("listing an unfinished upload", _lists_unfinished),
        ("listing the parts of an upload", _lists_parts),
        ("aborting an upload", _aborts),
        ("writing as footage is written", _as_footage),
        ("asking for a lock", _may_lock),
        ("looking at the bucket's settings", _settings),
    )
    found: list[Finding] = []
    for doing, step in steps:
        if tell is not None:
            tell(doing)
        try:
            found += step(place, key)
        except FAILURES as error:
            told = place.named(error, doing)
            found.append(Finding(False, told.message, told.remedy))
        except (StoreError, OSError) as error:
            found.append(
                Finding(False, str(error), "Check the connection of the store and this machine's temporary folder.")
            )
        finally:
            with contextlib.suppress(StoreError, *FAILURES):
                place.client().delete_object(Bucket=place.bucket, Key=key)
    return found


def _clock(place: S3Place, _: str) -> list[Finding]:
    apart = clock_apart_s(place.client().head_bucket(Bucket=place.bucket))
    if apart is None:
        return [Finding(True, "its answers carry no time")]
    numbers = {"clock_apart_s": round(apart, 1)}
    if abs(apart) <= CLOCK_S:
        return [Finding(True, "requests are made at the time that its clock shows", numbers=numbers)]
    return [
        Finding(
            False,
            f"its clock is {abs(apart):.0f} s {'behind' if apart > 0 else 'ahead of'} this machine's",
            "Set both clocks by NTP: from 15 minutes on it refuses every request.",
            numbers,
        )
    ]


def _write_once(place: S3Place, key: str) -> list[Finding]:
    at = {"Bucket": place.bucket, "Key": key, **place.plain}
    place.client().put_object(**at, Body=b"first", IfNoneMatch="*")
    try:
        place.client().put_object(**at, Body=b"second", IfNoneMatch="*")
    except ClientError as error:
        if not is_taken(error):
            raise
        return [Finding(True, "the server itself refuses to overwrite (If-None-Match)")]
    what = "the server overwrites objects in spite of If-None-Match"
    return [Finding(False, what, "Footage is not safe there; use another one.")]


def _refuses_wrong_sum(place: S3Place, key: str) -> list[Finding]:
    data = secrets.token_bytes(_BYTES)
    wrong = s3_put.crc32_text(zlib.crc32(data) ^ 1)
    try:
        place.client().put_object(
            Bucket=place.bucket, Key=key, Body=data, ChecksumCRC32=wrong, IfNoneMatch="*", **place.plain
        )
    except ClientError as error:
        if status(error) != 400:
            raise
        return [Finding(True, "the server refuses bytes that do not fit their checksum")]
    if place.options.read_back:
        what = "the server takes bytes that do not fit their checksum, so every object is read back"
        return [Finding(True, what)]
    return [Finding(False, "the server takes bytes that do not fit their checksum: nothing is proven", _READ_BACK)]


def _parts(place: S3Place, key: str) -> list[Finding]:
    data = secrets.token_bytes(_BYTES)
    client = place.client()
    with tempfile.TemporaryDirectory(prefix="vms-check-") as folder:
        file = Path(folder) / "parts"
        file.write_bytes(data)
        staged = examine(file, sha256=sha256(data).hexdigest(), size_bytes=_BYTES, part_bytes=_BYTES)
        target = s3_put.Target(client, place.bucket, key, "check", preview_options(place.options))
        s3_put.send_in_parts(target, staged, None)
    if place.options.read_back:
        return [Finding(True, "takes uploads in parts")]
    answer = client.head_object(Bucket=place.bucket, Key=key, ChecksumMode="ENABLED")
    if answer.get("ChecksumCRC32") == s3_put.crc32_text(staged.crc32):
        return [Finding(True, "takes uploads in parts and keeps the CRC32 of the whole object")]
    return [Finding(False, "does not keep the CRC32 of an object that came in parts", _READ_BACK)]


def _lists_unfinished(place: S3Place, key: str) -> list[Finding]:
    with _begun(place, key) as upload:
        if upload not in [one.upload_id for one in s3_unfinished.unfinished(place.client(), place.bucket, key)]:
            return [
                Finding(
                    False,
                    "does not list an upload that was begun",
                    "What is never finished can't be cleared away; give the bucket a rule that aborts it.",
                )
            ]
    return [Finding(True, "lists uploads that were begun and not finished")]


def _lists_parts(place: S3Place, key: str) -> list[Finding]:
    at = {"Bucket": place.bucket, "Key": key}
    with _begun(place, key) as upload:
        place.client().upload_part(**at, UploadId=upload, PartNumber=1, Body=b"part")
        parts = place.client().list_parts(**at, UploadId=upload).get("Parts", ())
    if [one["PartNumber"] for one in parts] == [1]:
        return [Finding(True, "says which parts have arrived, so that a broken upload goes on where it was")]
    return [Finding(False, "does not say which parts have arrived", "Broken uploads begin anew; use another server.")]


def _aborts(place: S3Place, key: str) -> list[Finding]:
    client, at = place.client(), {"Bucket": place.bucket, "Key": key}
    with _begun(place, key) as upload:
        client.abort_multipart_upload(**at, UploadId=upload)
    return [Finding(True, "aborts uploads")]


def _as_footage(place: S3Place, key: str) -> list[Finding]:
    asked = s3_put.asked_for(replace(place.options, lock_days=0))
    if not asked:
        return []
    client, at = place.client(), {"Bucket": place.bucket, "Key": key}
    client.put_object(**at, Body=b"probe", IfNoneMatch="*", **asked)
    there = client.head_object(**at)
    found = []
    for name, word in (("StorageClass", "storage_class"), ("ServerSideEncryption", "encryption")):
        if name in asked and there.get(name, "STANDARD") != asked[name]:
            found.append(
                Finding(
                    False,
                    f"does not heed {word}: asked for {asked[name]}, it shows {there.get(name, 'none')}",
                    f"Take `{word}` out of the store in sites.yaml, or use a server that has it.",
                )
            )
    if place.options.tags and there.get("TagCount", len(place.options.tags)) != len(place.options.tags):
        found.append(Finding(False, "does not keep tags", "Take `tags` out of the store in sites.yaml."))
    return found or [Finding(True, "gives objects the class, encryption and tags that sites.yaml asks for")]


def _may_lock(place: S3Place, key: str) -> list[Finding]:
    """By a lock that has ended already: the right to lock is looked at before the date is, and nothing gets locked."""
    if not place.options.lock_days:
        return []
    asked = {
        "ObjectLockMode": place.options.lock_mode.upper(),
        "ObjectLockRetainUntilDate": datetime.now(UTC).replace(microsecond=0) - timedelta(days=1),
    }
    try:
        place.client().put_object(Bucket=place.bucket, Key=key, Body=b"probe", **place.plain, **asked)
    except ClientError as error:
        if is_denied(error) or status(error) != 400:
            raise
    return [Finding(True, "lets this key lock objects")]


def _settings(place: S3Place, _: str) -> list[Finding]:
    return s3_bucket.bucket_findings(place.client(), place.bucket, place.prefix, place.options)


@contextlib.contextmanager
def _begun(place: S3Place, key: str) -> Any:
    """An upload in parts, aborted in the end when the key may do so; else it goes when it counts as abandoned."""
    client, at = place.client(), {"Bucket": place.bucket, "Key": key}
    upload = client.create_multipart_upload(**at, **place.plain)["UploadId"]
    try:
        yield upload
    finally:
        try:
            client.abort_multipart_upload(**at, UploadId=upload)
        except ClientError as error:
            if not is_denied(error) and code(error) not in ("NoSuchUpload", "404"):
                raise
