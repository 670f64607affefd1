"""What purging leaves: footage under a hold, here and in the bucket itself; and what was purged brought back."""

from __future__ import annotations

import secrets
from datetime import timedelta
from pathlib import Path

import psycopg2
import pytest

import weed
from catalogue_world import ask, events, opened
from purge_world import PurgeWorld, a_world, apply, plan
from purge_world import world as world  # fixtures
from vms.catalogue import holds
from vms.config import StoreConfig
from vms.errors import CatalogueError
from vms.hold_stores import hold_in_stores
from vms.home import Home
from vms.purge import finish
from vms.purge_undo import undo
from vms.stores import open_store
from vms.stores.lifecycle import HasLifecycle


def test_a_held_minute_survives_whoever_asks(world: PurgeWorld) -> None:
    ids = world.archive(4, 210)
    ((start,),) = ask(world.conn, "SELECT start_at FROM recording WHERE recording_id = %s", ids[1])
    begin = start + timedelta(seconds=299)
    hold = holds.add_hold(world.conn, [("ho", "lobby")], begin, begin + timedelta(seconds=1), "theft", "hr", world.now)
    made = plan(world)
    assert (made.copies, made.kept["held"]["copies"], made.held) == (3, 1, {str(hold): 1})
    apply(world, made.plan_id)
    assert world.custody(*ids) == [3, 1, 3, 3]
    assert world.objects("nas") == world.keys_of(ids[1])
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="under a hold"), world.conn.cursor() as cursor:
        cursor.execute("UPDATE copy SET state = 1 WHERE recording_id = %s", (ids[1],))
    (row,) = holds.list_holds(world.conn)
    assert (row.recordings, row.cameras) == (1, (("ho", "lobby"),))

    holds.release_hold(world.conn, hold, "hr", "case closed", world.now)
    apply(world, plan(world).plan_id)
    assert world.custody(ids[1]) == [3]
    with pytest.raises(CatalogueError, match="was released by hr"):
        holds.release_hold(world.conn, hold, "hr", "again", world.now)


def test_a_hold_between_plan_and_apply_counts_and_several_overlap(world: PurgeWorld) -> None:
    ids = world.archive(3, 210)
    made = plan(world)
    week = (world.now - timedelta(days=211), world.now - timedelta(days=205))
    first = holds.add_hold(world.conn, [("ho", "")], *week, "police", "owner", world.now)
    second = holds.add_hold(world.conn, [("ho", "lobby")], *week, "insurance", "owner", world.now)
    done = apply(world, made.plan_id)
    assert done.outcome["held"] == 3
    assert world.custody(*ids) == [1, 1, 1]
    holds.release_hold(world.conn, first, "owner", "not needed", world.now)
    assert plan(world).copies == 0
    late = world.archive(1, 210.01)
    assert plan(world).kept["held"]["copies"] == 4, late
    holds.release_hold(world.conn, second, "owner", "paid", world.now)
    assert plan(world).copies == 4


def test_holds_can_only_be_released(world: PurgeWorld) -> None:
    world.archive(1, 10)
    hold = holds.add_hold(world.conn, [("ho", "lobby")], world.now - timedelta(days=20), world.now, "x", "y", world.now)
    for statement in (
        "DELETE FROM hold",
        "UPDATE hold SET to_at = from_at + interval '1 s'",
        "TRUNCATE hold CASCADE",
        "DELETE FROM hold_scope",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege), world.conn.cursor() as cursor:
            cursor.execute(statement)
    with pytest.raises(CatalogueError, match="reason"):
        holds.release_hold(world.conn, hold, "y", " ", world.now)
    with pytest.raises(CatalogueError, match="no camera attic"):
        holds.add_hold(world.conn, [("ho", "attic")], world.now - timedelta(1), world.now, "x", "y", world.now)
    assert len(holds.list_holds(world.conn)) == 1


def test_what_was_purged_can_be_brought_back_and_is_held_then(world: PurgeWorld) -> None:
    ids = world.archive(3, 210)
    before = world.objects("nas")
    made = plan(world)
    apply(world, made.plan_id)
    assert world.objects("nas") == set()

    one = undo(world.conn, plan_id=None, recording_id=ids[1], who="owner", now=world.now)
    assert (one.back, one.lost) == (1, 0)
    assert world.custody(*ids) == [3, 1, 3]
    rest = undo(world.conn, plan_id=made.plan_id, recording_id=None, who="owner", now=world.now)
    assert (rest.back, rest.lost) == (2, 0)
    assert world.objects("nas") == before
    assert world.custody(*ids) == [1, 1, 1]
    assert events(world.conn, ids[0])[-1] == "purge_undone"
    assert ask(world.conn, "SELECT sum(archived), sum(purged) FROM camera_day") == [(3, 0)]
    again = plan(world)
    assert (again.copies, again.kept["held"]["copies"]) == (0, 3)

    for hold in holds.list_holds(world.conn):
        holds.release_hold(world.conn, hold.hold_id, "owner", "seen", world.now)
    gone = plan(world)
    apply(world, gone.plan_id)
    world.now += timedelta(days=9)
    finish(world.conn, world.config, gone.plan_id, world.now)
    late = undo(world.conn, plan_id=gone.plan_id, recording_id=None, who="owner", now=world.now)
    assert (late.back, late.lost, late.hold_id) == (0, 3, 0)
    assert [hold for hold in holds.list_holds(world.conn) if hold.released_at is None] == []


@pytest.fixture
def locked(s3_server: weed.S3Server, monkeypatch: pytest.MonkeyPatch) -> StoreConfig:
    """A store in a bucket that was made with object lock."""
    monkeypatch.setenv("AIRFLOW_CONN_OFFICE_S3", weed.connection_text(s3_server.endpoint))
    bucket = f"locked-{secrets.token_hex(6)}"
    s3_server.client().create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    return StoreConfig("cloud", f"s3://{bucket}/cctv", "office_s3")


def test_a_bucket_with_object_lock_holds_brings_back_and_expires_by_itself(
    catalogue: tuple[Home, str], tmp_path: Path, locked: StoreConfig, s3_server: weed.S3Server
) -> None:
    bucket = locked.url.split("/")[2]
    with opened(catalogue[1]) as conn:
        world = a_world(conn, tmp_path, [locked])
        world.steady()
        ids = world.archive(2, 210)
        ((start,),) = ask(conn, "SELECT start_at FROM recording WHERE recording_id = %s", ids[0])
        hold = holds.add_hold(conn, [("ho", "lobby")], start, start + timedelta(minutes=1), "x", "y", world.now)
        done = hold_in_stores(conn, world.now)
        assert (done.on, done.failed, done.why) == (1, 0, ())
        (film,) = [key for key in world.keys_of(ids[0]) if key.endswith(".mp4")]
        shown = s3_server.client().head_object(Bucket=bucket, Key=f"cctv/{film}")
        assert shown["ObjectLockLegalHoldStatus"] == "ON"
        assert holds.list_holds(conn)[0].in_stores == 1

        made = plan(world)
        apply(world, made.plan_id)
        assert world.custody(*ids) == [1, 3]
        back = undo(conn, plan_id=made.plan_id, recording_id=None, who="owner", now=world.now)
        assert (back.back, back.lost) == (1, 0)
        assert world.objects("cloud") == world.keys_of(*ids)

        holds.release_hold(conn, hold, "y", "closed", world.now)
        holds.release_hold(conn, back.hold_id, "y", "seen", world.now)
        assert hold_in_stores(conn, world.now).off == 1
        assert hold_in_stores(conn, world.now) == hold_in_stores(conn, world.now)
        shown = s3_server.client().head_object(Bucket=bucket, Key=f"cctv/{film}")
        assert shown.get("ObjectLockLegalHoldStatus", "OFF") == "OFF"

        store = world.stores["cloud"]
        assert isinstance(store, HasLifecycle)
        rules = store.lifecycle({"ho": 210}, 7)
        assert rules.refused == ""
        store.write_lifecycle(rules)
        store.write_lifecycle(rules)
        written = s3_server.client().get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        assert {rule["ID"] for rule in written} == {"vms-expire-ho", "vms-parts", "vms-old-versions"}


def test_a_bucket_without_holds_gets_no_expiry(s3_server: weed.S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OFFICE_S3", weed.connection_text(s3_server.endpoint))
    store = open_store("cloud", f"s3://{weed.BUCKET}/x", conn_id="office_s3")
    assert isinstance(store, HasLifecycle)
    rules = store.lifecycle({"ho": 210}, 7)
    assert "could delete what is under a hold" in rules.refused
    assert [rule["ID"] for rule in rules.rules] == ["vms-parts"]


def test_a_hold_waits_for_the_batch_that_is_being_purged(world: PurgeWorld, catalogue: tuple[Home, str]) -> None:
    world.archive(1, 210)
    span = (world.now - timedelta(days=211), world.now)
    with opened(catalogue[1]) as other:
        with other.cursor() as cursor:
            cursor.execute("SET lock_timeout = '200ms'")
        with holds.while_purging(world.conn), pytest.raises(psycopg2.errors.LockNotAvailable):
            holds.add_hold(other, [("ho", "lobby")], *span, "theft", "hr", world.now)
        assert holds.add_hold(other, [("ho", "lobby")], *span, "theft", "hr", world.now)
