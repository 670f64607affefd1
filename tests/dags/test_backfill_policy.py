"""The backfill as a DAG: order, times, limits, what it leaves to the sites' own runs, documents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, TriggerRule

DAGS = Path(__file__).resolve().parents[2] / "dags"


@pytest.fixture
def dag(configure: Callable[..., Path]) -> DAG:
    configure("ho")
    found = DagBag(str(DAGS / "backfill.py"))
    assert found.import_errors == {}
    return found.dags["backfill"]


def test_tasks_stand_in_the_order_of_the_diagram(dag: DAG) -> None:
    names = [task.task_id for task in dag.topological_sort()]
    assert names.index("choose") < names.index("look") < names.index("plan") > names.index("sense")
    assert names[4:8] == ["batch.compress", "batch.upload", "batch.record", "release"]
    assert set(names[8:]) == {"verdict", "onward"}
    assert dag.get_task("verdict").downstream_task_ids == set(), "a leaf, so that its red is the run's"
    for name in ("plan", "batch.record", "release", "verdict", "onward"):
        assert dag.get_task(name).trigger_rule == TriggerRule.ALL_DONE


def test_it_runs_only_when_asked_and_takes_one_place_from_the_sites_own_runs(dag: DAG) -> None:
    assert dag.schedule is None
    assert (dag.max_active_runs, dag.is_paused_upon_creation) == (2, False)
    for name in ("look", "batch.compress", "batch.upload"):
        assert dag.get_task(name).max_active_tis_per_dag == 1
    assert {task.priority_weight for task in dag.tasks} == {2}


def test_it_is_bounded_and_has_documents(dag: DAG) -> None:
    assert dag.dagrun_timeout is not None
    assert dag.doc_md
    for task in dag.tasks:
        assert task.owner == "vms"
        assert task.retries >= 1
        assert task.execution_timeout is not None
        assert task.doc_md, task.task_id
