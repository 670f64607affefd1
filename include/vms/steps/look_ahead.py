"""Look ahead: what stores hold already of what a run will archive, seen by the centre for a branch that can't look.

So the branch sends nothing twice, also when what it knew is lost, and a store that was never used gets its identity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath

from vms.catalogue.connection import Connection
from vms.catalogue.places import set_store_identity
from vms.errors import StoreError, VmsError
from vms.model import Batch, BatchItem, SeenObject
from vms.steps.copying import Piece, placed
from vms.steps.meeting import meet
from vms.steps.standing import looks_for
from vms.stores import Store

_LOOKS_AT_ONCE = 8


def look_ahead(conn: Connection, batches: Sequence[Batch], report: Callable[[str], None]) -> tuple[Batch, ...]:
    """The batches with what their stores hold of them already. A store that was never used is given its identity.

    Never raises for a store: where the centre can't look now, the branch goes by what it knows itself.
    """
    met: dict[int, tuple[Store, str]] = {}
    targets = {target.store_id: target for batch in batches for target in batch.stores if looks_for(target)}
    for target in targets.values():
        try:
            met[target.store_id] = meet(target)
            if target.identity is None:
                with conn, conn.cursor() as cursor:
                    set_store_identity(cursor, target.store_id, met[target.store_id][1])
        except VmsError as error:
            met.pop(target.store_id, None)
            report(f"{target.name} can't be looked into now: {error}")
    with ThreadPoolExecutor(max_workers=_LOOKS_AT_ONCE, thread_name_prefix="look") as pool:
        seen = dict(pool.map(lambda item: (item.recording_id, _seen(met, item)), _items(batches)))
    return tuple(
        replace(
            batch,
            stores=tuple(
                replace(one, identity=met[one.store_id][1]) if one.store_id in met else one for one in batch.stores
            ),
            items=tuple(replace(item, seen=seen[item.recording_id]) for item in batch.items),
        )
        for batch in batches
    )


def _items(batches: Sequence[Batch]) -> Iterator[BatchItem]:
    return (item for batch in batches for item in batch.items)


def _seen(met: dict[int, tuple[Store, str]], item: BatchItem) -> tuple[SeenObject, ...]:
    """What each store shows under the keys that the item's rendition may get."""
    endings = dict.fromkeys((".mp4", *(PurePosixPath(source.path).suffix.lower() for source in item.sources[:1])))
    found = []
    for store_id, (store, _) in met.items():
        about = next((one for one in item.earlier if (one.store_id, one.part) == (store_id, "rendition")), None)
        for ending in endings:
            piece = Piece("rendition", Path(), item.key_stem + ending, 0, "")
            try:
                key = placed(None, piece, about).key
                there = store.head(key)
            except StoreError:
                continue
            shown = (None, None) if there is None else (there.size_bytes, there.sha256)
            found.append(SeenObject(store_id, key, *shown))
    return tuple(found)
