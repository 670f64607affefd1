"""The only copy of a recording is damaged or gone and its source lies on site: it is archived anew, beside the damage.

Real footage, FFmpeg and store; the steps are those of the site's own runs and of the nightly checks.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

import video_clips as clips
from catalogue_world import ask, events, opened
from integrity_world import damage
from vms.catalogue.connection import Connection
from vms.catalogue.coverage import gaps
from vms.catalogue.custody import record_receipts
from vms.catalogue.integrity import list_strays, stores_in_use
from vms.catalogue.planning import load_batches, plan_run
from vms.config import Config, load_config
from vms.home import Home
from vms.model import Batch, Receipt, RunRef
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
        sensed = sense(site, self.config, self.home, now=now)
        return plan_run(self.conn, site, sensed, self.by("plan"), now).batches

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


def put(path: Path, seconds: float = 3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    clips.camera(path, seconds)
    os.utime(path, (time.time() - 3600,) * 2)


@pytest.fixture
def site(catalogue: tuple[Home, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    home, address = catalogue
    monkeypatch.setenv("VMS_HOME", str(home.root))
    monkeypatch.setenv("VMS_SITES", str(home.sites_file))
    home.sites_file.write_text(SITES.format(folder=tmp_path))
    put(tmp_path / "footage" / "lobby" / "20260131_080000.mp4")
    with opened(address) as conn:
        made = Site(conn, home, load_config(home.sites_file), tmp_path)
        assert made.run() == 1
        made.empty_staging()
        yield made


def test_a_damaged_only_copy_is_archived_anew_beside_the_damage(site: Site) -> None:
    damage(site.object())
    rotten = site.objects()["mp4"]
    assert site.prove().damaged == 1
    assert (site.state(), site.gap()) == ((0, False), ["waiting"])
    assert site.run() == 1
    assert (site.state(), site.gap()) == ((1, False), [])
    assert site.objects()["mp4"] == rotten, "nothing is overwritten"
    assert site.objects().keys() == {"mp4", "r1.mp4"}
    assert ask(site.conn, "SELECT encode(sha256, 'hex'), state FROM copy WHERE part = 0") == [
        (site.objects()["r1.mp4"], 0)
    ]
    told = events(site.conn, 1)
    assert told[told.index("copy_damaged") :] == [
        "copy_damaged", "replanned", "copied", "repaired", "compressed", "archived",
    ]  # fmt: skip
    ((detail,),) = ask(site.conn, "SELECT detail FROM lineage WHERE event = 'repaired'")
    assert (detail["before"][-4:], detail["key"][-7:]) == (".mp4", ".r1.mp4")
    assert [(one.kind, one.key[-4:]) for one in list_strays(site.conn)] == [("damaged", ".mp4")]
    assert (site.reconcile().foreign, site.prove().damaged, site.repair().broken) == (0, 0, 0)
    assert site.run() == 0

    (path,) = (site.folder / "nas").rglob("*.r1.mp4")
    damage(path)
    assert site.prove().damaged == 1
    assert site.run() == 1
    assert site.objects().keys() == {"mp4", "r1.mp4", "r2.mp4"}


def test_a_try_that_died_and_a_task_that_is_cleared_double_nothing(site: Site) -> None:
    damage(site.object())
    site.prove()
    (batch,) = site.plan()
    site.upload(batch)  # and killed before its receipt was recorded
    site.empty_staging()
    receipts = site.upload(batch)
    site.record(batch, receipts)
    assert site.state() == (1, False)
    before = site.objects()
    assert before.keys() == {"mp4", "r1.mp4"}
    with site.conn.cursor() as cursor:
        (again,) = load_batches(cursor, 2)
    receipts = site.upload(again)
    assert next((copy.key[-7:], copy.bytes_sent) for copy in receipts[0].copies) == (".r1.mp4", 0)
    site.record(again, receipts)
    assert (site.objects(), events(site.conn, 1).count("archived")) == (before, 2)


def test_a_lost_recording_is_archived_again_when_its_source_is_back(site: Site) -> None:
    aside = site.folder / "aside.mp4"
    site.source.rename(aside)
    site.run()
    ask(site.conn, "UPDATE recording_source SET released_at = now() RETURNING 1")
    site.object().unlink()
    assert site.reconcile().lost == 1
    assert (site.state(), site.gap()) == ((1, True), ["lost"])
    assert site.repair().without == 1
    aside.rename(site.source)
    assert site.run() == 1
    assert (site.state(), site.gap()) == ((1, False), [])
    assert "repaired" in events(site.conn, 1)


def test_what_was_lost_before_is_taken_up_by_the_repair(site: Site) -> None:
    damage(site.object())
    site.prove()
    ask(site.conn, "UPDATE recording SET custody = 1, lost_at = now() RETURNING 1")
    assert (site.repair().from_source, site.state()) == (1, (0, False))
    assert site.run() == 1
    assert site.objects().keys() == {"mp4", "r1.mp4"}


def test_a_source_that_is_gone_after_all_leaves_it_lost_and_not_forgotten(site: Site) -> None:
    damage(site.object())
    site.prove()
    site.source.unlink()
    assert site.run() == 1
    assert (site.state(), site.gap()) == ((1, True), ["lost"])
    assert events(site.conn, 1)[-1] == "lost"
    assert (site.repair().from_source, site.repair().without) == (0, 1), "it is not tried again each night"


def test_another_file_under_its_name_is_another_recording_and_takes_nothing_away(site: Site) -> None:
    damage(site.object())
    site.prove()
    put(site.source, 5)
    site.run()
    assert site.state() == (1, True)
    assert ask(site.conn, "SELECT custody FROM recording ORDER BY recording_id") == [(1,), (1,)]
    assert ask(site.conn, "SELECT state FROM copy WHERE part = 0 ORDER BY recording_id") == [(3,), (0,)]
