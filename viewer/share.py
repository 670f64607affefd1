"""The page of a link to one export, for whoever has it: what it is, how large, until when; and the way to take it.

No account is asked for and none of the viewer's other pages opens with it. The ZIP comes as the answer to the page's
form, so that programs that look at links do not take it, and a PIN is never part of an address.
"""

from __future__ import annotations

import html
import logging
import re

import psycopg2
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from viewer import formats, forms, taking
from viewer.database import AWAY, Pool
from viewer.i18n import LANGUAGE_NAMES, Words, choose_language
from viewer.media import Refusal
from viewer.plain_page import FRAME, HEADERS
from vms import passwords
from vms.catalogue import reads, sessions, shares
from vms.catalogue.shares import Shared
from vms.home import Home

log = logging.getLogger(__name__)

PATH = re.compile(r"/share/[A-Za-z0-9_-]{43}")
SHORTEST_PIN, LONGEST_PIN = 6, 64
_ALL = "*"
"""The scope of who has a link: the catalogue is asked for that one export only."""


class _Wrong(Exception):
    """Not with this PIN: the HTTP status and the key of its words. wait_s: how long to wait before another try."""

    def __init__(self, status: int, key: str, wait_s: int = 0) -> None:
        super().__init__(status, key, wait_s)
        self.status, self.key, self.wait_s = status, key, wait_s


def routes(home: Home, pool: Pool) -> list[Route]:
    """The page of a link, and what its form is answered with."""

    async def page(request: Request) -> Response:
        try:
            shared = await run_in_threadpool(_find, pool, request, "opened")
        except (*AWAY, psycopg2.Error):
            return _away(request)
        return _page(request, shared, 200) if shared else _ended(request)

    async def take(request: Request) -> Response:
        try:
            shared = await run_in_threadpool(_find, pool, request, "")
            if shared is None:
                return _ended(request)
            pin = await _pin(request)
            return await run_in_threadpool(_take, home, pool, request, shared, pin)
        except _Wrong as wrong:
            return _page(request, shared, wrong.status, wrong) if shared else _ended(request)
        except Refusal:
            return _ended(request)
        except (*AWAY, psycopg2.Error) as error:
            log.warning("An export can't be handed out, the catalogue does not answer: %s", error)
            return _away(request)

    return [Route("/share/{token}", page, methods=["GET"]), Route("/share/{token}", take, methods=["POST"])]


def _find(pool: Pool, request: Request, counted: str) -> Shared | None:
    with pool.connection(_ALL) as conn:
        shared = shares.find_share(conn, request.path_params["token"])
        if shared and counted == "opened" and request.method == "GET":
            shares.count_share(conn, shared.share_id, "opened")
    return shared


async def _pin(request: Request) -> str:
    """The PIN of the form, "" when there is none. Raises _Wrong when that is no form of ours."""
    try:
        return (await forms.fields(request)).get("pin", "").strip()[:LONGEST_PIN]
    except forms.BadForm as bad:
        raise _Wrong(bad.status, "share.wrong") from None


def _take(home: Home, pool: Pool, request: Request, shared: Shared, pin: str) -> Response:
    address = request.client.host if request.client else ""
    who = f"link {shared.share_id}"
    told = {"export": shared.export_id, "share": shared.share_id}
    if shared.pin is not None:
        _require_pin(pool, shared, pin, who, address)

    def still() -> bool:
        try:
            return _find(pool, request, "") is not None
        except (*AWAY, psycopg2.Error):
            return False

    password = pin if shared.locked else ""
    answer = taking.zip_of(
        home, shared.export_id, shared.from_utc, shared.time_zone, still, is_head=False, password=password
    )
    with pool.connection(_ALL) as conn:
        shares.count_share(conn, shared.share_id, "taken")
        reads.log_view(conn, who, "share_taken", None, None, told, address)
    return answer


def _require_pin(pool: Pool, shared: Shared, pin: str, who: str, address: str) -> None:
    """Each try is counted before it is looked at. Raises _Wrong."""
    with pool.connection(_ALL) as conn:
        counted = sessions.begin_try(conn, who, address)
    if counted.wait_s:
        raise _Wrong(429, "sign_in.wait", counted.wait_s)
    if not passwords.is_right_now(pin, shared.pin):
        with pool.connection(_ALL) as conn:
            shares.count_share(conn, shared.share_id, "wrong")
            detail = {"export": shared.export_id, "share": shared.share_id}
            reads.log_view(conn, who, "share_refused", None, None, detail, address)
        raise _Wrong(403, "share.wrong")
    with pool.connection(_ALL) as conn:
        sessions.forgive(conn, who, address)


def _words(request: Request) -> Words:
    return Words(choose_language(request.query_params.get("lang"), request.headers.get("accept-language")))


def _answer(request: Request, words: Words, body: str, status: int, wait_s: int = 0) -> Response:
    others = " ".join(
        f'<a href="{html.escape(request.url.path)}?lang={lang}" lang="{lang}">{html.escape(name)}</a>'
        for lang, name in LANGUAGE_NAMES.items()
        if lang != words.lang
    )
    head = f"<title>{html.escape(words('share.title'))}</title>"
    page = FRAME.format(lang=words.lang, head=head, body=f"{body}<nav>{others}</nav>")
    more = {"X-Robots-Tag": "noindex, nofollow"} | ({"Retry-After": str(wait_s)} if wait_s else {})
    return HTMLResponse(page, status, HEADERS | more)


def _page(request: Request, shared: Shared, status: int, wrong: _Wrong | None = None) -> Response:
    words = _words(request)
    said = ""
    if wrong:
        minutes = formats.number(words, -(-wrong.wait_s // 60))
        said = f'<p class="said" role="alert">{html.escape(words(wrong.key, minutes=minutes))}</p>'
    facts = [
        (words("exports.cameras"), ", ".join(shared.cameras)),
        (words("exports.from"), formats.moment(words, shared.from_utc, shared.time_zone)),
        (words("exports.to"), formats.moment(words, shared.to_utc, shared.time_zone)),
        (words("exports.size"), formats.size(words, shared.size_bytes)),
        (words("share.until"), formats.moment(words, shared.until, shared.time_zone)),
    ]
    lines = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>" for name, text in facts)
    ask = ""
    if shared.pin is not None:
        ask = (
            f'<label for="pin">{html.escape(words("share.pin"))}</label><input id="pin" name="pin" type="password"'
            f' maxlength="{LONGEST_PIN}" autocomplete="off" required autofocus>'
        )
    told = [words(key) for key, is_so in (("share.locked", shared.locked), ("share.check", shared.evidence)) if is_so]
    check = "".join(f'<p class="help">{html.escape(text)}</p>' for text in told)
    body = (
        f'<img src="/favicon.png" alt="" width="44" height="44"><h1>{html.escape(words("share.title"))}</h1>'
        f'<p class="sub">{html.escape(words("app.subtitle"))}</p>{said}<dl>{lines}</dl>'
        f'<form method="post" action="{html.escape(request.url.path)}?lang={words.lang}">{ask}'
        f"<button>{html.escape(words('share.take'))}</button></form>{check}"
    )
    return _answer(request, words, body, status, wrong.wait_s if wrong else 0)


def _ended(request: Request) -> Response:
    """The same words for a link that never was, has ended, was revoked, or whose export is gone."""
    words = _words(request)
    body = f"<h1>{html.escape(words('share.ended'))}</h1><p>{html.escape(words('share.ended.text'))}</p>"
    return _answer(request, words, body, 404)


def _away(request: Request) -> Response:
    words = _words(request)
    return _answer(request, words, f"<p>{html.escape(words('media.catalogue_away'))}</p>", 503, 30)
