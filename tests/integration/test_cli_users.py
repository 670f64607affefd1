"""`vms users`: made, listed, changed and shut out from the command line; no password is ever shown or taken there."""

from __future__ import annotations

import io
import json
from contextlib import closing
from typing import Any

import pytest

from viewer_world import owner
from vms import passwords, users
from vms.catalogue import sessions
from vms.cli.app import main
from vms.home import Home

GOOD = "kuda hijau minum kopi"


@pytest.fixture
def home(catalogue: tuple[Home, str], monkeypatch: pytest.MonkeyPatch) -> Home:
    home, address = catalogue
    monkeypatch.setenv("VMS_HOME", str(home.root))
    monkeypatch.setenv("VMS_CATALOGUE_URL", address)
    return home


def _give(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def _ask(home: Home, sql: str) -> list[tuple[Any, ...]]:
    with closing(owner(home)) as conn, conn.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def _is_kept(home: Home, name: str, password: str) -> bool:
    (kept,) = next(iter(_ask(home, f"SELECT password FROM viewer_user WHERE name = '{name}'")))  # noqa: S608
    assert str(kept).startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    return passwords.is_right(password, kept)


def test_the_life_of_a_user(home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    users.ensure_administrator(home, _owner_url(home))
    first = users.first_password_file(home)
    assert first.stat().st_mode & 0o777 == 0o600
    assert _is_kept(home, "admin", first.read_text().strip())
    users.ensure_administrator(home, _owner_url(home))
    _give(monkeypatch, f"{GOOD}\n")
    assert main(["users", "add", "sari", "--role", "investigator"]) == 0
    assert _is_kept(home, "sari", GOOD)
    with closing(owner(home)) as conn:
        (sari,) = _ask(home, "SELECT user_id FROM viewer_user WHERE name = 'sari'")[0]
        token = sessions.begin_session(conn, sari, "192.0.2.1")
        assert sessions.open_session(conn, sessions.hash_of(token))
        for change, given in (
            (["users", "passwd", "sari"], "another fine day\n"),
            (["users", "role", "sari", "viewer"], ""),
            (["users", "disable", "sari"], ""),
        ):
            token = sessions.begin_session(conn, sari, "192.0.2.1")
            _give(monkeypatch, given)
            assert main(change) == 0
            assert sessions.open_session(conn, sessions.hash_of(token)) is None, change
    assert main(["users", "enable", "sari"]) == 0
    capsys.readouterr()
    assert main(["users", "list", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["name"], row["role"], row["disabled_at"]) for row in rows] == [
        ("admin", "administrator", None),
        ("sari", "viewer", None),
    ]
    assert main(["users", "passwd", "admin", "--make-up"]) == 0
    made_up = first.read_text().strip()
    told = capsys.readouterr()
    for words, wanted in (
        (["add", "budi", "--role", "viewer", "--provider"], {"provider": "awaited", "has_password": False}),
        (["passwd", "budi", "--make-up"], {"has_password": True}),
        (["role", "budi", "investigator"], {"role": "investigator"}),
        (["grant", "budi", "--everywhere"], {"everywhere": True}),
        (["revoke", "budi", "--everywhere"], {"everywhere": False}),
        (["unlink", "budi"], {"provider": ""}),
        (["link", "budi"], {"provider": "awaited"}),
        (["disable", "budi"], {}),
        (["enable", "budi"], {"disabled_at": None}),
    ):
        assert main(["users", *words, "--json"]) == 0, words
        (line,) = capsys.readouterr().out.splitlines()
        row = json.loads(line)
        assert row | wanted == row
        assert row["name"] == "budi"
        assert (row["disabled_at"] is not None) == (words[0] == "disable")
        assert (row["password_file"] is not None) == (words[0] == "passwd")
    assert main(["users", "enable", "nobody", "--json"]) == 1
    assert json.loads(capsys.readouterr().out).keys() == {"error", "remedy"}
    assert made_up not in told.out + told.err
    assert str(first) in told.out.replace("\n", "")
    assert _is_kept(home, "admin", made_up)
    _give(monkeypatch, f"{GOOD}\n")
    assert main(["users", "passwd", "admin"]) == 0
    assert not first.exists(), "it opens nothing any more"
    actions = _ask(home, "SELECT action, detail->>'user' FROM view_log ORDER BY view_no")
    assert actions[:5] == [
        ("user_added", "admin"),
        ("user_added", "sari"),
        ("user_password", "sari"),
        ("user_role", "sari"),
        ("user_disabled", "sari"),
    ]


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (["add", "Sari", "--role", "viewer"], GOOD, "no name"),
        (["add", "../x", "--role", "viewer"], GOOD, "no name"),
        (["add", "dewi", "--role", "viewer"], "short", "10 to 200"),
        (["add", "dewi", "--role", "viewer"], "aaaaaaaaaaaa", "different"),
        (["add", "dewi", "--role", "viewer"], "i am dewi 2026", "name of the user"),
        (["add", "admin", "--role", "viewer"], GOOD, "already"),
        (["passwd", "nobody"], GOOD, "no user nobody"),
        (["disable", "admin"], "", "no administrator"),
        (["role", "admin", "viewer"], "", "no administrator"),
    ],
)
def test_what_is_refused_says_why_and_changes_nothing(
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    given: str,
    said: str,
) -> None:
    users.ensure_administrator(home, _owner_url(home))
    before = _ask(home, "SELECT * FROM viewer_user")
    _give(monkeypatch, f"{given}\n")
    assert main(["users", *arguments]) == 1
    assert said in capsys.readouterr().err.replace("\n", " ")
    assert _ask(home, "SELECT * FROM viewer_user") == before


def _owner_url(home: Home) -> str:
    from vms.stack.postgres import role_url

    return role_url(home, "vms_owner", "catalogue")
