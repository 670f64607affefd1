"""Lifecycle rules of a bucket of Google Cloud Storage. They never delete an object under a hold, so expiry is safe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vms.stores.gcs_errors import TIMEOUT, retry
from vms.stores.lifecycle import PARTS, Lifecycle


def lifecycle(prefix: str, expire: Mapping[str, int], old_versions: int) -> Lifecycle:
    """The rules for these sites."""
    rules: list[dict[str, Any]] = [
        {
            "action": {"type": "Delete"},
            "condition": {"age": days, "isLive": True, "matchesPrefix": [f"{prefix}{site}/"]},
        }
        for site, days in sorted(expire.items())
    ]
    within = {"matchesPrefix": [prefix]} if prefix else {}
    rules.append({"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": PARTS.days, **within}})
    rules.append(
        {"action": {"type": "Delete"}, "condition": {"daysSinceNoncurrentTime": max(old_versions, 1), **within}}
    )
    return Lifecycle(dict(expire), "", old_versions, tuple(rules))


def write(client: Any, bucket: str, prefix: str, wanted: Lifecycle) -> None:
    """Put the rules into the bucket. Rules have no names there: ours are those that begin with this store's prefix."""
    there = client.get_bucket(bucket, timeout=TIMEOUT, retry=retry())
    there.lifecycle_rules = [*(rule for rule in there.lifecycle_rules if not _is_ours(rule, prefix)), *wanted.rules]
    there.patch(timeout=TIMEOUT, retry=retry())


def _is_ours(rule: Mapping[str, Any], prefix: str) -> bool:
    matches = rule.get("condition", {}).get("matchesPrefix") or ([""] if not prefix else [])
    return bool(matches) and all(one.startswith(prefix) for one in matches)
