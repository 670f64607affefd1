"""The trials of a branch's key at S3, see `narrow_check`: with one small object that stays, as the key can't delete."""

from __future__ import annotations

import secrets
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from botocore.exceptions import ClientError

from vms.errors import StoreError
from vms.stores import s3_put
from vms.stores.narrow import PROBE
from vms.stores.narrow_check import PROBE_BYTES, Trial
from vms.stores.s3_errors import FAILURES, is_taken, status
from vms.stores.s3_place import S3Place

_CONTENT = b"put by a branch to try its key\n"
_VERSIONS = "Turn on the versioning of the bucket: then what a stolen key overwrites is not lost."


def trials(place: S3Place, site: str) -> Sequence[Trial]:
    """place: where the store's objects lie."""
    key = f"{place.prefix}{site}/{PROBE}"
    at = {"Bucket": place.bucket, "Key": key}
    new = {**at, **place.plain, "Body": _CONTENT, "IfNoneMatch": "*"}
    speed: dict[str, float] = {}

    def asked(doing: str, call: Callable[[Any], Any]) -> None:
        try:
            call(place.client())
        except FAILURES as error:
            raise place.named(error, doing) from error

    def puts() -> None:
        asked("putting an object", lambda client: _unless_taken(lambda: client.put_object(**new)))

    def overwrites() -> None:
        def twice(client: Any) -> None:
            if not _unless_taken(lambda: client.put_object(**{**new, "Body": secrets.token_bytes(64)})):
                raise StoreError(
                    "the server overwrites objects in spite of If-None-Match",
                    "Footage of a branch is not safe there; use another one.",
                )

        asked("putting an object twice", twice)

    def parts() -> None:
        asked("uploading in parts", lambda client: _in_parts(client, place, at, speed))

    other = f"{place.prefix}vms-check/{site}-elsewhere.bin"
    return (
        Trial("to put an object", "puts objects below its own prefix", puts),
        Trial("to overwrite one", "the server itself refuses to overwrite (If-None-Match)", overwrites),
        Trial("to upload in parts", "uploads in parts, goes on with them, and gives them up", parts, numbers=speed),
        Trial(
            "to read",
            "this key can read objects",
            lambda: asked("reading", lambda client: client.get_object(**at)["Body"].close()),
            must_fail=True,
        ),
        Trial(
            "to list",
            "this key can list the bucket",
            lambda: asked(
                "listing",
                lambda client: client.list_objects_v2(Bucket=place.bucket, Prefix=f"{place.prefix}{site}/", MaxKeys=1),
            ),
            must_fail=True,
        ),
        Trial(
            "to delete",
            "this key can delete objects",
            lambda: asked("deleting", lambda client: client.delete_object(**at)),
            must_fail=True,
        ),
        Trial(
            "to write outside its site",
            "this key can put objects outside of its site's prefix",
            lambda: asked("writing elsewhere", lambda client: _elsewhere(client, {**new, "Key": other})),
            must_fail=True,
        ),
        Trial(
            "to overwrite on purpose",
            "whoever has this key can overwrite footage of the site",
            lambda: asked("overwriting", lambda client: client.put_object(**at, **place.plain, Body=_CONTENT)),
            must_fail=True,
            hint=_VERSIONS,
        ),
    )


def _unless_taken(put: Callable[[], Any]) -> bool:
    """Whether there was an object already."""
    try:
        put()
    except ClientError as error:
        if is_taken(error):
            return True
        raise
    return False


def _elsewhere(client: Any, new: dict[str, Any]) -> None:
    _unless_taken(lambda: client.put_object(**new))
    try:
        client.delete_object(Bucket=new["Bucket"], Key=new["Key"])
    except ClientError:
        return  # it can't take it away again: one small object stays


def _in_parts(client: Any, place: S3Place, at: dict[str, str], numbers: dict[str, float]) -> None:
    data = secrets.token_bytes(PROBE_BYTES)
    asked = place.plain
    upload = {**at, "UploadId": client.create_multipart_upload(**at, **asked, ChecksumAlgorithm="CRC32")["UploadId"]}
    try:
        began = time.monotonic()
        checked = {"PartNumber": 1, "Body": data, "ChecksumCRC32": s3_put.crc32_text(zlib.crc32(data))}
        client.upload_part(**upload, **checked)
        numbers["up_mbit_s"] = round(len(data) * 8e-6 / max(time.monotonic() - began, 1e-6), 2)
        try:
            client.upload_part(**upload, **{**checked, "ChecksumCRC32": s3_put.crc32_text(zlib.crc32(data) ^ 1)})
        except ClientError as error:
            if status(error) != 400:
                raise
        else:
            if not place.options.read_back:
                raise StoreError(
                    "the server takes bytes that do not fit their checksum",
                    "Give the store `verify: read-back` in sites.yaml: the centre then reads every object back.",
                )
        client.list_parts(**upload)
    finally:
        client.abort_multipart_upload(**upload)
