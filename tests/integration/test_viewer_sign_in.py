"""The gate and the way through it: who is let in, who is not and after how many tries."""

from __future__ import annotations

import re
import threading
from contextlib import closing

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from sign_in_world import ADDRESS, PAGE, STREAM, change, enter, filled, logged
from sign_in_world import client as client  # fixtures
from sign_in_world import home as home
from viewer import visitor
from viewer.database import Pool
from viewer_world import PASSWORD, add_user, eventually, owner
from viewer_world import sign_in as signed_in
from vms import passwords
from vms.catalogue import sessions, users
from vms.home import Home


def test_without_a_session_there_is_nothing_but_the_way_in(client: TestClient) -> None:
    page = client.get("/?site=ho&from=2026-01-31", headers=PAGE)
    assert (page.status_code, page.headers["location"]) == (303, "/sign-in?next=/%3Fsite%3Dho%26from%3D2026-01-31")
    for path in ("/", "/static/index.js", "/m/anything", "/_stcore/metrics", "/session", "/..%2f", "/_stcore/health/x"):
        assert client.get(path).status_code == 401, path
    assert client.get("/m/anything", headers=PAGE).status_code == 401
    assert client.post("/sign-out").status_code == 401
    assert client.get("/_stcore/health").status_code == 200
    with pytest.raises(WebSocketDisconnect) as refused, client.websocket_connect(STREAM):
        pass
    assert refused.value.code == 4401


def test_nobody_is_let_in_by_a_header_or_a_made_up_cookie(client: TestClient, home: Home) -> None:
    person = signed_in(home)
    for headers in ({visitor.HEADER: person.session}, {"Cookie": "vms_5000=abc"}, {"Cookie": f"vms_1={person.token}"}):
        assert client.get("/", headers=headers).status_code == 401
        with pytest.raises(WebSocketDisconnect), client.websocket_connect(STREAM, headers=headers):
            pass
    client.cookies.set("vms_5000", person.token)
    told = client.get("/", headers={visitor.HEADER: "00" * 32}).json()
    assert told == {"session": f"{person.session} {ADDRESS}", "name": "sari"}, (
        "what a client says of itself is not passed on"
    )


def test_signing_in_and_out(client: TestClient, home: Home) -> None:
    add_user(home, "sari")
    answer = enter(client, " Sari ", next="/coverage?site=ho")
    assert (answer.status_code, answer.headers["location"]) == (303, "/coverage?site=ho")
    cookie = answer.headers["set-cookie"]
    assert all(word in cookie for word in ("vms_5000=", "HttpOnly", "SameSite=lax", "Path=/"))
    token = client.cookies["vms_5000"]
    with closing(owner(home)) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT token_hash FROM viewer_session")
        assert [bytes(row[0]) for row in cursor.fetchall()] == [sessions.hash_of(token)], "the token itself is not kept"
    assert client.get("/").json()["name"] == "sari"
    assert client.get("/session").status_code == 204
    assert client.post("/sign-out", headers={"Origin": "http://evil.example"}).status_code == 403
    assert client.post("/sign-out", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.get("/sign-out").status_code == 405, "a link or a picture signs nobody out"
    assert client.get("/").status_code == 200
    out = client.post("/sign-out", headers={"Origin": "http://127.0.0.1:5000", "Sec-Fetch-Site": "same-origin"})
    assert out.headers["location"] == "/sign-in"
    client.cookies.set("vms_5000", token)
    assert client.get("/").status_code == 401, "the cookie alone, kept by somebody, opens nothing"
    assert logged(home) == [("sari", "sign_in", ADDRESS, {}), ("sari", "sign_out", ADDRESS, {})]


def test_no_other_page_changes_anything_by_any_route(client: TestClient, home: Home) -> None:
    """Held by the gate, so also for routes that are yet to come."""
    client.cookies.set("vms_5000", signed_in(home).token)
    theirs = [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:5001"}]
    theirs += [{"Sec-Fetch-Site": site} for site in ("cross-site", "same-site", "none")]
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        for headers in theirs:
            assert client.request(method, "/change", headers=headers).status_code == 403, (method, headers)
        assert client.request(method, "/change").status_code == 200
        own = {"Origin": "http://127.0.0.1:5000", "Sec-Fetch-Site": "same-origin"}
        assert client.request(method, "/change", headers=own).status_code == 200


def test_a_wrong_name_and_a_wrong_password_are_told_alike(
    client: TestClient, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_user(home, "sari")
    add_user(home, "budi", "viewer")
    change(home, "UPDATE viewer_user SET disabled_at = now() WHERE name = 'budi'")
    looked: list[str | None] = []
    real = passwords.is_right

    def counted(password: str, kept: str | None) -> bool:
        looked.append(kept)
        return real(password, kept)

    monkeypatch.setattr(passwords, "is_right", counted)
    answers = [
        enter(client, name, password)
        for name, password in (("sari", "wrong wrong"), ("nobody", PASSWORD), ("budi", PASSWORD), ("' OR 1=1 --", "x"))
    ]
    assert {(answer.status_code, len(answer.text)) for answer in answers} == {(403, len(answers[0].text))}
    assert len(looked) == 4, "a password is looked at for whom there is not, too"
    assert "vms_5000" not in client.cookies
    assert [row[:2] for row in logged(home)] == [(name, "sign_in_failed") for name in ("sari", "", "budi", "")], (
        "what was typed as a name may be a password and is not kept"
    )


def test_a_form_must_be_ours_fresh_and_small(client: TestClient, home: Home) -> None:
    add_user(home, "sari")
    good = filled(client, name="sari", password=PASSWORD)
    for fields, headers in (
        (good | {"form": ""}, {}),
        (good | {"form": "0" * 64}, {}),
        (good, {"Origin": "http://evil.example"}),
        (good, {"Sec-Fetch-Site": "cross-site"}),
        (good, {"Sec-Fetch-Site": "same-site"}),
    ):
        assert client.post("/sign-in", data=fields, headers=headers).status_code == 403
    assert client.post("/sign-in", data=good | {"password": "x" * 5000}).status_code == 413
    other = TestClient(client.app, base_url="http://127.0.0.1:5000")
    assert other.post("/sign-in", data=good).status_code == 403, "handed to another browser"
    assert "vms_5000" not in client.cookies
    assert client.post("/sign-in", data=good).status_code == 303


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/sign-out", "/m/x", "/\tx"],
)
def test_after_signing_in_a_person_stays_here(client: TestClient, home: Home, target: str) -> None:
    add_user(home, "sari")
    assert enter(client, next=target).headers["location"] == "/"
    page = client.get("/sign-in", params={"next": '"><script>alert(1)</script>'}, headers=PAGE)
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_the_page_speaks_both_languages(client: TestClient) -> None:
    assert "Kata sandi" in client.get("/sign-in", headers={"Accept-Language": "id"}).text
    english = client.get("/sign-in?lang=en&next=/sites", headers={"Accept-Language": "id"}).text
    assert "Password" in english
    assert 'href="/sign-in?lang=id&amp;next=%2Fsites"' in english


def test_airflow_alone_may_show_the_form_in_a_frame_and_only_where_browsers_hand_the_cookie_on(
    client: TestClient, home: Home
) -> None:
    answer = client.get("/sign-in", headers=PAGE | {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "same-site"})
    assert 'name="form"' in answer.text
    (allowed,) = re.findall(r"frame-ancestors ([^;]*)", answer.headers["content-security-policy"])
    assert allowed == f"http://127.0.0.1:{home.airflow_port} http://localhost:{home.airflow_port}"
    answer = client.get("/sign-in?lang=en", headers=PAGE | {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert 'name="form"' not in answer.text
    assert f"open under http://127.0.0.1:{home.airflow_port}." in answer.text


def test_too_many_failures_have_to_wait_but_lock_nobody_else_out(client: TestClient, home: Home) -> None:
    add_user(home, "sari")
    for _ in range(sessions.MOST_FROM_ONE_PLACE):
        assert enter(client, password="wrong wrong").status_code == 403
    refused = enter(client)
    assert refused.status_code == 429, "also the right password"
    assert 0 < int(refused.headers["retry-after"]) <= 900
    assert enter(client, "nobody").status_code == 403, "another name from there"
    elsewhere = TestClient(
        client.app, base_url="http://127.0.0.1:5000", client=("192.0.2.9", 1), follow_redirects=False
    )
    assert enter(elsewhere).status_code == 303, "the same name from elsewhere"
    assert [row[3] for row in logged(home) if row[3]] == [{"limited": True}]
    change(home, "UPDATE sign_in_try SET at = at - interval '16 minutes'")
    assert enter(client).status_code == 303
    with closing(owner(home)) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM sign_in_try WHERE address = %s", (ADDRESS,))
        assert cursor.fetchone() == (1,), "who got in has no failures left; the other name's stays"


def test_many_tries_at_once_do_not_slip_through(home: Home) -> None:
    pool = Pool(home)
    waits: list[int] = []

    def try_it() -> None:
        with pool.connection("*") as conn:
            waits.append(sessions.begin_try(conn, "sari", ADDRESS).wait_s)

    threads = [threading.Thread(target=try_it) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pool.close()
    assert sum(wait == 0 for wait in waits) <= sessions.MOST_FROM_ONE_PLACE


def test_a_catalogue_that_is_away_lets_nobody_in_and_throws_nobody_out(client: TestClient, home: Home) -> None:
    person = signed_in(home)
    client.cookies.set("vms_5000", person.token)
    assert client.get("/").status_code == 200
    form = filled(client, name="sari", password=PASSWORD)
    address = home.run / "postgres.json"
    aside = address.rename(address.with_suffix(".aside"))
    for one in visitor._by_pool:
        one.close()
    assert client.get("/").status_code == 200, "known lately: the page itself says what is the matter"
    client.cookies.set("vms_5000", "another")
    assert client.get("/").status_code == 503
    assert "refresh" in client.get("/", headers=PAGE).text
    assert client.post("/sign-in", data=form).status_code == 503
    aside.rename(address)
    eventually(lambda: client.get("/").status_code == 401)


def test_users_are_changed_by_the_owner_only_and_never_to_no_administrator(home: Home) -> None:
    add_user(home, "sari")
    with closing(owner(home)) as conn:
        for doing in (
            lambda: users.set_role(conn, "sari", "viewer", "test", everywhere=False),
            lambda: users.set_disabled(conn, "sari", users.list_users(conn)[0].made_at, "test"),
        ):
            with pytest.raises(Exception, match="no administrator"):
                doing()
        assert [(row.name, row.role, row.disabled_at) for row in users.list_users(conn)] == [
            ("sari", "administrator", None)
        ]
    pool = Pool(home)
    with pool.connection("*") as conn, pytest.raises(Exception, match="permission denied"):
        users.set_password(conn, "sari", "x", "viewer")
    pool.close()
