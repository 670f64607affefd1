"""The catalogue goes away in mid-run, is that of yesterday, or lets nobody in: nothing is lost, nothing done twice."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg2
import pytest

from fault_world import FaultWorld, MakeWorld
from invariants import (
    ALWAYS,
    AT_THE_END,
    check,
    every_file_accounted_for,
    no_duplicate_object,
    no_source_gone_without_proof,
    nothing_is_removed,
    row_and_object_agree,
)
from test_killed_purging import EXPIRED
from test_killed_purging import filled as with_expired
from vms.backups import make_backup
from vms.restoring import restore


@contextmanager
def meanwhile(world: FaultWorld, act: Callable[[], None]):
    """While the block lives a life that waits at a point, act once it is there."""
    waits = world.root / "waits"
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            if waits.exists():
                act()
                waits.unlink()
                return
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
    assert not waits.exists()


@pytest.mark.parametrize("point", ["plan: before commit", "record: before commit", "verdict: before commit"])
def test_postgres_restarted_in_mid_run(
    point: str, world: FaultWorld, clips: dict[str, Path], crash_postgres: Callable[[], None]
) -> None:
    world.leave("lobby/20260131_235958.mp4", clips["first"])
    world.leave("gate/20260131_100000.mp4", clips["second"])
    world.doing = f"Postgres crashed at {point}"
    with meanwhile(world, crash_postgres):
        (ended,) = world.driver.live(world.life("archive", wait_at=point))
    assert "OperationalError" in ended.failed or "InterfaceError" in ended.failed, ended
    check(world.look(), *ALWAYS)
    assert world.live("archive")["unfinished"] == []  # the task that failed is tried again
    world.all_runs()
    check(world.look(), *AT_THE_END)


def test_postgres_restarted_in_mid_purge(make_world: MakeWorld, crash_postgres: Callable[[], None]) -> None:
    world = with_expired(make_world())
    world.doing = "Postgres crashed while objects were deleted"
    with meanwhile(world, crash_postgres):
        (ended,) = world.driver.live(world.life("purge", wait_at="apply cloud: http.client.send"))
    assert ended.failed, ended
    assert world.live("purge")["state"] == "done"
    facts = world.look()
    check(facts, row_and_object_agree)
    assert [one.custody for one in facts.recordings].count("purged") == EXPIRED


def test_out_of_connections(world: FaultWorld, clips: dict[str, Path]) -> None:
    world.leave("lobby/20260131_235958.mp4", clips["first"])
    world.doing = "the catalogue had no connection left"
    with ExitStack() as taken:

        def take_all() -> None:
            with suppress(psycopg2.OperationalError):
                while True:
                    taken.enter_context(closing(psycopg2.connect(world.owner_url)))

        with meanwhile(world, take_all):
            (ended,) = world.driver.live(world.life("archive", wait_at="record: connect to the catalogue"))
        assert "CatalogueError: The catalogue does not answer" in ended.failed
        assert "Look at ./vms status" in ended.failed
        (still,) = world.driver.live(world.life("archive"))
        assert "CatalogueError" in still.failed
    check(world.look(), *ALWAYS)
    assert [one.custody for one in world.look().recordings] == ["planned"]
    world.live("archive")
    world.all_runs()
    check(world.look(), *AT_THE_END)


def test_restored_from_yesterday(world: FaultWorld, clips: dict[str, Path]) -> None:
    """Two files archived and released, the dump, then two more archived, one of them released. After the restore
    nothing goes before somebody has said so, and the stores give back what the dump does not know."""
    world.min_copies = 1
    world.configure(stores="nas")
    today = datetime.now(ZoneInfo("Asia/Jakarta"))

    def leave(camera: str, hours_ago: float, clip: str) -> str:
        name = f"{camera}/{today - timedelta(hours=hours_ago):%Y%m%d_%H%M%S}.mp4"
        world.leave(name, clips[clip])
        return name

    leave("lobby", 9, "first")
    leave("gate", 9, "second")
    world.all_runs("yesterday")
    made = make_backup(world.home, world.owner_url, datetime.now(UTC))

    leave("lobby", 8, "third")
    world.all_runs("today")
    world.configure(stores="nas", keep="30d")
    stays = leave("gate", 8, "fourth")
    world.live("archive", "the last")
    full = world.look()
    check(full, *AT_THE_END)
    restore(world.home, world.home.backups / made.dump_name, datetime.now(UTC), lambda _what, _part: None, replace=True)
    world.doing = "restored from yesterday"
    assert len(world.look().recordings) == 2

    for path in world.nas.rglob("*.*"):
        if path.is_file():
            os.utime(path, (time.time() - 7 * 3600,) * 2)
    purge = world.live("purge", "tonight")
    assert (purge["state"], purge["alarms"]) == ("waiting", ["catalogue_old"])
    world.all_runs("after")  # what still lies on site is found in the store, and not sent again
    nothing_is_removed(full, world.look())
    for path in world.nas.rglob("*.*"):
        if path.is_file():
            os.utime(path, (time.time() - 3 * 24 * 3600,) * 2)
    world.live("repair", "that night")
    world.live("archive", "a week later", shift_s=8 * 24 * 3600.0)  # then at the latest a look shows again all there is
    facts = world.look()
    nothing_is_removed(full, facts)
    check(facts, no_source_gone_without_proof, no_duplicate_object, every_file_accounted_for, row_and_object_agree)
    assert {one.source for one in facts.recordings} == {one.source for one in full.recordings}
    assert facts.objects == full.objects
    assert facts.there.keys() == facts.on_site == {stays}
