"""Signing in and out: plain pages without any script, and the cookie that all else stands behind.

The answer to a wrong name and to a wrong password is the same, after the same time. Tries are counted before the
password is looked at, at most two passwords are looked at at once (each takes 64 MiB), and a form counts only when this
viewer has handed it to this browser.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import logging
import secrets
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import quote

import psycopg2
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from viewer import assets, formats, forms, provider_sign_in, visitor
from viewer.database import AWAY, NOBODY, Pool
from viewer.i18n import LANGUAGE_NAMES, Words, choose_language
from viewer.plain_page import FRAME, HEADERS
from viewer.provider_sign_in import Refused
from viewer.security import is_own
from vms import passwords
from vms.catalogue import reads, sessions
from vms.config_sign_in import SignInPolicy
from vms.home import Home
from vms.stack.addresses import airflow_pages

log = logging.getLogger(__name__)

PATH = "/sign-in"
_OUT = "/sign-out"
PATHS = frozenset({PATH}) | provider_sign_in.PATHS
"""By which people come in."""

AHEAD = assets.ahead()
"""What the browser fetches while the form is filled in, so that the first page is there at once."""

_HINTS = "".join(f'<link rel="prefetch" href="{path}">' for path in AHEAD)

_FORM_S = 3600


def cookie_name(scope: MutableMapping[str, Any], port: int) -> str:
    """Browsers do not keep ports apart, so each viewer of a machine names its own; __Host- where there is TLS."""
    return f"{'__Host-' if scope.get('scheme') in ('https', 'wss') else ''}vms_{port}"


def routes(home: Home, pool: Pool) -> list[Route]:
    """The routes by which a person comes in and goes out."""

    async def page(request: Request) -> Response:
        return _elsewhere(home, request) if _in_foreign_frame(request) else _page(home, request, 200)

    async def enter(request: Request) -> Response:
        try:
            form = await _form(home, request)
            token = await run_in_threadpool(_admit, pool, form, _address(request), device_of(request))
        except Refused as refused:
            return say(request, refused)
        except (*AWAY, psycopg2.Error) as error:
            log.warning("Nobody can sign in, the catalogue does not answer: %s", error)
            return _page(home, request, 503, Refused(503, "media.catalogue_away"))
        return begun(request, token, form.get("next", ""))

    def begun(request: Request, token: str, target: str) -> Response:
        answer = RedirectResponse(_local(target), 303, {"Cache-Control": "no-store"})
        answer.set_cookie(
            cookie_name(request.scope, home.viewer_port),
            token,
            max_age=int(sessions.LONGEST.total_seconds()),
            path="/",
            secure=request.scope["scheme"] == "https",
            httponly=True,
            samesite="lax",
        )
        return answer

    def say(request: Request, refused: Refused) -> Response:
        return _page(home, request, refused.status, refused)

    async def leave(request: Request) -> Response:
        token_hash: bytes = request.state.session
        person: visitor.Visitor = request.state.visitor

        def end() -> None:
            with pool.connection(NOBODY) as conn:
                sessions.end_session(conn, token_hash)
                reads.log_view(conn, person.name, "sign_out", None, None, {}, person.address)

        try:
            await run_in_threadpool(end)
        except (*AWAY, psycopg2.Error):
            return PlainTextResponse("The catalogue is away.\n", 503)
        visitor.of(pool).forget(token_hash)
        answer = RedirectResponse(PATH, 303, {"Clear-Site-Data": '"cache"', "Cache-Control": "no-store"})
        answer.delete_cookie(cookie_name(request.scope, home.viewer_port), path="/")
        return answer

    async def still(_request: Request) -> Response:
        return Response(status_code=204, headers={"Cache-Control": "no-store"})

    return [
        Route(PATH, page, methods=["GET"]),
        Route(PATH, enter, methods=["POST"]),
        Route(_OUT, leave, methods=["POST"]),
        Route("/session", still, methods=["GET"]),
        *provider_sign_in.routes(home, pool, begun, say),
    ]


def away(request: Request) -> Response:
    """The catalogue does not answer, so nobody can be let in; the page looks again by itself."""
    words = _words(request)
    text = html.escape(words("media.catalogue_away"))
    page = FRAME.format(lang=words.lang, head='<meta http-equiv="refresh" content="3">', body=f"<p>{text}</p>")
    return HTMLResponse(page, 503, HEADERS | {"Retry-After": "3"})


def device_of(request: Request) -> str:
    """What the browser says of itself."""
    return request.headers.get("user-agent", "")


def _admit(pool: Pool, form: dict[str, str], address: str, device: str) -> str:
    """The token of a new session. Raises Refused, or one of AWAY."""
    name, password = form.get("name", "").strip().lower()[:64], form.get("password", "")[: passwords.LONGEST]
    with pool.connection(NOBODY) as conn:
        counted = sessions.begin_try(conn, name, address)
        if counted.wait_s:
            raise Refused(429, "sign_in.wait", counted.wait_s)
        secret = sessions.secret_of(conn, name)
    right = passwords.is_right_now(password, secret.password)
    with pool.connection(NOBODY) as conn:
        if not right or secret.user_id is None:
            detail = {"limited": True} if counted.is_last else {}
            reads.log_view(conn, secret.name, "sign_in_failed", None, None, detail, address)
            raise Refused(403, "sign_in.wrong")
        sessions.forgive(conn, name, address)
        token = sessions.begin_session(conn, secret.user_id, address, device)
        reads.log_view(conn, secret.name, "sign_in", None, None, {}, address)
    return token


async def _form(home: Home, request: Request) -> dict[str, str]:
    """The fields of a form that this viewer handed to this browser. Raises Refused."""
    try:
        fields = await forms.fields(request)
    except forms.BadForm as bad:
        raise Refused(bad.status, "sign_in.stale") from None
    nonce = request.cookies.get(_form_cookie(home), "")
    if not nonce or not hmac.compare_digest(_seal(home, nonce), fields.get("form", "")) or not is_own(request):
        raise Refused(403, "sign_in.stale")
    return fields


def _page(home: Home, request: Request, status: int, refused: Refused | None = None) -> Response:
    words = _words(request)
    target = _local(request.query_params.get("next", ""))
    provider = provider_sign_in.policy(home)
    nonce = request.cookies.get(_form_cookie(home), "") or secrets.token_urlsafe(18)
    said = ""
    if refused:
        minutes = formats.number(words, -(-refused.wait_s // 60))
        text = words(refused.key, minutes=minutes, provider=_label(words, provider))
        said = f'<p class="said" role="alert">{html.escape(text)}</p>'
    others = " ".join(
        f'<a href="{PATH}?lang={lang}&amp;next={quote(target, safe="")}" lang="{lang}">{html.escape(name)}</a>'
        for lang, name in LANGUAGE_NAMES.items()
        if lang != words.lang
    )
    wanted = f"?lang={words.lang}&amp;next={quote(target, safe='')}"
    form = _FORM.format(
        action=f"{PATH}{wanted}",
        seal=_seal(home, nonce),
        next=html.escape(target, quote=True),
        focus="" if provider else " autofocus",
        name=html.escape(words("sign_in.name")),
        password=html.escape(words("sign_in.password")),
        button=html.escape(words("sign_in.button")),
        help=html.escape(words("sign_in.help")),
    )
    if provider:
        left = "out" in request.query_params
        form = _BY_PROVIDER.format(
            start=f"{provider_sign_in.START}{wanted}",
            by_provider=html.escape(words("sign_in.by_provider", provider=_label(words, provider))),
            out=_LEFT.format(
                out=provider_sign_in.OUT,
                left=html.escape(words("sign_in.left")),
                text=html.escape(words("sign_in.leave_provider", provider=_label(words, provider))),
            )
            if left
            else "",
            open=" open" if refused and refused.key == "sign_in.wrong" else "",
            local=html.escape(words("sign_in.local")),
            form=form,
        )
    body = _BODY.format(
        said=said,
        others=others,
        form=form,
        title=html.escape(words("sign_in.title")),
        subtitle=html.escape(words("app.subtitle")),
    )
    head = f"<title>{html.escape(words('sign_in.title'))}</title>{_HINTS}"
    more = {"Retry-After": str(refused.wait_s)} if refused and refused.wait_s else {}
    page = HTMLResponse(FRAME.format(lang=words.lang, head=head, body=body), status, _headers(home) | more)
    secure = request.scope["scheme"] == "https"
    page.set_cookie(
        _form_cookie(home), nonce, max_age=_FORM_S, path=PATH, secure=secure, httponly=True, samesite="strict"
    )
    return page


def frame_ancestors(home: Home) -> tuple[str, ...]:
    """The pages that may show the viewer in a frame: this installation's Airflow, by its origins and nothing else."""
    here = tuple(f"http://{name}:{home.airflow_port}" for name in ("127.0.0.1", "localhost"))
    return here if airflow_pages(home) in here else (airflow_pages(home).rstrip("/"), *here)


def _in_foreign_frame(request: Request) -> bool:
    """Whether browsers keep our cookie from this request: the page around the frame is of another site."""
    told = request.headers
    return told.get("sec-fetch-dest") in ("iframe", "frame") and told.get("sec-fetch-site") == "cross-site"


def _elsewhere(home: Home, request: Request) -> Response:
    words = _words(request)
    text = html.escape(words("sign_in.framed", address=airflow_pages(home)))
    page = FRAME.format(lang=words.lang, head="", body=f"<p>{text}</p>")
    return HTMLResponse(page, 403, _headers(home))


def _headers(home: Home) -> dict[str, str]:
    """Those of plain pages, but Airflow may show the form in a frame, as it shows the pages behind it."""
    policy = HEADERS["Content-Security-Policy"]
    framed = policy.replace("frame-ancestors 'none'", f"frame-ancestors {' '.join(frame_ancestors(home))}")
    return HEADERS | {"Content-Security-Policy": framed}


def _words(request: Request) -> Words:
    return Words(choose_language(request.query_params.get("lang"), request.headers.get("accept-language")))


def _form_cookie(home: Home) -> str:
    return f"vms_form_{home.viewer_port}"


def _seal(home: Home, nonce: str) -> str:
    return hmac.new(home.secret("viewer_form").encode(), nonce.encode(), hashlib.sha256).hexdigest()


def _local(target: str) -> str:
    """Where to go after signing in: a place of this viewer, whatever was asked for."""
    plain = target.isprintable() and "\\" not in target and len(target) <= 2000
    inside = target.startswith("/") and not target.startswith(("//", PATH, _OUT, "/m/", "/_stcore", "/session"))
    return target if plain and inside else "/"


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _label(words: Words, provider: SignInPolicy | None) -> str:
    return (provider.label if provider else "") or words("sign_in.provider")


_BODY = """<img src="/favicon.png" alt="" width="44" height="44"><h1>{title}</h1><p class="sub">{subtitle}</p>{said}
{form}<nav>{others}</nav>"""

_FORM = """<form method="post" action="{action}"><input type="hidden" name="form" value="{seal}">
<input type="hidden" name="next" value="{next}">
<label for="name">{name}</label><input id="name" name="name" autocomplete="username" autocapitalize="none"
 spellcheck="false" maxlength="64" required{focus}>
<label for="password">{password}</label><input id="password" name="password" type="password" maxlength="200"
 autocomplete="current-password" required><button>{button}</button></form>
<p class="help">{help}</p>"""

_BY_PROVIDER = """<a class="main" href="{start}">{by_provider}</a>{out}
<details{open}><summary>{local}</summary>{form}</details>"""

_LEFT = """<p class="help">{left} <a href="{out}">{text}</a></p>"""
