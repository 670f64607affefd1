"""A site and its stores, and backfills of it, planned and run by Airflow for real."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import gcs_server
import pytest

import weed
from airflow_runs import DagRunResult
from catalogue_world import ask
from footage_world import Place
from vms.backfill import Mode, Order
from vms.backfill_plan import SitePlan, look_at_disk, reasons, survey
from vms.catalogue.backfills import begin_backfill, get_backfill
from vms.catalogue.connection import connect
from vms.config import load_config
from vms.model import dump
from vms.stores import Store

DAY = datetime(2026, 1, 30, 17, tzinfo=UTC), datetime(2026, 1, 31, 17, tzinfo=UTC)
"""31 January in Jakarta."""


@dataclass
class Office:
    """A place, and backfills of it."""

    place: Place
    runs: int = 0

    def order(self, mode: Mode = "missing", **changes: Any) -> Order:
        return Order(**({"backfill_id": 0, "site": "ho", "mode": mode, "from_utc": DAY[0], "to_utc": DAY[1]} | changes))

    def plan(self, order: Order) -> SitePlan:
        config = load_config(self.place.home.sites_file)
        site, now = config.site("ho"), datetime.now(UTC)
        with closing(connect(self.place.owner_url)) as conn:
            disk = look_at_disk(site, config, now)
            return survey(conn, self.place.home, site, disk, order, now, keep_files=True)

    def reasons(self, order: Order) -> dict[str, int]:
        return {str(reason): count for reason, count in reasons([self.plan(order)]).items()}

    def begin(self, order: Order) -> Order:
        site = load_config(self.place.home.sites_file).site("ho")
        with closing(connect(self.place.owner_url)) as conn:
            _, (begun,) = begin_backfill(conn, "test", [(site, order)], datetime.now(UTC))
        return begun

    def run(self, order: Order, *, again: bool = False) -> DagRunResult:
        self.runs += 1
        at = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=self.runs)
        return self.place.airflow.run("backfill", at, {"order": dump(order), "again": again})

    def state(self, order: Order) -> str:
        with closing(connect(self.place.owner_url)) as conn:
            return get_backfill(conn, order.backfill_id).state


@pytest.fixture
def office(place: Place) -> Office:
    return Office(place)


@pytest.fixture
def two_stores(office: Office, tmp_path: Path) -> Path:
    """The site has a second store from now on; its folder."""
    san = tmp_path / "san"
    san.mkdir()
    sites = office.place.home.sites_file
    text = sites.read_text().replace("profiles:", f"  san:\n    url: file://{san}\nprofiles:")
    sites.write_text(text.replace("stores: [nas]", "stores: [nas, san]"))
    return san


def renditions(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.mp4") if not path.relative_to(folder).parts[0].startswith("."))


def spoil(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(b"rotten" + path.read_bytes()[6:])


@pytest.fixture(params=["s3", "gs"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a new store in a bucket; asked for before the place, whose Airflow inherits the connection to it."""
    if request.param == "s3":
        server: weed.S3Server = request.getfixturevalue("s3_server")
        monkeypatch.setenv("AIRFLOW_CONN_BUCKET", weed.connection_text(server.endpoint))
        yield f"s3://{weed.BUCKET}/{secrets.token_hex(8)}"
        return
    with gcs_server.run_gcs() as google:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", google.endpoint)
        monkeypatch.setenv("AIRFLOW_CONN_BUCKET", gcs_server.CONNECTION)
        google.make_bucket()
        yield f"gs://{gcs_server.BUCKET}/footage"


def rot(store: Store, key: str, folder: Path) -> None:
    """Other bytes of the same length under this key."""
    data = bytearray(b"".join(store.open_range(key)))
    data[len(data) // 2] ^= 1
    (folder / "rotten").write_bytes(data)
    store.delete([key])
    store.put(folder / "rotten", key, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))


def proven_in_place(office: Office) -> None:
    """What the catalogue tells of lies in the store with the very bytes."""
    (row,) = office.place.recordings().values()
    (copy,) = row.copies
    with closing(connect(office.place.owner_url)) as conn:
        ((sha256,),) = ask(conn, "SELECT encode(sha256, 'hex') FROM copy WHERE part = 0 AND state = 0")
    assert hashlib.sha256((office.place.nas / copy.key).read_bytes()).hexdigest() == sha256


def lineage(office: Office, recording_id: int) -> list[str]:
    with closing(connect(office.place.owner_url)) as conn:
        found = ask(conn, "SELECT event FROM lineage WHERE recording_id = %s ORDER BY lineage_id", recording_id)
    return [event for (event,) in found]
