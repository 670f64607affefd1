"""The worker in its container has in memory what its tasks need before they are forked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

TASK = """
import json, os, sys, threading
from vms_airflow.celery_worker import read_in
read_in()
before = set(sys.modules)
print("THREADS", threading.active_count(), flush=True)
if os.fork() == 0:
    os.environ["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = "footage_jakarta"
    os.environ["_AIRFLOW_PARSING_CONTEXT_TASK_ID"] = "sense"
    from airflow.dag_processing.dagbag import DagBag
    from footage import shard_of
    bag = DagBag(os.path.join(sys.argv[1], "footage_shards", f"shard_{shard_of('footage_jakarta')}.py"))
    assert list(bag.dags) == ["footage_jakarta"], bag.import_errors
    (dag,) = bag.dags.values()
    import vms.steps.compress, vms.steps.release, vms.steps.sense, vms.steps.upload
    print("READ", json.dumps(sorted(set(sys.modules) - before)), flush=True)
    os._exit(0)
os.wait()
"""


def test_a_task_reads_in_nothing_that_its_worker_could_have_read_in_for_all(configure: Callable[..., Path]) -> None:
    configure("jakarta")
    path = os.pathsep.join(str(ROOT / one) for one in ("include", "plugins", "dags"))
    said = subprocess.run(
        [sys.executable, "-c", TASK, str(ROOT / "dags")],
        env=dict(os.environ) | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    lines = dict(line.split(" ", 1) for line in said.stdout.splitlines() if line.startswith(("THREADS ", "READ ")))
    assert lines.keys() == {"THREADS", "READ"}, said.stderr[-3000:]
    assert lines["THREADS"] == "1", "a thread would be missing in what is forked"
    read = [name for name in json.loads(lines["READ"]) if name.split(".")[0] in ("airflow", "vms", "vms_airflow")]
    assert read == [], "name them in vms_airflow.celery_worker.READ_IN"
