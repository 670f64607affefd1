"""The nightly checks as a DAG: order, limits, documents."""

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
    found = DagBag(str(DAGS))
    assert found.import_errors == {}
    return found.dags["integrity"]


def test_tasks_stand_in_the_order_of_the_diagram(dag: DAG) -> None:
    assert [task.task_id for task in dag.topological_sort()] == ["stores", "reconcile", "prove", "repair"]


def test_one_store_that_is_away_keeps_no_other_from_being_proven_or_repaired(dag: DAG) -> None:
    assert dag.get_task("prove").trigger_rule == TriggerRule.ALL_DONE
    assert dag.get_task("repair").trigger_rule == TriggerRule.ALL_DONE


def test_it_runs_once_at_a_time_is_bounded_and_has_documents(dag: DAG) -> None:
    assert dag.max_active_runs == 1
    assert not dag.catchup
    assert dag.is_paused_upon_creation is False
    assert "ever deletes anything" in (dag.doc_md or "")
    for task in dag.tasks:
        assert task.owner == "vms"
        assert task.retries >= 1
        assert task.execution_timeout is not None
        assert task.doc_md
        assert task.max_active_tis_per_dag == 1
