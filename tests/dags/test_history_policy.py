"""The DAG that keeps Airflow's history short: bounded, daily, documented, and away from the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag

DAGS = Path(__file__).resolve().parents[2] / "dags"


def test_it_runs_daily_once_at_a_time_is_bounded_and_has_documents(configure: Callable[..., Path]) -> None:
    configure("ho")
    found = DagBag(str(DAGS / "history.py"))
    assert found.import_errors == {}
    dag = found.dags["history"]
    assert {task.task_id for task in dag.tasks} == {"runs", "logs"}
    assert all(not task.upstream_list for task in dag.tasks), "one that fails does not keep the other"
    assert dag.timetable.serialize()["every_s"] == timedelta(days=1).total_seconds()
    assert (dag.max_active_runs, dag.catchup, dag.is_paused_upon_creation) == (1, False, False)
    assert dag.doc_md
    for task in dag.tasks:
        assert task.owner == "vms"
        assert task.retries >= 1
        assert task.execution_timeout is not None
        assert task.doc_md
