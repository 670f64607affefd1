"""Uploads to S3 in parts: killed, cleared, or begun by two at once, they go on and make one object."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from proxy import Line
from s3_world import KEY, LARGE, SMALL, Staged, content, staged
from s3_world import connect as connect
from s3_world import large as large  # fixtures
from s3_world import line as line
from s3_world import small as small
from s3_world import store as store

import weed
from vms.errors import StoreConflict, StoreError, StoreUnreachable
from vms.home import PROJECT_ROOT
from vms.stores import open_store
from vms.stores.s3 import S3Store
from vms.stores.s3_put import PART_BYTES, state_file


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


def test_stopped_by_the_caller_leaves_nothing_under_the_key(store: S3Store, small: Staged) -> None:
    class Stopped(BaseException):
        pass

    def stop(_: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        small.put(store, progress=stop)
    assert list(store.list()) == []
    assert small.put(store).bytes_sent == SMALL


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
