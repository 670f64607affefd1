"""`vms run` over a real catalogue, with a small server of our own in Airflow's place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from catalogue_world import BROKEN, NOW, a_run, a_site, five_minute_files, receipt_for, sensed
from fake_airflow import Answer, FakeAirflow
from vms.catalogue.connection import Connection
from vms.catalogue.custody import record_receipts
from vms.catalogue.planning import plan_run
from vms.cli import run
from vms.errors import StackError
from vms.home import Home
from vms.sightings import Fault

DAG = "/api/v2/dags/footage_ho"
AWAY = Fault("store_unreachable", "The NAS does not answer.", "Look at its mount.", permanent=False)

Vms = Callable[..., Result]


@pytest.fixture
def airflow() -> Iterator[FakeAirflow]:
    fake = FakeAirflow()
    fake.answers[f"GET {DAG}"] = (200, {"dag_id": "footage_ho", "is_paused": False})
    fake.answers[f"GET {DAG}/dagRuns"] = (200, {"dag_runs": [], "total_entries": 0})
    yield fake
    fake.server.shutdown()
    fake.server.server_close()


@pytest.fixture
def vms(catalogue: tuple[Home, str], airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Vms:
    home = catalogue[0]
    home.sites_file.write_text(f"sites:\n- id: ho\n  name: Head office\n  time_zone: WIB\n  footage: {tmp_path}/nvr\n")
    monkeypatch.setenv("VMS_HOME", str(home.root))
    monkeypatch.setenv("VMS_SITES", str(home.sites_file))
    monkeypatch.setenv("VMS_AIRFLOW_PORT", str(airflow.server.server_port))
    monkeypatch.setattr(run, "POLL_S", 0.01)
    app = typer.Typer()
    run.register(app)
    app.callback()(lambda: None)  # else the only command would need no name
    return lambda *words: CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})


def a_dag_run(run_id: str, state: str) -> dict[str, Any]:
    return {"dag_id": "footage_ho", "dag_run_id": run_id, "state": state}


def runs_through(airflow: FakeAirflow, run_id: str, states: list[str], at_end: Callable[[], None]) -> None:
    """Triggered or found, this run goes through the states, one at each question; at_end before the last is told."""
    left = list(states)

    def told(_asked: dict[str, Any]) -> Answer:
        if len(left) == 1:
            at_end()
            return 200, a_dag_run(run_id, left[0])
        return 200, a_dag_run(run_id, left.pop(0))

    airflow.answers[f"GET {DAG}/dagRuns/{run_id}"] = told
    tasks = [
        {
            "task_id": "batch.compress",
            "map_index": 0,
            "rendered_map_index": "lobby",
            "state": "running",
            "try_number": 1,
        },
        {"task_id": "batch.upload", "map_index": 0, "rendered_map_index": "lobby", "state": "failed", "try_number": 3},
    ]
    airflow.answers[f"GET {DAG}/dagRuns/{run_id}/taskInstances"] = (
        200,
        {"task_instances": tasks, "total_entries": len(tasks)},
    )


def archive(conn: Connection, run_id: str, *, at: datetime = NOW, faults: tuple[Fault | None, ...] = (None,)) -> None:
    reference = replace(a_run(), run_id=run_id)
    plan = plan_run(conn, a_site(), sensed(*five_minute_files(len(faults)), at=at), reference, NOW)
    for batch in plan.batches:
        receipts = [receipt_for(item, batch, fault=fault) for item, fault in zip(batch.items, faults, strict=True)]
        record_receipts(conn, batch, receipts, reference, NOW, None)


def test_without_waiting_a_run_is_triggered_and_told(airflow: FakeAirflow, vms: Vms) -> None:
    airflow.answers[f"POST {DAG}/dagRuns"] = (200, a_dag_run("m1", "queued"))
    told = vms("run", "ho", "--json")
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout) == {
        "site": "ho", "dag_id": "footage_ho", "run_id": "m1", "state": "queued", "started": True,
    }  # fmt: skip
    assert not any("pause" in json.dumps(asked) for _, asked in airflow.asked)


def test_waits_and_ends_with_the_table_of_the_catalogue(airflow: FakeAirflow, conn: Connection, vms: Vms) -> None:
    airflow.answers[f"POST {DAG}/dagRuns"] = (200, a_dag_run("m1", "queued"))
    runs_through(airflow, "m1", ["queued", "running", "success"], lambda: archive(conn, "m1", faults=(None, BROKEN)))
    told = vms("run", "ho", "--wait")
    assert told.exit_code == 0, told.output
    assert "Head office" in told.output
    assert "50.0 MB" in told.output
    assert "82%" in told.output
    assert "quarantined ho: lobby/00" in told.output
    assert BROKEN.remedy in told.output


def test_a_failed_run_gives_the_reasons_and_exit_code_1(airflow: FakeAirflow, conn: Connection, vms: Vms) -> None:
    airflow.answers[f"POST {DAG}/dagRuns"] = (200, a_dag_run("m1", "queued"))
    runs_through(airflow, "m1", ["failed"], lambda: archive(conn, "m1", faults=(AWAY,)))
    log = [{"event": "x", "level": "error", "error_detail": [{"exc_value": "nas is away"}]}]
    airflow.answers[f"GET {DAG}/dagRuns/m1/taskInstances/batch.upload/logs/3"] = (200, {"content": log})
    told = vms("run", "ho", "--wait", "--json")
    assert told.exit_code == 1
    outcome = json.loads(told.stdout)
    assert (outcome["state"], outcome["planned"], outcome["archived"]) == ("failed", 1, 0)
    file, task = outcome["problems"]
    assert (file["file"], file["reason"], file["remedy"]) == ("lobby/000.mp4", "store_unreachable", AWAY.remedy)
    assert (task["reason"], task["message"]) == ("task batch.upload lobby", "nas is away")


def test_a_run_that_has_yet_to_look_is_waited_for(airflow: FakeAirflow, conn: Connection, vms: Vms) -> None:
    under_way = [a_dag_run("s1", "running"), a_dag_run("s2", "queued")]
    airflow.answers[f"GET {DAG}/dagRuns"] = (200, {"dag_runs": under_way, "total_entries": 2})
    runs_through(airflow, "s2", ["queued", "running", "success"], lambda: archive(conn, "s2"))
    told = vms("run", "ho", "--wait", "--json")
    assert told.exit_code == 0, told.output
    assert "queued already (s2)" in told.stderr
    assert (json.loads(told.stdout)["run_id"], json.loads(told.stdout)["started"]) == ("s2", False)


def test_a_further_run_is_queued_behind_one_that_may_have_looked(airflow: FakeAirflow, vms: Vms) -> None:
    under_way = {"dag_runs": [a_dag_run("s1", "running")], "total_entries": 1}
    airflow.answers[f"GET {DAG}/dagRuns"] = (200, under_way)
    airflow.answers[f"POST {DAG}/dagRuns"] = (200, a_dag_run("m1", "queued"))
    told = vms("run", "ho", "--json")
    assert told.exit_code == 0, told.output
    assert "behind s1" in told.stderr
    assert (json.loads(told.stdout)["run_id"], json.loads(told.stdout)["started"]) == ("m1", True)


def test_a_new_site_is_waited_for_until_airflow_has_read_it(airflow: FakeAirflow, vms: Vms) -> None:
    answers: list[Answer] = [(404, {}), (404, {}), (200, {"dag_id": "footage_ho", "is_paused": False})]
    airflow.answers[f"GET {DAG}"] = lambda _asked: answers.pop(0)
    airflow.answers[f"POST {DAG}/dagRuns"] = (200, a_dag_run("m1", "queued"))
    told = vms("run", "ho")
    assert told.exit_code == 0
    assert "waiting for it" in told.output
    assert answers == []


def test_what_can_not_run_is_refused(
    airflow: FakeAirflow, vms: Vms, monkeypatch: pytest.MonkeyPatch, catalogue: tuple[Home, str]
) -> None:
    airflow.answers[f"GET {DAG}"] = (200, {"dag_id": "footage_ho", "is_paused": True})
    paused = vms("run", "ho").exception
    assert isinstance(paused, StackError)
    assert "paused in Airflow" in str(paused)
    airflow.answers[f"GET {DAG}"] = (404, {})
    monkeypatch.setattr(run.start, "__kwdefaults__", {"patience_s": 0.1})
    assert "after 0 s (DAG footage_ho)" in str(vms("run", "ho").exception)
    assert "Did you mean 'ho'" in str(vms("run", "hoo").exception)
    assert vms("run").exit_code == 2
    catalogue[0].sites_file.write_text("sites:\n- id: ho\n  fotage: /x\n")
    broken = vms("run", "--all")
    assert "fotage" in broken.output
    assert broken.exit_code == 1
