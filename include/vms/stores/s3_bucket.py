"""What an S3 bucket's own settings mean for footage: looked at by `stores check`, as far as the key may see them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from vms.model import StoreOptions
from vms.stores.base import Finding
from vms.stores.lifecycle import OURS
from vms.stores.s3_errors import code, is_denied, status
from vms.stores.s3_rights import ACTIONS

SWITCH_LOCK_ON = (
    "Switch object lock on for the bucket (when it is made, or later on a bucket with versioning), or take `lock` out"
    " of the store in sites.yaml."
)


class NotShown(Exception):
    """The key has no right to see this setting, or the server has none of the kind."""


def has_lock(client: Any, bucket: str) -> bool:
    """Whether objects in it can be locked. Raises NotShown, and FAILURES."""
    return _lock(client, bucket).get("ObjectLockEnabled") == "Enabled"


def bucket_findings(client: Any, bucket: str, prefix: str, options: StoreOptions) -> list[Finding]:
    """One finding per setting. prefix: of the store's objects. Raises FAILURES."""
    found: list[Finding] = []
    rules: list[dict[str, Any]] = []
    looks: tuple[tuple[str, str, Callable[[], list[Finding]]], ...] = (
        ("GetBucketLifecycleConfiguration", "lifecycle rules", lambda: _lifecycle(rules, client, bucket, prefix)),
        ("GetBucketVersioning", "versioning", lambda: _versioning(client, bucket, rules)),
        ("GetObjectLockConfiguration", "object lock", lambda: _locking(client, bucket, options)),
        ("GetBucketEncryption", "default encryption", lambda: _encrypting(client, bucket, options)),
    )
    for request, what, look in looks:
        try:
            found += look()
        except NotShown:
            found.append(Finding(True, f"does not show its {what} ({ACTIONS[request]}), so that is not checked"))
    return found


def _lifecycle(rules: list[dict[str, Any]], client: Any, bucket: str, prefix: str) -> list[Finding]:
    answer = _asked(
        lambda: client.get_bucket_lifecycle_configuration(Bucket=bucket), nothing=("NoSuchLifecycleConfiguration",)
    )
    rules += [one for one in answer.get("Rules", ()) if one.get("Status") == "Enabled" and _is_about(one, prefix)]
    found = []
    for rule in rules:
        expiration = rule.get("Expiration", {})
        if "Days" in expiration or "Date" in expiration:
            after = f"after {expiration['Days']} days" if "Days" in expiration else "at a date"
            if str(rule.get("ID", "")).startswith(OURS):
                found.append(Finding(True, f"a rule of ours clears up as a backstop ({after}: {_start(rule)})"))
                continue
            found.append(
                Finding(
                    False,
                    f"a lifecycle rule of the bucket deletes live objects ({after})",
                    "Remove the rule: `retention` in sites.yaml decides how long footage is kept.",
                )
            )
    if any("AbortIncompleteMultipartUpload" in rule for rule in rules):
        found.append(Finding(True, "a lifecycle rule of the bucket aborts incomplete uploads"))
    else:
        found.append(
            Finding(
                True,
                "no lifecycle rule of the bucket aborts incomplete uploads; those of a lost machine are cleared only"
                " by later uploads",
                "`vms stores lifecycle --write` adds a rule that aborts them after 7 days.",
            )
        )
    return found


def _versioning(client: Any, bucket: str, rules: list[dict[str, Any]]) -> list[Finding]:
    state = _asked(lambda: client.get_bucket_versioning(Bucket=bucket)).get("Status", "")
    if not state:
        return [Finding(True, "keeps no old versions of deleted objects")]
    if any("NoncurrentVersionExpiration" in rule for rule in rules):
        return [Finding(True, "keeps deleted objects as old versions until a lifecycle rule deletes those")]
    return [
        Finding(
            False,
            "the bucket keeps every deleted object as an old version for ever",
            "`vms stores lifecycle --write` adds a rule that deletes old versions; or suspend versioning.",
        )
    ]


def _locking(client: Any, bucket: str, options: StoreOptions) -> list[Finding]:
    lock = _lock(client, bucket)
    if lock.get("ObjectLockEnabled") != "Enabled":
        if options.lock_days:
            what = f"the bucket has no object lock, but sites.yaml asks for a lock of {options.lock_days} days"
            return [Finding(False, what, SWITCH_LOCK_ON)]
        return [Finding(True, "has no object lock, and sites.yaml asks for none")]
    rule = lock.get("Rule", {}).get("DefaultRetention", {})
    if rule:
        span = f"{rule['Days']} days" if rule.get("Days") else f"{rule.get('Years')} years"
        return [
            Finding(
                True,
                f"has object lock and locks every new object for {span} by itself, previews and probes too",
                "Take the bucket's default retention away and set `lock` in sites.yaml to lock footage only.",
            )
        ]
    asked = f"footage is locked for {options.lock_days} days" if options.lock_days else "sites.yaml asks for no lock"
    return [Finding(True, f"has object lock; {asked}")]


def _encrypting(client: Any, bucket: str, options: StoreOptions) -> list[Finding]:
    answer = _asked(
        lambda: client.get_bucket_encryption(Bucket=bucket), nothing=("ServerSideEncryptionConfigurationNotFoundError",)
    )
    rules = answer.get("ServerSideEncryptionConfiguration", {}).get("Rules", ())
    kinds = [one.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm", "") for one in rules]
    by_default = next((one for one in kinds if one), "")
    if options.encryption:
        return [Finding(True, f"encrypts as sites.yaml asks ({options.encryption})")]
    if by_default:
        return [Finding(True, f"encrypts new objects by default ({by_default})")]
    hint = "Give the store `encryption: AES256` in sites.yaml, or the bucket a default."
    return [Finding(True, "does not encrypt new objects by default", hint)]


def _lock(client: Any, bucket: str) -> dict[str, Any]:
    answer = _asked(
        lambda: client.get_object_lock_configuration(Bucket=bucket), nothing=("ObjectLockConfigurationNotFoundError",)
    )
    lock: dict[str, Any] = answer.get("ObjectLockConfiguration", {})
    return lock


def _asked(ask: Callable[[], dict[str, Any]], nothing: tuple[str, ...] = ()) -> dict[str, Any]:
    try:
        return ask()
    except ClientError as error:
        if code(error) in nothing:
            return {}
        if (
            is_denied(error)
            or status(error) in (404, 405, 501)
            or code(error) in ("NotImplemented", "MethodNotAllowed")
        ):
            raise NotShown from error
        raise


def _is_about(rule: dict[str, Any], prefix: str) -> bool:
    start = _start(rule)
    return start.startswith(prefix) or prefix.startswith(start)


def _start(rule: dict[str, Any]) -> str:
    """How the keys begin that a rule is about."""
    narrowed = rule.get("Filter", {})
    narrowed = narrowed.get("And", narrowed)
    return str(rule.get("Prefix") or narrowed.get("Prefix") or "")
