"""Meeting a store: opened, known for the one that the catalogue means, and what its refusals are called in receipts."""

from __future__ import annotations

from vms.errors import (
    CopyDamaged,
    CopyUnreachable,
    Reason,
    RestoreNeeded,
    StagingFull,
    StoreConflict,
    StoreDenied,
    StoreError,
    StoreFull,
    StoreUnreachable,
    VmsError,
)
from vms.model import StoreTarget
from vms.sightings import Fault
from vms.stores import FileRotted, Pace, Store, open_store

OUT = (StoreUnreachable, StoreFull, StoreDenied)
"""What says that a store takes or gives nothing at all now, so that the next file need not be tried there."""

_REASONS: tuple[tuple[type[VmsError], Reason], ...] = (
    (StoreUnreachable, "store_unreachable"),
    (StoreFull, "store_full"),
    (StoreDenied, "store_denied"),
    (StoreConflict, "store_conflict"),
    (FileRotted, "staging_failed"),
    (RestoreNeeded, "restore_needed"),
    (CopyDamaged, "copy_damaged"),
    (CopyUnreachable, "copy_unreachable"),
    (StoreError, "store_refused"),
    (StagingFull, "staging_full"),
)


def meet(target: StoreTarget, pace: Pace | None = None) -> tuple[Store, str]:
    """The store, and what its identity file says. Raises VmsError when it can't be used now."""
    store = open_store(target.name, target.url, conn_id=target.conn_id, options=target.options, pace=pace)
    return store, store.identify(target.identity)


def fault_of(error: VmsError) -> Fault:
    """The error as receipts carry it. permanent: nothing helps until somebody lets us into the store again."""
    reason: Reason = next((code for kind, code in _REASONS if isinstance(error, kind)), "upload_failed")
    return Fault(reason, error.message, error.remedy, permanent=isinstance(error, StoreDenied))
