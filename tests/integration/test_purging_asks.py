"""When purging stops and asks a person: a store that is not there, more than usual, a clock or catalogue gone back."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from catalogue_world import ask
from purge_world import PurgeWorld, apply, plan
from purge_world import world as world  # fixtures
from vms.catalogue import purge_plans
from vms.errors import CatalogueError, WrongStore
from vms.stores import open_store


def test_nothing_is_purged_from_an_empty_unmounted_or_other_store(world: PurgeWorld, tmp_path: Path) -> None:
    ids = world.archive(3, 210)
    made = plan(world)
    nas, away = tmp_path / "nas", tmp_path / "unplugged"
    for what in ("unmounted", "empty", "another"):
        nas.rename(away)
        if what != "unmounted":
            nas.mkdir()
        if what == "another":
            open_store("nas", world.stores["nas"].url).identify(None)
        found = plan(world)
        assert (found.state, found.copies, found.kept["store_away"]["copies"]) == ("waiting", 0, 3), what
        assert [alarm.kind for alarm in found.alarms] == ["store_wrong"]
        purge_plans.answer_plan(world.conn, found.plan_id, "approved", "owner", "test", world.now)
        apply(world, found.plan_id)
        shutil.rmtree(nas, ignore_errors=True)
        away.rename(nas)
        assert len(world.objects("nas")) == 9
    assert purge_plans.get_plan(world.conn, made.plan_id).state == "superseded"
    shutil.rmtree(nas / "ho")  # the identity is still there, the footage is not
    emptied = plan(world)
    assert [alarm.kind for alarm in emptied.alarms] == ["store_empty"]
    assert emptied.copies == 0
    assert world.custody(*ids) == [1, 1, 1]


def test_a_store_that_vanishes_after_the_plan_is_refused(world: PurgeWorld, tmp_path: Path) -> None:
    ids = world.archive(3, 210)
    made = plan(world)
    (tmp_path / "nas").rename(tmp_path / "unplugged")
    with pytest.raises(WrongStore, match="Nothing is purged"):
        apply(world, made.plan_id)
    (tmp_path / "unplugged").rename(tmp_path / "nas")
    assert len(world.objects("nas")) == 9
    apply(world, made.plan_id)
    assert world.custody(*ids) == [3, 3, 3]


def test_the_breaker_trips_and_approval_lets_exactly_that_plan_through(world: PurgeWorld) -> None:
    first, rest = world.archive(25, 190), world.archive(30, 20)
    tripped = plan(world)
    assert tripped.state == "waiting"
    assert [(alarm.kind, alarm.subject) for alarm in tripped.alarms] == [("share", "ho")]
    with pytest.raises(CatalogueError, match="is waiting and not applied"):
        apply(world, tripped.plan_id)
    assert world.custody(*first) == [1] * 25
    more = world.archive(1, 191)
    approved = purge_plans.answer_plan(world.conn, tripped.plan_id, "approved", "owner", "test", world.now)
    assert (approved.state, approved.answered_by) == ("ready", "owner")
    apply(world, tripped.plan_id)
    assert world.custody(*first) == [3] * 25
    assert set(world.custody(*rest, *more)) == {1}


def test_silence_and_rejection_mean_no(world: PurgeWorld) -> None:
    world.archive(25, 190)
    asked = plan(world)
    with pytest.raises(CatalogueError, match="waited for an answer until"):
        purge_plans.answer_plan(
            world.conn, asked.plan_id, "approved", "owner", "test", world.now + timedelta(days=3, seconds=1)
        )
    refused = purge_plans.answer_plan(world.conn, asked.plan_id, "rejected", "owner", "test", world.now)
    assert refused.state == "rejected"
    with pytest.raises(CatalogueError, match="can't be approved"):
        purge_plans.answer_plan(world.conn, asked.plan_id, "approved", "owner", "test", world.now)
    with pytest.raises(CatalogueError, match="is rejected"):
        apply(world, asked.plan_id)
    assert len(world.objects("nas")) == 75


def test_unusual_bytes_and_a_jumped_clock_are_asked_about(world: PurgeWorld) -> None:
    world.archive(3, 190)
    world.policy(max_bytes=10)
    assert [alarm.kind for alarm in plan(world).alarms] == ["bytes"]
    world.policy(max_bytes=10**12)
    assert plan(world).alarms == ()
    world.now += timedelta(days=365)
    assert [alarm.kind for alarm in plan(world).alarms] == ["clock"]
    world.archive(1, 0.01)  # new footage arrives under the wrong clock: the year without any tells all the same
    assert "clock" in [alarm.kind for alarm in plan(world).alarms]
    world.now -= timedelta(days=365)
    assert "clock" in [alarm.kind for alarm in plan(world).alarms]


def test_a_catalogue_older_than_its_objects_is_asked_about(world: PurgeWorld, tmp_path: Path) -> None:
    world.archive(3, 190)
    recent = world.archive(4, 0.5)
    for file in (tmp_path / "nas").rglob("*.*"):
        os.utime(file, (world.now.timestamp() - 8 * 3600,) * 2)
    assert plan(world).alarms == ()
    with world.conn, world.conn.cursor() as cursor:  # as a dump from before these were archived would have it
        for table in ("copy", "recording_source", "recording"):
            cursor.execute(f"DELETE FROM {table} WHERE recording_id = ANY(%s)", (recent,))  # noqa: S608
    assert [alarm.kind for alarm in plan(world).alarms] == ["catalogue_old"]


@pytest.mark.parametrize("off_days", [3, 7])
def test_a_catalogue_restored_after_days_without_work_is_asked_about(
    world: PurgeWorld, tmp_path: Path, off_days: int
) -> None:
    """The dump was a day old when the centre broke down, and it took days until it stood again."""
    world.archive(3, 190)
    for days in range(off_days + 1, off_days + 5):
        world.archive(6, days + 0.2)
    unknown = [one for (one,) in ask(world.conn, "SELECT recording_id FROM recording WHERE start_at > %s",
                                     world.now - timedelta(days=off_days + 1.5))]  # fmt: skip
    for file in (tmp_path / "nas").rglob("*.*"):
        os.utime(file, (world.now.timestamp() - 8 * 3600,) * 2)
    assert plan(world).alarms == ()
    with world.conn, world.conn.cursor() as cursor:
        for table in ("copy", "recording_source", "recording"):
            cursor.execute(f"DELETE FROM {table} WHERE recording_id = ANY(%s)", (unknown,))  # noqa: S608
    (alarm,) = plan(world).alarms
    assert alarm.kind == "catalogue_old"
    assert f"looked at of {world.now - timedelta(days=off_days + 1.2):%Y-%m-%d}" in alarm.message
    world.config = replace(world.config, backup=replace(world.config.backup, keep=timedelta(days=off_days - 1)))
    assert plan(world).alarms == (), "no backup reaches back so far"
