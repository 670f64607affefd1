"""What a bucket's own settings mean for footage: looked at by `stores check`, as far as the account may see them."""

from __future__ import annotations

from typing import Any

from google.api_core import exceptions as api

from vms.stores.base import Finding
from vms.stores.gcs_errors import ANSWER_S, CONNECT_S, retry

_FOR_OLD_VERSIONS = {"daysSinceNoncurrentTime", "noncurrentTimeBefore", "numNewerVersions"}


def bucket_findings(client: Any, bucket: str, prefix: str) -> list[Finding]:
    """One finding per setting that matters; raises the client library's errors. prefix: of the store's objects."""
    try:
        there = client.get_bucket(bucket, timeout=(CONNECT_S, ANSWER_S), retry=retry())
    except api.Forbidden:
        return [
            Finding(True, "does not let its settings be seen (storage.buckets.get), lifecycle rules are not checked")
        ]
    found = [Finding(True, f"lies in {there.location or 'an unknown place'} as {there.storage_class or 'STANDARD'}")]
    deletes = [rule for rule in there.lifecycle_rules if _deletes_footage(rule, prefix)]
    if deletes:
        found.append(
            Finding(
                False,
                f"a lifecycle rule of the bucket deletes live objects ({_days(deletes[0])})",
                "Remove the rule: `retention` in sites.yaml decides how long footage is kept.",
            )
        )
    if there.versioning_enabled and not any(_of_old_versions(rule) for rule in there.lifecycle_rules):
        found.append(
            Finding(
                False,
                "the bucket keeps every deleted object as an old version for ever",
                "Turn object versioning off, or add a lifecycle rule that deletes noncurrent versions.",
            )
        )
    return found


def _of_old_versions(rule: Any) -> bool:
    condition = rule.get("condition", {})
    return rule.get("action", {}).get("type") == "Delete" and (
        condition.get("isLive") is False or bool(_FOR_OLD_VERSIONS & set(condition))
    )


def _deletes_footage(rule: Any, prefix: str) -> bool:
    condition = rule.get("condition", {})
    wanted = condition.get("matchesPrefix")
    ours = wanted is None or any(one.startswith(prefix) or prefix.startswith(one) for one in wanted)
    return rule.get("action", {}).get("type") == "Delete" and ours and not _of_old_versions(rule)


def _days(rule: Any) -> str:
    age = rule.get("condition", {}).get("age")
    return "by a condition" if age is None else f"after {age} days"
