"""Folders and stores that are away, empty, emptied or rotten, and two that do the same work at once."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from catalogue_world import opened
from facts import LIVE, files_in
from fault_world import FaultWorld, MakeWorld
from integrity_world import an_archive, damage
from invariants import (
    ALWAYS,
    AT_THE_END,
    check,
    lineage_complete,
    no_duplicate_object,
    no_source_gone_without_proof,
    nothing_is_removed,
    only_what_expired_is_purged,
    row_and_object_agree,
)
from test_killed_copying import broken, in_nas_only
from test_killed_purging import EXPIRED
from test_killed_purging import filled as with_expired
from vms.config import StoreConfig
from vms.exports.folder import MANIFEST


def _gone(folder: Path, how: str) -> Callable[[], None]:
    """Let the folder be away; what brings it back."""
    aside = folder.with_name(f"{folder.name} is here")
    if how == "another disk":
        done = subprocess.run(["mount", "-t", "tmpfs", "none", str(folder)], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("this user may not mount")
        return lambda: subprocess.run(["umount", str(folder)], check=True)
    folder.rename(aside)
    if how == "empty":
        folder.mkdir()

    def back() -> None:
        if how == "empty":
            folder.rmdir()
        aside.rename(folder)

    return back


@pytest.mark.parametrize("how", ["missing", "empty", "another disk"])
def test_footage_folder_is_away(how: str, world: FaultWorld, clips: dict[str, Path]) -> None:
    """Whatever it looks like, no source counts as removed, and all is as before when it is back."""
    world.configure(keep="7d")
    world.leave("lobby/20260131_235958.mp4", clips["first"])
    world.live("archive", "before")
    world.configure(keep="0d")  # the sources are due
    world.doing = f"the footage folder was {how}"
    world.leave("gate/20260131_100000.mp4", clips["second"])
    back = _gone(world.footage, how)
    try:
        (ended,) = world.driver.live(world.life("archive", "away"))
        assert ("FootageUnreachable" in ended.failed) == (how != "empty"), ended
        facts = world.look()
        assert {one.source: one.custody for one in facts.recordings} == {"lobby/20260131_235958.mp4": "archived"}
        assert not [event for event in facts.events if event.event == "released"]
    finally:
        back()
    assert len(world.look().there) == 2
    world.driver.live(world.life("archive", "back", shift_s=3700))  # what could not be released waits for an hour
    world.all_runs(shift_s=7400)
    check(world.look(), *AT_THE_END)


@pytest.mark.parametrize("how", ["missing", "empty", "another disk"])
def test_store_mount_is_away(how: str, make_world: MakeWorld, clips: dict[str, Path]) -> None:
    """Nothing is archived, released, marked lost, repaired elsewhere or purged by what an empty mount seems to say."""
    world = with_expired(make_world())
    young = world.look()
    world.leave("lobby/20260131_235958.mp4", clips["first"])
    world.doing = f"the store's mount was {how}"
    back = _gone(world.nas, how)
    try:
        (ended,) = world.driver.live(world.life("archive", "away"))
        assert not ended.failed, ended
        assert len(ended.result["unfinished"]) == 1
        checked = world.live("repair", "away")
        assert checked["reconcile nas"]["error"] != ""
        assert checked["reconcile nas"]["lost"] == 0
        purged = world.live("purge", "away")
        assert (purged["state"], purged["alarms"]) == ("waiting", ["store_wrong"])
        assert not list(world.in_nas()), "nothing was written beside the mount"
        assert "lobby/20260131_235958.mp4" in world.look().there
    finally:
        back()
    nothing_is_removed(young, world.look())
    (only,) = [one for one in world.look().recordings if one.source == "lobby/20260131_235958.mp4"]
    assert only.custody == "planned"
    world.all_runs()
    assert world.live("purge", "back")["state"] == "done"
    facts = world.look()
    check(facts, *ALWAYS, only_what_expired_is_purged, row_and_object_agree, lineage_complete)
    assert [one.custody for one in facts.recordings].count("purged") == EXPIRED


def test_store_emptied_by_someone(make_world: MakeWorld) -> None:
    """Its identity is there, its footage is not: no purge, nothing marked lost before a person says that it is so, and
    then all of it comes back from the other store."""
    world = with_expired(make_world())
    before = world.look()
    world.doing = "somebody emptied the store"
    shutil.rmtree(world.nas / "ho")
    purged = world.live("purge", "after")
    assert (purged["state"], purged["alarms"]) == ("waiting", ["store_empty"])
    checked = world.live("repair", "after")
    for step in ("reconcile nas", "prove nas"):
        assert "shows no object at all" in checked[step]["error"]
    facts = world.look()
    assert {copy.state for copy in facts.copies} == {LIVE}, "nothing is marked lost"
    assert {store for store, _ in facts.objects} == {"cloud"}, "and nothing put into what may be no store"
    world.live("command", words=("verify", "--accept-losses", "--sample", "0", "--json"))
    facts = world.look()
    check(facts, no_duplicate_object, row_and_object_agree)
    assert facts.objects == before.objects, "all of it is back, byte for byte"


def in_two_stores(world: FaultWorld, count: int) -> FaultWorld:
    stores = (StoreConfig("nas", f"file://{world.nas}"), StoreConfig("cloud", world.cloud_url, conn_id="cloud"))
    with opened(world.owner_url) as conn:
        an_archive(conn, world.home, world.root, count, stores=stores)
    return world


def export(world: FaultWorld, folder: str) -> tuple[int, dict[str, str]]:
    status = world.live("command", words=("export", "2026-01-31", "--to", str(world.root / folder), "--json"))
    return status, {name: sha for name, sha in files_in(world.root / folder).items() if name.endswith(".mp4")}


def test_half_the_objects_corrupted(make_world: MakeWorld) -> None:
    """Found by the deep check, repaired from the other store, and never given out as good, before or after."""
    world = in_two_stores(make_world(), 6)
    before = world.look()
    good = {one.rendition_sha256 for one in before.recordings}
    world.doing = "half the objects of the NAS are corrupted"
    rotten = random.Random(5).sample(sorted(world.nas.rglob("*.mp4")), 3)
    for path in rotten:
        damage(path)
    damaged = world.look()

    status, given = export(world, "before the check")
    assert status == 0
    assert set(given.values()) == good, "what was damaged came out of the other store"

    found = world.live("repair", "that night")
    assert found["prove nas"]["damaged"] == 3
    assert (found["repair"]["repaired"], found["repair"]["without"], found["repair"]["failed"]) == (3, 0, 0)
    facts = world.look()
    nothing_is_removed(damaged, facts)
    check(facts, no_duplicate_object, row_and_object_agree)
    live = {copy.key for copy in facts.copies if copy.state == LIVE and copy.store == "nas"}
    assert live.isdisjoint(str(path.relative_to(world.nas)) for path in rotten), "no row calls a rotten object good"
    status, given = export(world, "after the check")
    assert (status, set(given.values())) == (0, good)


def test_half_the_objects_of_the_only_store_corrupted(world: FaultWorld, clips: dict[str, Path]) -> None:
    """No store has a good copy: it is archived again from the source that still lies on site; where that has gone it is
    said to be lost, and never given out."""
    world.min_copies = 1
    world.configure(stores="nas", keep="7d")
    by_hand, on_site, good = (f"{camera}/20260131_100000.mp4" for camera in ("by-hand", "gate", "lobby"))
    for name, clip in ((by_hand, "first"), (on_site, "second"), (good, "third")):
        world.leave(name, clips[clip])
    world.live("archive", "before")
    world.doing = "the only copies are corrupted"
    for camera in ("by-hand", "gate"):
        (rotten,) = (world.nas / "ho" / camera).rglob("*.mp4")
        damage(rotten)
    (world.footage / by_hand).unlink()  # somebody removed it
    damaged = world.look()
    assert world.live("repair", "that night")["prove nas"]["damaged"] == 2
    world.configure(stores="nas", keep="0d")
    for number in range(4):
        world.live("archive", f"after {number}", shift_s=3700.0 * number)
        world.live("repair", f"night {number}")
    facts = world.look()
    nothing_is_removed(damaged, facts)
    assert {one.source: one.lost for one in facts.recordings} == {by_hand: True, on_site: False, good: False}
    assert facts.there == {}, "released once its new copy was proven"
    put = world.put.pop(by_hand)
    check(world.look(), no_source_gone_without_proof, no_duplicate_object)
    _, given = export(world, "given")
    assert '"reason": "lost"' in (world.root / "given" / MANIFEST).read_text()
    proven = {one.rendition_sha256 for one in facts.recordings if one.source_sha256 != put}
    assert set(given.values()) == proven


@pytest.mark.parametrize("round_", range(3))
def test_two_schedulers_archive_the_same_site(round_: int, world: FaultWorld, clips: dict[str, Path]) -> None:
    """Two runs at once, and in one round the very same run twice: no double row, no double object."""
    world.doing = f"two schedulers, round {round_}"
    for number, clip in enumerate(("first", "second", "third")):
        world.leave(f"lobby/20260131_0{number}0000.mp4", clips[clip])
    names = ("run 1", "run 1" if round_ == 2 else "run 2")
    both = [world.life("archive", name, one_by_one=False) for name in names]
    ended = world.driver.live(*both)
    assert not [one.failed for one in ended if one.failed and "vms.errors" not in one.failed], ended
    check(world.look(), *ALWAYS)
    world.all_runs()
    check(world.look(), *AT_THE_END)


@pytest.mark.parametrize("way", ["purge", "copy", "repair"])
def test_two_schedulers_purge_copy_and_repair(way: str, make_world: MakeWorld) -> None:
    world = {"purge": with_expired, "copy": in_nas_only, "repair": broken}[way](make_world())
    before = world.look()
    world.doing = f"two schedulers, way {way}"
    lives = [world.life(way, name, one_by_one=False) for name in ("run 1", "run 2")]
    ended = world.driver.live(*lives)
    assert not [one.failed for one in ended if one.failed and "vms.errors" not in one.failed], ended
    world.live(way, "after")
    facts = world.look()
    check(facts, no_duplicate_object, row_and_object_agree)
    if way == "purge":
        check(facts, only_what_expired_is_purged, lineage_complete)
    else:
        nothing_is_removed(before, facts)
    assert [one.custody for one in facts.recordings].count("purged") == (EXPIRED if way == "purge" else 0)
