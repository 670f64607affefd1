"""Remake: a smaller rendition of an archived recording takes the place of the one that was archived.

Made from the source while that lies on site, else from the best copy. It must pass every check that a new rendition
passes and be smaller; each store that holds the old one must have proven it; then the catalogue is changed in one
transaction, and only then the old object goes. What a hold covers or a store has locked is not touched.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vms.catalogue import integrity, replacing
from vms.catalogue.backfill_items import Done
from vms.catalogue.connection import Connection
from vms.catalogue.events import Actor
from vms.catalogue.holds import while_purging
from vms.catalogue.losing import StoredCopy
from vms.catalogue.orders import Place, load_items
from vms.catalogue.reads import get_recording
from vms.catalogue.rows import RecordingRow
from vms.config import Site
from vms.errors import CopyUnreachable, SourceChanged, StoreError, VmsError
from vms.home import Home
from vms.model import BatchItem, RunRef
from vms.receipts import CopyReceipt, Rendition
from vms.sightings import SourceSeen
from vms.steps.compress import rendition_of
from vms.steps.copying import Piece, beside, put, repair_of
from vms.steps.inspecting import inspected
from vms.steps.repair import Stores
from vms.steps.source import find_source
from vms.steps.space import wait_for_space
from vms.steps.staged import durable, sha256_of, work_folder
from vms.stores import Store
from vms.stores.keeping import Protects
from vms.video.binaries import binaries
from vms.video.identity import Identity
from vms.video.probe import Probe, probe
from vms.video.rendition import make
from vms.video.slots import encode_slot


@dataclass(frozen=True)
class Remaking:
    """What remaking needs: the site as its profile is to be, the stores as they were met, and who acts."""

    conn: Connection
    stores: Stores
    site: Site
    home: Home
    run: RunRef

    @property
    def staging(self) -> Path:
        return self.site.staging or self.home.site_staging(self.site.id)

    @property
    def actor(self) -> Actor:
        return Actor(self.run, datetime.now(UTC))


def remake(work: Remaking, place: Place, stop: threading.Event | None = None) -> Done:
    """What came of it. Never raises for a store, a file or FFmpeg; everything may be killed and called again."""
    began = time.monotonic()
    try:
        done = _remake(work, place, stop or threading.Event())
    except (VmsError, OSError) as error:
        remedy = error.remedy if isinstance(error, VmsError) else ""
        message = error.message if isinstance(error, VmsError) else str(error)
        done = Done(0, "failed", f"recording {place[0]} stays as it is: {message} {remedy}".rstrip())
    return Done(0, done.outcome, done.message, done.bytes, time.monotonic() - began)


def _remake(work: Remaking, place: Place, stop: threading.Event) -> Done:
    _clear(work, place)  # what a try that was killed has left
    row = get_recording(work.conn, *place)
    copies = integrity.copies_of(work.conn, place)
    old = replacing.live_footage(copies)
    if row is None or row.state not in ("archived", "released") or not old:
        return Done(0, "without", f"recording {place[0]}: no store has a good copy of it.")
    if replacing.is_held(work.conn, place):
        return Done(0, "held")
    if (row.profile, row.kind) == (work.site.profile.name, "encoded"):
        return Done(0, "same_profile")
    if any(copy.part == "rendition" and copy not in old for copy in copies):
        return Done(0, "failed", f"recording {place[0]} has a broken copy: --mode reupload makes that good first.")
    targets = {copy.store_id: _usable(work, copy) for copy in old}
    for copy in old:
        store = targets[copy.store_id]
        if isinstance(store, Protects) and (kept := store.protection(copy.key)) is not None:
            until = f" until {kept.until:%Y-%m-%d %H:%M} UTC" if kept.until else ""
            return Done(0, "locked", f"recording {place[0]}: {store.name} keeps its object locked{until} ({kept.why}).")
    with work.conn.cursor() as cursor:
        (item,) = load_items(cursor, [place], also_gone=True)
    with work_folder(work.staging, item.staging_stem) as folder:
        with _input(work, item, row, old, folder) as (path, seen):
            rendition, made = _make(work, item, row, path, seen, folder, stop)
        if rendition is None or rendition.size_bytes >= (row.rendition_bytes or 0):
            size = f"{rendition.size_bytes} bytes" if rendition else "not worth encoding"
            return Done(0, "no_smaller", f"recording {place[0]}: nothing smaller came of it ({size}); it stays.")
        number = 1 + max(repair_of(copy.key) for copy in copies if copy.part == "rendition")
        keys = {copy.store_id: beside(f"{item.key_stem}.mp4", number) for copy in old}
        sizes = [(store_id, key, rendition.size_bytes) for store_id, key in sorted(keys.items())]
        replacing.begin_replacing(work.conn, place, sizes, datetime.now(UTC))
        receipts: list[CopyReceipt] = []
        for store_id, key in sorted(keys.items()):
            piece = Piece("rendition", made, key, rendition.size_bytes, rendition.sha256)
            receipts.append(put(targets[store_id], store_id, piece, lambda _: None, lambda _: None))
    if not replacing.commit_replacing(work.conn, work.actor, old, rendition, receipts):
        _clear(work, place)
        return Done(0, "held", f"recording {place[0]} was changed or put under a hold meanwhile; it stays as it is.")
    _clear(work, place)
    left = replacing.replaced_of(work.conn, place)
    if left:
        names = ", ".join(one.key for one in left)
        return Done(0, "failed", f"recording {place[0]}: the former objects {names} could not be deleted yet.")
    return Done(0, "recompressed", "", row.rendition_bytes or 0)


def _usable(work: Remaking, copy: StoredCopy) -> Store:
    store = work.stores.get(copy.store_id)
    if store is None:
        raise CopyUnreachable(f"The store of {copy.key} can't be used now.", "It is tried again with `resume`.")
    return store


@contextmanager
def _input(
    work: Remaking, item: BatchItem, row: RecordingRow, old: list[StoredCopy], folder: Path
) -> Iterator[tuple[Path, SourceSeen]]:
    """The source, when it lies on site with the very bytes that were archived; else the first copy that has its own."""
    named = item.sources[0] if item.sources else SourceSeen(row.source_name, row.source_bytes, 0)
    seen = SourceSeen(row.source_name, row.source_bytes, named.mtime_ns)
    try:
        _, path = find_source(item, work.site)
        if sha256_of(path) == row.source_sha256:
            yield path, seen
            return
    except (VmsError, IndexError, OSError):
        pass
    wrong = ""
    for copy in old:
        store = _usable(work, copy)
        with inspected(store, copy.key, folder, lambda _: None) as whole:
            if whole.sha256 == copy.sha256:
                yield whole.path, seen
                return
            wrong = f"{store.name}: {copy.key} has other bytes than were archived."
    raise CopyUnreachable(wrong, "`vms backfill --mode reupload` makes it good.")


def _make(
    work: Remaking,
    item: BatchItem,
    row: RecordingRow,
    path: Path,
    seen: SourceSeen,
    folder: Path,
    stop: threading.Event,
) -> tuple[Rendition | None, Path]:
    """The new rendition as a file, checked as every new one; None when encoding it does not pay."""
    found: Probe = probe(path, home=work.home)
    size = path.stat().st_size
    wait_for_space(work.staging, size, work.site, work.home, lambda _: None, stop)
    target = folder / "made"
    target.mkdir()
    identity = Identity(item, seen, row.source_sha256, work.site.profile)
    with encode_slot(work.home, found.pixels, stop, gives_way=True):
        made = make(path, found, identity, work.site.profile, target, binaries(work.home), stop=stop)
    if path.stat().st_size != size:
        raise SourceChanged(f"{path.name} changed while it was compressed.", "It is tried again with `resume`.")
    if made.kind != "encoded":
        return None, made.path
    durable(made.path)
    kept = folder / f"{item.staging_stem}{made.suffix}"
    shutil.move(made.path, kept)
    return rendition_of(made, found, work.site, kept, sha256_of(kept)), kept


def _clear(work: Remaking, place: Place) -> None:
    """Delete what is listed of this recording: objects that were never committed, and such whose place is taken. What a
    hold covers by now stays listed; no hold comes in between."""
    left = replacing.replaced_of(work.conn, place)
    if not left:
        return
    with while_purging(work.conn):
        held = replacing.is_held(work.conn, place)
        for one in left:
            if replacing.is_claimed(work.conn, one):
                replacing.forget_replaced(work.conn, one)
                continue
            store = work.stores.get(one.store_id)
            if store is None or (held and one.state == "old"):
                continue
            try:
                gone = store.delete([one.key])
            except StoreError:
                continue
            replacing.close_replaced(work.conn, work.actor, place, one.store_id, gone)
