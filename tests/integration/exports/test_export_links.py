"""Links to an export: what they open for whom, how they end, and what no hostile hand gets by one."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from export_world import as_person, finished, logged
from viewer import taking, tokens
from viewer_world import START, World, sign_in
from vms import passwords
from vms.catalogue import exports, sessions, shares, users
from vms.catalogue.connection import Connection
from vms.catalogue.exports import ExportRow
from vms.exports import archive


def test_hostile_links_give_nothing(
    world: World, conn: Connection, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    budi = sign_in(world.home, "budi", "investigator", [("ho", "")])
    row = finished(world, conn, budi)
    link = tokens.issue_export(world.home, budi.mark, row.export_id)
    asked = as_person(client, budi)
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
    row = finished(world, conn, budi, evidence=True)
    path = _link(conn, row)
    nobody = as_person(client, None)
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
    row = finished(world, conn, budi)
    nobody = as_person(client, None)
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
    row = finished(world, conn, sign_in(world.home, "budi", "investigator"))
    path = _link(conn, row, pin="kopi-tubruk")
    nobody = as_person(client, None)
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
    assert ("link 1", "share_refused", "testclient") in logged(conn, "share_refused")


def test_a_revoked_link_breaks_a_download_off(world: World, conn: Connection) -> None:
    row = finished(world, conn, sign_in(world.home, "budi", "investigator"))
    entries = archive.entries_of(world.home, row.export_id)
    for password in ("", "kopi tubruk dan gula"):
        with pytest.raises(ConnectionAbortedError):
            list(taking._watched(world.home, row.export_id, entries, lambda: False, password))
