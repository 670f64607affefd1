"""What every store promises (vms.stores.base.Store), run over each kind of store there is.

A new kind of store is one factory more in KINDS.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import gcs_server
import pytest

import weed
from vms.errors import StoreConflict, StoreError, StoreUnreachable
from vms.home import PROJECT_ROOT
from vms.stores import FileRotted, ObjectMissing, Store, open_store
from vms.stores.unseen import PutsUnseen

CONN_IDS = {"s3": "conformance_s3", "gs": "test_gs"}
"""By kind of URL, the connection that its stores are opened with, in this process and in those that it starts."""


def _file_store(request: pytest.FixtureRequest) -> str:
    return f"file://{request.getfixturevalue('tmp_path')}/nas%20of%20ho"


def _s3_store(request: pytest.FixtureRequest) -> str:
    server = request.getfixturevalue("s3_server")
    connection = weed.connection_text(server.endpoint)
    request.getfixturevalue("monkeypatch").setenv("AIRFLOW_CONN_CONFORMANCE_S3", connection)
    return f"s3://{weed.BUCKET}/{secrets.token_hex(8)}/archive"


def _gcs_store(request: pytest.FixtureRequest) -> str:
    request.getfixturevalue("gcs").page = 3
    return f"gs://{gcs_server.BUCKET}/archive/of-ho"


KINDS: dict[str, Callable[[pytest.FixtureRequest], str]] = {"file": _file_store, "s3": _s3_store, "gs": _gcs_store}

KEY = "ho/lobby/2026/01/31/20260131T235959Z_0123456789ab.mp4"


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest) -> str:
    """The URL of a new store that nobody has used yet."""
    return KINDS[request.param](request)


def opened(url: str) -> Store:
    return open_store("nas", url, conn_id=CONN_IDS.get(url.partition(":")[0], ""))


@pytest.fixture
def store(url: str) -> Store:
    store = opened(url)
    store.identify(None)
    return store


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(store: Store, folder: Path, key: str, data: bytes):
    file = folder / "staged"
    file.write_bytes(data)
    return store.put(file, key, sha256=sha256(data), size_bytes=len(data))


def content(store: Store, key: str) -> bytes:
    return b"".join(store.open_range(key))


def test_identity_stays(url: str) -> None:
    first = opened(url).identify(None)
    again = opened(url)
    assert again.identify(None) == first
    assert again.identify(first) == first


def test_another_identity_is_refused(url: str, tmp_path: Path) -> None:
    opened(url).identify(None)
    stranger = opened(url)
    with pytest.raises(StoreUnreachable, match="another store"):
        stranger.identify("5f0c5a8e-0000-4000-8000-000000000000")
    with pytest.raises(StoreError):
        put(stranger, tmp_path, KEY, b"x")


def test_unidentified_store_is_not_written_to(url: str, tmp_path: Path) -> None:
    opened(url).identify(None)
    store = opened(url)
    with pytest.raises(StoreError, match="identif"):
        put(store, tmp_path, KEY, b"x")
    with pytest.raises(StoreError, match="identif"):
        store.delete([KEY])
    with pytest.raises(StoreError, match="identif"):
        next(store.list())


@pytest.mark.parametrize("size", [1, 4 << 20, (4 << 20) + 1, 9_000_001])
def test_put_proves_what_it_stored(store: Store, tmp_path: Path, size: int) -> None:
    data = random.Random(size).randbytes(size)
    done = put(store, tmp_path, KEY, data)
    assert (done.key, done.size_bytes, done.sha256, done.bytes_sent) == (KEY, size, sha256(data), size)
    assert ":" in done.checksum
    head = store.head(KEY)
    assert head is not None
    assert head.size_bytes == size
    assert abs(head.modified_at - datetime.now(UTC)) < timedelta(minutes=10)
    assert content(store, KEY) == data


@pytest.mark.parametrize("size", [1, 9_000_001])
def test_what_is_put_unseen_is_what_the_store_shows_and_overwrites_nothing(
    store: Store, tmp_path: Path, size: int
) -> None:
    """By its checksum the centre knows the bytes that a branch has sent."""
    if not isinstance(store, PutsUnseen):
        assert store.url.startswith("file:")  # a folder is looked into in any case
        return
    data, file = random.Random(size).randbytes(size), tmp_path / "staged"
    file.write_bytes(data)
    wanted = {"sha256": sha256(data), "size_bytes": size}
    first = store.put_unseen(file, KEY, **wanted)
    shown = store.put(file, KEY, **wanted)
    assert (first.checksum, first.bytes_sent, shown.bytes_sent) == (shown.checksum, size, 0)
    other = tmp_path / "other"
    other.write_bytes(b"other")
    refused = store.put_unseen(other, KEY, sha256=sha256(b"other"), size_bytes=5)
    assert refused.checksum != first.checksum
    assert content(store, KEY) == data
    with pytest.raises(FileRotted):
        store.put_unseen(other, KEY, sha256=sha256(b"rotten"), size_bytes=5)


def test_progress_counts_up_to_the_size(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "staged"
    file.write_bytes(b"p" * 9_000_000)
    seen: list[int] = []
    store.put(file, KEY, sha256=sha256(file.read_bytes()), size_bytes=9_000_000, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 9_000_000


def test_equal_object_is_not_sent_again(store: Store, tmp_path: Path) -> None:
    first = put(store, tmp_path, KEY, b"same bytes")
    second = put(store, tmp_path, KEY, b"same bytes")
    assert (first.bytes_sent, second.bytes_sent) == (10, 0)
    assert second.sha256 == first.sha256
    gone = store.put(tmp_path / "cleared away", KEY, sha256=sha256(b"same bytes"), size_bytes=10)
    assert gone.bytes_sent == 0
    assert [one.key for one in store.list()] == [KEY]


@pytest.mark.parametrize("other", [b"other byte", b"of another length"])
def test_different_object_is_never_overwritten(store: Store, tmp_path: Path, other: bytes) -> None:
    put(store, tmp_path, KEY, b"same bytes")
    with pytest.raises(StoreConflict) as refusal:
        put(store, tmp_path, KEY, other)
    assert sha256(other) in str(refusal.value)
    assert "10 bytes" in str(refusal.value)
    assert content(store, KEY) == b"same bytes"


def test_rotted_file_is_not_stored(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "staged"
    file.write_bytes(b"one bit flipped")
    for size in (15, 16):
        with pytest.raises(FileRotted):
            store.put(file, KEY, sha256=sha256(b"one bit flippeD"), size_bytes=size)
    with pytest.raises(FileRotted):
        store.put(tmp_path / "missing", KEY, sha256=sha256(b""), size_bytes=1)
    assert store.head(KEY) is None
    assert list(store.list()) == []


def test_what_is_not_there(store: Store) -> None:
    assert store.head(KEY) is None
    with pytest.raises(ObjectMissing):
        store.open_range(KEY)
    assert store.delete([KEY]) == [KEY]
    assert list(store.list()) == []


@pytest.mark.parametrize(
    ("start", "length"), [(0, None), (0, 1), (3, 4), (9, 1), (9, 100), (10, None), (10, 5), (50, 1), (4, 0)]
)
def test_ranges(store: Store, tmp_path: Path, start: int, length: int | None) -> None:
    data = b"0123456789"
    put(store, tmp_path, KEY, data)
    end = None if length is None else start + length
    assert b"".join(store.open_range(KEY, start, length)) == data[start:end]


def test_negative_range_is_refused(store: Store, tmp_path: Path) -> None:
    put(store, tmp_path, KEY, b"0123456789")
    for start, length in ((-1, None), (0, -1)):
        with pytest.raises(ValueError, match="negative"):
            store.open_range(KEY, start, length)


def test_listing_is_in_key_order_and_by_prefix(store: Store, tmp_path: Path) -> None:
    keys = ["a-b/1.mp4", "a.mp4", "a/1.mp4", "a/1/2.mp4", "a/10.mp4", "ab/1.mp4", "b/x.jpg", "a/1.poster.jpg"]
    for key in keys:
        put(store, tmp_path, key, key.encode())
    listed = list(store.list())
    assert [one.key for one in listed] == sorted(keys)
    assert {one.key: one.size_bytes for one in listed} == {key: len(key) for key in keys}
    for prefix in ("a", "a/", "a/1", "a/1.", "a/1/", "b/x.jpg", "b/x.jpg2", "zzz"):
        assert [one.key for one in store.list(prefix)] == sorted(key for key in keys if key.startswith(prefix)), prefix
    for after in ("", "ho", "ho/", "zz", *keys):
        assert [one.key for one in store.list(after=after)] == sorted(key for key in keys if key > after), after


def test_listing_is_lazy_and_survives_deletes(store: Store, tmp_path: Path) -> None:
    keys = [f"ho/lobby/2026/01/{day:02}/x.mp4" for day in range(1, 11)]
    for key in keys:
        put(store, tmp_path, key, key.encode())
    seen = []
    for one in store.list("ho/"):
        seen.append(one.key)
        store.delete([one.key])
    assert seen == keys
    assert list(store.list()) == []


def test_delete_confirms_what_is_gone(store: Store, tmp_path: Path) -> None:
    put(store, tmp_path, KEY, b"a")
    put(store, tmp_path, "ho/lobby/2026/01/31/other.mp4", b"b")
    assert store.delete([KEY, "ho/lobby/none.mp4"]) == [KEY, "ho/lobby/none.mp4"]
    assert store.head(KEY) is None
    assert content(store, "ho/lobby/2026/01/31/other.mp4") == b"b"
    assert put(store, tmp_path, KEY, b"new").bytes_sent == 3


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../x.mp4",
        "ho/../../x.mp4",
        "ho//x.mp4",
        "ho/./x.mp4",
        "ho/x.mp4/",
        ".tmp/x",
        ".vms-store.json",
        "ho/.hidden",
        "ho/a b.mp4",
        "ho/a\nb.mp4",
        "ho/a\0b.mp4",
        "ho/é.mp4",
        "ho/\udce9.mp4",
        "ho\\x.mp4",
        "ho/" + "x" * 201,
        "ho/" * 300 + "x",
    ],
)
def test_odd_keys_are_refused_everywhere(store: Store, tmp_path: Path, key: str) -> None:
    with pytest.raises(StoreError):
        put(store, tmp_path, key, b"x")
    with pytest.raises(StoreError):
        store.head(key)
    with pytest.raises(StoreError):
        store.open_range(key)
    with pytest.raises(StoreError):
        store.delete([key])
    assert list(store.list()) == []


def test_check_finds_nothing_wrong_and_leaves_nothing(store: Store) -> None:
    findings = store.check()
    assert [one for one in findings if not one.ok and "GB free" not in one.what] == []
    assert len(findings) >= 6
    assert list(store.list()) == []


def test_free_space_is_a_number_or_unknown(store: Store) -> None:
    free = store.free_bytes()
    assert free is None or free > 0


def _put_in_a_process(url: str, identity: str, file: Path, key: str, gate: object, results: object) -> None:
    store = opened(url)
    store.identify(identity)
    data = file.read_bytes()
    gate.wait()  # type: ignore[attr-defined]
    try:
        results.put(store.put(file, key, sha256=sha256(data), size_bytes=len(data)).bytes_sent)  # type: ignore[attr-defined]
    except StoreConflict:
        results.put("conflict")  # type: ignore[attr-defined]


def _race(url: str, store: Store, files: list[Path]) -> list[object]:
    context = multiprocessing.get_context("spawn")
    gate, results = context.Barrier(len(files)), context.Queue()
    identity = store.identify(None)
    racers = [context.Process(target=_put_in_a_process, args=(url, identity, f, KEY, gate, results)) for f in files]
    for racer in racers:
        racer.start()
    outcome = [results.get(timeout=60) for _ in racers]
    for racer in racers:
        racer.join()
        assert racer.exitcode == 0
    return outcome


def test_two_processes_put_the_same_object_at_once(url: str, store: Store, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(12_000_000)
    (tmp_path / "a").write_bytes(data)
    outcome = _race(url, store, [tmp_path / "a", tmp_path / "a"])
    assert len(data) in outcome
    assert "conflict" not in outcome
    assert [one.key for one in store.list()] == [KEY]
    assert content(store, KEY) == data


def test_two_processes_put_different_objects_at_once(url: str, store: Store, tmp_path: Path) -> None:
    contents = [random.Random(seed).randbytes(12_000_000) for seed in (1, 2)]
    for name, data in zip("ab", contents, strict=True):
        (tmp_path / name).write_bytes(data)
    outcome = _race(url, store, [tmp_path / "a", tmp_path / "b"])
    assert sorted(map(str, outcome)) == ["12000000", "conflict"]
    assert content(store, KEY) in contents


_WRITER = """
import sys
from pathlib import Path
from vms.stores import open_store
url, conn_id, identity, file, key, sha256, size = sys.argv[1:]
store = open_store("nas", url, conn_id=conn_id)
store.identify(identity)
print("begins", flush=True)
store.put(Path(file), key, sha256=sha256, size_bytes=int(size))
print("done", flush=True)
"""


def test_killed_writer_leaves_the_whole_object_or_none(url: str, store: Store, tmp_path: Path) -> None:
    data = random.Random(3).randbytes(30_000_000)
    file = tmp_path / "staged"
    file.write_bytes(data)
    identity = store.identify(None)
    conn_id = CONN_IDS.get(url.partition(":")[0], "")
    arguments = [sys.executable, "-c", _WRITER, url, conn_id, identity, str(file), KEY, sha256(data), str(len(data))]
    whole = _begun_writer(arguments)
    began = time.monotonic()
    assert whole.communicate()[0] == "done\n"
    span = time.monotonic() - began
    chance = random.Random(4)
    for _ in range(6):
        store.delete([KEY])
        writer = _begun_writer(arguments)
        time.sleep(chance.uniform(0, span))
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        there = list(store.list())
        assert [(one.key, one.size_bytes) for one in there] in ([], [(KEY, len(data))])
        again = store.put(file, KEY, sha256=sha256(data), size_bytes=len(data))
        # a store may go on where it was, and a server may finish what had reached it whole a moment after the listing
        assert again.bytes_sent <= (0 if there else len(data))
        assert content(store, KEY) == data
        assert len(list(store.list())) == 1


def _begun_writer(arguments: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT / "include")}
    writer = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "begins\n"
    return writer
