"""Whether the demonstration runs and with which stores: what is remembered, and what its sites file says."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from vms.cli.app import build
from vms.config import load_config
from vms.demo import _SITES_FILE, with_cloud
from vms.errors import ConfigError
from vms.home import from_environment, remember_mode

FRESH = _SITES_FILE.read_text(encoding="utf-8")


def test_the_s3_server_is_remembered_until_it_is_told_otherwise(tmp_path: Path) -> None:
    def start(**settings: str) -> tuple[bool, bool]:
        home = from_environment({"VMS_HOME": str(tmp_path), **settings})
        home.prepare()
        remember_mode(home)
        return home.demo, home.with_s3

    assert start(VMS_DEMO="1") == (True, False)
    assert start(VMS_DEMO="1", VMS_DEMO_S3="1") == (True, True)
    assert start() == (True, True)
    assert start(VMS_DEMO="0") == (False, False)
    assert start(VMS_DEMO="1") == (True, True)
    assert start(VMS_DEMO="1", VMS_DEMO_S3="0") == (True, False)
    assert start(VMS_DEMO="1") == (True, False)


def test_the_ports_of_the_last_start_are_meant_by_later_commands(tmp_path: Path) -> None:
    said = {"VMS_HOME": str(tmp_path)}
    assert from_environment(said).viewer_port == 5000
    started = from_environment(said | {"VMS_VIEWER_PORT": "5055"})
    started.prepare()
    remember_mode(started)
    later = from_environment(said)
    assert (later.viewer_port, later.airflow_port) == (5055, 8080)
    assert from_environment(said | {"VMS_VIEWER_PORT": "5001"}).viewer_port == 5001


@pytest.mark.parametrize("port", ["0", "x", "55536"])
def test_a_port_without_room_for_its_neighbour_is_refused(port: str) -> None:
    with pytest.raises(ConfigError, match="VMS_S3_PORT"):
        from_environment({"VMS_S3_PORT": port})


def test_the_store_comes_and_goes_and_the_rest_of_the_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMS_HOME", str(tmp_path))
    mine = FRESH.replace("name: Kantor Pusat", "name: My office")
    with_s3 = with_cloud(mine, wanted=True)
    (tmp_path / "sites.yaml").write_text(with_s3)
    config = load_config(tmp_path / "sites.yaml")
    assert config.errors == ()
    assert {(one.name, one.url, one.conn_id) for one in config.stores} == {
        ("nas", f"file://{tmp_path}/nas", ""),
        ("cloud", "s3://cctv-demo/archive", "demo_s3"),
    }
    assert [[one.name for one in site.stores] for site in config.sites] == [["nas", "cloud"]] * 3
    assert config.sites[0].name == "My office"
    assert with_cloud(with_s3, wanted=True) == with_s3
    assert with_cloud(with_s3, wanted=False) == mine


def test_a_file_whose_stores_a_person_has_rewritten_is_not_touched() -> None:
    own = FRESH.replace("stores: [nas]", "stores: [vault]")
    assert with_cloud(own, wanted=False) == own
    with pytest.raises(ConfigError, match="names no store") as refused:
        with_cloud(own, wanted=True)
    assert "conn_id: demo_s3" in refused.value.remedy


@pytest.mark.parametrize("option", ["--with-s3", "--without-s3"])
def test_the_option_belongs_to_the_demonstration(monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    monkeypatch.setenv("VMS_DEMO", "0")
    done = CliRunner().invoke(build(["up"]), ["up", option])
    assert done.exit_code == 2
    assert "--demo" in done.stderr
