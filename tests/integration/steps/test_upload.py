"""Upload with real renditions and real store folders: what each way of going wrong leaves behind, and how it heals."""

from __future__ import annotations

import hashlib
import json
import secrets
import signal
import threading
import time
from dataclasses import replace

import pytest

import weed
from upload_world import FILES, PROFILE, Ground
from vms import line
from vms.model import StoreOptions, StoreTarget, load
from vms.receipts import Receipt
from vms.sightings import Fault
from vms.steps.upload import unreached, upload_batch
from vms.stores import open_store
from vms.uplink import parse


def assert_whole(ground: Ground, receipts: tuple[Receipt, ...], stores: tuple[str, ...] = ("nas", "san")) -> None:
    """Each store holds exactly what each receipt says, and the receipt says it of each store."""
    names = {target.store_id: target.name for target in ground.batch.stores}
    for store in stores:
        expected = {copy.key: copy.sha256 for one in receipts for copy in one.copies if names[copy.store_id] == store}
        held = {key: hashlib.sha256(data).hexdigest() for key, data in ground.objects(store).items()}
        assert held == expected
    for one in receipts:
        assert one.fault is None
        assert one.rendition is not None
        renditions = [copy for copy in one.copies if copy.part == "rendition"]
        assert {names[copy.store_id] for copy in renditions} == set(stores)
        assert {copy.sha256 for copy in renditions} == {one.rendition.sha256}
        assert {copy.checksum for copy in renditions} == {f"sha256:{one.rendition.sha256}"}


def test_each_store_gets_and_proves_everything(ground: Ground) -> None:
    done = ground.upload()
    assert_whole(ground, done)
    assert [len(one.copies) for one in done] == [6] * FILES
    assert {copy.part for copy in done[0].copies} == {"rendition", "poster", "sprite"}
    assert unreached(done) == []
    assert done[0].store_identities == {str(one.store_id): one.identity for one in ground.batch.stores}
    assert all(copy.bytes_sent == copy.size_bytes for one in done for copy in one.copies)
    lines = "\n".join(ground.said)
    assert "1 of 2: lobby 2026-02-01 06:59:59 WIB  " in lines
    assert " MB to nas in " in lines
    assert ", verified" in lines


def test_rerun_sends_nothing(ground: Ground) -> None:
    ground.upload()
    before = ground.objects("nas")
    again = ground.upload()
    assert_whole(ground, again)
    assert [copy.bytes_sent for one in again for copy in one.copies] == [0] * 6 * FILES
    assert ground.objects("nas") == before
    assert "nothing sent" in "\n".join(ground.said)
    kept = ground.compress()
    assert [one.copies for one in kept] == [one.copies for one in again]


def test_rerun_after_source_and_staging_are_gone(ground: Ground) -> None:
    first = ground.upload()
    ground.clear_staging()
    for path in ground.site.footage.iterdir():
        path.unlink()
    again = ground.upload()
    assert_whole(ground, again)
    assert [one.rendition for one in again] == [one.rendition for one in first]
    assert [copy.bytes_sent for one in again for copy in one.copies] == [0] * 6 * FILES


def test_one_store_away_does_not_keep_the_other(ground: Ground) -> None:
    (ground.root / "nas").rename(ground.root / "unplugged")
    (ground.root / "nas").mkdir()
    done = ground.upload()
    assert_whole(ground, done, ("san",))
    assert [list(one.store_faults) for one in done] == [["nas"]] * FILES
    assert {one.store_faults["nas"].reason for one in done} == {"store_unreachable"}
    assert not any(one.store_faults["nas"].permanent for one in done)
    (line,) = unreached(done)
    assert line.startswith("nas: 2 files not there.")
    assert ground.objects("nas") == {}

    (ground.root / "nas").rmdir()
    (ground.root / "unplugged").rename(ground.root / "nas")
    healed = ground.upload()
    assert_whole(ground, healed)
    assert unreached(healed) == []


def test_no_store_there_makes_nothing_again(ground: Ground) -> None:
    for name in ("nas", "san"):
        (ground.root / name).rename(ground.root / f"{name} unplugged")
    ground.clear_staging()
    done = ground.upload()
    assert [(one.fault, one.copies, sorted(one.store_faults)) for one in done] == [(None, (), ["nas", "san"])] * FILES
    assert len(unreached(done)) == 2


def test_unknown_store_url_is_a_store_fault(ground: Ground) -> None:
    nas, san = ground.batch.stores
    ground.batch = replace(ground.batch, stores=(nas, replace(san, url="smb://nas/x")))
    done = ground.upload()
    assert_whole(ground, done, ("nas",))
    assert "smb" in done[0].store_faults["san"].message


def test_store_that_does_not_let_us_in_is_a_fault_that_no_retry_mends(ground: Ground) -> None:
    nas, san = ground.batch.stores
    cloud = replace(
        san, url="s3://company/cctv", conn_id="never_defined", options=StoreOptions(storage_class="STANDARD_IA")
    )
    ground.batch = replace(ground.batch, stores=(nas, cloud))
    done = ground.upload()
    assert_whole(ground, done, ("nas",))
    assert {one.store_faults["san"].reason for one in done} == {"store_denied"}
    assert all(one.store_faults["san"].permanent for one in done)
    assert "AIRFLOW_CONN_NEVER_DEFINED" in unreached(done)[0]


@pytest.mark.parametrize("damage", ["flipped", "missing", "cut"])
def test_staged_file_that_rotted_is_made_again(ground: Ground, damage: str) -> None:
    rendition = ground.receipts[0].rendition
    assert rendition is not None
    staged = ground.staging / rendition.file
    if damage == "missing":
        staged.unlink()
    elif damage == "cut":
        staged.write_bytes(staged.read_bytes()[:-1])
    else:
        data = bytearray(staged.read_bytes())
        data[len(data) // 2] ^= 1
        staged.write_bytes(data)
    done = ground.upload()
    assert_whole(ground, done)
    assert unreached(done) == []
    assert "made again" in "\n".join(ground.said)


def test_rendition_of_an_earlier_try_is_taken_over(ground: Ground) -> None:
    ground.upload()
    before = {store: ground.objects(store) for store in ("nas", "san")}
    ground.clear_staging()
    fresh = ground.compress(profile=replace(PROFILE, crf=30))
    assert fresh[0].rendition is not None
    assert hashlib.sha256(before["nas"][ground.rendition()]).hexdigest() != fresh[0].rendition.sha256
    done = ground.upload(fresh)
    assert {store: ground.objects(store) for store in ("nas", "san")} == before
    assert_whole(ground, done)
    assert unreached(done) == []
    taken = done[0].rendition
    assert taken is not None
    assert hashlib.sha256((ground.staging / taken.file).read_bytes()).hexdigest() == taken.sha256
    assert (taken.frames, taken.codec, taken.kind) == (40, "h264", "encoded")
    assert load(Receipt, json.loads(next(ground.staging.glob("*.receipt.json")).read_text())) in done
    assert not list(ground.staging.glob(".adopt*"))


def test_earlier_try_is_found_before_another_store_gets_a_new_one(ground: Ground) -> None:
    ground.upload()
    store = open_store("nas", ground.batch.stores[0].url)
    store.identify(None)
    store.delete([one.key for one in list(store.list())])
    before = ground.objects("san")
    ground.clear_staging()
    done = ground.upload(ground.compress(profile=replace(PROFILE, crf=30)))
    assert ground.objects("san") == before
    assert_whole(ground, done)
    assert ground.objects("nas")[ground.rendition()] == before[ground.rendition()]


def test_rendition_of_other_source_bytes_is_not_taken_over(ground: Ground) -> None:
    ground.upload()
    before = ground.objects("nas")
    ground.clear_staging()
    fresh = tuple(replace(one, source_sha256="0" * 64) for one in ground.compress(profile=replace(PROFILE, crf=30)))
    done = ground.upload(fresh)
    assert ground.objects("nas") == before
    assert [one.store_faults["nas"].reason for one in done] == ["store_conflict"] * FILES
    assert "its source_sha256 is" in done[0].store_faults["nas"].message


@pytest.mark.parametrize("foreign", ["noise", "other recording"])
def test_foreign_object_under_our_key_stays_and_is_named(ground: Ground, foreign: str) -> None:
    second = ground.receipts[1].rendition
    assert second is not None
    data = b"not a video" if foreign == "noise" else (ground.staging / second.file).read_bytes()
    place = ground.root / "nas" / ground.rendition()
    place.parent.mkdir(parents=True)
    place.write_bytes(data)
    done = ground.upload()
    assert place.read_bytes() == data
    fault = done[0].store_faults["nas"]
    assert fault.reason == "store_conflict"
    assert not fault.permanent
    assert hashlib.sha256(data).hexdigest() in fault.message or f"{len(data)} bytes" in fault.message
    assert "can't be taken over" in fault.message
    assert [copy.store_id for copy in done[0].copies if copy.part == "rendition"] == [2]
    assert done[1].store_faults == {}
    assert len(unreached(done)) == 1


def test_source_itself_stored_by_an_earlier_try_is_taken_over(ground: Ground) -> None:
    source = (ground.site.footage / "lobby 0.mp4").read_bytes()
    place = ground.root / "nas" / ground.rendition()
    place.parent.mkdir(parents=True)
    place.write_bytes(source)
    done = ground.upload()
    assert_whole(ground, done)
    assert done[0].rendition is not None
    assert done[0].rendition.kind == "original"
    assert done[0].rendition.sha256 == done[0].source_sha256


def test_other_preview_is_kept_as_it_is(ground: Ground) -> None:
    place = ground.root / "nas" / f"{ground.batch.items[0].key_stem}.poster.jpg"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"another poster")
    done = ground.upload()
    assert place.read_bytes() == b"another poster"
    assert_whole(ground, done)
    assert unreached(done) == []
    assert "another poster" in "\n".join(ground.said)


def test_faults_pass_through_and_block_nobody(ground: Ground) -> None:
    fault = Fault("zero_bytes", "empty", "none", permanent=True)
    broken = replace(ground.receipts[0], rendition=None, previews=(), fault=fault)
    done = ground.upload((broken, ground.receipts[1]))
    assert done[0] == broken
    assert_whole(ground, done[1:])


def test_interrupt_gives_up_what_is_in_flight(ground: Ground) -> None:
    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upload_batch(ground.batch, ground.receipts, ground.site, ground.home, report=interrupt)
    assert_whole(ground, ground.upload())


@pytest.fixture
def bucket(s3_server: weed.S3Server, monkeypatch: pytest.MonkeyPatch) -> StoreTarget:
    monkeypatch.setenv("AIRFLOW_CONN_UPLINK_S3", weed.connection_text(s3_server.endpoint))
    url = f"s3://{weed.BUCKET}/{secrets.token_hex(8)}"
    return StoreTarget(3, "cloud", url, open_store("cloud", url, conn_id="uplink_s3").identify(None), "uplink_s3")


def test_what_goes_to_a_bucket_keeps_to_the_uplink_of_the_site(ground: Ground, bucket: StoreTarget) -> None:
    batch = replace(ground.batch, stores=(ground.batch.stores[0], bucket))
    site = replace(ground.site, uplink=parse("100 Mbit/s"))
    done = upload_batch(batch, ground.receipts, site, ground.home, report=ground.said.append)
    assert unreached(done) == []
    nas, cloud = (sum(copy.bytes_sent for one in done for copy in one.copies if copy.store_id == at) for at in (1, 3))
    assert nas == cloud > 0
    assert float((ground.staging / line.FILE).read_text().split()[1]) == cloud


def test_without_a_cap_there_is_no_account_of_the_line(ground: Ground, bucket: StoreTarget) -> None:
    batch = replace(ground.batch, stores=(bucket,))
    done = upload_batch(batch, ground.receipts, ground.site, ground.home, report=ground.said.append)
    assert unreached(done) == []
    assert not (ground.staging / line.FILE).exists()


def test_an_upload_that_waits_for_its_turn_ends_when_its_task_is_stopped(ground: Ground, bucket: StoreTarget) -> None:
    site = replace(ground.site, uplink=parse("128 kbit/s"))
    account = ground.staging / line.FILE
    account.write_text(f"{time.monotonic()} 160000 0")  # ten seconds of the line are taken

    def stop_when_it_waits() -> None:
        while float(account.read_text().split()[1]) <= 160_000:
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    stopper = threading.Thread(target=stop_when_it_waits, daemon=True)
    stopper.start()
    batch = replace(ground.batch, stores=(bucket,))
    with pytest.raises(KeyboardInterrupt):
        upload_batch(batch, ground.receipts, site, ground.home, report=ground.said.append)
    stopper.join()
    store = open_store(bucket.name, bucket.url, conn_id=bucket.conn_id)
    store.identify(bucket.identity)
    assert list(store.list()) == []
