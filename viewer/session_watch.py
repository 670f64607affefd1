"""Streamlit's page as it leaves us: with an eye on its session, and with leave for its own inline scripts alone.

The eye is a small script that must not depend on anything that the page draws: a session can end after the page came
and before it has a websocket, and such a page would wait for ever.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATH = "/session.js"
_FILE = Path(__file__).resolve().parent / "front" / "session.js"
_BEFORE = b"</head>"
_TAG = f'<script src="{PATH}"></script>'.encode()
_INLINE = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
_LEFT_OUT = frozenset({b"accept-encoding", b"range", b"if-range", b"if-none-match", b"if-modified-since"})
"""What would make the answer another one than the whole page as it is."""


def routes() -> list[Route]:
    """The route of the script."""

    async def script(_request: Request) -> Response:
        return FileResponse(_FILE, media_type="text/javascript", headers={"Cache-Control": "no-cache"})

    return [Route(PATH, script, methods=["GET"])]


async def serve(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Let the app answer, and put the script into the answer when it is a page.

    Told to the guard in scope["state"]["inline"]: which scripts of the page may run, as sources of a policy.
    """
    scope["headers"] = [pair for pair in scope["headers"] if pair[0].lower() not in _LEFT_OUT]
    start: Message | None = None
    body = b""

    async def with_script(message: Message) -> None:
        nonlocal start, body
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if message["status"] == 200 and headers.get("content-type", "").startswith("text/html"):
                start = message
                return
        elif start is not None and message["type"] == "http.response.body":
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            body = body.replace(_BEFORE, _TAG + _BEFORE, 1)
            scope.setdefault("state", {})["inline"] = [_source(script) for script in _INLINE.findall(body)]
            headers = MutableHeaders(scope=start)
            headers["Content-Length"] = str(len(body))
            for name in ("etag", "last-modified", "accept-ranges"):
                del headers[name]
            await send(start)
            message = {"type": "http.response.body", "body": body}
        await send(message)

    await app(scope, receive, with_script)


def _source(script: bytes) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(script).digest()).decode()}'"
