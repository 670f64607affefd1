"""Sessions behind the gate: what ends one, what keeps it open, and that none is taken for open from memory for long."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from streamlit.proto.BackMsg_pb2 import BackMsg

from sign_in_world import PAGE, STREAM, change
from sign_in_world import client as client  # fixtures
from sign_in_world import home as home
from viewer import gate, visitor
from viewer_world import owner
from viewer_world import sign_in as signed_in
from vms.home import Home


@pytest.mark.parametrize(
    "end",
    [
        "UPDATE viewer_session SET seen_at = now() - interval '2 hours 1 second'",
        "UPDATE viewer_session SET made_at = now() - interval '12 hours 1 second'",
        "UPDATE viewer_user SET disabled_at = now()",
        "DELETE FROM viewer_session",
    ],
)
def test_what_ends_a_session_ends_what_is_open(client: TestClient, home: Home, end: str) -> None:
    client.cookies.set("vms_5000", signed_in(home).token)
    with client.websocket_connect(STREAM) as socket:
        socket.send_bytes(b"one")
        assert socket.receive_bytes() == b"one"
        change(home, end)
        socket.send_bytes(b"two")
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_bytes()
        assert closed.value.code == 4401
    assert client.app.state.heard == b"one", "the app does not even hear what came after"  # type: ignore[attr-defined]
    assert client.get("/").status_code == 401
    assert client.get("/session").status_code == 401


def test_a_page_and_a_websocket_are_never_from_memory(
    client: TestClient, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a reload just after the end would bring a page that waits for ever."""
    monkeypatch.setattr(visitor, "FRESH_S", 3600.0)
    client.cookies.set("vms_5000", signed_in(home).token)
    assert client.get("/static/index.js").status_code == 200
    change(home, "DELETE FROM viewer_session")
    assert client.get("/static/index.js").status_code == 200, "this is known from before"
    assert client.get("/", headers=PAGE).status_code == 303
    client.cookies.set("vms_5000", signed_in(home, "budi").token)
    assert client.get("/static/index.js").status_code == 200
    change(home, "DELETE FROM viewer_session")
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(STREAM):
        pass


def test_a_page_of_many_messages_waits_for_no_thread(
    client: TestClient, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def counted(work: Any, *given: Any, **named: Any) -> Any:
        asked.append(work.__name__)
        return work(*given, **named)

    monkeypatch.setattr(visitor, "FRESH_S", 3600.0)
    monkeypatch.setattr(gate, "run_in_threadpool", counted)
    client.cookies.set("vms_5000", signed_in(home).token)
    with client.websocket_connect(STREAM) as socket:
        message = BackMsg()
        message.rerun_script.query_string = "site=ho"
        for _ in range(20):
            socket.send_bytes(message.SerializeToString())
            socket.receive_bytes()
        assert client.get("/").status_code == 200
    assert asked == ["find", "touch"]


def test_only_what_a_person_does_keeps_a_session_open(client: TestClient, home: Home) -> None:
    """A page that renews itself, or asks whether it may stay, is not somebody at work."""
    client.cookies.set("vms_5000", signed_in(home).token)

    def seen_again(send: Any) -> bool:
        change(home, "UPDATE viewer_session SET seen_at = now() - interval '1 hour'")
        for one in visitor._by_pool.values():
            one._known.clear()
        send()
        with closing(owner(home)) as conn, conn.cursor() as cursor:
            cursor.execute("SELECT seen_at > now() - interval '1 minute' FROM viewer_session")
            (found,) = cursor.fetchone() or (False,)
            return bool(found)

    by_clock, by_person = BackMsg(), BackMsg()
    by_clock.rerun_script.is_auto_rerun = True
    by_person.rerun_script.query_string = "site=ho"
    assert not seen_again(lambda: client.get("/session"))
    assert seen_again(lambda: client.get("/"))
    with client.websocket_connect(STREAM) as socket:

        def say(message: BackMsg) -> None:
            socket.send_bytes(message.SerializeToString())
            socket.receive_bytes()

        assert not seen_again(lambda: say(by_clock))
        assert seen_again(lambda: say(by_person))
