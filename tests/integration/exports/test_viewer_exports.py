"""The page Export, the ZIP that is handed out, and links to it: in the hands of their owner, and of everybody else."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pyzipper
from starlette.testclient import TestClient

from export_world import As, as_person, finished, logged, user_id_of, work_off
from shown_page import button, html, page_of
from viewer import share, tokens
from viewer_world import ATTACK, START, World, sign_in
from vms.catalogue import exports
from vms.catalogue.connection import Connection
from vms.catalogue.exports import NewExport
from vms.exports import worker

LOBBY = {"camera": "ho/lobby", "from": "2026-01-31T08:00", "to": "2026-01-31T08:15:30"}


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

    assert work_off(world, conn).state == "done"
    app = page_of("exports")
    (link,) = re.findall(r'href="(/m/export/[^"/]+)"', html(app))
    answer = as_person(client, budi).get(link)
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
    assert "The same PIN opens it" in as_person(client, None).get(path, headers={"Accept-Language": "en"}).text
    taken = as_person(client, None).post(path, data={"pin": "kopi-tubruk-gula"})
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
    assert as_person(client, None).post(path, data={"pin": "kopi-tubruk"}).content == answer.content
    button(app, "Revoke link 2").click().run()
    assert as_person(client, None).get(path).status_code == 404
    assert any("Link 2" in one.value and "revoked" in one.value for one in app.caption)

    button(app, "Delete this export").click().run()
    assert as_person(client, budi).get(link).status_code == 404, "at once, before its files are gone"
    worker.clear(world.home, conn)
    assert "gone" in html(page_of("exports"))
    assert logged(
        conn, "export_ordered", "export_taken", "share", "share_taken", "share_revoked", "export_deleted"
    ) == [
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
    row = finished(world, conn, budi)
    look_as(budi)
    (link,) = re.findall(r'href="(/m/export/[^"]+/locked)', html(page_of("exports")))
    page = as_person(client, budi).get(link, headers={"Accept-Language": "id"})
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
    assert logged(conn, "export_taken")[0] == ("budi", "export_taken", "testclient")
    with conn.cursor() as cursor:
        cursor.execute("SELECT detail FROM view_log WHERE action = 'export_taken' ORDER BY view_no LIMIT 1")
        assert cursor.fetchone() == ({"export": row.export_id, "locked": True},)
    assert secret not in caplog.text
    assert "tubruk" not in caplog.text
    assert as_person(client, sign_in(world.home, "citra", "investigator")).post(link, data=form).status_code == 403


def test_what_failed_or_is_gone_is_ordered_again_as_it_was(world: World, conn: Connection, look_as: As) -> None:
    budi = sign_in(world.home, "budi", "investigator")
    row = finished(world, conn, budi, evidence=True)
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
    assert [one[:2] for one in logged(conn, "export_ordered")] == [("budi", "export_ordered")]


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
            conn, NewExport(user_id_of(conn, "budi"), (("ho", "lobby"),), START, START + timedelta(minutes=1), "x")
        )
    app = page_of("exports", **LOBBY)
    app.text_area(key="x.reason").set_value("theft")
    button(app, "Order").click().run()
    assert "5 exports that are not done" in app.error[0].value
    button(app, "Cancel").click().run()
    assert [row.cancel_at is not None for row in exports.list_exports(conn, 0, everybody=True)].count(True) == 1
    assert logged(conn, "export_cancelled") == [("budi", "export_cancelled", "192.0.2.7")]


def test_exports_are_of_who_ordered_them_and_of_administrators(
    world: World, conn: Connection, look_as: As, client: TestClient
) -> None:
    budi = sign_in(world.home, "budi", "investigator")
    row = finished(world, conn, budi)
    citra = sign_in(world.home, "citra", "investigator")
    look_as(citra)
    assert "Nothing was ordered yet" in html(page_of("exports"))
    link = tokens.issue_export(world.home, citra.mark, row.export_id)
    assert as_person(client, citra).get(link).status_code == 404, "a link of one's own to another's export"
    stolen = tokens.issue_export(world.home, budi.mark, row.export_id)
    assert as_person(client, citra).get(stolen).status_code == 403
    assert as_person(client, None).get(stolen).status_code == 401
    sari = sign_in(world.home)
    look_as(sari)
    assert "budi, " in html(page_of("exports"))
    assert as_person(client, sari).get(tokens.issue_export(world.home, sari.mark, row.export_id)).status_code == 200
