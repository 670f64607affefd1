"""Lifecycle rules of an S3 bucket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from vms.stores.lifecycle import OURS, PARTS, Lifecycle
from vms.stores.s3_errors import code

_NONE = ("NoSuchLifecycleConfiguration", "404")


def lifecycle(client: Any, bucket: str, prefix: str, expire: Mapping[str, int], old_versions: int) -> Lifecycle:
    """The rules for these sites; without expiry where the bucket has no object lock and so no holds of its own."""
    refused = ""
    if not _has_lock(client, bucket):
        refused = (
            f"The bucket {bucket} has no object lock, so it could delete what is under a hold here; no expiry is"
            " written. Object lock can be had when the bucket is made."
        )
        expire = {}
    where = {"Filter": {"Prefix": prefix}, "Status": "Enabled"}
    rules: list[dict[str, Any]] = [
        {
            "ID": f"{OURS}expire-{site}",
            "Filter": {"Prefix": f"{prefix}{site}/"},
            "Status": "Enabled",
            "Expiration": {"Days": days},
        }
        for site, days in sorted(expire.items())
    ]
    rules.append({"ID": f"{OURS}parts", **where, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": PARTS.days}})
    if _versioned(client, bucket):
        rules.append(
            {
                "ID": f"{OURS}old-versions",
                **where,
                "NoncurrentVersionExpiration": {"NoncurrentDays": max(old_versions, 1)},
            }
        )
    return Lifecycle(dict(expire), refused, old_versions, tuple(rules))


def write(client: Any, bucket: str, wanted: Lifecycle) -> None:
    """Put the rules into the bucket; rules of others stay."""
    try:
        there = client.get_bucket_lifecycle_configuration(Bucket=bucket).get("Rules", [])
    except ClientError as error:
        if code(error) not in _NONE:
            raise
        there = []
    others = [rule for rule in there if not str(rule.get("ID", "")).startswith(OURS)]
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [*others, *wanted.rules]})


def _has_lock(client: Any, bucket: str) -> bool:
    try:
        answer = client.get_object_lock_configuration(Bucket=bucket)
    except ClientError:
        return False
    return bool(answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled")


def _versioned(client: Any, bucket: str) -> bool:
    try:
        return bool(client.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled")
    except ClientError:
        return False
