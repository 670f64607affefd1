"""Footage in a bucket: fetched there by the browser itself where it may, and brought back from cold storage."""

from __future__ import annotations

import secrets
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import requests
from psycopg2.errors import InsufficientPrivilege
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

import weed
from cold_server import run_cold
from media_world import LinkTo, selected
from viewer import cold, direct, tokens
from viewer.database import Pool
from viewer.security import Guard
from viewer_world import RUN, SignedIn, World, add_user, eventually, move_to_bucket, owner, sign_in
from vms import coldness
from vms.alerts import wording
from vms.alerts.round import run_round
from vms.catalogue import integrity, reads, restores, timeline, users
from vms.catalogue.alerts import waiting_messages
from vms.catalogue.connection import fetch_all
from vms.catalogue.rows import RecordingRow
from vms.config import load_config
from vms.config_alerts import AlertPolicy, AlertTarget
from vms.steps.prove import look_at
from vms.stores import open_store
from vms.stores.cold import Cold


@pytest.fixture
def in_bucket(world: World, s3_server: weed.S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The world's footage lies in a bucket, and browsers fetch it there."""
    monkeypatch.setenv("AIRFLOW_CONN_CLOUD", weed.connection_text(s3_server.endpoint))
    url = f"s3://{weed.BUCKET}/{secrets.token_hex(8)}"
    move_to_bucket(world, url, "cloud")
    return url


@pytest.mark.usefixtures("in_bucket")
def test_footage_in_a_bucket_does_not_pass_through_the_viewer(
    s3_server: weed.S3Server,
    client: TestClient,
    world: World,
    row: RecordingRow,
    link_to: LinkTo,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client.follow_redirects = False
    whole = world.clip.video.read_bytes()
    answer = client.get(link_to(row), headers={"Range": "bytes=0-9"})
    assert (answer.status_code, answer.content, answer.headers["cache-control"]) == (307, b"", "no-store")
    there = answer.headers["location"]
    assert there.startswith(f"{s3_server.endpoint}/")
    assert "a secret" not in there
    part = requests.get(there, headers={"Range": "bytes=3-9"}, timeout=30)
    assert (part.status_code, part.content, part.headers["content-type"]) == (206, whole[3:10], "video/mp4")
    assert requests.get(there.replace("lobby", "gate"), timeout=30).status_code == 403, "signed for one object"
    assert client.head(link_to(row)).headers["content-length"] == str(len(whole))

    answer = client.get(link_to(row, how="attachment"))
    taken = requests.get(answer.headers["location"], timeout=30)
    assert (answer.content, taken.content) == (b"", whole)
    assert taken.headers["content-disposition"].startswith('attachment; filename="ho_lobby_2026-01-31_08-00-00_WIB')
    assert selected(world, "SELECT who FROM view_log WHERE action = 'download'") == [("sari",)]
    assert client.get(link_to(row, "poster")).content == world.clip.poster.read_bytes(), "pictures pass through"
    assert client.get(f"{link_to(row)}?through=1").content == whole, "for whom the store does not answer"

    monkeypatch.setattr(direct, "LASTS_S", 1)
    soon = client.get(link_to(row)).headers["location"]
    eventually(lambda: requests.get(soon, timeout=30).status_code == 403)


@pytest.mark.usefixtures("in_bucket")
def test_a_bucket_is_left_out_when_it_can_not_serve(
    client: TestClient, world: World, row: RecordingRow, link_to: LinkTo, person: SignedIn
) -> None:
    client.follow_redirects = False
    viewer = sign_in(world.home, "dewi", "viewer", sees=[("makassar", "cashier")])
    link = tokens.issue(world.home, viewer.mark, row.id, row.start_utc, "rendition")[0]
    client.cookies.set("vms_5000", viewer.token)
    assert client.get(link).status_code == 404, "not granted"
    client.cookies.set("vms_5000", person.token)
    assert client.get(link).status_code == 403, "the link of another session"
    others = [one for one in world.rows() if one.camera == "lobby" and one.state == "archived" and one.id != row.id]
    with closing(owner(world.home)) as conn, conn, conn.cursor() as cursor:
        cursor.execute("UPDATE copy SET key = key || '.gone' WHERE recording_id = %s", (row.id,))
    assert client.get(link_to(row)).status_code == 404, "what is gone there is said here"
    with TestClient(client.app, base_url="https://127.0.0.1:5000", follow_redirects=False) as over_tls:
        over_tls.cookies.set("__Host-vms_5000", person.token)
        assert over_tls.get(link_to(others[0])).status_code == 200, "no browser goes from https to http"
    with closing(owner(world.home)) as conn, conn, conn.cursor() as cursor:
        cursor.execute("UPDATE store SET identity = 'another'")
    assert client.get(link_to(others[1])).status_code == 503


def _looks_cold(world: World, row: RecordingRow) -> bool:
    with Pool(world.home).connection("*") as conn:
        some = timeline.stretches(conn, [(row.site, row.camera)], row.start_utc, row.start_utc + timedelta(hours=1))
    return next(one.cold for one in some if one.recording_id == row.id)


def _deep_check(world: World, row: RecordingRow) -> None:
    """As the night's sample would look at this recording."""
    with closing(owner(world.home)) as conn:
        (store_id, url) = fetch_all(conn, "SELECT store_id, url FROM store", [])[0]
        due = [one for one in integrity.due_for_proof(conn, store_id, 100) if one.recording_id == row.id]
        (copy,) = [one for one in integrity.parts_of(conn, due[0]) if one.part == "rendition"]
        store = open_store("nas", url, conn_id="cloud")
        assert look_at(conn, store, copy, world.home, RUN, lambda: None).outcome == "cold"


def _round(world: World) -> list[str]:
    """What a round of alerts has to say of restores, to a target that can't be reached."""
    policy = AlertPolicy(targets=(AlertTarget("operations", "nowhere"),), digest=None)
    config = replace(load_config(world.home.sites_file), alerts=policy)
    with closing(owner(world.home)) as conn:
        run_round(conn, world.home, config, datetime.now(UTC), print)
        some = [one for one in waiting_messages(conn) if one.detail is not None]
    return [wording.restored_text("en", one.site, one.detail or {}, ZoneInfo("Asia/Jakarta"))[2:] for one in some]


@pytest.mark.parametrize("how", ["through", "redirect"])
def test_what_lies_in_cold_storage_is_asked_for_and_played_when_it_is_there(
    how: str,
    client: TestClient,
    world: World,
    s3_server: weed.S3Server,
    row: RecordingRow,
    link_to: LinkTo,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client.follow_redirects = False
    with run_cold(s3_server.port) as server:
        monkeypatch.setenv("AIRFLOW_CONN_CLOUD", weed.connection_text(server.endpoint))
        move_to_bucket(world, f"s3://{weed.BUCKET}/{secrets.token_hex(8)}", "cloud", how, "DEEP_ARCHIVE")
        by_rule = how == "redirect"  # of the bucket: what the store gives new objects says nothing of it
        if by_rule:
            with closing(owner(world.home)) as conn, conn, conn.cursor() as cursor:
                cursor.execute("UPDATE store SET options = '{}'")
        with Pool(world.home).connection("*") as conn:
            places = reads.locate(conn, row.id, row.start_utc, "rendition")
        assert _looks_cold(world, row) is not by_rule
        if by_rule:
            _deep_check(world, row)
            assert _looks_cold(world, row), "the nightly check has found out"
            with Pool(world.home).connection("*") as conn:
                restores.note_readable(conn, [(row.id, row.start_utc)])
            assert not _looks_cold(world, row)
        answer = client.get(link_to(row), headers={"Accept-Language": "en"})
        assert (answer.status_code, "cold storage" in answer.text) == (409, True)
        assert _looks_cold(world, row), "the timeline knows what the first try has shown"
        assert client.get(link_to(row, "poster")).status_code == 200, "pictures are never cold"
        assert cold.may_be(places) is not by_rule
        assert coldness.of(places) == Cold("DEEP_ARCHIVE", "asleep")
        for _ in range(2):
            coldness.wake(places)
        assert coldness.of(places) == Cold("DEEP_ARCHIVE", "waking")
        (asked,) = server.asked
        assert "<Days>7</Days>" in asked
        add_user(world.home, "budi", "viewer", [("ho", "gate")])
        with closing(owner(world.home)) as conn:
            ids = {one.name: one.user_id for one in users.list_users(conn)}
        with Pool(world.home).connection("*") as conn:
            restores.ask(conn, row.id, row.start_utc, ids["sari"])
        with pytest.raises(InsufficientPrivilege), Pool(world.home).connection(str(ids["budi"])) as conn:
            restores.ask(conn, row.id, row.start_utc, ids["budi"])
        assert _round(world) == [], "nobody is told before it is there"
        assert client.get(link_to(row)).status_code == 409
        server.all_ready("Fri, 21 Dec 2040 00:00:00 GMT")
        assert coldness.of(places) == Cold("DEEP_ARCHIVE", "ready", datetime(2040, 12, 21, tzinfo=UTC))
        for _ in range(2):
            assert _round(world) == [
                f"ho: footage of camera {row.camera_name} of 2026-01-31 08:00 WIB is back from cold storage, as asked"
                " for by sari. It can be played until 2040-12-21 07:00 WIB."
            ]
        assert not _looks_cold(world, row), "while it can be played, it looks like any other"
        with Pool(world.home).connection("*") as conn:
            (told,) = restores.of_person(conn, ids["sari"], datetime.now(UTC))
            assert (told.recording_id, told.ready) == (row.id, True)
            restores.note_told(conn, ids["sari"])
            assert restores.of_person(conn, ids["sari"], datetime.now(UTC)) == []
        answer = client.get(link_to(row))
        whole = requests.get(answer.headers["location"], timeout=30) if how == "redirect" else answer
        assert whole.content == world.clip.video.read_bytes()
        server.all_ready("Fri, 21 Dec 2012 00:00:00 GMT")
        assert coldness.of(places) == Cold("DEEP_ARCHIVE", "asleep"), "its days are over"
        with closing(owner(world.home)) as conn, conn, conn.cursor() as cursor:
            cursor.execute("UPDATE restore_asked SET until_at = now() - interval '1 second'")
        assert _looks_cold(world, row)


@pytest.mark.usefixtures("in_bucket")
def test_pages_may_read_from_the_stores_that_browsers_go_to_and_from_no_other(
    s3_server: weed.S3Server, world: World
) -> None:
    async def page(_: Request) -> Response:
        return HTMLResponse("<p>a page</p>")

    guard = Middleware(Guard, stores=direct.Direct(world.home).origins)
    with TestClient(Starlette(routes=[Route("/", page)], middleware=[guard]), base_url="http://127.0.0.1") as client:
        policy = client.get("/").headers["content-security-policy"].split("; ")
    assert f"connect-src 'self' {s3_server.endpoint}" in policy
    assert f"media-src 'self' blob: {s3_server.endpoint}" in policy
    assert sum(s3_server.endpoint in one for one in policy) == 2
    assert not [one for one in policy if "<" in one]
