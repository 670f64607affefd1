"""`vms stores` over real stores and a real catalogue."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

import weed
from catalogue_world import NOW, START, a_run, a_site, five_minute_files, receipts_for, sensed
from vms.catalogue.connection import Connection
from vms.catalogue.custody import record_receipts
from vms.catalogue.planning import plan_run
from vms.cli import stores
from vms.cli.wording import utc_text
from vms.config import StoreConfig
from vms.errors import CatalogueError, ConfigError
from vms.home import Home
from vms.stores import links, open_store

Vms = Callable[..., Result]

SITES = "stores:\n  nas: {{url: 'file://{folder}/nas'}}\n{more}sites: []\n"


@pytest.fixture
def vms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vms:
    """Calls the command as the shell would, in a home that was never started."""
    monkeypatch.setenv("VMS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VMS_SITES", str(tmp_path / "sites.yaml"))
    (tmp_path / "sites.yaml").write_text(SITES.format(folder=tmp_path, more=""))
    return lambda *arguments: CliRunner().invoke(stores.app, arguments)


def test_a_good_folder_and_a_good_bucket_pass(
    vms: Vms, tmp_path: Path, s3_server: weed.S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OFFICE_S3", weed.connection_text(s3_server.endpoint))
    cloud = f"  cloud: {{url: 's3://{weed.BUCKET}/{tmp_path.name}', conn_id: office_s3}}\n"
    (tmp_path / "sites.yaml").write_text(SITES.format(folder=tmp_path, more=cloud))
    told = json.loads(vms("check", "--json").stdout)
    wrong = [one for store in told["stores"] for one in store["findings"] if not one["ok"]]
    assert [one for one in wrong if "GB free" not in one["what"]] == []
    assert [store["name"] for store in told["stores"]] == ["nas", "cloud"]
    nas, bucket = (store["numbers"] for store in told["stores"])
    assert {"up_mbit_s", "free_bytes", "object_clock_apart_s"} <= set(nas)
    assert "down_mbit_s" not in nas
    assert min(bucket["up_mbit_s"], bucket["down_mbit_s"]) > 0
    for words in ("the server itself refuses to overwrite", "do not fit their checksum", "uploads in parts"):
        assert words in vms("check", "cloud").stdout


def test_what_is_wrong_is_told_with_its_remedy_and_without_secrets(
    vms: Vms, tmp_path: Path, s3_server: weed.S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OFFICE_S3", weed.connection_text(s3_server.endpoint, password="hunter2"))
    more = "  cloud: {url: 's3://cctv/x', conn_id: office_s3}\n  lost: {url: 's3://cctv/x', conn_id: nowhere}\n"
    (tmp_path / "sites.yaml").write_text(SITES.format(folder=tmp_path, more=more))
    refused = vms("check", "cloud")
    assert refused.exit_code == 1
    assert "secret key" in refused.stdout
    assert "hunter2" not in refused.stdout
    assert "AIRFLOW_CONN_NOWHERE" in vms("check", "lost").stdout


def test_it_is_told_whether_browsers_may_read_and_with_which_rule_they_may(
    vms: Vms, tmp_path: Path, s3_server: weed.S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule that is told is the one that helps."""
    monkeypatch.setenv("AIRFLOW_CONN_OFFICE_S3", weed.connection_text(s3_server.endpoint))
    monkeypatch.setenv("VMS_VIEWER_PORT", "5999")
    bucket, client = f"b{secrets.token_hex(6)}", s3_server.client()
    client.create_bucket(Bucket=bucket)
    other = {"AllowedOrigins": ["https://other.example"], "AllowedMethods": ["GET"]}
    client.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [other]})
    more = f"  cloud: {{url: 's3://{bucket}/x', conn_id: office_s3, viewer: redirect}}\n"
    (tmp_path / "sites.yaml").write_text(SITES.format(folder=tmp_path, more=more))
    (told,) = json.loads(vms("check", "cloud", "--json").stdout)["stores"]
    last = told["findings"][-1]
    assert (last["ok"], "lets no browser read" in last["what"]) == (False, True)
    rule = json.loads(last["remedy"].partition("--cors-configuration '")[2].rstrip("'"))
    client.put_bucket_cors(Bucket=bucket, CORSConfiguration=rule)
    store = open_store("cloud", f"s3://{bucket}/x", conn_id="office_s3")
    assert isinstance(store, links.GivesLinks)
    pages = ("http://127.0.0.1:5999", "http://localhost:5999")
    assert [one.ok for one in links.findings(store, store.url, "", pages)] == [True]
    assert [one.ok for one in links.findings(store, store.url, "", ("https://evil.example",))] == [False]
    assert links.findings(store, store.url, "", pages, asked=False) == [], "nobody is sent to a server of one's own"
    (lost,) = links.findings(store, store.url, "http://127.0.0.1:9", pages)
    assert "http://127.0.0.1:9, does not answer" in lost.what


def test_an_unknown_name_is_refused_with_the_nearest(vms: Vms) -> None:
    refusal = vms("check", "nass").exception
    assert isinstance(refusal, ConfigError)
    assert 'Did you mean "nas"?' in str(refusal)


def test_a_store_that_is_not_the_one_the_catalogue_knows_is_left_alone(
    vms: Vms, catalogue: tuple[Home, str], conn: Connection, tmp_path: Path
) -> None:
    url = f"file://{tmp_path}/nas"
    plan_run(conn, a_site(stores=(StoreConfig("nas", url),)), sensed(), a_run(), NOW)
    with conn, conn.cursor() as cursor:
        cursor.execute("UPDATE store SET identity = %s", (open_store("nas", url).identify(None),))
    assert vms("check").exit_code in (0, 1)
    (tmp_path / "nas" / ".vms-store.json").unlink()
    told = vms("check")
    assert told.exit_code == 1
    assert "another store" in told.stdout
    assert not (tmp_path / "nas" / ".vms-store.json").exists()

    (catalogue[0].run / "postgres.json").write_text('{"host": "127.0.0.1", "port": 9}')
    assert isinstance(vms("check").exception, CatalogueError)


def test_list_tells_what_each_store_holds(vms: Vms, conn: Connection, tmp_path: Path) -> None:
    plan = plan_run(conn, a_site(), sensed(*five_minute_files(3)), a_run(), NOW)
    for batch in plan.batches:
        record_receipts(conn, batch, receipts_for(batch), a_run(), NOW, None)
    more = "  new: {url: 's3://company/cctv', conn_id: office_s3, storage_class: STANDARD_IA}\n"
    (tmp_path / "sites.yaml").write_text(SITES.format(folder=tmp_path, more=more))
    nas, new = [
        one for one in map(json.loads, vms("list", "--json").stdout.splitlines()) if one["name"] in ("nas", "new")
    ]
    assert (nas["copies"], nas["configured"]) == (3, True)
    assert nas["oldest"] == utc_text(START)
    assert nas["size_bytes"] > 0
    assert (new["copies"], new["url"], new["options"]["storage_class"]) == (0, "s3://company/cctv", "STANDARD_IA")
    assert "nas" in vms("list").stdout
    (tmp_path / "sites.yaml").write_text("stores: {other: {url: 'file:///x'}}\nsites: []\n")
    assert "no longer in sites.yaml" in vms("list").stdout


def test_a_branch_is_told_whether_its_key_is_as_narrow_as_it_should_be(
    vms: Vms, tmp_path: Path, s3_server: weed.S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = f"{weed.BRANCH_PREFIX}-{secrets.token_hex(6)}"
    more = f"  cloud: {{url: 's3://{weed.BUCKET}/{prefix}', conn_id: office_s3}}\n"
    (tmp_path / "sites.yaml").write_text(SITES.format(folder=tmp_path, more=more))
    marker = tmp_path / "home" / "branch" / "branch.json"
    marker.parent.mkdir(parents=True)
    marker.write_text(json.dumps({"site": weed.BRANCH_SITE}))
    monkeypatch.setenv("AIRFLOW_CONN_OFFICE_S3", weed.connection_text(s3_server.endpoint, weed.BRANCH))
    for _ in range(2):  # the probe that stays does not hinder the next one
        (cloud,) = json.loads(vms("check", "cloud", "--json").stdout)["stores"]
        assert [one["what"] for one in cloud["findings"] if not one["ok"]] == []
        assert cloud["numbers"]["up_mbit_s"] > 0
        assert "it is refused to read, to list, to delete, to write outside its site" in cloud["findings"][-1]["what"]
        # this server does not heed the condition by which a policy forbids to overwrite
        assert [one["remedy"] for one in cloud["findings"] if one["remedy"]] == [
            "Turn on the versioning of the bucket: then what a stolen key overwrites is not lost."
        ]
    listed = s3_server.client().list_objects_v2(Bucket=weed.BUCKET, Prefix=f"{prefix}/")["Contents"]
    assert [one["Key"] for one in listed] == [f"{prefix}/ho/vms-check/branch.bin"]

    monkeypatch.setenv("AIRFLOW_CONN_OFFICE_S3", weed.connection_text(s3_server.endpoint))
    told = vms("check", "cloud")
    assert told.exit_code == 1
    for words in ("can read objects", "can list the bucket", "can delete objects", "outside of its site's prefix"):
        assert words in told.stdout
    assert "vms branch policy ho --store cloud" in told.stdout
    assert vms("check", "cloud", "--branch", "jkt").exit_code == 1
