"""The client of Airflow's API against a small server of our own: what it asks, and what it says when asking fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_airflow import Answer, FakeAirflow
from vms.airflow_api import AirflowApi, TaskRun
from vms.errors import StackError
from vms.home import Home, from_environment

RUN = {"dag_id": "footage_ho", "dag_run_id": "manual__1", "state": "queued", "start_date": None, "end_date": None}


@pytest.fixture
def airflow() -> Iterator[FakeAirflow]:
    fake = FakeAirflow()
    yield fake
    fake.server.shutdown()
    fake.server.server_close()


@pytest.fixture
def home(tmp_path: Path, airflow: FakeAirflow) -> Home:
    port = str(airflow.server.server_port)
    return from_environment({"VMS_HOME": str(tmp_path), "VMS_AIRFLOW_PORT": port})


def test_logs_in_as_the_homes_admin_and_triggers_for_now(airflow: FakeAirflow, home: Home) -> None:
    airflow.answers["POST /api/v2/dags/footage_ho/dagRuns"] = (200, RUN)
    with AirflowApi(home) as api:
        run = api.trigger("footage_ho", "because")
    assert (run.run_id, run.state, run.active, run.started_at) == ("manual__1", "queued", True, None)
    assert airflow.asked == [
        ("POST /auth/token", {"username": "admin", "password": home.secret("airflow_admin")}),
        ("POST /api/v2/dags/footage_ho/dagRuns", {"logical_date": None, "note": "because"}),
    ]


def test_logs_in_anew_when_the_token_is_no_longer_taken(airflow: FakeAirflow, home: Home) -> None:
    airflow.answers["GET /api/v2/dags/d"] = (200, {"dag_id": "d", "dag_display_name": "D", "is_paused": True})
    with AirflowApi(home) as api:
        assert api.dag("d") is not None
        airflow.token = "second"
        dag = api.dag("d")
    assert dag is not None
    assert (dag.name, dag.paused) == ("D", True)


def test_unknown_dag(airflow: FakeAirflow, home: Home) -> None:
    with AirflowApi(home) as api:
        assert api.dag("footage_new") is None
        with pytest.raises(StackError, match=r"does not know the DAG footage_new.*still being parsed.*vms sites check"):
            api.trigger("footage_new", "")
        with pytest.raises(StackError, match="no run gone of footage_new"):
            api.run("footage_new", "gone")
    assert airflow.asked


def test_reads_all_pages(airflow: FakeAirflow, home: Home) -> None:
    def page(asked: dict[str, Any]) -> Answer:
        offset, limit = int(asked["offset"][0]), int(asked["limit"][0])
        ids = range(offset, min(250, offset + limit))
        rows = [{"dag_id": f"d{one}", "is_paused": False} for one in ids]
        return 200, {"dags": rows, "total_entries": 250}

    airflow.answers["GET /api/v2/dags"] = page
    with AirflowApi(home) as api:
        assert [dag.dag_id for dag in api.dags()] == [f"d{one}" for one in range(250)]


def test_active_runs_tasks_and_clear(airflow: FakeAirflow, home: Home) -> None:
    airflow.answers["GET /api/v2/dags/d/dagRuns"] = (200, {"dag_runs": [RUN], "total_entries": 1})
    airflow.answers["GET /api/v2/dags/d/dagRuns/a%2Bb/taskInstances"] = (
        200,
        {
            "task_instances": [
                {"task_id": "t", "map_index": 2, "rendered_map_index": "lobi", "state": None, "try_number": 1}
            ],
            "total_entries": 1,
        },
    )
    airflow.answers["POST /api/v2/dags/d/clearTaskInstances"] = (200, {"task_instances": [{}, {}]})
    with AirflowApi(home) as api:
        assert [run.run_id for run in api.active_runs("d")] == ["manual__1"]
        assert airflow.asked[-1][1]["state"] == ["queued", "running"]
        assert api.tasks("d", "a+b") == [TaskRun("t", 2, "lobi", None, 1)]
        assert api.clear("d", "a+b") == 2
    assert airflow.asked[-1][1] == {"dag_run_id": "a+b", "dry_run": False, "only_failed": True}


def test_failure_is_the_error_of_the_log(airflow: FakeAirflow, home: Home) -> None:
    path = "GET /api/v2/dags/d/dagRuns/r/taskInstances/sense/logs/2"
    told = [
        {"event": "looked", "level": "info"},
        {"event": "Task failed", "level": "error", "error_detail": [{"exc_value": "/mnt/nvr is not there."}]},
        {"event": "done", "level": "info"},
    ]
    airflow.answers[path] = (200, {"content": told})
    with AirflowApi(home) as api:
        assert api.failure("d", "r", TaskRun("sense", -1, "", "failed", 2)) == "/mnt/nvr is not there."
        assert api.failure("d", "r", TaskRun("other", -1, "", "failed", 1)) == ""


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((500, {"detail": "boom"}), r"failed to answer GET /dags/d \(500: boom\).*Try again"),
        ((409, {"detail": "exists"}), r"refused GET /dags/d \(409: exists\)"),
        ((200, b"<html>"), r"not Airflow's API.*VMS_AIRFLOW_PORT"),
        ((502, b"bad gateway"), r"502: bad gateway"),
    ],
)
def test_bad_answers_are_told_in_words(airflow: FakeAirflow, home: Home, answer: Answer, said: str) -> None:
    airflow.answers["GET /api/v2/dags/d"] = answer
    with AirflowApi(home) as api, pytest.raises(StackError, match=said):
        api.dag("d")


def test_another_homes_airflow(airflow: FakeAirflow, home: Home) -> None:
    airflow.answers["POST /auth/token"] = (401, {"detail": "Invalid credentials"})
    with AirflowApi(home) as api, pytest.raises(StackError, match=r"refuses the user admin.*VMS_AIRFLOW_PORT"):
        api.dags()


def test_airflow_is_down(airflow: FakeAirflow, home: Home) -> None:
    airflow.server.shutdown()
    airflow.server.server_close()
    with AirflowApi(home) as api, pytest.raises(StackError, match=r"does not answer at http.*\./vms up"):
        api.dags()


def test_airflow_hangs(airflow: FakeAirflow, home: Home) -> None:
    release = threading.Event()

    def hang(_asked: dict[str, Any]) -> Answer:
        release.wait(10)
        return 200, {}

    airflow.answers["GET /api/v2/dags/d"] = hang
    with AirflowApi(home, timeout_s=0.3) as api, pytest.raises(StackError, match="did not answer in time"):
        api.dag("d")
    release.set()


def test_another_program_on_the_port(airflow: FakeAirflow, home: Home) -> None:
    airflow.answers["POST /auth/token"] = (404, {"detail": "Not Found"})
    with AirflowApi(home) as api, pytest.raises(StackError, match=r"not Airflow's API.*VMS_AIRFLOW_PORT"):
        api.dags()


def test_a_proxy_of_the_environment_is_not_asked(
    airflow: FakeAirflow, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    airflow.answers["GET /api/v2/dags"] = (200, {"dags": [], "total_entries": 0})
    with AirflowApi(home) as api:
        assert api.dags() == []
