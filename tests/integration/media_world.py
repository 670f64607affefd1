"""Footage as a browser fetches it: who asks, and the routes behind the same gate as in the viewer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import BaseRoute
from starlette.testclient import TestClient

from viewer import media, tokens, visitor
from viewer.database import Pool
from viewer.gate import Gate
from viewer.security import Guard
from viewer_world import Clip, SignedIn, World, build, owner, sign_in
from vms.catalogue.rows import RecordingRow
from vms.home import Home

LinkTo = Callable[..., str]


@pytest.fixture
def world(catalogue: tuple[Home, str], viewer_clip: Clip) -> World:
    return build(catalogue[0], viewer_clip)


@pytest.fixture
def person(world: World) -> SignedIn:
    return sign_in(world.home)


@contextmanager
def gated(
    world: World, person: SignedIn, routes: Callable[[Home, Pool], Sequence[BaseRoute]], *inner: Middleware
) -> Iterator[TestClient]:
    """This person, as a client of these routes. inner: what else lies between the gate and them."""
    pool = Pool(world.home)
    layers = [Middleware(Guard), Middleware(Gate, sessions=visitor.of(pool), port=5000), *inner]
    app = Starlette(routes=routes(world.home, pool), middleware=layers)
    with TestClient(app, base_url="http://127.0.0.1:5000", cookies={"vms_5000": person.token}) as made:
        yield made
    pool.close()


@pytest.fixture
def client(world: World, person: SignedIn) -> Iterator[TestClient]:
    """Asks for media."""
    with gated(world, person, media.routes, Middleware(GZipMiddleware)) as made:
        yield made


@pytest.fixture
def row(world: World) -> RecordingRow:
    return next(one for one in world.rows() if one.camera == "lobby" and one.state == "archived")


@pytest.fixture
def link_to(world: World, person: SignedIn) -> LinkTo:
    def made(row: RecordingRow, part: tokens.Part = "rendition", how: tokens.Disposition = "inline") -> str:
        return tokens.issue(world.home, person.mark, row.id, row.start_utc, part, how)[0]

    return made


def selected(world: World, sql: str) -> list[tuple[object, ...]]:
    with closing(owner(world.home)) as conn, conn.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()
