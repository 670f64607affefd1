"""People at the viewer: each a browser's worth of HTTP and websocket, signed in as a user of their own.

They speak what Streamlit's page speaks: a rerun is asked for over the websocket, and over when the script says so;
fragments that renew themselves are asked for again at their interval. What a page then fetches by itself (posters,
timeline, playlist, footage by range) is fetched as the browser would, what it has already is not fetched again. Every
answer is looked at: one that is no right answer is an error, never a quick success.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.typing import Origin, Subprotocol

from viewer.words_en import TEXT

_LINK = re.compile(rb"/m/[A-Za-z0-9_.\-]{20,}")
_RECORDING = re.compile(rb"recording=([0-9A-Za-z_.%:+-]+)")
_WRONG = [TEXT[key].encode() for key in ("app.away.title", "app.not_allowed", "sign_in.needed")]
_FAULT = TEXT["app.fault.text"].split("{")[0].encode()
_PATIENCE_S = 60
_AT_ONCE = 6  # requests of one browser to one host


class Wrong(Exception):
    """An answer that is none."""


@dataclass
class Seen:
    """What everybody has measured. times: by action, in ms. requests: how many HTTP requests there were."""

    times: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    requests: int = 0
    bytes: int = 0

    def add(self, action: str, began: float) -> None:
        self.times.setdefault(action, []).append((time.perf_counter() - began) * 1000)


@dataclass(frozen=True)
class Who:
    """Somebody who has signed in. sites: that they see. cameras: of the site with five-minute files that they see."""

    name: str
    cookie: str
    sites: tuple[str, ...]
    cameras: tuple[str, ...]
    may_export: bool


class Person:
    """One of them, with a page open."""

    def __init__(self, url: str, who: Who, now: datetime, seen: Seen, think_s: float, seed: int) -> None:
        self.url, self.who, self.now, self.seen, self.think_s = url, who, now, seen, think_s
        self.random = random.Random(seed)  # the same walk each time
        self.headers = {"Cookie": who.cookie, "Accept-Language": "en"}
        self.loaded: set[bytes] = set()
        self.page = ""
        self.query = ""
        self.turn = asyncio.Lock()
        self.renewals: dict[str, float] = {}
        self.renewing: list[asyncio.Task[None]] = []

    async def live(self, begin_s: float, end: float) -> None:
        """Come after a while, use the pages until `end` (of the monotonic clock), go."""
        await asyncio.sleep(begin_s)
        limits = httpx.Limits(max_connections=_AT_ONCE, max_keepalive_connections=_AT_ONCE)
        async with httpx.AsyncClient(
            base_url=self.url, headers=self.headers, limits=limits, timeout=_PATIENCE_S
        ) as self.http:
            try:
                there = await self._told("open the page", self.arrive)
                while there and time.monotonic() < end:
                    await asyncio.sleep(self.random.uniform(0.5, 1.5) * self.think_s)
                    await self.deed()
            finally:
                for one in self.renewing:
                    one.cancel()
                with contextlib.suppress(Exception):
                    await self.socket.close()

    async def deed(self) -> None:
        deeds: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (8, self.search),
            (5, self.recording),
            (2, self.sites),
        ]
        deeds += [(2, self.coverage)]
        if self.who.cameras:
            deeds.append((6, self.watch))
        if self.who.may_export:
            deeds.append((2, self.exports))
        weights = [weight for weight, _ in deeds]
        (deed,) = self.random.choices([one for _, one in deeds], weights)
        await self._told(deed.__name__, deed)

    async def _told(self, what: str, deed: Callable[[], Awaitable[None]]) -> bool:
        """Do it; whether it went well."""
        try:
            await asyncio.wait_for(deed(), _PATIENCE_S)
        except (Wrong, TimeoutError, OSError, httpx.HTTPError, websockets.WebSocketException) as error:
            self.seen.errors.append(f"{self.who.name}, {what}: {type(error).__name__} {error}")
            return False
        return True

    # ---- what people do
    async def arrive(self) -> None:
        began = time.perf_counter()
        page = await self.get("/", accept="text/html")
        if b"<title>" not in page:
            raise Wrong("no page")
        await self.get("/_stcore/host-config")
        self.socket = await websockets.connect(
            f"{self.url.replace('http', 'ws', 1)}/_stcore/stream",
            additional_headers=self.headers,
            origin=Origin(self.url),
            subprotocols=[Subprotocol("streamlit")],
            max_size=None,
        )
        text = await self.run("", {})
        self.seen.add("page: open the viewer", began)
        await self.posters(text)

    async def search(self) -> None:
        day = (self.now - timedelta(days=self.random.choice((0, 1, 1, 1)))).date()
        query = {"from": f"{day}", "to": f"{day}"}
        if self.random.random() < 0.7:
            query["site"] = self.random.choice(self.who.sites)
        text = await self.timed("page: search", "", query)
        if not _LINK.search(text):
            raise Wrong(f"found nothing for {query}")
        await self.posters(text)

    async def recording(self) -> None:
        found = _RECORDING.findall(self.last_search) if hasattr(self, "last_search") else []
        if not found:
            await self.search()
            found = _RECORDING.findall(self.last_search)
        one = self.random.choice(found).decode().replace("%3A", ":").replace("%2B", "+")
        text = await self.timed("page: open a recording", "", {"recording": one})
        links = _LINK.findall(text)
        if not links:
            raise Wrong("a recording without links")
        await self.part("footage: first bytes of a recording", links[0].decode(), 0, 99_999)

    async def sites(self) -> None:
        text = await self.timed("page: Sites", "sites", {})
        if self.who.sites[0].encode() not in text:
            raise Wrong("no sites")

    async def coverage(self) -> None:
        text = await self.timed("page: Coverage", "coverage", {"site": self.random.choice(self.who.sites)})
        if b"cells" not in text:
            raise Wrong("no map")

    async def exports(self) -> None:
        await self.timed("page: Export", "exports", {})

    async def watch(self) -> None:
        """Cameras of the site with short files, at some moment of the last day; some pieces are played."""
        at = self.now - timedelta(hours=self.random.uniform(3, 26))
        cameras = ",".join(f"site000/{one}" for one in self.who.cameras)
        shown = self.random.choice(self.who.cameras)
        await self.timed("page: Watch", "watch", {"camera": cameras, "at": f"{at:%Y-%m-%dT%H:%M:%SZ}"})
        middle = int(at.timestamp() * 1000)
        hour = 3_600_000
        day = {"camera": cameras, "from": middle - 12 * hour, "to": middle + 12 * hour}
        some = {"camera": f"site000/{shown}", "from": middle - hour // 3, "to": middle + hour, "at": middle}
        began = time.perf_counter()
        both = await asyncio.gather(
            self.json("timeline", day, "timeline of a day"), self.json("playlist", {**some, "can": "h264"}, "playlist")
        )
        if len(both[0]["cameras"]) != len(self.who.cameras) or not both[0]["cameras"][0]["spans"]:
            raise Wrong("an empty timeline")
        lines = both[1]["playlist"].splitlines()
        maps = [re.findall(r'URI="([^"]+)",BYTERANGE="(\d+)@(\d+)"', one) for one in lines if "EXT-X-MAP" in one]
        pieces = [
            (lines[number + 1], *map(int, one.partition(":")[2].split("@")))
            for number, one in enumerate(lines)
            if one.startswith("#EXT-X-BYTERANGE")
        ]
        if not maps or not pieces:
            raise Wrong("nothing to play")
        url, size, start = maps[0][0]
        await self.part("footage: a piece", url, int(start), int(start) + int(size) - 1)
        first = self.random.randrange(len(pieces) // 2)
        await self.part("footage: a piece", pieces[first][0], pieces[first][2], sum(pieces[first][1:]) - 1)
        self.seen.add("watch: from the page to its first piece", began)
        for url, size, start in pieces[first + 1 : first + 4]:
            await asyncio.sleep(self.random.uniform(1, 3))
            await self.part("footage: a piece", url, start, start + size - 1)

    # ---- how a browser does it
    async def timed(self, action: str, page: str, query: dict[str, str]) -> bytes:
        began = time.perf_counter()
        text = await self.run(page, query)
        self.seen.add(action, began)
        if not page and "recording" not in query:
            self.last_search = text
        return text

    async def run(self, page: str, query: dict[str, str]) -> bytes:
        """Run the page's script, all of it; not before a renewal that is under way has its answer."""
        async with self.turn:
            for one in self.renewing:
                one.cancel()
            self.renewals.clear()
            self.page, self.query = page, urlencode(query)
            text = await self._run("")
        self.renewing = [asyncio.create_task(self._renew(*one)) for one in self.renewals.items()]
        return text

    async def _renew(self, fragment: str, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            async with self.turn:
                began = time.perf_counter()
                try:
                    await asyncio.wait_for(self._run(fragment), _PATIENCE_S)
                except (Wrong, TimeoutError, OSError, websockets.WebSocketException) as error:
                    self.seen.errors.append(f"{self.who.name}, renewing {self.page}: {error}")
                    return
                self.seen.add("a page renews itself", began)

    async def _run(self, fragment: str) -> bytes:
        message = BackMsg()
        asked = message.rerun_script
        asked.query_string, asked.page_name = self.query, self.page
        asked.fragment_id, asked.is_auto_rerun = fragment, bool(fragment)
        await self.socket.send(message.SerializeToString())
        got: list[bytes] = []
        while True:
            data = await self.socket.recv()
            assert isinstance(data, bytes)
            self.seen.bytes += len(data)
            told = ForwardMsg.FromString(data)
            kind = told.WhichOneof("type")
            if kind == "delta":
                got.append(data)
            elif kind == "auto_rerun":
                self.renewals[told.auto_rerun.fragment_id] = told.auto_rerun.interval
            elif kind == "page_not_found":
                raise Wrong("there is no such page")
            elif kind == "script_finished" and told.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                if told.script_finished == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
                    raise Wrong("the script did not compile")
                break
        text = b"".join(got)
        if not text or _FAULT in text or any(one in text for one in _WRONG):
            raise Wrong(f"the page says {text[:300]!r}")
        return text

    async def posters(self, text: bytes) -> None:
        links = [one for one in dict.fromkeys(_LINK.findall(text)) if one not in self.loaded][:24]
        self.loaded.update(links)
        began = time.perf_counter()
        await asyncio.gather(*(self.get(one.decode()) for one in links))
        if len(links) > 5:
            self.seen.add("pictures of a search, all", began)

    async def get(self, path: str, accept: str = "*/*") -> bytes:
        answer = await self.http.get(path, headers={"Accept": accept})
        self.seen.requests += 1
        if answer.status_code != 200:
            raise Wrong(f"{answer.status_code} for {path[:60]}")
        self.seen.bytes += len(answer.content)
        return answer.content

    async def json(self, what: str, params: dict[str, object], action: str) -> dict[str, Any]:
        began = time.perf_counter()
        answer = await self.http.get(f"/api/watch/{what}?{urlencode({'lang': 'en', **params})}")
        self.seen.requests += 1
        self.seen.bytes += len(answer.content)
        if answer.status_code != 200:
            raise Wrong(f"{answer.status_code} for {what}: {answer.text[:200]}")
        self.seen.add(f"watch: {action}", began)
        return answer.json()

    async def part(self, action: str, path: str, first: int, last: int) -> None:
        began = time.perf_counter()
        answer = await self.http.get(path, headers={"Range": f"bytes={first}-{last}"})
        self.seen.requests += 1
        self.seen.bytes += len(answer.content)
        if answer.status_code != 206 or not answer.content:
            raise Wrong(f"{answer.status_code} for a piece of footage")
        self.seen.add(action, began)
