"""What the page Watch asks: timeline, playlist, moments and steps over a real catalogue and store, and refusals."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from media_world import gated
from viewer import media, query, visitor
from viewer.database import Pool
from viewer.watch import playing, routes, spans, stand_in_links
from viewer_world import LENGTH_S, NOW, START, SignedIn, World, owner, sign_in
from vms.catalogue import connection, holds
from vms.home import Home

BEGIN = spans.milliseconds(START)
HOUR_MS = 3_600_000
WINDOW = {"from": BEGIN - HOUR_MS, "to": BEGIN + 4 * HOUR_MS}


@pytest.fixture
def client(world: World, person: SignedIn) -> Iterator[TestClient]:
    def both(home: Home, pool: Pool) -> list[Route]:
        return [*media.routes(home, pool), *routes.routes(home, pool)]

    with gated(world, person, both) as made:
        yield made


def _get(client: TestClient, route: str, status: int = 200, **params: Any) -> dict[str, Any]:
    answer = client.get(f"/api/watch/{route}", params={"lang": "en", **params})
    assert answer.status_code == status, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return dict(answer.json())


def test_a_timeline_of_two_cameras_with_footage_gaps_holds_and_clock(client: TestClient, world: World) -> None:
    with closing(owner(world.home)) as conn:
        holds.add_hold(conn, [("ho", "lobby")], START, START + timedelta(minutes=4), "evidence", "Sari", NOW)
    made = _get(client, "timeline", camera="ho/lobby,ho/gate", **WINDOW)
    cameras = {one["id"]: one for one in made["cameras"]}
    assert set(cameras) == {"ho/lobby", "ho/gate"}
    lobby = cameras["ho/lobby"]
    assert [one[0] for one in lobby["spans"]] == [HOUR_MS + step * 300_000 for step in range(3)]
    assert {tuple(one[1:]) for one in lobby["spans"]} == {(4000, 0)}
    assert lobby["clock"][0][1:] == [7 * 3600, "WIB"]
    assert lobby["held"] == [[HOUR_MS, 240_000]]
    texts = {made["texts"][gap[3]] for gap in lobby["gaps"]}
    assert "camera silent" in texts
    assert any("file could not be used" in text for text in texts)
    assert any(gap[2] == 0 for gap in cameras["ho/gate"]["gaps"]), "what waits on site is not a gap like others"


def test_what_is_only_in_cold_storage_is_told_apart(client: TestClient, world: World) -> None:
    def codes() -> list[int]:
        return [one[2] for one in _get(client, "timeline", camera="ho/lobby", **WINDOW)["cameras"][0]["spans"]]

    with closing(owner(world.home)) as conn, conn, conn.cursor() as cursor:
        cursor.execute('UPDATE store SET options = \'{"storage_class": "GLACIER"}\'')
    assert codes() == [spans.COLD] * 3
    first = next(one for one in world.rows() if one.camera == "lobby")
    with closing(owner(world.home)) as conn, conn, conn.cursor() as cursor:
        cursor.execute("INSERT INTO store (name, url) VALUES ('nas2', 'file:///nas2') RETURNING store_id")
        (number,) = cursor.fetchone() or (0,)
        cursor.execute(
            "INSERT INTO copy SELECT (jsonb_populate_record(copy, jsonb_build_object('store_id', %s::int))).* FROM copy"
            " WHERE recording_id = %s",
            (number, first.id),
        )
    assert codes() == [0, spans.COLD, spans.COLD]


def test_a_month_is_drawn_without_reading_every_recording_and_shows_those_that_deviate(
    client: TestClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    month = {"from": BEGIN - 20 * 24 * HOUR_MS, "to": BEGIN + 11 * 24 * HOUR_MS}

    def seen() -> tuple[bool, list[int], list[tuple[int, int]]]:
        made = _get(client, "timeline", camera="ho/lobby,makassar/cashier", **month)
        assert made["fine"] is False
        lobby, cashier = sorted(made["cameras"], key=lambda one: str(one["id"]))
        assert cashier["odd"] == []
        odd = [((one[0] + month["from"] - BEGIN) // 1000, one[2]) for one in lobby["odd"]]
        return made["whole"], [one[2] for one in lobby["spans"]], odd

    def change(*statements: tuple[str, Any]) -> None:
        with closing(owner(world.home)) as conn, conn, conn.cursor() as cursor:
            for text, value in statements:
                cursor.execute(text, (value,))

    def seen_of_one() -> tuple[bool, list[int]]:
        with monkeypatch.context() as only:
            only.setattr(routes, "_MOST_ODD", 1)
            return seen()[:2]

    assert seen() == (True, [0] * 3, [])
    ids = [one.id for one in world.rows() if one.camera == "lobby" and one.state == "archived"]
    lacking = (
        "INSERT INTO copy_wanted (recording_id, start_at, store_id, site_id, since)"
        " SELECT recording_id, start_at, 1, site_id, now() FROM recording WHERE recording_id = ANY(%s)",
        ids[1:],
    )
    change(lacking)
    assert seen_of_one() == (False, [spans.UNKNOWN] * 3), "more copies are lacking than were asked for"
    change(
        ("DELETE FROM copy_wanted WHERE recording_id = ANY(%s)", ids),
        ("UPDATE recording SET damaged = 'torn' WHERE recording_id = %s", ids[0]),
        ("UPDATE recording SET time_marks = '{repeated}' WHERE recording_id = %s", ids[1]),
    )
    assert seen_of_one() == (False, [spans.UNKNOWN] * 3), "more deviate than were asked for"
    cold = "INSERT INTO cold_recording SELECT recording_id, start_at FROM recording WHERE recording_id = %s"
    change(lacking, (cold, ids[2]))

    def fine() -> list[int]:
        return [one[2] for one in _get(client, "timeline", camera="ho/lobby", **WINDOW)["cameras"][0]["spans"]]

    assert fine() == [spans.DAMAGED, spans.DOUBTFUL | spans.LACKING, spans.LACKING | spans.COLD]
    with closing(owner(world.home)) as conn, conn, conn.cursor() as cursor:  # more than there are recordings
        cursor.execute("INSERT INTO store (name, url) SELECT 'away' || n, '' || n FROM generate_series(1, 9) n")
        cursor.execute(
            "INSERT INTO copy_wanted (recording_id, start_at, store_id, site_id, since)"
            " SELECT recording_id, start_at, s.store_id, site_id, now() FROM recording, store s"
            " WHERE recording_id = %s AND s.name LIKE 'away%%'",
            (ids[1],),
        )
    assert fine() == [spans.DAMAGED, spans.DOUBTFUL | spans.LACKING, spans.LACKING | spans.COLD]
    told = [(0, spans.DAMAGED), (300, spans.DOUBTFUL | spans.LACKING), (600, spans.LACKING | spans.COLD)]
    assert seen() == (True, [0] * 3, told)
    everything = client.cookies["vms_5000"]
    client.cookies.set("vms_5000", sign_in(world.home, "budi", "viewer", [("ho", ""), ("makassar", "")]).token)
    assert seen() == (False, [spans.UNKNOWN] * 3, [(0, spans.DAMAGED), (300, spans.DOUBTFUL)])
    client.cookies.set("vms_5000", everything)
    change(("UPDATE recording SET lost_at = now() WHERE recording_id = %s", ids[0]))
    assert seen()[2] == told[1:]
    change(("UPDATE store SET options = options || jsonb_build_object('storage_class', %s::text)", "GLACIER"))
    assert seen()[0] is False, "what lies in a cold store is told of each recording alone"


def test_a_playlist_joins_the_files_of_a_camera_and_its_bytes_are_the_stored_ones(
    client: TestClient, world: World
) -> None:
    made = _get(client, "playlist", camera="ho/lobby", can="av1,h264", **WINDOW)
    assert [one["from"] for one in made["pieces"]] == [BEGIN + step * 300_000 for step in range(3)]
    assert [one["at"] for one in made["pieces"]] == pytest.approx([0, LENGTH_S, 2 * LENGTH_S], abs=0.05)
    assert made["left_out"] == []
    assert made["expires"] > time.time() + 300
    whole, played = world.clip.video.read_bytes(), b""
    for size, start, url in re.findall(r"#EXT-X-BYTERANGE:(\d+)@(\d+)\n(/m/\S+)", made["playlist"]):
        asked = {"Range": f"bytes={start}-{int(start) + int(size) - 1}"}
        answer = client.get(url, headers=asked)
        assert answer.status_code == 206
        played += answer.content
    head = int(re.findall(r'BYTERANGE="(\d+)@0"', made["playlist"])[0])
    assert played.count(b"moof") == 3 * whole.count(b"moof")
    assert whole[:head].endswith(whole[head - 8 : head])
    with closing(owner(world.home)) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT who, detail FROM view_log WHERE action = 'watch'")
        reach = {
            "reach_from": (START - timedelta(hours=1)).isoformat(),
            "reach_to": (START + timedelta(hours=4)).isoformat(),
        }
        assert cursor.fetchall() == [("sari", {"camera": "ho/lobby", "at": reach["reach_from"], **reach})]
    client.cookies.set("vms_5000", sign_in(world.home, "budi").token)
    assert client.get(url).status_code == 403, "a link of another session"


def test_an_answer_covers_no_more_than_is_in_it(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def covered(at_s: int) -> tuple[list[int], int]:
        made = _get(client, "playlist", camera="ho/lobby", can="av1", **WINDOW | {"at": BEGIN + at_s * 1000})
        return [(one["from"] - BEGIN) // 1000 for one in made["pieces"]], (made["to"] - BEGIN) // 1000

    assert covered(1) == ([0, 300, 600], 4 * 3600)
    monkeypatch.setattr(playing, "_MOST_PIECES", 2)
    assert covered(1) == ([0, 300], 304)
    assert covered(301) == ([300, 600], 604)
    assert covered(601) == ([600], 4 * 3600)
    monkeypatch.undo()
    soon = spans.milliseconds(datetime.now(UTC))
    made = _get(client, "playlist", camera="ho/lobby", can="av1", **{"from": soon - HOUR_MS, "to": soon + HOUR_MS})
    assert soon <= made["to"] < soon + HOUR_MS / 2, "nobody knows what comes"


def test_what_the_browser_can_not_play_has_stand_ins_and_the_rest_is_said(client: TestClient, world: World) -> None:
    gate = _get(client, "playlist", camera="ho/gate", can="av1,hevc", **WINDOW)
    assert (gate["as_stored"], [one["from"] for one in gate["pieces"]]) == (False, [BEGIN]), "a file of the recorder's"
    first = next(one for one in world.rows() if one.camera == "lobby")
    with closing(owner(world.home)) as conn, conn.cursor() as cursor:
        cursor.execute("UPDATE recording SET codec = 'hevc' WHERE recording_id = %s", (first.id,))
    asked = {"camera": "ho/lobby", "can": "av1", **WINDOW}
    later = _get(client, "playlist", at=BEGIN + 301_000, **asked)
    assert (later["as_stored"], [one["why"] for one in later["left_out"]]) == (True, ["codec"])
    there = _get(client, "playlist", at=BEGIN + 1000, **asked)
    assert (there["as_stored"], there["left_out"], len(there["pieces"])) == (False, [], 3)
    away = world.nas.rename(world.nas.with_name("unmounted"))
    cashier = {"camera": "makassar/cashier", "can": "av1", **WINDOW}
    assert [one["why"] for one in _get(client, "playlist", **cashier)["left_out"]] == ["away"]
    away.rename(world.nas)
    (world.nas / next(one for one in world.rows() if one.camera == "cashier").copies[0].key).unlink()
    assert [one["why"] for one in _get(client, "playlist", **cashier)["left_out"]] == ["missing"]


def test_a_moment_has_its_recording_and_picture(client: TestClient, world: World) -> None:
    first = next(one for one in world.rows() if one.camera == "lobby")
    found = _get(client, "moment", camera="ho/lobby", at=BEGIN + 3000)["recording"]
    assert found["id"] == query.recording_text(first.id, first.start_utc)
    assert (found["from"], found["to"]) == (BEGIN, BEGIN + 4000)
    assert client.get(found["sprite"]["url"]).content == world.clip.sprite.read_bytes()
    assert _get(client, "moment", camera="ho/lobby", at=BEGIN + 60_000)["recording"] is None


def test_steps_go_to_the_next_and_the_previous_recording_and_gap(client: TestClient) -> None:
    def step(what: str, way: str, at: int) -> int | None:
        found = _get(client, "step", camera="ho/lobby", what=what, way=way, at=at)["at"]
        return None if found is None else (found - BEGIN) // 1000

    assert step("recording", "next", BEGIN + 1000) == 300
    assert step("recording", "previous", BEGIN + 300_000) == 0
    assert step("recording", "next", BEGIN + 700_000) is None
    assert step("gap", "next", BEGIN + 1000) == 4
    assert step("gap", "previous", BEGIN + 301_000) == 4


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"camera": "ho/lobby"},
        {"camera": "ho/lobby", "from": BEGIN, "to": BEGIN},
        {"camera": "ho/lobby", "from": BEGIN, "to": BEGIN + 500 * 24 * HOUR_MS},
        {"camera": "ho/lobby", "from": "1e9", "to": BEGIN},
        {"camera": "ho/lobby", "from": "9" * 400, "to": "9" * 400},
        {"camera": "../../etc/passwd", "from": BEGIN, "to": BEGIN + 1000},
        {"camera": "ho/lobby' OR 1=1 --", "from": BEGIN, "to": BEGIN + 1000},
        {"camera": "ho/lobby,<script>", "from": BEGIN, "to": BEGIN + 1000},
        {"camera": ",".join(f"ho/c{n}" for n in range(17)), "from": BEGIN, "to": BEGIN + 1000},
    ],
)
@pytest.mark.parametrize("what", ["timeline", "playlist"])
def test_hostile_addresses_are_refused(client: TestClient, what: str, params: dict[str, Any]) -> None:
    assert "reload" in _get(client, what, 400, **params)["error"]


def test_a_camera_that_nobody_knows_is_said_to_be_unknown(client: TestClient) -> None:
    assert "not known" in _get(client, "timeline", 404, camera="ho/none", **WINDOW)["error"]
    assert _get(client, "playlist", camera="ho/none", can="av1", **WINDOW)["pieces"] == []
    assert _get(client, "moment", 400, camera="ho/lobby,ho/gate", at=BEGIN)["error"]


def test_a_catalogue_that_is_away_is_said_to_be_away(client: TestClient, world: World) -> None:
    _get(client, "step", camera="ho/lobby", at=BEGIN)
    with closing(connection.connect(connection.url(world.home, "viewer"))) as conn, conn.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename = current_user AND pid <> pg_backend_pid() AND datname = current_database()"
        )
    (world.home.run / "postgres.json").unlink()
    for pool in visitor._by_pool:
        pool.close()  # its idle connections would still answer
    assert "catalogue" in _get(client, "timeline", 503, camera="ho/lobby", **WINDOW)["error"]


def test_the_player_is_served_for_ever_and_nothing_beside_it(client: TestClient) -> None:
    answer = client.get(f"/api/watch/{routes.HLS}")
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"].startswith("text/javascript")
    for path in ("hls-1.7.4.LICENSE", "..%2f..%2fapp.py", "../../app.py"):
        assert client.get(f"/api/watch/{path}").status_code == 404


def test_nothing_is_told_to_whom_has_not_signed_in(client: TestClient) -> None:
    client.cookies.clear()
    for what in ("timeline", "playlist", "moment", "step", routes.HLS):
        answer = client.get(f"/api/watch/{what}", params={"camera": "ho/lobby", **WINDOW})
        assert (answer.status_code, "ho" in answer.text) == (401, False), what


def test_a_snapshot_is_written_down_and_another_page_can_not_ask_for_it(client: TestClient, world: World) -> None:
    def ask(**headers: str) -> int:
        params = {"camera": "ho/lobby", "at": BEGIN + 1000}
        return client.post("/api/watch/snapshot", params=params, headers=headers).status_code

    assert ask() == 403
    assert ask(**{"X-Vms-Page": "watch"}) == 200
    client.cookies.set("vms_5000", sign_in(world.home, "dewi", "viewer").token)
    assert ask(**{"X-Vms-Page": "watch"}) == 403
    with closing(owner(world.home)) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT who FROM view_log WHERE action = 'snapshot'")
        assert cursor.fetchall() == [("sari",)]


def test_what_was_played_is_written_down_by_camera_as_the_page_tells_it(client: TestClient, world: World) -> None:
    def tell(cameras: str, **headers: str) -> int:
        params = {"camera": cameras, "from": BEGIN + 1000, "to": BEGIN + 3000}
        return client.post("/api/watch/played", params=params, headers=headers).status_code

    ours = {"X-Vms-Page": "watch"}
    assert tell("ho/lobby") == 403
    assert tell("ho/lobby,makassar/cashier,ho/none", **ours) == 200
    client.cookies.set("vms_5000", sign_in(world.home, "budi", "viewer", [("makassar", "")]).token)
    assert tell("ho/lobby,makassar/cashier", **ours) == 200
    with closing(owner(world.home)) as conn, conn.cursor() as cursor:
        cursor.execute(
            "SELECT who, detail->>'camera', detail->>'to' FROM view_log WHERE action = 'watched' ORDER BY 1, 2"
        )
        end = (START + timedelta(seconds=3)).isoformat()
        assert cursor.fetchall() == [
            ("budi", "makassar/cashier", end), ("sari", "ho/lobby", end), ("sari", "makassar/cashier", end)
        ]  # fmt: skip


def test_a_person_sees_along_time_what_was_granted_and_nothing_else(client: TestClient, world: World) -> None:
    everything = client.cookies["vms_5000"]
    links = re.findall(r"/m/\S+", _get(client, "playlist", camera="ho/lobby", can="av1", **WINDOW)["playlist"])
    budi = sign_in(world.home, "budi", "investigator", [("makassar", "")])
    client.cookies.set("vms_5000", budi.token)
    assert _get(client, "playlist", camera="makassar/cashier", can="av1", **WINDOW)["pieces"]
    _get(client, "timeline", 404, camera="ho/lobby", **WINDOW)
    _get(client, "timeline", 404, camera="ho/lobby,makassar/cashier", **WINDOW)
    for low in (0, 1):
        made = _get(client, "playlist", camera="ho/lobby", can="av1", low=low, **WINDOW)
        assert (made["playlist"], made["pieces"], made["left_out"]) == ("", [], [])
    assert _get(client, "moment", camera="ho/lobby", at=BEGIN + 1000)["recording"] is None
    for what in ("recording", "gap"):
        assert _get(client, "step", camera="ho/lobby", what=what, at=BEGIN - 1000)["at"] is None
    params = {"camera": "ho/lobby", "at": BEGIN + 1000}
    assert client.post("/api/watch/snapshot", params=params, headers={"X-Vms-Page": "watch"}).status_code == 404
    assert client.get(links[0]).status_code == 403
    row = next(one for one in world.rows() if one.camera == "lobby")
    url, _ = stand_in_links.issue(world.home, budi.mark, row.id, row.start_utc, "low", "/api/watch")
    assert client.get(f"{url}/0.ts").status_code == 404, "even with a link of the right session"
    client.cookies.set("vms_5000", everything)
    assert _get(client, "playlist", camera="ho/lobby", can="av1", **WINDOW)["pieces"]
