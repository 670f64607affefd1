"""Runs and what stays of them, for benchmarks/fleet.py: what a task start costs, how long a due run waits, how much
Airflow's database and logs grow, and what clearing them costs."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from fleet_world import CELERY, World, difference, wait

from vms.stack import container_worker

GROWING = ("dag_run", "task_instance", "task_instance_history", "xcom", "log", "rendered_task_instance_fields", "job")
IDLE_S = 30
SETTLE_S = 5
"""In which the last task's process comes to its end, so that what it used is counted."""
RUN_S = 900


def measure_runs(world: World, count: int, pace_s: float) -> dict[str, Any]:
    """Let `count` sites run, one after the other every pace_s seconds, the others wait for tomorrow; API server,
    scheduler and worker do nothing else."""
    begin(world)
    # The first runs make the API server and the database import, plan and fill their caches.
    ids = some(world, count + 2)
    first = datetime.now(UTC)
    due(world, ids[:2], 0)
    wait(lambda: ended(world, ids[:2], first) == 2, "the first runs")
    time.sleep(SETTLE_S)
    before, began = world.cpu(), time.monotonic()
    time.sleep(IDLE_S)
    idle = {part: used / (time.monotonic() - began) for part, used in difference(before, world.cpu()).items()}
    rows, sizes, logs = _rows(world), _sizes(world), _logs(world)
    asked = datetime.now(UTC)
    before, began = world.cpu(), time.monotonic()
    due(world, ids[2:], pace_s)
    wait(lambda: ended(world, ids[2:], asked) == len(ids) - 2, "the runs to end", RUN_S)
    wall = time.monotonic() - began
    time.sleep(SETTLE_S)
    used = difference(before, world.cpu())
    (numbers,) = world.ask(STARTS, asked, ids[2:], asked, ids[2:])
    grown = {name: (_rows(world)[name] - rows[name]) / count for name in rows}
    grown_bytes = {name: (_sizes(world)[name] - sizes[name]) / count for name in sizes}
    files, size = (after - before for after, before in zip(_logs(world), logs, strict=True))
    result = {
        "runs": count,
        "starts": numbers[0],
        "failed": numbers[3],
        "run_lag_s": [round(float(value), 1) for value in numbers[1]],
        "start_lag_s": [round(float(value), 1) for value in numbers[2]],
        "starts_per_s": numbers[0] / wall,
        "idle_cores": idle,
        "cpu_s_per_start": {part: value / numbers[0] for part, value in used.items()},
        "rows_per_run": grown,
        "bytes_per_run": grown_bytes,
        "log_files_per_run": files / count,
        "log_bytes_per_run": size / count,
        "memory_mb": {part: world.memory_mb(part) for part in world.running},
        "api_processes": world.process_count("api"),
    }
    world.stop()
    return result


def begin(world: World, **scheduler: str) -> None:
    """API server, scheduler and worker are up; no site is due before tomorrow. scheduler: settings of it alone."""
    world.ask("UPDATE dag SET next_dagrun_create_after = now() + interval '1 day'")
    world.start("api")
    world.wait_well("api_server")
    if world.executor == CELERY:
        world.start("worker")
        wait(lambda: container_worker.answers(world.home), "the worker to answer")
    # With Celery the worker's places are the limit, with LocalExecutor this is.
    world.start("scheduler", **({} if world.executor == CELERY else {"CORE__PARALLELISM": "4"}) | scheduler)
    world.wait_well("scheduler")


def some(world: World, count: int) -> list[str]:
    """So many sites' DAGs, always the same."""
    rows = world.ask("SELECT dag_id FROM dag WHERE NOT is_stale ORDER BY md5(dag_id) LIMIT %s", count)
    return [row[0] for row in rows]


STARTS = """
    SELECT count(*) FILTER (WHERE t.start_date IS NOT NULL AND t.pid IS NOT NULL),
        (SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM start_date - run_after))
            FROM dag_run WHERE run_after >= %s AND dag_id = ANY(%s)),
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM t.start_date - t.scheduled_dttm))
            FILTER (WHERE t.pid IS NOT NULL),
        count(*) FILTER (WHERE t.state = 'failed' OR t.try_number > 1)
    FROM task_instance t JOIN dag_run r USING (dag_id, run_id) WHERE r.run_after >= %s AND r.dag_id = ANY(%s)
"""


def measure_cleaning(world: World, runs: int) -> dict[str, Any]:
    """Multiply the last finished run to `runs` runs of a month ago, then clear them with Airflow's own command."""
    made = multiply(world, runs)
    world.maintain("VACUUM ANALYZE")
    size = _database(world)
    before = world.cpu()["postgres"]
    cut = (datetime.now(UTC) - timedelta(days=10)).isoformat()
    words = ("--clean-before-timestamp", cut, "--skip-archive", "--yes")
    own = world.airflow("db", "clean", *words)
    in_database = world.cpu()["postgres"] - before
    (left,) = world.ask("SELECT count(*) FROM dag_run WHERE run_after < now() - interval '20 days'")
    world.maintain("VACUUM ANALYZE")
    again = multiply(world, runs // 4)
    return {
        "runs": runs,
        "rows": made,
        "database_mb": size / 1e6,
        "left": left[0],
        "cpu_s": own + in_database,
        "cpu_ms_per_run": 1000 * (own + in_database) / runs,
        "grows_again_mb": (_database(world) - size) / 1e6 if again else 0.0,
    }


def multiply(world: World, runs: int) -> int:
    """Copies of the last finished run with all that belongs to it, 30 days ago; how many rows."""
    (found,) = world.ask("SELECT dag_id, run_id FROM dag_run WHERE state = 'success' ORDER BY end_date DESC LIMIT 1")
    name = f"'old_{time.monotonic_ns()}_' || n"
    rows = 0
    for table in ("dag_run", "task_instance", "xcom", "log"):
        columns = world.ask(
            "SELECT column_name, data_type, coalesce(column_default, '') FROM information_schema.columns"
            " WHERE table_name = %s AND table_schema = 'public' ORDER BY ordinal_position",
            table,
        )
        values = {
            f'"{column}"': _copied(column, kind, name) for column, kind, default in columns if "nextval" not in default
        }
        world.ask(
            f"INSERT INTO {table} ({', '.join(values)}) SELECT {', '.join(values.values())}"  # noqa: S608 - our own
            f" FROM {table} o, generate_series(1, %s) n WHERE o.dag_id = %s AND o.run_id = %s",
            *(runs, *found),
        )
        ((more,),) = world.ask(f"SELECT {runs} * count(*) FROM {table} WHERE dag_id = %s AND run_id = %s", *found)  # noqa: S608
        rows += more
    return rows


def _copied(column: str, kind: str, name: str) -> str:
    """What a copied row has in this column, as SQL. name: the new run's."""
    if column == "run_id":
        return name
    if column == "dag_run_id":
        return f"(SELECT id FROM dag_run d WHERE d.dag_id = o.dag_id AND d.run_id = {name})"  # noqa: S608 - our own
    if kind == "uuid" and column in ("id", "task_instance_id"):
        return "gen_random_uuid()"
    if column == "logical_date":
        return "logical_date - interval '30 days' - n * interval '1 ms'"
    return f"o.\"{column}\" - interval '30 days'" if "timestamp" in kind else f'o."{column}"'


def due(world: World, ids: list[str], pace_s: float) -> None:
    """The scheduler makes their runs, one every pace_s seconds from now on.

    They are dated now: a site that has had its run of today would get the one of tomorrow, which nobody works on.
    """
    for number, dag_id in enumerate(ids):
        world.ask(
            "UPDATE dag SET next_dagrun_create_after = now() + %s * interval '1 second', next_dagrun = now(),"
            " next_dagrun_data_interval_start = now(), next_dagrun_data_interval_end = now() WHERE dag_id = %s",
            *(number * pace_s, dag_id),
        )


def ended(world: World, ids: list[str], since: datetime) -> int:
    question = (
        "SELECT count(*) FROM dag_run WHERE state IN ('success', 'failed') AND run_after >= %s AND dag_id = ANY(%s)"
    )
    return int(world.ask(question, since, ids)[0][0])


def _rows(world: World) -> dict[str, int]:
    return {name: world.ask(f"SELECT count(*) FROM {name}")[0][0] for name in GROWING}  # noqa: S608 - our own list


def _sizes(world: World) -> dict[str, int]:
    """Of all rows with their indexes, by what a row takes: whole pages say nothing of a few runs."""
    question = "SELECT coalesce(sum(pg_column_size(t)), 0) FROM {} t"
    return {name: int(world.ask(question.format(name))[0][0]) for name in GROWING}


def _database(world: World) -> int:
    return int(world.ask("SELECT pg_database_size(current_database())")[0][0])


def _logs(world: World) -> tuple[int, int]:
    """Files of tasks' logs and their bytes."""
    sizes = [
        os.path.getsize(os.path.join(folder, name))  # noqa: PTH118, PTH202 - thousands of them
        for folder, _, names in os.walk(world.home.logs / "airflow")
        for name in names
    ]
    return len(sizes), sum(sizes)
