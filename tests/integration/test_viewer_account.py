"""My account: a person changes their own password and language and ends their own sessions, and nobody else's."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from shown_page import button, html, page_of
from viewer import database, visitor
from viewer.i18n import Words
from viewer.pages.account import device
from viewer_world import PASSWORD, SignedIn, owner, sign_in
from vms import passwords, users
from vms.catalogue import sessions
from vms.home import Home

FRESH = "merah sepatu di atap"
PHONE = (
    "Mozilla/5.0 (Linux; Android 15; SM-A546E) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36"
)


@pytest.fixture
def home(viewer_home: Home) -> Home:
    return viewer_home


@pytest.fixture
def budi(home: Home, monkeypatch: pytest.MonkeyPatch) -> SignedIn:
    """Who looks at the page, and has another session on a phone."""
    person = sign_in(home, "budi", "viewer", [])
    monkeypatch.setattr(visitor, "_session_of_request", lambda: f"{person.session} 192.0.2.7")
    with closing(owner(home)) as conn:
        sessions.begin_session(conn, _number(home, "budi"), "192.0.2.8", PHONE)
    return person


def _ask(home: Home, sql: str) -> list[tuple[Any, ...]]:
    with closing(owner(home)) as conn, conn.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def _number(home: Home, name: str) -> int:
    return int(_ask(home, f"SELECT user_id FROM viewer_user WHERE name = '{name}'")[0][0])  # noqa: S608


def _kept(home: Home, name: str = "budi") -> str:
    return str(_ask(home, f"SELECT password FROM viewer_user WHERE name = '{name}'")[0][0])  # noqa: S608


def _open(home: Home) -> list[tuple[str, str]]:
    return _ask(home, "SELECT u.name, s.address FROM viewer_session s JOIN viewer_user u USING (user_id) ORDER BY 1, 2")


def _log(home: Home) -> list[tuple[Any, ...]]:
    return _ask(home, "SELECT who, action, detail, address FROM view_log WHERE address <> '' ORDER BY view_no")


def _change(old: str, fresh: str, again: str | None = None) -> Any:
    app = page_of("account")
    for field, value in zip(app.text_input, (old, fresh, fresh if again is None else again), strict=True):
        field.set_value(value)
    button(app, "Change password").click()
    app.run()
    assert not app.exception
    return app


@pytest.mark.usefixtures("budi")
def test_a_password_is_changed_and_what_is_open_elsewhere_ends(home: Home) -> None:
    rina = sign_in(home, "rina", "auditor")
    left = users.made_up_password_file(home, "budi")
    left.write_text("made up")
    app = _change(PASSWORD, FRESH)
    assert [one.value for one in app.success] == ["Your password is changed. Elsewhere you are signed out now."]
    assert passwords.is_right(FRESH, _kept(home))
    assert _open(home) == [("budi", "192.0.2.7"), ("rina", "192.0.2.7")], "the session itself and others' go on"
    assert not left.exists(), "what lies in a file is no password any more"
    assert _log(home) == [("budi", "user_password", {"user": "budi"}, "192.0.2.7")]
    assert passwords.is_right(PASSWORD, _kept(home, "rina"))
    assert rina.mark not in html(app)


@pytest.mark.usefixtures("budi")
@pytest.mark.parametrize(
    ("old", "fresh", "again", "said"),
    [
        ("not the old one", FRESH, FRESH, "The password so far is wrong."),
        (PASSWORD, FRESH, FRESH + "x", "The two new passwords differ."),
        (PASSWORD, "short", "short", "The new password will not do"),
        (PASSWORD, "aaaaaaaaaaaabbb", "aaaaaaaaaaaabbb", "The new password will not do"),
        (PASSWORD, "my name is BUDI x", "my name is BUDI x", "contains your user name"),
        (PASSWORD, PASSWORD, PASSWORD, "is the one so far"),
    ],
)
def test_a_password_that_will_not_do_changes_nothing(home: Home, old: str, fresh: str, again: str, said: str) -> None:
    app = _change(old, fresh, again)
    assert said in app.error[0].value
    assert passwords.is_right(PASSWORD, _kept(home))
    assert len(_open(home)) == 2


@pytest.mark.usefixtures("budi")
def test_the_old_password_is_not_to_be_guessed(home: Home) -> None:
    for _ in range(sessions.MOST_FROM_ONE_PLACE):
        assert "is wrong" in _change("guess guess guess", FRESH).error[0].value
    assert "Too many failed tries" in _change(PASSWORD, FRESH).error[0].value
    assert passwords.is_right(PASSWORD, _kept(home))
    failed = [row[2] for row in _log(home)]
    assert failed == [{"own_password": True}] * 4 + [{"own_password": True, "limited": True}]


def test_of_two_changes_at_once_one_wins_and_an_ended_session_changes_nothing(home: Home, budi: SignedIn) -> None:
    before, own = _kept(home), bytes.fromhex(budi.session)
    with database.pool(home).connection("") as conn:
        assert sessions.change_own_password(conn, own, before, "one", "")
        assert not sessions.change_own_password(conn, own, before, "two", "")
        sessions.end_session(conn, own)
        assert not sessions.change_own_password(conn, own, "one", "three", "")
        assert not sessions.change_own_language(conn, own, "en", "")
    assert _kept(home) == "one"


@pytest.mark.usefixtures("budi")
def test_a_language_is_kept_for_every_device(home: Home) -> None:
    app = page_of("account")
    app.segmented_control[0].set_value("id").run()
    assert "Akun saya" in html(app)
    assert "lang" not in app.query_params, "it is the person's own choice now, not that of this address"
    assert _log(home) == [("budi", "user_language", {"language": "id"}, "192.0.2.7")]
    assert _ask(home, "SELECT lang FROM viewer_user WHERE name = 'budi'") == [("id",)]
    assert "My account" in html(page_of("account")), "the address still comes first"


def test_own_sessions_are_listed_and_ended(home: Home, budi: SignedIn) -> None:
    sign_in(home, "rina", "auditor")
    shown = html(page_of("account"))
    assert shown.index(budi.mark) < shown.index("Chrome · Android")
    assert shown.count("data-session") == 2
    (phone,) = [one for one in _marks(home) if one != budi.mark]
    app = page_of("account")
    app.button(key=f"a.end.{phone}").click().run()
    assert app.success[0].value == "It has ended."
    assert _open(home) == [("budi", "192.0.2.7"), ("rina", "192.0.2.7")]
    page_of("account").button(key="a.end").click().run()
    assert _open(home) == [("rina", "192.0.2.7")]
    assert [row[1:3] for row in _log(home)] == [("sessions_ended", {"sessions": 1})] * 2


@pytest.mark.usefixtures("budi")
def test_nobody_ends_the_session_of_another(home: Home) -> None:
    rina = sign_in(home, "rina", "auditor")
    with database.pool(home).connection("") as conn:
        assert sessions.end_own_sessions(conn, _number(home, "budi"), "budi", "", rina.mark) == 0
    assert ("rina", "192.0.2.7") in _open(home)


def _marks(home: Home) -> list[str]:
    with closing(owner(home)) as conn:
        return [one.mark for one in sessions.own_sessions(conn, _number(home, "budi"))]


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (PHONE, "Chrome · Android"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0",
            "Edge · Windows",
        ),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile Safari/604.1", "Safari · iPhone"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox · Linux"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("<script>alert(1)</script>", "scriptalert1/script"),
        ("", "Unknown device"),
    ],
)
def test_a_device_is_named_as_people_know_it(told: str, shown: str) -> None:
    assert device(told, Words("en")) == shown
