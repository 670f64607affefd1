"""Fleets of sites that do nothing real: what Airflow itself costs, by the number of sites.

    .venv/bin/python benchmarks/fleet.py [--sites 10,100,1000] [--executor local,celery] [--only runs,edge] [--json]

`--executor celery` needs redis-server (Debian has it) and the packages of requirements-compose.txt. Per size: reading
the DAG files (each shard in a process of its own), storing them several times (DAG versions must not grow), a task's
own reading, runs of some sites with so many batches of no files (fleet_fakes.py says what is fake), what they cost by
part with each executor, and what stays of them in the database. At the last size also other numbers of shards, one
scheduler and two, `airflow db clean` of many copied runs, the API server under so many simulated edge workers, and what
a start costs the centre when it is a branch's (fleet_branches.py).
CPU seconds are what counts: times are those of a machine that may have other work. Everything runs in a temporary
folder on free ports and is removed again; it takes 2 GB of memory and disk at a thousand sites, and ends where less
than 15 GB of the disk are free.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fleet_branches import measure_branches
from fleet_edge import measure_edge
from fleet_runs import measure_cleaning, measure_runs
from fleet_table import table
from fleet_world import CELERY, LOCAL, World, copy_dags, difference, site_id, wait, world

from vms.stack.fleet_settings import settings_for

PARTS = ("read", "store", "runs", "shards", "schedulers", "clean", "edge", "branches")
PERIOD = "24h"
"""So that no run becomes due by itself while something is measured; what it costs at another period is reckoned."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", default="10,100,1000", help="sizes, comma-separated, growing")
    parser.add_argument("--executor", default=LOCAL, help="local, celery or both, comma-separated")
    parser.add_argument("--batches", type=int, default=2, help="batches of a run: 4 tasks and 3 a batch")
    parser.add_argument("--runs", type=int, default=8, help="runs per size")
    parser.add_argument("--pace", type=float, default=8.0, help="seconds between two runs that become due")
    parser.add_argument("--shards", default="1,2,4,8,16,32", help="numbers of DAG files, comma-separated")
    parser.add_argument("--schedulers", default="1,2", help="how many at the same work, comma-separated")
    parser.add_argument("--scheduler-share", type=float, default=0.2, help="of a core, for each of these; needs root")
    parser.add_argument("--race", type=int, default=40, help="runs that are due at once, for these")
    parser.add_argument("--history", type=int, default=10_000, help="copied runs for `airflow db clean`; 0 for none")
    parser.add_argument("--edge-workers", type=int, default=1000, help="0 for none")
    parser.add_argument("--edge-seconds", type=float, default=30.0)
    parser.add_argument("--branches", type=int, default=8, help="with an edge worker each; 0 for none; needs nginx")
    by_default = ",".join(part for part in PARTS if part != "branches")  # that needs what one machine does not
    parser.add_argument("--only", default=by_default, help=f"of {', '.join(PARTS)}, comma-separated")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped."))  # ends all that was started, as at Ctrl-C
    parts = set(options.only.split(","))
    sizes = sorted(_numbers(options.sites))
    found: dict[str, Any] = {
        "cores": os.cpu_count(),
        "load": [os.getloadavg()[0]],
        "starts_per_run": 4 + 3 * options.batches,
        "sizes": {},
    }
    with (
        tempfile.TemporaryDirectory(prefix="vms-fleet-", ignore_cleanup_errors=True) as name,
        world(Path(name), options.batches) as place,
    ):
        for size in sizes:
            found["sizes"][size] = measure(place, size, parts, options)
            found["load"].append(os.getloadavg()[0])
        if "shards" in parts:
            found["shards"] = _said({count: read_shards(place, count) for count in _numbers(options.shards)})
        if "schedulers" in parts:
            from fleet_schedulers import measure_schedulers  # imports Airflow

            place.use(options.executor.split(",")[-1])
            counts, share = _numbers(options.schedulers), options.scheduler_share
            found["schedulers"] = _said(measure_schedulers(place, counts, min(options.race, sizes[-1]), share))
        place.use(LOCAL)
        if "clean" in parts and options.history:
            found["clean"] = _said(measure_cleaning(place, options.history))
        if "edge" in parts and options.edge_workers:
            found["edge"] = _said(measure_edge(place, options.edge_workers, options.edge_seconds))
        if "branches" in parts and options.branches:
            place.use(CELERY)
            place.write_sites(max(sizes[-1], options.branches), PERIOD, options.branches)
            store(place)
            found["branches"] = _said(measure_branches(place, options.branches, options.pace))
        found["load"].append(os.getloadavg()[0])
    print(json.dumps(found, indent=1) if options.json else table(found))


def measure(place: World, size: int, parts: set[str], options: argparse.Namespace) -> dict[str, Any]:
    """One size of fleet."""
    place.use(LOCAL)
    place.write_sites(size, PERIOD)
    found: dict[str, Any] = {}
    if "read" in parts:
        found["read"] = _said(read(place))
    if parts & {"store", "runs", "schedulers"}:
        found["store"] = _said(store(place))
    if "runs" in parts:
        count = min(options.runs, max(1, size - 2))
        found["runs"] = {}
        for executor in options.executor.split(","):
            place.use(executor)
            found["runs"][executor] = _said(measure_runs(place, count, options.pace))
    return found


def read(place: World, dags: Path | None = None) -> dict[str, Any]:
    """DAG files, as the DAG processor and as a task read them. dags: another folder with them."""
    words = (sys.executable, Path(__file__).with_name("fleet_parse.py"), site_id(place.sites // 2))
    environment = place.environment(**({"CORE__DAGS_FOLDER": str(dags)} if dags else {}))
    environment["PYTHONPATH"] += os.pathsep + environment["AIRFLOW__CORE__DAGS_FOLDER"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=1800)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            answer: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
            return answer
    raise SystemExit(done.stderr[-3000:])


def read_shards(place: World, count: int) -> dict[str, float]:
    """What reading costs when so many files share the sites."""
    copy_dags(dags := place.folder / f"dags-{count}", count)
    files = read(place, dags)["shards"]
    each = [one["parse_cpu_s"] + one["serialise_cpu_s"] for one in files]
    return {"all_cpu_s": sum(each), "largest_cpu_s": max(each), "largest_mb": max(one["mb"] for one in files)}


def store(place: World) -> dict[str, Any]:
    """The DAG processor reads and stores everything once, and then again and again: what that costs and makes."""
    place.start("dag-processor", DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL="0")
    wait(lambda: _stored(place)["dags"] == place.sites, "all sites to be stored")
    first, first_cpu = _stored(place), place.cpu()
    seen, readings = _read_at(place), 0
    before = first_cpu
    while readings < (2 if place.sites <= 100 else 1) * len(seen):
        time.sleep(0.2)
        now = _read_at(place)
        readings += sum(now[shard] != seen[shard] for shard in now)
        seen = now
    used = difference(before, place.cpu())
    place.stop("dag-processor")
    return {
        "first_cpu_s": first_cpu["dag-processor"],
        "again_cpu_s": used["dag-processor"] * len(seen) / readings,
        "again_database_cpu_s": used["postgres"] * len(seen) / readings,
        "readings": readings / len(seen),
        "interval_s": int(settings_for(place.sites)["DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL"]),
        "first": first,
        "then": _stored(place),
    }


def _read_at(place: World) -> dict[str, Any]:
    """When each shard was read last."""
    return dict(place.ask("SELECT relative_fileloc, max(last_parsed_time) FROM dag WHERE NOT is_stale GROUP BY 1"))


def _stored(place: World) -> dict[str, int]:
    (row,) = place.ask(
        "SELECT (SELECT count(*) FROM dag WHERE NOT is_stale), (SELECT count(*) FROM dag_version),"
        " (SELECT count(*) FROM serialized_dag), (SELECT count(*) FROM import_error),"
        " (SELECT sum(pg_column_size(t)) FROM serialized_dag t)"
    )
    return dict(zip(("dags", "versions", "serialised", "errors", "bytes"), (int(one or 0) for one in row), strict=True))


def _numbers(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


def _said(found: dict[Any, Any]) -> dict[Any, Any]:
    print(json.dumps(found, default=str), file=sys.stderr, flush=True)
    return found


if __name__ == "__main__":
    main()
