"""What a bucket's own settings mean for footage: looked at by `stores check`, as far as the account may see them."""

from __future__ import annotations

from typing import Any

from google.api_core import exceptions as api

from vms.model import StoreOptions
from vms.stores.base import Finding
from vms.stores.gcs_errors import TIMEOUT, retry

_FOR_OLD_VERSIONS = {"daysSinceNoncurrentTime", "noncurrentTimeBefore", "numNewerVersions"}

_RIGHTS = ("storage.objects.create", "storage.objects.get", "storage.objects.list")
_LOCK_RIGHT = "storage.objects.setRetention"
_DELETE_RIGHT = "storage.objects.delete"

SWITCH_LOCK_ON = (
    "Enable object retention for the bucket (when it is made, or later in the Google Cloud console), or take `lock` out"
    " of the store in sites.yaml."
)


def lock_mode(client: Any, bucket: str) -> str | None:
    """ "Enabled" when objects in it can be locked, "" when not; None when this account may not see it."""
    try:
        there = client.get_bucket(bucket, timeout=TIMEOUT, retry=retry())
    except (api.Forbidden, api.NotFound):
        return None
    return there.object_retention_mode or ""


def bucket_findings(client: Any, bucket: str, prefix: str, options: StoreOptions) -> list[Finding]:
    """The account's rights, then one finding per setting; raises the client library's errors.

    prefix: of the store's objects.
    """
    found = _rights(client, bucket, options)
    try:
        there = client.get_bucket(bucket, timeout=TIMEOUT, retry=retry())
    except api.Forbidden:
        what = "does not let its settings be seen (storage.buckets.get), lifecycle rules and lock are not checked"
        return [*found, Finding(True, what)]
    found.append(
        Finding(True, f"lies in {there.location or 'an unknown place'} as {there.storage_class or 'STANDARD'}")
    )
    found += _locking(there, options)
    key = options.encryption or there.default_kms_key_name
    found.append(Finding(True, f"encrypts with {f'the key {key}' if key else 'keys of Google'}"))
    deletes = []
    for rule in there.lifecycle_rules:
        if _is_backstop(rule, prefix):
            found.append(Finding(True, f"a rule for one site clears up as a backstop ({_days(rule)})"))
        elif _deletes_footage(rule, prefix):
            deletes.append(rule)
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


def _rights(client: Any, bucket: str, options: StoreOptions) -> list[Finding]:
    """What the account may do, as Google itself says; of what it may not, each by its name."""
    wanted = [*_RIGHTS, *([_LOCK_RIGHT] if options.lock_days else [])]
    try:
        granted = client.bucket(bucket).test_iam_permissions([*wanted, _DELETE_RIGHT], timeout=TIMEOUT, retry=retry())
    except (api.NotFound, api.MethodNotAllowed, api.MethodNotImplemented, api.Forbidden):
        return [Finding(True, "does not say which rights this account has")]
    if not granted:  # an emulator: the probe has just shown that the account may do something
        return [Finding(True, "does not say which rights this account has")]
    found = [
        Finding(
            False,
            f"this account lacks the right {right} on the bucket",
            "Give it the role of docs/policies/gcp-archive-role.yaml on this bucket.",
        )
        for right in wanted
        if right not in granted
    ]
    may_delete = _DELETE_RIGHT in granted
    what = "may also delete" if may_delete else f"may not delete footage ({_DELETE_RIGHT}), which only retention needs"
    return [*found, Finding(True, f"this account {what}")]


def _locking(there: Any, options: StoreOptions) -> list[Finding]:
    if not options.lock_days:
        return []
    if there.object_retention_mode != "Enabled":
        what = f"the bucket has no object retention, but sites.yaml asks for a lock of {options.lock_days} days"
        return [Finding(False, what, SWITCH_LOCK_ON)]
    return [Finding(True, f"has object retention; footage is locked for {options.lock_days} days")]


def _of_old_versions(rule: Any) -> bool:
    condition = rule.get("condition", {})
    return rule.get("action", {}).get("type") == "Delete" and (
        condition.get("isLive") is False or bool(_FOR_OLD_VERSIONS & set(condition))
    )


def _is_backstop(rule: Any, prefix: str) -> bool:
    """Whether it looks like what `stores lifecycle` writes: rules have no names there."""
    condition = rule.get("condition", {})
    sites = condition.get("matchesPrefix", ())
    return (
        rule.get("action", {}).get("type") == "Delete"
        and set(condition) == {"age", "isLive", "matchesPrefix"}
        and all(one.startswith(prefix) and one.removeprefix(prefix).rstrip("/") for one in sites)
    )


def _deletes_footage(rule: Any, prefix: str) -> bool:
    condition = rule.get("condition", {})
    wanted = condition.get("matchesPrefix")
    ours = wanted is None or any(one.startswith(prefix) or prefix.startswith(one) for one in wanted)
    return rule.get("action", {}).get("type") == "Delete" and ours and not _of_old_versions(rule)


def _days(rule: Any) -> str:
    age = rule.get("condition", {}).get("age")
    return "by a condition" if age is None else f"after {age} days"
