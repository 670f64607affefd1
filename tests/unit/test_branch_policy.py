"""What `vms branch policy` prints can be pasted into a shell, and says the same as the policy."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from vms.cli import branch_policy
from vms.cli.branch_policy import policy_of
from vms.config import StoreConfig
from vms.errors import ConfigError

SITES = """
stores:
  aws: {url: 's3://company/cctv'}
  weed: {url: 's3://company/cctv2', conn_id: office}
  google: {url: 'gs://company-g/cctv'}
  nas: {url: 'file:///nas'}
sites:
  - {id: ho, name: HO, time_zone: Asia/Jakarta, footage: /footage, stores: [aws, weed, google, nas]}
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    (tmp_path / "sites.yaml").write_text(SITES)
    monkeypatch.setenv("VMS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VMS_SITES", str(tmp_path / "sites.yaml"))
    office = {"conn_type": "aws", "login": "a", "password": "hunter2", "extra": {"endpoint_url": "http://nas:8333"}}
    monkeypatch.setenv("AIRFLOW_CONN_OFFICE", json.dumps(office))
    app = typer.Typer()
    app.callback()(lambda: None)
    branch_policy.register(app)
    return app


def test_each_store_gets_its_kind_of_policy(app: typer.Typer) -> None:
    done = CliRunner().invoke(app, ["policy", "ho", "--json"])
    aws, weed, google, nas = map(json.loads, done.stdout.splitlines())
    assert [one["kind"] for one in (aws, weed, google, nas)] == ["aws", "s3-compatible", "google", "folder"]
    (statement, deny) = aws["policy"]["Statement"]
    assert statement["Resource"] == "arn:aws:s3:::company/cctv/ho/*"
    assert deny["Effect"] == "Deny"
    ((_, command),) = aws["commands"]
    words = shlex.split(command)
    assert words[:5] == ["aws", "iam", "put-user-policy", "--user-name", "vms-branch-ho"]
    assert json.loads(words[-1]) == aws["policy"]
    assert len(words[-1]) < 2048  # the most that IAM takes for a user

    assert [one["Effect"] for one in weed["policy"]["Statement"]] == ["Allow"]
    (_, minio), (_, seaweedfs) = weed["commands"]
    assert json.loads(shlex.split(minio)[2]) == weed["policy"]
    users = json.loads(seaweedfs)
    assert users["identities"][0]["actions"] == []
    assert json.loads(users["policies"][0]["content"]) == weed["policy"]
    assert "versioning" in weed["notes"][0]

    (_, role), (_, bind) = google["commands"]
    assert "--permissions=storage.objects.create" in shlex.split(role)
    expression = google["policy"]["condition"]["expression"]
    assert shlex.split(bind)[-1] == f"--condition=title=vms-branch-ho,expression={expression}"
    assert (nas["policy"], nas["commands"]) == ({}, [])
    assert "hunter2" not in done.stdout


def test_it_is_printed_for_people(app: typer.Typer) -> None:
    told = CliRunner().invoke(app, ["policy", "ho", "--store", "aws"])
    assert told.exit_code == 0
    assert '"Sid": "OverwriteNothing"' in told.stdout
    assert "secrets/connections.json" in told.stdout
    unknown = CliRunner().invoke(app, ["policy", "ho", "--store", "googel"]).exception
    assert isinstance(unknown, ConfigError)
    assert 'Did you mean "google"?' in str(unknown)


def test_a_whole_bucket_has_no_prefix() -> None:
    made = policy_of("ho", StoreConfig("aws", "s3://company"))
    assert made.policy["Statement"][0]["Resource"] == "arn:aws:s3:::company/ho/*"
