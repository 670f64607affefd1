"""An index under every question: all that the product asks of the catalogue, asked of one with 350,000 rows.

The questions are the benchmark's (benchmarks/catalogue_queries.py), and a function of the catalogue that is in no list
there makes a test here fail: whoever writes a new question also says how it is asked.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import catalogue_asking
import catalogue_pages
import catalogue_queries
import catalogue_rows
import catalogue_works
from catalogue_plans import big_tables, explained

import vms.catalogue
from catalogue_world import opened
from vms.catalogue.connection import ask_for, url
from vms.home import Home

NOW = datetime(2026, 3, 20, 8, tzinfo=UTC)
SCALE = catalogue_rows.Scale(sites=3, dense=0, days=33, now=NOW)


@pytest.fixture
def world(catalogue: tuple[Home, str]) -> Iterator[catalogue_asking.World]:
    with opened(catalogue[1]) as owner, opened(url(catalogue[0], "viewer")) as viewer:
        catalogue_rows.fill(owner, SCALE, lambda _what, _share: None)
        yield catalogue_asking.World(viewer, owner, NOW, SCALE.keep)


def test_no_question_reads_a_big_table_through(world: catalogue_asking.World) -> None:
    big = big_tables(world.owner)
    assert {"recording_2026_02", "copy_2026_03", "lineage_2026_02", "batch_item"} <= big
    red = _red(world, big, catalogue_queries.QUESTIONS)
    assert not red, "\n\n".join(red)
    _grant_two_cameras(world)
    world = catalogue_asking.World(world.viewer, world.owner, NOW, SCALE.keep)  # as they see it
    assert [(site.id, [camera.id for camera in site.cameras]) for site in world.sites] != []
    red = _red(world, big, [one for one in catalogue_queries.QUESTIONS if one.is_page])
    assert not red, "for who sees two cameras:\n\n" + "\n\n".join(red)
    ask_for(world.viewer, "*")
    _show_that_it_can_be_red(world, big)
    _show_that_sums_follow_what_is_summed_up(world)


def _grant_two_cameras(world: catalogue_asking.World) -> None:
    with world.owner.cursor() as cursor:
        cursor.execute(
            "INSERT INTO viewer_user (name, role, password, made_at, made_by, everywhere)"
            " VALUES ('budi', 'viewer', '', now(), 'test', false) RETURNING user_id"
        )
        (user_id,) = cursor.fetchone() or (0,)
        cursor.execute(
            "INSERT INTO viewer_grant SELECT %s, site_id, camera_id FROM camera WHERE camera_id IN (1, 20)", (user_id,)
        )
    ask_for(world.viewer, str(user_id))


def _red(world: catalogue_asking.World, big: set[str], questions: Sequence[catalogue_asking.Question]) -> list[str]:
    red = []
    for one in questions:
        conn = world.viewer if one.is_page else world.owner
        with explained(conn, measured=False) as plans:
            answer = one.ask(world, conn)
        assert plans, one.name
        assert "Decimal(" not in repr(answer), f"{one.where}, {one.name}: a sum without its type, which is no JSON"
        red += [
            f"{one.where}, {one.name}: {plan.read_through(big)}\n{plan.statement}\n{plan.text}"
            for plan in plans
            if plan.read_through(big)
        ]
    return red


def _show_that_it_can_be_red(world: catalogue_asking.World, big: set[str]) -> None:
    with explained(world.viewer, measured=False) as plans, world.viewer.cursor() as cursor:
        cursor.execute("SELECT 1 FROM recording WHERE source_bytes = 1")
        cursor.execute(
            "SELECT 1 FROM recording WHERE site_id = 1 AND start_at < '2026-03-01' ORDER BY start_at LIMIT 1"
        )
    assert [plan.read_through(big) for plan in plans] == [["recording_2026_02", "recording_2026_03"], []]


def _show_that_sums_follow_what_is_summed_up(world: catalogue_asking.World) -> None:
    with world.owner.cursor() as cursor:
        cursor.execute("DELETE FROM camera_day WHERE camera_id = 1 AND day < '2026-03-01'")
        cursor.execute("UPDATE camera_day SET archived = archived + 5, purged = 0 WHERE camera_id = 2")
        cursor.execute(
            "SELECT camera_id, sum(archived), sum(released), sum(purged), sum(bytes_in), sum(bytes_out)"
            " FROM camera_day GROUP BY camera_id ORDER BY camera_id"
        )
        days = cursor.fetchall()
        cursor.execute("SELECT * FROM camera_total ORDER BY camera_id")
        assert cursor.fetchall() == days
        assert len(days) == 3 * 16
        cursor.execute("DELETE FROM copy WHERE recording_id = 100 AND part = 0")
        cursor.execute("UPDATE copy SET state = 3 WHERE recording_id = 200")
        cursor.execute("UPDATE copy SET state = 0 WHERE state = 3 AND recording_id <> 200")
        cursor.execute("UPDATE copy SET proven_at = now() WHERE recording_id BETWEEN 300 AND 400")
        cursor.execute("UPDATE copy SET size_bytes = 7 WHERE recording_id = 500")
        cursor.execute(
            "SELECT store_id, (k.start_at AT TIME ZONE 'UTC')::date, camera_id, count(*) FILTER (WHERE part = 0),"
            " count(proven_at) FILTER (WHERE part = 0), sum(size_bytes) FROM copy k JOIN recording USING (recording_id)"
            " WHERE state = 0 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        )
        counted = cursor.fetchall()
        cursor.execute("SELECT * FROM store_day WHERE bytes > 0 ORDER BY store_id, day, camera_id")
        assert cursor.fetchall() == counted


def test_every_function_that_asks_is_in_the_list() -> None:
    asked = "".join(map(inspect.getsource, (catalogue_asking, catalogue_pages, catalogue_works)))
    missing = []
    for module in pkgutil.iter_modules(vms.catalogue.__path__):
        if module.name == "migrations":
            continue
        loaded = importlib.import_module(f"vms.catalogue.{module.name}")
        for name, function in inspect.getmembers(loaded, inspect.isfunction):
            first = next(iter(inspect.signature(function).parameters), "")
            is_ours = function.__module__ == loaded.__name__ and not name.startswith("_") and first == "conn"
            writes = name in catalogue_queries.WRITES.get(module.name, ())
            if is_ours and not writes and f"{name}(" not in asked and f".{name})" not in asked:
                missing.append(f"{module.name}.{name}")
    assert not missing, f"say how these are asked, in benchmarks/catalogue_pages.py or catalogue_works.py: {missing}"
