"""What `stores check` asks of an S3 server beyond the common probe: does it really keep the promises we build on?

Some servers that speak S3 take If-None-Match and checksums without heeding them; there footage would not be safe.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
import zlib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from vms.errors import StoreError
from vms.stores import s3_put
from vms.stores.base import Finding
from vms.stores.s3_errors import FAILURES, clock_apart_s, is_taken, status
from vms.stores.staged import examine

CLOCK_S = 30
_BYTES = 64 * 1024


def findings(
    client: Callable[[], Any], bucket: str, prefix: str, named: Callable[[Exception, str], StoreError]
) -> list[Finding]:
    """Never raises; leaves nothing behind where the server lets it delete. named: what an error is called."""
    key = f"{prefix}vms-check/{secrets.token_hex(8)}.bin"
    steps: tuple[tuple[str, Callable[[Any, str, str], Finding]], ...] = (
        ("comparing clocks", _clock),
        ("writing twice", _write_once),
        ("sending a wrong checksum", _refuses_wrong_sum),
        ("uploading in parts", _parts),
    )
    found: list[Finding] = []
    for doing, step in steps:
        try:
            found.append(step(client(), bucket, key))
        except FAILURES as error:
            told = named(error, doing)
            found.append(Finding(False, told.message, told.remedy))
        except (StoreError, OSError) as error:
            found.append(
                Finding(False, str(error), "Check the connection of the store and this machine's temporary folder.")
            )
        finally:
            with contextlib.suppress(StoreError, *FAILURES):
                client().delete_object(Bucket=bucket, Key=key)
    return found


def _clock(client: Any, bucket: str, _: str) -> Finding:
    apart = clock_apart_s(client.head_bucket(Bucket=bucket))
    if apart is None or abs(apart) <= CLOCK_S:
        return Finding(True, "requests are made at the time that its clock shows")
    return Finding(
        False,
        f"its clock is {abs(apart):.0f} s {'behind' if apart > 0 else 'ahead of'} this machine's",
        "Set both clocks by NTP: from 15 minutes on it refuses every request.",
    )


def _write_once(client: Any, bucket: str, key: str) -> Finding:
    client.put_object(Bucket=bucket, Key=key, Body=b"first", IfNoneMatch="*")
    try:
        client.put_object(Bucket=bucket, Key=key, Body=b"second", IfNoneMatch="*")
    except ClientError as error:
        if not is_taken(error):
            raise
        return Finding(True, "the server itself refuses to overwrite (If-None-Match)")
    return Finding(
        False, "the server overwrites objects in spite of If-None-Match", "Footage is not safe there; use another one."
    )


def _refuses_wrong_sum(client: Any, bucket: str, key: str) -> Finding:
    data = secrets.token_bytes(_BYTES)
    try:
        client.put_object(
            Bucket=bucket, Key=key, Body=data, ChecksumCRC32=s3_put.crc32_text(zlib.crc32(data) ^ 1), IfNoneMatch="*"
        )
    except ClientError as error:
        if status(error) != 400:
            raise
        return Finding(True, "the server refuses bytes that do not fit their checksum")
    return Finding(
        False, "the server takes bytes that do not fit their checksum", "Nothing is proven there; use another one."
    )


def _parts(client: Any, bucket: str, key: str) -> Finding:
    data = secrets.token_bytes(_BYTES)
    with tempfile.TemporaryDirectory(prefix="vms-check-") as folder:
        file = Path(folder) / "parts"
        file.write_bytes(data)
        staged = examine(file, sha256=sha256(data).hexdigest(), size_bytes=_BYTES, part_bytes=_BYTES)
        s3_put.send_in_parts(s3_put.Target(client, bucket, key, "check", ""), staged, None)
    answer = client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    if answer.get("ChecksumCRC32") == s3_put.crc32_text(staged.crc32):
        return Finding(True, "takes uploads in parts and keeps the CRC32 of the whole object")
    return Finding(
        False,
        "does not keep the CRC32 of an object that came in parts",
        "Large files can't be proven there; use another server, or a newer version of it.",
    )
