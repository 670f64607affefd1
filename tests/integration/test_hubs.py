"""A site moves from one installation to a second one (a hub): what docs/operations/hubs.md tells operators to do."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
import pytest

import video_clips as clips
from catalogue_world import ask, opened
from vms.backups import list_store, make_backup, put_into_store
from vms.catalogue.custody import record_receipts
from vms.catalogue.integrity import stores_in_use
from vms.catalogue.planning import plan_run
from vms.config import Config, load_config
from vms.home import Home
from vms.model import RunRef
from vms.stack import postgres as server
from vms.steps.compress import compress_batch
from vms.steps.rebuild import rebuild
from vms.steps.reconcile import Reconciled, reconcile
from vms.steps.release import release
from vms.steps.sense import sense
from vms.steps.upload import upload_batch
from vms.stores import open_store

SITES = """
profiles:
  quick: {{codec: h264, preset: ultrafast, crf: 40}}
stores:
  nas: {{url: 'file://{folder}/nas/{prefix}'}}
sites:
{sites}"""
SITE = """
  - {{id: {id}, name: {id}, footage: {folder}/{id}, time_zone: WIB, profile: quick, enabled: {enabled},
     keep_source: 0d}}
"""


@dataclass
class Installation:
    """One of several, each with its own state, sites.yaml, catalogue and prefix of the store."""

    home: Home
    address: str
    folder: Path
    name: str
    runs: int = 0

    def write_sites(self, *, prefix: str = "", **sites: bool) -> None:
        """sites: by id, whether it is enabled."""
        lines = "".join(SITE.format(id=one, folder=self.folder, enabled=str(on).lower()) for one, on in sites.items())
        self.home.sites_file.write_text(SITES.format(folder=self.folder, prefix=prefix or self.name, sites=lines))

    @property
    def config(self) -> Config:
        return load_config(self.home.sites_file)

    def archive(self, site_id: str) -> tuple[int, list[str]]:
        """A run of this site by its real steps: how many files were new to the catalogue, and which it removed."""
        self.runs += 1
        site, now = self.config.site(site_id), datetime.now(UTC)
        run = RunRef(f"footage_{site_id}", f"run {self.runs}", "plan", -1, 1, "centre")
        with opened(self.address) as conn:
            made = plan_run(conn, site, sense(site, self.config, self.home, now=now), run, now)
            for batch in made.batches:
                receipts = compress_batch(batch, site, self.home, report=print)
                receipts = upload_batch(batch, receipts, site, self.home, report=print)
                assert not record_receipts(conn, batch, receipts, run, now, None).unfinished
        gone = release(site, self.home, made.due, made.settled, now=now, report=print)
        return sum(len(batch.items) for batch in made.batches), sorted(path for one in gone for path in one.removed)

    def recordings(self) -> list[tuple[object, ...]]:
        with opened(self.address) as conn:
            return ask(
                conn,
                "SELECT s.slug, c.slug, start_at, fingerprint, encode(source_sha256, 'hex') FROM recording r"
                " JOIN camera c USING (camera_id) JOIN site s ON s.site_id = r.site_id ORDER BY 1, 3",
            )

    def verify(self) -> Reconciled:
        with opened(self.address) as conn:
            target = stores_in_use(conn)["nas"]
            return reconcile(conn, target, self.home, RUN, budget_s=600.0, report=print)

    def take_in(self) -> int:
        """`vms rebuild`: how many recordings came with it."""
        with opened(self.address) as conn:
            return rebuild(
                conn, self.config, self.config.stores[0], self.home, RUN, dry_run=False, report=print
            ).recordings


RUN = RunRef("", "", "vms verify", host="centre")


@pytest.fixture
def centre(catalogue: tuple[Home, str], tmp_path: Path) -> Installation:
    home, address = catalogue
    (tmp_path / "nas").mkdir()
    made = Installation(home, address, tmp_path, "centre")
    made.write_sites(ho=True, bali=True)
    for site, minutes in (("ho", (0,)), ("bali", (0, 5))):
        for minute in minutes:
            footage(tmp_path, site, minute)
    assert made.archive("ho") == (1, [])
    assert made.archive("bali") == (2, [])
    return made


@pytest.fixture
def hub(centre: Installation) -> Iterator[Installation]:
    """A second installation, with the sites of one region."""
    home = replace(centre.home, root=centre.folder / "hub", sites_file=centre.folder / "hub.yaml")
    home.prepare()
    shutil.copytree(centre.home.run, home.run, dirs_exist_ok=True)
    with closing(psycopg2.connect(server.admin_url(centre.home))) as conn:
        conn.autocommit = True
        with conn.cursor() as cursor:
            cursor.execute("CREATE DATABASE hub OWNER vms_owner TEMPLATE catalogue_template")
            try:
                made = Installation(home, centre.address.rsplit("/", 1)[0] + "/hub", centre.folder, "hub")
                made.write_sites(bali=True)
                yield made
            finally:
                cursor.execute("DROP DATABASE hub WITH (FORCE)")


def footage(folder: Path, site: str, minute: int) -> None:
    path = folder / site / "lobby" / f"20260131_08{minute:02}00.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    clips.camera(path, 2, fps=5)
    os.utime(path, (time.time() - 3600,) * 2)


def test_a_site_goes_to_a_hub_with_its_history_and_both_stay_whole(centre: Installation, hub: Installation) -> None:
    before = centre.recordings()
    centre.write_sites(ho=True, bali=False)
    open_store("nas", hub.config.stores[0].url).identify(
        None
    )  # as `vms stores check` does: a store before it is filled
    shutil.copytree(centre.folder / "nas" / "centre" / "bali", centre.folder / "nas" / "hub" / "bali")
    assert hub.take_in() == 2
    assert hub.recordings() == [row for row in before if row[0] == "bali"], "the same, by all that identifies them"

    footage(centre.folder, "bali", 10)
    new, removed = hub.archive("bali")
    assert new == 1, "what the centre has archived is not archived again, though it still lies there"
    assert removed == ["lobby/20260131_080000.mp4", "lobby/20260131_080500.mp4"], (
        "but released, as the hub has it proven"
    )
    assert centre.recordings() == before, "what the centre has stays there, to be found until its retention ends"
    for one, objects in ((centre, 3), (hub, 3)):
        found = one.verify()
        assert (found.finished, found.lost, found.foreign, found.adopted, found.error) == (True, 0, 0, 0, "")
        assert found.rows >= objects


def test_without_its_history_a_hub_archives_once_more_what_still_lies_there(
    centre: Installation, hub: Installation
) -> None:
    centre.write_sites(ho=True, bali=False)
    assert hub.archive("bali") == (2, [])
    assert [row[2:] for row in hub.recordings()] == [row[2:] for row in centre.recordings() if row[0] == "bali"]
    assert centre.verify().foreign == 0


def test_two_installations_in_one_prefix_mix_their_backups(centre: Installation, hub: Installation) -> None:
    """Why each has a prefix of its own. Footage is safe: nobody takes, or misses, the other's."""
    hub.write_sites(prefix="centre", bali=True)
    footage(centre.folder, "bali", 20)
    hub.archive("bali")
    found = hub.verify()
    assert (found.lost, found.adopted) == (0, 0)
    config = hub.config.stores[0]
    store = open_store(config.name, config.url)
    made = make_backup(centre.home, centre.address, datetime.now(UTC) - timedelta(days=1))
    put_into_store(centre.home, made, config, store.identify(None))
    assert len(list_store(store)) == 1, "the hub takes the centre's backup for its own"
