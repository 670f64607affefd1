"""Holds in the buckets themselves: an object under a hold here gets the bucket's own hold too, where it has such.

That keeps it also from people and programs that never ask the catalogue. Best effort: what a bucket says is written
down, and the hold counts in the catalogue in any case.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from vms.catalogue import purge_facts
from vms.catalogue.connection import Connection
from vms.catalogue.holds import record_in_store, to_hold_in_store, to_release_in_store
from vms.errors import StoreError
from vms.stores import open_store
from vms.stores.keeping import Holds

logger = logging.getLogger(__name__)

AT_ONCE = 5000
"""Most copies in one store on which one call puts or lifts holds; the next run goes on."""


@dataclass(frozen=True)
class HeldInStores:
    """on, off: copies on which holds were put or lifted; failed: on which that was not done; why: reasons of it."""

    on: int
    off: int
    failed: int
    why: tuple[str, ...]


def hold_in_stores(conn: Connection, now: datetime, report: Callable[[str], None] = logger.info) -> HeldInStores:
    """Make the buckets' holds agree with the catalogue's. Idempotent; also for footage that arrived since."""
    counts = {"on": 0, "off": 0, "failed": 0}
    why: dict[str, None] = {}
    for store in purge_facts.known_stores(conn):
        try:
            opened = open_store(store.name, store.url, conn_id=store.conn_id, options=store.options)
            if not isinstance(opened, Holds):
                continue
            opened.identify(store.identity)
            work = [(one, False) for one in to_release_in_store(conn, store.store_id, AT_ONCE)]
            work += [(one, True) for one in to_hold_in_store(conn, store.store_id, AT_ONCE)]
            for one, on in work:
                said = opened.hold(one.keys, on=on)
                message = next((text for text in said.values() if text), "")
                record_in_store(conn, store.store_id, one, on, message, now)
                counts["failed" if message else "on" if on else "off"] += 1
                if message:
                    why[f"{store.name}: {message}"] = None
        except StoreError as error:
            why[error.message] = None
        else:
            if work:
                report(f"{store.name}: {len(work)} copies whose holds were brought up to date")
    return HeldInStores(counts["on"], counts["off"], counts["failed"], tuple(why)[:5])
