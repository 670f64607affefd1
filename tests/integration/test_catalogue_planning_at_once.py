"""Planning on a real Postgres by many at once, and what a plan that is given up leaves."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
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
from vms.catalogue.partitions import ensure_partitions
from vms.catalogue.planning import plan_run
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
