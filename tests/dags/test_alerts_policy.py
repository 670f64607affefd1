"""The alerts as a DAG: one task, bounded, with documents; and red while a target can't be reached."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import AirflowFailException

from vms.alerts import round as rounds
from vms_airflow import alerts

DAGS = Path(__file__).resolve().parents[2] / "dags"


def test_it_runs_every_five_minutes_once_at_a_time_and_is_bounded(configure: Callable[..., Path]) -> None:
    configure("ho")
    found = DagBag(str(DAGS))
    assert found.import_errors == {}
    dag = found.dags["alerts"]
    assert dag.timetable.summary == "every 5 minutes"
    assert (dag.max_active_runs, dag.catchup, dag.is_paused_upon_creation) == (1, False, False)
    (task,) = dag.tasks
    assert task.execution_timeout is not None
    assert task.doc_md


@pytest.mark.parametrize("errors", [{}, {"operations": "It does not answer."}])
def test_it_is_red_while_a_target_cannot_be_reached(
    configure: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, errors: dict[str, str]
) -> None:
    configure("ho")
    monkeypatch.setattr(alerts, "catalogue", lambda _home: nullcontext())
    monkeypatch.setattr(rounds, "run_round", lambda *_: rounds.Round(1, 0, 0, errors))
    expected = pytest.raises(AirflowFailException, match="does not answer") if errors else nullcontext()
    with expected:
        alerts.tell.function()
