"""The page Export, the ZIP that is handed out, and links to it: in the hands of their owner, and of everybody else."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pyzipper
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from shown_page import button, html, page_of
from viewer import database, share, taking, tokens, visitor
from viewer.gate import Gate
from viewer.security import Guard
from viewer_world import ATTACK, START, Clip, SignedIn, World, build, owner, sign_in
from vms import passwords
from vms.catalogue import exports, sessions, shares, users
from vms.catalogue.connection import Connection
from vms.catalogue.exports import ExportRow, NewExport
from vms.exports import archive, worker
from vms.home import Home

LOBBY = {"camera": "ho/lobby", "from": "2026-01-31T08:00", "to": "2026-01-31T08:15:30"}
As = Callable[[SignedIn], None]


@pytest.fixture
def world(viewer_home: Home, viewer_clip: Clip, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(worker, "POLL_S", 0.05)
    return build(viewer_home, viewer_clip)


@pytest.fixture
def conn(world: World) -> Iterator[Connection]:
    with closing(owner(world.home)) as made:
        yield made


@pytest.fixture
def client(world: World) -> Iterator[TestClient]:
    pool = database.pool(world.home)
    layers = [Middleware(Guard), Middleware(Gate, sessions=visitor.of(pool), port=5000)]
    routes = [*taking.routes(world.home, pool), *share.routes(world.home, pool)]
    with TestClient(
        Starlette(routes=routes, middleware=layers), base_url="http://127.0.0.1:5000", raise_server_exceptions=False
    ) as made:
        yield made


def _as(client: TestClient, person: SignedIn | None) -> TestClient:
    client.cookies.clear()
    if person:
        client.cookies.set("vms_5000", person.token)
    return client


def _log(conn: Connection, *actions: str) -> list[tuple[Any, ...]]:
    with conn.cursor() as cursor:
        cursor.execute(
            "SELECT who, action, address FROM view_log WHERE action = ANY(%s) ORDER BY view_no", (list(actions),)
        )
        return cursor.fetchall()


def _user_id(conn: Connection, name: str) -> int:
    return next(one.user_id for one in users.list_users(conn) if one.name == name)


def _made(world: World, conn: Connection, person: SignedIn, **more: Any) -> ExportRow:
    """A finished export of this person."""
    what = {"cameras": (("ho", "lobby"),), "from_utc": START, "to_utc": START + timedelta(minutes=9), "reason": "theft"}
    exports.add_export(conn, NewExport(_user_id(conn, person.name), **(what | more)))
    return _work_off(world, conn)


def _work_off(world: World, conn: Connection) -> ExportRow:
    taken = exports.next_export(conn)
    assert taken
    worker.take(world.home, conn, taken, threading.Event())
    found = exports.get_export(conn, taken.export_id, 0, everybody=True)
    assert found
    assert found.state == "done"
    return found


def test_ordered_made_downloaded_shared_and_deleted_on_the_page(
    world: World, conn: Connection, look_as: As, client: TestClient, tmp_path: Path
) -> None:
    budi = sign_in(world.home, "budi", "investigator", [("ho", "")])
    look_as(budi)
    app = page_of("exports", **LOBBY)
    assert "3 recordings" in html(app)
    assert app.text_input(key="x.end").value == "08:15:30"
    button(app, "Order").click().run()
    assert app.error[0].value == "Say why."
    app.text_area(key="x.reason").set_value(f"theft {ATTACK}")
    app.checkbox(key="x.only_clips").check().run()
    assert "Only the videos cut from them" in html(app)
    app.checkbox(key="x.evidence").check()
    button(app, "Order").click().run()
    assert not app.exception
    assert "is ordered" in app.success[0].value
    (row,) = exports.list_exports(conn, 0, everybody=True)
    assert (row.who, row.cameras, row.clip, row.burn_in, row.evidence, row.only_clips) == (
        "budi", (("ho", "lobby"),), True, False, True, True,
    )  # fmt: skip
    assert (row.from_utc, row.to_utc) == (START, START + timedelta(minutes=15, seconds=30))
    assert "theft &lt;img" in html(app)
    assert "<img src=x" not in html(app)
    assert button(app, "Cancel") is not None

    _work_off(world, conn)
    app = page_of("exports")
    (link,) = re.findall(r'href="(/m/export/[^"/]+)"', html(app))
    answer = _as(client, budi).get(link)
    assert answer.status_code == 200
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers["content-disposition"] == (
        f'attachment; filename="export_{row.export_id}_2026-01-31_08-00-00.zip"'
    )
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        packed.extractall(tmp_path / "out")
    whole = subprocess.run([sys.executable, "-I", "verify.py"], cwd=tmp_path / "out", capture_output=True, check=False)
    assert whole.returncode == 0

    app.text_input[-1].set_value("1234")
    button(app, "Make a link").click().run()
    assert "6 characters" in app.error[0].value
    app.text_input[-1].set_value("kopi-tubruk")
    (also,) = [one for one in app.checkbox if one.label.startswith("The PIN also opens the ZIP")]
    also.check()
    button(app, "Make a link").click().run()
    assert "12 characters" in app.error[0].value, "what encrypts must be long"
    app.text_input[-1].set_value("kopi-tubruk-gula")
    button(app, "Make a link").click().run()
    path = app.code[0].value.partition("?")[0]
    assert "The same PIN opens it" in _as(client, None).get(path, headers={"Accept-Language": "en"}).text
    taken = _as(client, None).post(path, data={"pin": "kopi-tubruk-gula"})
    assert taken.headers["content-length"] == str(len(taken.content))
    with pyzipper.AESZipFile(io.BytesIO(taken.content)) as locked:
        with pytest.raises(RuntimeError):
            locked.read(locked.namelist()[0])
        assert locked.read("verify.py", pwd=b"kopi-tubruk-gula") == (tmp_path / "out" / "verify.py").read_bytes()
    for one in (one for one in app.checkbox if one.label.startswith("The PIN also opens the ZIP")):
        one.uncheck()
    app.text_input[-1].set_value("kopi-tubruk")
    button(app, "Make a link").click().run()
    path = app.code[0].value.partition("?")[0]
    assert share.PATH.fullmatch(path)
    assert _as(client, None).post(path, data={"pin": "kopi-tubruk"}).content == answer.content
    button(app, "Revoke link 2").click().run()
    assert _as(client, None).get(path).status_code == 404
    assert any("Link 2" in one.value and "revoked" in one.value for one in app.caption)

    button(app, "Delete this export").click().run()
    assert _as(client, budi).get(link).status_code == 404, "at once, before its files are gone"
    worker.clear(world.home, conn)
    assert "gone" in html(page_of("exports"))
    assert _log(conn, "export_ordered", "export_taken", "share", "share_taken", "share_revoked", "export_deleted") == [
        ("budi", "export_ordered", "192.0.2.7"),
        ("budi", "export_taken", "testclient"),
        ("budi", "share", "192.0.2.7"),
        ("link 1", "share_taken", "testclient"),
        ("budi", "share", "192.0.2.7"),
        ("link 2", "share_taken", "testclient"),
        ("budi", "share_revoked", "192.0.2.7"),
        ("budi", "export_deleted", "192.0.2.7"),
    ]


def test_a_password_is_given_when_the_zip_is_taken_and_kept_nowhere(
    world: World, conn: Connection, client: TestClient, look_as: As, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    budi, secret = sign_in(world.home, "budi", "investigator"), "kopi tubruk & gula jawa"
    row = _made(world, conn, budi)
    look_as(budi)
    (link,) = re.findall(r'href="(/m/export/[^"]+/locked)', html(page_of("exports")))
    page = _as(client, budi).get(link, headers={"Accept-Language": "id"})
    assert (page.status_code, "Kata sandi ZIP" in page.text) == (200, True)
    for told, said in ((("short", "short"), "at least 12"), ((secret, secret + "!"), "not the same")):
        refused = client.post(f"{link}?lang=en", data=dict(zip(("password", "again"), told, strict=True)))
        assert (refused.status_code, said in refused.text, secret in refused.text) == (400, True, False)
    form = {"password": secret, "again": secret}
    assert client.post(link, data=form, headers={"Origin": "https://evil.example"}).status_code == 403
    answer = client.post(link, data=form)
    assert answer.headers["content-length"] == str(len(answer.content))
    plain = client.get(link.removesuffix("/locked")).content
    with zipfile.ZipFile(io.BytesIO(plain)) as opened, pyzipper.AESZipFile(io.BytesIO(answer.content)) as locked:
        with pytest.raises(RuntimeError):
            locked.read(locked.namelist()[0], pwd=b"another password")
        assert locked.namelist() == opened.namelist()
        for name in opened.namelist():
            assert locked.read(name, pwd=secret.encode()) == opened.read(name), name
    assert _log(conn, "export_taken")[0] == ("budi", "export_taken", "testclient")
    with conn.cursor() as cursor:
        cursor.execute("SELECT detail FROM view_log WHERE action = 'export_taken' ORDER BY view_no LIMIT 1")
        assert cursor.fetchone() == ({"export": row.export_id, "locked": True},)
    assert secret not in caplog.text
    assert "tubruk" not in caplog.text
    assert _as(client, sign_in(world.home, "citra", "investigator")).post(link, data=form).status_code == 403


def test_what_failed_or_is_gone_is_ordered_again_as_it_was(world: World, conn: Connection, look_as: As) -> None:
    budi = sign_in(world.home, "budi", "investigator")
    row = _made(world, conn, budi, evidence=True)
    look_as(budi)
    assert button(page_of("exports"), "Order again") is None, "it is there"
    exports.ask_delete(conn, row.export_id, row.user_id, everybody=False)
    worker.clear(world.home, conn)
    app = page_of("exports")
    button(app, "Order again").click().run()
    assert not app.exception
    again, before = exports.list_exports(conn, row.user_id, everybody=False)
    assert (again.state, before.state) == ("queued", "expired")
    assert (again.cameras, again.from_utc, again.to_utc, again.reason, again.evidence, again.clip) == (
        row.cameras, row.from_utc, row.to_utc, "theft", True, False,
    )  # fmt: skip
    assert [one[:2] for one in _log(conn, "export_ordered")] == [("budi", "export_ordered")]


def test_cameras_of_two_zones_are_taken_of_the_same_moments(world: World, conn: Connection, look_as: As) -> None:
    """On the clock of the one that is named first, as Watch has it."""
    look_as(sign_in(world.home, "budi", "investigator"))
    for cameras, zone, hour in (("ho/lobby,makassar/cashier", "WIB", 1), ("makassar/cashier,ho/lobby", "WITA", 0)):
        when = {"from": "2026-01-31T08:00:00", "to": "2026-01-31T09:30:00"}
        app = page_of("exports", camera=cameras, **when)
        assert any(f"clock of the first camera ({zone})" in one.value for one in app.caption)
        app.text_area[0].set_value("theft").run()
        button(app, "Order").click().run()
        (made, *_) = exports.list_exports(conn, 0, everybody=True)
        assert made.from_utc == datetime(2026, 1, 31, hour, tzinfo=UTC)
        assert set(made.cameras) == {("ho", "lobby"), ("makassar", "cashier")}


def test_what_can_not_be_ordered_is_said(world: World, look_as: As) -> None:
    look_as(sign_in(world.home, "budi", "investigator", [("ho", "lobby"), ("makassar", "")]))
    assert "Choose one to" in html(page_of("exports"))
    assert "no archived footage" in html(page_of("exports", **(LOBBY | {"from": "2020-01-01", "to": "2020-01-01"})))
    assert "Choose one to" in html(page_of("exports", **(LOBBY | {"camera": "ho/gate"}))), (
        "what is not seen is not there"
    )
    app = page_of("exports", **LOBBY)
    app.text_input(key="x.begin").set_value("8 o'clock").run()
    assert "Write times" in html(app)
    assert app.button(key="x.order").disabled
    world.home.sites_file.write_text(world.home.sites_file.read_text() + "\nexports: {largest: 0.001MB}\n")
    assert "more than one export may have" in html(page_of("exports", **LOBBY))


def test_cancelled_from_the_page_and_not_too_many_at_once(world: World, conn: Connection, look_as: As) -> None:
    look_as(sign_in(world.home, "budi", "investigator"))
    for _ in range(5):
        exports.add_export(
            conn, NewExport(_user_id(conn, "budi"), (("ho", "lobby"),), START, START + timedelta(minutes=1), "x")
        )
    app = page_of("exports", **LOBBY)
    app.text_area(key="x.reason").set_value("theft")
    button(app, "Order").click().run()
    assert "5 exports that are not done" in app.error[0].value
    button(app, "Cancel").click().run()
    assert [row.cancel_at is not None for row in exports.list_exports(conn, 0, everybody=True)].count(True) == 1
    assert _log(conn, "export_cancelled") == [("budi", "export_cancelled", "192.0.2.7")]


def test_exports_are_of_who_ordered_them_and_of_administrators(
    world: World, conn: Connection, look_as: As, client: TestClient
) -> None:
    budi = sign_in(world.home, "budi", "investigator")
    row = _made(world, conn, budi)
    citra = sign_in(world.home, "citra", "investigator")
    look_as(citra)
    assert "Nothing was ordered yet" in html(page_of("exports"))
    link = tokens.issue_export(world.home, citra.mark, row.export_id)
    assert _as(client, citra).get(link).status_code == 404, "a link of one's own to another's export"
    stolen = tokens.issue_export(world.home, budi.mark, row.export_id)
    assert _as(client, citra).get(stolen).status_code == 403
    assert _as(client, None).get(stolen).status_code == 401
    sari = sign_in(world.home)
    look_as(sari)
    assert "budi, " in html(page_of("exports"))
    assert _as(client, sari).get(tokens.issue_export(world.home, sari.mark, row.export_id)).status_code == 200


def test_hostile_links_give_nothing(
    world: World, conn: Connection, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    budi = sign_in(world.home, "budi", "investigator", [("ho", "")])
    row = _made(world, conn, budi)
    link = tokens.issue_export(world.home, budi.mark, row.export_id)
    asked = _as(client, budi)
    assert asked.get(link).status_code == 200
    assert asked.head(link).headers["content-length"] == str(row.size_bytes)
    assert asked.get(link[:-2] + "xx").status_code == 403
    media_link = tokens.issue(world.home, budi.mark, row.export_id, START, "rendition")[0].removeprefix("/m/")
    assert asked.get(f"/m/export/{media_link}").status_code == 403, "another kind of token"
    for path in ("/m/export/..%2f..%2fsecrets", "/m/export/%2e%2e/%2e%2e/etc/passwd", "/share/../m/export/x"):
        assert asked.get(path).status_code in (401, 403, 404)
    assert asked.post(link).status_code == 405
    with monkeypatch.context() as later:
        later.setattr(time, "time", lambda: 4e9)
        assert asked.get(link).status_code == 410

    with conn.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE taken AS SELECT * FROM viewer_grant")
        cursor.execute("DELETE FROM viewer_grant")
    assert asked.get(link).status_code == 404, "no camera of it is seen any more"
    with conn.cursor() as cursor:
        cursor.execute("INSERT INTO viewer_grant SELECT * FROM taken")
    assert asked.get(link).status_code == 200

    (archive.folder_of(world.home, row.export_id) / "manifest.json").write_text("{}")
    with pytest.raises(OSError, match="shorter"):
        b"".join(
            archive.stream(archive.folder_of(world.home, row.export_id), archive.entries_of(world.home, row.export_id))
        )
    listed = archive.list_of(world.home, row.export_id)
    listed.write_text('[["../../secrets/viewer_media", 1, 1, "2026-01-01T00:00:00"]]')
    assert asked.get(link).status_code == 404
    listed.unlink()
    assert asked.get(link).status_code == 404

    users.add_user(conn, "sari", "administrator", "", "test", START, everywhere=True)
    users.set_role(conn, "budi", "viewer", "test", everywhere=True)
    assert asked.get(link).status_code == 401, "the session has ended with the role"


def _link(conn: Connection, row: ExportRow, pin: str = "", hours: float = 1.0) -> str:
    with conn.cursor() as cursor:
        cursor.execute("SELECT now()")
        (now,) = cursor.fetchone() or (START,)
    kept = passwords.hashed(pin) if pin else None
    return "/share/" + shares.add_share(conn, row.export_id, "budi", now + timedelta(hours=hours), kept)


def test_a_link_opens_one_export_and_nothing_else(world: World, conn: Connection, client: TestClient) -> None:
    budi = sign_in(world.home, "budi", "investigator")
    row = _made(world, conn, budi, evidence=True)
    path = _link(conn, row)
    nobody = _as(client, None)
    page = nobody.get(path, headers={"Accept-Language": "id"})
    assert page.status_code == 200
    assert "Rekaman untuk Anda" in page.text
    assert "31 Jan 2026 08:00:00 WIB" in page.text
    assert "verify.py" in page.text
    assert "&lt;img src=x" in page.text
    assert "<img src=x" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"
    assert "Footage for you" in nobody.get(f"{path}?lang=en").text
    taken = nobody.post(path)
    assert taken.headers["content-type"] == "application/zip"
    assert len(taken.content) == row.size_bytes
    for other in ("/", "/m/anything", tokens.issue_export(world.home, budi.mark, row.export_id), f"{path}/more"):
        assert nobody.get(other).status_code == 401
    (counted,) = shares.list_shares(conn, [row.export_id])
    assert (counted.opened, counted.taken, counted.wrong) == (2, 1, 0)


def test_links_end(world: World, conn: Connection, client: TestClient) -> None:
    budi = sign_in(world.home, "budi", "investigator")
    row = _made(world, conn, budi)
    nobody = _as(client, None)
    good, over = _link(conn, row), _link(conn, row, hours=-1)
    never = "/share/" + "x" * 43
    for path in (over, never):
        assert nobody.get(path).status_code == nobody.post(path).status_code == 404
    assert "not good" in nobody.get(over, headers={"Accept-Language": "en"}).text
    revoked = _link(conn, row)
    (newest, *_) = shares.list_shares(conn, [row.export_id])
    assert not shares.revoke_share(conn, row.export_id + 1, newest.share_id), "only beside its export"
    assert shares.revoke_share(conn, row.export_id, newest.share_id)
    assert nobody.post(revoked).status_code == 404
    assert nobody.get(good).status_code == 200
    users.add_user(conn, "sari", "administrator", "", "test", START, everywhere=True)
    users.set_disabled(conn, "budi", START, "test")
    assert nobody.get(good).status_code == 404, "who ordered it is shut out"
    users.set_disabled(conn, "budi", None, "test")
    assert nobody.post(good).status_code == 200
    users.set_role(conn, "budi", "viewer", "test", everywhere=False)
    assert nobody.post(good).status_code == nobody.get(good).status_code == 404, "who ordered it may not take any more"
    users.set_role(conn, "budi", "investigator", "test", everywhere=False)
    users.grant(conn, "budi", [row.cameras[0]], "test")
    users.revoke(conn, "budi", [], "test", everywhere=True)
    assert nobody.post(good).status_code == 200
    users.revoke(conn, "budi", [row.cameras[0]], "test")
    assert nobody.post(good).status_code == nobody.get(good).status_code == 404, "nor sees what is in it"
    users.grant(conn, "budi", [row.cameras[0]], "test")
    assert exports.ask_delete(conn, row.export_id, row.user_id, everybody=False)
    assert nobody.post(good).status_code == 404


def test_a_pin_can_not_be_guessed(world: World, conn: Connection, client: TestClient) -> None:
    row = _made(world, conn, sign_in(world.home, "budi", "investigator"))
    path = _link(conn, row, pin="kopi-tubruk")
    nobody = _as(client, None)
    assert nobody.post(path).status_code == 403
    for _ in range(sessions.MOST_FROM_ONE_PLACE - 1):
        answer = nobody.post(path, data={"pin": "123456"}, headers={"Accept-Language": "en"})
        assert answer.status_code == 403
        assert "This PIN is wrong" in answer.text
    waits = nobody.post(path, data={"pin": "kopi-tubruk"})
    assert waits.status_code == 429
    assert waits.headers["retry-after"]
    assert nobody.post(path, content=b"pin=" + b"x" * 5000).status_code == 413
    with conn.cursor() as cursor:
        cursor.execute("DELETE FROM sign_in_try")
    assert nobody.post(path, data={"pin": "kopi-tubruk"}).status_code == 200
    for _ in range(shares.MOST_WRONG):
        shares.count_share(conn, 1, "wrong")
    assert nobody.post(path, data={"pin": "kopi-tubruk"}).status_code == 404, "too often wrong, it is locked for good"
    assert ("link 1", "share_refused", "testclient") in _log(conn, "share_refused")


def test_a_revoked_link_breaks_a_download_off(world: World, conn: Connection) -> None:
    row = _made(world, conn, sign_in(world.home, "budi", "investigator"))
    entries = archive.entries_of(world.home, row.export_id)
    for password in ("", "kopi tubruk dan gula"):
        with pytest.raises(ConnectionAbortedError):
            list(taking._watched(world.home, row.export_id, entries, lambda: False, password))
