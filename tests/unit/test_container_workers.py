"""Workers in containers: which queues they serve, how much at once, and who says when they do not."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from container_world import home as home  # a fixture

from vms import pulse
from vms.cli import doctor_airflow, doctor_containers, status
from vms.cli.doctor_checks import examine
from vms.home import Home, from_environment
from vms.stack import container, container_worker, postgres, services
from vms.stack.airflow_env import airflow_environment
from vms.stack.fleet_settings import settings_for
from vms.video import slots


class _Parts(BaseHTTPRequestHandler):
    """An API server that misses the triggerer, and a viewer, which does not answer under its container's name."""

    def do_GET(self) -> None:
        well = {"status": "healthy"}
        now = datetime.now(UTC).isoformat()
        said: dict[str, Any] = {"metadatabase": well, "triggerer": {"status": "unhealthy"}}
        said |= {one: well | {f"latest_{one}_heartbeat": now} for one in ("scheduler", "dag_processor")}
        known = self.path == "/api/v2/monitor/health"
        known |= self.path == "/_stcore/health" and self.headers["Host"] == "localhost"
        self.send_response(200 if known else 401)
        self.end_headers()
        self.wfile.write(json.dumps(said).encode())

    def log_message(self, *_: Any) -> None:
        pass


def test_the_doctor_names_each_part_that_does_not_answer_and_where_its_log_is(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert home.parts
    served = {"encode", "centre", "site-jkt"}
    monkeypatch.setattr(doctor_containers, "served_now", lambda _broker: served)
    monkeypatch.setattr(services, "some_answer", lambda _broker: True)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Parts) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = f"http://127.0.0.1:{server.server_address[1]}"
        home = replace(home, parts=replace(home.parts, airflow=here, viewer_inside=here))
        postgres.write_address(home, "127.0.0.1", 9)  # where nobody is
        wrong = [one for one in examine(home, status.look(home)) if not one.ok]
        server.shutdown()
    named = {one.what.split()[0]: one.remedy for one in wrong if "does not answer, or" in one.what}
    assert named.keys() == {"triggerer", "postgres", "exports"}
    assert "docker compose logs triggerer" in named["triggerer"]
    assert [one for one in wrong if "serves site-mks: its tasks wait" in one.what]
    assert not [one for one in wrong if "./vms up" in one.remedy or "Port " in one.what], wrong


@pytest.mark.parametrize(
    ("workers", "down"), [(True, set()), (False, {"worker"}), (None, {"worker", "redis"})], ids=["", "none", "no redis"]
)
def test_the_system_is_not_well_without_workers_broker_or_exports(
    home: Home, monkeypatch: pytest.MonkeyPatch, workers: bool | None, down: set[str]
) -> None:
    assert home.parts
    asked: list[str] = []
    monkeypatch.setattr(services, "some_answer", lambda broker: asked.append(broker) or workers)
    monkeypatch.setattr(services, "_catalogue_answers", lambda _home: True)
    monkeypatch.setattr(services.AirflowHealth, "is_well", lambda _self, _part: True)
    monkeypatch.setattr(services, "answer", lambda *_words, **_more: b"ok")
    home.prepare()
    assert {one.name for one in services.containers_now(home).services if one.state != "ready"} == down | {"exports"}
    pulse.Pulse(home, pulse.EXPORTS).beat()
    seen = services.containers_now(home)
    assert {one.name for one in seen.services if one.state != "ready"} == down
    assert seen.phase == ("failed" if down else "usable")
    assert set(asked) == {"redis://:broker-word@redis:6379/0"}
    elsewhere = replace(home, parts=replace(home.parts, broker=""))
    told = {one.name for one in services.containers_now(elsewhere).services}
    assert told.isdisjoint({"redis", "worker"}), "who has no key to the broker says nothing of it"


def test_which_queues_are_served_is_asked_over_the_broker() -> None:
    pytest.importorskip("celery", reason="only the containers have it")
    assert container_worker.served_now("memory://") == frozenset()
    assert container_worker.some_answer("memory://") is False
    away = f"redis://127.0.0.1:{postgres.free_port()}/0"
    assert (container_worker.served_now(away), container_worker.some_answer(away)) == (None, None)


def test_a_waiting_task_may_begin_until_it_is_asked_for_anew(home: Home) -> None:
    """Its token is good for the queued timeout and the leeway; it is looked for at intervals, and then starts."""
    told = airflow_environment(home)
    start_s = 60.0
    anew = float(told["AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL"])
    assert float(told["AIRFLOW__API_AUTH__JWT_LEEWAY"]) >= anew + start_s


def test_on_one_machine_nothing_of_that_counts(tmp_path: Path) -> None:
    alone = from_environment({"VMS_HOME": str(tmp_path)})
    postgres.write_address(alone, "127.0.0.1", 5432)
    told = airflow_environment(alone)
    assert told["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert "AIRFLOW__CORE__AUTH_MANAGER" not in told
    assert not [name for name in told if "CELERY" in name]
    assert told["AIRFLOW__API__HOST"] == "127.0.0.1"


def test_airflow_reads_less_often_and_starts_more_at_once_the_more_sites_there_are(home: Home, tmp_path: Path) -> None:
    few = airflow_environment(home)
    assert few["AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL"] == "30"
    text = home.sites_file.read_text()
    home.sites_file.write_text(
        text + "".join(f"  - {{ id: b{number}, footage: {tmp_path}/b{number} }}\n" for number in range(998))
    )
    many = airflow_environment(home)
    assert (few["AIRFLOW__API__WORKERS"], many["AIRFLOW__API__WORKERS"]) == ("1", "3")
    assert many["AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL"] == "300"
    for name in ("CORE__DAGBAG_IMPORT_TIMEOUT", "DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT"):
        assert int(many[f"AIRFLOW__{name}"]) > int(few[f"AIRFLOW__{name}"])
    for name, at_most in settings_for(10**6).items():
        if name.startswith("SCHEDULER__"):
            assert int(few[f"AIRFLOW__{name}"]) < int(many[f"AIRFLOW__{name}"]) == int(at_most)
    home.sites_file.write_text("sites: [")
    assert airflow_environment(home) == few  # what can't be read must not keep Airflow from starting and saying so


def test_the_doctor_says_when_the_fleet_has_outgrown_what_airflow_was_started_with(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told() -> list[tuple[str, str]]:
        return [(one.what, one.remedy) for one in doctor_airflow.fleet("Nothing appears", home)]

    def grow(first: int, last: int) -> None:
        more = [f"  - {{ id: b{number}, footage: {tmp_path}/b{number} }}\n" for number in range(first, last)]
        home.sites_file.write_text(home.sites_file.read_text() + "".join(more))

    def start(part: str) -> None:
        container.run_airflow(home, part)

    home.prepare()
    for one in ("wait_prepared", "_become", "part_environment"):
        monkeypatch.setattr(container, one, lambda *_words: airflow_environment(home))
    monkeypatch.setattr(container.airflow_tables, "are_old", lambda _home: False)
    assert told() == [], "who has not said what it was started with is not guessed at"
    for part in container.AIRFLOW:
        start(part)
    grow(0, 95)
    assert told() == [], "up to a hundred nothing changes"
    grow(95, 298)
    ((what, remedy),) = told()
    assert "(scheduler, dag-processor)" in what
    assert "docker compose restart scheduler dag-processor;" in remedy
    grow(298, 398)
    start("scheduler")
    assert "docker compose restart api-server dag-processor;" in told()[0][1]
    on_one_machine = services.airflow_services(home)
    for service in on_one_machine:
        service.prepare()
    assert told() == []
    grow(398, 450)
    assert told() == [], "a few more make no difference"
    for before in (399, 799):
        home.sites_file.write_text("sites:\n")
        grow(0, before)
        for service in on_one_machine:
            service.prepare()
        grow(before, before + 1)
        assert told() == [], "one more is not far more, whatever goes by it"


def test_a_worker_encodes_in_one_half_and_does_the_rest_in_the_other(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VMS_WORKER_QUEUES", raising=False)
    assert container_worker.served_by(home) == {"encode": ("encode",), "main": ("centre", "site-jkt", "site-mks")}
    with home.sites_file.open("a") as sites:
        sites.write("  - { id: branch, footage: /b, runs_on: edge }\n  - { id: depot, footage: /d, runs_on: worker }\n")
    assert container_worker.served_by(home)["main"] == ("centre", "site-jkt", "site-mks"), "theirs serve the others"
    whole = home.sites_file.read_text()
    home.sites_file.write_text("sites: [")
    assert container_worker.every_queue(home) == (), "nobody leaves a site because of a slip in the file"
    assert container_worker.served_by(home)["main"] == ("centre",)
    home.sites_file.write_text(whole)
    monkeypatch.setenv("VMS_WORKER_QUEUES", "encode")
    assert container_worker.served_by(home) == {"encode": ("encode",)}
    monkeypatch.setenv("VMS_WORKER_QUEUES", "site-b, site-c")
    assert container_worker.served_by(home) == {"main": ("site-b", "site-c")}


def test_workers_that_share_a_state_folder_have_slots_of_their_own(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "cores", lambda: 1)
    monkeypatch.setattr(slots.socket, "gethostname", lambda: "one")
    with slots.encode_slot(home, 1):
        assert slots._free_slot(slots.slots_folder(home), 1) is None, "it is taken"
        monkeypatch.setattr(slots.socket, "gethostname", lambda: "two")
        slots.slots_folder(home).mkdir(parents=True, exist_ok=True)
        handle = slots._free_slot(slots.slots_folder(home), 1)
        assert handle is not None
        os.close(handle)
