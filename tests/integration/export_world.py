"""Exports that people order: how a test orders one, makes it, and takes it out of the hands of the viewer."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from viewer import database, share, taking, visitor
from viewer.gate import Gate
from viewer.security import Guard
from viewer_world import START, Clip, SignedIn, World, add_user, build, owner
from vms.catalogue import exports, users
from vms.catalogue.connection import Connection, connect, url
from vms.catalogue.exports import ExportRow, NewExport
from vms.exports import archive, worker
from vms.home import Home

BOTH = (("ho", "lobby"), ("makassar", "cashier"))
END = START + timedelta(minutes=15)
As = Callable[[SignedIn], None]
Order = Callable[..., int]


@pytest.fixture
def world(viewer_home: Home, viewer_clip: Clip, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(worker, "POLL_S", 0.05)
    return build(viewer_home, viewer_clip)


@pytest.fixture
def order(world: World) -> Order:
    """Orders as the viewer does: with its role, as this user."""

    def make(name: str = "budi", sees: Any = None, **more: Any) -> int:
        add_user(world.home, name, more.pop("role", "investigator"), sees)
        with closing(owner(world.home)) as conn:
            (user,) = [one for one in users.list_users(conn) if one.name == name]
        made = {"cameras": BOTH, "from_utc": START, "to_utc": END, "reason": "theft"} | more
        with closing(connect(url(world.home, "viewer"), asking=str(user.user_id) if sees else "*")) as conn:
            return exports.add_export(conn, NewExport(user.user_id, **made))

    return make


@pytest.fixture
def client(world: World) -> Iterator[TestClient]:
    pool = database.pool(world.home)
    layers = [Middleware(Guard), Middleware(Gate, sessions=visitor.of(pool), port=5000)]
    routes = [*taking.routes(world.home, pool), *share.routes(world.home, pool)]
    with TestClient(
        Starlette(routes=routes, middleware=layers), base_url="http://127.0.0.1:5000", raise_server_exceptions=False
    ) as made:
        yield made


def row(conn: Connection, export_id: int) -> ExportRow:
    found = exports.get_export(conn, export_id, 0, everybody=True)
    assert found
    return found


def work_off(world: World, conn: Connection) -> ExportRow:
    """What the worker does with the next order."""
    taken = exports.next_export(conn)
    assert taken
    worker.take(world.home, conn, taken, threading.Event())
    return row(conn, taken.export_id)


def unzipped(world: World, export_id: int, to: Path) -> Path:
    entries = archive.entries_of(world.home, export_id)
    data = b"".join(archive.stream(archive.folder_of(world.home, export_id), entries))
    assert len(data) == archive.length(entries)
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        assert packed.testzip() is None
        packed.extractall(to)
    return to


def as_person(client: TestClient, person: SignedIn | None) -> TestClient:
    client.cookies.clear()
    if person:
        client.cookies.set("vms_5000", person.token)
    return client


def logged(conn: Connection, *actions: str) -> list[tuple[Any, ...]]:
    with conn.cursor() as cursor:
        cursor.execute(
            "SELECT who, action, address FROM view_log WHERE action = ANY(%s) ORDER BY view_no", (list(actions),)
        )
        return cursor.fetchall()


def user_id_of(conn: Connection, name: str) -> int:
    return next(one.user_id for one in users.list_users(conn) if one.name == name)


def finished(world: World, conn: Connection, person: SignedIn, **more: Any) -> ExportRow:
    """A finished export of this person."""
    what = {"cameras": (("ho", "lobby"),), "from_utc": START, "to_utc": START + timedelta(minutes=9), "reason": "theft"}
    exports.add_export(conn, NewExport(user_id_of(conn, person.name), **(what | more)))
    done = work_off(world, conn)
    assert done.state == "done"
    return done
