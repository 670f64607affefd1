"""Which right each request to S3 takes, so that a refusal can name the one that lacks. docs/policies grants them."""

from __future__ import annotations

import re

from botocore.exceptions import ClientError

ACTIONS = {
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "CompleteMultipartUpload": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
    "DeleteObjects": "s3:DeleteObject",
    "GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "GetBucketVersioning": "s3:GetBucketVersioning",
    "GetObject": "s3:GetObject",
    "GetObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration",
    "HeadBucket": "s3:ListBucket",
    "HeadObject": "s3:GetObject",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "ListObjectVersions": "s3:ListBucketVersions",
    "ListObjectsV2": "s3:ListBucket",
    "ListParts": "s3:ListMultipartUploadParts",
    "PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "PutObject": "s3:PutObject",
    "PutObjectLegalHold": "s3:PutObjectLegalHold",
    "RestoreObject": "s3:RestoreObject",
    "UploadPart": "s3:PutObject",
}
"""By the name of the request. A request with tags also takes PUT_TAGS, one with a lock PUT_LOCK; deleting a version,
such as a deletion marker, takes DELETE_VERSION; without SEE_LOCK an object is shown as if it had no lock."""

DELETE_VERSION = "s3:DeleteObjectVersion"
SEE_LOCK = ("s3:GetObjectLegalHold", "s3:GetObjectRetention")
PUT_TAGS = "s3:PutObjectTagging"
PUT_LOCK = "s3:PutObjectRetention"

_NAMED = re.compile(r"not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)")


def missing(error: ClientError) -> str:
    """The right that was lacking when this request was refused, as far as the answer and the request tell."""
    named = _NAMED.search(str(error.response.get("Error", {}).get("Message", "")))
    if named:
        return named[1]
    if error.operation_name == "HeadObject":  # an object that is not there is refused, too, to who may not list
        return "s3:GetObject, or s3:ListBucket on the bucket"
    return ACTIONS.get(error.operation_name, "what it asked for")
