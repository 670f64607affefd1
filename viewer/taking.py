"""Handing out a finished export as one ZIP: to who ordered it, under `/m/export/<token>`; `share` does so by links.

It is made from the files on the disk piece by piece, so memory does not grow with it, and looked at every two seconds:
who loses the right in the middle does not get the rest. A password for it is given when it is taken: what no worker,
catalogue or log was ever told can't be found there.
"""

from __future__ import annotations

import html
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import psycopg2
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from viewer import formats, forms, sign_in, tokens, visitor
from viewer.database import AWAY, Pool
from viewer.i18n import Words, choose_language
from viewer.media import Refusal, refusing
from viewer.plain_page import FRAME, HEADERS
from viewer.visitor import Visitor
from vms.catalogue import exports, reads
from vms.catalogue.exports import ExportRow
from vms.errors import ConfigError
from vms.exports import archive
from vms.exports.locking import SHORTEST_PASSWORD
from vms.home import Home

log = logging.getLogger(__name__)

LONGEST_PASSWORD = 200


def routes(home: Home, pool: Pool) -> list[Route]:
    """The route of the ZIP, and of the page that asks for its password."""

    @refusing
    async def export(request: Request) -> Response:
        return await _checked(request, lambda person, number: _answer(home, pool, person, number, request.method))

    @refusing
    async def page(request: Request) -> Response:
        return await _checked(request, lambda person, number: _page(pool, request, person, number, ""))

    @refusing
    async def locked(request: Request) -> Response:
        if not sign_in.is_own(request):
            raise tokens.Forged
        password, again = await _passwords(request)
        problem = "exports.lock.short" if len(password) < SHORTEST_PASSWORD else ""
        problem = problem or ("exports.lock.differ" if password != again else "")

        def answer(person: Visitor, number: int) -> Response:
            if problem:
                return _page(pool, request, person, number, problem)
            return _answer(home, pool, person, number, "GET", password)

        return await _checked(request, answer)

    async def _checked(request: Request, answer: Callable[[Visitor, int], Response]) -> Response:
        person: Visitor = request.state.visitor
        export_id = tokens.check_export(home, request.path_params["token"], person.mark)
        return await run_in_threadpool(answer, person, export_id)

    return [
        Route("/m/export/{token}", export, methods=["GET", "HEAD"]),
        Route("/m/export/{token}/locked", page, methods=["GET"]),
        Route("/m/export/{token}/locked", locked, methods=["POST"]),
    ]


def sees_everybodys(person: Visitor) -> bool:
    """Whether the exports of others are shown, too."""
    return person.role == "administrator"


def find(pool: Pool, person: Visitor, export_id: int) -> ExportRow | None:
    """The export, if this person may have it now: theirs, finished, not gone, and of cameras that they see."""
    if not person.may("export"):
        return None
    with pool.connection(person.scope) as conn:
        row = exports.get_export(conn, export_id, person.user_id, everybody=sees_everybodys(person))
    if row is None or row.state != "done" or not row.all_granted or row.kept_until is None:
        return None
    return row if row.kept_until > datetime.now(row.kept_until.tzinfo) else None


def zip_of(
    home: Home,
    export_id: int,
    begin: datetime,
    time_zone: str,
    still: Callable[[], bool],
    *,
    is_head: bool,
    password: str = "",
) -> Response:
    """The answer with the ZIP. begin (UTC), time_zone: of its footage, for the name. still: asked whether to go on.
    password: with which it is encrypted on its way; it is kept nowhere.

    Raises Refusal when its files are gone.
    """
    try:
        entries = archive.entries_of(home, export_id)
    except ConfigError as error:
        log.warning("Export %s can't be handed out: %s", export_id, error)
        raise Refusal(404, "exports.gone") from error
    local = begin.astimezone(formats.zone(time_zone))
    headers = {
        "Content-Type": "application/zip",
        "Content-Length": str(archive.length(entries, locked=bool(password))),
        "Content-Disposition": f'attachment; filename="export_{export_id}_{local:%Y-%m-%d_%H-%M-%S}.zip"',
        "Content-Encoding": "identity",
        "Cache-Control": "private, no-store",
        "X-Accel-Buffering": "no",
    }
    if is_head:
        return Response(status_code=200, headers=headers)
    return StreamingResponse(_watched(home, export_id, entries, still, password), 200, headers)


def _watched(
    home: Home, export_id: int, entries: Sequence[archive.Entry], still: Callable[[], bool], password: str
) -> Iterator[bytes]:
    looked = time.monotonic()
    for piece in archive.stream(archive.folder_of(home, export_id), entries, password):
        if time.monotonic() - looked > visitor.FRESH_S:
            looked = time.monotonic()
            if not still():
                raise ConnectionAbortedError("It may not be had any more.")
        yield piece


def _page(pool: Pool, request: Request, person: Visitor, export_id: int, problem: str) -> Response:
    """Asks for the password, twice."""
    if find(pool, person, export_id) is None:
        raise Refusal(404, "exports.gone")
    words = Words(choose_language(request.query_params.get("lang"), request.headers.get("accept-language")))
    said = f'<p class="said" role="alert">{_told(words, problem)}</p>' if problem else ""
    fields = "".join(
        f'<label for="{name}">{_told(words, key)}</label><input id="{name}" name="{name}" type="password" required'
        f' minlength="{SHORTEST_PASSWORD}" maxlength="{LONGEST_PASSWORD}" autocomplete="new-password">'
        for name, key in (("password", "exports.lock.password"), ("again", "exports.lock.again"))
    )
    action = f"{html.escape(request.url.path)}?lang={words.lang}"
    body = (
        f'<h1>{_told(words, "exports.lock.title")}</h1><p class="help">{_told(words, "exports.lock.text")}</p>{said}'
        f'<form method="post" action="{action}">{fields}<button>{_told(words, "exports.download")}</button></form>'
        f'<nav><a href="/exports">{_told(words, "app.exports")}</a></nav>'
    )
    page = FRAME.format(lang=words.lang, head=f"<title>{_told(words, 'exports.lock.title')}</title>", body=body)
    return HTMLResponse(page, 400 if problem else 200, HEADERS)


def _told(words: Words, key: str) -> str:
    return html.escape(words(key, least=SHORTEST_PASSWORD))


async def _passwords(request: Request) -> tuple[str, str]:
    """What the form holds; nothing of it is kept or logged."""
    try:
        fields = await forms.fields(request)
    except forms.BadForm:
        return "", ""
    return fields.get("password", "")[:LONGEST_PASSWORD], fields.get("again", "")[:LONGEST_PASSWORD]


def _answer(home: Home, pool: Pool, person: Visitor, export_id: int, method: str, password: str = "") -> Response:
    row = find(pool, person, export_id)
    if row is None:
        raise Refusal(404, "exports.gone")

    def still() -> bool:
        try:
            return find(pool, person, export_id) is not None
        except (*AWAY, psycopg2.Error):
            return False

    is_head = method == "HEAD"
    answer = zip_of(home, export_id, row.from_utc, row.time_zone, still, is_head=is_head, password=password)
    if method == "GET":
        with pool.connection(person.scope) as conn:
            detail = {"export": export_id, **({"locked": True} if password else {})}
            reads.log_view(conn, person.name, "export_taken", None, None, detail, person.address)
    return answer
