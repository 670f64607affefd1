"""A site whose footage really lies in its folder, archived by its own runs into one real store; for tests to break."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

import video_clips as clips
from catalogue_world import ask
from vms.catalogue.connection import Connection
from vms.catalogue.coverage import gaps
from vms.catalogue.custody import record_receipts
from vms.catalogue.integrity import stores_in_use
from vms.catalogue.planning import plan_run
from vms.config import Config, load_config
from vms.home import Home
from vms.ledger import FILE, Ledger
from vms.model import Batch, RunRef
from vms.receipts import Receipt
from vms.sightings import Sensed
from vms.steps.compress import compress_batch
from vms.steps.prove import Proven, prove
from vms.steps.reconcile import Reconciled, reconcile
from vms.steps.repair import Repaired, repair
from vms.steps.sense import sense
from vms.steps.upload import upload_batch

CHECK = RunRef("integrity", "run 1", "check", host="centre")
SITES = """
profiles:
  quick: {{codec: h264, preset: ultrafast, crf: 40}}
stores:
  nas: {{url: 'file://{folder}/nas'}}
sites:
  - {{id: ho, name: Head office, footage: {folder}/footage, time_zone: WIB, stores: [nas], profile: quick}}
"""


@dataclass
class Site:
    """A site with one recording in its only store."""

    conn: Connection
    home: Home
    config: Config
    folder: Path
    runs: int = 0

    def plan(self) -> tuple[Batch, ...]:
        self.runs += 1
        site, now = self.config.site("ho"), datetime.now(UTC)
        return plan_run(self.conn, site, self.look(), self.by("plan"), now).batches

    def look(self) -> Sensed:
        return sense(self.config.site("ho"), self.config, self.home, now=datetime.now(UTC))

    def by(self, task: str) -> RunRef:
        return RunRef("footage_ho", f"run {self.runs}", task, 0, 1, "centre")

    def upload(self, batch: Batch) -> tuple[Receipt, ...]:
        site = self.config.site("ho")
        receipts = compress_batch(batch, site, self.home, report=print)
        return upload_batch(batch, receipts, site, self.home, report=print)

    def record(self, batch: Batch, receipts: tuple[Receipt, ...]) -> None:
        record_receipts(self.conn, batch, receipts, self.by("record"), datetime.now(UTC), None)

    def run(self) -> int:
        """How many recordings a run of the site took on."""
        batches = self.plan()
        for batch in batches:
            self.record(batch, self.upload(batch))
        return sum(len(batch.items) for batch in batches)

    def prove(self) -> Proven:
        target = stores_in_use(self.conn)["nas"]
        return prove(self.conn, target, self.home, CHECK, sample=50, budget_s=600.0, report=print)

    def reconcile(self) -> Reconciled:
        return reconcile(self.conn, stores_in_use(self.conn)["nas"], self.home, CHECK, budget_s=600.0, report=print)

    def repair(self) -> Repaired:
        targets = {one.store_id: one for one in stores_in_use(self.conn).values()}
        return repair(self.conn, targets, self.home, CHECK, budget_s=600.0, report=print)

    def objects(self) -> dict[str, str]:
        """The SHA-256 of every rendition in the store by what its name ends with."""
        found = sorted((self.folder / "nas").rglob("*.mp4"))
        return {path.name.partition(".")[2]: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}

    def object(self) -> Path:
        (path,) = (self.folder / "nas").rglob("*Z_????????????.mp4")
        return path

    @property
    def source(self) -> Path:
        return self.folder / "footage" / "lobby" / "20260131_080000.mp4"

    def state(self) -> tuple[int, bool]:
        """Custody of the one recording, and whether it is lost."""
        ((custody, lost),) = ask(self.conn, "SELECT custody, lost_at IS NOT NULL FROM recording WHERE recording_id = 1")
        return custody, lost

    def gap(self) -> list[str]:
        start = datetime(2026, 1, 31, 1, tzinfo=UTC)
        found = gaps(self.conn, "ho", "lobby", start, start.replace(second=2), now=datetime.now(UTC))
        return [one.reason for one in found]

    def empty_staging(self) -> None:
        """As `release` leaves it."""
        shutil.rmtree(self.home.site_staging("ho"))

    def settle(self) -> None:
        """What lies there now needs no further look, and staging is empty but for the ledger that says so."""
        seen = self.look()
        folder = self.home.site_staging("ho")
        Ledger(folder).settle([one.source for one in (*seen.sightings, *seen.rejections)], "known")
        for path in folder.iterdir():
            if not path.name.startswith(FILE):
                path.unlink()


def put(path: Path, seconds: float = 3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    clips.camera(path, seconds)
    os.utime(path, (time.time() - 3600,) * 2)


def a_source_site(conn: Connection, home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """One recording, archived; staging is empty."""
    monkeypatch.setenv("VMS_HOME", str(home.root))
    monkeypatch.setenv("VMS_SITES", str(home.sites_file))
    home.sites_file.write_text(SITES.format(folder=folder))
    put(folder / "footage" / "lobby" / "20260131_080000.mp4")
    made = Site(conn, home, load_config(home.sites_file), folder)
    assert made.run() == 1
    made.empty_staging()
    return made
