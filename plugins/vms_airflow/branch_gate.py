"""The gate before what workers ask of Airflow's API server: who a branch is, and whether what it asks for is its own.

A branch comes through the proxy of its own port, which proves itself by a secret and says whose certificate it saw.
What it may ask is a list (`branch_rules`). Whoever comes another way can't reach what is for branches, and can't pass
for the proxy; tasks of the centre go on reaching the execution API as ever.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack
from typing import Any

from vms_airflow.branch_known import Known
from vms_airflow.branch_rules import (
    GUARDED,
    MB,
    OPEN,
    PAGES,
    Refused,
    as_uuid,
    check,
    parts_of,
    read_body,
    read_query,
    rule_for,
    task_ids,
)

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JOINING = 64 * 1024
"""The largest body of who has no certificate yet."""

SMALL = 1024 * 1024
"""Of a larger body a branch has one at a time here: read as JSON it takes twenty times its size."""

MOST_SPENT = 512 * MB
SPENT_S = 3600.0
"""What a branch may send within it: ten times what a day's backlog makes of logs and of what tasks hand on."""

_HEADER = b"x-vms-branch-"
BRANCH = "vms.branch"
"""Where in the ASGI scope an app finds the branch that asks; None: somebody without a certificate, by the proxy."""


class BranchGate:
    """The middleware. Nothing is looked up before the first request of a branch."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], known: Known | None = None) -> None:
        self._app = app
        self._known = known or Known()
        self._room: dict[str, asyncio.Semaphore] = {}
        self._sent: dict[str, tuple[float, int]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        async with AsyncExitStack() as held:
            try:
                receive = await self._let_in(scope, receive, held)
            except Refused as refused:
                await _answer(scope, send, refused)
                return
            except Exception:
                log.exception("The gate could not look up who asks.")
                await _answer(scope, send, Refused("Who asks can't be looked up now. Try again.", 503))
                return
            await self._app(scope, receive, send)

    async def _let_in(self, scope: Scope, receive: Receive, held: AsyncExitStack) -> Receive:
        said = _said(scope)
        path = _routed(scope)
        scope.pop(BRANCH, None)
        if said is None:
            _require_not_for_branches(path)
            return receive
        address = (scope.get("client") or ("", 0))[0]
        name = ""  # nobody's word counts before the proxy has proven itself
        try:
            await self._known.require_proxy(said)
            name = said.get("name", "")
            return await self._of_branch(scope, receive, said, path, address, held)
        except Refused as refused:
            log.warning("Refused to %s at %s: %s %s: %s", name or "somebody", address, *_what(scope), refused)
            await self._known.note_refused(name, str(refused), address)
            raise

    async def _of_branch(
        self, scope: Scope, receive: Receive, said: dict[str, str], path: str, address: str, held: AsyncExitStack
    ) -> Receive:
        """held: what the request keeps until it is answered."""
        if scope["type"] != "http":
            raise Refused("A branch asks by plain requests.")
        parts = parts_of(path)
        method = scope["method"]
        if (method, path) in OPEN:
            scope[BRANCH] = None
            return _again(await _read(scope, receive, JOINING), receive)
        branch = await self._known.branch(said, address)
        rule, values = rule_for(method, parts)
        query = read_query(rule, scope.get("query_string", b""))
        if rule.largest > SMALL and _length(scope) > SMALL:
            await held.enter_async_context(self._room.setdefault(branch.site, asyncio.Semaphore()))
        raw = await _read(scope, receive, rule.largest)
        if parts[0] != "branch":  # what keeps a branch a branch comes through at any time
            self._spend(branch.site, len(raw))
        body = read_body(raw)
        named = [await self._known.task(one) for one in task_ids(rule, values, query, body)]
        if not named and "job" in rule.checks:  # an Airflow that gives its jobs no ids; their path says which
            named = [await self._known.job(values)]
        token = await self._known.task(_token_of(scope)) if parts[0] == "execution" else None
        check(branch, rule, values, query, body, named, token)
        scope[BRANCH] = branch
        return _again(raw, receive)

    def _spend(self, site: str, size: int) -> None:
        """Raises Refused for a branch that sends far more than one has to tell: all of it is kept at the centre."""
        now = time.monotonic()
        began, before = self._sent.get(site, (now, 0))
        if now - began > SPENT_S:
            began, before = now, 0
        self._sent[site] = (began, before + size)
        if before + size > MOST_SPENT:
            raise Refused(f"The branch {site} has sent more than {MOST_SPENT // MB} MB within the hour.", 429)


def _said(scope: Scope) -> dict[str, str] | None:
    """What the proxy said of who asks; None when nothing says that it was the proxy."""
    said: dict[str, str] = {}
    found = [(name, value) for name, value in scope.get("headers", []) if name.lower().startswith(_HEADER)]
    for name, value in found:
        said[name.lower().removeprefix(_HEADER).decode("latin-1")] = value.decode("latin-1")
    if len(said) != len(found):
        raise Refused("Only the branches' own port speaks for branches.")
    return said if found else None


def _routed(scope: Scope) -> str:
    """The path as the router of the app sees it."""
    from starlette.routing import get_route_path

    path: str = get_route_path(scope)
    return path


def _require_not_for_branches(path: str) -> None:
    """Spelled in whichever way: what looks like a path of branches is none of the people's, or the centre's tasks'."""
    first, _, rest = path.lstrip("/").partition("/")
    if first.rstrip(". ").lower() not in GUARDED:
        return
    if path.startswith("/execution/"):
        return  # its own tokens say who may, and only the centre's tasks get here
    if path.startswith(tuple(f"/edge_worker/{page}/" for page in PAGES)) and ".." not in rest:
        return
    raise Refused("This is for branches alone, by their own port.")


def _length(scope: Scope) -> float:
    """Of the body, as it is announced."""
    said = [value for name, value in scope.get("headers", []) if name.lower() == b"content-length"]
    return int(said[0]) if said and said[0].isdigit() else float("inf")


async def _read(scope: Scope, receive: Receive, largest: int) -> bytes:
    for name, value in scope.get("headers", []):
        if name.lower() == b"content-length" and value.isdigit() and int(value) > largest:
            raise Refused("This is more than a branch sends at once.", 413)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Refused("The line broke.", 400)
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > largest:
            raise Refused("This is more than a branch sends at once.", 413)
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


def _again(raw: bytes, receive: Receive) -> Receive:
    """What was read is read once more by whom it is for."""
    waiting = [{"type": "http.request", "body": raw, "more_body": False}]

    async def once_more() -> MutableMapping[str, Any]:
        return waiting.pop() if waiting else await receive()

    return once_more


def _token_of(scope: Scope) -> str:
    """The id of the task whose token this is, as it says itself; Airflow looks at the signature. Raises Refused."""
    from jwt import PyJWTError, decode

    given = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
    try:
        kind, _, token = given[0].decode("ascii").partition(" ")
        number = decode(token, options={"verify_signature": False})["sub"]
    except (IndexError, UnicodeError, PyJWTError, KeyError):
        raise Refused("This request has no task's token.") from None
    if len(given) != 1 or kind.lower() != "bearer" or not isinstance(number, str) or as_uuid(number) is None:
        raise Refused("This request has no task's token.")
    return number


def _what(scope: Scope) -> tuple[str, str]:
    return str(scope.get("method", scope["type"])), repr(scope.get("path", ""))[:300]


async def _answer(scope: Scope, send: Send, refused: Refused) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": ""})
        return
    body = json.dumps({"detail": str(refused)}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refused.status in (429, 503):
        headers.append((b"retry-after", b"10" if refused.status == 503 else b"600"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope.get("method") == "HEAD" else body})
