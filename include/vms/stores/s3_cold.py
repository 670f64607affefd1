"""Cold objects of S3: what a HEAD tells of them, and RestoreObject."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import ClientError

from vms.stores.cold import COLD_CLASSES, KEPT_DAYS, Cold
from vms.stores.s3_errors import code

_PAIR = re.compile(r'([a-z-]+)="([^"]*)"')
_ARCHIVED = {"ARCHIVE_ACCESS": "GLACIER", "DEEP_ARCHIVE_ACCESS": "DEEP_ARCHIVE"}
"""What objects of INTELLIGENT_TIERING are like when they were not read for long."""

_ASKED_ALREADY = ("RestoreAlreadyInProgress", "ObjectAlreadyInActiveTierError")


def coldness(answer: dict[str, Any]) -> Cold | None:
    """What the answer to a HEAD says."""
    kept = str(answer.get("StorageClass", ""))
    kept = _ARCHIVED.get(str(answer.get("ArchiveStatus", "")), kept)
    if kept not in COLD_CLASSES:
        return None
    told = dict(_PAIR.findall(str(answer.get("Restore", ""))))
    if told.get("ongoing-request") == "true":
        return Cold(kept, "waking")
    if told.get("ongoing-request") != "false":
        return Cold(kept, "asleep")
    try:
        until = parsedate_to_datetime(told.get("expiry-date", "")).astimezone(UTC)
    except ValueError:
        return Cold(kept, "ready")
    return Cold(kept, "ready", until) if until > datetime.now(UTC) else Cold(kept, "asleep")


def wake(client: Any, bucket: str, name: str) -> None:
    """Ask for it to be readable for some days. Raises ClientError."""
    tiered = "ArchiveStatus" in client.head_object(Bucket=bucket, Key=name)  # it comes back for good, days are refused
    days = {} if tiered else {"Days": KEPT_DAYS}
    try:
        client.restore_object(
            Bucket=bucket, Key=name, RestoreRequest={**days, "GlacierJobParameters": {"Tier": "Standard"}}
        )
    except ClientError as error:
        if code(error) not in _ASKED_ALREADY:
            raise
