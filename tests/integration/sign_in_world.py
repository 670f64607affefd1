"""The gate around a page, and how a test goes through it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from viewer import sign_in, visitor
from viewer.database import Pool
from viewer.gate import Gate
from viewer.security import Guard
from viewer_world import PASSWORD, owner
from vms.home import Home

PAGE = {"Accept": "text/html"}
ADDRESS = "192.0.2.1"
STREAM = "ws://127.0.0.1:5000/_stcore/stream"


@pytest.fixture
def home(catalogue: tuple[Home, str]) -> Home:
    return catalogue[0]


@pytest.fixture
def client(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The gate around a page that tells what it was told, and a websocket that echoes."""
    monkeypatch.setattr(visitor, "FRESH_S", 0.0)
    pool = Pool(home)

    async def page(request: Request) -> JSONResponse:
        return JSONResponse({"session": request.headers.get(visitor.HEADER), "name": request.state.visitor.name})

    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                app.state.heard = await socket.receive_bytes()
                await socket.send_bytes(app.state.heard)
        except WebSocketDisconnect:
            pass

    app = Starlette(
        routes=[
            *sign_in.routes(home, pool),
            Route("/", page),
            Route("/static/index.js", page),
            Route("/change", page, methods=["POST", "PUT", "PATCH", "DELETE"]),
            Route("/_stcore/health", lambda _: JSONResponse("ok")),
            WebSocketRoute("/_stcore/stream", echo),
        ],
        middleware=[Middleware(Guard), Middleware(Gate, sessions=visitor.of(pool), port=home.viewer_port)],
    )
    with TestClient(app, base_url="http://127.0.0.1:5000", follow_redirects=False, client=(ADDRESS, 1)) as made:
        yield made
    pool.close()


def filled(client: TestClient, **fields: str) -> dict[str, str]:
    page = client.get("/sign-in", headers=PAGE)
    found = re.search(r'name="form" value="([0-9a-f]+)"', page.text)
    assert found
    return {"form": found.group(1), "next": "/"} | fields


def enter(client: TestClient, name: str = "sari", password: str = PASSWORD, **fields: str) -> Any:
    return client.post("/sign-in", data=filled(client, name=name, password=password, **fields))


def logged(home: Home) -> list[tuple[Any, ...]]:
    with closing(owner(home)) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT who, action, address, detail FROM view_log ORDER BY view_no")
        return [row for row in cursor.fetchall() if row[1].startswith("sign")]


def change(home: Home, sql: str) -> None:
    with closing(owner(home)) as conn, conn.cursor() as cursor:
        cursor.execute(sql)
