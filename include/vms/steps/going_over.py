"""Going over the copies of some recordings, for a backfill: proving each, putting again what is gone or broken, or
making smaller ones.

Runs at the centre, with catalogue and stores at hand. What is found is committed recording by recording, so that a task
that is killed goes on where it stopped.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from vms.backfill import Order
from vms.catalogue import integrity
from vms.catalogue.backfill_items import Done, done_already, record_items
from vms.catalogue.connection import Connection
from vms.catalogue.events import Actor
from vms.catalogue.losing import LIVE, StoredCopy, archive_from_source, lose
from vms.catalogue.orders import Place
from vms.catalogue.partitions import ensure_partitions, months_ahead
from vms.catalogue.reads import get_recording
from vms.config import Site
from vms.errors import StoreError
from vms.home import Home
from vms.logs import about
from vms.model import RunRef, StoreTarget
from vms.steps.inspecting import sweep
from vms.steps.prove import THEN, Look, look_at, looks_emptied
from vms.steps.remaking import Remaking, remake
from vms.steps.repair import Stores, repair_these
from vms.stores import Pace, Store

_REPAIR_S = 3600.0


@dataclass
class _Losses:
    """How much of a store a task has looked at and found gone, so that a store that was emptied is not believed."""

    looked: int = 0
    lost: int = 0


@dataclass(frozen=True)
class _Work:
    conn: Connection
    targets: Mapping[int, StoreTarget]
    losses: dict[int, _Losses]
    stores: Stores
    home: Home
    run: RunRef
    report: Callable[[str], None]

    @property
    def actor(self) -> Actor:
        return Actor(self.run, datetime.now(UTC))

    def name(self, store_id: int) -> str:
        return self.targets[store_id].name

    def refusal(self, store: Store, store_id: int) -> StoreError | None:
        """Why one more loss in this store is not believed, when it is not."""
        seen = self.losses[store_id]
        return looks_emptied(self.targets[store_id], store, seen.lost, seen.looked)


def go_over(
    conn: Connection,
    order: Order,
    site: Site,
    places: Sequence[Place],
    targets: Mapping[int, StoreTarget],
    home: Home,
    run: RunRef,
    *,
    report: Callable[[str], None],
    pace: Pace | None = None,
) -> None:
    """Look at every copy of these recordings; with mode reupload also make good what is gone or broken, with mode
    recompress make smaller ones.

    site: as this backfill works on it. targets: all stores by number. pace: what is sent keeps to. What this backfill
    has looked at already is left out. Never raises for a store or a copy: what came of each is in backfill_item.
    """
    ensure_partitions(conn, months_ahead(datetime.now(UTC)))
    sweep(home.staging / ".integrity")
    losses: dict[int, _Losses] = defaultdict(_Losses)
    work = _Work(conn, targets, losses, Stores(targets, report, pace), home, run, report)
    for place in places:
        if done_already(conn, order, place):
            continue
        with about(recording=place[0]):
            if order.mode == "recompress":
                found = [remake(Remaking(conn, work.stores, site, home, run), place)]
            else:
                found = _verify(work, place) if order.mode == "verify" else _reupload(work, place)
            for one in found:
                if one.message:
                    report(one.message)
        record_items(conn, order, place, found, datetime.now(UTC))


def _verify(work: _Work, place: Place) -> list[Done]:
    copies = [copy for copy in integrity.copies_of(work.conn, place) if copy.state == LIVE]
    found = []
    for store_id in sorted({copy.store_id for copy in copies}):
        of_store = [copy for copy in copies if copy.store_id == store_id]
        began = time.monotonic()
        look = _prove(work, work.stores.get(store_id), store_id, of_store)
        size = sum(copy.size_bytes for copy in of_store) if look.outcome == "proven" else 0
        found.append(Done(store_id, look.outcome, look.message, size, time.monotonic() - began))
    return found


def _prove(work: _Work, store: Store | None, store_id: int, copies: Sequence[StoredCopy]) -> Done:
    """What the worst of a recording's objects in one store is."""
    if store is None:
        return Done(store_id, "unreachable", f"{work.name(store_id)} can't be used now.")
    worst = Look("proven")
    for copy in copies:
        work.losses[store_id].looked += 1
        try:
            look = look_at(work.conn, store, copy, work.home, work.run, partial(work.refusal, store, store_id))
        except StoreError as error:
            return Done(store_id, "unreachable", f"{error.message} {error.remedy}")
        work.losses[store_id].lost += look.outcome == "lost"
        if look.outcome != "proven" and (worst.outcome == "proven" or copy.part == "rendition"):
            worst = look
    return Done(store_id, "lost" if worst.outcome == "known" else worst.outcome, worst.message)


def _reupload(work: _Work, place: Place) -> list[Done]:
    """Each store is asked for each object by name; what is gone or broken is put again from another store, else from
    the source, by the batches that follow."""
    began = time.monotonic()
    looked: dict[int, Done] = {}
    copies = integrity.copies_of(work.conn, place)
    for copy in copies:
        if copy.state == LIVE and (problem := _ask(work, copy)) is not None:
            looked[copy.store_id] = problem
    live = [one for one in integrity.copies_of(work.conn, place) if one.state == LIVE and one.part == "rendition"]
    if not live:
        return [_from_source(work, place, copies, time.monotonic() - began)]
    for broken, holders in integrity.broken_of(work.conn, place):
        made = repair_these(
            work.conn, [(broken, holders)], work.stores, work.home, work.run, budget_s=_REPAIR_S, report=work.report
        )
        if made.repaired:
            now = Done(broken.store_id, "repaired")
        elif holders:
            now = Done(
                broken.store_id, "failed", f"{broken.key} in {work.name(broken.store_id)} could not be made good now."
            )
        else:
            now = Done(broken.store_id, "without", f"{broken.key}: no store has a good copy.")
        if broken.part == "rendition" or broken.store_id not in looked:
            looked[broken.store_id] = now
    size = sum(copy.size_bytes for copy in copies)
    spent = time.monotonic() - began
    found = [looked.get(number, Done(number, "good")) for number in sorted({copy.store_id for copy in copies})]
    return [Done(one.store_id, one.outcome, one.message, size // len(found), spent / len(found)) for one in found]


def _from_source(work: _Work, place: Place, copies: Sequence[StoredCopy], spent: float) -> Done:
    """No store has it: archived anew when a source lies on site."""
    footage = [copy for copy in copies if copy.part == "rendition"]
    if _is_planned(work, place) or any(archive_from_source(work.conn, work.actor, copy) for copy in footage):
        return Done(0, "replanned", "", 0, spent)
    return Done(0, "without", f"recording {place[0]}: no store has a good copy, and no source is left on site.")


def _is_planned(work: _Work, place: Place) -> bool:
    row = get_recording(work.conn, *place)
    return row is not None and row.state == "planned"


def _ask(work: _Work, copy: StoredCopy) -> Done | None:
    """None when the store shows the object as it should be; what it is not is written down."""
    store = work.stores.get(copy.store_id)
    if store is None:
        return Done(copy.store_id, "unreachable", f"{work.name(copy.store_id)} can't be used now.")
    work.losses[copy.store_id].looked += 1
    try:
        there = store.head(copy.key)
        if there is None and (refusal := work.refusal(store, copy.store_id)):
            raise refusal
    except StoreError as error:
        return Done(copy.store_id, "unreachable", f"{error.message} {error.remedy}")
    if there is not None and there.size_bytes == copy.size_bytes and there.sha256 in (None, copy.sha256):
        return None
    kind: Literal["lost", "damaged"] = "lost" if there is None else "damaged"
    what = "is gone" if there is None else f"has {there.size_bytes} bytes instead of {copy.size_bytes}, or others"
    message = f"{store.name}: {copy.key} {what}."
    outcome = lose(work.conn, work.actor, copy, kind, message)
    work.losses[copy.store_id].lost += kind == "lost"
    work.report(message if outcome == "known" else f"{message} {THEN[outcome]}")
    return None
