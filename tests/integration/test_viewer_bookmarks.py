"""Bookmarks: set on the page Watch, seen by who sees all their cameras, searched, changed, removed, and what stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any

import psycopg2
import pytest
from starlette.testclient import TestClient

from media_world import gated
from shown_page import button, html, page_of
from viewer import database, visitor
from viewer.watch import routes, spans
from viewer_world import ATTACK, START, SignedIn, World, owner, sign_in
from vms.catalogue import bookmark_search, bookmarks
from vms.catalogue.bookmark_search import BookmarkFilter

AT = spans.milliseconds(START)
OWN = {"X-Vms-Page": "watch"}
As = Callable[[SignedIn], None]


@contextmanager
def _client(world: World, person: SignedIn) -> Iterator[TestClient]:
    with gated(world, person, routes.routes) as client:
        client.headers.update(OWN)
        yield client


def _told(*cameras: str, note: str = "", tags: str = "", minutes: float = 0, at: int = AT) -> dict[str, Any]:
    return {"cameras": list(cameras), "from": at, "to": at + int(minutes * 60_000), "note": note, "tags": tags}


def _set(world: World, person: SignedIn, *cameras: str, **told: Any) -> int:
    with _client(world, person) as client:
        answer = client.post("/api/watch/bookmark?lang=en", json=_told(*cameras, **told))
        assert answer.status_code == 200, answer.text
        return int(answer.json()["id"])


def _pins(world: World, person: SignedIn, cameras: str) -> list[str]:
    with _client(world, person) as client:
        params: dict[str, Any] = {"camera": cameras, "from": AT - 3_600_000, "to": AT + 3_600_000}
        return [one["note"] for one in client.get("/api/watch/timeline", params=params).json()["marked"]]


def _log(world: World, action: str) -> list[tuple[str, dict[str, Any]]]:
    with closing(owner(world.home)) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT who, detail FROM view_log WHERE action = %s ORDER BY view_no", (action,))
        return cursor.fetchall()


def _of(world: World, bookmark: int, table: str = "") -> list[int]:
    """Its cameras, as it says itself or as a table has them."""
    with closing(owner(world.home)) as conn, conn.cursor() as cursor:
        cursor.execute(
            "SELECT array_agg(camera_id ORDER BY camera_id) FROM bookmark_camera WHERE bookmark_id = %s"
            if table
            else "SELECT array_agg(one ORDER BY one) FROM bookmark, unnest(cameras) AS one WHERE bookmark_id = %s",
            (bookmark,),
        )
        (found,) = cursor.fetchone() or ([],)
        return list(found)


def test_who_does_not_see_all_its_cameras_does_not_see_a_bookmark(
    world: World, look_as: As, monkeypatch: pytest.MonkeyPatch
) -> None:
    sari = sign_in(world.home)
    budi = sign_in(world.home, "budi", "viewer", [("ho", "lobby"), ("makassar", "")])
    both = _set(world, sari, "ho/lobby", "ho/gate", note="both cameras", minutes=6)
    _set(world, sari, "ho/lobby", note="lobby alone")
    own = _set(world, budi, "ho/lobby", "makassar/cashier", note="mine", tags=" #Motor,merah , motor", minutes=1)
    assert _pins(world, sari, "ho/lobby") == ["mine", "lobby alone", "both cameras"]
    assert _pins(world, budi, "ho/lobby") == ["mine", "lobby alone"]
    look_as(budi)
    page = page_of("bookmarks")
    assert ("lobby alone" in html(page), "mine" in html(page), "both cameras" in html(page)) == (True, True, False)
    for few, named in ((1000, 200), (0, 200), (1000, 0), (0, 0)):  # found in each way that there is
        monkeypatch.setattr(bookmark_search, "_FEW", few)
        monkeypatch.setattr("viewer.pages.bookmarks.MOST_NAMED", named)
        for params in ({"q": "cameras"}, {"who": "sari", "q": "both"}, {"camera": "ho/gate"}):
            assert "No bookmark found" in html(page_of("bookmarks", **params)), (few, named, params)
        assert html(page_of("bookmarks", q="alone")).count("data-bookmark=") == 1, (few, named)
    with _client(world, budi) as client:
        assert client.post("/api/watch/bookmark", json=_told("ho/gate", note="x")).status_code == 404
        assert client.post("/api/watch/bookmark", json=_told("ho/none", note="x")).status_code == 404
    scope = visitor.of(database.pool(world.home)).find(bytes.fromhex(budi.session))
    assert scope is not None
    with database.pool(world.home).connection(scope.scope) as conn:
        assert not bookmarks.change_bookmark(conn, both, scope.user_id, "no", (), everybody=True)
        assert not bookmarks.remove_bookmark(conn, both, scope.user_id, everybody=True)
        (row,) = bookmarks.list_bookmarks(conn, BookmarkFilter(None, words="mine"), limit=5)
        assert (row.bookmark_id, row.tags, row.cameras) == (
            own,
            ("motor", "merah"),
            (("ho", "lobby"), ("makassar", "cashier")),
        )
        made = "INSERT INTO bookmark (user_id, from_at, to_at, note, tags, cameras)"
        for statement in (
            "UPDATE bookmark SET user_id = %(user)s",
            "UPDATE bookmark SET cameras = '{}' WHERE bookmark_id = %(own)s",
            made + " VALUES (%(user)s, now(), now(), 'x', '{}', '{}')",
            made + " VALUES (%(user)s, now(), now(), 'x', '{}', ARRAY[999999])",
            "INSERT INTO bookmark_camera SELECT %(both)s, camera_id, now(), now() FROM camera WHERE slug = 'cashier'",
        ):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege), conn.cursor() as cursor:
                cursor.execute(statement, {"user": scope.user_id, "own": own, "both": both})
        assert _of(world, both) == _of(world, both, "bookmark_camera") != _of(world, own)
    look_as(sign_in(world.home, "nobody", "viewer", []))
    assert "Nothing is marked yet" in html(page_of("bookmarks"))


@pytest.mark.parametrize("few", [1000, 0])
def test_found_by_words_tag_person_day_and_camera(
    world: World, look_as: As, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bookmark_search, "_FEW", few)  # as if many said it
    sari, budi = sign_in(world.home), sign_in(world.home, "budi", "investigator")
    _set(world, sari, "ho/lobby", note="Red motorbike, plate B-1234.XY", tags="theft")
    _set(world, sari, "ho/gate", note="Delivery", tags="truck", at=AT + 86_400_000)
    _set(world, budi, "makassar/cashier", tags="theft, cash", minutes=600)
    look_as(sari)

    def found(**params: str) -> int:
        return html(page_of("bookmarks", **params)).count("data-bookmark=")

    assert found() == 3
    by_words = {"MOTOR": 1, "red b 1234 xy": 1, "motor truck": 0, "deliv": 1, "cash": 1, "';--": 3, "a:*|b": 0}
    assert {words: found(q=words) for words in by_words} == by_words
    assert [found(tag=tag) for tag in ("theft", "Theft", "the", "cash")] == [2, 2, 0, 1]
    assert [found(who=who) for who in ("budi", "sari", "nobody")] == [1, 2, 0]
    assert found(**{"from": "2026-02-01", "to": "2026-02-01"}) == 1
    assert found(camera="ho/lobby,ho/gate") == 2
    assert found(camera="ho/lobby", tag="theft", q="plate") == 1
    searches = [detail for who, detail in _log(world, "search") if who == "sari"]
    assert {"view": "bookmarks", "camera": "ho/lobby", "tags": "theft", "words": "plate"} in searches


def test_hostile_text_stays_text_and_nonsense_is_refused(world: World, look_as: As) -> None:
    sari = sign_in(world.home)
    _set(world, sari, "ho/lobby", note=f"{ATTACK}\r\n</script>\0", tags=f"{ATTACK}, <b>")
    look_as(sari)
    shown = html(page_of("bookmarks", lang="id", q="onerror"))
    assert "&lt;img src=x onerror=window.hacked=1&gt;\n&lt;/script&gt;" in shown
    assert "<img src=x" not in shown
    assert "<b>" not in shown.split("data-bookmark")[1].split("<dl>")[0]
    good = _told("ho/lobby", note="x")
    with _client(world, sari) as client:
        for wrong, status in (
            ({"cameras": []}, 400),
            ({"cameras": ["ho/lobby"] * 17}, 400),
            ({"cameras": ["../x"]}, 400),
            ({"cameras": "ho/lobby"}, 400),
            ({"from": "1"}, 400),
            ({"from": True}, 400),
            ({"to": AT - 1}, 400),
            ({"to": AT + 32 * 86_400_000}, 400),
            ({"to": 10**30}, 400),
            ({"note": " \n", "tags": " ,#, "}, 400),
            ({"note": "x" * 2001}, 400),
            ({"note": None}, 400),
            ({"tags": ",".join(map(str, range(13)))}, 400),
            ({"tags": "x" * 41}, 400),
            ({"note": "x" * 40_000}, 413),
        ):
            answer = client.post("/api/watch/bookmark?lang=en", json=good | wrong)
            assert answer.status_code == status, (wrong, answer.text)
            assert answer.json()["error"]
        for body in ("", "[]", "{", "\xff"):
            assert client.post("/api/watch/bookmark", content=body).status_code == 400
        other_page = client.post("/api/watch/bookmark", json=good, headers={"X-Vms-Page": "x"})
        assert other_page.status_code == 403
        assert client.get("/api/watch/bookmark").status_code == 405
    with _client(world, sign_in(world.home, "audi", "auditor")) as client:
        assert client.post("/api/watch/bookmark", json=good).status_code == 403
    assert len(_log(world, "bookmark_added")) == 1


def test_changed_and_removed_by_who_made_it_or_an_administrator_and_written_down(world: World, look_as: As) -> None:
    budi, dewi = sign_in(world.home, "budi", "investigator"), sign_in(world.home, "dewi", "viewer")
    number = _set(world, budi, "ho/lobby", note="first", minutes=5)
    look_as(dewi)
    assert [one.label for one in page_of("bookmarks").button] == [], "not hers"
    hers = visitor.of(database.pool(world.home)).find(bytes.fromhex(dewi.session))
    assert hers is not None
    with database.pool(world.home).connection(hers.scope) as conn:
        assert not bookmarks.change_bookmark(conn, number, hers.user_id, "no", (), everybody=False)
        assert not bookmarks.remove_bookmark(conn, number, hers.user_id, everybody=False)
    look_as(budi)
    app = page_of("bookmarks")
    app.text_area[0].set_value("second")
    app.text_input[-1].set_value("Motor")
    button(app, "Save").click().run()
    assert not app.exception
    assert "The bookmark was changed." in app.success[0].value
    assert ("second" in html(app), ">motor<" in html(app), "Changed" in html(app)) == (True, True, True)
    app.text_area[0].set_value(" ")
    app.text_input[-1].set_value("")
    button(app, "Save").click().run()
    assert "Write a note or a tag." in app.error[0].value
    look_as(sign_in(world.home))
    app = page_of("bookmarks")
    button(app, "Delete this bookmark").click().run()
    assert not app.exception
    assert "data-bookmark" not in html(app)
    begin = START.isoformat()
    cameras = {"bookmark": number, "cameras": ["ho/lobby"], "from": begin}
    end = (START + timedelta(minutes=5)).isoformat()
    assert _log(world, "bookmark_added") == [("budi", cameras | {"to": end, "note": "first", "tags": []})]
    changed = {"bookmark": number, "note": "second", "tags": ["motor"], "before": "first"}
    assert _log(world, "bookmark_changed") == [("budi", changed)]
    assert _log(world, "bookmark_removed") == [("sari", cameras | {"to": end, "note": "second", "tags": ["motor"]})]


def test_what_was_written_stays_when_the_footage_is_gone(world: World, look_as: As) -> None:
    sari = sign_in(world.home)
    look_as(sari)
    _set(world, sari, "ho/lobby", "ho/gate", note="the theft", minutes=0.05)
    _set(world, sari, "ho/gate", note="nothing recorded", at=AT + 600_000)
    assert "There is no footage of this time (any more)" in html(page_of("bookmarks", q="recorded"))
    assert "no footage" not in html(page_of("bookmarks", q="theft"))
    for camera, said in (("lobby", "Of 1 of these cameras there is no footage"), ("gate", "The footage was purged")):
        with closing(owner(world.home)) as conn, conn.cursor() as cursor:
            cursor.execute(
                "UPDATE recording SET custody = 3 WHERE camera_id = (SELECT camera_id FROM camera WHERE slug = %s)",
                (camera,),
            )
        shown = html(page_of("bookmarks", q="theft"))
        assert said in shown
        assert "the theft" in shown
    assert _pins(world, sari, "ho/lobby") == ["the theft"]
