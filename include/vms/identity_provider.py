"""The company's identity provider (OpenID Connect): where it sends people, and what its word about them is worth.

The authorization code flow with PKCE. Its word is believed when its own key signed it for this viewer, for this try,
and not long ago. What follows from it (a name, groups) is decided here; accounts are the catalogue's business.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, KeySetSerialization

from vms.config_sign_in import SignInPolicy, is_loopback
from vms.errors import StoreDenied, VmsError
from vms.stores.connections import connection

log = logging.getLogger(__name__)

NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}\Z")
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures with a key that only the provider has; "none" and shared secrets are none of these."""

_PATIENCE_S = 10.0
_FRESH_S = 3600.0
_KEYS_AGAIN_S = 30.0
_LEEWAY_S = 60
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class ProviderAway(VmsError):
    """The provider does not answer, or not as a provider does."""


class NotProven(VmsError):
    """What came back does not prove who somebody is."""


class NotAdmitted(VmsError):
    """It is proven who they are, but they may not come in. why: a code for the log."""

    def __init__(self, message: str, remedy: str, why: str, name: str = "") -> None:
        super().__init__(message, remedy)
        self.why, self.name = why, name


@dataclass(frozen=True)
class Person:
    """Who the provider says somebody is. subject: its own name for them, for ever. role: "" for none."""

    subject: str
    name: str
    role: str


class Provider:
    """One provider as this process knows it; what it says of itself is kept for an hour."""

    def __init__(self, policy: SignInPolicy) -> None:
        self.policy = policy
        self._lock = threading.Lock()
        self._facts: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None

    def start(self, back: str, state: str, nonce: str, verifier: str) -> str:
        """Where to send somebody. back: our address for what they bring back. Raises ProviderAway, StoreDenied."""
        session = self._session(back)
        address, _ = session.create_authorization_url(
            self._endpoint("authorization_endpoint"), state=state, code_verifier=verifier, nonce=nonce
        )
        return str(address)

    def person(self, back: str, code: str, nonce: str, verifier: str) -> Person:
        """Whose code this is. Raises ProviderAway, StoreDenied, NotProven, NotAdmitted."""
        session = self._session(back)
        try:
            token = session.fetch_token(
                self._endpoint("token_endpoint"),
                grant_type="authorization_code",
                code=code,
                code_verifier=verifier,
                allow_redirects=False,
            )
        except OAuthError as error:
            raise NotProven(f"The provider does not take the code ({error.error}).", "Sign in again.") from error
        except (requests.RequestException, ValueError) as error:
            raise self._away(error) from error
        claims = self._claims(str(token.get("id_token") or ""), nonce, session.client_id)
        claims = self._with_userinfo(session, claims)
        return person_of(self.policy, claims)

    def leave(self, back: str) -> str:
        """Where to sign out with the provider, too; `back` when it has no such place. Raises ProviderAway."""
        place = self.facts().get("end_session_endpoint")
        if not isinstance(place, str) or not _is_safe(place):
            return back
        told = {"client_id": self._client()[0], "post_logout_redirect_uri": back}
        return f"{place}{'&' if '?' in place else '?'}{urlencode(told)}"

    def facts(self) -> dict[str, Any]:
        """What the provider says of itself. Raises ProviderAway."""
        with self._lock:
            if self._facts is None or time.monotonic() - self._facts[0] > _FRESH_S:
                self._facts = (time.monotonic(), self._ask_facts())
            return self._facts[1]

    def check(self) -> None:
        """Raises VmsError when nobody could sign in by it now."""
        self._client()
        self.facts()
        self._key_set(again=True)

    def _ask_facts(self) -> dict[str, Any]:
        found = self._get(f"{self.policy.issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != self.policy.issuer:
            raise ProviderAway(
                f"The provider at {self.policy.issuer} calls itself {str(found.get('issuer'))[:200]!r}.",
                "Write sign_in.issuer in sites.yaml exactly as the provider does.",
            )
        for name in _ENDPOINTS:
            if not isinstance(found.get(name), str) or not _is_safe(found[name]):
                raise ProviderAway(
                    f"The provider at {self.policy.issuer} tells no {name} with https.", "Check its own settings."
                )
        return found

    def _endpoint(self, name: str) -> str:
        return str(self.facts()[name])

    def _client(self) -> tuple[str, str]:
        kept = connection(self.policy.conn_id)
        if not kept.login:
            raise StoreDenied(
                f"The connection {self.policy.conn_id} has no login, which must be the client id.",
                'Write it as {"conn_type": "oidc", "login": "<client id>", "password": "<client secret>"}.',
            )
        return kept.login, kept.password

    def _session(self, back: str) -> OAuth2Session:
        client_id, secret = self._client()
        known = self.facts().get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        method = "client_secret_basic" if "client_secret_basic" in known else "client_secret_post"
        session = OAuth2Session(
            client_id,
            secret or None,
            token_endpoint_auth_method=method if secret else "none",
            scope="openid profile email",
            redirect_uri=back,
            code_challenge_method="S256",
            default_timeout=_PATIENCE_S,
        )
        session.trust_env = self._trusts_environment
        return session

    @property
    def _trusts_environment(self) -> bool:
        """A proxy of the environment is for the world outside."""
        return not is_loopback(urlsplit(self.policy.issuer).hostname or "")

    def _get(self, address: str, token: str = "") -> dict[str, Any]:
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        try:
            with requests.Session() as session:
                session.trust_env = self._trusts_environment
                answer = session.get(address, timeout=_PATIENCE_S, headers=headers, allow_redirects=False)
                answer.raise_for_status()
                found = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise self._away(error) from error
        if answer.status_code != 200 or not isinstance(found, dict):
            raise self._away(f"{address} answers {answer.status_code}")
        return found

    def _away(self, error: object) -> ProviderAway:
        return ProviderAway(
            f"The identity provider {self.policy.issuer} does not answer as one ({error}).",
            "It is asked again at the next try; local accounts work meanwhile.",
        )

    def _key_set(self, *, again: bool = False) -> KeySet:
        with self._lock:
            kept = self._keys
        age = time.monotonic() - kept[0] if kept else _FRESH_S
        if kept is not None and age < (_KEYS_AGAIN_S if again else _FRESH_S):
            return kept[1]
        try:
            keys = KeySet.import_key_set(cast(KeySetSerialization, self._get(self._endpoint("jwks_uri"))))
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise self._away(error) from error
        with self._lock:
            self._keys = (time.monotonic(), keys)
        return keys

    def _claims(self, id_token: str, nonce: str, client_id: str) -> dict[str, Any]:
        try:
            try:
                claims = jwt.decode(id_token, self._key_set(), _ALGORITHMS).claims
            except (JoseError, ValueError):  # the provider may have other keys since
                claims = jwt.decode(id_token, self._key_set(again=True), _ALGORITHMS).claims
            jwt.JWTClaimsRegistry(
                leeway=_LEEWAY_S,
                iss={"essential": True, "value": self.policy.issuer},
                aud={"essential": True, "value": client_id},
                sub={"essential": True},
                exp={"essential": True},
                iat={"essential": True},
                nonce={"essential": True, "value": nonce},
            ).validate(claims)
        except (JoseError, ValueError, TypeError) as error:
            raise NotProven(f"The provider's word is not to be believed ({error}).", "Sign in again.") from error
        for_others = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", "" if for_others else client_id) != client_id or not isinstance(claims["nonce"], str):
            raise NotProven("The provider's word was meant for another client.", "Sign in again.")
        return claims

    def _with_userinfo(self, session: OAuth2Session, claims: dict[str, Any]) -> dict[str, Any]:
        """Some providers put into the token only who it is, and the rest behind another address."""
        wanted = {self.policy.name_claim, *([self.policy.groups_claim] if self.policy.roles else [])}
        place = self.facts().get("userinfo_endpoint")
        if wanted <= claims.keys() or not isinstance(place, str) or not _is_safe(place):
            return claims
        more = self._get(place, str((session.token or {}).get("access_token", "")))
        if more.get("sub") != claims["sub"]:
            raise NotProven("The provider speaks of two people at once.", "Sign in again.")
        return more | claims


def person_of(policy: SignInPolicy, claims: Mapping[str, Any]) -> Person:
    """Who it is here. Raises NotAdmitted."""
    told = claims.get(policy.name_claim)
    name = told.strip().lower() if isinstance(told, str) else ""
    if policy.name_claim == "email" and claims.get("email_verified") is not True:
        raise NotAdmitted("The provider has not verified this e-mail address.", "Verify it there.", "email")
    account, _, domain = name.rpartition("@")
    if policy.domains:
        homes = {domain} | ({str(claims.get("hd", "")).lower()} if policy.is_open_to_the_world else set())
        if not account or not homes <= set(policy.domains):
            raise NotAdmitted(f"{name!r} is of another domain.", "sign_in.domains says which are let in.", "domain")
        if len(policy.domains) == 1:
            name = account
    if not NAME.match(name):
        raise NotAdmitted(
            f"The claim {policy.name_claim} holds no name for a user.",
            "sign_in.name_claim says which is taken.",
            "name",
        )
    return Person(str(claims["sub"])[:255], name, policy.role_of(_groups(claims.get(policy.groups_claim))))


def _groups(told: object) -> list[str]:
    some = told if isinstance(told, list) else [told]
    return [one for one in some if isinstance(one, str)]


def _is_safe(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
