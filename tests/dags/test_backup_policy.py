"""The backup of the catalogue as a DAG: order, times, limits, documents."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, TriggerRule

DAGS = Path(__file__).resolve().parents[2] / "dags"


def load() -> DAG:
    found = DagBag(str(DAGS / "backup.py"))
    assert found.import_errors == {}
    return found.dags["backup"]


@pytest.fixture
def dag(configure: Callable[..., Path]) -> DAG:
    configure("ho")
    return load()


def test_tasks_stand_in_the_order_of_the_diagram(dag: DAG) -> None:
    assert [task.task_id for task in dag.topological_sort()] == ["dump", "stores", "clear"]


def test_a_store_that_is_away_keeps_nothing_from_being_cleared(dag: DAG) -> None:
    assert dag.get_task("clear").trigger_rule == TriggerRule.ALL_DONE
    assert dag.get_task("stores").trigger_rule == TriggerRule.ALL_SUCCESS


def test_it_runs_daily_once_at_a_time_is_bounded_and_has_documents(dag: DAG) -> None:
    assert dag.timetable.serialize()["every_s"] == timedelta(days=1).total_seconds()
    assert dag.max_active_runs == 1
    assert not dag.catchup
    assert dag.is_paused_upon_creation is False
    assert dag.doc_md
    for task in dag.tasks:
        assert task.owner == "vms"
        assert task.retries >= 1
        assert task.execution_timeout is not None
        assert task.doc_md


def test_it_runs_as_often_as_sites_yaml_says(configure: Callable[..., Path]) -> None:
    configure("ho", extra="backup: {every: 6h}\n")
    assert load().timetable.serialize()["every_s"] == timedelta(hours=6).total_seconds()
