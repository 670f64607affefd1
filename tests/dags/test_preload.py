"""What forks tasks has in memory what these need, and nothing that a fork would break."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vms_airflow.preload import kinds_of_stores

ROOT = Path(__file__).resolve().parents[2]

TASK = """
import gc, json, os, sys
from pathlib import Path
from vms_airflow.preload import kinds_of_stores, preload
preload(["file", "gs", "s3"])
before = set(sys.modules)
print("THREADS", len(os.listdir("/proc/self/task")), flush=True)
print("FROZEN", gc.get_freeze_count(), flush=True)
if os.fork() == 0:
    os.environ["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = "footage_jakarta"
    os.environ["_AIRFLOW_PARSING_CONTEXT_TASK_ID"] = "sense"
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk.plugins_manager import integrate_macros_plugins
    from footage import shard_of
    integrate_macros_plugins()
    bag = DagBag(os.path.join(sys.argv[1], "footage_shards", f"shard_{shard_of('footage_jakarta')}.py"))
    assert list(bag.dags) == ["footage_jakarta"], bag.import_errors
    import vms.steps.compress, vms.steps.release, vms.steps.sense, vms.steps.upload
    import airflow.providers.amazon.aws.hooks.s3, airflow.providers.google.cloud.hooks.gcs
    from vms.stores import open_store
    open_store("s3", "s3://bucket/prefix"), open_store("gs", "gs://bucket/prefix")
    print("READ", json.dumps(sorted(set(sys.modules) - before)), flush=True)
    os._exit(0)
os.wait()
"""


def test_a_task_reads_in_nothing_but_its_dag(configure: Callable[..., Path]) -> None:
    configure("jakarta")
    said = run("-c", TASK, str(ROOT / "dags"))
    lines = dict(line.split(" ", 1) for line in said.stdout.splitlines() if line.startswith(("THREADS", "FRO", "READ")))
    assert lines.keys() == {"THREADS", "FROZEN", "READ"}, said.stderr[-3000:]
    assert lines["THREADS"] == "1", "a thread would be missing in what is forked"
    assert "Not read in" not in said.stderr
    assert int(lines["FROZEN"]) > 100_000, "a task's collection of garbage would copy all memory"
    own = ("footage", "unusual_prefix_", "encodings.")
    assert [name for name in json.loads(lines["READ"]) if not name.startswith(own)] == [], "name them in MODULES"


def test_what_can_not_be_read_in_keeps_nothing_from_starting(configure: Callable[..., Path]) -> None:
    configure("jakarta")
    broken = (
        "from vms_airflow import preload\npreload.MODULES = ('no.such.module', *preload.MODULES)\npreload.preload([])"
    )
    said = run("-c", f"{broken}\nprint('begun')")
    assert said.stdout.splitlines()[-1:] == ["begun"], said.stderr[-3000:]
    assert "no.such.module" in said.stderr


def test_the_kinds_of_stores_are_those_of_sites_yaml(configure: Callable[..., Path]) -> None:
    path = configure("jakarta")
    assert kinds_of_stores() == {"file"}
    path.write_text(path.read_text().replace("stores:\n", "stores:\n  cloud:\n    url: s3://bucket/prefix\n", 1))
    assert kinds_of_stores() == {"file", "s3"}
    path.write_text("stores: [")
    assert kinds_of_stores() == frozenset(), "others say what is wrong with it"


@pytest.mark.usefixtures("configure")
def test_airflows_own_command_runs_in_it() -> None:
    from airflow.version import version

    said = run("-m", "vms_airflow.preload", "version")
    assert said.returncode == 0, said.stderr[-3000:]
    assert said.stdout.strip().endswith(version)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(str(ROOT / one) for one in ("include", "plugins", "dags"))
    environment = dict(os.environ) | {"PYTHONPATH": path}
    words = (sys.executable, *words)
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=600)
