"""Delivery of renditions, posters and sprites under `/m/<token>`, straight from the store by byte range, or by sending
the browser there (`direct`).

Never through st.video or st.download_button: those hold whole files in memory. Here a request costs one chunk at a
time, whatever the file's size. The token says what may be had, and in which session; where it lies is asked of the
catalogue at each request, so that a purged recording is gone at once.
"""

from __future__ import annotations

import html
import logging
import math
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import psycopg2
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from viewer import cold, ranges, tokens
from viewer.database import AWAY, Pool
from viewer.direct import Direct
from viewer.i18n import Words, choose_language
from viewer.visitor import Visitor
from vms.catalogue import reads
from vms.errors import ConfigError, RestoreNeeded, StoreError
from vms.home import Home
from vms.logs import of_recording
from vms.rights import Right
from vms.stores import ObjectMissing, open_store

log = logging.getLogger(__name__)

_MOST_TOLD = 4096
_MEDIA_TYPE = re.compile(r"(?:video|image|audio)/[a-z0-9.+-]{1,60}\Z")
_UNSAFE_IN_NAME = re.compile(r"[^A-Za-z0-9._+-]+")


@dataclass(eq=False)  # not frozen: a context manager that it passes through notes where it came from
class Refusal(Exception):
    """An answer without footage: the HTTP status and the key of its words."""

    status: int
    key: str


def routes(home: Home, pool: Pool, direct: Direct | None = None) -> list[Route]:
    """The routes that deliver media of this installation. direct: to which stores browsers may be sent."""
    direct = direct or Direct(home)

    @refusing
    async def media(request: Request) -> Response:
        grant = tokens.check(home, request.path_params["token"])
        person: Visitor = request.state.visitor
        right: Right = "export" if grant.disposition == "attachment" else "view"
        if grant.mark != person.mark or not person.may(right):
            raise tokens.Forged
        answer = of_recording(grant.recording_id, _answer)
        return await run_in_threadpool(answer, pool, direct, grant, request)

    return [Route("/m/{token}", media, methods=["GET", "HEAD"])]


def refusing(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """The answer, or why there is none: a link that is not good, a Refusal, or a catalogue that is away."""

    async def answered(request: Request) -> Response:
        try:
            return await answer(request)
        except tokens.Forged:
            refusal = Refusal(403, "media.forged")
        except tokens.Expired:
            refusal = Refusal(410, "media.expired")
        except Refusal as refused:
            refusal = refused
        except (*AWAY, psycopg2.Error) as error:
            log.warning("The catalogue does not answer: %s", error)
            refusal = Refusal(503, "media.catalogue_away")
        return refuse(request, refusal)

    return answered


def refuse(request: Request, refusal: Refusal) -> Response:
    """The refusal in the person's language: as a page for a browser, else as text."""
    words = Words(choose_language(None, request.headers.get("accept-language")))
    headers = {"Cache-Control": "no-store"}
    if refusal.status == 503:
        headers["Retry-After"] = "30"
    if "text/html" in request.headers.get("accept", ""):
        page = _PAGE.format(lang=words.lang, text=html.escape(words(refusal.key)), home=html.escape(words("app.find")))
        return HTMLResponse(page, refusal.status, headers)
    return PlainTextResponse(words(refusal.key) + "\n", refusal.status, headers)


def _answer(pool: Pool, direct: Direct, grant: tokens.Grant, request: Request) -> Response:
    person: Visitor = request.state.visitor
    with pool.connection(person.scope) as conn:
        places = reads.locate(conn, grant.recording_id, grant.start_utc, grant.part)
    if not places:
        raise Refusal(404, "media.missing")
    size, kind = places[0].size_bytes, places[0].media_type
    etag = f'"{grant.recording_id:x}-{tokens.microseconds(grant.start_utc):x}-{grant.part}-{size:x}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Type": kind if _MEDIA_TYPE.match(kind) else "application/octet-stream",
        "Content-Disposition": _disposition(grant.disposition, places[0].download_name),
        "Cache-Control": "private, no-store" if grant.part == "rendition" else "private, max-age=3600, immutable",
    }
    if not _MEDIA_TYPE.match(kind):
        headers["Content-Encoding"] = "identity"  # else the layer around would compress it and lose its length
    if _matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    wanted = request.headers.get("range") if request.method == "GET" else None
    if request.headers.get("if-range", etag) != etag:
        wanted = None
    try:
        part = ranges.parse(wanted, size)
    except ranges.Unsatisfiable:
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{size}"})
    start, length = (part.start, part.length) if part else (0, size)
    headers["Content-Length"] = str(length)
    if part:
        headers["Content-Range"] = part.content_range(size)
    status = 206 if part else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    away, places = _address(direct, places, grant, headers, request)
    answer: Response
    if away:
        answer = RedirectResponse(away, 307, {"Cache-Control": "no-store"})
    else:
        try:
            content = open_bytes(places, start, length)
        except Refusal as refusal:
            if refusal.key == "media.cold" and grant.part == "rendition":
                with pool.connection(person.scope) as conn:
                    cold.found(conn, [(grant.recording_id, grant.start_utc)])
            raise
        answer = StreamingResponse(content, status, headers)
    if grant.disposition == "attachment" and _is_news(grant, start):
        with pool.connection(person.scope) as conn:
            reads.log_view(conn, person.name, "download", grant.recording_id, grant.start_utc, {}, person.address)
    return answer


_told: OrderedDict[tuple[str, int, datetime], float] = OrderedDict()


def _is_news(grant: tokens.Grant, start: int) -> bool:
    """Whether this begins a download. One that goes on where it broke off is told once in the life of its link, however
    it began: a first request that leaves out the first byte takes the recording, too."""
    key, now = (grant.mark, grant.recording_id, grant.start_utc), time.monotonic()
    known = now - _told.pop(key, -math.inf) < tokens.LONGER_S
    _told[key] = now
    while len(_told) > _MOST_TOLD:
        _told.popitem(last=False)
    return start == 0 or not known


def _address(
    direct: Direct, places: tuple[Any, ...], grant: tokens.Grant, headers: Mapping[str, str], request: Request
) -> tuple[str, tuple[Any, ...]]:
    """(where the browser shall go for a rendition, "" when its bytes pass through; the places to read from then).

    A browser that could not go there says so (?through=1). Pictures always pass through: they are small, and kept.
    """
    if grant.part != "rendition" or not direct.goes(places[0], grant.disposition):
        return "", places
    if "through" in request.query_params:
        log.warning("A browser can't read from store %s itself: see `vms stores check`", places[0].store_name)
        return "", places
    for tried, place in enumerate(places):
        if not direct.goes(place, grant.disposition):
            return "", (*places[tried:], *places[:tried])
        try:
            url = direct.link(place, headers["Content-Type"], headers["Content-Disposition"], request.url.scheme)
        except (StoreError, ConfigError, OSError) as error:
            log.warning("Store %s can't deliver %s: %s", place.store_name, place.key, error)
        else:
            return url or "", places[tried:]
    return "", places


def open_bytes(places: tuple[Any, ...], start: int, length: int) -> Iterator[bytes]:
    """The bytes from the first store that can give them. Raises Refusal when none can."""
    away = cold = False
    for place in places:
        try:
            store = open_store(place.store_name, place.store_url, conn_id=place.store_conn_id)
            if place.store_identity:
                store.identify(place.store_identity)
            return store.open_range(place.key, start, length)
        except ObjectMissing:
            log.warning("Store %s has no object %s", place.store_name, place.key)
        except RestoreNeeded:
            cold = True
        except (StoreError, ConfigError, OSError) as error:
            away = True
            log.warning("Store %s can't deliver %s: %s", place.store_name, place.key, error)
    if cold:
        raise Refusal(409, "media.cold")
    raise Refusal(503, "media.away") if away else Refusal(404, "media.missing")


def _disposition(how: str, name: str) -> str:
    """The Content-Disposition header: an ASCII name for every browser, the true one beside it when it differs."""
    plain = _UNSAFE_IN_NAME.sub("_", name).strip("._")[:150] or "recording.mp4"
    header = f'{how}; filename="{plain}"'
    if plain != name and name.isprintable():
        header += f"; filename*=UTF-8''{quote(name[:150].replace('/', '_').lstrip('.'), safe='')}"
    return header


def _matches(header: str | None, etag: str) -> bool:
    return header is not None and etag in (one.strip().removeprefix("W/") for one in header.split(","))


_PAGE = """<!doctype html><html lang="{lang}"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{text}</title><style>
:root{{color-scheme:light dark}}
body{{font:17px/1.5 system-ui,sans-serif;margin:18vh auto;max-width:32rem;padding:0 1.5rem}}
a{{color:inherit}}</style><p>{text}</p><p><a href="/">{home}</a></p></html>"""
