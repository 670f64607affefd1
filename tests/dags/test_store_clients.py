"""In a task, stores are reached through Airflow's hooks, and behave as the ones of the command line do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vms.errors import StoreDenied
from vms.home import PROJECT_ROOT, Home, from_environment
from vms.stack import airflow_env
from vms.stores import s3_client
from vms_airflow.store_clients import use_hooks

SECRET = "nobody may see this"


@pytest.fixture(autouse=True)
def hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {
        "endpoint_url": "http://127.0.0.1:9",
        "region_name": "eu-central-1",
        "config_kwargs": {"read_timeout": 7, "s3": {"us_east_1_regional_endpoint": "regional"}},
    }
    text = json.dumps({"conn_type": "aws", "login": "key", "password": SECRET, "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_COMPANY_S3", text)
    use_hooks()


def test_the_s3_client_of_a_task_is_the_hook_s_and_behaves_as_ours() -> None:
    hooked, ours = s3_client.client("company_s3"), s3_client.make_client("company_s3")
    assert "Airflow" in hooked.meta.config.user_agent_extra
    for one in (hooked, ours):
        assert one.meta.endpoint_url == "http://127.0.0.1:9"
        assert one.meta.region_name == "eu-central-1"
        config = one.meta.config
        assert (config.connect_timeout, config.read_timeout, config.tcp_keepalive) == (s3_client.CONNECT_S, 7, True)
        assert config.signature_version == "s3v4"
        assert config.s3["addressing_style"] == "path"
        assert config.retries["mode"] == "standard"
    assert s3_client.client("company_s3") is hooked


def test_a_connection_that_airflow_does_not_know_is_denied_by_name() -> None:
    with pytest.raises(StoreDenied, match="AIRFLOW_CONN_NOT_THERE"):
        s3_client.client("not_there")


def test_google_s_client_is_the_hook_s_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from vms.stores import gcs_client

    text = json.dumps({"conn_type": "google_cloud_platform", "extra": {"is_anonymous": True, "project": "office"}})
    monkeypatch.setenv("AIRFLOW_CONN_COMPANY_GS", text)
    assert gcs_client.client("company_gs").project == "office"
    with pytest.raises(StoreDenied, match="AIRFLOW_CONN_NOT_THERE"):
        gcs_client.client("not_there")


def test_no_connection_means_the_machine_s_own_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of the machine")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert "Airflow" not in (s3_client.client("").meta.config.user_agent_extra or "")


AIRFLOW = """
import sys
from airflow.sdk.definitions.connection import Connection
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded
from unittest.mock import MagicMock
from vms.errors import StoreDenied
from vms.stores import s3_client
from vms_airflow.store_clients import use_hooks

if sys.argv[2] == "task":
    task_runner.SUPERVISOR_COMMS = MagicMock()  # what tells Airflow that this is a task's process
print("said", type(ensure_secrets_backend_loaded()[0]).__name__)
use_hooks()
for conn_id in sys.argv[3:]:
    try:
        client = s3_client.client(conn_id)
        print("said", "Airflow" in client.meta.config.user_agent_extra, client._get_credentials().access_key)
    except StoreDenied as denied:
        print("said", denied)
"""


def test_airflow_s_hooks_know_the_file_s_connections_and_the_variable_wins(tmp_path: Path) -> None:
    home = from_environment({"VMS_HOME": str(tmp_path / "home")})
    home.prepare()
    # an entry with a field that Airflow does not know costs no other one
    wrong = {"conn_type": "aws", "no such field": 1}
    mine = {"conn_type": "aws", "login": "of the file", "password": SECRET, "extra": {"region_name": "x"}}
    home.connections.write_text(json.dumps({"company_s3": mine, "branch": mine, "wrong": wrong}))

    said = ask_airflow(home, "task", "company_s3", "branch")

    assert said == ["ConnectionsFile", "True key", "True of the file"]


def test_a_broken_file_is_named_by_the_task_although_airflow_skips_it(tmp_path: Path) -> None:
    home = from_environment({"VMS_HOME": str(tmp_path / "home")})
    home.prepare()
    home.connections.write_text(f'{{"branch": {{"password": "{SECRET}"}},\n')
    said = ask_airflow(home, "other", "company_s3", "branch")
    assert said[:2] == ["ConnectionsFile", "True key"]
    assert f"{home.connections} is no JSON at line 2" in said[2]
    assert SECRET not in " ".join(said)


def ask_airflow(home: Home, process: str, *conn_ids: str) -> list[str]:
    """What a process of the stack's Airflow says of these connections; AIRFLOW_CONN_COMPANY_S3 is set."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("VMS_", "AIRFLOW__"))},
        "AIRFLOW__SECRETS__BACKEND": airflow_env.FIXED["SECRETS__BACKEND"],
        "AIRFLOW_HOME": str(home.airflow),
        "VMS_HOME": str(home.root),
        "PYTHONPATH": os.pathsep.join((str(PROJECT_ROOT / "include"), str(PROJECT_ROOT / "plugins"))),
    }
    argv = [sys.executable, "-c", AIRFLOW, "--", process, *conn_ids]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [line.removeprefix("said ") for line in done.stdout.splitlines() if line.startswith("said ")]
