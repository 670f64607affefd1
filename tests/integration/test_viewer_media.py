"""Media delivery against a real catalogue and a real store: byte ranges, refusals, names, and the log of downloads."""

from __future__ import annotations

import secrets
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import requests
from psycopg2.errors import InsufficientPrivilege
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

import weed
from cold_server import run_cold
from viewer import cold, direct, media, tokens, visitor
from viewer.database import Pool
from viewer.gate import Gate
from viewer.security import Guard
from viewer_world import RUN, Clip, SignedIn, World, add_user, build, eventually, move_to_bucket, owner, sign_in
from vms import coldness
from vms.alerts import wording
from vms.alerts.round import run_round
from vms.catalogue import connection, integrity, reads, restores, timeline, users
from vms.catalogue.alerts import waiting_messages
from vms.catalogue.connection import fetch_all
from vms.catalogue.rows import RecordingRow
from vms.config import load_config
from vms.config_alerts import AlertPolicy, AlertTarget
from vms.home import Home
from vms.steps.prove import look_at
from vms.stores import open_store
from vms.stores.cold import Cold

LinkTo = Callable[..., str]


@pytest.fixture
def world(catalogue: tuple[Home, str], viewer_clip: Clip) -> World:
    return build(catalogue[0], viewer_clip)


@pytest.fixture
def person(world: World) -> SignedIn:
    return sign_in(world.home)


@pytest.fixture
def client(world: World, person: SignedIn) -> Iterator[TestClient]:
    pool = Pool(world.home)
    gate = Middleware(Gate, sessions=visitor.of(pool), port=5000)
    app = Starlette(
        routes=media.routes(world.home, pool), middleware=[Middleware(Guard), gate, Middleware(GZipMiddleware)]
    )
    with TestClient(app, base_url="http://127.0.0.1:5000", cookies={"vms_5000": person.token}) as made:
        yield made
    pool.close()


@pytest.fixture
def row(world: World) -> RecordingRow:
    return next(one for one in world.rows() if one.camera == "lobby" and one.state == "archived")


@pytest.fixture
def link_to(world: World, person: SignedIn) -> LinkTo:
    def made(row: RecordingRow, part: tokens.Part = "rendition", how: tokens.Disposition = "inline") -> str:
        return tokens.issue(world.home, person.mark, row.id, row.start_utc, part, how)[0]

    return made


def _ask(world: World, sql: str) -> list[tuple[object, ...]]:
    with closing(owner(world.home)) as conn, conn.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def test_the_whole_file_is_the_stored_bytes(
    client: TestClient, world: World, row: RecordingRow, link_to: LinkTo
) -> None:
    answer = client.get(link_to(row), headers={"Accept-Encoding": "gzip"})
    assert answer.status_code == 200
    assert answer.content == world.clip.video.read_bytes()
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "content-encoding" not in answer.headers


def test_a_range_is_answered_with_exactly_its_bytes(
    client: TestClient, world: World, row: RecordingRow, link_to: LinkTo
) -> None:
    whole = world.clip.video.read_bytes()
    for asked in ("0-", "0-0", "100-199", "-50", "1000-999999999"):
        answer = client.get(link_to(row), headers={"Range": f"bytes={asked}"})
        first, _, last = asked.partition("-")
        start = int(first) if first else len(whole) - int(last)
        end = min(int(last), len(whole) - 1) if first and last else len(whole) - 1
        assert answer.status_code == 206
        assert answer.headers["content-range"] == f"bytes {start}-{end}/{len(whole)}"
        assert answer.content == whole[start : end + 1]


def test_other_range_semantics(client: TestClient, world: World, row: RecordingRow, link_to: LinkTo) -> None:
    link, whole = link_to(row), world.clip.video.read_bytes()
    outside = client.get(link, headers={"Range": f"bytes={len(whole)}-"})
    assert (outside.status_code, outside.headers["content-range"]) == (416, f"bytes */{len(whole)}")
    several = client.get(link, headers={"Range": "bytes=0-1,5-6"})
    assert (several.status_code, several.content) == (200, whole)
    head = client.head(link)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(whole)))
    etag = head.headers["etag"]
    assert client.get(link, headers={"If-None-Match": etag}).status_code == 304
    same = client.get(link, headers={"Range": "bytes=0-9", "If-Range": etag})
    assert (same.status_code, same.content) == (206, whole[:10])
    changed = client.get(link, headers={"Range": "bytes=0-9", "If-Range": '"another"'})
    assert (changed.status_code, changed.content) == (200, whole)
    assert client.post(link).status_code == 405


def test_previews_may_be_kept_by_the_browser(
    client: TestClient, world: World, row: RecordingRow, link_to: LinkTo
) -> None:
    for part, file in (("poster", world.clip.poster), ("sprite", world.clip.sprite)):
        answer = client.get(link_to(row, part))  # type: ignore[arg-type]
        assert answer.content == file.read_bytes()
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.headers["cache-control"].startswith("private, max-age=")


def test_a_download_has_a_human_name_and_is_logged(
    client: TestClient, world: World, row: RecordingRow, link_to: LinkTo
) -> None:
    link = link_to(row, how="attachment")
    asked = "SELECT who, action, recording_id FROM view_log WHERE action = 'download'"
    client.head(link)
    assert _ask(world, asked) == []
    answer = client.get(link)
    name = f"ho_lobby_2026-01-31_{row.start_utc.hour + 7:02}-{row.start_utc:%M}-00_WIB.mp4"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    client.get(link, headers={"Range": "bytes=10-"})
    assert _ask(world, asked) == [("sari", "download", row.id)], "what goes on where it broke off is told once"


def test_a_download_without_its_first_byte_is_logged_too(client: TestClient, world: World, link_to: LinkTo) -> None:
    dav = next(one for one in world.rows() if one.kind == "original")
    for _ in range(2):
        client.get(link_to(dav, how="attachment"), headers={"Range": "bytes=1-"})
    assert _ask(world, "SELECT recording_id FROM view_log WHERE action = 'download'") == [(dav.id,)]


def test_an_original_is_not_called_mp4(client: TestClient, world: World, link_to: LinkTo) -> None:
    dav = next(one for one in world.rows() if one.kind == "original")
    answer = client.get(link_to(dav, how="attachment"))
    assert answer.headers["content-disposition"].endswith('.dav"')
    assert answer.headers["content-type"] != "video/mp4"
    assert answer.headers["content-length"] == str(len(answer.content)), "a browser shows how far it is"
    assert answer.content == world.clip.video.read_bytes()


def test_refusals(
    client: TestClient,
    world: World,
    row: RecordingRow,
    monkeypatch: pytest.MonkeyPatch,
    link_to: LinkTo,
    person: SignedIn,
) -> None:
    link, expires = tokens.issue(world.home, person.mark, row.id, row.start_utc, "rendition")
    assert client.get(link[:-3] + "abc").status_code == 403
    assert client.get("/m/anything").status_code == 403
    assert client.get("/m/..%2f..%2fetc%2fpasswd").status_code in (403, 404)
    gone = tokens.issue(world.home, person.mark, row.id + 1000, row.start_utc, "rendition")[0]
    assert client.get(gone).status_code == 404
    bad = next(one for one in world.rows() if one.state == "quarantined")
    assert client.get(link_to(bad)).status_code == 404
    with monkeypatch.context() as later:
        later.setattr(time, "time", lambda: expires + 1.0)
        answer = client.get(link, headers={"Accept": "text/html", "Accept-Language": "id"})
    assert answer.status_code == 410
    assert "kedaluwarsa" in answer.text
    assert answer.headers["cache-control"] == "no-store"


def test_a_store_that_is_away_is_said_to_be_away(
    client: TestClient, world: World, row: RecordingRow, link_to: LinkTo
) -> None:
    link = link_to(row)
    world.nas.rename(world.nas.with_name("unmounted"))
    answer = client.get(link)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    world.nas.mkdir()
    assert client.get(link).status_code == 503, "an empty mount point is not the store"
    world.nas.rmdir()
    world.nas.with_name("unmounted").rename(world.nas)
    assert client.get(link).status_code == 200


def test_an_object_that_is_gone_is_not_found(
    client: TestClient, world: World, row: RecordingRow, link_to: LinkTo
) -> None:
    (world.nas / row.copies[0].key).unlink()
    assert client.get(link_to(row)).status_code == 404


def test_a_catalogue_that_is_away_is_said_to_be_away_and_comes_back(
    client: TestClient, world: World, row: RecordingRow, link_to: LinkTo
) -> None:
    link = link_to(row)
    address = world.home.run / "postgres.json"
    aside = address.rename(address.with_suffix(".aside"))
    assert client.get(link).status_code == 503
    aside.rename(address)
    assert client.get(link).status_code == 200
    with closing(connection.connect(connection.url(world.home, "viewer"))) as conn, conn.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename = current_user AND pid <> pg_backend_pid() AND datname = current_database()"
        )
        assert cursor.rowcount == 1
    assert client.get(link).status_code == 200, "a connection that was cut is replaced"


def test_only_local_names_are_served(client: TestClient, link_to: LinkTo, row: RecordingRow) -> None:
    link = link_to(row)
    for host in ("evil.example", "127.0.0.1.evil.example", "", "localhost@evil.example", "[::2]"):
        assert client.head(link, headers={"Host": host}).status_code == 421, host
    for host in ("localhost", "LOCALHOST:5000", "127.0.0.1:5000", "[::1]:5000"):
        assert client.head(link, headers={"Host": host}).status_code == 200, host


def test_a_large_file_is_never_in_memory(world: World, row: RecordingRow) -> None:
    """64 MB through the route, read piece by piece: the process holds a few chunks at most."""
    size = 64 << 20
    large = world.nas / row.copies[0].key
    large.unlink()
    with large.open("wb") as file:
        file.truncate(size)
    with closing(owner(world.home)) as conn, conn.cursor() as cursor:
        cursor.execute("UPDATE copy SET size_bytes = %s WHERE key = %s", (size, row.copies[0].key))
    with Pool(world.home).connection("*") as conn:
        places = reads.locate(conn, row.id, row.start_utc, "rendition")
    tracemalloc.start()
    total = sum(len(chunk) for chunk in media.open_bytes(places, 0, size))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == size
    assert peak < 16 << 20


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
    assert _ask(world, "SELECT who FROM view_log WHERE action = 'download'") == [("sari",)]
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


def test_a_link_is_good_for_the_session_it_was_made_for_and_no_longer_than_that(
    client: TestClient, world: World, row: RecordingRow, link_to: LinkTo, person: SignedIn
) -> None:
    link = link_to(row)
    other = sign_in(world.home, "budi")
    client.cookies.set("vms_5000", other.token)
    assert client.get(link).status_code == 403, "the link of another session"
    client.cookies.set("vms_5000", person.token)
    assert client.get(link).status_code == 200
    with closing(owner(world.home)) as conn:
        users.set_password(conn, "sari", "another", "test")
    eventually(lambda: client.get(link).status_code == 401)
    client.cookies.clear()
    assert client.get(link).status_code == 401


def test_who_may_only_watch_does_not_take_away(client: TestClient, world: World, row: RecordingRow) -> None:
    dewi = sign_in(world.home, "dewi", "viewer")
    client.cookies.set("vms_5000", dewi.token)
    for how, status in (("inline", 200), ("attachment", 403)):
        link, _ = tokens.issue(world.home, dewi.mark, row.id, row.start_utc, "rendition", how)  # type: ignore[arg-type]
        assert client.get(link).status_code == status
    assert _ask(world, "SELECT 1 FROM view_log WHERE action = 'download'") == []


def test_a_download_is_broken_off_when_the_session_ends(
    client: TestClient, world: World, row: RecordingRow, link_to: LinkTo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session ends between two chunks."""
    monkeypatch.setattr(visitor, "FRESH_S", 0.0)

    def two_chunks(*_: object) -> Iterator[bytes]:
        yield b"one"
        with closing(owner(world.home)) as conn:
            users.set_disabled(conn, "budi", None, "test")
            users.set_disabled(conn, "sari", datetime.now(UTC), "test")
        yield b"two"

    sign_in(world.home, "budi")
    monkeypatch.setattr(media, "open_bytes", two_chunks)
    with pytest.raises(ConnectionAbortedError):
        client.get(link_to(row, how="attachment"))
