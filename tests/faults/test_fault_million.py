"""A catalogue of a million rows: planning a run and planning a purge still touch about as many rows as they are about,
and no more memory than a page of them."""

from __future__ import annotations

import resource
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import catalogue_rows

from catalogue_world import a_run, a_site, ask, opened, seen, sensed
from vms.catalogue import purge_facts
from vms.catalogue.connection import Connection
from vms.catalogue.planning import FILES_PER_RUN, plan_run
from vms.config import CameraConfig, Config, RetentionPolicy, StoreConfig
from vms.home import Home
from vms.model import RunRef
from vms.purge import BATCH, apply_in_store, make_plan
from vms.stores import open_store

NOW = datetime(2026, 3, 20, 8, tzinfo=UTC)
SCALE = catalogue_rows.Scale(sites=2, dense=1, days=30, now=NOW)
BIG = ("recording_2", "recording_source_2", "copy_2", "lineage_2", "batch_item", "purge_item")
ANYWAY, MANY = 200_000, 100
"""Rows of big tables that may be touched for a look at stores and clock, and for each file or copy that it is about."""

KEEP = SCALE.keep + timedelta(hours=19)
"""So that five hours of footage have expired."""

MEMORY = 150 << 20


def touched(conn: Connection) -> int:
    """Rows of big tables that were read so far, by whatever way."""
    with conn.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT pg_stat_clear_snapshot()")
    found = ask(
        conn,
        "SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables",
    )
    return sum(int(many) for name, many in found if name.startswith(BIG))


def memory() -> int:
    """The most that this process ever used, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.slow
def test_million_rows_plan_and_retention_stay_bounded(catalogue: tuple[Home, str], tmp_path: Path) -> None:
    nas = StoreConfig("nas", f"file://{tmp_path}/nas")
    store = open_store(nas.name, nas.url)
    identity = store.identify(None)
    with opened(catalogue[1]) as conn:
        catalogue_rows.fill(conn, SCALE, lambda _what, _share: None)
        (rows,) = ask(
            conn,
            "SELECT sum(reltuples)::bigint FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
        )[0]
        assert rows > 1_000_000
        with conn.cursor() as cursor:
            cursor.execute("UPDATE store SET url = %s, identity = %s WHERE name = 'nas'", (nas.url, identity))
        for key in purge_facts.sample_keys(conn, 1, 50):  # what a look at the store asks for lies there
            path = tmp_path / "nas" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"footage")

        cameras = tuple(CameraConfig(f"cam{n:02}", f"Camera {n}", f"cam{n:02}") for n in range(1, 17))
        sites = tuple(a_site(id=f"site{n:03}", stores=(nas,), cameras=cameras, retention=KEEP) for n in range(2))
        files = [
            seen(f"cam01/{n:04}.mp4", camera="cam01", start=NOW - timedelta(minutes=5 * n))
            for n in range(FILES_PER_RUN)
        ]
        before, used = touched(conn), memory()
        plan = plan_run(conn, sites[0], sensed(*files, site="site000", at=NOW), a_run(dag_id="footage_site000"), NOW)
        planned = sum(len(batch.items) for batch in plan.batches)
        assert planned > 0
        assert touched(conn) - before < ANYWAY + MANY * FILES_PER_RUN
        assert memory() - used < MEMORY

        config = Config("", sites, (nas,), (), (), (), RetentionPolicy(max_percent=100))
        before, used = touched(conn), memory()
        made = make_plan(conn, config, "faults", NOW)
        assert [alarm.message for alarm in made.alarms] == []
        assert made.copies > BATCH, "it is about more than one batch"
        assert touched(conn) - before < ANYWAY + MANY * made.copies
        assert memory() - used < MEMORY

        before, used = touched(conn), memory()
        ((store_target),) = purge_facts.stores_of_plan(conn, made.plan_id)
        done = apply_in_store(conn, config, made.plan_id, store_target, RunRef("retention", "1", "apply"), NOW)
        assert done.gone == made.copies
        assert touched(conn) - before < ANYWAY + MANY * made.copies
        assert memory() - used < MEMORY
        living = ask(conn, "SELECT count(*) FROM copy WHERE state = 0 AND start_at < %s", NOW - KEEP)
        held = ask(conn, "SELECT count(*) FROM purge_item WHERE outcome <> 'gone' AND plan_id = %s", made.plan_id)
        assert held == [(0,)]
        assert living[0][0] < 3 * BATCH, "what began before, ended after, or is held"
