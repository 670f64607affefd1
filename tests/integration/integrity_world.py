"""An archive that really lies in two stores, made of real renditions with their identity, to be broken by tests."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from catalogue_world import START, a_run, a_site, receipt_for, seen, sensed
from vms.catalogue.connection import Connection
from vms.catalogue.custody import record_receipts
from vms.catalogue.integrity import stores_in_use
from vms.catalogue.planning import plan_run
from vms.config import Site, StoreConfig
from vms.home import Home
from vms.model import BatchItem, RunRef, StoreTarget
from vms.receipts import CopyReceipt
from vms.steps.prove import Proven, prove
from vms.steps.reconcile import Reconciled, reconcile
from vms.steps.repair import Repaired, repair
from vms.stores import open_store
from vms.video import commands
from vms.video.binaries import binaries
from vms.video.ffmpeg import run as run_ffmpeg
from vms.video.identity import Identity

RUN = RunRef("integrity", "run 1", "check", host="centre")
LENGTH_S = 4.0


@dataclass
class Archive:
    """`count` recordings of the lobby, five minutes apart, in nas (and in san)."""

    conn: Connection
    home: Home
    root: Path
    site: Site
    said: list[str] = field(default_factory=list)

    def files(self, store: str = "nas", ending: str = ".mp4") -> list[Path]:
        return sorted(path for path in (self.root / store).rglob(f"*{ending}") if not path.name.startswith("."))

    def target(self, store: str = "nas") -> StoreTarget:
        return stores_in_use(self.conn)[store]

    def reconcile(self, store: str = "nas", *, budget_s: float = 3600.0, accept_losses: bool = False) -> Reconciled:
        self.said.clear()
        place = (self.conn, self.target(store), self.home, RUN)
        return reconcile(*place, budget_s=budget_s, report=self.said.append, accept_losses=accept_losses)

    def prove(self, store: str = "nas", sample: int = 100) -> Proven:
        self.said.clear()
        return prove(
            self.conn, self.target(store), self.home, RUN, sample=sample, budget_s=3600.0, report=self.said.append
        )

    def repair(self) -> Repaired:
        targets = {one.store_id: one for one in stores_in_use(self.conn).values()}
        return repair(self.conn, targets, self.home, RUN, budget_s=3600.0, report=self.said.append)


def damage(path: Path) -> None:
    """Other bytes of the same length, as a failing disk makes them."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def age(path: Path) -> None:
    """Let it look three days old."""
    then = time.time() - 3 * 24 * 3600
    os.utime(path, (then, then))


def an_archive(
    conn: Connection,
    home: Home,
    root: Path,
    count: int,
    stores: tuple[str | StoreConfig, ...] = ("nas",),
    run: int = 1,
) -> Archive:
    """stores: those that are only named are folders below root."""
    used = tuple(StoreConfig(one, f"file://{root}/{one}") if isinstance(one, str) else one for one in stores)
    site = a_site(stores=used, footage=root / "footage")
    _clip(home, root)
    files = [
        seen(f"lobby/{number:03}.mp4", start=START + number * timedelta(minutes=5), duration_s=LENGTH_S)
        for number in range(count)
    ]
    # before the present, as rows must be older than the listing that misses their objects
    now = datetime.now(UTC) - timedelta(hours=2)
    plan = plan_run(conn, site, sensed(*files, at=now), a_run(run), now)
    for batch in plan.batches:
        for item in batch.items:
            rendition = _rendition(home, root, site, item)
            data = rendition.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            copies, identities = [], {}
            for target in batch.stores:
                store = open_store(target.name, target.url, conn_id=target.conn_id)
                identities[str(target.store_id)] = store.identify(target.identity)
                key = f"{item.key_stem}.mp4"
                there = store.put(rendition, key, sha256=digest, size_bytes=len(data))
                copies.append(
                    CopyReceipt(target.store_id, "rendition", key, len(data), digest, there.checksum, now, len(data))
                )
            honest = receipt_for(item, batch)
            assert honest.rendition is not None
            made = replace(honest.rendition, size_bytes=len(data), sha256=digest, duration_s=LENGTH_S)
            receipt = replace(honest, rendition=made, previews=(), copies=tuple(copies), store_identities=identities)
            record_receipts(conn, batch, [receipt], a_run(run), now, None)
    return Archive(conn, home, root, site)


def _clip(home: Home, root: Path) -> None:
    path = root / "clip.mp4"
    source = ["-f", "lavfi", "-i", f"testsrc2=size=160x90:rate=5:duration={LENGTH_S}"]
    _ffmpeg(home, *source, "-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-pix_fmt", "yuv420p", str(path))


def _rendition(home: Home, root: Path, site: Site, item: BatchItem) -> Path:
    """The clip with this recording's identity in it: each has other bytes."""
    identity = Identity(item, item.sources[0], hashlib.sha256(item.fingerprint.encode()).hexdigest(), site.profile)
    return rendition_that_says(home, root, identity)


def rendition_that_says(home: Home, root: Path, identity: Identity) -> Path:
    """The clip of the archive that was made at root, with this identity, whatever it says."""
    path = root / "rendition.mp4"
    _ffmpeg(
        home,
        *("-i", str(root / "clip.mp4"), "-c", "copy", "-metadata", f"vms={identity.to_json()}"),
        *("-movflags", commands._MOVFLAGS, str(path)),
    )
    return path


def _ffmpeg(home: Home, *options: str) -> None:
    done = run_ffmpeg([str(binaries(home).ffmpeg), "-v", "error", "-y", *options], wall_limit_s=60)
    assert done.returncode == 0, done.last_words
