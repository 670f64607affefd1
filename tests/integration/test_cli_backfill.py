"""`vms backfill` over a real catalogue and folder, with a small server of our own in Airflow's place."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from catalogue_world import ask
from fake_airflow import Answer, FakeAirflow
from vms.catalogue import backfills
from vms.catalogue.connection import Connection
from vms.cli import backfill
from vms.errors import CatalogueError, ConfigError, StackError
from vms.home import Home

DAG = "/api/v2/dags/backfill"
DAY = ("--from", "2026-01-31", "--to", "2026-01-31")

Vms = Callable[..., Result]

SITES = """
profiles:
  small: {{codec: h264, preset: ultrafast, crf: 40}}
sites:
- {{id: ho, name: Head office, time_zone: WIB, footage: {folder}/ho, cameras: [{{id: lobby}}, {{id: gate}}]}}
- {{id: branch, time_zone: WIT, footage: {folder}/branch}}
"""


@pytest.fixture
def airflow() -> Iterator[FakeAirflow]:
    fake = FakeAirflow()
    fake.answers[f"GET {DAG}"] = (200, {"dag_id": "backfill", "is_paused": False})
    yield fake
    fake.server.shutdown()
    fake.server.server_close()


@pytest.fixture
def vms(catalogue: tuple[Home, str], airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Vms:
    home = catalogue[0]
    home.sites_file.write_text(SITES.format(folder=tmp_path))
    for site in ("ho", "branch"):
        for second in range(3):
            path = tmp_path / site / "lobby" / f"20260131_10000{second}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * 500)
            os.utime(path, (time.time() - 3600, time.time() - 3600))
    monkeypatch.setenv("VMS_HOME", str(home.root))
    monkeypatch.setenv("VMS_SITES", str(home.sites_file))
    monkeypatch.setenv("VMS_AIRFLOW_PORT", str(airflow.server.server_port))
    monkeypatch.setattr(backfill, "POLL_S", 0.01)
    return lambda *words: CliRunner().invoke(backfill.app, list(words), env={"COLUMNS": "200"})


def accepts(airflow: FakeAirflow, states: dict[str, str]) -> None:
    """Runs are queued under the names that are asked for, once; states: what becomes of them, by name."""

    def queue(asked: dict[str, Any]) -> Answer:
        name = asked["dag_run_id"]
        if name in states:
            return 409, {"detail": "it exists"}
        states[name] = "queued"
        airflow.answers[f"GET {DAG}/dagRuns/{name}"] = lambda _asked: (200, a_run(name, states[name]))
        airflow.answers[f"PATCH {DAG}/dagRuns/{name}"] = lambda asked: stop(name, asked)
        airflow.answers[f"GET {DAG}/dagRuns/{name}/taskInstances"] = (200, {"task_instances": [], "total_entries": 0})
        return 200, a_run(name, "queued")

    def stop(name: str, asked: dict[str, Any]) -> Answer:
        states[name] = asked["state"]
        return 200, a_run(name, states[name])

    airflow.answers[f"POST {DAG}/dagRuns"] = queue


def sent(airflow: FakeAirflow) -> list[tuple[str, dict[str, Any]]]:
    """The runs that were asked for, with what each was to do."""
    return [(asked["dag_run_id"], asked["conf"]) for key, asked in airflow.asked if key.startswith("POST /api")]


def a_run(name: str, state: str) -> dict[str, Any]:
    return {"dag_id": "backfill", "dag_run_id": name, "state": state}


def test_a_dry_run_shows_files_and_bytes_and_starts_nothing(airflow: FakeAirflow, vms: Vms, conn: Connection) -> None:
    told = vms("ho", *DAY, "--dry-run", "--json", "--files")
    assert told.exit_code == 0, told.output
    plan = json.loads(told.stdout)["plan"][0]
    assert (plan["files"], plan["bytes"], plan["estimate_s"]) == (3, 1500, None)
    assert (plan["from"], plan["to"]) == ("2026-01-30T17:00:00Z", "2026-01-31T17:00:00Z")
    assert plan["lines"][0]["reason"] == "on_disk"
    assert plan["listed"][0]["name"] == "lobby/20260131_100002.mp4"
    shown = vms("--all", *DAY, "--dry-run", "--files").output
    assert "in the footage folder, not known yet" in shown
    assert "3 files, 1.5 kB, time not known yet" in shown
    assert "2026-01-31 10:00:02 WIT lobby lobby/20260131_100002.mp4" in shown
    assert "this was a dry run" in shown
    assert not any(key.startswith("POST") for key, _ in airflow.asked)
    assert ask(conn, "SELECT count(*) FROM backfill") == [(0,)]


def test_where_nothing_is_to_be_done_nothing_is_started_and_it_says_why(airflow: FakeAirflow, vms: Vms) -> None:
    told = vms("ho", "--from", "2026-01-05", "--to", "2026-01-06")
    assert told.exit_code == 0, told.output
    assert "nothing to do. There is no footage that starts in this time" in told.output
    assert airflow.asked == []


def test_it_is_started_at_every_site_listed_cancelled_and_resumed(
    airflow: FakeAirflow, vms: Vms, conn: Connection
) -> None:
    states: dict[str, str] = {}
    accepts(airflow, states)
    started = vms("--all", *DAY, "--cap", "5Mbit", "--profile", "small", "--camera", "lobby")
    assert started.exit_code == 0, started.output
    assert "started in Airflow, at 2 of 2 sites" in started.output
    (one,) = backfills.list_backfills(conn, 5)
    number = str(one.backfill_id)
    assert set(states) == {f"backfill-{number}-ho-1", f"backfill-{number}-branch-1"}
    _, conf = sent(airflow)[0]
    assert conf["order"]["cap"] == 625_000
    assert (conf["order"]["profile"], conf["order"]["cameras"]) == ("small", ["lobby"])
    assert "missing, small, 5 Mbit/s" in vms("list").output

    cancelled = vms("cancel", number)
    assert f"vms backfill resume {number}" in cancelled.output
    assert set(states.values()) == {"failed"}
    assert backfills.get_backfill(conn, one.backfill_id).state == "cancelled"
    assert "there is nothing to cancel" in vms("cancel", number).output

    resumed = vms("resume", number)
    assert f"goes on (backfill-{number}-ho-2)" in resumed.output
    assert states[f"backfill-{number}-ho-2"] == "queued"
    assert [asked["again"] for _, asked in sent(airflow)] == [False, False, True, True]
    assert "is running" in vms("resume", number).output
    assert len(states) == 4


def test_what_a_crash_stopped_is_shown_as_stopped_and_goes_on(airflow: FakeAirflow, vms: Vms, conn: Connection) -> None:
    states: dict[str, str] = {}
    accepts(airflow, states)
    vms("ho", *DAY)
    (one,) = backfills.list_backfills(conn, 5)
    name = f"backfill-{one.backfill_id}-ho-1"
    states[name] = "failed"
    listed = vms("list", "--json")
    assert json.loads(listed.stdout)[0]["sites"][0]["state"] == "stopped"
    waited = vms("resume", str(one.backfill_id))
    assert f"backfill-{one.backfill_id}-ho-2" in waited.output

    del (
        states[f"backfill-{one.backfill_id}-ho-2"],
        airflow.answers[f"GET {DAG}/dagRuns/backfill-{one.backfill_id}-ho-2"],
    )
    assert f"started (backfill-{one.backfill_id}-ho-2)" in vms("resume", str(one.backfill_id)).output


def test_waiting_ends_with_a_table_by_camera_and_exit_status_1_when_not_all_is_done(
    airflow: FakeAirflow, vms: Vms, conn: Connection
) -> None:
    states: dict[str, str] = {}
    accepts(airflow, states)
    queue = airflow.answers[f"POST {DAG}/dagRuns"]

    def fail(asked: dict[str, Any]) -> Answer:
        assert callable(queue)
        answer = queue(asked)
        backfills.set_state(conn, 1, "ho", "failed", "The NAS is full.", datetime.now(UTC))
        return answer

    airflow.answers[f"POST {DAG}/dagRuns"] = fail
    told = vms("ho", *DAY, "--wait")
    assert told.exit_code == 1
    assert "copies missing" in told.output
    assert "ho: failed. The NAS is full." in told.output
    assert "vms backfill resume 1" in told.output


def test_ctrl_c_ends_only_the_waiting(airflow: FakeAirflow, vms: Vms, monkeypatch: pytest.MonkeyPatch) -> None:
    accepts(airflow, {})

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(backfill.time, "sleep", interrupt)
    told = vms("ho", *DAY, "--wait")
    assert told.exit_code == 130
    assert "goes on in Airflow" in told.output
    assert "vms backfill cancel 1" in told.output


def test_a_running_one_with_the_same_footage_is_named(airflow: FakeAirflow, vms: Vms) -> None:
    accepts(airflow, {})
    assert vms("ho", *DAY, "--camera", "lobby").exit_code == 0
    refused = vms("ho", "--from", "2026-01-31T10:00", "--to", "2026-01-31T11:00").exception
    assert isinstance(refused, CatalogueError)
    assert "Backfill 1 of ho is running" in str(refused)
    assert "vms backfill cancel 1" in str(refused)
    assert vms("ho", *DAY, "--camera", "gate", "--dry-run").exit_code == 0
    assert vms("branch", *DAY, "--dry-run").exit_code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ho",), "give --from and --to"),
        ((*DAY,), "name a SITE, or use --all"),
        (("ho", "--from", "2026-02-01", "--to", "2026-01-31"), "--to is not later than --from"),
        (("ho", "--from", "2126-01-31", "--to", "2126-01-31"), "still to come"),
        (("ho", "--from", "31.1.2026", "--to", "2026-01-31"), "is no time"),
        (("ho", *DAY, "--mode", "mising"), 'Did you mean "missing"'),
        (("ho", *DAY, "--cap", "fast"), "not understood"),
    ],
)
def test_words_that_make_no_sense_are_refused_with_what_is_allowed(vms: Vms, words: tuple[str, ...], said: str) -> None:
    told = vms(*words)
    assert told.exit_code == 2
    assert said in " ".join(told.output.replace("│", " ").split())


def test_unknown_names_are_refused_with_the_nearest(vms: Vms) -> None:
    site = vms("hoo", *DAY).exception
    assert isinstance(site, ConfigError)
    assert "Did you mean 'ho'" in str(site)
    camera = vms("ho", *DAY, "--camera", "lobyb").exception
    assert isinstance(camera, CatalogueError)
    assert 'Did you mean "lobby"' in str(camera)
    profile = vms("ho", *DAY, "--profile", "smal").exception
    assert isinstance(profile, ConfigError)
    assert 'Did you mean "small"' in str(profile)
    assert "There is no backfill 77" in str(vms("resume", "77").exception)


def test_with_airflow_down_or_the_dag_paused_nothing_is_written_and_it_says_what_to_do(
    airflow: FakeAirflow, vms: Vms, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    airflow.answers[f"GET {DAG}"] = (200, {"dag_id": "backfill", "is_paused": True})
    assert "paused in Airflow" in str(vms("ho", *DAY).exception)
    airflow.answers[f"GET {DAG}"] = (404, {})
    assert "does not know the DAG backfill" in str(vms("ho", *DAY).exception)
    monkeypatch.setenv("VMS_AIRFLOW_PORT", "1")
    down = vms("ho", *DAY).exception
    assert isinstance(down, StackError)
    assert "./vms up" in down.remedy
    assert ask(conn, "SELECT count(*) FROM backfill") == [(0,)]


def test_footage_that_only_a_branch_reaches_is_left_to_its_own_runs(catalogue: tuple[Home, str], vms: Vms) -> None:
    path = catalogue[0].sites_file
    path.write_text(path.read_text().replace("{id: branch,", "{id: branch, runs_on: edge,"))
    assert "runs_on: edge" in path.read_text()
    refused = vms("branch", *DAY, "--dry-run").exception
    assert isinstance(refused, ConfigError)
    assert "runs_on: edge" in refused.message
    assert "vms run branch" in refused.remedy
    assert vms("branch", *DAY, "--dry-run", "--mode", "verify").exit_code == 0
    told = vms("--all", *DAY, "--dry-run", "--json")
    assert [one["site"] for one in json.loads(told.stdout)["plan"]] == ["ho"]
