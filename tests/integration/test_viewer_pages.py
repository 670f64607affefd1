"""The pages as Streamlit runs them, over a real catalogue: totals, filters, states, and what is logged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from shown_page import html
from viewer import database, formats, heat, query, visitor
from viewer.i18n import Words
from viewer.pages import coverage
from viewer_world import START, World, build, make_clip, owner, sign_in
from vms.catalogue import bookmarks, users
from vms.catalogue.bookmarks import NewBookmark
from vms.home import Home, from_environment

SCRIPT = Path(__file__).resolve().parents[2] / "viewer" / "entry" / "script.py"


@pytest.fixture
def world(catalogue: tuple[Home, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    home = catalogue[0]
    for name, value in (("VMS_HOME", home.root), ("VMS_SITES", home.sites_file), ("VMS_DEMO", "0")):
        monkeypatch.setenv(name, str(value))
    st.cache_data.clear()
    made = build(from_environment(), make_clip(tmp_path, home))
    person = sign_in(made.home)
    monkeypatch.setattr(visitor, "_session_of_request", lambda: f"{person.session} 192.0.2.7")
    yield made
    database.pool(made.home).close()


def _run(**params: str) -> AppTest:
    app = AppTest.from_file(str(SCRIPT), default_timeout=120)
    for name, value in params.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


@pytest.mark.usefixtures("world")
def test_the_newest_day_is_shown_with_its_totals() -> None:
    app = _run(lang="en")
    assert "5 recordings" in html(app)
    assert "Days are counted in WIB." in html(app)
    assert "&lt;img src=x" in html(app), "the company's name is shown as text"
    assert "<img src=x" not in html(app)


def test_what_was_found_says_that_somebody_marked_it(world: World) -> None:
    assert "/bookmarks?" not in html(_run(lang="en"))
    with closing(owner(world.home)) as conn:
        user_id = users.list_users(conn)[0].user_id
        at = START + timedelta(seconds=1)
        bookmarks.add_bookmark(conn, NewBookmark(user_id, (("ho", "lobby"),), at, at, "red motorbike", ("theft",)))
    app = _run(lang="en", camera="ho/lobby", **{"from": "2026-01-31", "to": "2026-01-31"})
    shown = [json.loads(one.proto.json) for one in app.get("bidi_component")]
    cards = [card for one in shown for group in one.get("groups", ()) for card in group["cards"]]
    said = [mark for card in cards for mark in card["marks"] if mark["text"] == "Bookmark"]
    assert [mark["hint"] for mark in said] == ["red motorbike"], "on the one recording that it lies in"
    assert "Bookmarks here (1)" in html(app)
    assert "/bookmarks?camera=ho%2Flobby&amp;from=2026-01-31" in html(app)


@pytest.mark.usefixtures("world")
def test_filters_write_the_address() -> None:
    app = _run(lang="id", site="makassar")
    assert "1 rekaman" in html(app)
    app.selectbox(key="w.state").set_value("quarantined").run()
    assert app.query_params["state"] == "quarantined"
    assert app.query_params["site"] == "makassar"
    assert "Tidak ada yang ditemukan" in html(app)


@pytest.mark.usefixtures("world")
def test_what_is_not_there_or_not_granted_is_said() -> None:
    assert "ho/vault is not there, or you were not granted it" in html(_run(lang="en", camera="ho/vault"))
    assert "bandung tidak ada, atau Anda tidak diberi akses" in html(_run(lang="id", site="bandung"))
    assert "is not there" not in html(_run(lang="en", camera="ho/vault,ho/lobby"))


def test_what_retention_took_is_said_with_the_day(world: World) -> None:
    with closing(owner(world.home)) as conn, conn, conn.cursor() as cursor:
        cursor.execute("UPDATE recording SET custody = 3 WHERE custody IN (1, 2)")
        cursor.execute("UPDATE camera_day SET purged_spans = kept_spans, kept_spans = '{}'")
        cursor.execute(
            "INSERT INTO lineage (at, recording_id, start_at, site_id, camera_id, event, dag_id, run_id, task_id,"
            " map_index, try_number, host, detail) SELECT now(), recording_id, start_at, site_id, camera_id, 'purged',"
            " '', '', '', -1, 0, '', '{}' FROM recording WHERE custody = 3"
        )
    app = _run(lang="en", camera="ho/lobby", **{"from": "2026-01-31", "to": "2026-01-31"})
    day = formats.day_long(Words("en"), datetime.now(ZoneInfo("Asia/Jakarta")).date())
    shown = [json.loads(one.proto.json) for one in app.get("bidi_component")]
    reasons = [gap["reason"] for one in shown for gap in one.get("gaps", ())]
    assert f"retention has passed, purged on {day}" in reasons


def test_a_recording_that_is_opened_is_logged_once(world: World) -> None:
    row = next(one for one in world.rows() if one.camera == "lobby")
    app = _run(lang="en", recording=query.recording_text(row.id, row.start_utc))
    app.run()
    with closing(owner(world.home)) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT who, action, recording_id FROM view_log WHERE action = 'view'")
        assert cursor.fetchall() == [("sari", "view", row.id)]


@pytest.mark.usefixtures("world")
def test_a_recording_that_never_was_is_said_to_be_missing() -> None:
    assert "not in the catalogue" in html(_run(lang="en", recording="99.1769821200000000"))


def _coverage(lang: str, *cameras: str) -> dict[str, Any]:
    """What the coverage page hands to its component for the day of the world."""
    pairs = tuple(("ho", camera) for camera in cameras)
    day = date(2026, 1, 31)
    maps = coverage._maps("*", pairs, day, day)
    return heat.page(Words(lang), maps, {"ho": "Kantor Pusat"}, day, day)


def test_a_map_of_more_days_has_fewer_cameras() -> None:
    last = date(2026, 12, 31)
    days = (1, 31, 92, 366)
    assert [coverage.most_cameras(last - timedelta(days=many - 1), last) for many in days] == [100, 100, 50, 16]


@pytest.mark.parametrize(
    ("asked", "page"), [("", 0), ("1", 0), ("2", 1), ("3", 2), ("4", 2), ("0", 0), ("-1", 0), ("x", 0), ("9" * 99, 0)]
)
def test_every_camera_is_on_some_page_of_the_map(asked: str, page: int) -> None:
    assert coverage.page_of(asked, 250, 100) == page
    assert coverage.page_of(asked, 100, 100) == 0
    assert coverage.page_of(asked, 0, 100) == 0


@pytest.mark.usefixtures("world")
def test_coverage_tells_percentages_and_reasons_in_both_languages() -> None:
    shown = _coverage("id", "lobby", "gate")
    rows = {row["camera"]: row["cells"][0] for row in shown["sites"][0]["rows"]}
    assert set(rows) == {"lobby", "gate"}
    share, tone, percent, lines, is_there = rows["lobby"]
    assert (share, tone, percent, is_there) == (0, "red", "0,0 %", True)
    assert any("kamera diam" in line for line in lines)
    assert any("quarantined" not in line and "berkas tidak dapat dipakai" in line for line in lines)
    assert any("waiting" in line for line in _coverage("en", "gate")["sites"][0]["rows"][0]["cells"][0][3])
    since = next(line for line in lines if line.startswith("rekaman pertama pukul"))
    assert "08:00:00" in since, "who looks at a first day is told from when on it counts"
    assert " dari " in shown["summary"]["of"].partition(":")[2], "a share alone can't be judged"
    assert "masih di lokasi" in shown["summary"]["waiting"]
    assert shown["gaps"][0]["href"].startswith("/?camera=ho%2F")


def test_a_catalogue_that_is_away_is_a_designed_state(world: World) -> None:
    (world.home.run / "postgres.json").unlink()
    assert "does not answer" in html(_run(lang="en"))
