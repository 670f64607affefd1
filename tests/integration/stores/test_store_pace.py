"""What goes to a bucket is asked for first, byte by byte as it goes over the line; a mounted folder asks nobody."""

from __future__ import annotations

import hashlib
import multiprocessing
import random
import secrets
import threading
import time
from pathlib import Path
from zoneinfo import ZoneInfo

import gcs_server
import pytest
from proxy import line_to

import weed
from vms.line import FILE, Line
from vms.stores import Pace, Store, open_store
from vms.stores.gcs_upload import ONE_REQUEST_BYTES, PART_BYTES
from vms.stores.s3_put import WHOLE_BYTES
from vms.uplink import parse
from vms.video.ffmpeg import Stopped

KEY = "ho/lobby/2026/01/31/20260131T235959Z_0123456789ab.mp4"
CONN_IDS = {"s3": "pace_s3", "gs": "test_gs"}
LARGE = {"s3": WHOLE_BYTES + 1000, "gs": PART_BYTES + 1000}


class Counting:
    """A pace that lets everything go in its own pieces, up to `most` bytes, and counts."""

    def __init__(self, piece: int = 50_000, most: int = 1 << 40) -> None:
        self.piece, self.most = piece, most
        self.gone = 0

    def __call__(self, wanted: int) -> int:
        if self.gone >= self.most:
            raise Stopped
        self.gone += min(wanted, self.piece)
        return min(wanted, self.piece)


@pytest.fixture(params=["s3", "gs"])
def url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "gs":
        request.getfixturevalue("gcs")
        return f"gs://{gcs_server.BUCKET}/{secrets.token_hex(8)}"
    server = request.getfixturevalue("s3_server")
    monkeypatch.setenv("AIRFLOW_CONN_PACE_S3", weed.connection_text(server.endpoint))
    return f"s3://{weed.BUCKET}/{secrets.token_hex(8)}"


def opened(url: str, pace: Pace | None) -> Store:
    store = open_store("cloud", url, conn_id=CONN_IDS.get(url.partition(":")[0], ""), pace=pace)
    store.identify(None)
    return store


def put(store: Store, folder: Path, size: int, key: str = KEY):
    file = folder / f"{key.replace('/', '_')}"
    file.write_bytes(random.Random(size).randbytes(size))
    return store.put(file, key, sha256=hashlib.sha256(file.read_bytes()).hexdigest(), size_bytes=size)


@pytest.mark.parametrize("size", [0, 1, 300_000, ONE_REQUEST_BYTES, 3_000_000])
def test_each_byte_is_asked_for_once(url: str, tmp_path: Path, size: int) -> None:
    pace = Counting()
    assert put(opened(url, pace), tmp_path, size).bytes_sent == size
    assert pace.gone == size


def test_so_is_each_of_a_file_that_goes_in_parts(url: str, tmp_path: Path) -> None:
    pace = Counting()
    size = LARGE[url[:2]]
    assert put(opened(url, pace), tmp_path, size).bytes_sent == size
    assert pace.gone == size


def test_reading_a_body_to_sign_it_is_not_sending(
    s3_server: weed.S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator may have bodies signed; were that paced, a signature could be too old before a byte is sent."""
    signed = weed.connection_text(s3_server.endpoint, s3={"payload_signing_enabled": True})
    monkeypatch.setenv("AIRFLOW_CONN_PACE_S3", signed)
    pace = Counting()
    put(opened(f"s3://{weed.BUCKET}/{secrets.token_hex(8)}", pace), tmp_path, 3_000_000)
    assert pace.gone == 3_000_000


def test_what_is_there_already_is_not_asked_for(url: str, tmp_path: Path) -> None:
    pace = Counting()
    put(opened(url, None), tmp_path, 1000)
    assert put(opened(url, pace), tmp_path, 1000).bytes_sent == 0
    assert pace.gone == 0


def test_a_mounted_folder_is_not_behind_the_line(tmp_path: Path) -> None:
    pace = Counting()
    assert put(opened(f"file://{tmp_path}/nas", pace), tmp_path, 1000).bytes_sent == 1000
    assert pace.gone == 0


def test_bytes_that_are_sent_again_are_asked_for_again(
    s3_server: weed.S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting()
    cut = threading.Event()
    with line_to(s3_server.port) as line:

        def pace(wanted: int) -> int:
            if counting.gone >= 1_000_000 and not cut.is_set():
                cut.set()
                line.hang_up()
            return counting(wanted)

        monkeypatch.setenv("AIRFLOW_CONN_PACE_S3", weed.connection_text(line.endpoint))
        store = opened(f"s3://{weed.BUCKET}/{secrets.token_hex(8)}", pace)
        assert put(store, tmp_path, 3_000_000).size_bytes == 3_000_000
    assert cut.is_set()
    assert counting.gone >= 1_000_000 + 3_000_000


@pytest.mark.parametrize("size", [500_000, 5_000_000])
def test_a_stop_while_it_waits_leaves_nothing_and_a_rerun_makes_it_whole(url: str, tmp_path: Path, size: int) -> None:
    with pytest.raises(Stopped):
        put(opened(url, Counting(most=200_000)), tmp_path, size)
    store = opened(url, Counting())
    assert store.head(KEY) is None
    assert put(store, tmp_path, size).size_bytes == size


def test_an_upload_is_really_as_slow_as_the_cap(url: str, tmp_path: Path) -> None:
    line = Line(parse("1.6 Mbit/s"), ZoneInfo("Asia/Jakarta"), tmp_path, threading.Event())
    store = opened(url, line)
    began = time.monotonic()
    assert put(store, tmp_path, 400_000).bytes_sent == 400_000
    assert time.monotonic() - began > 400_000 / 200_000 - 0.5
    assert float((tmp_path / FILE).read_text().split()[1]) == 400_000


def _uploader(url: str, staging: str, folder: str, key: str) -> None:
    line = Line(parse("1.6 Mbit/s"), ZoneInfo("Asia/Jakarta"), Path(staging), threading.Event())
    put(opened(url, line), Path(folder), 250_000, key)


def test_uploads_of_two_processes_share_the_cap(s3_server: weed.S3Server, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PACE_S3", weed.connection_text(s3_server.endpoint))
    url = f"s3://{weed.BUCKET}/{secrets.token_hex(8)}"
    opened(url, None)
    began = time.monotonic()
    fork = multiprocessing.get_context("fork")
    some = [fork.Process(target=_uploader, args=(url, tmp_path, tmp_path, f"{KEY}{one}")) for one in "ab"]
    for one in some:
        one.start()
    for one in some:
        one.join()
    assert [one.exitcode for one in some] == [0, 0]
    assert time.monotonic() - began > 500_000 / 200_000 - 0.5
