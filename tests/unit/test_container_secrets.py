"""What each part in a container is told, and what none is: secrets, accounts, who signs and vouches."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from container_world import GIVEN
from container_world import compose as compose  # fixtures
from container_world import home as home
from cryptography import x509

from vms import backups, dumps
from vms.airflow_api import AirflowApi
from vms.branches import authority
from vms.catalogue.connection import url
from vms.errors import BranchError, ConfigError, StackError
from vms.home import PROJECT_ROOT, Home, from_environment
from vms.restoring import running_server
from vms.stack import (
    airflow_accounts,
    airflow_tables,
    container,
    launch,
    postgres,
    signing,
)
from vms.stack.addresses import airflow_pages, airflow_url, viewer_pages
from vms.stack.airflow_env import airflow_environment, owner_url, viewer_environment
from vms_airflow import accounts


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
        one = dumps.Manifest(f"{at:%Y%m%dT%H%M%SZ}_0123456789ab", at, 4, "0" * 64, "0001", 18, {}, "")
        folder.mkdir(exist_ok=True)
        (folder / one.dump_name).write_bytes(b"dump")
        (folder / one.manifest_name).write_text(dumps.manifest_text(one))

    viewers = home.root / "backups"
    lay(viewers, 1)
    lay(viewers, 2)
    (viewers / "20260503T000000Z_0123456789ab.json").symlink_to(tmp_path / "elsewhere")
    kept = replace(home, backups_folder=tmp_path / "volume")
    assert backups.last_made_at(replace(home, backups_folder=tmp_path / "none")) is None
    assert backups.take_over(kept) == 2
    backups.note_last(kept, datetime(2026, 5, 3, tzinfo=UTC))
    assert [one.made_at.day for one in backups.local_backups(kept)] == [2, 1]
    assert backups.local_backups(home) == []
    assert backups.last_made_at(home) == datetime(2026, 5, 2, tzinfo=UTC), "the viewer knows when, and sees none"
    lay(viewers, 9)  # by who can write there
    assert backups.take_over(kept) == 0
    assert [one.made_at.day for one in backups.local_backups(kept)] == [2, 1]
    assert backups.take_over(replace(home, parts=None)) == 0, "on one machine they are where they belong"


def test_that_no_backup_was_ever_made_is_told_in_containers_too(home: Home) -> None:
    """Whose secrets are no files, and whose viewer sees no backups."""
    began = datetime(2026, 5, 1, tzinfo=UTC)
    assert backups.overdue(home, began) == ""
    backups.note_last(home, began)
    backups.note_last(home, began + timedelta(days=3))  # init has run again
    assert backups.not_backed_up_since(home) == began
    assert backups.overdue(home, began + timedelta(days=1)) == ""
    assert "never backed up" in backups.overdue(home, began + timedelta(days=4))


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
