"""A site's run whose stores are buckets: by Airflow's own hooks, with wrong credentials, and from a branch."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import weed
from airflow_runs import AirflowRuns
from footage_world import SITES, Place
from footage_world import bucket as bucket
from footage_world import clip as clip
from footage_world import place as place
from vms.home import Home
from vms.stack.airflow_env import airflow_environment
from vms.stores import open_store

pytestmark = pytest.mark.slow


def also_to(place: Place, bucket: str, conn_id: str) -> None:
    """The site stores in this bucket, too, as the store `cloud`."""
    sites = SITES.format(nas=place.nas, footage=place.footage, keep="0d")
    cloud = f"stores:\n  cloud: {{url: {bucket}, conn_id: {conn_id}}}"
    both = sites.replace("stores: [nas]", "stores: [nas, cloud]").replace("stores:", cloud, 1)
    place.home.sites_file.write_text(both)


def test_archives_to_the_nas_and_to_a_bucket_through_airflow_s_own_hook(
    bucket: str, place: Place, clip: Callable[[int], Path]
) -> None:
    also_to(place, bucket, "office_s3")
    source = place.leave("lobby/20260131_100000.mp4", clip(1))
    done = place.run()
    assert done.state == "success", done.log[-3000:]
    assert weed.SECRET not in done.log
    (row,) = place.recordings().values()
    assert row.state == "released"
    assert not source.exists()
    assert {copy.store: copy.checksum.split(":")[0] for copy in row.copies} == {"nas": "sha256", "cloud": "crc32"}
    store = open_store("cloud", bucket, conn_id="office_s3")
    store.identify(None)
    assert {one.key: one.size_bytes for one in store.list()} == place.objects()


def test_refused_credentials_fail_at_once_and_the_copy_follows_when_they_are_right(
    bucket: str, place: Place, clip: Callable[[int], Path]
) -> None:
    also_to(place, bucket, "not_defined")
    source = place.leave("lobby/20260131_100000.mp4", clip(1))
    done = place.run()
    assert done.state == "failed"
    assert done.tries["batch.upload[0]"] == 1
    assert "AIRFLOW_CONN_NOT_DEFINED" in done.log
    assert place.states() == {"lobby/20260131_100000.mp4": "planned"}
    assert source.exists()
    assert len(place.objects()) > 0

    place.home.sites_file.write_text(place.home.sites_file.read_text().replace("not_defined", "office_s3"))
    assert place.run().state == "success"
    assert place.states() == {"lobby/20260131_100000.mp4": "released"}


@pytest.fixture
def branch_place(
    bucket: str,
    catalogue: tuple[Home, str],
    airflow_tables: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Place]:
    """A site at a branch, with two buckets, of which the second one's connection is not there yet."""
    monkeypatch.setenv("VMS_BRANCH", "ho")
    home, owner_url = catalogue
    tables = shutil.copy(airflow_tables, tmp_path)
    environment = airflow_environment(home) | {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tables}",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor,edge:vms_airflow.branch_executor.BranchExecutor",
        "VMS_BRANCH": "ho",
    }
    footage = tmp_path / "nvr"
    footage.mkdir()
    stores = (
        f"stores:\n  cloud: {{url: {bucket}, conn_id: office_s3}}\n  second: {{url: {bucket}-2, conn_id: not_defined}}"
    )
    sites = SITES.format(nas=tmp_path / "nas", footage=footage, keep="0d").replace("stores:", stores, 1)
    sites = sites.replace("stores: [nas]", "stores: [cloud, second]\n  min_copies: 1")
    home.sites_file.write_text(sites.rstrip() + "\n    runs_on: edge\n")
    airflow = AirflowRuns(environment)
    try:
        yield Place(home, owner_url, footage, tmp_path / "nas", airflow)
    finally:
        airflow.close()


def test_a_branch_only_puts_and_the_centre_proves_copies_and_lets_go(
    branch_place: Place, clip: Callable[[int], Path]
) -> None:
    source = branch_place.leave("lobby/20260131_100000.mp4", clip(1))
    done = branch_place.run()
    sent = done.log.index("to cloud in ")
    assert "to be proven by the centre" in done.log
    assert done.log.index("is proven on cloud") > sent
    (row,) = branch_place.recordings().values()
    assert (row.state, {copy.store for copy in row.copies}) == ("released", {"cloud"}), done.log[-6000:]
    assert not source.exists()  # the centre has vouched for every copy that is proven

    sites = branch_place.home.sites_file
    sites.write_text(sites.read_text().replace("not_defined", "office_s3"))
    again = branch_place.run()
    assert again.state == "success", again.log[-6000:]
    assert "The centre makes these copies" in again.log
    (row,) = branch_place.recordings().values()
    assert {copy.store for copy in row.copies} == {"cloud", "second"}
