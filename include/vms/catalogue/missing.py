"""Copies that archived recordings still lack, and stores that are out: what a site's runs catch up on by themselves.

A recording is archived as soon as enough of its stores have proven it; each further store that shall hold it gets a row
in copy_wanted, which goes when its copy is proven, by whatever way. How each store last answered to a site is kept in
store_state: a store that is out is only knocked at, and after a while the site's fallback takes its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from psycopg2.extensions import cursor as Cursor  # noqa: N812 (psycopg2 names its class in lower case)

from vms.catalogue.batching import BATCH_BYTES
from vms.catalogue.events import Known
from vms.catalogue.orders import Place, load_copies, load_items
from vms.errors import Reason
from vms.model import CopyOrder
from vms.sightings import Fault

StoreState = Literal["ok", "unreachable", "full", "denied"]

COPIES_PER_BATCH = 50
BATCHES_PER_STORE = 4
KNOCK = 1
"""How many copies are tried at a store that is out: enough to see that it is back."""

_STATES: dict[Reason, StoreState] = {
    "store_unreachable": "unreachable",
    "store_full": "full",
    "store_denied": "denied",
}


def want(
    cursor: Cursor, known: Known, store_ids: Iterable[int], faults: Mapping[int, Fault], now: datetime
) -> list[int]:
    """Note that these stores lack this archived recording; those of them that do."""
    lacking = sorted(set(store_ids))
    for store_id in lacking:
        fault = faults.get(store_id)
        cursor.execute(
            "INSERT INTO copy_wanted (recording_id, start_at, store_id, site_id, since, tried_at, reason, message)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (
                *(known.recording_id, known.start_utc, store_id, known.site_id, now, now if fault else None),
                *((fault.reason, fault.message) if fault else ("", "")),
            ),
        )
    return lacking


def no_longer_wanted(cursor: Cursor, known: Known, store_ids: Iterable[int]) -> None:
    """These stores have proven their copies of this recording."""
    cursor.execute(
        "DELETE FROM copy_wanted WHERE recording_id = %s AND start_at = %s AND store_id = ANY(%s::smallint[])",
        (known.recording_id, known.start_utc, list(store_ids)),
    )


def note_tried(cursor: Cursor, place: Place, store_id: int, fault: Fault, now: datetime) -> None:
    """A try to fill the gap came to nothing; it has its turn again after those that waited longer."""
    cursor.execute(
        "UPDATE copy_wanted SET tried_at = %s, reason = %s, message = %s"
        " WHERE recording_id = %s AND start_at = %s AND store_id = %s",
        (now, fault.reason, fault.message, *place, store_id),
    )


def see_stores(
    cursor: Cursor, site_id: int, proven: Iterable[int], faults: Mapping[int, Sequence[Fault]], now: datetime
) -> None:
    """How the stores answered to a batch of this site. A fault that is about one file only says nothing of its store.

    proven: stores that took something; a store that took some files before it went out is out.
    """
    seen: dict[int, tuple[StoreState, str, str]] = dict.fromkeys(proven, ("ok", "", ""))
    for store_id, some in faults.items():
        for fault in some:
            state = _STATES.get(fault.reason)
            if state is not None:
                seen[store_id] = (state, fault.message, fault.remedy)
    for store_id, (found, message, remedy) in sorted(seen.items()):
        cursor.execute(
            "INSERT INTO store_state AS old (site_id, store_id, state, message, remedy, since, seen_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (site_id, store_id) DO UPDATE SET"
            " since = CASE WHEN old.state = 'ok' OR excluded.state = 'ok' THEN"
            " CASE WHEN old.state = excluded.state THEN old.since ELSE excluded.since END ELSE old.since END,"
            " state = excluded.state, message = excluded.message, remedy = excluded.remedy, seen_at = excluded.seen_at",
            (site_id, store_id, found, message, remedy, now, now),
        )


def out_since(cursor: Cursor, site_id: int, fallback: int | None, lately: datetime) -> dict[int, datetime]:
    """The stores that did not answer this site as they should, and since when.

    A fallback is asked only while it stands in: what it answered before `lately` says nothing of it now.
    """
    cursor.execute(
        "SELECT store_id, since FROM store_state WHERE site_id = %s AND state <> 'ok'"
        " AND (store_id IS DISTINCT FROM %s OR seen_at > %s)",
        (site_id, fallback, lately),
    )
    return dict(cursor.fetchall())


def with_fallback(
    stores: Sequence[int], fallback: int | None, out: Mapping[int, datetime], after: timedelta, now: datetime
) -> list[int]:
    """The stores to use now: the fallback stands in for the first that has been out for so long, and for no other, so
    that never fewer copies are asked for."""
    used = list(stores)
    if fallback is None or (fallback in out and out[fallback] + after <= now):
        return used
    for position, store_id in enumerate(used):
        if store_id in out and out[store_id] + after <= now:
            used[position] = fallback
            break
    return used


def forget_stores(cursor: Cursor, site_id: int, store_ids: Sequence[int]) -> None:
    """The site names these stores and no others any more: what the others lack is no longer wanted."""
    for table in ("copy_wanted", "store_state"):
        cursor.execute(
            f"DELETE FROM {table} WHERE site_id = %s AND store_id <> ALL(%s::smallint[])",  # noqa: S608 - one of two names
            (site_id, list(store_ids)),
        )


def choose_copies(
    cursor: Cursor, site_id: int, store_ids: Sequence[int], out: Mapping[int, datetime]
) -> list[tuple[int, list[Place]]]:
    """The copies in these stores that the site's next run makes, as batches: for each a store and what it lacks."""
    batches: list[tuple[int, list[Place]]] = []
    for store_id in store_ids:
        limit = KNOCK if store_id in out else COPIES_PER_BATCH * BATCHES_PER_STORE
        cursor.execute(
            """
            SELECT w.recording_id, w.start_at, held.size_bytes FROM copy_wanted w
            CROSS JOIN LATERAL (
                SELECT c.size_bytes FROM copy c WHERE c.recording_id = w.recording_id AND c.start_at = w.start_at
                AND c.part = 0 AND c.state = 0 AND c.store_id <> w.store_id LIMIT 1
            ) AS held
            WHERE w.site_id = %s AND w.store_id = %s
            ORDER BY w.tried_at NULLS FIRST, w.start_at DESC LIMIT %s
            """,
            (site_id, store_id, limit),
        )
        batch: list[Place] = []
        size = 0
        for recording_id, start, size_bytes in cursor.fetchall():
            if batch and (len(batch) == COPIES_PER_BATCH or size + size_bytes > BATCH_BYTES):
                batches.append((store_id, batch))
                batch, size = [], 0
            batch.append((recording_id, start))
            size += size_bytes
        if batch:
            batches.append((store_id, batch))
    return batches


def copy_orders(cursor: Cursor, places: Sequence[Place]) -> tuple[CopyOrder, ...]:
    """These recordings as orders, with what is proven of them now; those that have no copy any more are left out."""
    orders = []
    for item in load_items(cursor, places):
        held = load_copies(cursor, (item.recording_id, item.start_utc))
        if any(copy.part == "rendition" for copy in held):
            orders.append(CopyOrder(item.recording_id, item.start_utc, item.site, item.camera, item.staging_stem, held))
    return tuple(orders)
