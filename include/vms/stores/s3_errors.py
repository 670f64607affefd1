"""What S3 answers mean for the person on call: who has to do what, and whether trying again can help."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from botocore import exceptions as boto
from botocore.exceptions import ClientError
from urllib3.exceptions import HTTPError

from vms.errors import RestoreNeeded, StoreDenied, StoreError, StoreFull, StoreUnreachable
from vms.stores import s3_rights

FAILURES = (ClientError, boto.BotoCoreError, HTTPError)
"""Everything that a call of the client, or reading a body it gave, may raise."""

CLOCK_S = 10 * 60
"""S3 refuses requests of clocks that are 15 minutes off; from here on a refusal is put down to the clock."""

_CREDENTIALS = {
    "AccountProblem", "AuthorizationHeaderMalformed", "ExpiredToken", "InvalidAccessKeyId", "InvalidSecurity",
    "InvalidToken", "NotSignedUp", "SignatureDoesNotMatch", "TokenRefreshRequired", "UnrecognizedClientException",
}  # fmt: skip
_RIGHTS = {"AccessDenied", "AllAccessDisabled", "403", "Forbidden", "UnauthorizedAccess"}
_FULL = {"InsufficientStorage", "QuotaExceeded", "StorageFull", "XMinioStorageFull", "507", "TooManyBuckets"}
_FULL_WORDS = ("no space left", "quota exceeded", "storage cap", "disk is full", "writable volume")
_FULL_OR_BROKEN = {"InternalError", "500"}
_BUSY = {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests", "429", "503"}
_LINE = {"RequestTimeout", "IncompleteBody", "OperationAborted", "408"}
_CHANGED = {"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"}
_OTHER_REGION = {"PermanentRedirect", "301", "IllegalLocationConstraintException", "IncorrectEndpoint"}
_ASLEEP = {"InvalidObjectState"}
_UNKNOWN_TO_SERVER = {"NotImplemented", "501", "InvalidStorageClass", "InvalidRequest", "InvalidArgument"}

_NO_KEYS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.TokenRetrievalError,
)
_SETTINGS = (boto.ProfileNotFound, boto.NoRegionError, boto.InvalidRegionError, boto.ParamValidationError)


def code(error: BaseException) -> str:
    """The code of an answer, such as "NoSuchKey"; "" when there was no answer."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def status(error: BaseException) -> int:
    """The HTTP status of an answer; 0 when there was none."""
    if not isinstance(error, ClientError):
        return 0
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_missing(error: BaseException) -> bool:
    """Whether the answer says that there is no such object."""
    return code(error) in ("NoSuchKey", "404", "NotFound")


def is_denied(error: BaseException) -> bool:
    """Whether the answer says that this key lacks a right."""
    return code(error) in _RIGHTS or (status(error) == 403 and code(error) not in _CREDENTIALS)


def is_taken(error: BaseException) -> bool:
    """Whether the answer says that an object is under the key already, or just being put there."""
    return status(error) in (409, 412) and code(error) not in ("OperationAborted", "BucketAlreadyExists")


def clock_apart_s(answer: dict[str, Any]) -> float | None:
    """By how many seconds this machine's clock is ahead of the server's, from its Date header; None when unknown."""
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        return (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds()
    except (TypeError, ValueError):
        return None


def refusal(store: str, place: str, error: Exception, doing: str) -> StoreError:
    """The store's error for what happened while `doing` (e.g. "writing a/b.mp4"). place: its URL, without secrets."""
    what = f"Store {store} at {place}: {doing} failed ({_said(error)})."
    if isinstance(error, ClientError):
        return _answered(what, error)
    if isinstance(error, _NO_KEYS):
        return StoreDenied(what, "Give the store a conn_id in sites.yaml whose connection holds an access key.")
    if isinstance(error, _SETTINGS):
        return StoreDenied(what, "Correct the connection of the store: region_name, profile_name, endpoint_url.")
    if isinstance(error, boto.SSLError):
        return StoreDenied(
            what, "Check the server's certificate; `verify` in the connection's extra may name the authority's file."
        )
    if isinstance(error, boto.FlexibleChecksumError):
        return StoreUnreachable(what, "The bytes were changed on their way; it is tried again. Check line and proxy.")
    return StoreUnreachable(
        what, "Check the line and that the server is on; what is waiting goes on by itself when it answers again."
    )


def _answered(what: str, error: ClientError) -> StoreError:
    found, number = code(error), status(error)
    apart = clock_apart_s(error.response)
    if found == "RequestTimeTooSkewed" or (number == 403 and apart is not None and abs(apart) > CLOCK_S):
        off = "" if apart is None else f" They are {abs(apart) / 60:.0f} minutes apart now."
        return StoreDenied(what, f"Set this machine's clock and the server's by NTP.{off}")
    if found == "NoSuchBucket":
        return StoreDenied(what, "Make the bucket, or correct the store's url in sites.yaml.")
    message = str(error.response.get("Error", {}).get("Message", "")).lower()
    if found in _FULL or number == 507 or any(words in message for words in _FULL_WORDS):
        return StoreFull(what, "Free space on it or enlarge it; what is waiting is copied by the next run.")
    if found in _CREDENTIALS or number == 401:
        return StoreDenied(what, "Check access key and secret key of the store's connection; they may be revoked.")
    if found.startswith("KMS."):
        return StoreDenied(what, "Check that the key of the store's `encryption` exists, is enabled and may be used.")
    if found in _ASLEEP:
        return RestoreNeeded(
            what,
            "It lies in cold storage and has to be restored first, which takes hours: ask for it on the recording's"
            " page in the viewer, then try again.",
        )
    if found in _RIGHTS or number == 403:
        return StoreDenied(
            what,
            f"Allow this key {s3_rights.missing(error)}; docs/policies has all that is needed.",
        )
    if found in _BUSY or number == 429:
        return StoreUnreachable(what, "The server asks for fewer requests; it is tried again later by itself.")
    if found in _CHANGED:
        return StoreUnreachable(
            what, "The bytes were changed on their way and not stored; they are sent again. Check line and memory."
        )
    if found in _OTHER_REGION or number in (301, 307):
        return StoreDenied(what, "Set region_name in the connection's extra to the bucket's region.")
    if found in _UNKNOWN_TO_SERVER or number == 501:
        return StoreError(what, "The server does not know what was asked; `vms stores check` says what it lacks.")
    if found in _LINE or number >= 500 or number == 0:
        full = " or is full (some servers say so in no other way)" if found in _FULL_OR_BROKEN else ""
        return StoreUnreachable(
            what, f"The server has a fault{full}; it is tried again. If it stays, look into its log."
        )
    return StoreError(what, "Look up this answer in the server's log.")


def _said(error: Exception) -> str:
    if not isinstance(error, ClientError):
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    message = " ".join(str(error.response.get("Error", {}).get("Message", "")).split())[:200]
    return f"{code(error) or status(error)}: {message}" if message else str(code(error) or status(error))
