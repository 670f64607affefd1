"""The retention DAG with real parts: real stores, a real Postgres, Airflow's own run of it, and its real approval."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import gcs_server
import pytest

import weed
from airflow_runs import AirflowRuns, DagRunResult, migrate
from catalogue_world import ask, opened
from purge_world import PurgeWorld, a_world
from vms.catalogue import holds, purge_plans
from vms.config import StoreConfig
from vms.home import Home
from vms.stack.airflow_env import airflow_environment

pytestmark = pytest.mark.slow

SITES = """
stores:
  nas: {{url: '{nas}'}}
  cloud: {{url: '{cloud}', conn_id: office_s3}}
  google: {{url: '{google}', conn_id: test_gs}}
sites:
  - {{id: ho, footage: {folder}/nvr, time_zone: WIB, stores: [nas, cloud, google]}}
"""

ANSWER = """
import sys, time
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import handle_event_submit
from airflow.triggers.base import TriggerEvent
from airflow.utils import timezone
from airflow.utils.session import create_session
from sqlalchemy import select

until = time.monotonic() + 120
while time.monotonic() < until:
    with create_session() as session:
        found = session.scalars(select(HITLDetail).where(HITLDetail.responded_at.is_(None))).first()
        if found is not None and found.task_instance.state == "awaiting_input":
            found.responded_at, found.chosen_options = timezone.utcnow(), [sys.argv[1]]
            found.responded_by, found.params_input = {"id": "7", "name": "owner"}, {}
            handle_event_submit(TriggerEvent(found.as_resume_event_payload()), task_instance=found.task_instance,
                                session=session)
            print("asked:", found.body)
            break
    time.sleep(0.5)
"""


class Office:
    """A site with a folder and two buckets, and the Airflow that runs its retention."""

    def __init__(self, world: PurgeWorld, airflow: AirflowRuns, environment: dict[str, str]) -> None:
        self.world, self.airflow, self.environment, self.runs = world, airflow, environment, 0

    def run(self) -> DagRunResult:
        self.runs += 1
        return self.airflow.run("retention", datetime(2026, 1, self.runs, tzinfo=UTC))

    def run_and_answer(self, option: str) -> tuple[DagRunResult, str]:
        """Run it while somebody answers what it asks."""
        said: list[str] = []

        def answer() -> None:
            command = [sys.executable, "-c", ANSWER, option]
            done = subprocess.run(
                command, env=self.environment, capture_output=True, text=True, timeout=150, check=True
            )
            said.append(done.stdout)

        person = threading.Thread(target=answer)
        person.start()
        result = self.run()
        person.join()
        return result, said[0] if said else ""


@pytest.fixture(scope="module")
def airflow_tables(postgres: Home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("airflow") / "airflow.db"
    migrate(airflow_environment(postgres) | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{path}"})
    return path


@pytest.fixture
def office(
    catalogue: tuple[Home, str],
    airflow_tables: Path,
    tmp_path: Path,
    s3_server: weed.S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Office]:
    home, owner_url = catalogue
    with gcs_server.run_gcs() as google, opened(owner_url) as conn:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", google.endpoint)
        monkeypatch.setenv("AIRFLOW_CONN_TEST_GS", gcs_server.CONNECTION)
        monkeypatch.setenv("AIRFLOW_CONN_OFFICE_S3", weed.connection_text(s3_server.endpoint))
        google.make_bucket()
        urls = {
            "nas": f"file://{tmp_path}/nas",
            "cloud": f"s3://{weed.BUCKET}/{secrets.token_hex(8)}",
            "google": f"gs://{gcs_server.BUCKET}/footage",
        }
        home.sites_file.write_text(SITES.format(folder=tmp_path, **urls))
        ids = {"nas": "", "cloud": "office_s3", "google": "test_gs"}
        world = a_world(conn, tmp_path, [StoreConfig(name, url, ids[name]) for name, url in urls.items()])
        tables = shutil.copy(airflow_tables, tmp_path)
        environment = airflow_environment(home) | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tables}"}
        environment["STORAGE_EMULATOR_HOST"] = google.endpoint
        airflow = AirflowRuns(environment)
        try:
            yield Office(world, airflow, environment)
        finally:
            airflow.close()


def test_seven_months_old_footage_goes_from_folder_s3_and_google_and_a_held_minute_stays(office: Office) -> None:
    world = office.world
    world.steady()
    old, young = world.archive(4, 212), world.archive(2, 20)
    ((start,),) = ask(world.conn, "SELECT start_at FROM recording WHERE recording_id = %s", old[1])
    minute = start + timedelta(minutes=2)
    holds.add_hold(world.conn, [("ho", "lobby")], minute, minute + timedelta(minutes=1), "theft", "hr", world.now)

    done = office.run()

    assert done.state == "success", done.log[-6000:]
    assert weed.SECRET not in done.log
    assert world.custody(*old, *young) == [3, 1, 3, 3, 1, 1]
    for name in ("nas", "cloud", "google"):
        assert world.objects(name) == world.keys_of(old[1], *young, store=name), name
    (plan,) = purge_plans.list_plans(world.conn, 5)
    assert (plan.state, plan.copies, plan.recordings, plan.outcome["gone"]) == ("done", 9, 3, 9)
    assert plan.kept["held"]["copies"] == 3
    assert "hold 1 keeps back 1 recording" in done.log
    assert sorted(done.names.values()) == ["cloud", "google", "nas"]
    assert done.tasks["approval"] == "success"

    again = office.run()
    assert again.state == "success", again.log[-6000:]
    assert purge_plans.list_plans(world.conn, 1)[0].copies == 0


def test_an_unusual_plan_waits_for_a_person_whose_yes_or_no_counts(office: Office) -> None:
    world = office.world
    world.steady()
    old = world.archive(25, 212)

    refused, asked = office.run_and_answer("Reject")

    assert "UNUSUAL" in asked, refused.log[-6000:]
    assert refused.state == "success", refused.log[-6000:]
    assert world.custody(*old) == [1] * 25
    assert purge_plans.list_plans(world.conn, 1)[0].state == "rejected"

    approved, _ = office.run_and_answer("Approve")

    assert approved.state == "success", approved.log[-6000:]
    assert world.custody(*old) == [3] * 25
    (plan,) = purge_plans.list_plans(world.conn, 1)
    assert (plan.state, plan.answered_by, plan.answered_how) == ("done", "owner", "Airflow")


@pytest.mark.parametrize(("answer", "custody"), [("ready", 3), ("rejected", 1)])
def test_what_was_answered_before_the_question_was_put_is_not_asked(office: Office, answer: str, custody: int) -> None:
    """By the command line, in the moment in which the task begins to wait: the task starts anew."""
    world = office.world
    world.steady()
    old = world.archive(25, 212)
    with world.conn, world.conn.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION answer_at_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" NEW.state := '{answer}'; NEW.answered_by := 'budi'; NEW.answered_how := 'command line';"
            " NEW.answered_at := now(); RETURN NEW; END $$;"
            "CREATE TRIGGER answer_at_once BEFORE UPDATE ON purge_plan FOR EACH ROW WHEN (NEW.state = 'waiting')"
            " EXECUTE FUNCTION answer_at_once()"
        )
    done = office.run()
    assert done.state == "success", done.log[-6000:]
    assert "budi (command line) has decided that" in done.log
    assert world.custody(*old) == [custody] * 25


def test_a_store_that_was_emptied_keeps_everything_and_the_run_asks(office: Office) -> None:
    world = office.world
    world.steady()
    world.archive(3, 212)
    shutil.rmtree(world.folder / "nas" / "ho")
    done, asked = office.run_and_answer("Reject")
    assert "it was emptied" in asked.replace("\n", " "), done.log[-3000:]
    assert len(world.objects("cloud")) == len(world.objects("google")) == 9
