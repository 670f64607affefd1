"""Invariant 7: what has expired goes, in two phases, and nothing else: not what is held, nor from a store in doubt."""

from __future__ import annotations

import hashlib
import secrets
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

import weed
from catalogue_world import ask, events, opened, picture
from purge_world import PURGE_RUN, PurgeWorld, a_world, apply, plan
from purge_world import world as world  # fixtures
from vms import purge
from vms.catalogue import dead_months, expired, holds, purge_facts, purge_plans
from vms.catalogue.expired import older_than
from vms.catalogue.lost import note_stray_object
from vms.config import CameraConfig, StoreConfig
from vms.errors import ConfigError, StoreError
from vms.home import Home
from vms.proofs import gather
from vms.purge import apply_in_store, prove


def test_what_has_expired_goes_and_its_plan_lineage_and_days_tell_of_it(world: PurgeWorld) -> None:
    old, young = world.archive(3, 210), world.archive(2, 20)
    old_keys, young_keys = world.keys_of(*old), world.keys_of(*young)
    made = plan(world)
    assert (made.state, made.recordings, made.copies) == ("ready", 3, 3)
    assert made.alarms == ()
    assert made.per_site["ho"]["recordings"] == 3
    assert world.objects("nas") == old_keys | young_keys

    done = apply(world, made.plan_id)

    assert done.state == "done"
    assert done.outcome == {"gone": 3, "bytes": made.bytes}
    assert world.objects("nas") == young_keys
    assert world.custody(*old) == [3, 3, 3]
    assert world.custody(*young) == [1, 1]
    assert events(world.conn, old[0])[-2:] == ["purge_marked", "purged"]
    days = ask(world.conn, "SELECT sum(archived), sum(purged), sum(secs) FROM camera_day")
    assert days[0][:2] == (2, 3)
    assert days[0][2] == 600 - 1
    assert prove(world.conn, made.plan_id) == []


def test_a_damaged_object_beside_its_repaired_copy_goes_with_it_and_not_before_nor_under_a_hold(
    world: PurgeWorld, tmp_path: Path
) -> None:
    old, held, young = world.archive(1, 210)[0], world.archive(1, 211, camera="gate")[0], world.archive(1, 20)[0]
    with world.conn.cursor() as cursor:
        cursor.execute("SELECT recording_id, key FROM copy WHERE part = 0")
        damaged = dict(cursor.fetchall())
        for number, key in damaged.items():
            good = key.replace(".mp4", ".r1.mp4")
            (tmp_path / "good").write_bytes(b"good")
            digest = hashlib.sha256(b"good").hexdigest()
            world.stores["nas"].put(tmp_path / "good", good, sha256=digest, size_bytes=4)
            cursor.execute("UPDATE copy SET key = %s WHERE recording_id = %s AND part = 0", (good, number))
            note_stray_object(cursor, 1, key, "damaged", 5, "repaired", world.now)
        note_stray_object(cursor, 1, "foreign/thing.txt", "foreign", 5, "", world.now)
    start = ask(world.conn, "SELECT start_at FROM recording WHERE recording_id = %s", held)[0][0]
    holds.add_hold(world.conn, [("ho", "gate")], start, start + timedelta(seconds=1), "theft", "hr", world.now)

    apply(world, plan(world).plan_id)

    assert world.custody(old, held, young) == [3, 1, 1]
    assert world.objects("nas") & set(damaged.values()) == {damaged[held], damaged[young]}
    assert ask(world.conn, "SELECT key FROM stray_object ORDER BY key") == sorted(
        [("foreign/thing.txt",), (damaged[held],), (damaged[young],)]
    )
    assert events(world.conn, old)[-2:] == ["purged", "copy_purged"]

    holds.release_hold(world.conn, 1, "hr", "solved", world.now)
    (tmp_path / "again").write_bytes(b"spoilt")  # as if a store had kept it until now, and a hold has come since
    digest = hashlib.sha256(b"spoilt").hexdigest()
    world.stores["nas"].put(tmp_path / "again", damaged[old], sha256=digest, size_bytes=6)
    with world.conn.cursor() as cursor:
        note_stray_object(cursor, 1, damaged[old], "damaged", 6, "repaired", world.now)
    start = ask(world.conn, "SELECT start_at FROM recording WHERE recording_id = %s", old)[0][0]
    holds.add_hold(world.conn, [("ho", "lobby")], start, start + timedelta(seconds=1), "theft", "hr", world.now)
    made = plan(world)
    assert made.recordings == 1
    for store in purge_facts.stores_of_plan(world.conn, made.plan_id):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(purge, "close_leftover", stop)
            with pytest.raises(KeyboardInterrupt):
                apply_in_store(world.conn, world.config, made.plan_id, store, PURGE_RUN, world.now)
    assert damaged[held] not in world.objects("nas")
    assert damaged[held] in {key for (key,) in ask(world.conn, "SELECT key FROM stray_object")}
    apply(world, made.plan_id)
    assert world.objects("nas") == world.keys_of(young) | {damaged[young], damaged[old]}
    assert damaged[held] not in {key for (key,) in ask(world.conn, "SELECT key FROM stray_object")}


def stop(*_: object) -> None:
    """As a kill at this instruction."""
    raise KeyboardInterrupt


def test_applying_again_and_planning_again_change_nothing(world: PurgeWorld) -> None:
    world.archive(3, 210)
    made = plan(world)
    apply(world, made.plan_id)
    before = picture(world.conn)
    again = apply(world, made.plan_id)
    assert (again.state, again.outcome["gone"]) == ("done", 3)
    assert picture(world.conn) == before
    nothing = plan(world)
    assert (nothing.state, nothing.copies) == ("ready", 0)
    apply(world, nothing.plan_id)
    assert picture(world.conn) == before


def test_age_counts_from_the_end_and_for_suspect_clocks_from_arrival(world: PurgeWorld) -> None:
    (due,) = world.archive(1, 180.01)
    (ends_later,) = world.archive(1, 180.001, "gate")
    (guessed,) = world.archive(1, 200, basis="mtime", arrived=world.now - timedelta(days=100))
    (guessed_due,) = world.archive(1, 250, basis="mtime", arrived=world.now - timedelta(days=190))
    apply(world, plan(world).plan_id)
    assert world.custody(due, ends_later, guessed, guessed_due) == [3, 1, 1, 3]


def test_a_camera_a_store_and_the_site_each_have_their_time(catalogue: tuple[Home, str], tmp_path: Path) -> None:
    nas = StoreConfig("nas", f"file://{tmp_path}/nas", retention=timedelta(days=30))
    vault = StoreConfig("vault", f"file://{tmp_path}/vault")
    with opened(catalogue[1]) as conn:
        world = a_world(conn, tmp_path, [nas, vault])
        world.steady()
        gate = CameraConfig("gate", "Gate", "gate", retention=timedelta(days=14))
        world.configure(cameras=(world.site.cameras[0], gate))
        old, middle, young = world.archive(2, 200), world.archive(2, 40), world.archive(2, 10)
        short = world.archive(2, 15, "gate")
        made = plan(world)
        assert made.recordings == 4
        assert {name: one["copies"] for name, one in made.per_store.items()} == {"nas": 6, "vault": 4}
        apply(world, made.plan_id)
        assert world.objects("nas") == world.keys_of(*young)
        assert world.objects("vault") == world.keys_of(*young, *middle)
        assert world.custody(*old, *middle, *young, *short) == [3, 3, 1, 1, 1, 1, 3, 3]
        assert events(conn, middle[0])[-1] == "copy_purged"


def test_a_store_s_shorter_time_never_takes_the_only_copy(catalogue: tuple[Home, str], tmp_path: Path) -> None:
    nas = StoreConfig("nas", f"file://{tmp_path}/nas", retention=timedelta(days=30))
    with opened(catalogue[1]) as conn:
        world = a_world(conn, tmp_path, [nas])
        world.steady()
        world.archive(2, 40)
        made = plan(world)
        assert (made.copies, made.kept["only_copy"]["copies"]) == (0, 2)


def test_what_was_too_old_when_it_arrived_is_not_purged_unasked(world: PurgeWorld) -> None:
    late = world.archive(2, 210, arrived=world.now - timedelta(hours=1))
    made = plan(world)
    assert (made.copies, made.kept["late"]["copies"]) == (0, 2)
    world.now += timedelta(days=31)
    world.steady()
    assert plan(world).copies == 2
    world.now -= timedelta(days=31)
    asked = plan(world, late=True)
    assert asked.state == "waiting"  # the clock seems to have been set back
    purge_plans.answer_plan(world.conn, asked.plan_id, "approved", "owner", "test", world.now)
    apply(world, asked.plan_id)
    assert world.custody(*late) == [3, 3]


def test_what_may_have_expired_is_read_page_by_page_whole_and_once(
    catalogue: tuple[Home, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two stores with bounds of their own, and cameras whose recordings start at the same moments."""
    stores = [StoreConfig(name, f"file://{tmp_path}/{name}") for name in ("nas", "san")]
    with opened(catalogue[1]) as conn:
        world = a_world(conn, tmp_path, stores)
        ids = sorted(world.archive(5, 210) + world.archive(5, 210, "gate") + world.archive(3, 100))
        world.archive(2, 10)
        only_in_san = ids[0]
        ask(conn, "UPDATE copy SET state = 2 WHERE recording_id = %s AND store_id = 1 RETURNING 1", only_in_san)
        bounds = {1: world.now - timedelta(days=50), 2: world.now - timedelta(days=200)}
        for page in (5000, 3, 2, 1):
            monkeypatch.setattr(expired, "_PAGE", page)
            with conn:
                found = [(one.recorded.start_utc, one.recorded.recording_id) for one in older_than(conn, bounds)]
            assert found == sorted(found)
            assert sorted(one for _, one in found) == ids, page
        assert list(older_than(conn, {})) == []


def test_without_a_rule_nothing_goes(world: PurgeWorld) -> None:
    world.archive(3, 400)
    world.config = replace(world.config, sites=(replace(world.site, id="another"),))
    made = plan(world)
    assert (made.copies, made.kept["no_rule"]["copies"]) == (0, 3)
    from vms.config import SiteError

    world.config = replace(world.config, errors=(SiteError("", "sites.yaml:1:1: defaults: wrong"),))
    with pytest.raises(ConfigError, match="Nothing is purged while"):
        plan(world)


KILLED = """
    import os, sys
    sys.path[:0] = {path!r}
    from pathlib import Path
    import purge_world, vms.purge
    from catalogue_world import opened
    from vms.catalogue import purge_facts, purging
    from vms.config import StoreConfig

    def die(*given):
        if given[4 if {when!r} == "marked" else 3]:  # there is something marked
            os.kill(os.getpid(), 9)
        return 0

    with opened({url!r}) as conn:
        world = purge_world.a_world(conn, Path({folder!r}), [StoreConfig("nas", "file://" + {folder!r} + "/nas")])
        if {when!r} == "marked":
            vms.purge._delete = die
        else:
            vms.purge.close = die
        for store in purge_facts.stores_of_plan(conn, {plan}):
            vms.purge.apply_in_store(conn, world.config, {plan}, store, purge_world.PURGE_RUN, world.now)
"""


@pytest.mark.parametrize("when", ["marked", "deleted"])
@pytest.mark.parametrize("held", [False, True])
def test_a_kill_between_the_phases_is_finished_by_the_next_run(
    world: PurgeWorld, catalogue: tuple[Home, str], tmp_path: Path, when: str, held: bool
) -> None:
    ids = world.archive(4, 210)
    made = plan(world)
    script = KILLED.format(path=sys.path, url=catalogue[1], folder=str(tmp_path), plan=made.plan_id, when=when)
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert ask(world.conn, "SELECT DISTINCT state FROM copy") == [(1,)]
    assert len(world.objects("nas")) == (12 if when == "marked" else 0)
    if held:
        holds.add_hold(world.conn, [("ho", "")], world.now - timedelta(300), world.now, "x", "y", world.now)

    done = apply(world, plan(world).plan_id)

    survived = held and when == "marked"
    assert done.state == "done"
    assert world.custody(*ids) == [1 if survived else 3] * 4
    assert ask(world.conn, "SELECT DISTINCT state FROM copy") == [(0 if survived else 2,)]
    assert len(world.objects("nas")) == (12 if survived else 0)
    told = events(world.conn, ids[0])
    assert told.count("purge_marked") == 1
    assert told.count("purged") == (0 if survived else 1)
    first = purge_plans.get_plan(world.conn, made.plan_id)
    assert (first.state, first.outcome["held" if survived else "gone"]) == ("done", 4)


def test_buckets_purge_too(
    catalogue: tuple[Home, str], tmp_path: Path, s3_server: weed.S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OFFICE_S3", weed.connection_text(s3_server.endpoint))
    cloud = StoreConfig("cloud", f"s3://{weed.BUCKET}/{secrets.token_hex(8)}", "office_s3")
    nas = StoreConfig("nas", f"file://{tmp_path}/nas")
    with opened(catalogue[1]) as conn:
        world = a_world(conn, tmp_path, [nas, cloud])
        world.steady()
        old, young = world.archive(4, 210), world.archive(1, 20)
        ((start,),) = ask(conn, "SELECT start_at FROM recording WHERE recording_id = %s", old[2])
        holds.add_hold(conn, [("ho", "lobby")], start, start + timedelta(minutes=1), "theft", "hr", world.now)
        made = plan(world)
        assert (made.recordings, made.copies) == (3, 6)
        apply(world, made.plan_id)
        for name in ("nas", "cloud"):
            assert world.objects(name) == world.keys_of(old[2], *young, store=name)
        assert world.custody(*old, *young) == [3, 3, 1, 3, 1]
        assert prove(conn, made.plan_id) == []


def test_a_store_that_refuses_keeps_its_copy_and_says_so(world: PurgeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = world.archive(2, 210)
    made = plan(world)
    stubborn = world.keys_of(ids[0])
    from vms.stores.file import FileStore

    take = FileStore.set_aside
    monkeypatch.setattr(
        FileStore, "set_aside", lambda self, keys: take(self, [one for one in keys if one not in stubborn])
    )
    done = apply(world, made.plan_id)
    assert done.outcome["refused"] == 1
    assert world.custody(*ids) == [1, 3]
    assert events(world.conn, ids[0])[-1] == "purge_refused"
    monkeypatch.setattr(FileStore, "set_aside", take)
    apply(world, plan(world).plan_id)
    assert world.custody(*ids) == [3, 3]
    with pytest.raises(StoreError):
        world.stores["nas"].delete(["../x"])


def test_a_month_goes_when_nothing_in_it_lives(world: PurgeWorld) -> None:
    old = world.archive(2, 700)
    held = world.archive(1, 760)
    ((start,),) = ask(world.conn, "SELECT start_at FROM recording WHERE recording_id = %s", held[0])
    holds.add_hold(world.conn, [("ho", "")], start, start + timedelta(1), "x", "y", world.now)
    apply(world, plan(world).plan_id)
    assert world.custody(*old, *held) == [3, 3, 1]
    later = world.now + timedelta(days=400)
    ((month,),) = ask(world.conn, "SELECT to_char(start_at, 'YYYY-MM') FROM recording WHERE recording_id = %s", old[0])
    assert month not in dead_months.drop_dead_months(world.conn, later)  # its source files may still lie there
    ask(world.conn, "UPDATE recording_source SET released_at = now() RETURNING 1")
    assert month not in dead_months.drop_dead_months(world.conn, world.now)
    dropped = dead_months.drop_dead_months(world.conn, later)
    assert month in dropped
    assert f"{start:%Y-%m}" not in dropped
    assert ask(world.conn, "SELECT recording_id FROM recording") == [(held[0],)]
    assert events(world.conn, old[0])[-1] == "purged"


def test_the_proof_tells_what_is_kept_and_what_was_broken(world: PurgeWorld) -> None:
    world.archive(2, 210)
    world.archive(2, 100)
    world.archive(2, 1)
    world.archive(1, 30, "gate")
    apply(world, plan(world).plan_id)
    proofs, (store,) = gather(world.conn, world.config)
    found = {one.camera: one for one in proofs}
    assert (found["lobby"].state, found["gate"].state) == ("met", "filling")
    assert found["lobby"].achieved_days in (99, 100, 101)
    assert store.room is not None
    assert store.full_on is None
    world.configure(retention=timedelta(days=60))
    apply(world, plan(world).plan_id)
    world.configure(retention=timedelta(days=180))
    proofs, _ = gather(world.conn, world.config)
    assert {one.camera: one.state for one in proofs} == {"lobby": "broken", "gate": "filling"}
