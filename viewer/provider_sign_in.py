"""Signing in by the company's identity provider: there and back, into the same session and cookie as by a password.

Each try has a cookie of its own, sealed by this viewer, which holds what the answer must fit to. Without it an answer
counts for nothing, so nobody can be signed in by an answer that was made for somebody else.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

import psycopg2
from itsdangerous import BadData, URLSafeTimedSerializer
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from viewer.database import AWAY, NOBODY, Pool
from vms.catalogue import reads, sessions
from vms.config import load_config
from vms.config_sign_in import SignInPolicy
from vms.errors import ConfigError, StoreDenied
from vms.home import Home
from vms.identity_provider import NotAdmitted, NotProven, Provider, ProviderAway

log = logging.getLogger(__name__)

START, BACK, OUT = "/sign-in/start", "/sign-in/back", "/sign-in/out"
PATHS = frozenset({START, BACK, OUT})
_TRY_S = 600

_kept: Provider | None = None
_lock = threading.Lock()


class Refused(Exception):
    """Nobody was let in: the HTTP status and the key of its words. wait_s: how long to wait before another try."""

    def __init__(self, status: int, key: str, wait_s: int = 0) -> None:
        super().__init__(status, key, wait_s)
        self.status, self.key, self.wait_s = status, key, wait_s


Begun = Callable[[Request, str, str], Response]
"""The answer that hands out a session: by the request, its token, and where the person wanted to go."""

Say = Callable[[Request, Refused], Response]
"""The page that says why nobody was let in."""


def policy(home: Home) -> SignInPolicy | None:
    """What sites.yaml says now; None: people sign in with a password only."""
    try:
        return load_config(home.sites_file).sign_in
    except ConfigError:
        return None


def routes(home: Home, pool: Pool, begun: Begun, say: Say) -> list[Route]:
    """The routes to the provider, back from it, and to sign out there."""

    async def start(request: Request) -> Response:
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        try:
            provider = _provider(home)
            address = await run_in_threadpool(provider.start, _here(request, BACK), state, nonce, verifier)
        except Refused as refused:
            return say(request, refused)
        except (ProviderAway, StoreDenied) as error:
            return say(request, _away(error))
        wanted = {name: request.query_params.get(name, "")[:2000] for name in ("next", "lang")}
        answer = RedirectResponse(address, 303, {"Cache-Control": "no-store"})
        answer.set_cookie(
            _cookie(home, state),
            _seal(home).dumps({"state": state, "nonce": nonce, "verifier": verifier, **wanted}),
            max_age=_TRY_S,
            path="/sign-in",
            secure=request.scope["scheme"] == "https",
            httponly=True,
            samesite="lax",  # the provider sends people back from its own site
        )
        return answer

    async def back(request: Request) -> Response:
        asked = dict(request.query_params)
        cookie = _cookie(home, asked.get("state", ""))
        try:
            begun_with = _seal(home).loads(request.cookies.get(cookie, ""), max_age=_TRY_S)
        except BadData:
            return say(request, Refused(403, "sign_in.stale"))
        wanted = {name: begun_with[name] for name in ("next", "lang")}
        as_wanted = Request(request.scope | {"query_string": urlencode(wanted).encode()})
        try:
            token = await run_in_threadpool(_admit, home, pool, request, asked, begun_with)
            answer = begun(as_wanted, token, wanted["next"])
        except Refused as refused:
            answer = say(as_wanted, refused)
        except (ProviderAway, StoreDenied) as error:
            answer = say(as_wanted, _away(error))
        except (*AWAY, psycopg2.Error) as error:
            log.warning("Nobody can sign in, the catalogue does not answer: %s", error)
            answer = say(as_wanted, Refused(503, "media.catalogue_away"))
        answer.delete_cookie(cookie, path="/sign-in")
        return answer

    async def out(request: Request) -> Response:
        try:
            place = await run_in_threadpool(_provider(home).leave, _here(request, "/sign-in"))
        except Refused as refused:
            return say(request, refused)
        except (ProviderAway, StoreDenied) as error:
            return say(request, _away(error))
        return RedirectResponse(place, 303, {"Cache-Control": "no-store"})

    return [Route(START, start, methods=["GET"]), Route(BACK, back, methods=["GET"]), Route(OUT, out, methods=["GET"])]


def _admit(home: Home, pool: Pool, request: Request, asked: Mapping[str, str], begun_with: Mapping[str, str]) -> str:
    """The token of a new session. Raises Refused, ProviderAway, StoreDenied, or one of AWAY."""
    provider = _provider(home)
    policy = provider.policy
    state = begun_with["state"]
    address = request.client.host if request.client else ""
    if not hmac.compare_digest(state, asked.get("state", "")):
        raise Refused(403, "sign_in.stale")
    with pool.connection(NOBODY) as conn:
        counted = sessions.begin_try(conn, state, address)  # each try has a name of its own: only the address counts
    if counted.wait_s:
        raise Refused(429, "sign_in.wait", counted.wait_s)

    def refuse(why: str, name: str, key: str) -> Refused:
        with pool.connection(NOBODY) as conn:
            reads.log_view(conn, name, "sign_in_failed", None, None, {"provider": why}, address)
        return Refused(403, key)

    if "error" in asked or "code" not in asked:
        log.warning("The identity provider lets somebody not in: %s", asked.get("error", "")[:200])
        raise refuse("refused", "", "sign_in.provider_refused")
    if asked.get("iss", policy.issuer) != policy.issuer:
        raise refuse("proof", "", "sign_in.not_proven")
    try:
        person = provider.person(_here(request, BACK), asked["code"], begun_with["nonce"], begun_with["verifier"])
    except NotProven as error:
        log.warning("Somebody could not prove who they are: %s", error)
        raise refuse("proof", "", "sign_in.not_proven") from None
    except NotAdmitted as error:
        log.warning("Somebody is not let in: %s", error)
        raise refuse(error.why, "", "sign_in.not_admitted") from None
    with pool.connection(NOBODY) as conn:
        entered = sessions.enter_by_provider(
            conn,
            policy.issuer,
            person.subject,
            person.name,
            person.role,
            address,
            may_make=policy.create,
            everywhere=policy.everywhere,
            sees=policy.sees,
        )
    if entered.user_id is None:
        log.warning("%s is not let in: %s", person.name, entered.how)
        raise refuse(entered.how, entered.name or person.name, "sign_in.not_admitted")
    with pool.connection(NOBODY) as conn:
        sessions.forgive(conn, state, address)
        token = sessions.begin_session(conn, entered.user_id, address, request.headers.get("user-agent", ""))
        reads.log_view(conn, entered.name or "", "sign_in", None, None, {"provider": True}, address)
    return token


def _provider(home: Home) -> Provider:
    """The provider of sites.yaml as it is now. Raises Refused when there is none."""
    global _kept  # what it said of itself is good for every request
    found = policy(home)
    if found is None:
        raise Refused(404, "sign_in.no_provider")
    with _lock:
        if _kept is None or _kept.policy != found:
            _kept = Provider(found)
        return _kept


def _seal(home: Home) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(home.secret("viewer_form"), salt="provider")


def _cookie(home: Home, state: str) -> str:
    """Of one try, so that several tabs may try at once."""
    return f"vms_try_{home.viewer_port}_{hashlib.sha256(state.encode()).hexdigest()[:12]}"


def _here(request: Request, path: str) -> str:
    """Our own address, under the name by which the browser reached us; the guard lets known names in only."""
    return f"{request.url.scheme}://{request.url.netloc}{path}"


def _away(error: Exception) -> Refused:
    log.warning("Nobody can sign in by the identity provider: %s", error)
    return Refused(503, "sign_in.provider_away")
