"""What a task start costs the centre when the site's own tasks run at its branch, for benchmarks/fleet.py.

Real edge workers, as the agent starts them, each for its site; a real nginx before the centre's API server says which
branch asks, by the port that it comes to instead of by a certificate. So TLS is not in the figures; all else is.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fleet_edge import enrol
from fleet_runs import IDLE_S, SETTLE_S, STARTS, begin, due, ended
from fleet_world import HOST, World, difference, site_id, wait

from vms.branches import agent
from vms.branches.membership import Membership
from vms.home import from_environment
from vms.queues import site_queue
from vms.stack import postgres

SERVER = """server {{
    listen {host}:{port};
    client_max_body_size 32m;
    location / {{
        proxy_pass http://{host}:{api};
        proxy_http_version 1.1;
        proxy_set_header X-VMS-Branch-Proxy "{word}";
        proxy_set_header X-VMS-Branch-Verify SUCCESS;
        proxy_set_header X-VMS-Branch-Serial {serial};
        proxy_set_header X-VMS-Branch-Name {name};
    }}
}}
"""
NGINX = """pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
access_log off;
client_body_temp_path {folder};
proxy_temp_path {folder};
{servers}}}
"""


def measure_branches(world: World, branches: int, pace_s: float) -> dict[str, Any]:
    """So many branches, a run each, one every pace_s seconds. The world hands out by Celery what is not for a branch,
    and its sites of the first numbers run at the edge."""
    word = enrol(world, branches)
    ports = _proxy(world, branches, word)
    begin(world)
    for number, port in enumerate(ports):
        _branch(world, number, port)
    ids = [f"footage_{site_id(number)}" for number in range(branches)]
    first = datetime.now(UTC)
    due(world, ids, 0)
    wait(lambda: ended(world, ids, first) == branches, "the first runs")
    time.sleep(SETTLE_S)
    before, began = world.cpu(), time.monotonic()
    time.sleep(IDLE_S)
    idle = {part: used / (time.monotonic() - began) for part, used in difference(before, world.cpu()).items()}
    asked = datetime.now(UTC)
    before, began = world.cpu(), time.monotonic()
    due(world, ids, pace_s)
    wait(lambda: ended(world, ids, asked) == branches, "the runs to end")
    wall_s = time.monotonic() - began
    time.sleep(SETTLE_S)
    used = difference(before, world.cpu())
    (numbers,) = world.ask(STARTS, asked, ids, asked, ids)
    ((near,),) = world.ask(
        "SELECT count(*) FROM task_instance t JOIN dag_run r USING (dag_id, run_id)"
        " WHERE r.run_after >= %s AND r.dag_id = ANY(%s) AND t.queue LIKE 'site-%%' AND t.pid IS NOT NULL",
        *(asked, ids),
    )
    memory = {part: world.memory_mb(part) for part in ("branch-0", "proxy")}
    world.stop()
    return {
        "branches": branches,
        "starts": numbers[0],
        "near": near,
        "failed": numbers[3],
        "idle_cores": idle,
        "start_lag_s": [round(float(value), 1) for value in numbers[2]],
        "starts_per_s": numbers[0] / wall_s,
        # Asking for work and telling that they live goes on all the time and is counted by itself.
        "cpu_s_per_start": {
            part: max(0.0, value - idle[part] * (wall_s + SETTLE_S)) / numbers[0] for part, value in used.items()
        },
        "memory_mb": memory,
    }


def _proxy(world: World, branches: int, word: str) -> list[int]:
    """nginx, with a port for each branch; the ports."""
    if (program := shutil.which("nginx")) is None:
        raise SystemExit("This needs nginx: apt install nginx-light")
    folder = world.folder / "nginx"
    folder.mkdir(exist_ok=True)
    ports = [postgres.free_port() for _ in range(branches)]
    servers = "".join(
        SERVER.format(
            host=HOST, port=port, api=world.home.airflow_port, word=word, serial=format(number + 1, "X"),
            name=site_id(number),
        )
        for number, port in enumerate(ports)
    )  # fmt: skip
    file = folder / "nginx.conf"
    file.write_text(NGINX.format(folder=folder, servers=servers))
    world.spawn("proxy", (program, "-c", str(file), "-g", "daemon off;"), os.environ)
    return ports


def _branch(world: World, number: int, port: int) -> None:
    """An edge worker of the site of this number, with nothing of the centre's but what joining would have written."""
    folder = world.folder / f"at-{site_id(number)}"
    place = {"VMS_HOME": str(folder), "VMS_SITES": str(world.home.sites_file)}
    home = replace(from_environment(place), branch=site_id(number))
    home.prepare()
    home.airflow.mkdir(parents=True, exist_ok=True)
    site = site_id(number)
    secret = world.home.secret("airflow_jwt", 64)
    joined = Membership(f"http://{HOST}:{port}", site, f"branch-{site}", site_queue(site), secret, "", "")
    told = agent.worker_environment(home, joined) | place | world.of_benchmark()
    with_tls = ("AIRFLOW__API__CLIENT_", "AIRFLOW__API__SSL_")
    told = {name: value for name, value in told.items() if not name.startswith(with_tls)}
    argv = ("-m", "vms_airflow.branch_worker", joined.queue, joined.worker, str(agent.PLACES))
    world.spawn(f"branch-{number}", (sys.executable, *argv), told)
