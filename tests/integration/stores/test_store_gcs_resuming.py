"""Uploads to Google Cloud Storage: what is sent, and how one that was stopped anywhere goes on."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from gcs_server import BUCKET, Answer, GcsServer, Seen, failure
from gcs_world import KEY, PART, URL, Staged, content, opened, staged, times
from gcs_world import large as large  # fixtures
from gcs_world import small as small
from gcs_world import store as store
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from vms.home import PROJECT_ROOT
from vms.stores import Store, StoredObject, connections


def test_small_file_is_one_request_and_the_server_has_its_sum(store: Store, gcs: GcsServer, small: Staged) -> None:
    done = small.put(store)
    uploads = [one for one in gcs.seen if one.path.startswith("/upload/")]
    assert len(uploads) == 1
    assert uploads[0].query["ifGenerationMatch"] == "0"
    assert small.crc32c.encode() in uploads[0].body
    assert done.checksum == f"crc32c:{small.crc32c}"
    assert store.head(KEY) == replace(done, bytes_sent=0)


def test_large_file_goes_in_parts_and_the_last_one_carries_its_sum(store: Store, gcs: GcsServer, large: Staged) -> None:
    done = large.put(store)
    assert [part.received for part in gcs.parts()] == [PART, PART, 100_000]
    assert gcs.parts()[-1].headers["x-goog-hash"] == f"crc32c={large.crc32c}"
    (begun,) = [one for one in gcs.seen if one.begins_session]
    assert begun.query["ifGenerationMatch"] == "0"
    assert json.loads(begun.body)["metadata"]["vms-sha256"] == large.sha256
    assert (done.bytes_sent, done.sha256) == (len(large.data), large.sha256)
    assert content(store) == large.data
    assert large.states == []


@pytest.mark.usefixtures("gcs")
def test_storage_class_goes_with_the_object(small: Staged, large: Staged) -> None:
    for file in (small, large):
        store = opened("NEARLINE")
        store.identify(None)
        file.put(store)
        told = storage.Client(project="test", credentials=AnonymousCredentials()).bucket(BUCKET)
        assert told.get_blob(f"archive/{KEY}").storage_class == "NEARLINE"
        store.delete([KEY])


@pytest.mark.usefixtures("gcs")
def test_injected_client_is_used(small: Staged, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def make(conn_id: str) -> storage.Client:
        made.append(conn_id)
        return storage.Client(project="test", credentials=AnonymousCredentials())

    monkeypatch.setattr(connections, "_makers", {})
    connections.use_clients("gs", make)
    store = opened()
    store.identify(None)
    small.put(store)
    assert made == ["test_gs"]


_UPLOADER = """
import sys
from pathlib import Path
from vms.stores import open_store
url, identity, file, key, sha256, size = sys.argv[1:]
store = open_store("cloud", url, conn_id="test_gs")
store.identify(identity)
store.put(Path(file), key, sha256=sha256, size_bytes=int(size))
"""


def killed_in_part(number: int, store: Store, gcs: GcsServer, file: Staged) -> None:
    """Have the file put by a process that is killed when half of this part (from 0) has come to the server."""
    half = threading.Event()
    gone_on = threading.Event()

    def stall(seen: Seen) -> int | None:
        if seen.is_part and len(gcs.parts()) == number + 1 and not half.is_set():
            return PART // 2
        return None

    def wait_in_the_middle(seen: Seen) -> int | None:
        limit = stall(seen)
        if limit is not None:
            half.set()
            gone_on.wait(60)
            return limit
        return None

    gcs.cut = wait_in_the_middle
    arguments = [URL, store.identify(None), str(file.path), KEY, file.sha256, str(len(file.data))]
    uploader = subprocess.Popen(
        [sys.executable, "-c", _UPLOADER, *arguments], env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT / "include")}
    )
    assert half.wait(60), "the uploader never came to that part"
    uploader.send_signal(signal.SIGKILL)
    assert uploader.wait() == -signal.SIGKILL
    gone_on.set()
    gcs.heal()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_killed_uploader_is_taken_up_and_at_most_one_part_goes_twice(
    store: Store, gcs: GcsServer, tmp_path: Path, number: int
) -> None:
    file = staged(tmp_path / "staging", 4 * PART + 12_345)
    killed_in_part(number, store, gcs, file)
    assert store.head(KEY) is None
    (state,) = file.states
    assert state.stat().st_mode & 0o777 == 0o600
    before = [part.received for part in gcs.parts()]
    again = file.put(store)
    assert again.bytes_sent == len(file.data) - number * PART
    after = [part.received for part in gcs.parts()[len(before) :]]
    assert sum(after) == len(file.data) - number * PART
    assert sum(before) + sum(after) <= len(file.data) + PART
    assert len([one for one in gcs.seen if one.begins_session]) == 1
    assert content(store) == file.data
    assert file.states == []


def test_session_of_another_file_is_not_taken_up(store: Store, gcs: GcsServer, tmp_path: Path) -> None:
    killed_in_part(1, store, gcs, staged(tmp_path / "staging", 3 * PART))
    other = staged(tmp_path / "staging", 3 * PART, seed=2)
    assert other.put(store).bytes_sent == len(other.data)
    assert content(store) == other.data
    assert len([one for one in gcs.seen if one.begins_session]) == 2


@pytest.mark.parametrize("status", [404, 410])
def test_expired_session_starts_again(store: Store, gcs: GcsServer, tmp_path: Path, status: int) -> None:
    file = staged(tmp_path / "staging", 3 * PART)
    killed_in_part(1, store, gcs, file)
    asks = lambda seen: seen.headers.get("content-range", "").startswith("bytes */")  # noqa: E731
    gcs.before = times(1, asks, failure(status, "gone"))
    assert file.put(store).bytes_sent == len(file.data)
    assert content(store) == file.data


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"session": 7}'])
def test_broken_session_file_costs_a_new_start_only(store: Store, gcs: GcsServer, tmp_path: Path, text: str) -> None:
    file = staged(tmp_path / "staging", 3 * PART)
    killed_in_part(1, store, gcs, file)
    file.states[0].write_text(text)
    assert file.put(store).bytes_sent == len(file.data)
    assert content(store) == file.data


def test_week_old_session_is_not_tried(store: Store, gcs: GcsServer, tmp_path: Path) -> None:
    file = staged(tmp_path / "staging", 3 * PART)
    killed_in_part(1, store, gcs, file)
    kept = json.loads(file.states[0].read_text())
    file.states[0].write_text(json.dumps({**kept, "begun_at": time.time() - 7 * 86400}))
    gcs.seen.clear()
    file.put(store)
    assert gcs.parts()[0].headers["content-range"].startswith("bytes 0-")


def test_connection_cut_in_a_part_goes_on_from_what_the_server_has(store: Store, gcs: GcsServer, large: Staged) -> None:
    cuts = itertools.count()
    gcs.cut = lambda seen: 3_000_000 if seen.is_part and next(cuts) == 1 else None
    seen: list[int] = []
    assert large.put(store, seen.append).bytes_sent == len(large.data)
    assert [part.received for part in gcs.parts()] == [PART, 3_000_000, PART, 100_000]
    assert seen == sorted(seen)
    assert content(store) == large.data


def test_server_that_keeps_less_than_it_was_sent(store: Store, gcs: GcsServer, large: Staged) -> None:
    short = itertools.count()
    gcs.takes = lambda seen: 1 << 20 if seen.is_part and next(short) == 0 else None
    assert large.put(store).bytes_sent == len(large.data)
    starts = [int(part.headers["content-range"].split()[1].split("-")[0]) for part in gcs.parts()]
    assert starts == [0, 1 << 20, (1 << 20) + PART]
    assert content(store) == large.data


def test_answer_that_is_lost_after_the_last_part(store: Store, gcs: GcsServer, large: Staged) -> None:
    lost = itertools.count()

    def lose(seen: Seen, answer: Answer) -> Answer:
        last = seen.is_part and answer.status == 200 and next(lost) == 0
        return replace(answer, body=b"", announced=500) if last else answer

    gcs.after = lose
    done = large.put(store)
    assert done.checksum == f"crc32c:{large.crc32c}"
    assert content(store) == large.data


def test_upload_that_is_stopped_is_gone_on_with(store: Store, large: Staged) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        large.put(store, stop)
    assert large.put(store).bytes_sent == len(large.data) - PART
    assert content(store) == large.data


def test_two_at_once_with_one_staged_file(store: Store, gcs: GcsServer, large: Staged) -> None:
    halfway, go_on = threading.Event(), threading.Event()
    first: list[StoredObject] = []

    def wait(_: int) -> None:
        halfway.set()
        assert go_on.wait(60)

    slow = threading.Thread(target=lambda: first.append(large.put(store, wait)))
    slow.start()
    assert halfway.wait(60)
    second = large.put(store)
    go_on.set()
    slow.join()
    assert len([one for one in gcs.seen if one.begins_session]) == 2
    assert first == [second]
    assert second.bytes_sent == len(large.data)
    assert [one.key for one in store.list()] == [KEY]
    assert content(store) == large.data
    assert large.states == []
