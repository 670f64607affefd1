"""What the centre answers to branches under /branch: to join, to renew a certificate, to have one's part of sites.yaml.

It lives in Airflow's API server, behind the gate (`branch_gate`), which says who asks; whoever has no certificate can
join with a token and ask how the centre is, no more.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import cache
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

import vms
from vms.branches import invitation, site_slice
from vms.branches.authority import authority, issue, read_request
from vms.catalogue import branches
from vms.catalogue.branches import Asker
from vms.catalogue.connection import connect, url
from vms.errors import BranchError, BranchUnreachable, CatalogueError, ConfigError, VmsError
from vms.home import Home, from_environment
from vms_airflow.branch_gate import BRANCH
from vms_airflow.branch_rules import Branch

WRONG_AT_MOST = 10
"""Tries to join that one address may fail with in WITHIN_S."""

ASKED_AT_MOST = 120
"""Tries to join in WITHIN_S, by all together; more, and only who has not failed yet is heard."""

WITHIN_S = 600.0
_MOST_ADDRESSES = 1_000


class TooMany(VmsError):
    """Somebody tries to join again and again."""


class Limit:
    """How often may be tried."""

    def __init__(self) -> None:
        self._asked: deque[float] = deque()
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()

    def ask(self, address: str) -> None:
        """Count one try. Raises TooMany."""
        now = time.monotonic()
        wrong = self._wrong.get(address, deque())
        for times in (self._asked, wrong):
            while times and now - times[0] > WITHIN_S:
                times.popleft()
        if len(wrong) >= WRONG_AT_MOST or (wrong and len(self._asked) >= ASKED_AT_MOST):
            raise TooMany("Too many tries to join.", "Wait ten minutes, and look at the token.")
        self._asked.append(now)

    def note_wrong(self, address: str) -> None:
        self._wrong.setdefault(address, deque()).append(time.monotonic())
        self._wrong.move_to_end(address)
        while len(self._wrong) > _MOST_ADDRESSES:
            self._wrong.popitem(last=False)


@cache
def app() -> Starlette:
    limit = Limit()

    async def join(request: Request) -> Response:
        asked = await _json(request)
        address = _address(request)
        limit.ask(address)
        try:
            return await asyncio.to_thread(_join, asked, address)
        except BranchError:
            limit.note_wrong(address)
            raise

    return Starlette(
        routes=[
            Route("/health", _told(_health), methods=["GET"]),
            Route("/authority", _told(_authority), methods=["GET"]),
            Route("/join", _told(join), methods=["POST"]),
            Route("/config", _told(_config), methods=["GET"]),
            Route("/renew", _told(_renew), methods=["POST"]),
        ]
    )


async def _health(_request: Request) -> Response:
    now = datetime.now(UTC)
    return JSONResponse({"status": "ok", "time": now.isoformat(), "version": vms.__version__})


async def _authority(_request: Request) -> Response:
    own = await asyncio.to_thread(lambda: authority(from_environment(), datetime.now(UTC)))
    return PlainTextResponse(own.pem, media_type="application/x-pem-file")


async def _config(request: Request) -> Response:
    branch = _branch(request)
    home = from_environment()
    text = await asyncio.to_thread(site_slice.slice_of, home.sites_file, branch.site)
    told = _told_of(home, branch, text)
    tag = site_slice.tag_of(json.dumps(told, sort_keys=True))
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    return JSONResponse(told, headers={"ETag": tag})


async def _renew(request: Request) -> Response:
    return await asyncio.to_thread(_renewed, _branch(request), await _json(request))


def _join(asked: dict[str, Any], address: str) -> Response:
    home, now = from_environment(), datetime.now(UTC)
    token = invitation.read_token(_text(asked, "token"))
    request, key = read_request(_text(asked, "request"))
    own = authority(home, now)
    branch = Branch(token.site, address)
    text = site_slice.slice_of(home.sites_file, token.site)  # a mistake in sites.yaml uses up no token
    who = Asker(address, _text(asked, "machine"), _text(asked, "version"), key)
    with closing(connect(url(home, "owner"))) as conn:
        issued, _ = branches.join(
            conn, token.site, token.hashed, who, lambda: issue(own, request, token.site, now), now
        )
    return JSONResponse(_told_of(home, branch, text) | {"certificate": issued.pem, "time": now.isoformat()})


def _renewed(branch: Branch, asked: dict[str, Any]) -> Response:
    home, now = from_environment(), datetime.now(UTC)
    request, key = read_request(_text(asked, "request"))
    own = authority(home, now)
    who = Asker(branch.address, _text(asked, "machine"), _text(asked, "version"), key)
    with closing(connect(url(home, "owner"))) as conn:
        issued = branches.renew(conn, branch.site, who, lambda: issue(own, request, branch.site, now), now)
    return JSONResponse({"certificate": issued.pem, "time": now.isoformat()})


def _told_of(home: Home, branch: Branch, sites: str) -> dict[str, Any]:
    """What a branch has to know. edge_secret: with which its worker signs; it opens nothing but the workers' API, and
    that for nobody without a certificate."""
    return {
        "site": branch.site,
        "worker": branch.worker,
        "queue": branch.queue,
        "edge_secret": home.secret("airflow_jwt", 64),
        "version": vms.__version__,
        "url": home.parts.branches if home.parts else "",
        "sites": sites,
    }


def _told(work: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Errors as a branch reads them."""

    async def answer(request: Request) -> Response:
        try:
            return await work(request)
        except VmsError as error:
            told = {"error": error.message, "remedy": error.remedy, "detail": str(error)}
            status = {TooMany: 429, BranchUnreachable: 429, ConfigError: 409, CatalogueError: 503}.get(type(error), 403)
            headers = {"Retry-After": "600" if status == 429 else "10"} if status in (429, 503) else None
            return JSONResponse(told, status, headers)

    return answer


def _branch(request: Request) -> Branch:
    found = request.scope.get(BRANCH)
    if not isinstance(found, Branch):
        raise BranchError("This is for branches alone.", "Join first: `vms branch join`.")
    return found


def _address(request: Request) -> str:
    if BRANCH not in request.scope:
        raise BranchError("This is for branches alone, by their own port.")
    return request.client.host if request.client else ""


async def _json(request: Request) -> dict[str, Any]:
    try:
        found = json.loads(await request.body())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BranchError("This request is none that a branch makes.", "Use this version's `vms branch`.")
    return found


def _text(asked: dict[str, Any], name: str) -> str:
    found = asked.get(name)
    return found if isinstance(found, str) else ""
