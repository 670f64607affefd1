"""One file into one store: put, proven by the store, shown by a look afterwards, and written down as a copy."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Literal

from vms.errors import StoreConflict, StoreError, StoreUnreachable
from vms.model import BatchItem, EarlierCopy
from vms.receipts import CopyReceipt, Preview, Receipt, Rendition
from vms.stores import FileRotted, Store, StoredObject

_REPAIR = re.compile(r"\.r(\d+)(?=\.[^./]+\Z)")

Part = Literal["rendition", "poster", "sprite"]


@dataclass(frozen=True)
class Piece:
    """One file that is to lie in the stores."""

    part: Part
    file: Path
    key: str
    size_bytes: int
    sha256: str


def pieces_of(item: BatchItem, receipt: Receipt, staging: Path) -> list[Piece]:
    """The rendition, then the previews. Raises FileRotted when there is no rendition."""
    rendition = receipt.rendition
    if rendition is None:
        raise FileRotted(f"Recording {item.recording_id} has no rendition.", "Run compress again.")
    found: list[tuple[Part, Rendition | Preview]] = [("rendition", rendition)]
    found += [(preview.kind, preview) for preview in receipt.previews]
    return [
        Piece(part, staging / one.file, item.key_stem + one.suffix, one.size_bytes, one.sha256) for part, one in found
    ]


def repair_of(key: str) -> int:
    """Which repair put this object beside a damaged one: 1 for ….r1.mp4; 0 for the first object of its part."""
    found = _REPAIR.search(key)
    return int(found[1]) if found else 0


def beside(key: str, number: int) -> str:
    """The key of repair `number` of what lies, or lay, under this key or under one of its repairs."""
    path = PurePosixPath(_REPAIR.sub("", key))
    return str(path.with_suffix(f".r{number}{path.suffix}"))


def placed(store: Store | None, piece: Piece, earlier: EarlierCopy | None) -> Piece:
    """The piece with the key under which this store takes it: its own, or where a damaged object lies there, one beside
    it. earlier: what the catalogue knows of this part in this store. store None: one that can't be asked whether the
    damaged object is there still. Raises StoreError."""
    if earlier is None or _REPAIR.sub("", earlier.key) != piece.key:
        return piece
    if earlier.broken and (store is None or store.head(earlier.key) is not None):
        return replace(piece, key=beside(earlier.key, repair_of(earlier.key) + 1))
    return replace(piece, key=earlier.key)


def holds(store: Store, piece: Piece) -> bool:
    """Whether the store has the piece's very bytes; False also when it can't be asked."""
    try:
        return _proven_there(store, piece) is not None
    except StoreError:
        return False


def put(
    store: Store, store_id: int, piece: Piece, tell: Callable[[str], None], sent: Callable[[int], None]
) -> CopyReceipt:
    """The copy that the store has proven and then shown. A file that is not staged any more may be there already.

    Raises StoreError; StoreConflict when another object is under the key, FileRotted when the staged file is no good.
    """
    began = time.monotonic()
    there = store.put(
        piece.file,
        piece.key,
        sha256=piece.sha256,
        size_bytes=piece.size_bytes,
        progress=sent,
        preview=piece.part != "rendition",
    )
    found = store.head(piece.key)
    if found is None or found.size_bytes != piece.size_bytes:
        raise StoreUnreachable(
            f"Store {store.name} does not show {piece.key} as it was written.", "Check the store; it is tried again."
        )
    if piece.part == "rendition":
        size = f"{piece.size_bytes / 1e6:.1f} MB"
        if there.bytes_sent:
            tell(f"{size} to {store.name} in {time.monotonic() - began:.1f} s, verified")
        else:
            tell(f"{size} already on {store.name}, verified, nothing sent")
    return _copy(store_id, piece, there)


def put_preview(
    store: Store, store_id: int, piece: Piece, tell: Callable[[str], None], sent: Callable[[int], None]
) -> list[CopyReceipt]:
    """Like `put`, but a preview is no evidence: another one under its key is taken as it is, and one that is not
    staged any more is left out."""
    try:
        return [put(store, store_id, piece, tell, sent)]
    except FileRotted as error:
        tell(f"{piece.part} is left out: {error.message}")
        return []
    except StoreConflict:
        there = store.head(piece.key)
        if there is None:
            raise
        sha256 = _sha256(store, there)
        tell(f"{store.name} already holds another {piece.part} of it; that one is kept")
        kept = replace(piece, size_bytes=there.size_bytes, sha256=sha256)
        return [_copy(store_id, kept, replace(there, checksum=there.checksum or f"sha256:{sha256}"))]


def _proven_there(store: Store, piece: Piece) -> StoredObject | None:
    """The store's object when it has the piece's very bytes."""
    there = store.head(piece.key)
    if there is None or there.size_bytes != piece.size_bytes:
        return None
    sha256 = _sha256(store, there)
    if sha256 != piece.sha256:
        return None
    return replace(there, sha256=sha256, checksum=there.checksum or f"sha256:{sha256}")


def _sha256(store: Store, there: StoredObject) -> str:
    """The object's SHA-256, taken by reading it where the store does not know it."""
    if there.sha256 is not None:
        return there.sha256
    digest = hashlib.sha256()
    for chunk in store.open_range(there.key):
        digest.update(chunk)
    return digest.hexdigest()


def _copy(store_id: int, piece: Piece, there: StoredObject) -> CopyReceipt:
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
