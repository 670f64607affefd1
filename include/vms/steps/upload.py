"""Upload: put what `compress` has staged into every store of the batch, and report what the stores themselves proved.

A store that is away never keeps a file from the other stores: what it lacks is a store fault in the receipt. A rerun
sends no byte twice: an object that is there and equal is only proven anew, even when nothing is staged any more.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from vms.config import Site
from vms.errors import StoreConflict, StoreError, StoreFull, StoreUnreachable, VmsError
from vms.home import Home
from vms.model import Batch, BatchItem, CopyReceipt, Fault, Receipt, StoreTarget, dump
from vms.steps.adopt import adopt_rendition
from vms.steps.compress import compress_item
from vms.stores import FileRotted, Store, StoredObject, open_store

logger = logging.getLogger(__name__)

FILES_IN_FLIGHT = 4

Part = Literal["rendition", "poster", "sprite"]


@dataclass(frozen=True)
class _Piece:
    """One file that is to lie in the stores."""

    part: Part
    file: Path
    key: str
    size_bytes: int
    sha256: str


@dataclass
class _Upload:
    """What the files of one batch share while they are in flight."""

    site: Site
    home: Home
    staging: Path
    total: int
    report: Callable[[str], None]
    stores: dict[int, Store]
    targets: dict[int, StoreTarget]
    identities: dict[str, str]
    out: dict[int, Fault]
    making: threading.Lock = field(default_factory=threading.Lock)
    telling: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, line: str) -> None:
        with self.telling:
            self.report(line)


def upload_batch(
    batch: Batch, receipts: Sequence[Receipt], site: Site, home: Home, *, report: Callable[[str], None]
) -> tuple[Receipt, ...]:
    """The receipts of `compress`, in their order, with copies, store_identities and store_faults (by store name).

    Receipts with a fault come back as they are. Never raises for a store or a file: see `unreached`.
    """
    work = _Upload(
        site=site,
        home=home,
        staging=site.staging or home.site_staging(site.id),
        total=len(receipts),
        report=report,
        stores={},
        targets={target.store_id: target for target in batch.stores},
        identities={},
        out={},
    )
    for target in batch.stores:
        _meet(work, target)
    items = {item.recording_id: item for item in batch.items}
    with ThreadPoolExecutor(max_workers=FILES_IN_FLIGHT, thread_name_prefix="upload") as pool:
        jobs = [
            pool.submit(_upload, work, number, items.get(receipt.recording_id), receipt)
            for number, receipt in enumerate(receipts, 1)
        ]
        return tuple(job.result() for job in jobs)


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
    try:
        store = open_store(target.name, target.url)
        work.identities[str(target.store_id)] = store.identify(target.identity)
        work.stores[target.store_id] = store
    except VmsError as error:
        work.out[target.store_id] = _fault(error)
        work.tell(f"{target.name} can't be used now: {error}")


def _upload(work: _Upload, number: int, item: BatchItem | None, receipt: Receipt) -> Receipt:
    if receipt.fault is not None or item is None:
        return receipt
    label = f"{number} of {work.total}: {item.camera} {item.start_utc.astimezone(work.site.zone):%Y-%m-%d %H:%M:%S %Z}"
    try:
        return _upload_file(work, label, item, receipt)
    except VmsError as error:
        work.tell(f"{label}: {error}")
        fault = Fault(_code(error), error.message, error.remedy, permanent=False)
    except OSError as error:
        logger.exception("Upload of recording %s failed", item.recording_id)
        fault = Fault("staging_failed", f"{label}: {error}", "Check the disk of the staging folder.", permanent=False)
    return replace(receipt, fault=fault, finished_at=datetime.now(UTC))


def _upload_file(work: _Upload, label: str, item: BatchItem, receipt: Receipt) -> Receipt:
    receipt = _with_staged_file(work, label, item, receipt)
    if receipt.fault is not None:
        return receipt
    copies: dict[tuple[int, Part], CopyReceipt] = {}
    faults = {work.targets[store_id].name: fault for store_id, fault in dict(work.out).items()}
    adopted = False
    for store_id in _holders_first(work, item, receipt):
        store = work.stores[store_id]
        for attempt in (1, 2):
            rendition = _pieces(work, item, receipt)[0]
            try:
                copies[store_id, "rendition"] = _put(work, label, store_id, store, rendition)
                break
            except StoreConflict as conflict:
                if attempt == 2 or adopted or copies:
                    _note_fault(work, label, store_id, faults, conflict)
                    break
                try:
                    receipt = adopt_rendition(store, rendition.key, item, receipt, work.site, work.home)
                except StoreConflict as refusal:
                    both = StoreConflict(f"{conflict.message} {refusal.message}", conflict.remedy)
                    _note_fault(work, label, store_id, faults, both)
                    break
                except VmsError as error:
                    _note_fault(work, label, store_id, faults, error)
                    break
                adopted = True
                work.tell(f"{label}: {store.name} already holds this recording from an earlier try; that one is kept")
            except FileRotted:
                if attempt == 2:
                    raise
                receipt = _made_again(work, label, item, receipt)
                if receipt.fault is not None:
                    return receipt
            except VmsError as error:
                _note_fault(work, label, store_id, faults, error)
                break
        if (store_id, "rendition") not in copies:
            continue
        for preview in _pieces(work, item, receipt)[1:]:
            try:
                copies[store_id, preview.part] = _put_preview(work, label, store_id, store, preview)
            except FileRotted as error:
                work.tell(f"{label}: {preview.part} is left out: {error.message}")
            except VmsError as error:
                _note_fault(work, label, store_id, faults, error)
                break
    done = replace(
        receipt,
        copies=tuple(copies.values()),
        store_faults=faults,
        store_identities=dict(work.identities),
        finished_at=datetime.now(UTC),
    )
    write_sidecar(work.staging, item, done)
    return done


def _holders_first(work: _Upload, item: BatchItem, receipt: Receipt) -> list[int]:
    """Stores in the order in which they are filled: those that hold something under the key come first.

    So an earlier try's rendition is found before a new one has been written anywhere.
    """
    key = _pieces(work, item, receipt)[0].key
    ready = [store_id for store_id in work.stores if store_id not in work.out]

    def lacks(store_id: int) -> bool:
        try:
            return work.stores[store_id].head(key) is None
        except StoreConflict:
            return False
        except StoreError:
            return True

    return sorted(ready, key=lacks)


def _pieces(work: _Upload, item: BatchItem, receipt: Receipt) -> list[_Piece]:
    """The rendition, then the previews."""
    rendition = receipt.rendition
    if rendition is None:
        raise FileRotted(f"Recording {item.recording_id} has no rendition.", "Run compress again.")
    pieces = [
        _Piece(
            "rendition",
            work.staging / rendition.file,
            item.key_stem + rendition.suffix,
            rendition.size_bytes,
            rendition.sha256,
        )
    ]
    for preview in receipt.previews:
        pieces.append(
            _Piece(
                preview.kind,
                work.staging / preview.file,
                item.key_stem + preview.suffix,
                preview.size_bytes,
                preview.sha256,
            )
        )
    return pieces


def _with_staged_file(work: _Upload, label: str, item: BatchItem, receipt: Receipt) -> Receipt:
    """The receipt whose rendition is staged, or lies in every store already; made again when it is neither."""
    if receipt.rendition is not None:
        piece = _pieces(work, item, receipt)[0]
        if piece.file.is_file() and piece.file.stat().st_size == piece.size_bytes:
            return receipt
        ready = [store for store_id, store in work.stores.items() if store_id not in work.out]
        if all(_holds(store, piece) for store in ready):  # also when no store is ready: then there is nothing to do
            return receipt
    return _made_again(work, label, item, receipt)


def _made_again(work: _Upload, label: str, item: BatchItem, receipt: Receipt) -> Receipt:
    with work.making:
        work.tell(f"{label}: its rendition is not staged as it should be; it is made again")
        if receipt.rendition is not None:
            (work.staging / receipt.rendition.file).unlink(missing_ok=True)
        (work.staging / f"{item.staging_stem}.receipt.json").unlink(missing_ok=True)
        return compress_item(item, work.site, work.home, report=work.tell)


def _holds(store: Store, piece: _Piece) -> bool:
    try:
        return _proven_there(store, piece) is not None
    except StoreError:
        return False


def _proven_there(store: Store, piece: _Piece) -> StoredObject | None:
    """The store's object when it has the piece's bytes, read back where the store does not know the hash."""
    there = store.head(piece.key)
    if there is None or there.size_bytes != piece.size_bytes:
        return None
    sha256 = there.sha256 or _hash_of(store.open_range(piece.key))
    return (
        replace(there, sha256=sha256, checksum=there.checksum or f"sha256:{sha256}", bytes_sent=0)
        if (sha256 == piece.sha256)
        else None
    )


def _hash_of(chunks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _put(work: _Upload, label: str, store_id: int, store: Store, piece: _Piece) -> CopyReceipt:
    began = time.monotonic()
    there = None if piece.file.is_file() else _proven_there(store, piece)
    if there is None:
        there = store.put(piece.file, piece.key, sha256=piece.sha256, size_bytes=piece.size_bytes)
    found = store.head(piece.key)
    if found is None or found.size_bytes != piece.size_bytes:
        raise StoreUnreachable(
            f"Store {store.name} does not show {piece.key} as it was written.", "Check the store; it is tried again."
        )
    if piece.part == "rendition":
        size = f"{piece.size_bytes / 1e6:.1f} MB"
        if there.bytes_sent:
            work.tell(f"{label} ... {size} to {store.name} in {time.monotonic() - began:.1f} s, verified")
        else:
            work.tell(f"{label} ... {size} already on {store.name}, verified, nothing sent")
    return CopyReceipt(
        store_id=store_id,
        part=piece.part,
        key=piece.key,
        size_bytes=piece.size_bytes,
        sha256=piece.sha256,
        checksum=there.checksum,
        verified_at=datetime.now(UTC),
        bytes_sent=there.bytes_sent,
    )


def _put_preview(work: _Upload, label: str, store_id: int, store: Store, piece: _Piece) -> CopyReceipt:
    """Like `_put`; a preview is no evidence, so another one under its key is taken as it is."""
    try:
        return _put(work, label, store_id, store, piece)
    except StoreConflict:
        there = store.head(piece.key)
        if there is None:
            raise
        kept = replace(piece, size_bytes=there.size_bytes, sha256=there.sha256 or _hash_of(store.open_range(piece.key)))
        work.tell(f"{label}: {store.name} already holds another {piece.part} of it; that one is kept")
        return _put(work, label, store_id, store, replace(kept, file=Path(os.devnull)))


def _note_fault(work: _Upload, label: str, store_id: int, faults: dict[str, Fault], error: VmsError) -> None:
    name = work.targets[store_id].name
    faults[name] = _fault(error)
    if isinstance(error, (StoreUnreachable, StoreFull)):
        work.out[store_id] = faults[name]
    work.tell(f"{label}: not on {name}: {error}")


def _fault(error: VmsError) -> Fault:
    return Fault(_code(error), error.message, error.remedy, permanent=False)


def _code(error: VmsError) -> str:
    codes: list[tuple[type[VmsError], str]] = [
        (StoreUnreachable, "store_unreachable"),
        (StoreFull, "store_full"),
        (StoreConflict, "store_conflict"),
        (FileRotted, "staging_failed"),
        (StoreError, "store_refused"),
    ]
    return next((code for kind, code in codes if isinstance(error, kind)), "upload_failed")


def write_sidecar(staging: Path, item: BatchItem, receipt: Receipt) -> None:
    """Keep the receipt beside its staged rendition, so that a rerun knows what was done."""
    if receipt.rendition is None or not (staging / receipt.rendition.file).is_file():
        return
    final = staging / f"{item.staging_stem}.receipt.json"
    fresh = final.with_name(f"{final.name}.{os.getpid()}.{threading.get_ident()}.new")
    fresh.write_text(json.dumps(dump(receipt), indent=1))
    fresh.replace(final)
