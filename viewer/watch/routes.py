"""What the component of the page Watch asks while it is used: the timeline, what to play, what there is at a moment.

Answers are JSON. Pictures and footage come by the signed links of viewer.media, which the answers carry.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from viewer import cards, formats, forms, query, tokens
from viewer.database import AWAY, Connection, Pool
from viewer.i18n import Words, choose_language
from viewer.media import Refusal
from viewer.visitor import Visitor
from viewer.watch import asked, bookmarking, playing, spans, stand_in_links
from viewer.watch.heads import Heads
from viewer.watch.stand_ins import MISSING, StandIns
from viewer.watch.visit import PREFIX, Visit
from vms.catalogue import bookmarks, coverage, reads
from vms.catalogue import timeline as catalogue
from vms.catalogue.rows import RecordingFilter, RecordingRow
from vms.catalogue.timeline import CameraKey
from vms.coverage import find_gaps
from vms.errors import VmsError
from vms.home import Home
from vms.video.ffmpeg import Stopped

log = logging.getLogger(__name__)

HLS = "hls-1.7.4.light.min.js"
_VENDOR = Path(__file__).resolve().parents[1] / "front" / "vendor"
_MOST_ODD = 1000
_SEEN = timedelta(days=31)
"""How far a jump to the next gap looks."""

_GONE = 499
"""Nobody reads this answer any more."""

_LOOK_S = 0.1
_MOST_TOLD = 32_768

_OWN_PAGE = "x-vms-page"
"""A header that a page of another site can't send."""

_STORED = ("archived", "released")

Answer = Callable[[Visit], dict[str, Any]]


def routes(home: Home, pool: Pool) -> list[Route]:
    """The routes of this installation."""
    heads = Heads()
    stand_ins = StandIns(home, heads)

    def answered(answer: Answer) -> Callable[[Request], Any]:
        async def route(request: Request) -> Response:
            if request.method == "POST" and request.headers.get(_OWN_PAGE) != "watch":
                return JSONResponse({"error": "Another page asked for this."}, 403)
            words = Words(choose_language(request.query_params.get("lang"), request.headers.get("accept-language")))
            headers = {"Cache-Control": "no-store"}
            try:
                told = await _told(request)
            except Refusal as refusal:
                return JSONResponse({"error": words(refusal.key)}, refusal.status, headers)
            visit = Visit(home, words, request.query_params, pool, request.state.visitor, told)
            if not visit.person.may("view"):
                return JSONResponse({"error": words("app.not_allowed.text")}, 403, headers)
            try:
                return JSONResponse(await run_in_threadpool(answer, visit), headers=headers)
            except Refusal as refusal:
                return JSONResponse({"error": words(refusal.key)}, refusal.status, headers)
            except (*AWAY, psycopg2.Error) as error:
                log.warning("The catalogue does not answer: %s", error)
                return JSONResponse({"error": words("media.catalogue_away")}, 503, headers)

        return route

    async def piece(request: Request) -> Response:
        """A piece as H.264. Whoever goes away before it is made does not leave the machine working."""
        words = Words(choose_language(None, request.headers.get("accept-language")))
        person: Visitor = request.state.visitor
        try:
            grant = stand_in_links.check(home, request.path_params["token"])
            one = await run_in_threadpool(playing.piece_of, pool, grant, person)
            with stand_ins.wanted(one, request.path_params["number"], grant.quality, person.mark) as made:
                while not made.done():
                    if await request.is_disconnected():
                        return Response(status_code=_GONE)
                    await asyncio.sleep(_LOOK_S)
                headers = {"Cache-Control": "private, no-store"}
                if made.result().name.endswith(MISSING):
                    headers["X-Vms-Missing"] = "1"
                return FileResponse(made.result(), media_type="video/mp2t", headers=headers)
        except tokens.Expired:
            status, key = 410, "media.expired"
        except tokens.Forged:
            status, key = 403, "media.forged"
        except Refusal as refusal:
            status, key = refusal.status, refusal.key
        except (VmsError, Stopped) as error:
            log.warning("A piece could not be made: %s", error)
            status, key = 422, "watch.left_out.codec"
        except psycopg2.Error as error:
            log.warning("The catalogue does not answer: %s", error)
            status, key = 503, "media.catalogue_away"
        return JSONResponse({"error": words(key)}, status, {"Cache-Control": "no-store"})

    async def player(_request: Request) -> Response:
        return FileResponse(
            _VENDOR / HLS,
            media_type="text/javascript",
            headers={"Cache-Control": "public, max-age=31536000, immutable"},
        )

    return [
        Route(f"{PREFIX}/timeline", answered(_timeline)),
        Route(f"{PREFIX}/playlist", answered(lambda visit: playing.playlist_of(heads, visit))),
        Route(f"{PREFIX}/moment", answered(_moment)),
        Route(f"{PREFIX}/step", answered(_step)),
        Route(f"{PREFIX}/played", answered(playing.played), methods=["POST"]),
        Route(f"{PREFIX}/snapshot", answered(playing.snapshot), methods=["POST"]),
        Route(f"{PREFIX}/bookmark", answered(bookmarking.add), methods=["POST"]),
        Route(f"{PREFIX}/progress", answered(lambda visit: {"share": stand_ins.progress(visit.person.mark)})),
        Route(f"{PREFIX}/piece/{{token}}/{{number:int}}.ts", piece),
        Route(f"{PREFIX}/{HLS}", player),
    ]


def _timeline(visit: Visit) -> dict[str, Any]:
    wanted = asked.stretch(visit.params)
    with visit.connection() as conn:
        facts = coverage.load_facts(conn, *_days(wanted.begin, wanted.end), cameras=wanted.cameras)
        stretch = (wanted.cameras, wanted.begin, wanted.end)
        if wanted.is_fine:
            found, are_all = catalogue.stretches(conn, *stretch), True
        else:
            found, are_all = catalogue.deviating(conn, *stretch, _MOST_ODD, copies=visit.person.sees_everything)
        held = catalogue.held(conn, wanted.cameras, wanted.begin, wanted.end)
        marked = bookmarks.along(conn, wanted.cameras, wanted.begin, wanted.end, bookmarking.MOST_SHOWN)
    _known(wanted.cameras, facts)
    return spans.timeline(visit.words, wanted, facts, found, held, are_all=are_all) | {
        "marked": [bookmarking.pin(one) for one in marked]
    }


async def _told(request: Request) -> dict[str, Any]:
    """What a request that changes something has sent: JSON of some kilobytes."""
    if request.method != "POST":
        return {}
    try:
        told = json.loads(await forms.body(request, _MOST_TOLD) or b"{}")
    except forms.BadForm as bad:
        raise Refusal(bad.status, "watch.bad_request") from None
    except ValueError:
        raise Refusal(400, "watch.bad_request") from None
    if not isinstance(told, dict):
        raise Refusal(400, "watch.bad_request")
    return told


def _moment(visit: Visit) -> dict[str, Any]:
    """The recording that a camera has at a moment, with its pictures; null when it has none."""
    camera = asked.one_camera(visit.params)
    at = asked.moment(visit.params, "at")
    wanted = RecordingFilter(cameras=(camera,), from_utc=at, to_utc=at + timedelta(milliseconds=1), states=_STORED)
    with visit.connection() as conn:
        rows = reads.find_recordings(conn, wanted, limit=1)
    return {"recording": _recording(visit, rows[0]) if rows else None}


def _recording(visit: Visit, row: RecordingRow) -> dict[str, Any]:
    return {
        "id": query.recording_text(row.id, row.start_utc),
        "href": cards.href(query.Find(), row),
        "from": spans.milliseconds(row.start_utc),
        "to": spans.milliseconds(cards.end_of(row)),
        "sprite": cards.sprite(visit.links, row),
        "marks": cards.marks(visit.words, row),
        "when": formats.span(visit.words, row.start_utc, cards.end_of(row), row.time_zone),
    }


def _step(visit: Visit) -> dict[str, Any]:
    """Where the next recording or gap of these cameras begins, or the previous one, and whose recording it is; null
    when there is none."""
    cameras = asked.cameras(visit.params)
    at = asked.moment(visit.params, "at")
    is_next = visit.params.get("way") != "previous"
    with visit.connection() as conn:
        if visit.params.get("what") == "gap":
            starts = _gap_starts(conn, cameras, at, is_next)
        else:
            wanted = RecordingFilter(cameras=cameras, states=_STORED)
            after = (at, 1 << 62 if is_next else 0)
            rows = reads.find_recordings(conn, wanted, limit=1, after=after, newest_first=not is_next)
            if rows:
                row = rows[0]
                return {"at": spans.milliseconds(row.start_utc), "camera": f"{row.site}/{row.camera}"}
            starts = []
    if not starts:
        return {"at": None}
    return {"at": spans.milliseconds(min(starts) if is_next else max(starts))}


def _gap_starts(conn: Connection, cameras: tuple[CameraKey, ...], at: datetime, is_next: bool) -> list[datetime]:
    begin, end = (at, at + _SEEN) if is_next else (at - _SEEN, at)
    facts = coverage.load_facts(conn, *_days(begin, end), cameras=cameras)
    return [gap.start for one in facts for gap in find_gaps(one, begin, end) if gap.start != begin]


def _known(cameras: tuple[CameraKey, ...], facts: list[Any]) -> None:
    """Raises Refusal when one of these cameras is not in the catalogue, or not for this person."""
    if {(one.site, one.camera) for one in facts} != set(cameras):
        raise Refusal(404, "watch.no_camera")


def _days(begin: datetime, end: datetime) -> tuple[Any, Any]:
    """The days around this time, whatever the zone; never days to come."""
    today = datetime.now(UTC)
    return min(begin, today).date() - timedelta(days=1), min(end, today).date() + timedelta(days=1)
