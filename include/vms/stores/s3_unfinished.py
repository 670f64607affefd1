"""Uploads in parts to S3 that were begun and not finished: their parts cost space until somebody aborts them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from vms.stores.s3_errors import code

ABANDONED = timedelta(days=7)
"""How old an unfinished upload must be to be taken for one that nobody will finish."""


@dataclass(frozen=True)
class Unfinished:
    """An upload in parts that was begun and not finished. key: the whole key in the bucket; begun_at: UTC."""

    key: str
    upload_id: str
    begun_at: datetime


def unfinished(client: Any, bucket: str, prefix: str) -> list[Unfinished]:
    """Every unfinished upload below this prefix. Raises FAILURES."""
    pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix)
    return [
        Unfinished(one["Key"], one["UploadId"], one["Initiated"].astimezone(UTC))
        for page in pages
        for one in page.get("Uploads", ())
    ]


def abort(client: Any, bucket: str, upload: Unfinished) -> None:
    """Give back the space of its parts; no error when it is gone already. Raises FAILURES."""
    try:
        client.abort_multipart_upload(Bucket=bucket, Key=upload.key, UploadId=upload.upload_id)
    except ClientError as error:
        if code(error) != "NoSuchUpload":
            raise
