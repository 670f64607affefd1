"""Runs site DAGs in a process of its own, because Airflow reads its settings once per process.

No scheduler and no API server: Airflow's own `dag.test()`, which expands, retries, skips and hands on as the scheduler
does. One JSON object a line comes in ({"dag": ..., "at": ...}); one goes out, marked, with what became of the run. The
same dag and `at` again clears that run and runs it anew, as an operator does in the Airflow UI.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MARK = "RUN-RESULT "


@dataclass(frozen=True)
class DagRunResult:
    """state: of the run; tasks: state of each task, mapped ones as batch.upload[0]; tries: how often each was tried;
    log: all that was printed."""

    run_id: str
    state: str
    tasks: dict[str, str]
    tries: dict[str, int]
    names: dict[str, str]
    log: str


class AirflowRuns:
    """The process; start it with the environment of an Airflow whose database is migrated, and close it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._child = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            cwd=ROOT,
        )

    @property
    def pid(self) -> int:
        """The process in which the tasks run."""
        return self._child.pid

    def run(self, dag: str, at: datetime, conf: dict[str, Any] | None = None) -> DagRunResult:
        """Run the DAG once with this logical date, to its end. conf: what the run is started with."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps({"dag": dag, "at": at.isoformat(), "conf": conf}) + "\n")
        self._child.stdin.flush()
        log: list[str] = []
        for line in self._child.stdout:
            if line.startswith(MARK):
                return DagRunResult(**json.loads(line.removeprefix(MARK)), log="".join(log))
            log.append(line)
        raise AssertionError("Airflow ended early:\n" + "".join(log[-60:]))

    def close(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        try:
            self._child.wait(30)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def migrate(environment: dict[str, str]) -> None:
    """Make the tables of Airflow's own database."""
    subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        env=environment,
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=600,
    )


def _serve() -> None:
    from airflow.dag_processing.dagbag import BundleDagBag

    folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        dag = BundleDagBag(str(folder), bundle_path=folder, bundle_name="dags-folder").dags[asked["dag"]]
        for task in dag.tasks:
            task.retry_delay = timedelta(0)
        run = dag.test(logical_date=datetime.fromisoformat(asked["at"]), run_conf=asked["conf"])
        instances = {
            one.task_id + (f"[{one.map_index}]" if one.map_index >= 0 else ""): one for one in run.get_task_instances()
        }
        result = {
            "run_id": run.run_id,
            "state": str(run.state),
            "tasks": {name: str(one.state) for name, one in instances.items()},
            "tries": {name: one.try_number for name, one in instances.items()},
            "names": {name: one.rendered_map_index for name, one in instances.items() if one.map_index >= 0},
        }
        print(f"\n{MARK}{json.dumps(result)}", flush=True)


if __name__ == "__main__":
    _serve()
