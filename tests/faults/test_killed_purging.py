"""Purging in two phases, killed anywhere: no hold is purged, nothing goes that had not expired, and after the next run
row and object agree. In some seeds the hold is made between two lives, when half is marked already."""

from __future__ import annotations

from datetime import timedelta

from catalogue_world import opened
from facts import LIVE
from fault_world import FaultWorld, MakeWorld, calm_points, killed
from invariants import check, lineage_complete, no_hold_purged, only_what_expired_is_purged, row_and_object_agree
from purge_world import a_world
from vms.catalogue import holds
from vms.config import StoreConfig

EXPIRED, YOUNG = 4, 2


def filled(world: FaultWorld) -> FaultWorld:
    stores = [
        StoreConfig("nas", f"file://{world.nas}"),
        StoreConfig("cloud", world.cloud_url, conn_id="cloud"),
    ]
    with opened(world.owner_url) as conn:
        made = a_world(conn, world.root, stores)
        made.steady()
        made.archive(EXPIRED, 210)
        made.archive(YOUNG, 20, "young")
    return world


def hold(world: FaultWorld) -> None:
    """Hold the newest of the expired ones, which goes last, whatever a killed life has done to it."""
    with opened(world.owner_url) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT start_at, now() FROM recording ORDER BY start_at LIMIT 1 OFFSET %s", (EXPIRED - 1,))
        ((start, now),) = cursor.fetchall()
        holds.add_hold(conn, [("ho", "lobby")], start, start + timedelta(seconds=9), "theft", "hr", now)
        cursor.execute("SELECT recording_id FROM recording WHERE start_at = %s", (start,))
        ((number,),) = cursor.fetchall()
    facts = world.look()
    there = {(copy.store, copy.key) for copy in facts.copies_of(number)} & facts.objects.keys()
    world.held = {place: facts.objects[place] for place in there}


def test_purge_killed_anywhere(seed: int, make_world: MakeWorld) -> None:
    calm_points("purge", lambda: filled(make_world()))
    world = filled(make_world())
    if seed % 3 == 0:
        hold(world)

    def between(number: int) -> None:
        if seed % 3 and number == 0:
            hold(world)
        check(world.look(), no_hold_purged, only_what_expired_is_purged)

    killed(world, "purge", seed, between)
    ended = world.live("purge", "the next run")
    assert ended["state"] == "done", f"{ended} ({world.words()})"
    assert ended["wrong"] == [], f"{ended} ({world.words()})"
    facts = world.look()
    check(facts, no_hold_purged, only_what_expired_is_purged, row_and_object_agree, lineage_complete)
    footage = [copy for copy in facts.copies if copy.part == "rendition" and (copy.store, copy.key) in world.held]
    held = {copy.recording_id for copy in footage if copy.state == LIVE}
    purged = [one for one in facts.recordings if one.custody == "purged"]
    assert len(purged) == EXPIRED - len(held), f"of {EXPIRED} expired and {len(held)} held ({world.words()})"
