"""The page Operations: what each person sees of it, trying files again by right and grant, and what is away."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from typing import Any
from urllib.parse import quote, unquote

import pytest
from streamlit.testing.v1 import AppTest

from fake_airflow import FakeAirflow
from shown_page import button, html, page_of
from viewer import elsewhere, query
from viewer_world import ATTACK, NOW, RUN, Clip, SignedIn, World, build, eventually, owner, sign_in
from vms.catalogue import reads, reads_sites
from vms.catalogue.rows import RecordingRow
from vms.home import Home, from_environment
from vms.ledger import Ledger
from vms.sightings import SourceSeen

As = Callable[[SignedIn], None]
LIST = "POST /api/v2/dags/~/dagRuns/list"


@pytest.fixture
def airflow() -> Iterator[FakeAirflow]:
    fake = FakeAirflow()
    fake.answers["GET /api/v2/dags"] = (200, {"dags": [], "total_entries": 0})
    fake.answers[LIST] = (200, {"dag_runs": []})
    yield fake
    fake.server.shutdown()
    fake.server.server_close()


@pytest.fixture
def world(
    viewer_home: Home,  # noqa: ARG001 - for the environment that it sets
    viewer_clip: Clip,
    airflow: FakeAirflow,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    monkeypatch.setenv("VMS_AIRFLOW_PORT", str(airflow.server.server_port))
    return build(from_environment(), viewer_clip)


def _shown(app: AppTest) -> dict[str, Any]:
    """The sections as their component gets them, by name."""
    found = [json.loads(one.proto.json) for one in app.get("bidi_component")]
    return {one["name"]: one for one in found if "heads" in one}


def _once(true: Callable[[dict[str, Any]], object], **params: str) -> dict[str, Any]:
    """The sections as soon as this is true of them: Airflow and stores are asked aside."""
    seen: list[dict[str, Any]] = []

    def looked() -> object:
        seen.append(_shown(page_of("operations", **params)))
        return true(seen[-1])

    eventually(looked)
    return seen[-1]


def _again(chosen: str) -> str:
    """Ask as the page's button does; what the person is told."""
    app = AppTest.from_string(
        "import streamlit as st\nfrom viewer import frame\nfrom viewer.pages import operations\n"
        f"operations.again(frame.language(), {chosen!r})\nst.text(st.session_state['ops.said'])",
        default_timeout=120,
    )
    app.query_params["lang"] = "en"
    app.run()
    assert not app.exception
    return str(app.text[0].value)


def _bad(world: World) -> tuple[str, RecordingRow]:
    row = next(one for one in world.rows() if one.state == "quarantined")
    return query.recording_text(row.id, row.start_utc), row


def _retries(world: World) -> list[tuple[str, str, dict[str, Any]]]:
    with closing(owner(world.home)) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT who, address, detail FROM view_log WHERE action = 'retry' ORDER BY view_no")
        return cursor.fetchall()


def test_the_page_tells_sites_backlog_failing_files_and_stores(world: World, look_as: As) -> None:
    with closing(owner(world.home)) as conn, conn.cursor() as cursor:
        cursor.execute(
            "INSERT INTO store_state (site_id, store_id, state, message, remedy, since, seen_at)"
            " SELECT site_id, store_id, 'unreachable', 'The share is gone.', 'Mount it.', %s, %s FROM site, store"
            " WHERE slug = 'ho' ON CONFLICT (site_id, store_id) DO UPDATE SET state = 'unreachable',"
            " message = excluded.message, remedy = excluded.remedy, since = excluded.since",
            (NOW, NOW),
        )
    look_as(sign_in(world.home))
    shown = _once(lambda seen: "as of" in seen["stores"]["note"])
    rows = {row["key"]: row for row in shown["sites"]["rows"]}
    assert rows.keys() == {"ho", "makassar"}
    assert rows["ho"]["cells"][0]["text"] == f"Kantor Pusat {ATTACK}"
    assert rows["ho"]["cells"][4] == {"text": "4 s", "note": "files: 1 · 1.0 MB", "tone": ""}
    assert rows["ho"]["cells"][5]["text"] == "1"
    assert [one["name"] for one in rows["ho"]["items"]["list"]] == ["Gerbang", f"Lobi {ATTACK}"]
    assert [tile["value"] for tile in shown["tiles"]["tiles"]] == ["1", "1", "1", "0"]
    (failed,) = shown["failing"]["rows"]
    assert failed["cells"][0]["text"] == f"lobby/bad {ATTACK}.mp4"
    assert failed["action"] == {"text": "Try again", "id": _bad(world)[0]}
    (nas,) = shown["stores"]["rows"]
    assert nas["cells"][0] == {"text": "nas", "badge": "Does not answer", "tone": "red"}
    assert nas["cells"][1]["note"] == "recordings: 5"
    assert "bar" in nas["cells"][2]
    assert "since 1 Feb 2026 10:00:00 WIB" in nas["lines"][0]["text"]
    assert nas["lines"][0]["text"].endswith("The share is gone. Mount it.")
    assert _shown(page_of("operations", lang="id"))["failing"]["rows"][0]["action"]["text"] == "Coba lagi"
    focused = _shown(page_of("operations", dag="footage_makassar"))
    assert [row["key"] for row in focused["sites"]["rows"]] == ["makassar"]
    assert focused["failing"]["rows"] == []


def test_who_has_grants_sees_and_tries_again_their_own_cameras_only(
    world: World, look_as: As, airflow: FakeAirflow
) -> None:
    chosen, row = _bad(world)
    airflow.answers["GET /api/v2/dags/footage_ho/dagRuns"] = (200, {"dag_runs": [], "total_entries": 0})
    airflow.answers["POST /api/v2/dags/footage_ho/dagRuns"] = (200, _run("footage_ho", "manual__1", "queued"))
    ledger = Ledger(world.home.site_staging("ho"))
    ledger.settle([SourceSeen(row.source_name, 1, 1)], "quarantined")

    look_as(sign_in(world.home, "dewi", "viewer", [("ho", "")]))
    assert _shown(page_of("operations"))["failing"]["rows"][0]["action"] is None, "who may only look has no button"
    assert _again(chosen) == "This page is not for your role"
    look_as(sign_in(world.home, "budi", "investigator", [("ho", "gate"), ("makassar", "")]))
    shown = _shown(page_of("operations"))
    assert shown["failing"]["rows"] == []
    assert [len(one["cells"]) for one in shown["stores"]["rows"]] in ([], [1]), "how full stores are is not for them"
    assert "Nothing is quarantined there" in _again(chosen)
    assert "Nothing is quarantined there" in _again("*")
    assert _retries(world) == []
    assert ledger.settled() == {row.source_name}

    look_as(sign_in(world.home, "rina", "investigator", [("ho", "lobby")]))
    assert "A run begins now" in _again(chosen)
    assert _retries(world) == [("rina", "192.0.2.7", {"asked": 1})]
    assert ledger.settled() == set(), "the next look must not pass it by"
    with closing(owner(world.home)) as conn:
        events = reads.lineage_of(conn, row.id, row.start_utc)
    assert [(one.event, one.detail) for one in events][-1] == ("retry_asked", {"who": "rina"})
    started = [asked for key, asked in airflow.asked if key == "POST /api/v2/dags/footage_ho/dagRuns"]
    assert [one["note"] for one in started] == ["rina asked in the viewer to try files again"]
    logged_in = {asked["username"] for key, asked in airflow.asked if key == "POST /auth/token"}
    assert logged_in == {"viewer"}, "never as Airflow's admin"
    action = _shown(page_of("operations"))["failing"]["rows"][0]["action"]
    assert action == {"text": "Asked for; the next run tries it", "done": True}
    assert "was asked for before" in _again(chosen)


def test_all_are_tried_again_by_the_next_run_when_airflow_is_away(
    world: World, look_as: As, airflow: FakeAirflow
) -> None:
    look_as(sign_in(world.home))
    airflow.server.shutdown()
    airflow.server.server_close()
    assert _again("*") == "Asked for. The next run tries again."
    assert _retries(world) == [("sari", "192.0.2.7", {"site": "ho", "asked": 1})]
    shown = _once(lambda seen: "does not answer" in seen["runs"]["notice"])
    assert shown["runs"]["rows"] == []
    assert len(shown["sites"]["rows"]) == 2, "the rest is shown"


def _run(dag_id: str, run_id: str, state: str) -> dict[str, Any]:
    ended = None if state in ("running", "queued") else "2026-02-01T04:00:00Z"
    return {
        "dag_id": dag_id,
        "dag_run_id": run_id,
        "state": state,
        "start_date": "2026-02-01T03:00:00Z",
        "end_date": ended,
        "dag_display_name": dag_id,
    }


def test_runs_tell_what_their_batches_do_to_who_may_know(world: World, look_as: As, airflow: FakeAirflow) -> None:
    runs = {
        "running": [_run("footage_ho", RUN.run_id, "running"), _run("retention", "r", "running")],
        "failed": [_run("footage_makassar", "f", "failed")],
        "success": [_run("alerts", "a", "success"), _run("backup", "b", "success")],
    }

    def listed(asked: dict[str, Any]) -> tuple[int, Any]:
        ids = asked.get("dag_ids")
        some = [one for state in asked["states"] for one in runs.get(state, ())]
        return 200, {"dag_runs": [one for one in some if ids is None or one["dag_id"] in ids]}

    airflow.answers[LIST] = listed
    airflow.answers["GET /api/v2/dags"] = (
        200,
        {"dags": [{"dag_id": "footage_makassar", "is_paused": True}], "total_entries": 1},
    )
    batches = reads_sites.batches_of_runs
    with closing(owner(world.home)) as conn:
        known = {one.position: one for one in batches(conn, [("footage_ho", RUN.run_id)])}
    assert len(known) == 2
    tasks = [
        {"task_id": f"batch.{name}", "map_index": place, "rendered_map_index": "a batch", "try_number": 1}
        | {"state": state}
        for place, name, state in ((0, "compress", "running"), (1, "upload", "up_for_retry"), (0, "record", None))
    ]
    path = f"GET /api/v2/dags/footage_ho/dagRuns/{quote(RUN.run_id, safe='')}/taskInstances"
    airflow.answers[path] = airflow.answers[unquote(path)] = (200, {"task_instances": tasks, "total_entries": 3})
    other = [{"task_id": "purge", "map_index": -1, "state": "running", "try_number": 1}]
    airflow.answers["GET /api/v2/dags/retention/dagRuns/r/taskInstances"] = (
        200,
        {"task_instances": other, "total_entries": 1},
    )
    look_as(sign_in(world.home))
    shown = _once(lambda seen: seen["runs"]["rows"] and "Paused" in str(seen["sites"]))
    rows = {row["key"].partition(" ")[0]: row for row in shown["runs"]["rows"]}
    assert list(rows) == ["footage_ho", "retention", "footage_makassar", "backup"]
    told = [line["text"] for line in rows["footage_ho"]["lines"]]
    assert [line.partition(": ")[0] for line in told] == ["compresses", "sends (waits to try again)"]
    assert [known[place].camera in line for place, line in enumerate(told)] == [True, True]
    assert told[0].endswith(f"WIB, files: {known[0].files}")
    in_indonesian = _once(lambda seen: seen["runs"]["rows"], lang="id")["runs"]["rows"]
    lines = [line["text"] for row in in_indonesian for line in row["lines"] if row["key"].startswith("footage_ho")]
    assert lines[0].startswith("mengompres: "), "no word of it is English"
    assert lines[0].endswith(f"WIB, berkas: {known[0].files}")
    assert rows["footage_ho"]["cells"][0]["note"] == "0 of 2 batches done"
    assert rows["retention"]["lines"] == [{"text": "purge", "tone": ""}]
    assert rows["footage_makassar"]["cells"][0]["badge"] == "Failed"
    makassar = next(row for row in shown["sites"]["rows"] if row["key"] == "makassar")
    assert makassar["cells"][0]["badge"] == "Paused in Airflow"
    only = _once(lambda seen: seen["runs"]["rows"], dag="retention")["runs"]["rows"]
    assert [row["key"] for row in only] == ["retention r"]

    look_as(sign_in(world.home, "budi", "investigator", [("ho", "gate")]))
    mine = next(one for one in known.values() if one.camera == "Gerbang")
    (row,) = _once(lambda seen: seen["runs"]["rows"])["runs"]["rows"]
    (line,) = row["lines"]
    assert f": {mine.camera} " in line["text"]
    assert "link" not in row["cells"][0]
    nothing = _once(lambda seen: not seen["runs"]["notice"], dag="retention")["runs"]
    assert nothing["rows"] == []


def test_what_hangs_elsewhere_holds_up_no_page() -> None:
    go, answers = threading.Event(), count(1)

    def ask() -> int:
        go.wait()
        return next(answers)

    kept = elsewhere.Kept(ask, every_s=0.0, old_s=1e9, patience_s=0.0)
    assert kept.now() is None
    go.set()
    eventually(lambda: kept.now() is not None)
    go.clear()
    assert kept.now() is not None, "the last answer counts while the next one is awaited"
    go.set()


def _many(world: World) -> None:
    """Forty sites more, of which every fifth is silent, by region and tier."""
    with closing(owner(world.home)) as conn, conn, conn.cursor() as cursor:
        cursor.execute(
            "INSERT INTO site (slug, name, tz, last_sensed) SELECT 'x' || n, 'Cabang ' || n, 'Asia/Jakarta',"
            " now() - CASE WHEN n % 5 = 0 THEN interval '1 day' ELSE interval '1 minute' END"
            " FROM generate_series(1, 40) n"
        )
        cursor.execute(
            "INSERT INTO camera (site_id, slug, name) SELECT site_id, 'cam', 'Kasir' FROM site WHERE slug ~ '^x'"
        )
    text = world.home.sites_file.read_text()
    for number in range(1, 41):
        labels = f"region: {'Bali' if number % 2 else 'Jawa'}, tier: {'kiosk' if number > 30 else 'branch'}"
        camera = "cameras: [{id: cam, name: Kasir, match: cam}]"
        text += f"  - {{id: x{number}, time_zone: WIB, footage: {world.home.root}/footage, {labels}, {camera}}}\n"
    world.home.sites_file.write_text(text)


def _sites_page(**params: str) -> tuple[dict[str, list[str]], list[str], AppTest]:
    """The map's sites by region, whose panels are shown, and the page."""
    app = page_of("sites", **params)
    told = [json.loads(one.proto.json) for one in app.get("bidi_component")]
    regions = next((one["regions"] for one in told if "regions" in one), [])
    panels = next(one["sites"] for one in told if "faults" in one)
    return {one["name"]: [tile[0] for tile in one["tiles"]] for one in regions}, [one["id"] for one in panels], app


def test_many_sites_begin_with_those_that_need_a_person_and_are_searched(world: World, look_as: As) -> None:
    _many(world)
    look_as(sign_in(world.home))
    regions, panels, app = _sites_page()
    assert {name: len(some) for name, some in regions.items()} == {"Bali": 20, "Jawa": 20, "Without a region": 2}
    assert regions["Bali"][:4] == ["x15", "x25", "x35", "x5"], "the silent ones, by name"
    assert panels == ["x10", "x15", "x20", "x25", "x30", "x35"]
    assert "10 of 42 sites need a person." in html(app)
    button(app, "Show more (36)").click().run()
    told = [json.loads(one.proto.json) for one in app.get("bidi_component")]
    (more,) = [one["sites"] for one in told if "faults" in one]
    assert len(more) == 12
    regions, panels, _ = _sites_page(region="Bali", tier="kiosk")
    assert (list(regions), sorted(regions["Bali"])) == (["Bali"], ["x31", "x33", "x35", "x37", "x39"])
    assert _sites_page(q="bali cabang 33")[1] == ["x33"]
    assert _sites_page(q="cabang 33", lang="id")[0] == {"Bali": ["x33"]}
    regions, panels, _ = _sites_page(site="x7")
    assert (regions, panels) == ({}, ["x7"])

    shown = _shown(page_of("operations"))
    rows = {row["key"]: row["cells"][0] for row in shown["sites"]["rows"]}
    assert len(rows) == 10, "those that need a person"
    assert (rows["x10"]["badge"], rows["x10"]["note"]) == ("Silent", "Jawa · branch")
    assert [row["key"] for row in _shown(page_of("operations", q="cabang 33"))["sites"]["rows"]] == ["x33"]
    focused = _shown(page_of("operations", dag="footage_x7"))["sites"]["rows"]
    assert [one["name"] for one in focused[0]["items"]["list"]] == ["Kasir"]

    look_as(sign_in(world.home, "budi", "viewer", [(f"x{number}", "") for number in range(1, 14)]))
    regions, panels, app = _sites_page(q="cabang")
    assert sorted(one for some in regions.values() for one in some) == sorted(f"x{number}" for number in range(1, 14))
    assert "Kantor" not in html(app)
    assert "No site is like that." in html(page_of("sites", site="x20")), "what is not granted is not there"
