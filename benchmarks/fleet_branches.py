"""Runs of sites with machines of their own, for benchmarks/fleet.py: what a task start costs the centre and the branch.

Real edge workers, each with the environment that joining gives a branch, do what is near the site; a Celery worker does
the rest. The line and its encryption are not there: fleet_branch.py says itself what the branches' proxy would say.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fleet_edge import enrol
from fleet_runs import IDLE_S, SETTLE_S, STARTS, begin, due, ended
from fleet_world import CELERY, World, difference, site_id, wait

from vms.branches import agent, membership
from vms.queues import site_queue
from vms.stack.airflow_env import airflow_url

SITES = 10
RUN_S = 600


def measure_branches(world: World, branches: int, rounds: int) -> dict[str, Any]:
    """So many branches, each with so many runs one after the other. world: its DAGs are of SITES edge sites."""
    world.use(CELERY)
    proxy = enrol(world, SITES)
    begin(world)
    ids = [f"footage_{site_id(number)}" for number in range(branches)]
    for number in range(branches):
        start_branch(world, number, proxy)
    first = datetime.now(UTC)
    due(world, ids, 0)
    wait(lambda: ended(world, ids, first) == len(ids), "the first runs", RUN_S)
    time.sleep(SETTLE_S)
    before, began = world.cpu(), time.monotonic()
    time.sleep(IDLE_S)
    idle = {part: used / (time.monotonic() - began) for part, used in difference(before, world.cpu()).items()}
    asked, before = datetime.now(UTC), world.cpu()
    began = time.monotonic()
    for number in range(rounds):
        due(world, ids, 0)
        wait(lambda number=number: ended(world, ids, asked) == (number + 1) * len(ids), "the runs", RUN_S)
    time.sleep(SETTLE_S)
    wall = time.monotonic() - began
    used = difference(before, world.cpu())
    (numbers,) = world.ask(STARTS, asked, ids, asked, ids)
    ((near,),) = world.ask(
        "SELECT count(*) FROM task_instance t JOIN dag_run r USING (dag_id, run_id)"
        " WHERE r.run_after >= %s AND r.dag_id = ANY(%s) AND t.pid IS NOT NULL AND t.queue LIKE 'site-%%'",
        *(asked, ids),
    )
    # Asking for work again and again is counted by the swarm of fleet_edge.py.
    more = {part: max(0.0, seconds - idle[part] * wall) for part, seconds in used.items()}
    memory = world.memory_mb("branch-0")
    world.stop()
    return {
        "branches": branches,
        "runs": branches * rounds,
        "starts": numbers[0],
        "near": near,
        "failed": numbers[3],
        "idle_cores": idle,
        "cpu_s_per_start": {part: value / numbers[0] for part, value in more.items()},
        "run_lag_s": [round(float(value), 1) for value in numbers[1]],
        "start_lag_s": [round(float(value), 1) for value in numbers[2]],
        "branch_mb": memory,
    }


def start_branch(world: World, number: int, proxy: str) -> None:
    """The edge worker of this site, in a home of its own."""
    site = site_id(number)
    root = world.folder / f"machine-{number}"
    home = replace(world.home, root=root, parts=None)
    home.prepare()
    home.airflow.mkdir(parents=True, exist_ok=True)
    secret = world.environment()["AIRFLOW__API_AUTH__JWT_SECRET"]
    joined = membership.Membership(airflow_url(world.home), site, f"branch-{site}", site_queue(site), secret, "", "")
    own = agent.worker_environment(home, joined)
    own |= {f"AIRFLOW__API__{name}": "" for name in ("CLIENT_SSL_CERT", "CLIENT_SSL_KEY", "SSL_CA_FILE")}
    own |= world.of_benchmark() | {"VMS_FLEET_PROXY": proxy, "VMS_FLEET_SITE": site}
    own |= {"VMS_FLEET_SERIAL": format(number + 1, "X")}
    script = str(Path(__file__).with_name("fleet_branch.py"))
    argv = (sys.executable, script, joined.queue, joined.worker, str(agent.PLACES))
    world.spawn(f"branch-{number}", argv, environment=own)
