"""Standing: whether every store still shows what is about to be released; the centre's word for it, for a branch that
can't look into buckets itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

from vms.errors import VmsError
from vms.logs import of_recording
from vms.model import NO_OPTIONS, ReleaseOrder, StoreTarget
from vms.steps.meeting import meet
from vms.stores import Store
from vms.stores.narrow import is_bucket

VOUCHED_FOR = timedelta(days=1)
"""How long a branch may act on the centre's having seen a copy; its next run sees anew."""

_LOOKS_AT_ONCE = 8


def looks_for(target: StoreTarget) -> bool:
    """Whether the centre looks into this store in a branch's place; a folder at the branch it could not reach."""
    return is_bucket(target.url)


def vouch(orders: Sequence[ReleaseOrder], now: datetime, report: Callable[[str], None]) -> tuple[ReleaseOrder, ...]:
    """The orders, with the time (UTC) in those whose rendition every bucket of theirs shows now."""
    buckets = {one.store_id: one for order in orders for one in order.stores if looks_for(one)}
    stores = {store_id: _met(target) for store_id, target in buckets.items()}

    def seen(order: ReleaseOrder) -> ReleaseOrder:
        for target in order.stores:
            why = unseen_in(stores, order, target) if looks_for(target) else ""
            if why:
                report(f"recording {order.recording_id} is not released yet: {why}")
                return order
        return replace(order, vouched_at=now)

    with ThreadPoolExecutor(max_workers=_LOOKS_AT_ONCE, thread_name_prefix="vouch") as pool:
        jobs = [pool.submit(of_recording(order.recording_id, seen), order) for order in orders]
        return tuple(job.result() for job in jobs)


def unseen_in(stores: dict[int, Store | str], order: ReleaseOrder, target: StoreTarget) -> str:
    """Why this store does not vouch for the recording now; "" when it shows its rendition. stores: those met so far, or
    why they can't be asked."""
    copy = next((one for one in order.copies if one.store_id == target.store_id and one.part == "rendition"), None)
    if copy is None:
        return f"no copy of it on {target.name} is proven"
    if target.store_id not in stores:
        stores[target.store_id] = _met(target)
    store = stores[target.store_id]
    if isinstance(store, str):
        return store
    try:
        there = store.head(copy.key)
    except VmsError as error:
        return error.message
    if there is None:
        return f"{target.name} no longer holds {copy.key}"
    if there.size_bytes != copy.size_bytes:
        return f"{target.name} holds {there.size_bytes} bytes under {copy.key} instead of {copy.size_bytes}"
    return ""


def _met(target: StoreTarget) -> Store | str:
    if target.identity is None:  # asking without one could make a new store where the old one should be
        return f"the catalogue does not know the identity of {target.name} yet"
    try:
        return meet(replace(target, options=NO_OPTIONS))[0]
    except VmsError as error:
        return error.message
