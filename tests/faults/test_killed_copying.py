"""Copying into a further store and repairing, killed anywhere: nothing is removed or overwritten, no object is there
twice, and after the next run row and object agree."""

from __future__ import annotations

import weed
from catalogue_world import opened
from facts import Facts
from fault_world import FaultWorld, MakeWorld, calm_points, killed
from integrity_world import an_archive, damage
from invariants import check, lineage_complete, no_duplicate_object, nothing_is_removed, row_and_object_agree
from purge_world import a_world
from vms.config import StoreConfig

COUNT = 3


def in_nas_only(world: FaultWorld) -> FaultWorld:
    with opened(world.owner_url) as conn:
        a_world(conn, world.root, [StoreConfig("nas", f"file://{world.nas}")]).archive(COUNT, 20)
    return world


def test_copy_killed_anywhere(seed: int, make_world: MakeWorld) -> None:
    calm_points("copy", lambda: in_nas_only(make_world()))
    world = in_nas_only(make_world())
    before = world.look()
    killed(world, "copy", seed)
    status = world.live("copy")
    assert status == 0, f"vms copy ended with {status} ({world.words()})"
    facts = world.look()
    check(facts, no_duplicate_object, row_and_object_agree, lineage_complete)
    nothing_is_removed(before, facts)
    assert len([key for store, key in facts.objects if store == "cloud"]) == 3 * COUNT, world.words()


def broken(world: FaultWorld) -> FaultWorld:
    """In two stores; in the NAS one is gone, one has other bytes and one is cut off, in the cloud one is gone."""
    stores = (
        StoreConfig("nas", f"file://{world.nas}"),
        StoreConfig("cloud", world.cloud_url, conn_id="cloud"),
    )
    with opened(world.owner_url) as conn:
        files = an_archive(conn, world.home, world.root, 4, stores=stores).files()
    files[0].unlink()
    damage(files[1])
    files[2].chmod(0o644)
    files[2].write_bytes(files[2].read_bytes()[:-100])
    keys = [key for key, _ in world.in_cloud()]
    world.bucket.delete_object(Bucket=weed.BUCKET, Key=f"{world.prefix}/{keys[3]}")
    return world


def test_repair_killed_anywhere(seed: int, make_world: MakeWorld) -> None:
    calm_points("repair", lambda: broken(make_world()))
    world = broken(make_world())
    before = world.look()

    def untouched(facts: Facts) -> None:
        nothing_is_removed(before, facts)

    # right after a kill an object may lie beside the damaged one that has no row yet
    killed(world, "repair", seed, rules=(untouched,))
    done = world.live("repair", "the next run")
    assert (done["repair"]["without"], done["repair"]["failed"]) == (0, 0), f"{done} ({world.words()})"
    facts = world.look()
    check(facts, no_duplicate_object, row_and_object_agree)
    nothing_is_removed(before, facts)
