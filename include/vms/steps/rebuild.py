"""Rebuild the catalogue from what a store holds: every recording comes back by what its own objects tell.

Deletes and overwrites nothing, in stores and catalogue. What has a row already is passed over without being read, so a
rebuild that was killed goes on where it was, and one store after the other adds its copies to the same recordings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Literal

from vms.backups import is_backup_key
from vms.catalogue import adopting, integrity
from vms.catalogue.adopting import KeyParts
from vms.catalogue.connection import Connection
from vms.catalogue.events import Actor
from vms.catalogue.partitions import ensure_partitions, months_ahead
from vms.config import Config, StoreConfig
from vms.errors import StoreError
from vms.home import Home
from vms.model import RunRef
from vms.receipts import CopyReceipt
from vms.steps.copying import repair_of
from vms.steps.inspecting import sweep
from vms.steps.telling import Looked, look_at_preview, look_at_rendition, sheet_of
from vms.stores import ObjectMissing, Store, StoredObject, open_store

PAGE = 500
_AT_ONCE = 8

Part = Literal["rendition", "poster", "sprite"]


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild did, or in a dry run would do.

    known: objects that have a row already. recordings: new ones; originals: those of them of which only the key tells
    site, camera and time. copies: of recordings that were known, posters and sprite sheets included. waiting: of
    recordings that their site's next run archives. foreign: left alone. bytes_read: fetched from the store.
    """

    store: str
    objects: int = 0
    known: int = 0
    recordings: int = 0
    originals: int = 0
    copies: int = 0
    waiting: int = 0
    foreign: int = 0
    bytes_read: int = 0


@dataclass
class _Work:
    conn: Connection
    store: Store
    store_id: int | None
    home: Home
    run: RunRef
    sites: frozenset[str]
    profiles: Mapping[str, str]
    dry_run: bool
    report: Callable[[str], None]
    done: Rebuilt
    promised: dict[str, str] = field(default_factory=dict)
    """In a dry run: the recordings of this page and the one before it that would be there, with their SHA-256."""

    def count(self, **more: int) -> None:
        self.done = replace(self.done, **{name: getattr(self.done, name) + by for name, by in more.items()})


def rebuild(
    conn: Connection,
    config: Config,
    store: StoreConfig,
    home: Home,
    run: RunRef,
    *,
    dry_run: bool,
    report: Callable[[str], None],
    moved: Callable[[Rebuilt], None] = lambda _: None,
) -> Rebuilt:
    """Take all of this store's objects into the catalogue. report: a line for each finding; moved: after each page.

    Raises StoreError when the store fails, holds nothing or is another one than the catalogue knows, CatalogueError.
    """
    opened = open_store(store.name, store.url, conn_id=store.conn_id, options=store.options)
    identity = opened.identify(None)
    number = None
    if next(opened.list(), None) is None:
        raise StoreError(
            f"Store {store.name} at {store.url} holds nothing.", "Is it mounted, and its prefix the right one?"
        )
    if dry_run:
        target = integrity.stores_in_use(conn).get(store.name)
        number = target.store_id if target else None
    else:
        ensure_partitions(conn, months_ahead(datetime.now(UTC)))
        number = adopting.make_places(conn, config, store, identity)
    folder = home.staging / ".integrity"
    sweep(folder)
    sites = frozenset(site.id for site in config.sites)
    profiles = {one.name: one.codec for one in config.profiles}
    work = _Work(conn, opened, number, home, run, sites, profiles, dry_run, report, Rebuilt(store.name))
    after = ""
    objects = opened.list()
    while page := list(islice(objects, PAGE)):
        _take_in(work, after, page)
        after = page[-1].key
        moved(work.done)
    return work.done


def _take_in(work: _Work, after: str, page: Sequence[StoredObject]) -> None:
    rows = integrity.copies_between(work.conn, work.store_id, after, page[-1].key) if work.store_id else ()
    known = {row.key for row in rows}
    ours = [one for one in page if not is_backup_key(one.key)]
    work.count(objects=len(ours), known=sum(one.key in known for one in ours))
    todo: list[tuple[StoredObject, KeyParts, Part]] = []
    for one in ours:
        if one.key in known:
            continue
        parts = adopting.read_key(one.key)
        if parts is None:
            _foreign(work, one, "its key is none of ours")
        elif parts.site not in work.sites:
            _foreign(work, one, f"of a site {parts.site} that sites.yaml does not have")
        else:
            todo.append((one, parts, _part(parts)))
    # renditions before their previews, and those that took the place of a damaged one before that
    todo.sort(key=lambda each: (each[2] != "rendition", -repair_of(each[0].key), each[0].key))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for (one, parts, part), looked in zip(todo, pool.map(lambda each: _look(work, *each), todo), strict=True):
            if looked is not None:
                work.count(bytes_read=looked.bytes_read)
                _settle(work, one, parts, part, looked)
    if work.dry_run and len(page) == PAGE:
        work.promised = {stem: sha for stem, sha in work.promised.items() if stem >= _stem(page[0].key)}


def _look(work: _Work, one: StoredObject, parts: KeyParts, part: Part) -> Looked | None:
    folder = work.home.staging / ".integrity"
    try:
        if part == "rendition":
            return look_at_rendition(work.store, one, parts, folder, work.profiles)
        return look_at_preview(work.store, one, folder)
    except ObjectMissing:
        return None  # removed since it was listed


def _settle(work: _Work, one: StoredObject, parts: KeyParts, part: Part, looked: Looked) -> None:
    owner = adopting.owner_of(work.conn, parts)
    if owner is None:
        _settle_new(work, one, part, looked)
        return
    if owner.known.custody in (0, 4):
        work.count(waiting=1)
        return
    if owner.known.custody == 3:
        _foreign(work, one, "left over from a recording that has been purged")
        return
    if part == "rendition" and looked.sha256 != owner.rendition_sha256:
        _foreign(work, one, f"another rendition of recording {owner.known.recording_id}")
        return
    live = adopting.live_key(work.conn, owner.known, work.store_id, part) if work.store_id else ""
    if live:
        _foreign(work, one, f"left beside {live}, which is the copy that counts")
        return
    work.count(copies=1)
    if work.dry_run:
        return
    adopting.add_copy(work.conn, _actor(work), owner, _receipt(work, one, part, looked))
    if part == "sprite" and looked.size and not owner.has_sheet:
        adopting.keep_sheet(work.conn, owner, sheet_of(looked.size, owner.duration_s))


def _settle_new(work: _Work, one: StoredObject, part: Part, looked: Looked) -> None:
    stem = _stem(one.key)
    if part != "rendition":
        if stem in work.promised:
            work.count(copies=1)
        else:
            _foreign(work, one, "a preview of a recording that is not here")
        return
    if looked.found is None:
        _foreign(work, one, looked.why)
        return
    if stem in work.promised:
        _foreign(work, one, "left beside the copy that counts")
        return
    work.count(recordings=1)
    if looked.found.kind == "original":
        work.count(originals=1)
        work.report(f"{one.key}: an original; its first name and how its time was found are not known any more")
    if looked.found.damaged:
        work.report(f"{one.key}: {looked.found.damaged}")
    if work.dry_run:
        work.promised[stem] = looked.sha256
        return
    try:
        adopting.add_recording(work.conn, _actor(work), looked.found, _receipt(work, one, part, looked))
    except adopting.Unrecordable as error:
        work.count(recordings=-1)
        _foreign(work, one, str(error))


def _receipt(work: _Work, one: StoredObject, part: Part, looked: Looked) -> CopyReceipt:
    return CopyReceipt(
        store_id=work.store_id or 0,
        part=part,
        key=one.key,
        size_bytes=one.size_bytes,
        sha256=looked.sha256,
        checksum=looked.checksum,
        verified_at=datetime.now(UTC),
        bytes_sent=0,
    )


def _foreign(work: _Work, one: StoredObject, why: str) -> None:
    work.count(foreign=1)
    work.report(f"{one.key} is left alone: {why}")
    if work.store_id is not None and not work.dry_run:
        integrity.note_stray(work.conn, work.store_id, one.key, one.size_bytes, why, datetime.now(UTC))


def _actor(work: _Work) -> Actor:
    return Actor(work.run, datetime.now(UTC))


def _part(parts: KeyParts) -> Part:
    if parts.ending.startswith(".poster."):
        return "poster"
    return "sprite" if parts.ending.startswith(".sprite.") else "rendition"


def _stem(key: str) -> str:
    folder, _, name = key.rpartition("/")
    return f"{folder}/{name.partition('.')[0]}"
