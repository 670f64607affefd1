"""What holds for every answer of the viewer: only known names are served, and browsers get strict headers.

Plain ASGI, because it must see websockets too. The Host check keeps a web page on the internet from reaching the viewer
through a name that it points at its address (DNS rebinding).
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_STORES = " <stores>"
"""Stands in the policy for the stores' origins."""

_PROBES = frozenset({"/_stcore/health", "/healthz", "/readyz"})
"""Which machines ask, without TLS and without a secret."""

LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
_INLINE = "{inline}"


class Guard:
    """The outermost layer. frame_ancestors: pages that may show the viewer in a frame, such as the local Airflow.

    names: by which it is reached, beside this machine's own. only_tls: a proxy before it does the TLS, and who comes
    past the proxy is sent away. own_machine: but not who comes by a name that means their own machine, to whose address
    alone the port of the container is published. stores: origins that pages may read footage from, asked for each page.
    """

    def __init__(
        self,
        app: ASGIApp,
        frame_ancestors: tuple[str, ...] = (),
        names: tuple[str, ...] = (),
        *,
        only_tls: bool = False,
        own_machine: bool = False,
        stores: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        self.app = app
        self._stores = stores
        self._bare = LOCAL_NAMES if own_machine else frozenset()
        self._only_tls = only_tls
        self._names = LOCAL_NAMES | frozenset(names) | {f"[{name}]" for name in names if ":" in name}
        self._policy = "; ".join(
            (
                "default-src 'self'",
                # components' code comes from blobs; of inline scripts only those that Streamlit's page brings
                f"script-src 'self' {_INLINE} 'wasm-unsafe-eval' blob:",
                "style-src 'self' 'unsafe-inline'",
                "img-src 'self' data: blob:",
                f"media-src 'self' blob:{_STORES}",
                "font-src 'self' data:",
                f"connect-src 'self'{_STORES}",
                "worker-src 'self' blob:",
                "object-src 'none'",
                "base-uri 'self'",
                "form-action 'self'",
                f"frame-ancestors 'self' {' '.join(frame_ancestors)}".strip(),
            )
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        host = Headers(scope=scope).get("host", "")
        if _name(host) not in self._names:
            if scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 4403})
                return
            refusal = PlainTextResponse(
                "This viewer does not answer under this name; VMS_VIEWER_NAMES says under which.\n", 421
            )
            await refusal(scope, receive, send)
            return

        bare = scope["scheme"] not in ("https", "wss") and _name(host) not in self._bare
        if self._only_tls and bare and scope["path"] not in _PROBES:
            if scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 4403})
                return
            refusal = PlainTextResponse("This viewer answers over https only, through its proxy.\n", 403)
            await refusal(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                is_page = headers.get("content-type", "").startswith("text/html")
                stores = await run_in_threadpool(self._stores) if is_page else ()
                policy = self._policy.replace(_STORES, "".join(f" {one}" for one in stores))
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"
                allowed = " ".join(scope.get("state", {}).get("inline", ()))
                policy = policy.replace(f"{_INLINE} ", f"{allowed} " if allowed else "")
                headers.setdefault("Content-Security-Policy", policy)  # our own pages have a stricter one
                headers["Cross-Origin-Opener-Policy"] = "same-origin"
                headers["Cross-Origin-Resource-Policy"] = "same-origin"
                headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=()"
            await send(message)

        await self.app(scope, receive, with_headers)


def is_own(asked: HTTPConnection) -> bool:
    """Whether a page of ours asks, by what browsers say of where a request comes from; other programs say nothing."""
    return asked.headers.get("sec-fetch-site", "same-origin") == "same-origin" and from_here(asked)


def from_here(asked: HTTPConnection) -> bool:
    """As is_own, by the origin alone: not every browser knows where a websocket comes from."""
    origin = asked.headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == asked.headers.get("host", "").lower()


def is_local(host: str) -> bool:
    """Whether this Host header says that the page is looked at on the viewer's own machine."""
    return _name(host) in LOCAL_NAMES


def _name(host: str) -> str:
    """The host without its port, in lower case."""
    if host.startswith("["):
        return host[: host.find("]") + 1].lower()
    return host.partition(":")[0].lower()
