"""What Google Cloud Storage and the line to it say when something fails: what it means, and whether waiting helps.

No message repeats an address as it was requested: the address of an upload session is as good as a password.
"""

from __future__ import annotations

import http
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

import requests
import urllib3
from google.api_core import exceptions as api
from google.api_core.retry import Retry
from google.auth import exceptions as auth
from google.cloud.storage.exceptions import InvalidResponse

from vms.errors import StoreDenied, StoreError, StoreUnreachable

PATIENCE_S = 60.0
"""How long a store that does not answer, or is too busy, is asked again before it counts as unreachable."""

CONNECT_S = 20
ANSWER_S = 60
TIMEOUT = (CONNECT_S, ANSWER_S)
"""How long a connection may take, and how long any answer to a request without much content."""

ERRORS = (api.GoogleAPIError, auth.GoogleAuthError, requests.RequestException, urllib3.exceptions.HTTPError, OSError)
"""Everything that the client library raises for what is not a mistake in this program."""

_BUSY = {408, 429, 500, 502, 503, 504}
_TOO_FAST = {"rateLimitExceeded", "userRateLimitExceeded"}
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 16.0

_T = TypeVar("_T")


class Patience:
    """Waits between tries, longer each time, until PATIENCE_S have gone by since the first failure in a row."""

    def __init__(self) -> None:
        self._until: float | None = None
        self._wait = _FIRST_WAIT_S

    def got_on(self) -> None:
        self._until = None
        self._wait = _FIRST_WAIT_S

    def wait(self, error: Exception) -> None:
        """Sleep before the next try. Raises the error itself when waiting does not help or has lasted long enough."""
        now = time.monotonic()
        if self._until is None:  # from here on: one part on a slow line may have taken longer than that
            self._until = now + PATIENCE_S
        if not passes(error) or now >= self._until:
            raise error
        time.sleep(random.uniform(0, self._wait))  # noqa: S311  many uploaders must not come back in step
        self._wait = min(2 * self._wait, _LONGEST_WAIT_S)


def retry() -> Retry:
    """For the client library: what is worth another try, and for how long."""
    return Retry(predicate=passes, initial=_FIRST_WAIT_S, maximum=_LONGEST_WAIT_S, multiplier=2.0, timeout=PATIENCE_S)


def retried(doing: Callable[[], _T]) -> _T:
    """The result of `doing`, which is done again as `retry` says."""
    patience = Patience()
    while True:
        try:
            return doing()
        except ERRORS as error:
            patience.wait(error)


def passes(error: BaseException) -> bool:
    """Whether the cause may go away by itself: the line, a busy server, too many requests."""
    if isinstance(error, api.GoogleAPICallError):
        return error.code in _BUSY or bool(_reasons(error) & _TOO_FAST)
    if isinstance(error, InvalidResponse):  # what a download is answered, before the library names it
        return error.response.status_code in _BUSY
    if isinstance(error, auth.GoogleAuthError):
        return isinstance(error, (auth.TransportError, auth.TimeoutError)) or error.retryable
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema)):
        return False
    return isinstance(error, (requests.RequestException, urllib3.exceptions.HTTPError, ConnectionError, TimeoutError))


def refusal(store: str, url: str, bucket: str, error: Exception, doing: str) -> StoreError:
    """The store's error for what was raised while `doing` (e.g. "writing a/b.mp4")."""
    if isinstance(error, api.RetryError) and isinstance(error.cause, Exception):
        error = error.cause
    if isinstance(error, InvalidResponse):
        error = said_no(error.response)
    what = f"Store {store} at {url}: {doing} failed ({_said(error)})."
    if passes(error):
        return StoreUnreachable(
            what,
            "Check the line to Google Cloud Storage and its status page; what is waiting is copied by the next run.",
        )
    if isinstance(error, (auth.GoogleAuthError, api.Unauthorized)):
        return StoreDenied(
            what,
            "Check its connection's credentials and this machine's clock; make a new key if the old one is revoked.",
        )
    if isinstance(error, (api.Forbidden, api.BadRequest, api.NotFound)) and "kms" in _said(error).lower():
        return StoreDenied(
            what,
            "See that the key of the store's `encryption` exists in the bucket's place, and give the project's Cloud"
            " Storage service agent the role Cloud KMS CryptoKey Encrypter/Decrypter on it.",
        )
    if isinstance(error, api.Forbidden):
        return StoreDenied(
            what,
            f"Give its account the role Storage Object User on bucket {bucket}, and see that its project is billed.",
        )
    if isinstance(error, api.NotFound):
        return StoreDenied(
            what, f"Make the bucket {bucket}, or name the right one in sites.yaml. Nothing was written elsewhere."
        )
    return StoreError(what, "Look into the audit log of the bucket for this request.")


def said_no(response: Any) -> api.GoogleAPICallError:
    """The error of an HTTP answer that is none of the expected ones."""
    error: api.GoogleAPICallError = api.from_http_response(response)
    return error


def _said(error: Exception) -> str:
    if isinstance(error, api.GoogleAPICallError):
        code = int(error.code or 0)
        words = next((one["message"] for one in _details(error) if isinstance(one.get("message"), str)), "")
        phrase = http.HTTPStatus(code).phrase if code in http.HTTPStatus._value2member_map_ else "unknown answer"
        return f"{code} {words[:300] or phrase}"
    if isinstance(error, auth.GoogleAuthError):
        return f"no access token: {type(error).__name__}"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return type(error).__name__


def _details(error: api.GoogleAPICallError) -> list[dict[str, Any]]:
    """What the store wrote about it. Some of the library's errors only hold the answer itself."""
    found: Any = error.errors
    if not found and error.response is not None:
        try:
            found = error.response.json()["error"]["errors"]
        except (ValueError, TypeError, KeyError, requests.RequestException):
            found = ()
    return [one for one in found or () if isinstance(one, dict)]


def _reasons(error: api.GoogleAPICallError) -> set[str]:
    return {str(one.get("reason")) for one in _details(error)}
