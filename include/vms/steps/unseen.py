"""Unseen: what a branch, whose keys may only write, knows of its objects in stores that it can't look into.

It knows what it has put there itself, from the receipt beside the staged file, and what the centre saw when it planned.
Either keeps it from sending a file twice; where neither knows, the file is sent, and the store lets nothing be
overwritten. What is written down here is no copy yet: the centre proves it first (`vms.steps.vouch`).
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from pydantic import ValidationError

from vms.errors import StoreUnreachable
from vms.model import BatchItem, StoreTarget, load
from vms.receipts import Receipt, Unproven
from vms.steps.copying import Piece
from vms.stores import FileRotted, Pace, open_store
from vms.stores.unseen import PutsUnseen

logger = logging.getLogger(__name__)


def met_unseen(target: StoreTarget, pace: Pace | None) -> PutsUnseen | None:
    """The store, to be filled without a look; None when it is one that is looked into in any case, as a folder is.

    Raises StoreUnreachable when the centre has not met it yet: it gives a new store its identity.
    """
    store = open_store(target.name, target.url, conn_id=target.conn_id, options=target.options, pace=pace)
    if not isinstance(store, PutsUnseen):
        return None
    if target.identity is None:
        raise StoreUnreachable(
            f"Store {target.name} at {target.url} was never reached by the centre, which prepares it.",
            "See in the log of the task `plan`, or by `vms stores check` at the centre, why not.",
        )
    return store


def kept_unproven(staging: Path, item: BatchItem) -> tuple[Unproven, ...]:
    """What earlier tries have put somewhere, by the receipt beside the staged file."""
    try:
        receipt = load(Receipt, json.loads((staging / f"{item.staging_stem}.receipt.json").read_text()))
    except (OSError, ValueError, ValidationError):
        return ()
    return receipt.unproven if receipt.recording_id == item.recording_id else ()


def known_there(
    item: BatchItem, store_id: int, piece: Piece, kept: Iterable[Unproven], batch_id: int
) -> Unproven | None:
    """What needs not be sent: put there for this batch, or seen there by the centre, or put there for an earlier batch
    when the centre could not look. An object that the centre saw may be another one: the centre will tell."""
    ours = next(
        (
            one
            for one in kept
            if (one.store_id, one.part, one.key) == (store_id, piece.part, piece.key)
            and (one.size_bytes, one.sha256) == (piece.size_bytes, piece.sha256)
        ),
        None,
    )
    seen = next((one for one in item.seen if (one.store_id, one.key) == (store_id, piece.key)), None)
    if seen is None or (ours is not None and ours.batch_id == batch_id):
        return ours
    if seen.size_bytes is None:
        return None
    return ours or Unproven(store_id, piece.part, piece.key, piece.size_bytes, piece.sha256, "", batch_id, 0)


def holds_unseen(item: BatchItem, store_id: int, piece: Piece) -> bool:
    """Whether the centre saw the piece's very bytes there."""
    ours = (store_id, piece.key, piece.size_bytes, piece.sha256)
    return any((one.store_id, one.key, one.size_bytes, one.sha256) == ours for one in item.seen)


def put_unseen(
    store: PutsUnseen,
    target: StoreTarget,
    piece: Piece,
    batch_id: int,
    tell: Callable[[str], None],
    sent: Callable[[int], None],
) -> Unproven:
    """The object that is there now, whoever put it. Raises StoreError; FileRotted when the staged file is no good."""
    began = time.monotonic()
    preview = piece.part != "rendition"
    done = store.put_unseen(
        piece.file, piece.key, sha256=piece.sha256, size_bytes=piece.size_bytes, progress=sent, preview=preview
    )
    if not preview:
        tell(
            f"{piece.size_bytes / 1e6:.1f} MB to {target.name} in {time.monotonic() - began:.1f} s, "
            "to be proven by the centre"
        )
    return Unproven(
        target.store_id, piece.part, piece.key, piece.size_bytes, piece.sha256, done.checksum, batch_id, done.bytes_sent
    )


def preview_unseen(
    store: PutsUnseen,
    target: StoreTarget,
    piece: Piece,
    batch_id: int,
    tell: Callable[[str], None],
    sent: Callable[[int], None],
) -> list[Unproven]:
    """Like `put_unseen`; a preview that is not staged any more is left out."""
    try:
        return [put_unseen(store, target, piece, batch_id, tell, sent)]
    except FileRotted as error:
        tell(f"{piece.part} is left out: {error.message}")
        return []
