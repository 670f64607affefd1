"""The pages Holds, Alerts and Log: by role and grant, what they write down, and that nobody goes past them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from shown_page import button, html, page_of
from viewer import audit_log, database, places, query, visitor
from viewer.gate import Gate
from viewer.pages import holds as holds_page
from viewer_world import ATTACK, NOW, SignedIn, World, owner, sign_in
from vms.catalogue import alerts, audit, holds, reads, retries
from vms.catalogue.partitions import following, month_of

SCRIPT = Path(__file__).resolve().parents[2] / "viewer" / "entry" / "script.py"
BEGIN, END = datetime(2026, 1, 30, 17, tzinfo=UTC), datetime(2026, 1, 31, 17, tzinfo=UTC)
As = Callable[[SignedIn], None]


def _log(world: World, action: str) -> list[tuple[Any, ...]]:
    with closing(owner(world.home)) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT who, address, detail FROM view_log WHERE action = %s ORDER BY view_no", (action,))
        return cursor.fetchall()


def _holds(world: World) -> list[holds.HoldRow]:
    with closing(owner(world.home)) as conn:
        return holds.list_holds(conn, also_released=True)


def test_an_investigator_holds_and_an_administrator_releases(world: World, look_as: As) -> None:
    look_as(sign_in(world.home, "budi", "investigator", [("ho", "lobby"), ("makassar", "")]))
    app = page_of("holds", camera="ho/lobby", **{"from": "2026-01-31T08:00", "to": "2026-01-31T08:06"})
    assert _tree(app) == (["ho"], [("makassar", ["cashier"]), ("ho", ["lobby"])])
    button(app, "Hold").click().run()
    assert "Say why." in app.error[0].value
    app.text_area[0].set_value(f"theft {ATTACK}")
    button(app, "Hold").click().run()
    assert not app.exception
    (made,) = _holds(world)
    assert (made.cameras, made.who, made.reason) == ((("ho", "lobby"),), "budi", f"theft {ATTACK}")
    assert (made.from_utc, made.to_utc) == (
        datetime(2026, 1, 31, 1, tzinfo=UTC),
        datetime(2026, 1, 31, 1, 6, tzinfo=UTC),
    )
    assert made.recordings == 2
    assert "theft &lt;img" in html(app)
    assert "<img src=x" not in html(app)
    assert button(app, "Release this hold") is None, "who may hold may not release"
    ((who, address, detail),) = _log(world, "hold")
    assert (who, address, detail["cameras"]) == ("budi", "192.0.2.7", ["ho/lobby"])

    look_as(sign_in(world.home, "sari"))
    app = page_of("holds")
    button(app, "Release this hold").click().run()
    assert "Say why." in app.error[0].value
    next(one for one in app.text_area if one.label.startswith("Why, and")).set_value("the judge said so")
    button(app, "Release this hold").click().run()
    (made,) = _holds(world)
    assert (made.released_by, made.release_reason) == ("sari", "the judge said so")
    assert _log(world, "release") == [("sari", "192.0.2.7", {"hold": made.hold_id, "reason": "the judge said so"})]


def _tree(app: AppTest) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """What the tree of cameras shows as chosen, and what there is to choose."""
    (shown,) = [one for one in (json.loads(each.proto.json) for each in app.get("bidi_component")) if "chosen" in one]
    return shown["chosen"], [(site["id"], [one["id"] for one in site["cameras"]]) for site in shown["sites"]]


def test_a_whole_site_is_held_beside_single_cameras_of_others(world: World, look_as: As) -> None:
    look_as(sign_in(world.home))
    find = query.read({"site": ["makassar"], "camera": ["ho/lobby,ho/nobody"]})
    assert holds_page.chosen(places.seen_by(visitor.current()), find) == (("makassar", ""), ("ho", "lobby"))


def test_who_may_only_watch_sees_the_holds_of_what_they_see_and_nobutton(world: World, look_as: As) -> None:
    with closing(owner(world.home)) as conn:
        holds.add_hold(conn, [("ho", "")], BEGIN, END, "all of ho", "test", NOW)
        holds.add_hold(conn, [("makassar", "")], BEGIN, END, "all of makassar", "test", NOW)
    look_as(sign_in(world.home, "dewi", "viewer", [("makassar", "")]))
    app = page_of("holds")
    assert "all of makassar" in html(app)
    assert "all of ho" not in html(app)
    assert not app.get("bidi_component"), "no tree of cameras"
    assert button(app, "Hold") is None
    assert button(app, "Release this hold") is None


def test_cameras_of_two_zones_are_held_by_the_clock_of_the_first(world: World, look_as: As) -> None:
    look_as(sign_in(world.home, "sari"))
    times = {"from": "2026-01-31T08:00", "to": "2026-01-31T09:00"}
    app = page_of("holds", camera="makassar/cashier,ho/lobby", **times)
    app.text_area[0].set_value("why")
    button(app, "Hold").click().run()
    (made,) = _holds(world)
    assert (made.from_utc, made.to_utc) == (datetime(2026, 1, 31, 0, tzinfo=UTC), datetime(2026, 1, 31, 1, tzinfo=UTC))


def test_no_camera_and_a_backward_time_are_refused_in_words(world: World, look_as: As) -> None:
    look_as(sign_in(world.home, "sari"))
    app = page_of("holds", camera="", **{"from": "2026-01-31", "to": "2026-01-31"})
    app.text_area[0].set_value("why")
    button(app, "Hold").click().run()
    assert "at least one camera" in app.error[0].value
    app = page_of("holds", camera="ho/lobby", **{"from": "2026-01-31T10:00", "to": "2026-01-31T11:00"})
    app.text_area[0].set_value("why")
    app.time_input[1].set_value(time(9))
    button(app, "Hold").click().run()
    assert "later than the beginning" in app.error[0].value
    assert _holds(world) == []


def test_the_database_lets_nobody_hold_or_release_beyond_their_grants(world: World) -> None:
    """Whatever a page forgets to ask."""
    budi = sign_in(world.home, "budi", "investigator", [("ho", "lobby")])
    pool = database.pool(world.home)
    found = visitor.of(pool).find(bytes.fromhex(budi.session))
    assert found
    refused = psycopg2.errors.InsufficientPrivilege
    with pool.connection(found.scope) as conn:
        for beyond in ([("ho", "")], [("ho", "lobby"), ("ho", "")]):
            with pytest.raises(refused):
                holds.add_hold(conn, beyond, BEGIN, END, "why", "budi", NOW)
        with pytest.raises(Exception, match="knows no"):
            holds.add_hold(conn, [("makassar", "cashier")], BEGIN, END, "why", "budi", NOW)
        mine = holds.add_hold(conn, [("ho", "lobby")], BEGIN, END, "why", "budi", NOW)
    with closing(owner(world.home)) as conn:
        ours = holds.add_hold(conn, [("ho", "")], BEGIN, END, "all of ho", "test", NOW)
    with pool.connection(found.scope) as conn:
        with pytest.raises(Exception, match=f"no hold {ours}"):
            holds.release_hold(conn, ours, "budi", "why", NOW)
        holds.release_hold(conn, mine, "budi", "why", NOW)
        with conn.cursor() as cursor:
            for sql in ("UPDATE hold SET reason = 'x'", "DELETE FROM hold", "UPDATE hold_scope SET camera_id = 1"):
                with pytest.raises(refused):
                    cursor.execute(sql)
    assert [one.hold_id for one in _holds(world) if one.released_at is None] == [ours]


def test_the_database_lets_nobody_ask_for_a_retry_beyond_their_grants(world: World) -> None:
    """Whatever a page forgets to ask; and the viewer's role writes custody and lineage by that one function alone."""
    bad = next(row for row in world.rows() if row.state == "quarantined")
    pool = database.pool(world.home)
    now = datetime.now(UTC)

    def ask(sees: list[tuple[str, str]], name: str) -> int:
        found = visitor.of(pool).find(bytes.fromhex(sign_in(world.home, name, "investigator", sees).session))
        assert found
        with pool.connection(found.scope) as conn, conn.cursor() as cursor:
            cursor.execute("SELECT ask_retry(%s, %s, 'x', now())", (bad.id, bad.start_utc))
            allowed = cursor.fetchone() == (True,)
            assert retries.retries_asked(conn) == ({(bad.id, bad.start_utc)} if allowed else set())
            for sql in (
                "UPDATE quarantine SET retry_asked_at = NULL",
                "UPDATE recording SET custody = 0",
                "INSERT INTO lineage (at) VALUES (now())",
            ):
                with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                    cursor.execute(sql)
            return allowed + 2 * retries.ask_retry(conn, "ho", None, None, name, now)

    assert ask([("ho", "gate"), ("makassar", "")], "budi") == 0
    turn = datetime(*following(month_of(datetime.now(UTC))), 1, tzinfo=UTC)
    with pool.connection(database.NOBODY) as conn:
        assert retries.ask_retry(conn, "ho", None, None, "budi", turn) == 0, "the month's first minute"
    assert ask([("ho", "lobby")], "rina") == 1
    with closing(owner(world.home)) as conn:
        events = [row for row in reads.lineage_of(conn, bad.id, bad.start_utc) if row.event == "retry_asked"]
        assert [(row.detail, row.map_index) for row in events] == [({"who": "x"}, -1)]


def test_alerts_tell_what_is_wrong_what_was_and_what_could_not_be_told(world: World, look_as: As) -> None:
    now = datetime.now(UTC)
    with closing(owner(world.home)) as conn:
        detail = {"name": f"Lobi {ATTACK}", "since": (now - timedelta(hours=3)).isoformat()}
        found = [("camera_silent", "ho", "lobby", detail), ("quarantine", "makassar", "", {"count": 3})]
        alerts.keep_alerts(conn, found, [], ["ho", "makassar"], ["chat"], now - timedelta(hours=1))
        alerts.keep_alerts(conn, found[:1], [], ["ho", "makassar"], ["chat"], now)
        ids = [one.message_id for one in alerts.waiting_messages(conn)]
        alerts.note_failed(conn, ids, "the line is dead", now)
    look_as(sign_in(world.home, "sari"))
    shown = html(page_of("alerts"))
    assert "has sent nothing since" in shown
    assert "Check the camera, its power and its recorder." in shown
    assert "3 files could not be archived" in shown
    assert "the line is dead" in shown
    assert "<img src=x" not in shown
    assert 'href="/coverage?site=ho"' in shown
    assert "tidak mengirim apa pun sejak" in html(page_of("alerts", lang="id"))
    look_as(sign_in(world.home, "dewi", "viewer", [("makassar", "")]))
    shown = html(page_of("alerts"))
    assert "Nothing is wrong." in shown
    assert "3 files could not be archived" in shown
    assert "has sent nothing since" not in shown


def test_the_log_is_for_auditors_and_shows_no_footage(world: World, look_as: As) -> None:
    row = next(one for one in world.rows() if one.camera == "lobby")
    with closing(owner(world.home)) as conn:
        reads.log_view(conn, "budi", "download", row.id, row.start_utc, {"note": ATTACK}, "192.0.2.8")
        seen = {
            "to": "2026-01-31T02:00:00+00:00",
            "from": "2026-01-31T01:00:00+00:00",
            "cameras": ["ho/lobby"],
            "state": "planned",
        }
        reads.log_view(conn, "budi", "watch", None, None, seen)
    auditor = sign_in(world.home, "rina", "auditor")
    look_as(auditor)
    shown = html(page_of("deeds"))
    assert "downloaded" in shown
    assert "ho/lobby" in shown
    assert "192.0.2.8" in shown
    assert "ho/lobby · from: 31 Jan 2026 08:00:00 WIB · to: 31 Jan 2026 09:00:00 WIB" in shown
    assert "state: Waiting" in shown, "codes have words"
    assert "<img src=x" not in shown
    assert "Nothing was done" in html(page_of("deeds", who="nobody"))
    assert "made a user" not in html(page_of("deeds", action="download"))
    whole = AppTest.from_file(str(SCRIPT), default_timeout=120)
    whole.query_params["lang"] = "en"
    whole.run()
    assert "Who did what" in html(whole), "the first page of who sees no footage"
    look_as(sign_in(world.home, "dewi", "viewer"))
    whole = AppTest.from_file(str(SCRIPT), default_timeout=120)
    whole.query_params["lang"] = "en"
    whole.run()
    assert "5 recordings" in html(whole)


def test_the_file_of_the_log(world: World) -> None:
    with closing(owner(world.home)) as conn:
        for number in range(2500):
            reads.log_view(conn, "budi", "search", None, None, {"number": number})
        reads.log_view(conn, "=cmd|' /C calc'!A0", "search", None, None, {})
    pool = database.pool(world.home)
    app = Starlette(
        routes=audit_log.routes(world.home, pool), middleware=[Middleware(Gate, sessions=visitor.of(pool), port=5000)]
    )
    today = datetime.now(UTC)
    params = {"from": f"{today - timedelta(days=1):%Y-%m-%d}", "to": f"{today + timedelta(days=1):%Y-%m-%d}"}
    with TestClient(app, base_url="http://127.0.0.1:5000") as client:
        for name, role in (("dewi", "viewer"), ("budi", "investigator")):
            client.cookies.set("vms_5000", sign_in(world.home, name, role).token)
            assert client.get("/log.csv").status_code == 403
        client.cookies.set("vms_5000", sign_in(world.home, "rina", "auditor").token)
        answer = client.get("/log.csv", params=params | {"action": "search"})
    assert answer.headers["content-disposition"] == 'attachment; filename="log.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 2501
    assert rows[0]["who"] == "'=cmd|' /C calc'!A0", "a spreadsheet does not run what somebody called themselves"
    assert [row["detail"] for row in rows[1:]] == [f'{{"number": {number}}}' for number in reversed(range(2500))]
    assert [row[0] for row in _log(world, "log_taken")] == ["rina"]


def test_pages_of_the_log_follow_each_other_without_a_gap(world: World) -> None:
    with closing(owner(world.home)) as conn, conn.cursor() as cursor:
        cursor.execute(  # many at one moment
            "INSERT INTO view_log (at, who, action, detail)"
            " SELECT '2026-02-01Z'::timestamptz + (n / 7) * interval '1 s', 'budi', 'search', '{}'"
            " FROM generate_series(1, 100) n"
        )
        wanted = audit.LogFilter(datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 2, 2, tzinfo=UTC))
        whole = audit.list_log(conn, wanted, limit=1000)
        paged: list[audit.LogRow] = []
        while page := audit.list_log(conn, wanted, limit=9, after=(paged[-1].at, paged[-1].number) if paged else None):
            paged += page
    assert len(whole) == 100
    assert paged == whole


def test_a_search_is_written_down_once(world: World, look_as: As) -> None:
    look_as(sign_in(world.home, "budi", "viewer"))
    app = AppTest.from_file(str(SCRIPT), default_timeout=120)
    app.query_params["site"] = "makassar"
    app.run()
    app.run()
    assert [row[2] for row in _log(world, "search")] == [{"site": "makassar"}]
