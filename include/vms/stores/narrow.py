"""What the key of a branch may do in a bucket: put objects under its own site's prefix, and nothing else.

Whoever steals it can read nothing, delete nothing and, where the server can forbid that, overwrite nothing. Resuming an
upload needs the list of its own parts; giving one up, the right to abort it.
"""

from __future__ import annotations

import json
from typing import Any

from vms.model import StoreOptions
from vms.stores.s3_rights import ACTIONS, PUT_LOCK, PUT_TAGS

PROBE = "vms-check/branch.bin"
"""Below the site's prefix: one small object, by which a branch tries its key. It stays, as the key can't delete."""

_OF_UPLOADS = ("PutObject", "AbortMultipartUpload", "ListParts")
_KMS_RIGHTS = ("kms:Decrypt", "kms:GenerateDataKey")


def is_probe(key: str) -> bool:
    """Whether the object is nothing but what a trial has left: a branch may try its key before the centre has ever been
    in the store, which is no less new for that. key: below the store's prefix."""
    return key.startswith("vms-check/") or key.endswith(f"/{PROBE}")


def is_bucket(url: str) -> bool:
    """Whether a store of this URL is reached with a key, which a branch has of its own; a folder is not."""
    return url.startswith(("s3://", "gs://"))


def own_prefix(prefix: str, site: str) -> str:
    """Where the objects of a site lie in a bucket. prefix: the store's, "" for the whole bucket."""
    return f"{prefix.strip('/')}/{site}/".lstrip("/")


def s3_policy(
    bucket: str, prefix: str, site: str, options: StoreOptions, *, knows_conditions: bool = True
) -> dict[str, Any]:
    """For Amazon's IAM, and for servers that take its policies.

    knows_conditions: whether the server can forbid to overwrite. SeaweedFS does not heed that condition, and others
    refuse a policy with one that they do not know: there only versioning of the bucket keeps what is overwritten.
    """
    objects = f"arn:aws:s3:::{bucket}/{own_prefix(prefix, site)}*"
    rights = [ACTIONS[one] for one in _OF_UPLOADS]
    rights += [PUT_TAGS] if options.tags else []
    rights += [PUT_LOCK] if options.lock_days else []
    statements: list[dict[str, Any]] = [
        {"Sid": "PutFootageOfTheSite", "Effect": "Allow", "Action": rights, "Resource": objects}
    ]
    if knows_conditions:
        # a part of an upload creates no object: what ends the upload does, and that carries the condition
        condition = {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}}
        put = ACTIONS["PutObject"]
        statements.append(
            {"Sid": "OverwriteNothing", "Effect": "Deny", "Action": put, "Resource": objects, "Condition": condition}
        )
    _, _, key = options.encryption.partition(":kms:")
    if key.startswith("arn:"):
        statements.append({"Sid": "EncryptFootage", "Effect": "Allow", "Action": list(_KMS_RIGHTS), "Resource": key})
    return {"Version": "2012-10-17", "Statement": statements}


def seaweedfs_users(name: str, secret: str, policy: dict[str, Any]) -> dict[str, Any]:
    """What belongs into the file that SeaweedFS reads its users from (-s3.config).

    Its own action "Write" would also let objects be deleted, and not let parts be listed: hence a policy.
    """
    user = {
        "name": name,
        "credentials": [{"accessKey": name, "secretKey": secret}],
        "actions": [],
        "policyNames": [name],
    }
    return {"identities": [user], "policies": [{"name": name, "content": json.dumps(policy)}]}


def gcs_rights(options: StoreOptions) -> tuple[str, ...]:
    """The permissions of the role, for Google Cloud Storage. With them an object can't be overwritten either: that
    would take the one to delete."""
    return ("storage.objects.create", *(["storage.objects.setRetention"] if options.lock_days else []))


def gcs_condition(bucket: str, prefix: str, site: str) -> str:
    """The IAM condition of the binding: only objects of the site."""
    return f'resource.name.startsWith("projects/_/buckets/{bucket}/objects/{own_prefix(prefix, site)}")'
