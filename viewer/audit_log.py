"""The log of views as the address asks for it, as words, and as the CSV file that an auditor takes away."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

import psycopg2
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from viewer import formats
from viewer.database import AWAY, Pool
from viewer.i18n import Words
from viewer.visitor import Visitor
from vms.catalogue import audit, reads
from vms.catalogue.audit import LogFilter, LogRow
from vms.config import load_config
from vms.errors import ConfigError
from vms.home import Home

KEYS = ("from", "to", "who", "action")
COLUMNS = ("when", "who", "from", "action", "what")
ACTIONS = (
    "sign_in",
    "sign_in_failed",
    "sign_out",
    "sessions_ended",
    "search",
    "view",
    "watch",
    "watched",
    "snapshot",
    "download",
    "restore_asked",
    "export",
    "evidence",
    "export_ordered",
    "export_cancelled",
    "export_deleted",
    "export_taken",
    "share",
    "share_revoked",
    "share_taken",
    "share_refused",
    "hold",
    "release",
    "retry",
    "bookmark_added",
    "bookmark_changed",
    "bookmark_removed",
    "log_taken",
    "user_added",
    "user_password",
    "user_role",
    "user_granted",
    "user_revoked",
    "user_disabled",
    "user_enabled",
    "user_language",
    "user_linked",
    "user_bound",
    "user_unlinked",
    "branch_invited",
    "branch_joined",
    "branch_renewed",
    "branch_revoked",
    "branch_refused",
)
_AT_ONCE = 1000
_FIRST = ("user", "role", "cameras", "site", "camera", "at", "from", "to", "reach_from", "reach_to")
_ORDER = {name: place for place, name in enumerate(_FIRST)}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Asked:
    """Days (both included), a user and an action; None and "" leave it open."""

    first: date | None = None
    last: date | None = None
    who: str = ""
    action: str = ""


def read(params: Mapping[str, str]) -> Asked:
    """What an address asks for; what does not fit is dropped."""
    first, last = _day(params.get("from", "")), _day(params.get("to", ""))
    if first and last and first > last:
        first, last = last, first
    action = params.get("action", "")
    return Asked(first, last, params.get("who", "")[:40], action if action in ACTIONS else "")


def write(asked: Asked) -> dict[str, str]:
    """As the address carries it."""
    made = {
        "from": asked.first.isoformat() if asked.first else "",
        "to": asked.last.isoformat() if asked.last else "",
        "who": asked.who,
        "action": asked.action,
    }
    return {name: text for name, text in made.items() if text}


def as_filter(asked: Asked, zone_id: str) -> LogFilter:
    """The catalogue's filter; days are counted in this zone."""
    begin, end = formats.day_bounds(asked.first or date(1970, 1, 2), asked.last or date(9998, 12, 30), zone_id)
    return LogFilter(begin.astimezone(UTC), end.astimezone(UTC), asked.who, asked.action)


def what(words: Words, row: LogRow, zone_id: str) -> str:
    """What it was done to, in a line; moments on the clock of this zone."""
    parts = []
    if row.site:
        parts.append(f"{row.site}/{row.camera}")
    if row.start_utc is not None:
        parts.append(formats.moment(words, row.start_utc, row.time_zone or "UTC"))
    for name, value in sorted(row.detail.items(), key=lambda one: _ORDER.get(one[0], len(_ORDER))):
        if value is True:
            parts.append(words.one_of("detail", name, name))
        elif value not in ("", None, False):
            parts.append(f"{words.one_of('detail', name, name)}: {_said(words, name, value, zone_id)}")
    return " · ".join(parts)


def routes(home: Home, pool: Pool) -> list[Route]:
    """The route of the file."""

    async def file(request: Request) -> Response:
        person: Visitor = request.state.visitor
        if not person.may("log"):
            return PlainTextResponse("Not for your role.\n", 403)
        asked = read(request.query_params)
        wanted = as_filter(asked, _zone(home))
        try:
            await run_in_threadpool(_note, pool, person, asked)
        except (*AWAY, psycopg2.Error):
            return PlainTextResponse("The catalogue is away.\n", 503)
        return StreamingResponse(
            _lines(pool, person, wanted),
            headers={
                "Content-Type": "text/csv; charset=utf-8",
                "Content-Disposition": 'attachment; filename="log.csv"',
                "Cache-Control": "no-store",
            },
        )

    return [Route("/log.csv", file, methods=["GET"])]


def _note(pool: Pool, person: Visitor, asked: Asked) -> None:
    with pool.connection(person.scope) as conn:
        reads.log_view(conn, person.name, "log_taken", None, None, write(asked), person.address)


def _lines(pool: Pool, person: Visitor, wanted: LogFilter) -> Iterator[str]:
    """Piece by piece, newest first: a log of years is never in memory."""
    yield _line("time_utc", "who", "from", "action", "site", "camera", "recording", "start_utc", "detail")
    after = None
    while True:
        with pool.connection(person.scope) as conn:
            rows = audit.list_log(conn, wanted, limit=_AT_ONCE, after=after)
        for row in rows:
            yield _line(
                row.at.isoformat(),
                row.who,
                row.address,
                row.action,
                row.site,
                row.camera,
                "" if row.recording_id is None else str(row.recording_id),
                "" if row.start_utc is None else row.start_utc.isoformat(),
                json.dumps(dict(row.detail), ensure_ascii=False) if row.detail else "",
            )
        if len(rows) < _AT_ONCE:
            return
        after = (rows[-1].at, rows[-1].number)


def _line(*cells: str) -> str:
    """One line. What a spreadsheet would take for a formula gets an apostrophe before it."""
    text = io.StringIO()
    csv.writer(text).writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells])
    return text.getvalue()


def _said(words: Words, name: str, value: object, zone_id: str) -> str:
    """The value of a detail; codes have words."""
    code = str(value)
    match name:
        case "role":
            return words.one_of("role", code, code)
        case "provider":
            return words.one_of("not_admitted", code, code)
        case "state":
            return words.one_of("find.state", code, code)
        case "view":
            return words.one_of("find.view", code, code)
        case "action":
            return words.one_of("action", code, code)
    return _text(words, value, zone_id)


def _text(words: Words, value: object, zone_id: str) -> str:
    if isinstance(value, list):
        return ", ".join("/".join(map(str, one)) if isinstance(one, list) else str(one) for one in value)
    text = str(value)
    if not _MOMENT.fullmatch(text):
        return text
    at = datetime.fromisoformat(text)
    return formats.moment(words, at, zone_id) if at.tzinfo else text


def _zone(home: Home) -> str:
    try:
        sites = load_config(home.sites_file).sites
    except ConfigError:
        sites = ()
    return sites[0].time_zone if sites else "Asia/Jakarta"


def _day(text: str) -> date | None:
    try:
        found = date.fromisoformat(text[:10])
    except ValueError:
        return None
    return found if 1970 < found.year < 9999 else None
