"""Signed links (V4) to objects of Google Cloud Storage: by the account's own key, or by Google for it (signBlob)."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from google.auth import credentials as auth
from google.auth import exceptions, iam
from google.auth.transport.requests import Request

from vms.stores.links import CanNotSign

_GOOGLE = "https://storage.googleapis.com"
_SIGN_SCOPE = "https://www.googleapis.com/auth/iam"
_NOT_AGAIN_S = 300.0

_refused: dict[str, float] = {}
"""When Google last refused to sign for an account: it is not asked at every request."""


def link(blob: Any, lasts_s: int, media_type: str, disposition: str, address: str = "") -> str:
    """The address of this object for so many seconds. Raises CanNotSign."""
    own = "." not in blob.bucket.name and not address and blob.client.api_endpoint == _GOOGLE
    signer = _signer(blob.client._credentials)
    try:
        return str(
            blob.generate_signed_url(
                version="v4",
                expiration=timedelta(seconds=lasts_s),
                method="GET",
                response_type=media_type,
                response_disposition=disposition,
                api_access_endpoint=address or None,
                virtual_hosted_style=own,  # so that a page may go to this bucket and to no other
                credentials=signer,
            )
        )
    except exceptions.GoogleAuthError as error:
        _refused[signer.signer_email] = time.monotonic()
        raise CanNotSign(
            f"Google does not sign for {signer.signer_email} ({type(error).__name__}).",
            "Give the account the role Service Account Token Creator on itself, or a key of its own.",
        ) from None


class _ByGoogle(auth.Signing):
    """The account of this machine, which has no key: Google signs for it."""

    def __init__(self, of: Any) -> None:
        self._email = str(of.service_account_email)
        scoped = of.with_scopes([_SIGN_SCOPE]) if isinstance(of, auth.Scoped) else of
        self._signer = iam.Signer(Request(), scoped, self._email)

    @property
    def signer(self) -> Any:
        return self._signer

    @property
    def signer_email(self) -> str:
        return self._email

    def sign_bytes(self, message: bytes) -> bytes:
        return bytes(self._signer.sign(message))


def _signer(credentials: Any) -> Any:
    if isinstance(credentials, auth.Signing):
        return credentials
    email = str(getattr(credentials, "service_account_email", "") or "")
    if "@" not in email and hasattr(credentials, "refresh") and email:
        try:
            credentials.refresh(Request())  # the machine's own account is called "default" until then
            email = str(credentials.service_account_email)
        except exceptions.GoogleAuthError:
            email = ""
    if "@" not in email:
        raise CanNotSign("This account has no key.", "Give the connection the key of a service account.")
    if time.monotonic() - _refused.get(email, -_NOT_AGAIN_S) < _NOT_AGAIN_S:
        raise CanNotSign(f"Google does not sign for {email}.", "See `vms stores check`.")
    return _ByGoogle(credentials)
