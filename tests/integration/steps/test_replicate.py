"""Replicate between store folders: what each way of going wrong leaves behind, and how it heals."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from copy_world import Ground, a_ground, an_order, assert_whole, key_stem
from vms.model import StoreTarget
from vms.steps import copies_in_flight
from vms.steps.copies_in_flight import SitePlace
from vms.steps.replicate import copy_batch, copy_each, unsent
from vms.stores import open_store


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return a_ground(tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MB; skips where none can be mounted."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    point = tmp_path / "small"
    point.mkdir()
    tried = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", point], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"mounting a tmpfs is not permitted here: {tried.stderr.decode().strip()}")
    yield point
    subprocess.run(["umount", "-l", point], check=True)


def test_everything_arrives_under_the_same_keys_and_nothing_stays_in_staging(ground: Ground) -> None:
    done = ground.copy()
    assert_whole(ground, done)
    assert all(copy.bytes_sent == copy.size_bytes for one in done for copy in one.copies)
    assert ground.left() == []
    assert unsent(done, "cloud") == []
    assert "6 of 6: lobby 2026-02-01 07:04:59 WIB  0.3 MB to cloud in " in ground.lines


def test_again_proves_anew_and_moves_nothing(ground: Ground) -> None:
    ground.copy()
    (ground.root / "nas").rename(ground.root / "unplugged")
    done = ground.copy()
    assert_whole(ground, done)
    assert {copy.bytes_sent for one in done for copy in one.copies} == {0}
    assert "already on cloud, verified, nothing sent" in ground.lines


def test_what_is_still_staged_is_not_fetched(ground: Ground) -> None:
    order = ground.batch.orders[0]
    ground.staging.mkdir(parents=True)
    for copy in order.held:
        ending = copy.key.removeprefix(key_stem(0))
        os.link(ground.root / "nas" / copy.key, ground.staging / f"{order.staging_stem}{ending}")
    (ground.root / "nas").rename(ground.root / "unplugged")
    (done,) = ground.copy((order,))
    assert done.fault is None
    assert len(done.copies) == 3
    assert len(ground.left()) == 3


def test_staged_file_that_is_another_is_not_used(ground: Ground) -> None:
    ground.staging.mkdir(parents=True)
    staged = ground.staging / f"{ground.batch.orders[0].staging_stem}.mp4"
    staged.write_bytes(bytes(300_000))
    assert_whole(ground, ground.copy())
    assert ground.left() == [staged.name]


def test_what_there_is_no_time_for_is_left_to_the_next_run(ground: Ground) -> None:
    done = copy_batch(ground.batch, ground.site, ground.home, report=ground.said.append, seconds=-1.0)
    assert [one.recording_id for one in done] == [ground.batch.orders[0].recording_id]
    assert done[0].fault is None
    assert "5 recordings are left to the next run" in ground.lines


def test_damaged_copy_is_never_copied_and_the_next_holder_is_used(ground: Ground) -> None:
    _, san = ground.batch.holders
    twice = an_order(ground.root, 0, ground.batch.holders)
    ground.damage("nas", 0)
    ground.damage("nas", 1)
    done = ground.copy((twice, *ground.batch.orders[1:]))
    assert [one.fault is None for one in done] == [True, False, True, True, True, True]
    assert done[1].fault is not None
    assert (done[1].fault.reason, done[1].fault.permanent) == ("copy_damaged", False)
    assert [[(bad.store_id, bad.part) for bad in one.damaged] for one in done[:3]] == [
        [(1, "rendition")],
        [(1, "rendition")],
        [],
    ]
    assert twice.held[0].sha256 in done[0].damaged[0].message
    good = {copy.key: copy.sha256 for order in ground.batch.orders for copy in order.held}
    held = ground.objects("cloud")
    assert held == {key: digest for key, digest in good.items() if not key.startswith(key_stem(1))}
    assert ground.left() == []
    lines = unsent(done, "cloud")
    assert len(lines) == 2
    assert lines[0].startswith("cloud: 1 file not there. Store nas: ")
    assert san.name not in lines[0]


def test_copy_that_is_gone_or_cut_in_its_store_is_told(ground: Ground) -> None:
    (ground.root / "nas" / f"{key_stem(0)}.mp4").unlink()
    cut = ground.root / "nas" / f"{key_stem(1)}.mp4"
    cut.write_bytes(cut.read_bytes()[:-1])
    done = ground.copy()
    assert [one.fault and one.fault.reason for one in done] == ["copy_damaged", "copy_damaged", None, None, None, None]
    assert "has no object" in done[0].damaged[0].message
    assert "299999 bytes instead of 300000" in done[1].damaged[0].message


def test_damaged_preview_is_left_out_and_told(ground: Ground) -> None:
    ground.damage("nas", 0, ".poster.jpg")
    done = ground.copy()
    assert [one.fault for one in done] == [None] * 6
    assert sorted(copy.part for copy in done[0].copies) == ["rendition", "sprite"]
    assert [bad.part for bad in done[0].damaged] == ["poster"]
    assert f"{key_stem(0)}.poster.jpg" not in ground.objects("cloud")
    assert "poster is left out" in ground.lines
    assert len(unsent(done, "cloud")) == 1


def test_other_object_under_the_key_stays_and_is_named(ground: Ground) -> None:
    place = ground.root / "cloud" / f"{key_stem(2)}.mp4"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"not ours")
    done = ground.copy()
    assert place.read_bytes() == b"not ours"
    assert [one.fault and one.fault.reason for one in done] == [None, None, "store_conflict", None, None, None]
    assert ground.left() == []


def test_target_that_is_away_is_not_tried_file_by_file(ground: Ground) -> None:
    (ground.root / "cloud").rename(ground.root / "unplugged")
    (ground.root / "cloud").mkdir()
    done = ground.copy()
    assert [one.fault and one.fault.reason for one in done] == ["store_unreachable"] * 6
    assert {one.identity for one in done} == {""}
    assert len(unsent(done, "cloud")) == 1
    assert ground.objects("cloud") == {}
    assert ground.lines.count("cloud can't be used now") == 1
    assert ground.left() == []

    (ground.root / "cloud").rmdir()
    (ground.root / "unplugged").rename(ground.root / "cloud")
    assert_whole(ground, ground.copy())


def test_target_that_goes_away_in_the_middle_keeps_what_was_fetched(ground: Ground) -> None:
    def unplug(line: str) -> None:
        if line.startswith("1 of 6") and (ground.root / "cloud").exists():
            (ground.root / "cloud").rename(ground.root / "unplugged")

    done = copy_batch(ground.batch, ground.site, ground.home, report=unplug)
    assert {one.fault and one.fault.reason for one in done if one.fault} == {"store_unreachable"}
    (ground.root / "unplugged").rename(ground.root / "cloud")
    assert_whole(ground, ground.copy())
    assert ground.left() == []


def test_holder_that_is_away_is_told_and_another_one_is_used(ground: Ground) -> None:
    both = tuple(an_order(ground.root, number, ground.batch.holders) for number in range(3))
    (ground.root / "nas").rename(ground.root / "unplugged")
    done = ground.copy((*both, ground.batch.orders[3]))
    assert [one.fault and one.fault.reason for one in done] == [None, None, None, "copy_unreachable"]
    assert {one.damaged for one in done} == {()}
    assert "nas can't be used now" in ground.lines


def test_recording_that_no_reachable_store_holds_is_a_fault_of_its_own(ground: Ground) -> None:
    ground.batch = replace(ground.batch, holders=ground.batch.holders[1:])
    done = ground.copy()
    assert {one.fault and one.fault.reason for one in done} == {"copy_unreachable"}
    assert "no proven copy in a store that can be read from here" in unsent(done, "cloud")[0]


def test_full_target_is_told_once_and_heals(ground: Ground, small_disk: Path) -> None:
    url = f"file://{small_disk}/cloud"
    identity = open_store("cloud", url).identify(None)
    ground.batch = replace(ground.batch, stores=(StoreTarget(3, "cloud", url, identity),))
    filler = small_disk / "filler"
    filler.write_bytes(bytes(os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize - 700_000))
    done = ground.copy()
    reasons = [one.fault and one.fault.reason for one in done]
    assert set(reasons) == {None, "store_full"} or set(reasons) == {"store_full"}
    assert reasons[-1] == "store_full"
    filler.unlink()
    healed = ground.copy()
    assert [one.fault for one in healed] == [None] * 6
    assert ground.left() == []


def test_full_staging_disk_is_a_fault_and_not_a_half_file(
    ground: Ground, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies_in_flight, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(copies_in_flight, "_POLL_S", 0.05)
    ground.site = replace(ground.site, staging=small_disk)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize - 200_000))
    done = ground.copy()
    assert {one.fault and one.fault.reason for one in done} == {"staging_full"}
    assert ground.objects("cloud") == {}
    filler.unlink()
    assert_whole(ground, ground.copy())


def test_two_at_the_same_time_make_no_doubles(ground: Ground) -> None:
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(copy_batch, ground.batch, ground.site, ground.home, report=print) for _ in range(2)]
        both = [job.result() for job in jobs]
    for done in both:
        assert_whole(ground, done)
    assert ground.left() == []
    sent: dict[str, int] = {}
    for one in (*both[0], *both[1]):
        for copy in one.copies:
            sent[copy.key] = sent.get(copy.key, 0) + copy.bytes_sent
    assert sent == {copy.key: copy.size_bytes for order in ground.batch.orders for copy in order.held}


def test_closed_in_the_middle_goes_on_the_next_time(ground: Ground) -> None:
    target, place = ground.batch.stores[0], SitePlace(ground.site.zone, ground.staging)
    done = copy_each(ground.batch.orders, ground.batch.holders, target, {"ho": place}, report=print)
    assert next(done).fault is None
    done.close()
    assert_whole(ground, ground.copy())
    assert ground.left() == []


def test_what_nobody_goes_on_with_is_swept_after_days(ground: Ground) -> None:
    ground.staging.mkdir(parents=True)
    old, fresh = (ground.staging / f".lobby_x{number}.mp4.0123456789ab.fetched" for number in (1, 2))
    beside = old.with_name(f"{old.name}.cloud.upload.json")
    for path in (old, fresh, beside):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    ground.copy()
    assert ground.left() == [fresh.name]
