"""Planning on a real Postgres by many at once, and what a plan that is given up leaves."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from catalogue_world import (
    NOW,
    a_run,
    a_site,
    archive_all,
    ask,
    five_minute_files,
    opened,
    planned,
    recordings,
    sensed,
)
from vms.backfill import Order
from vms.catalogue.backfills import begin_backfill
from vms.catalogue.partitions import ensure_partitions
from vms.catalogue.planning import plan_run
from vms.config import StoreConfig
from vms.home import Home
from vms.sightings import Sighting


def test_many_planners_and_recorders_at_once_give_every_file_one_recording(catalogue: tuple[Home, str]) -> None:
    _, url = catalogue
    files = [*five_minute_files(12), *five_minute_files(12, "gate")]
    barrier = threading.Barrier(4)
    wrong: list[Exception] = []

    def work(number: int) -> None:
        try:
            with opened(url) as conn:
                barrier.wait()
                plan = planned(conn, *files, run=number % 2)  # two tries of each of two runs
                archive_all(conn, plan)
        except Exception as error:  # noqa: BLE001 (told by the main thread)
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    with opened(url) as conn:
        assert ask(conn, "SELECT count(*), count(*) FILTER (WHERE custody = 1) FROM recording") == [(24, 24)]
        assert ask(conn, "SELECT count(*) FROM lineage WHERE event = 'archived'") == [(24,)]
        assert ask(conn, "SELECT sum(archived) FROM camera_day") == [(24,)]


def test_many_at_once_make_each_partition_once(catalogue: tuple[Home, str]) -> None:
    _, url = catalogue
    barrier = threading.Barrier(4)

    def make() -> None:
        with opened(url) as conn:
            for year in range(2000, 2008):
                barrier.wait(60)
                ensure_partitions(conn, [(year, 1)])

    with ThreadPoolExecutor(4) as pool:
        for each in [pool.submit(make) for _ in range(4)]:
            each.result()
    with opened(url) as conn:
        assert ask(conn, "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname LIKE 'recording_200%%'") == [
            (8,)
        ]


def test_a_month_is_made_while_others_plan(catalogue: tuple[Home, str]) -> None:
    """Each waits for the other's tables at most one way round."""
    _, url = catalogue
    with opened(url) as planner, opened(url) as maker, opened(url) as watching, ThreadPoolExecutor(1) as pool:
        planned(planner, *five_minute_files(1))
        with planner, planner.cursor() as cursor:
            cursor.execute("UPDATE site SET name = name")
            made = pool.submit(ensure_partitions, maker, [(2031, 5)])
            while not ask(watching, "SELECT 1 FROM pg_locks WHERE NOT granted"):
                assert not made.done(), "it waits for nobody"
            for update in ("UPDATE camera SET name = name", "UPDATE store SET name = name"):
                cursor.execute(update)
        made.result()
        found = ask(watching, "SELECT count(*) FROM pg_inherits WHERE inhrelid::regclass::text LIKE '%%_2031_05'")
        assert found == [(4,)]


def test_whoever_holds_several_sites_or_stores_has_nothing_that_others_need_for_theirs(
    catalogue: tuple[Home, str],
) -> None:
    _, url = catalogue
    nas, cloud = StoreConfig("nas", "file:///nas"), StoreConfig("cloud", "s3://company/a")
    sites = [a_site(id=one, stores=(nas, cloud)) for one in ("ho", "makassar")]
    orders = [(one, Order(0, one.id, "missing", NOW - timedelta(days=1), NOW)) for one in sites]
    with opened(url) as first, opened(url) as second, opened(url) as watching, ThreadPoolExecutor(1) as pool:
        for one in sites:
            plan_run(first, one, sensed(), a_run(dag_id=f"footage_{one.id}"), NOW)
        for held, work in (
            ("store WHERE name = 'cloud'", lambda: plan_run(second, sites[0], sensed(), a_run(2), NOW)),
            ("site WHERE slug = 'makassar'", lambda: begin_backfill(second, "x", orders, NOW)),
        ):
            with first, first.cursor() as cursor:
                cursor.execute(f"SELECT FROM {held} FOR UPDATE")
                waits = pool.submit(work)
                while not ask(watching, "SELECT 1 FROM pg_locks WHERE NOT granted"):
                    assert not waits.done(), "it waits for nobody"
                cursor.execute("SELECT FROM store FOR UPDATE NOWAIT")
            waits.result()


def test_a_plan_that_is_rolled_back_leaves_nothing(catalogue: tuple[Home, str]) -> None:
    _, url = catalogue
    with opened(url) as conn:
        files = five_minute_files(3)
        with pytest.raises(KeyError):  # a camera that nobody registered, after the others were
            plan_run(conn, a_site(), replace(sensed(*files), sightings=(*files, _Nameless(files[0]))), a_run(), NOW)
        assert recordings(conn) == 0
        assert ask(conn, "SELECT count(*) FROM run") == [(0,)]


class _Nameless(Sighting):
    """Says another camera each time it is asked."""

    def __init__(self, like: Sighting) -> None:
        for name, value in vars(like).items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "asked", [])

    def __getattribute__(self, name: str) -> Any:
        if name == "camera":
            asked = object.__getattribute__(self, "asked")
            asked.append(1)
            return f"camera{len(asked)}"
        return object.__getattribute__(self, name)
