"""In a task, stores are reached through Airflow's hooks, and behave as the ones of the command line do."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from vms.errors import StoreDenied
from vms.stores import connections, s3_client
from vms_airflow.store_clients import use_hooks

SECRET = "nobody may see this"


@pytest.fixture(autouse=True)
def hooks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    extra = {
        "endpoint_url": "http://127.0.0.1:9",
        "region_name": "eu-central-1",
        "config_kwargs": {"read_timeout": 7, "s3": {"us_east_1_regional_endpoint": "regional"}},
    }
    text = json.dumps({"conn_type": "aws", "login": "key", "password": SECRET, "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_COMPANY_S3", text)
    use_hooks()
    yield
    connections.use_clients("s3", None)
    connections.use_clients("gs", None)


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
