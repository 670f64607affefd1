"""What an S3 bucket can keep by itself: legal holds and retention of object lock, and old versions behind deletions.

In a versioned bucket a deletion only lays a marker over the object: nobody finds it under its key any more, and it is
really gone when the bucket's rule for noncurrent versions (`vms stores lifecycle`) has removed the version. Until then
taking the marker away brings it back. An object lock protects that version, not the key.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from typing import Any

from botocore.exceptions import ClientError

from vms.stores.keeping import Protection
from vms.stores.s3_errors import code, is_missing

_NO_LOCK = ("InvalidRequest", "ObjectLockConfigurationNotFoundError", "NotImplemented", "NoSuchObjectLockConfiguration",
            "MethodNotAllowed", "AccessDenied")  # fmt: skip


def hold(client: Any, bucket: str, names: Iterable[str], *, on: bool) -> dict[str, str]:
    """Put a legal hold on each object, or take it off. By name why it was not done, "" where it was."""
    said = {}
    for name in names:
        try:
            client.put_object_legal_hold(Bucket=bucket, Key=name, LegalHold={"Status": "ON" if on else "OFF"})
            said[name] = ""
        except ClientError as error:
            if is_missing(error) and not on:
                said[name] = ""
            elif code(error) in _NO_LOCK or is_missing(error):
                said[name] = f"the bucket takes no legal hold ({code(error)}); object lock is set when it is made"
            else:
                raise
    return said


def protection(client: Any, bucket: str, name: str) -> Protection | None:
    """The object's legal hold, or its retention; None when it has neither or can't be looked at."""
    try:
        answer = client.head_object(Bucket=bucket, Key=name)
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    if answer.get("ObjectLockLegalHoldStatus") == "ON":
        return Protection("a legal hold of the bucket", None)
    until = answer.get("ObjectLockRetainUntilDate")
    if until is None:
        return None
    return Protection(f"the bucket's object lock ({answer.get('ObjectLockMode', '')})", until.astimezone(UTC))


def bring_back(client: Any, bucket: str, names: Iterable[str]) -> list[str]:
    """Take away the deletion markers that lie over these objects; those under which an object is found now."""
    back = []
    for name in names:
        try:
            answer = client.list_object_versions(Bucket=bucket, Prefix=name, MaxKeys=50)
        except ClientError as error:
            if code(error) != "NotImplemented":
                raise
            answer = {}
        for marker in answer.get("DeleteMarkers", ()):
            if marker["Key"] == name and marker.get("IsLatest"):
                client.delete_object(Bucket=bucket, Key=name, VersionId=marker["VersionId"])
        try:
            client.head_object(Bucket=bucket, Key=name)
        except ClientError as error:
            if not is_missing(error):
                raise
        else:
            back.append(name)
    return back
