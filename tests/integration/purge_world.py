"""A world for purge tests: copies really lie in real stores, as if archived soon after they were recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from catalogue_world import a_run, a_site, ask, opened, receipt_for, seen, sensed
from vms.catalogue import purge_facts, purge_plans
from vms.catalogue.connection import Connection
from vms.catalogue.custody import record_receipts
from vms.catalogue.partitions import ensure_partitions
from vms.catalogue.planning import plan_run
from vms.config import CameraConfig, Config, RetentionPolicy, Site, StoreConfig
from vms.home import Home
from vms.model import Batch, BatchItem, RunRef
from vms.purge import apply_in_store, finish, make_plan
from vms.receipts import CopyReceipt, Receipt
from vms.stores import Store, open_store

PURGE_RUN = RunRef("retention", "run 1", "apply", 0, 1, "centre")
CAMERAS = (CameraConfig("lobby", "Lobby", "lobby"), CameraConfig("gate", "Gate", "gate"))


@dataclass
class PurgeWorld:
    """now: the moment at which purging happens. stores: by name, each identified."""

    conn: Connection
    folder: Path
    now: datetime
    site: Site
    config: Config
    stores: dict[str, Store]
    runs: int = 0

    def archive(self, count: int, days_ago: float, camera: str = "lobby", **changes: Any) -> list[int]:
        """Archive so many five-minute recordings that began this long ago, a few minutes after they were made; returns
        their numbers, the oldest first. arrived: when they were archived instead."""
        arrived: datetime | None = changes.pop("arrived", None)
        first = (self.now - timedelta(days=days_ago)).replace(microsecond=0)
        files = [
            seen(f"{camera}/{days_ago}/{n:04}.mp4", start=first + n * timedelta(minutes=5), camera=camera, **changes)
            for n in range(count)
        ]
        at = arrived or first + timedelta(minutes=5 * count + 10)
        self.runs += 1
        run = a_run(self.runs)
        plan = plan_run(self.conn, self.site, sensed(*files, at=at), run, at)
        ids = []
        for batch in plan.batches:
            receipts = [self._stored(item, batch, at) for item in batch.items]
            record_receipts(self.conn, batch, receipts, run, at, None)
            ids += [(item.start_utc, item.recording_id) for item in batch.items]
        return [one for _, one in sorted(ids)]

    def steady(self) -> None:
        """As if something had happened on each of the last 60 days."""
        days = [self.now - timedelta(days=n, minutes=1) for n in range(60)]
        ensure_partitions(self.conn, {(day.year, day.month) for day in days})
        with self.conn, self.conn.cursor() as cursor:
            for day in days:
                cursor.execute(
                    "INSERT INTO lineage (at, recording_id, start_at, site_id, camera_id, event, dag_id, run_id,"
                    " task_id, map_index, try_number, host, detail)"
                    " VALUES (%s, 0, %s, 0, 0, 'source_seen', '', '', '', -1, 0, '', '{}')",
                    (day, day),
                )

    def objects(self, store: str) -> set[str]:
        return {one.key for one in self.stores[store].list()}

    def keys_of(self, *ids: int, store: str | None = None) -> set[str]:
        found = ask(
            self.conn,
            "SELECT k.key FROM copy k JOIN store s USING (store_id) WHERE recording_id = ANY(%s)"
            " AND (%s::text IS NULL OR s.name = %s)",
            list(ids),
            store,
            store,
        )
        return {key for (key,) in found}

    def custody(self, *ids: int) -> list[int]:
        return [ask(self.conn, "SELECT custody FROM recording WHERE recording_id = %s", one)[0][0] for one in ids]

    def configure(self, **site: Any) -> None:
        """Change the site (retention, cameras) as an edit of sites.yaml would."""
        self.site = replace(self.site, **site)
        self.config = replace(self.config, sites=(self.site,))

    def policy(self, **changes: Any) -> None:
        self.config = replace(self.config, retention_policy=replace(self.config.retention_policy, **changes))

    def _stored(self, item: BatchItem, batch: Batch, at: datetime) -> Receipt:
        receipt = receipt_for(item, batch)
        assert receipt.rendition is not None
        parts = {"rendition": b"film ", "poster": b"poster ", "sprite": b"sprite "}
        data = {part: word + item.fingerprint.encode() for part, word in parts.items()}
        suffix = {"rendition": ".mp4", "poster": ".poster.jpg", "sprite": ".sprite.jpg"}
        file = self.folder / "staged"
        copies = []
        for target in batch.stores:
            store = self.stores[target.name]
            for part, content in data.items():
                file.write_bytes(content)
                sha = hashlib.sha256(content).hexdigest()
                key = item.key_stem + suffix[part]
                store.put(file, key, sha256=sha, size_bytes=len(content))
                copies.append(
                    CopyReceipt(target.store_id, part, key, len(content), sha, f"sha256:{sha}", at, len(content))
                )
        film = data["rendition"]
        rendition = replace(receipt.rendition, size_bytes=len(film), sha256=hashlib.sha256(film).hexdigest())
        identities = {str(one.store_id): self.stores[one.name].identify(None) for one in batch.stores}
        return replace(receipt, rendition=rendition, copies=tuple(copies), store_identities=identities)


def a_world(conn: Connection, folder: Path, stores: Sequence[StoreConfig], **policy: Any) -> PurgeWorld:
    site = a_site(stores=tuple(stores), cameras=CAMERAS)
    opened = {one.name: open_store(one.name, one.url, conn_id=one.conn_id, options=one.options) for one in stores}
    for store in opened.values():
        store.identify(None)
    config = Config("", (site,), tuple(stores), (), (), (), RetentionPolicy(**policy))
    return PurgeWorld(conn, folder, datetime.now(UTC), site, config, opened)


@pytest.fixture
def world(catalogue: tuple[Home, str], tmp_path: Path) -> Iterator[PurgeWorld]:
    """One site whose footage lies in a folder."""
    with opened(catalogue[1]) as conn:
        made = a_world(conn, tmp_path, [StoreConfig("nas", f"file://{tmp_path}/nas")])
        made.steady()
        yield made


def plan(world: PurgeWorld, **options: bool) -> purge_plans.PurgePlan:
    return make_plan(world.conn, world.config, "test", world.now, **options)


def apply(world: PurgeWorld, plan_id: int) -> purge_plans.PurgePlan:
    for store in purge_facts.stores_of_plan(world.conn, plan_id):
        apply_in_store(world.conn, world.config, plan_id, store, PURGE_RUN, world.now)
    return finish(world.conn, world.config, plan_id, world.now)
