"""Streamlit's own scripts and styles, sooner: sent compressed, and announced with the page that will need them.

Streamlit serves them as they are, some megabytes at a first visit, and the browser asks for what draws the elements of
a page only when the first of them has come, one file after the other. Over a thin line that was most of the wait. Who
is about to sign in gets them ahead, while the password is being written: they are Streamlit's, the same for everybody.
"""

from __future__ import annotations

import gzip
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import streamlit
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

FOLDER = Path(streamlit.__file__).resolve().parent / "static"
"""Where Streamlit keeps its page, and beside it all that lies under /static/."""

_KINDS = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
_EVERY_PAGE = ("Html", "PageLink", "ButtonGroup", "BidiComponent")
"""Scripts for the elements that every page has, as their names begin."""

_IMPORT = re.compile(r"""(?:from|import)\s*["']\./([\w.~-]+\.js)["']""")
_NAMED = re.compile(r"static/js/([\w.~-]+\.js)")
_OF_PAGE = re.compile(r"""["']\./(static/[\w./~-]+)["']""")


class Assets:
    """Around the app. more: further links (RFC 8288) for the page of an address, by its path."""

    def __init__(self, app: ASGIApp, folder: Path = FOLDER, more: Mapping[str, Sequence[str]] | None = None) -> None:
        self.app = app
        self._files = {f"/{one.relative_to(folder).as_posix()}": one for one in _packable(folder / "static")}
        self._links = [*_scripts(folder / "static" / "js", folder / "index.html"), *_fonts(folder / "static")]
        self._more = more or {}
        self._packed = lru_cache(maxsize=256)(_pack)
        if not self._links:
            log.warning("Streamlit's files have other names than expected: pages come slower to a new browser.")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        file = self._files.get(scope["path"])
        if file is not None and "gzip" in headers.get("accept-encoding", "") and "range" not in headers:
            body = await run_in_threadpool(self._packed, file)
            answer = Response(
                body,
                headers={
                    "Content-Encoding": "gzip",
                    "Content-Type": _KINDS[file.suffix],
                    "Cache-Control": "public, immutable, max-age=31536000",
                    "Vary": "Accept-Encoding",
                },
            )
            await answer(scope, receive, send)
            return

        async def announced(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                told = MutableHeaders(scope=message)
                # our own pages have a policy of their own, and nothing of Streamlit
                if told.get("content-type", "").startswith("text/html") and "content-security-policy" not in told:
                    told["Link"] = ", ".join((*self._links, *self._more.get(scope["path"], ())))
            await send(message)

        await self.app(scope, receive, announced)


def ahead(folder: Path = FOLDER) -> tuple[str, ...]:
    """The addresses of all with which a page begins: what it names itself, and what is announced with it."""
    page, static = folder / "index.html", folder / "static"
    own = [f"/{name}" for name in _OF_PAGE.findall(page.read_text())] if page.exists() else []
    announced = [link[1 : link.index(">")] for link in (*_scripts(static / "js", page), *_fonts(static))]
    return tuple(dict.fromkeys((*own, *announced)))


def _packable(folder: Path) -> Iterable[Path]:
    return (one for kind in _KINDS for one in folder.rglob(f"*{kind}"))


def _pack(file: Path) -> bytes:
    return gzip.compress(file.read_bytes(), 6, mtime=0)


def _scripts(folder: Path, page: Path) -> list[str]:
    """The scripts for what every page has, with all that they import, but without what the page itself names."""
    known = set(_NAMED.findall(page.read_text())) if page.exists() else set()
    waiting = [one.name for name in _EVERY_PAGE for one in folder.glob(f"{name}.*.js")]
    found: list[str] = []
    while waiting:
        name = waiting.pop()
        if name in known or not (folder / name).is_file():
            continue
        known.add(name)
        found.append(name)
        waiting += _IMPORT.findall((folder / name).read_text())
    return [f"</static/js/{name}>; rel=modulepreload" for name in sorted(found)]


def _fonts(folder: Path) -> list[str]:
    names = sorted(one.name for one in folder.glob("media/MaterialSymbols-Rounded.*.woff2"))
    return [f'</static/media/{name}>; rel=preload; as=font; type="font/woff2"; crossorigin' for name in names]
