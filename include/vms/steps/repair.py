"""Repair: make lost and damaged copies good from another store's copy. Overwrites nothing and deletes nothing.

Where no store has a good one and the source still lies on site, the site's next run archives it anew from there. Where
the object is gone the new one takes its key. Where a damaged object lies, the new one goes beside it, under a key
of its own (...r1.mp4), and the damaged one stays, reported as a leftover: a store never changes what it once took.
What an earlier try has put there and died before it was recorded is taken over, not put once more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from vms.catalogue import integrity
from vms.catalogue.connection import Connection
from vms.catalogue.events import Actor
from vms.catalogue.losing import StoredCopy, archive_from_source, lose
from vms.catalogue.partitions import ensure_partitions, months_ahead
from vms.errors import StagingFull, StoreError, VmsError
from vms.home import Home
from vms.logs import about
from vms.model import RunRef, StoreTarget
from vms.receipts import CopyReceipt
from vms.steps.copying import Piece, beside, put, repair_of
from vms.steps.inspecting import inspected, sweep
from vms.steps.meeting import meet
from vms.stores import ObjectMissing, Pace, Store

MOST = 5000
"""Broken copies that one call looks at."""

_MOST_REPAIRS = 99


@dataclass(frozen=True)
class Repaired:
    """What a call did. without: broken copies of which no other store has a good one. from_source: of recordings that
    the next run of their site archives anew from their source. failed: to be tried again."""

    broken: int = 0
    repaired: int = 0
    from_source: int = 0
    without: int = 0
    failed: int = 0


def repair(
    conn: Connection,
    targets: Mapping[int, StoreTarget],
    home: Home,
    run: RunRef,
    *,
    budget_s: float,
    report: Callable[[str], None],
    moved: Callable[[Repaired], None] = lambda _: None,
) -> Repaired:
    """Make good what can be, within the time. targets: all stores by number. Never raises for a store or a copy."""
    ensure_partitions(conn, months_ahead(datetime.now(UTC)))
    sweep(home.staging / ".integrity")
    todo = integrity.broken_copies(conn, MOST)
    return repair_these(conn, todo, Stores(targets, report), home, run, budget_s=budget_s, report=report, moved=moved)


def repair_these(
    conn: Connection,
    todo: Sequence[tuple[StoredCopy, list[StoredCopy]]],
    stores: Stores,
    home: Home,
    run: RunRef,
    *,
    budget_s: float,
    report: Callable[[str], None],
    moved: Callable[[Repaired], None] = lambda _: None,
) -> Repaired:
    """Make these broken copies good, each from one of those beside it. Never raises for a store or a copy."""
    deadline = time.monotonic() + budget_s
    done = Repaired(broken=len(todo))
    for broken, holders in todo:
        with about(recording=broken.recording_id):
            done = _repair_one(conn, broken, holders, stores, home, run, report, done)
        moved(done)
        if time.monotonic() > deadline:
            break
    return done


def _repair_one(
    conn: Connection,
    broken: StoredCopy,
    holders: list[StoredCopy],
    stores: Stores,
    home: Home,
    run: RunRef,
    report: Callable[[str], None],
    done: Repaired,
) -> Repaired:
    """What was done before, and this one."""
    target = stores.get(broken.store_id)
    if target is None:
        return replace(done, failed=done.failed + 1)
    made = _make(conn, stores, target, broken, holders, home, run, report)
    if made is not None:
        integrity.record_repair(conn, Actor(run, datetime.now(UTC)), broken, made)
        report(f"{made.key} in {target.name}: repaired")
        return replace(done, repaired=done.repaired + 1)
    if archive_from_source(conn, Actor(run, datetime.now(UTC)), broken):
        report(f"{broken.key}: no store has a good copy; the next run of its site archives it from its source")
        return replace(done, from_source=done.from_source + 1)
    return replace(done, failed=done.failed + 1) if holders else replace(done, without=done.without + 1)


class Stores:
    """The stores met so far; one that can't be used is told of once and asked no more. pace: what is sent keeps to."""

    def __init__(
        self, targets: Mapping[int, StoreTarget], report: Callable[[str], None], pace: Pace | None = None
    ) -> None:
        self._targets = targets
        self._report = report
        self._pace = pace
        self._met: dict[int, Store | None] = {}

    def get(self, number: int) -> Store | None:
        """The store of this number; None when it can't be used now."""
        if number not in self._met:
            self._met[number] = None
            try:
                self._met[number], _ = meet(self._targets[number], self._pace)
            except VmsError as error:
                self._report(f"{self._targets[number].name} can't be used now: {error}")
        return self._met[number]


def _make(
    conn: Connection,
    stores: Stores,
    target: Store,
    broken: StoredCopy,
    holders: list[StoredCopy],
    home: Home,
    run: RunRef,
    report: Callable[[str], None],
) -> CopyReceipt | None:
    """The copy made anew, or found good after all; None when it could not be."""
    folder = home.staging / ".integrity"
    try:
        key, good = _place_for(target, broken, folder)
        if good is not None:
            return good
    except (StoreError, StagingFull) as error:
        report(f"{broken.key} is not repaired: {error}")
        return None
    for holder in holders:
        store = stores.get(holder.store_id)
        if store is None:
            continue
        try:
            with inspected(store, holder.key, folder, lambda _: None) as whole:
                if whole.sha256 != broken.sha256:
                    message = f"{store.name}: {holder.key} has SHA-256 {whole.sha256} instead of {holder.sha256}."
                    lose(conn, Actor(run, datetime.now(UTC)), holder, "damaged", message)
                    report(message)
                    continue
                piece = Piece(broken.part, whole.path, key, broken.size_bytes, broken.sha256)
                return put(target, broken.store_id, piece, report, lambda _: None)
        except ObjectMissing as error:
            lose(conn, Actor(run, datetime.now(UTC)), holder, "lost", error.message)
            report(error.message)
        except (StoreError, StagingFull, OSError) as error:
            report(f"{broken.key} is not repaired from {store.name}: {error}")
    return None


def _place_for(store: Store, broken: StoredCopy, folder: Path) -> tuple[str, CopyReceipt | None]:
    """The first key that is free: its own, else one beside it. With the copy itself when it lies there already:
    somebody has put it back, or an earlier try died before it was recorded."""
    numbers = range(repair_of(broken.key) + 1, _MOST_REPAIRS + 1)
    for key in (broken.key, *(beside(broken.key, number) for number in numbers)):
        there = store.head(key)
        if there is None:
            return key, None
        if there.size_bytes == broken.size_bytes:
            with inspected(store, key, folder, lambda _: None) as whole:
                if whole.sha256 == broken.sha256:
                    return key, _receipt(broken, key, there.checksum or f"sha256:{whole.sha256}")
    raise StoreError(
        f"{broken.key} in {store.name} has been repaired {_MOST_REPAIRS} times.", "Replace the disks of this store."
    )


def _receipt(copy: StoredCopy, key: str, checksum: str) -> CopyReceipt:
    return CopyReceipt(
        store_id=copy.store_id,
        part=copy.part,
        key=key,
        size_bytes=copy.size_bytes,
        sha256=copy.sha256,
        checksum=checksum,
        verified_at=datetime.now(UTC),
        bytes_sent=0,
    )
