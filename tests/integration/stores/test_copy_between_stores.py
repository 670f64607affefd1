"""Replicate between stores of different kinds: the bytes that go over each line are counted at the server."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from gcs_server import BUCKET as GCS_BUCKET
from gcs_server import GcsServer
from proxy import line_to

import weed
from copy_world import Ground, a_ground, an_order, key_stem
from vms.home import PROJECT_ROOT
from vms.line import FILE
from vms.model import StoreTarget, dump
from vms.receipts import Copied
from vms.stores import open_store
from vms.stores.s3_put import PART_BYTES
from vms.uplink import parse

BIG = 40 << 20


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return a_ground(tmp_path)


@pytest.fixture
def s3(tmp_path: Path, s3_server: weed.S3Server, monkeypatch: pytest.MonkeyPatch) -> StoreTarget:
    monkeypatch.setenv("AIRFLOW_CONN_TEST_S3", weed.connection_text(s3_server.endpoint))
    return identified(StoreTarget(11, "bucket", f"s3://{weed.BUCKET}/{tmp_path.name}", None, "test_s3"))


@pytest.fixture
def google(gcs: GcsServer) -> StoreTarget:  # noqa: ARG001 (the server that its address leads to)
    return identified(StoreTarget(12, "google", f"gs://{GCS_BUCKET}/archive", None, "test_gs"))


def identified(target: StoreTarget) -> StoreTarget:
    return replace(target, identity=open_store(target.name, target.url, conn_id=target.conn_id).identify(None))


def objects(target: StoreTarget) -> dict[str, str]:
    store = open_store(target.name, target.url, conn_id=target.conn_id)
    store.identify(target.identity)
    return {one.key: hashlib.sha256(b"".join(store.open_range(one.key))).hexdigest() for one in store.list()}


def assert_copied(ground: Ground, target: StoreTarget, done: tuple[Copied, ...]) -> None:
    assert [one.fault for one in done] == [None] * len(ground.batch.orders)
    wanted = {copy.key: copy.sha256 for order in ground.batch.orders for copy in order.held}
    assert objects(target) == wanted
    assert {copy.store_id for one in done for copy in one.copies} == {target.store_id}
    assert all(copy.checksum for one in done for copy in one.copies)


def test_from_a_folder_over_a_bucket_to_google(ground: Ground, s3: StoreTarget, google: StoreTarget) -> None:
    nas = ground.batch.holders[0]
    ground.batch = replace(ground.batch, stores=(s3,), holders=(nas,))
    first = ground.copy()
    assert_copied(ground, s3, first)

    held = {one.recording_id: one.copies for one in first}
    orders = tuple(replace(order, held=held[order.recording_id]) for order in ground.batch.orders)
    ground.batch = replace(ground.batch, stores=(google,), holders=(s3,), orders=orders)
    (ground.root / "nas").rename(ground.root / "unplugged")
    assert_copied(ground, google, ground.copy())
    again = ground.copy()
    assert {copy.bytes_sent for one in again for copy in one.copies} == {0}
    assert ground.left() == []


def downloads(gcs: GcsServer) -> list[str]:
    """The ranges of renditions that were asked for."""
    return [one.headers["range"] for one in gcs.seen if one.is_download and one.path.endswith(".mp4")]


def killed(ground: Ground, when: str) -> None:
    """Have the batch copied by a process that is killed as soon as this is so of `fetched` and `sent` bytes."""
    program = f"""
import json, os, signal, sys
from pathlib import Path
from zoneinfo import ZoneInfo
from vms.model import Batch, load
from vms.steps.copies_in_flight import SitePlace
from vms.steps.replicate import copy_each

def moved(order, fetched, sent):
    if {when}:
        os.kill(os.getpid(), signal.SIGKILL)

batch = load(Batch, json.load(sys.stdin))
place = SitePlace(ZoneInfo("Asia/Jakarta"), Path({str(ground.staging)!r}))
print(list(copy_each(batch.orders, batch.holders, batch.stores[0], {{"ho": place}}, report=print, moved=moved)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json_text(ground),
        cwd=PROJECT_ROOT / "include",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


def json_text(ground: Ground) -> str:

    return json.dumps(dump(ground.batch))


def test_killed_while_fetching_goes_on_where_the_bytes_end(ground: Ground, google: StoreTarget, gcs: GcsServer) -> None:
    order = an_order(ground.root, 9, (google,), size=BIG)
    ground.batch = replace(ground.batch, orders=(order,), holders=(google,))
    killed(ground, f"fetched > {BIG // 2}")
    (left,) = ground.staging.iterdir()
    there = left.stat().st_size
    assert there > BIG // 2
    gcs.seen.clear()
    (done,) = ground.copy()
    assert done.fault is None
    asked = [
        one.headers["range"] for one in gcs.seen if one.is_download and key_stem(9) in one.path.replace("%2F", "/")
    ]
    assert asked[0] == f"bytes={there}-{BIG - 1}"
    assert ground.objects("cloud") == {copy.key: copy.sha256 for copy in order.held}
    assert ground.left() == []


def test_killed_while_sending_fetches_nothing_again_and_sends_at_most_one_part_again(
    ground: Ground, google: StoreTarget, gcs: GcsServer, s3: StoreTarget, s3_server: weed.S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    order = an_order(ground.root, 9, (google,), size=BIG)
    ground.batch = replace(ground.batch, orders=(order,), holders=(google,), stores=(s3,))
    with line_to(s3_server.port) as line:
        monkeypatch.setenv("AIRFLOW_CONN_TEST_S3", weed.connection_text(line.endpoint))
        killed(ground, f"sent > {BIG - (4 << 20)}")
        assert downloads(gcs) == [f"bytes=0-{BIG - 1}"]
        before = line.up
        gcs.seen.clear()
        (done,) = ground.copy()
        sent = line.up - before
    assert done.fault is None
    assert downloads(gcs) == []
    assert sent < 2 * PART_BYTES
    assert objects(s3)[f"{key_stem(9)}.mp4"] == order.held[0].sha256
    assert ground.left() == []


def test_other_bytes_left_by_a_kill_are_fetched_anew(ground: Ground, google: StoreTarget) -> None:
    order = an_order(ground.root, 9, (google,), size=BIG)
    ground.batch = replace(ground.batch, orders=(order,), holders=(google,))
    killed(ground, f"fetched > {BIG // 2}")
    (left,) = ground.staging.iterdir()
    with left.open("r+b") as file:
        file.write(b"power cut")
    (done,) = ground.copy()
    assert (done.fault, done.damaged) == (None, ())
    assert ground.objects("cloud") == {copy.key: copy.sha256 for copy in order.held}


def test_damaged_in_the_bucket_and_good_on_the_nas(ground: Ground, s3: StoreTarget, s3_server: weed.S3Server) -> None:
    nas = ground.batch.holders[0]
    orders = tuple(an_order(ground.root, number, (s3, nas)) for number in range(2))
    client, key = s3_server.client(), f"{ground.root.name}/{key_stem(0)}.mp4"
    body = client.get_object(Bucket=weed.BUCKET, Key=key)["Body"].read()
    client.put_object(Bucket=weed.BUCKET, Key=key, Body=body[:-1] + bytes([body[-1] ^ 1]))
    ground.batch = replace(ground.batch, orders=orders, holders=(s3, nas))
    done = ground.copy()
    assert [one.fault for one in done] == [None, None]
    assert [[bad.store_id for bad in one.damaged] for one in done] == [[s3.store_id], []]
    assert ground.objects("cloud") == {copy.key: copy.sha256 for order in orders for copy in order.held}


def test_what_is_copied_to_a_bucket_keeps_to_the_uplink_of_the_site(ground: Ground, s3: StoreTarget) -> None:
    ground.batch = replace(ground.batch, stores=(s3,), holders=ground.batch.holders[:1])
    ground.site = replace(ground.site, uplink=parse("100 Mbit/s"))
    done = ground.copy()
    assert_copied(ground, s3, done)
    sent = sum(copy.bytes_sent for one in done for copy in one.copies)
    assert float((ground.staging / FILE).read_text().split()[1]) == sent > 0
