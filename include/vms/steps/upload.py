"""Upload: put what `compress` has staged into every store of the batch, and report what the stores themselves proved.

A store that is away never keeps a file from the other stores: what it lacks is a store fault in the receipt. A rerun
sends no byte twice: an object that is there and equal is only proven anew, even when nothing is staged any more.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from vms.config import Site
from vms.errors import StagingFull, StoreConflict, StoreError, VmsError
from vms.home import Home
from vms.line import Cap, paces_of
from vms.logs import of_recording
from vms.model import Batch, BatchItem, StoreTarget, dump
from vms.receipts import CopyReceipt, Receipt, Unproven
from vms.sightings import Fault
from vms.steps.adopt import adopt_rendition
from vms.steps.compress import compress_item
from vms.steps.copying import Piece, holds, pieces_of, placed, put, put_preview
from vms.steps.meeting import OUT, fault_of, meet
from vms.steps.unseen import holds_unseen, kept_unproven, known_there, met_unseen, preview_unseen, put_unseen
from vms.stores import FileRotted, Store
from vms.stores.unseen import PutsUnseen
from vms.video.ffmpeg import Stopped

logger = logging.getLogger(__name__)

FILES_IN_FLIGHT = 8
_MOST_CHANGES = 2


@dataclass
class _Upload:
    """What the files of one batch share while they are in flight. out: stores that take no more, by id, and why.
    unseen: those of the stores that are filled without a look. cap, gives_way, may_look: see `upload_batch`."""

    site: Site
    home: Home
    staging: Path
    report: Callable[[str], None]
    targets: dict[int, StoreTarget]
    batch_id: int
    cap: Cap | None = None
    gives_way: bool = False
    may_look: bool = True
    stores: dict[int, Store] = field(default_factory=dict)
    unseen: dict[int, PutsUnseen] = field(default_factory=dict)
    identities: dict[str, str] = field(default_factory=dict)
    out: dict[int, Fault] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    telling: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, line: str) -> None:
        with self.telling:
            self.report(line)


@dataclass(frozen=True)
class _File:
    """One file of the batch on its way. place goes in front of its lines, such as "5 of 12: "."""

    work: _Upload
    item: BatchItem
    place: str

    @property
    def label(self) -> str:
        start = self.item.start_utc.astimezone(self.work.site.zone)
        return f"{self.place}{self.item.camera} {start:%Y-%m-%d %H:%M:%S %Z}"

    def tell(self, words: str) -> None:
        self.work.tell(f"{self.label}  {words}")

    def sent(self, _: int) -> None:
        if self.work.stop.is_set():
            raise Stopped

    def pieces(self, receipt: Receipt) -> list[Piece]:
        return pieces_of(self.item, receipt, self.work.staging)

    def placed(self, store_id: int, piece: Piece) -> Piece:
        """The piece with the key that it gets in this store. Raises StoreError."""
        about = (one for one in self.item.earlier if (one.store_id, one.part) == (store_id, piece.part))
        return placed(self.work.stores.get(store_id), piece, next(about, None))


def upload_batch(
    batch: Batch,
    receipts: Sequence[Receipt],
    site: Site,
    home: Home,
    *,
    report: Callable[[str], None],
    cap: Cap | None = None,
    gives_way: bool = False,
    may_look: bool = True,
) -> tuple[Receipt, ...]:
    """The receipts of `compress`, in their order, with copies, store_identities and store_faults (by store name).

    Receipts with a fault come back as they are. Never raises for a store or a file: see `unreached`. When the caller
    is interrupted, what is in flight is given up at once; a rerun goes on from there.

    cap: of their own, beside the site's line. gives_way: should a rendition have to be made again, see `encode_slot`.
    may_look: False at a branch, whose keys may only write: what it puts into buckets is `unproven` in the receipts.
    """
    staging = site.staging or home.site_staging(site.id)
    targets = {target.store_id: target for target in batch.stores}
    work = _Upload(site, home, staging, report, targets, batch.batch_id, cap, gives_way, may_look)
    for target in batch.stores:
        _meet(work, target)
    items = {item.recording_id: item for item in batch.items}
    with ThreadPoolExecutor(max_workers=FILES_IN_FLIGHT, thread_name_prefix="upload") as pool:
        try:
            jobs = [
                pool.submit(
                    of_recording(receipt.recording_id, _upload),
                    _File(work, items[receipt.recording_id], f"{number} of {len(receipts)}: "),
                    receipt,
                )
                for number, receipt in enumerate(receipts, 1)
            ]
            return tuple(job.result() for job in jobs)
        except BaseException:
            work.stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@dataclass(frozen=True)
class Missing:
    """What the stores did not take of a batch. lines: one for each store and cause, for the operator.

    enough: every file that could be sent is proven in as many stores as its batch asks for (put into them, where a
    branch can't look); what other stores lack is caught up on by later runs. act: somebody has to do something first.
    line: it only takes a store that answers and has room, so that waiting for it is all there is to do.
    """

    lines: tuple[str, ...]
    enough: bool
    act: bool
    line: bool


def missing_of(batch: Batch, receipts: Sequence[Receipt]) -> Missing:
    """What is missing after an upload."""
    faults = [fault for receipt in receipts for fault in receipt.store_faults.values()]
    good = [one for one in receipts if one.fault is None]
    there = [[copy.part for copy in one.copies] + [sent.part for sent in one.unproven] for one in good]
    return Missing(
        tuple(unreached(receipts)),
        enough=all(parts.count("rendition") >= batch.min_copies for parts in there),
        act=any(fault.permanent for fault in faults),
        line=all(fault.reason in ("store_unreachable", "store_full") for fault in faults),
    )


def unreached(receipts: Iterable[Receipt]) -> list[str]:
    """One line for each store and cause that kept files from it, for the operator; empty when every copy is proven."""
    files: dict[tuple[str, str, str], int] = defaultdict(int)
    for receipt in receipts:
        for store, fault in receipt.store_faults.items():
            files[store, fault.message, fault.remedy] += 1
    return [
        f"{store}: {count} file{'' if count == 1 else 's'} not there. {message} {remedy}".strip()
        for (store, message, remedy), count in files.items()
    ]


def _meet(work: _Upload, target: StoreTarget) -> None:
    pace = paces_of(work.site.uplink, work.site.zone, work.staging, work.stop, work.cap)
    try:
        unseen = None if work.may_look else met_unseen(target, pace)
        if unseen is not None:
            work.unseen[target.store_id] = unseen
            return
        store, identity = meet(target, pace)
        work.identities[str(target.store_id)] = identity
        work.stores[target.store_id] = store
    except VmsError as error:
        work.out[target.store_id] = fault_of(error)
        work.tell(f"{target.name} can't be used now: {error}")


def _upload(file: _File, receipt: Receipt) -> Receipt:
    if receipt.fault is not None:
        return receipt
    try:
        receipt = _with_staged_file(file, receipt)
        changes = 0
        while receipt.fault is None:
            receipt, finished = _to_stores(file, receipt, may_change=changes < _MOST_CHANGES)
            if finished:
                _write_sidecar(file, receipt)
                return receipt
            changes += 1
    except VmsError as error:
        fault = fault_of(error)
    except OSError as error:
        logger.exception("%s failed", file.label)
        fault = Fault("staging_failed", f"{file.label}: {error}.", "Check the disk of the staging folder.", False)
    else:
        return receipt
    file.tell(f"not uploaded: {fault.message} {fault.remedy}")
    return replace(receipt, fault=fault, finished_at=datetime.now(UTC))


def _to_stores(file: _File, receipt: Receipt, *, may_change: bool) -> tuple[Receipt, bool]:
    """The receipt with what each store now holds or why it does not, and True.

    When may_change: a receipt of another rendition and False, as soon as it shows that the staged one is no good (it
    was made again) or that an earlier try has stored its own (that one is taken over).
    """
    work = file.work
    copies: dict[int, list[CopyReceipt]] = {}
    unproven: list[Unproven] = []
    out = dict(work.out)
    faults = {work.targets[store_id].name: fault for store_id, fault in out.items()}
    for store_id in _holders_first(file, receipt, [one for one in (*work.stores, *work.unseen) if one not in out]):
        rendition, *previews = file.pieces(receipt)
        try:
            rendition = file.placed(store_id, rendition)
            if store_id in work.unseen:
                for one in _unseen(file, store_id, rendition, previews):
                    unproven.append(one)
                    _write_sidecar(file, replace(receipt, unproven=tuple(unproven)))
                continue
            store = work.stores[store_id]
            copies[store_id] = [put(store, store_id, rendition, file.tell, file.sent)]
            for preview in previews:
                placed_preview = file.placed(store_id, preview)
                copies[store_id] += put_preview(store, store_id, placed_preview, file.tell, file.sent)
        except FileRotted:
            if not may_change:
                raise
            return _made_again(file, receipt), False
        except StoreConflict as conflict:
            error: VmsError = conflict
            if may_change and not copies and not unproven:
                try:
                    taken = adopt_rendition(store, rendition.key, file.item, receipt, work.site, work.home)
                except StoreConflict as refusal:
                    error = StoreConflict(f"{conflict.message} {refusal.message}", conflict.remedy)
                except (StoreError, StagingFull) as unread:
                    error = unread
                else:
                    file.tell(f"{store.name} already holds this recording from an earlier try; that one is kept")
                    return taken, False
            _note_fault(file, store_id, faults, error)
        except StoreError as error:
            _note_fault(file, store_id, faults, error)
    done = replace(
        receipt,
        copies=tuple(copy for some in copies.values() for copy in some),
        store_faults=faults,
        store_identities=dict(work.identities),
        finished_at=datetime.now(UTC),
        unproven=tuple(unproven),
    )
    return done, True


def _unseen(file: _File, store_id: int, rendition: Piece, previews: list[Piece]) -> Iterator[Unproven]:
    """The objects of this recording in a store that can't be looked into, each as soon as it is there."""
    work = file.work
    store, target = work.unseen[store_id], work.targets[store_id]
    kept = kept_unproven(work.staging, file.item)
    for piece in (rendition, *(file.placed(store_id, one) for one in previews)):
        known = known_there(file.item, store_id, piece, kept, work.batch_id)
        if known is not None:
            yield known
        elif piece.part == "rendition":
            yield put_unseen(store, target, piece, work.batch_id, file.tell, file.sent)
        else:
            yield from preview_unseen(store, target, piece, work.batch_id, file.tell, file.sent)


def _holders_first(file: _File, receipt: Receipt, ready: list[int]) -> list[int]:
    """These stores in the order in which they are filled: those that hold something under the key come first.

    So an earlier try's rendition is found before another one has been written anywhere.
    """
    if len(ready) < 2:
        return ready
    piece = file.pieces(receipt)[0]

    def lacks(store_id: int) -> bool:
        if store_id in file.work.unseen:
            return not any(one.store_id == store_id and one.size_bytes is not None for one in file.item.seen)
        try:
            return file.work.stores[store_id].head(file.placed(store_id, piece).key) is None
        except StoreConflict:
            return False
        except StoreError:
            return True

    return sorted(ready, key=lacks)


def _with_staged_file(file: _File, receipt: Receipt) -> Receipt:
    """The receipt whose rendition is staged, or lies in every store already; made again when it is neither."""
    if receipt.rendition is None:
        return _made_again(file, receipt)
    piece = file.pieces(receipt)[0]
    if piece.file.is_file() and piece.file.stat().st_size == piece.size_bytes:
        return receipt
    ready = [one for one in (*file.work.stores, *file.work.unseen) if one not in file.work.out]
    if all(
        _holds(file, store_id, piece) for store_id in ready
    ):  # also when no store is ready: then nothing can be done now
        return receipt
    return _made_again(file, receipt)


def _holds(file: _File, store_id: int, piece: Piece) -> bool:
    try:
        if store_id in file.work.unseen:
            return holds_unseen(file.item, store_id, file.placed(store_id, piece))
        return holds(file.work.stores[store_id], file.placed(store_id, piece))
    except StoreError:
        return False


def _made_again(file: _File, receipt: Receipt) -> Receipt:
    file.tell("its rendition is not staged as it should be; it is made again")
    work, stem = file.work, file.item.staging_stem
    if receipt.rendition is not None:
        (work.staging / receipt.rendition.file).unlink(missing_ok=True)
    (work.staging / f"{stem}.receipt.json").unlink(missing_ok=True)
    return compress_item(
        file.item,
        work.site,
        work.home,
        report=work.tell,
        place=file.place,
        stop=work.stop,
        gives_way=work.gives_way,
    )


def _note_fault(file: _File, store_id: int, faults: dict[str, Fault], error: VmsError) -> None:
    name = file.work.targets[store_id].name
    faults[name] = fault_of(error)
    if isinstance(error, OUT):
        file.work.out[store_id] = faults[name]
    file.tell(f"not on {name}: {error}")


def _write_sidecar(file: _File, receipt: Receipt) -> None:
    """Keep the receipt beside its staged rendition: a rerun knows what was done, also for stores that are out now."""
    if receipt.rendition is None or not (file.work.staging / receipt.rendition.file).is_file():
        return
    if file.work.unseen:
        told = {(one.store_id, one.key) for one in receipt.unproven}
        kept = kept_unproven(file.work.staging, file.item)
        others = (one for one in kept if (one.store_id, one.key) not in told)
        receipt = replace(receipt, unproven=(*receipt.unproven, *others))
    final = file.work.staging / f"{file.item.staging_stem}.receipt.json"
    fresh = final.with_name(f".{final.name}.{os.getpid()}.{threading.get_ident()}.new")
    fresh.write_text(json.dumps(dump(receipt), indent=1))
    fresh.replace(final)
