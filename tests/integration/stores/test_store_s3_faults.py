"""What only S3 stores can suffer: lines that cut, servers that refuse, writers killed amid a large upload."""

from __future__ import annotations

import re
import secrets
import socket
from pathlib import Path

import pytest
from proxy import Line
from s3_world import KEY, LARGE, SMALL, Connect, Staged, content, nothing_is_left, staged
from s3_world import connect as connect  # fixtures
from s3_world import line as line
from s3_world import small as small
from s3_world import store as store

import weed
from vms.errors import StoreConflict, StoreDenied, StoreUnreachable
from vms.model import StoreOptions
from vms.stores import open_store, s3_client, s3_line
from vms.stores.s3 import S3Store


def test_cut_line_is_bridged_once_and_told_when_it_stays(store: S3Store, small: Staged, line: Line) -> None:
    line.cut_at = line.up + 100_000
    with pytest.raises(StoreUnreachable, match=r"cloud.*line"):
        small.put(store)
    line.cut_at = None
    assert nothing_is_left(store, small)
    line.hang_up()
    assert small.put(store).bytes_sent == SMALL
    assert content(store) == small.data


def test_storm_of_503_is_told_and_heals(store: S3Store, small: Staged, line: Line) -> None:
    line.storm = True
    line.hang_up()
    for act in (lambda: small.put(store), lambda: store.head(KEY), lambda: list(store.list()), lambda: content(store)):
        with pytest.raises(StoreUnreachable, match=r"SlowDown|503"):
            act()
    line.storm = False
    assert small.put(store).bytes_sent == SMALL


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_flipped_byte_is_refused_by_the_server(store: S3Store, tmp_path: Path, line: Line, size: int) -> None:
    one = staged(tmp_path / "one.mp4", size)
    line.flip = True
    with pytest.raises(StoreUnreachable, match="changed on their way"):
        one.put(store)
    assert not line.flip
    assert list(store.list()) == []
    one.put(store)
    assert content(store) == one.data


@pytest.mark.parametrize(
    ("shown", "instead"),
    [
        (rb"(?i)(content-length: )300000", rb"\g<1>299999"),
        (rb"(?i)(x-amz-checksum-crc32: )[^\r]*", rb"\g<1>AAAAAA=="),
        (rb"(?i)x-amz-checksum-crc32: [^\r]*\r\n", b""),
    ],
)
def test_object_shown_otherwise_than_sent_is_no_copy(
    store: S3Store, small: Staged, line: Line, shown: bytes, instead: bytes
) -> None:
    line.rewrite = lambda piece: re.sub(shown, instead, piece)
    with pytest.raises(StoreUnreachable, match="does not show what was sent"):
        small.put(store)
    line.rewrite = lambda piece: piece
    assert small.put(store).bytes_sent == SMALL
    assert content(store) == small.data


def test_answer_that_breaks_off_is_an_error_for_its_reader(store: S3Store, small: Staged, line: Line) -> None:
    small.put(store)
    line.hang_up()
    line.cut_down_at = 150_000
    with pytest.raises(StoreUnreachable):
        content(store)
    line.cut_down_at = None
    assert content(store) == small.data


def test_connections_use_bbr_where_the_kernel_offers_it(line: Line, connect: Connect) -> None:
    ask = (socket.IPPROTO_TCP, socket.TCP_CONGESTION)
    with socket.socket() as probe:
        try:
            probe.setsockopt(*ask, b"bbr")
        except OSError:
            pytest.skip("no BBR for this user (sysctl net.ipv4.tcp_allowed_congestion_control)")
    connect(line.endpoint)
    client = s3_client.make_client("faults")
    session = client._endpoint.http_session
    session._socket_options.append((*ask, b"reno"))  # some machines have BBR as their default
    s3_line.keep_pace_at_loss(client)
    client.list_buckets()
    pools = session._manager.pools
    (pool,) = [pools[key] for key in pools.keys()]  # noqa: SIM118 - its container is no dict
    assert pool.pool.get().sock.getsockopt(*ask, 16).rstrip(b"\0") == b"bbr"


def test_deleted_bucket_is_told_and_not_taken_for_missing_objects(
    s3_server: weed.S3Server, connect: Connect, small: Staged
) -> None:
    connect(s3_server.endpoint)
    client, bucket = s3_server.client(), f"gone-{secrets.token_hex(4)}"
    client.create_bucket(Bucket=bucket)
    store = open_store("cloud", f"s3://{bucket}", conn_id="faults")
    store.identify(None)
    client.delete_object(Bucket=bucket, Key=".vms-store.json")
    client.delete_bucket(Bucket=bucket)
    for act in (lambda: small.put(store), lambda: store.head(KEY), lambda: store.identify(None)):
        with pytest.raises(StoreDenied, match=r"(?i)bucket"):
            act()
    findings = store.check()
    assert not findings[0].ok


def test_revoked_credentials_are_told_without_being_shown(
    store: S3Store, small: Staged, line: Line, connect: Connect
) -> None:
    connect(line.endpoint, password="revoked and secret")
    for act in (lambda: small.put(store), lambda: store.head(KEY), lambda: content(store), lambda: list(store.list())):
        with pytest.raises(StoreDenied) as refusal:
            act()
        assert "revoked and secret" not in f"{refusal.value} {refusal.value.__cause__!r}"
    connect(line.endpoint)
    assert small.put(store).bytes_sent == SMALL


def test_connection_that_is_not_defined_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_FAULTS", raising=False)
    store = open_store("cloud", "s3://cctv/x", conn_id="faults")
    with pytest.raises(StoreDenied, match="AIRFLOW_CONN_FAULTS"):
        store.identify(None)
    assert [one.ok for one in store.check()] == [False]


def test_server_that_is_off_is_unreachable(connect: Connect) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        connect(f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(StoreUnreachable):
            open_store("cloud", "s3://cctv/x", conn_id="faults").identify(None)


def test_prefix_with_other_things_does_not_become_a_store(s3_server: weed.S3Server, connect: Connect) -> None:
    connect(s3_server.endpoint)
    prefix = secrets.token_hex(8)
    s3_server.client().put_object(Bucket=weed.BUCKET, Key=f"{prefix}/holiday.jpg", Body=b"x")
    store = open_store("cloud", f"s3://{weed.BUCKET}/{prefix}", conn_id="faults")
    with pytest.raises(StoreUnreachable, match="other things"):
        store.identify(None)
    with pytest.raises(StoreUnreachable, match=r"no \.vms-store\.json"):
        store.identify("0f0c5a8e-0000-4000-8000-000000000000")
    s3_server.client().put_object(Bucket=weed.BUCKET, Key=f"{prefix}b/", Body=b"")
    assert open_store("cloud", f"s3://{weed.BUCKET}/{prefix}b", conn_id="faults").identify(None), "a console's folder"


def test_object_put_by_another_program_is_read_before_it_counts(
    store: S3Store, small: Staged, s3_server: weed.S3Server
) -> None:
    prefix = store.url.rpartition("/")[2]
    client = s3_server.client()
    client.put_object(Bucket=weed.BUCKET, Key=f"{prefix}/{KEY}", Body=small.data)
    done = small.put(store)
    assert (done.bytes_sent, done.checksum) == (0, f"sha256:{small.sha256}")
    client.put_object(Bucket=weed.BUCKET, Key=f"{prefix}/{KEY}", Body=small.data[:-1] + b"?")
    with pytest.raises(StoreConflict, match=small.sha256):
        small.put(store)


def test_storage_class_is_the_one_asked_for(s3_server: weed.S3Server, connect: Connect, tmp_path: Path) -> None:
    connect(s3_server.endpoint)
    prefix = secrets.token_hex(8)
    store = open_store(
        "cloud", f"s3://{weed.BUCKET}/{prefix}", conn_id="faults", options=StoreOptions(storage_class="STANDARD_IA")
    )
    store.identify(None)
    for size in (SMALL, LARGE):
        one = staged(tmp_path / "one.mp4", size)
        one.put(store)
        there = s3_server.client().head_object(Bucket=weed.BUCKET, Key=f"{prefix}/{KEY}")
        assert there["StorageClass"] == "STANDARD_IA"
        store.delete([KEY])


def test_check_tells_what_the_server_does_not_keep(store: S3Store, line: Line) -> None:
    assert all(one.ok for one in store.check())
    taken = b'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: 0\r\n\r\n'
    line.rewrite = lambda piece: taken if piece.startswith(b"HTTP/1.1 412 ") else piece
    assert any("overwrite" in one.what for one in store.check() if not one.ok)
