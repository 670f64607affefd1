"""What only S3 stores can suffer: lines that cut, servers that refuse, writers killed amid a large upload."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import re
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from proxy import Line, line_to

import weed
from vms.errors import StoreConflict, StoreDenied, StoreError, StoreUnreachable
from vms.home import PROJECT_ROOT
from vms.model import StoreOptions
from vms.stores import Store, open_store, s3_client, s3_line
from vms.stores.s3 import S3Store
from vms.stores.s3_put import PART_BYTES, WHOLE_BYTES, state_file

KEY = "ho/lobby/2026/01/31/20260131T235959Z_0123456789ab.mp4"
SMALL = 300_000
LARGE = WHOLE_BYTES + PART_BYTES + 1_000_000

Connect = Callable[..., None]


@dataclass(frozen=True)
class Staged:
    file: Path
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def put(self, store: Store, **more: object):
        return store.put(self.file, KEY, sha256=self.sha256, size_bytes=len(self.data), **more)


@pytest.fixture
def line(s3_server: weed.S3Server) -> Iterator[Line]:
    with line_to(s3_server.port) as made:
        yield made


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Says how the connection of these tests reaches its server; few tries, so that faults show soon."""

    def define(endpoint: str, **more: str) -> None:
        retries = {"mode": "standard", "total_max_attempts": 2}
        text = weed.connection_text(endpoint, **more, retries=retries, connect_timeout=2, read_timeout=20)
        monkeypatch.setenv("AIRFLOW_CONN_FAULTS", text)

    return define


@pytest.fixture
def store(line: Line, connect: Connect) -> S3Store:
    connect(line.endpoint)
    store = open_store("cloud", f"s3://{weed.BUCKET}/{secrets.token_hex(8)}", conn_id="faults")
    store.identify(None)
    assert isinstance(store, S3Store)
    return store


@pytest.fixture
def small(tmp_path: Path) -> Staged:
    return staged(tmp_path / "small.mp4", SMALL)


@pytest.fixture
def large(tmp_path: Path) -> Staged:
    return staged(tmp_path / "large.mp4", LARGE)


def staged(file: Path, size: int, seed: int = 1) -> Staged:
    data = random.Random(seed).randbytes(size)
    file.write_bytes(data)
    return Staged(file, data)


def content(store: Store) -> bytes:
    return b"".join(store.open_range(KEY))


def nothing_is_left(store: S3Store, one: Staged) -> bool:
    left = [file for file in one.file.parent.iterdir() if "upload" in file.name]
    return list(store.list()) == [] and store.unfinished() == [] and left == []


def test_large_file_goes_in_parts_and_is_proven_as_a_whole(store: S3Store, large: Staged) -> None:
    seen: list[int] = []
    done = large.put(store, progress=seen.append)
    assert (done.size_bytes, done.sha256, done.bytes_sent) == (LARGE, large.sha256, LARGE)
    assert done.checksum.startswith("crc32:")
    assert (seen, seen[-1]) == (sorted(seen), LARGE)
    head = store.head(KEY)
    assert head is not None
    assert (head.checksum, head.sha256) == (done.checksum, done.sha256)
    assert content(store) == large.data
    assert store.unfinished() == []
    assert not state_file(large.file, "cloud").exists()


_WRITER = """
import sys
from pathlib import Path
from vms.stores import open_store
url, identity, file, key, sha256, size = sys.argv[1:]
store = open_store("cloud", url, conn_id="faults")
store.identify(identity)
store.put(Path(file), key, sha256=sha256, size_bytes=int(size))
"""


def test_killed_amid_the_third_part_sends_at_most_one_part_again(store: S3Store, large: Staged, line: Line) -> None:
    identity = store.identify(None)
    arguments = [store.url, identity, str(large.file), KEY, large.sha256, str(LARGE)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT / "include")}
    line.hold_at = line.up + 2 * PART_BYTES + PART_BYTES // 2
    before = line.up
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, *arguments], env=environment)
    assert line.held.wait(60)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    line.hold_at = None
    assert list(store.list()) == []
    assert state_file(large.file, "cloud").exists()
    assert len(store.unfinished()) == 1

    done = large.put(store)

    assert done.bytes_sent == LARGE - 2 * PART_BYTES
    assert line.up - before < LARGE + PART_BYTES
    assert content(store) == large.data
    assert store.unfinished() == []
    assert not state_file(large.file, "cloud").exists()


def test_upload_whose_parts_were_cleared_begins_anew(store: S3Store, large: Staged, line: Line) -> None:
    line.cut_at = line.up + 2 * PART_BYTES + 1000
    with pytest.raises(StoreUnreachable):
        large.put(store)
    line.cut_at = None
    assert store.abort_unfinished(timedelta(0)) == 1
    assert large.put(store).bytes_sent == LARGE
    assert content(store) == large.data


def test_state_of_another_rendition_is_not_taken_up(store: S3Store, large: Staged, line: Line) -> None:
    line.cut_at = line.up + 2 * PART_BYTES + 1000
    with pytest.raises(StoreUnreachable):
        large.put(store)
    line.cut_at = None
    other = staged(large.file, LARGE, seed=2)
    assert other.put(store).bytes_sent == LARGE
    assert content(store) == other.data


def test_fresh_unfinished_uploads_of_others_are_left_alone(
    store: S3Store, large: Staged, s3_server: weed.S3Server
) -> None:
    prefix = store.url.rpartition("/")[2]
    s3_server.client().create_multipart_upload(Bucket=weed.BUCKET, Key=f"{prefix}/ho/x.mp4")
    large.put(store)
    assert [one.key for one in store.unfinished()] == [f"{prefix}/ho/x.mp4"]
    assert store.abort_unfinished(timedelta(0)) == 1
    assert store.unfinished() == []


def test_cut_line_is_bridged_once_and_told_when_it_stays(store: S3Store, small: Staged, line: Line) -> None:
    line.cut_at = line.up + 100_000
    with pytest.raises(StoreUnreachable, match=r"cloud.*line"):
        small.put(store)
    line.cut_at = None
    assert nothing_is_left(store, small)
    line.hang_up()
    assert small.put(store).bytes_sent == SMALL
    assert content(store) == small.data


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_lost_answer_makes_no_second_object_and_no_conflict(
    store: S3Store, tmp_path: Path, line: Line, size: int
) -> None:
    one = staged(tmp_path / "one.mp4", size)

    def lose_the_last(sent: int) -> None:
        if sent == size:
            line.lose_answers = 1

    assert one.put(store, progress=lose_the_last).size_bytes == size
    assert content(store) == one.data
    assert [each.key for each in store.list()] == [KEY]


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


def test_stopped_by_the_caller_leaves_nothing_under_the_key(store: S3Store, small: Staged) -> None:
    class Stopped(BaseException):
        pass

    def stop(_: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        small.put(store, progress=stop)
    assert list(store.list()) == []
    assert small.put(store).bytes_sent == SMALL


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


def test_another_writer_that_is_quicker_wins_and_is_named(
    store: S3Store, large: Staged, s3_server: weed.S3Server
) -> None:
    prefix = store.url.rpartition("/")[2]

    def other(sent: int) -> None:
        if sent == LARGE:
            s3_server.client().put_object(Bucket=weed.BUCKET, Key=f"{prefix}/{KEY}", Body=b"other", IfNoneMatch="*")

    with pytest.raises(StoreConflict, match="5 bytes"):
        large.put(store, progress=other)
    assert content(store) == b"other"
    assert store.unfinished() == []
    assert not state_file(large.file, "cloud").exists()


def _put_in_a_process(url: str, file: Path, sha256: str, gate: object, results: object) -> None:
    store = open_store("cloud", url, conn_id="faults")
    store.identify(None)
    gate.wait()  # type: ignore[attr-defined]
    try:
        results.put(store.put(file, KEY, sha256=sha256, size_bytes=LARGE).size_bytes)  # type: ignore[attr-defined]
    except StoreError as error:
        results.put(str(error))  # type: ignore[attr-defined]


def test_two_processes_upload_the_same_large_file_at_once(store: S3Store, large: Staged) -> None:
    context = multiprocessing.get_context("spawn")
    gate, results = context.Barrier(2), context.Queue()
    racers = [
        context.Process(target=_put_in_a_process, args=(store.url, large.file, large.sha256, gate, results))
        for _ in range(2)
    ]
    for racer in racers:
        racer.start()
    outcome = [results.get(timeout=120) for _ in racers]
    for racer in racers:
        racer.join()
    assert outcome == [LARGE, LARGE]
    assert content(store) == large.data
    assert [one.key for one in store.list()] == [KEY]


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
