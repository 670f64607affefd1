"""Handing out a finished export as one ZIP: to who ordered it, under `/m/export/<token>`; `share` does so by links.

It is made from the files on the disk piece by piece, so memory does not grow with it, and looked at every two seconds:
who loses the right in the middle does not get the rest.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import psycopg2
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from viewer import formats, tokens, visitor
from viewer.database import AWAY, Pool
from viewer.media import Refusal, refuse
from viewer.visitor import Visitor
from vms.catalogue import exports, reads
from vms.catalogue.exports import ExportRow
from vms.errors import ConfigError
from vms.exports import archive
from vms.home import Home

log = logging.getLogger(__name__)


def routes(home: Home, pool: Pool) -> list[Route]:
    """The route of the ZIP."""

    async def export(request: Request) -> Response:
        person: Visitor = request.state.visitor
        try:
            export_id = tokens.check_export(home, request.path_params["token"], person.mark)
            return await run_in_threadpool(_answer, home, pool, person, export_id, request.method)
        except tokens.Forged:
            return refuse(request, Refusal(403, "media.forged"))
        except tokens.Expired:
            return refuse(request, Refusal(410, "media.expired"))
        except Refusal as refusal:
            return refuse(request, refusal)
        except (*AWAY, psycopg2.Error) as error:
            log.warning("The catalogue does not answer: %s", error)
            return refuse(request, Refusal(503, "media.catalogue_away"))

    return [Route("/m/export/{token}", export, methods=["GET", "HEAD"])]


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
    home: Home, export_id: int, begin: datetime, time_zone: str, still: Callable[[], bool], *, is_head: bool
) -> Response:
    """The answer with the ZIP. begin (UTC), time_zone: of its footage, for the name. still: asked whether to go on.

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
        "Content-Length": str(archive.length(entries)),
        "Content-Disposition": f'attachment; filename="export_{export_id}_{local:%Y-%m-%d_%H-%M-%S}.zip"',
        "Content-Encoding": "identity",
        "Cache-Control": "private, no-store",
        "X-Accel-Buffering": "no",
    }
    if is_head:
        return Response(status_code=200, headers=headers)
    return StreamingResponse(_watched(home, export_id, entries, still), 200, headers)


def _watched(
    home: Home, export_id: int, entries: Sequence[archive.Entry], still: Callable[[], bool]
) -> Iterator[bytes]:
    looked = time.monotonic()
    for piece in archive.stream(home, export_id, entries):
        if time.monotonic() - looked > visitor.FRESH_S:
            looked = time.monotonic()
            if not still():
                raise ConnectionAbortedError("It may not be had any more.")
        yield piece


def _answer(home: Home, pool: Pool, person: Visitor, export_id: int, method: str) -> Response:
    row = find(pool, person, export_id)
    if row is None:
        raise Refusal(404, "exports.gone")

    def still() -> bool:
        try:
            return find(pool, person, export_id) is not None
        except (*AWAY, psycopg2.Error):
            return False

    answer = zip_of(home, export_id, row.from_utc, row.time_zone, still, is_head=method == "HEAD")
    if method == "GET":
        with pool.connection(person.scope) as conn:
            reads.log_view(conn, person.name, "export_taken", None, None, {"export": export_id}, person.address)
    return answer
