"""The gate: nothing of the viewer is served to whom has not signed in, whatever the address.

Plain ASGI around everything, so that pages, static files, websockets and media fall under one rule. A websocket is
asked again with each message, because what it knew at its beginning may have ended since.
"""

from __future__ import annotations

import logging
import time
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request, cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.proto.BackMsg_pb2 import BackMsg

from viewer import figures, session_watch, share, sign_in, visitor
from viewer.database import AWAY
from viewer.security import from_here, is_own
from viewer.visitor import Sessions, Visitor
from vms.catalogue.sessions import hash_of

log = logging.getLogger(__name__)

OPEN = (
    figures.OPEN
    | sign_in.PATHS
    | {"/_stcore/health", "/favicon.png", "/favicon.ico", session_watch.PATH}
    | frozenset(sign_in.AHEAD)
)
"""What everybody gets: whether the viewer runs, its icon, the ways to sign in, a script without secrets, and those of
Streamlit's public files that a browser fetches ahead. Beside it the page of a share and the figures for monitoring;
both ask for a token of their own."""

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing; all others are for our own pages only."""

_QUIET = frozenset({"/session"})
"""What a page asks by itself, which is nothing that the person does."""

_HEADER = visitor.HEADER.encode()


class Gate:
    """Around the app. port: of the viewer, by which its cookie is named."""

    def __init__(self, app: ASGIApp, sessions: Sessions, port: int) -> None:
        self.app = app
        self._sessions = sessions
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        scope["headers"] = [pair for pair in scope["headers"] if pair[0].lower() != _HEADER]  # ours alone to set
        if scope["type"] == "websocket" and not from_here(HTTPConnection(scope)):
            await self._refuse(scope, receive, send, away=False)
            return
        if scope["type"] == "http" and (scope["path"] in OPEN or share.PATH.fullmatch(scope["path"])):
            await self.app(scope, receive, send)
            return
        token = self._token(scope)
        token_hash = hash_of(token) if token else None
        try:
            person = await self._find(token_hash, scope, afresh=scope["type"] == "websocket" or _is_page(scope))
        except AWAY as error:
            log.warning("Whether somebody has signed in can't be known, the catalogue does not answer: %s", error)
            await self._refuse(scope, receive, send, away=True)
            return
        if person is None or token_hash is None:
            await self._refuse(scope, receive, send, away=False)
            return
        told = f"{token_hash.hex()} {person.address}"
        scope["headers"] = [*scope["headers"], (_HEADER, told.encode())]
        scope.setdefault("state", {}).update(visitor=person, session=token_hash)
        if scope["type"] == "websocket":
            await self._websocket(token_hash, scope, receive, send)
            return
        if scope["method"] not in _READING and not is_own(HTTPConnection(scope)):
            await PlainTextResponse("Another page asked for this.\n", 403)(scope, receive, send)
            return
        if scope["path"] not in _QUIET:
            await self._touch(token_hash)
        await self._http(token_hash, scope, receive, send)

    def _token(self, scope: Scope) -> str:
        cookies = cookie_parser(Headers(scope=scope).get("cookie", ""))
        return cookies.get(sign_in.cookie_name(scope, self._port), "")[:200]

    async def _find(self, token_hash: bytes | None, scope: Scope, *, afresh: bool = False) -> Visitor | None:
        if token_hash is None:
            return None
        address = scope["client"][0] if scope.get("client") else ""
        # a page is a hundred messages: a thread for each would be most of what it costs
        known = None if afresh else self._sessions.fresh(token_hash, address)
        return known or await run_in_threadpool(self._sessions.find, token_hash, address, afresh=afresh)

    async def _touch(self, token_hash: bytes) -> None:
        if not self._sessions.touched_lately(token_hash):
            await run_in_threadpool(self._sessions.touch, token_hash)

    async def _still(self, token_hash: bytes, scope: Scope) -> bool:
        """Whether the session is open. While that can't be known: no."""
        try:
            return await self._find(token_hash, scope) is not None
        except AWAY:
            return False

    async def _http(self, token_hash: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        """A long answer, such as a download, is broken off when the session ends meanwhile."""
        looked = time.monotonic()

        async def checked(message: Message) -> None:
            nonlocal looked
            due = message["type"] == "http.response.body" and scope["method"] == "GET"
            if due and time.monotonic() - looked > visitor.FRESH_S:
                looked = time.monotonic()
                if not await self._still(token_hash, scope):
                    raise ConnectionAbortedError("The session has ended.")
            await send(message)

        if _is_page(scope):
            await session_watch.serve(self.app, scope, receive, checked)
        else:
            await self.app(scope, receive, checked)

    async def _websocket(self, token_hash: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        closed = False

        async def close() -> None:
            nonlocal closed
            if not closed:
                closed = True
                await send({"type": "websocket.close", "code": 4401})

        async def checked_receive() -> Message:
            message = await receive()
            if message["type"] != "websocket.receive":
                return message
            if closed or not await self._still(token_hash, scope):
                await close()
                return {"type": "websocket.disconnect", "code": 4401}
            if _by_person(message.get("bytes")):
                await self._touch(token_hash)
            return message

        async def checked_send(message: Message) -> None:
            if message["type"] == "websocket.send" and not closed and not await self._still(token_hash, scope):
                await close()
            if not closed:
                await send(message)

        await self.app(scope, checked_receive, checked_send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, *, away: bool) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4503 if away else 4401})
            return
        request = Request(scope)
        answer: Response
        if away:
            answer = sign_in.away(request) if _wants_html(scope) else PlainTextResponse("The catalogue is away.\n", 503)
        elif _is_page(scope):
            path = scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
            answer = RedirectResponse(f"{sign_in.PATH}?next={quote(path, safe='/')}", 303)
        else:
            answer = PlainTextResponse("Sign in first.\n", 401)
        answer.headers["Cache-Control"] = "no-store"
        await answer(scope, receive, send)


def _wants_html(scope: Scope) -> bool:
    """Whether a browser is about to show the answer to a person."""
    return (
        scope["type"] == "http" and scope["method"] == "GET" and "text/html" in Headers(scope=scope).get("accept", "")
    )


def _is_page(scope: Scope) -> bool:
    """Whether one of Streamlit's pages is asked for."""
    return _wants_html(scope) and not scope["path"].startswith(("/m/", "/_stcore/"))


def _by_person(message: bytes | None) -> bool:
    """Whether a person caused this message of the page, rather than its own clock."""
    if not message:
        return False
    try:
        told = BackMsg.FromString(message)
    except Exception:  # noqa: BLE001  # whatever it is, Streamlit will refuse it
        return False
    return told.WhichOneof("type") == "rerun_script" and not told.rerun_script.is_auto_rerun
