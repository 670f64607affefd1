"""Media delivery against a real catalogue and a real store: byte ranges, refusals, names, and the log of downloads."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

import pytest
from starlette.testclient import TestClient

from media_world import LinkTo, selected
from viewer import media, tokens, visitor
from viewer.database import Pool
from viewer_world import SignedIn, World, eventually, owner, sign_in
from vms.catalogue import connection, reads, users
from vms.catalogue.rows import RecordingRow


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
    assert selected(world, asked) == []
    answer = client.get(link)
    name = f"ho_lobby_2026-01-31_{row.start_utc.hour + 7:02}-{row.start_utc:%M}-00_WIB.mp4"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    client.get(link, headers={"Range": "bytes=10-"})
    assert selected(world, asked) == [("sari", "download", row.id)], "what goes on where it broke off is told once"


def test_a_download_without_its_first_byte_is_logged_too(client: TestClient, world: World, link_to: LinkTo) -> None:
    dav = next(one for one in world.rows() if one.kind == "original")
    for _ in range(2):
        client.get(link_to(dav, how="attachment"), headers={"Range": "bytes=1-"})
    assert selected(world, "SELECT recording_id FROM view_log WHERE action = 'download'") == [(dav.id,)]


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
    assert selected(world, "SELECT 1 FROM view_log WHERE action = 'download'") == []


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
