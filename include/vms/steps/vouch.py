"""Vouch: what a branch, whose keys may only write, has put into buckets becomes a copy only when the centre has seen
that the store itself shows it. Whatever else its receipt says of buckets is not heard.

Of two renditions of the same source the one that is there is kept. What lies under a key and is not the recording's is
told, and stays: the next run puts the recording beside it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from vms.config import Site
from vms.errors import CopyDamaged, StagingFull, StoreConflict, StoreError, VmsError
from vms.home import Home
from vms.logs import of_recording
from vms.model import Batch, BatchItem
from vms.receipts import CopyReceipt, InTheWay, Receipt, Unproven
from vms.sightings import Fault
from vms.steps.adopt import adopt_rendition
from vms.steps.copying import Piece, put, put_preview
from vms.steps.meeting import OUT, fault_of, meet
from vms.steps.standing import looks_for
from vms.steps.upload import FILES_IN_FLIGHT, Missing, missing_of
from vms.stores import Store

_NOWHERE = Path("/nonexistent/not staged at the centre")


@dataclass
class _Proving:
    """What the receipts of a batch share. out: stores that can't be asked, and why."""

    batch: Batch
    site: Site
    home: Home
    report: Callable[[str], None]
    stores: dict[int, Store] = field(default_factory=dict)
    identities: dict[str, str] = field(default_factory=dict)
    out: dict[int, Fault] = field(default_factory=dict)

    def name(self, store_id: int) -> str:
        return next(one.name for one in self.batch.stores if one.store_id == store_id)


@dataclass(frozen=True)
class Vouched:
    """receipts: with what is proven as copies. missing: what kept the centre from looking, as after an upload."""

    receipts: tuple[Receipt, ...]
    missing: Missing


def prove_unproven(
    batch: Batch, receipts: Sequence[Receipt], site: Site, home: Home, report: Callable[[str], None]
) -> Vouched:
    """Look for what a branch has put into buckets. Never raises for a store or a file.

    Of what the receipts tell, only folders at the branch, which the centre can't reach, are taken on its word.
    """
    work = _Proving(batch, site, home, report)
    told = list({one.recording_id: one for one in receipts}.values())[: len(batch.items)]
    receipts = [of_recording(one.recording_id, _heard)(work, one) for one in told]
    named = {one.store_id for receipt in receipts for one in receipt.unproven}
    for target in batch.stores:
        if target.store_id not in named:
            continue
        try:
            work.stores[target.store_id], identity = meet(target)
            work.identities[str(target.store_id)] = identity
        except VmsError as error:
            work.out[target.store_id] = fault_of(error)
            report(f"{target.name} can't be looked into now: {error}")
    items = {item.recording_id: item for item in batch.items}
    with ThreadPoolExecutor(max_workers=FILES_IN_FLIGHT, thread_name_prefix="prove") as pool:
        jobs = [
            pool.submit(of_recording(one.recording_id, _proved), work, items.get(one.recording_id), one)
            for one in receipts
        ]
        done = tuple(job.result() for job in jobs)
    here = [
        replace(after, store_faults={name: why for name, why in after.store_faults.items() if name not in before})
        for after, before in zip(done, (one.store_faults for one in receipts), strict=True)
    ]
    return Vouched(done, missing_of(batch, here))


def _heard(work: _Proving, receipt: Receipt) -> Receipt:
    """The receipt without what only the centre may say: a branch's honest program tells none of it."""
    buckets = {one.store_id for one in work.batch.stores if looks_for(one)}
    folders = {one.store_id for one in work.batch.stores} - buckets
    # Keys of others are nothing that a branch has to tell of: the centre, which may read, would look at them for it.
    own = next((one.key_stem for one in work.batch.items if one.recording_id == receipt.recording_id), "\0")
    put = {
        (one.store_id, one.part): one for one in receipt.unproven if one.store_id in buckets and one.key.startswith(own)
    }
    heard = replace(
        receipt,
        copies=tuple(one for one in receipt.copies if one.store_id in folders),
        unproven=tuple(put.values()),
        store_identities={key: one for key, one in receipt.store_identities.items() if key in map(str, folders)},
        in_the_way=(),
    )
    if heard != receipt:
        work.report(f"{receipt.source.path}: what its receipt says in the centre's place is left out")
    return heard


def _proved(work: _Proving, item: BatchItem | None, receipt: Receipt) -> Receipt:
    if item is None or receipt.fault is not None or receipt.rendition is None or not receipt.unproven:
        return receipt
    faults: dict[str, Fault] = {}
    copies: dict[int, CopyReceipt] = {}
    others: dict[int, StoreConflict] = {}
    in_the_way: list[InTheWay] = []
    for one in receipt.unproven:
        if one.part != "rendition":
            continue
        try:
            copies[one.store_id] = _proven(work, one)
        except StoreConflict as conflict:
            others[one.store_id] = conflict
        except CopyDamaged as damage:
            in_the_way += _noted(work, one, damage, faults)
        except StoreError as error:
            faults[work.name(one.store_id)] = _noted_out(work, one.store_id, error)
    if others and not copies and not any(copy.part == "rendition" for copy in receipt.copies):
        taken = _taken_over(work, item, receipt, others, faults)
        if taken is not None:
            return _proved(work, item, taken)
    for one in receipt.unproven:
        if one.part == "rendition" and one.store_id in others and work.name(one.store_id) not in faults:
            in_the_way += _noted(work, one, others[one.store_id], faults)
    previews = [
        copy
        for one in receipt.unproven
        if one.part != "rendition" and one.store_id in copies
        for copy in _previews(work, one)
    ]
    return replace(
        receipt,
        copies=(*receipt.copies, *copies.values(), *previews),
        store_faults={**receipt.store_faults, **faults},
        store_identities={**receipt.store_identities, **work.identities},
        unproven=(),
        in_the_way=tuple(in_the_way),
    )


def _proven(work: _Proving, one: Unproven) -> CopyReceipt:
    """The copy, when the store shows the very bytes that were sent to it.

    Raises StoreConflict for another object, CopyDamaged for one whose bytes are not those that were sent, StoreError.
    """
    if one.store_id in work.out:
        fault = work.out[one.store_id]
        raise _Out(fault.message, fault.remedy)
    store = work.stores[one.store_id]
    if store.head(one.key) is None:
        raise _NotThere(
            f"Store {store.name} does not show {one.key}, which the branch has put there.",
            "Compare the bucket and the endpoint of the store's connection at the branch with those of the centre. "
            "The next run sends it again.",
        )
    piece = Piece(one.part, _NOWHERE, one.key, one.size_bytes, one.sha256)
    copy = put(store, one.store_id, piece, lambda _: None, lambda _: None)
    kind, _, value = one.checksum.partition(":")
    if value and copy.checksum.startswith(f"{kind}:") and copy.checksum != one.checksum:
        raise CopyDamaged(
            f"Store {store.name} shows {one.key} with {copy.checksum}, what was sent to it has {one.checksum}.",
            "The next run puts it beside. Check the disks of the store, and a proxy between the branch and it.",
        )
    work.report(f"{one.key} is proven on {store.name}")
    return replace(copy, bytes_sent=one.bytes_sent)


class _NotThere(StoreError):
    """The store was reached and has no such object."""


class _Out(StoreError):
    """The store can't be asked; its fault is known."""


def _noted_out(work: _Proving, store_id: int, error: StoreError) -> Fault:
    if isinstance(error, _Out):
        return work.out[store_id]
    fault = fault_of(error)
    if isinstance(error, OUT):
        work.out[store_id] = fault
    work.report(f"not proven on {work.name(store_id)}: {error}")
    return replace(fault, reason="not_proven") if isinstance(error, _NotThere) else fault


def _taken_over(
    work: _Proving, item: BatchItem, receipt: Receipt, others: dict[int, StoreConflict], faults: dict[str, Fault]
) -> Receipt | None:
    """The receipt of the rendition that an earlier try has left in one of these stores, when it is as good as this."""
    keys = {one.store_id: one.key for one in receipt.unproven if one.part == "rendition"}
    for store_id, conflict in list(others.items()):
        work.home.staging.mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryDirectory(prefix=".vouch-", dir=work.home.staging) as folder:
                here = replace(work.site, staging=Path(folder))
                taken = adopt_rendition(work.stores[store_id], keys[store_id], item, receipt, here, work.home)
        except StoreConflict as refusal:
            others[store_id] = StoreConflict(f"{conflict.message} {refusal.message}", conflict.remedy)
        except StagingFull as full:
            faults[work.name(store_id)] = fault_of(full)
        except StoreError as unread:
            faults[work.name(store_id)] = _noted_out(work, store_id, unread)
        else:
            work.report(f"{work.name(store_id)} already holds this recording from an earlier try; that one is kept")
            made = taken.rendition
            if made is None:
                return None
            return replace(
                taken,
                unproven=tuple(
                    replace(one, size_bytes=made.size_bytes, sha256=made.sha256, checksum="")
                    if one.part == "rendition"
                    else one
                    for one in receipt.unproven
                ),
            )
    return None


def _noted(work: _Proving, one: Unproven, error: StoreError, faults: dict[str, Fault]) -> list[InTheWay]:
    """What is under the key, so that the next run puts the rendition beside it."""
    store = work.stores[one.store_id]
    remedy = "Nothing was overwritten. The next run puts the recording beside it; `vms verify` lists what is left over."
    faults[store.name] = Fault("store_conflict", error.message, remedy, permanent=False)
    work.report(f"not on {store.name}: {error.message} {remedy}")
    try:
        there = store.head(one.key)
    except StoreError:
        return []
    if there is None:
        return []
    return [InTheWay(one.store_id, one.key, there.size_bytes, there.sha256, error.message)]


def _previews(work: _Proving, one: Unproven) -> list[CopyReceipt]:
    piece = Piece(one.part, _NOWHERE, one.key, one.size_bytes, one.sha256)
    try:
        made = put_preview(work.stores[one.store_id], one.store_id, piece, work.report, lambda _: None)
    except StoreError as error:
        work.report(f"{one.part} is left out: {error.message}")
        return []
    return [replace(copy, bytes_sent=one.bytes_sent) for copy in made]
