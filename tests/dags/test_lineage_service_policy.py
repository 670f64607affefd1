"""The DAG that tells a lineage service: there only where one is named, bounded, and documented."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

FILE = Path(__file__).resolve().parents[2] / "dags" / "lineage_service.py"


def load() -> dict[str, DAG]:
    found = DagBag(str(FILE))
    assert found.import_errors == {}
    return found.dags


def test_it_is_there_where_a_service_is_named(configure: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENLINEAGE_URL", raising=False)
    configure("ho")
    assert load() == {}
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:5000")
    assert set(load()) == {"openlineage"}
    monkeypatch.delenv("OPENLINEAGE_URL")
    configure("ho", extra="openlineage: {url: 'http://127.0.0.1:5000'}\n")
    dag = load()["openlineage"]
    assert (dag.max_active_runs, dag.catchup, dag.is_paused_upon_creation) == (1, False, False)
    assert dag.doc_md
    for task in dag.tasks:
        assert task.execution_timeout is not None
        assert task.doc_md
