"""Copies in a further store: which archived recordings it lacks, and what became of making them.

Recordings are walked site by site or camera by camera along an index in its own order, the newest first, and each is
looked up in `copy` by key; no list of what is missing has to exist. All of it may be repeated: a copy that is recorded
already adds neither a row nor an event.
"""

# ruff: noqa: S608 (statements are put together from constant pieces; every value goes as a parameter)

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import psycopg2
from psycopg2.extensions import cursor as Cursor  # noqa: N812 (psycopg2 names its class in lower case)

from vms.catalogue.archiving import keep_copies
from vms.catalogue.connection import Connection, Params, fetch_all, fetch_one
from vms.catalogue.events import Actor, Known, note
from vms.catalogue.missing import copy_orders, note_tried, see_stores
from vms.catalogue.orders import load_items
from vms.catalogue.partitions import ensure_partitions, months_ahead
from vms.catalogue.places import keep_stores, load_stores, set_store_identity
from vms.catalogue.recording_search import conditions_of, rows_of
from vms.catalogue.registering import lock
from vms.catalogue.rollup import hold_camera
from vms.catalogue.rows import CUSTODY, RecordingFilter
from vms.config import StoreConfig
from vms.errors import CatalogueError
from vms.model import CopyOrder, RunRef, StoreTarget
from vms.receipts import Copied
from vms.sightings import Fault

logger = logging.getLogger(__name__)

_UNARCHIVED = (CUSTODY["planned"], CUSTODY["quarantined"])

_LIVE_COPY = (
    "(SELECT k.store_id FROM copy k WHERE k.recording_id = r.recording_id AND k.start_at = r.start_at AND k.part = 0"
    " AND k.state = 0 AND k.store_id = (SELECT store_id FROM store WHERE name = %s))"
)
"""A subquery and no EXISTS, which would be made a join that reads months of copies into a hash."""


def known_stores(conn: Connection) -> dict[str, StoreTarget]:
    """Every store that was ever used, by name, with the identity that is expected of it."""
    with conn.cursor() as cursor:
        return {target.name: target for target in load_stores(cursor).values()}


def store_to_use(conn: Connection, store: StoreConfig) -> StoreTarget:
    """This store of sites.yaml as the catalogue knows it from now on; one that it did not know gets a number."""
    with conn, conn.cursor() as cursor:
        (number,) = keep_stores(cursor, (store,))
        return load_stores(cursor)[number]


def count_to_copy(conn: Connection, from_store: str, to_store: str, filter: RecordingFilter) -> tuple[int, int]:
    """How many archived recordings lie in from_store and not in to_store, and the bytes of their renditions.

    Reads every recording that the filter lets through: give a range of time on a large catalogue.
    """
    where, params = _lacking(from_store, to_store, filter)
    body, body_params = rows_of(filter, where, params, None)
    found = fetch_one(conn, f"SELECT count(*), coalesce(sum(r.rendition_bytes), 0)::bigint FROM {body}", body_params)
    return (found[0], found[1]) if found else (0, 0)


def orders_to_copy(
    conn: Connection,
    from_store: str,
    to_store: str,
    filter: RecordingFilter,
    after: tuple[datetime, int] | None,
    limit: int,
) -> list[CopyOrder]:
    """The next `limit` of them, the newest first. after: (start_utc, recording_id) of the last one of the page before.

    Stores by their names; one that the catalogue does not know holds nothing.
    """
    where, params = _lacking(from_store, to_store, filter)
    if after is not None:
        where += " AND (r.start_at, r.recording_id) < (%s, %s) AND r.start_at <= %s"
        params += [after[0], after[1], after[0]]
    body, body_params = rows_of(filter, where, params, limit)
    tail = "ORDER BY r.start_at DESC, r.recording_id DESC LIMIT %s"
    places = fetch_all(conn, f"SELECT r.recording_id, r.start_at FROM {body} {tail}", [*body_params, limit])
    with conn.cursor() as cursor:
        return list(copy_orders(cursor, [(recording_id, start) for recording_id, start in places]))


def held_of(conn: Connection, places: Sequence[tuple[int, datetime]]) -> dict[int, CopyOrder]:
    """What is proven of these recordings (id, start_utc) now, by id; one that has no copy any more is left out."""
    with conn.cursor() as cursor:
        return {order.recording_id: order for order in copy_orders(cursor, places)}


def record_copies(conn: Connection, copied: Sequence[Copied], run: RunRef, now: datetime) -> None:
    """Commit what became of copy orders, one transaction per recording. now: UTC.

    An answer that contradicts the catalogue changes nothing but whose turn it is next; the others are committed first,
    then CatalogueError names it. How a store answered to a site is noted for a run of that site alone: a person at a
    desk has another line.
    """
    ensure_partitions(conn, months_ahead(now))
    actor = Actor(run, now)
    contradictions: list[tuple[Copied, CatalogueError]] = []
    of_sites: dict[int, list[Copied]] = defaultdict(list)
    for one in copied:
        try:
            with conn, conn.cursor() as cursor:
                of_sites[_record(cursor, actor, one)].append(one)
        except CatalogueError as error:
            contradictions.append((one, error))
        except (psycopg2.DataError, psycopg2.IntegrityError) as error:
            said = str(error).strip().splitlines()[0]
            refusal = _contradiction(one, f"the catalogue refuses what was reported of it ({said})")
            contradictions.append((one, refusal))
    if run.dag_id:
        with conn, conn.cursor() as cursor:
            for site_id, some in of_sites.items():
                _see(cursor, site_id, some, now)
    for one, each in contradictions:
        logger.error("%s", each)
        with conn, conn.cursor() as cursor:  # else the same one would be first each time, and bar a store's way back
            told = Fault("upload_failed", each.message, each.remedy, permanent=False)
            note_tried(cursor, (one.recording_id, one.start_utc), one.store_id, told, now)
    if contradictions:
        raise contradictions[0][1]


def _lacking(from_store: str, to_store: str, filter: RecordingFilter) -> tuple[str, Params]:
    conditions, params = conditions_of(filter)
    conditions += ["r.custody IN (1, 2)", f"{_LIVE_COPY} IS NOT NULL", f"{_LIVE_COPY} IS NULL"]
    return " AND ".join(conditions), [*params, from_store, to_store]


def _see(cursor: Cursor, site_id: int, copied: Sequence[Copied], now: datetime) -> None:
    faults: dict[int, list[Fault]] = defaultdict(list)
    for one in copied:
        if one.fault is not None:
            faults[one.store_id].append(one.fault)
    see_stores(cursor, site_id, {one.store_id for one in copied if one.copies}, faults, now)


def _record(cursor: Cursor, actor: Actor, one: Copied) -> int:
    """Write it down; the number of the recording's site."""
    place = (one.recording_id, one.start_utc)
    cursor.execute("SELECT camera_id FROM recording WHERE recording_id = %s AND start_at = %s", place)
    for (camera_id,) in cursor.fetchall():
        hold_camera(cursor, camera_id)  # what was lost is found by this: its days change
    known = lock(cursor, "r.recording_id = %s AND r.start_at = %s", place)
    if known is None or known.custody in _UNARCHIVED:
        raise _contradiction(one, "it is not archived, so it could not be copied")
    if one.identity:
        set_store_identity(cursor, one.store_id, one.identity)
    for damage in one.damaged:
        detail = {"store": damage.store_id, "part": damage.part, "key": damage.key, "message": damage.message}
        _note_once(cursor, actor, "copy_damaged", known, ("store", "part"), detail)
    if one.fault is not None:
        _note_fault(cursor, actor, known, one.store_id, one.fault)
    else:
        _check(cursor, one, known)
        keep_copies(cursor, actor, one.copies, known)
    return known.site_id


def _check(cursor: Cursor, one: Copied, known: Known) -> None:
    cursor.execute(
        "SELECT rendition_bytes, encode(rendition_sha256, 'hex') FROM recording"
        " WHERE recording_id = %s AND start_at = %s",
        (known.recording_id, known.start_utc),
    )
    rendition = cursor.fetchone()
    (item,) = load_items(cursor, [(known.recording_id, known.start_utc)])
    if not any(copy.part == "rendition" for copy in one.copies):
        raise _contradiction(one, "neither a copy of its rendition nor a fault was reported")
    for copy in one.copies:
        what = f"its copy {copy.key} ({copy.part}) in store {copy.store_id}"
        if copy.store_id != one.store_id:
            raise _contradiction(one, f"{what} lies in another store than was asked")
        if not copy.key.startswith(item.key_stem):
            raise _contradiction(one, f"{what} lies under another recording's key")
        if not copy.checksum:
            raise _contradiction(one, f"{what} is not confirmed by the store")
        if copy.part == "rendition" and (copy.size_bytes, copy.sha256) != rendition:
            raise _contradiction(one, f"{what} is not the rendition that was archived")


def _note_fault(cursor: Cursor, actor: Actor, known: Known, store_id: int, fault: Fault) -> None:
    cursor.execute(
        "SELECT 1 FROM copy WHERE recording_id = %s AND store_id = %s AND part = 0 AND start_at = %s AND state = 0",
        (known.recording_id, store_id, known.start_utc),
    )
    if cursor.fetchone() is not None:
        return  # another process has made the copy meanwhile
    note_tried(cursor, (known.recording_id, known.start_utc), store_id, fault, actor.now)
    detail = {"store": store_id, "reason": fault.reason, "message": fault.message, "remedy": fault.remedy}
    _note_once(cursor, actor, "copy_failed", known, ("store", "reason"), detail)


def _note_once(
    cursor: Cursor,
    actor: Actor,
    event: Literal["copy_failed", "copy_damaged"],
    known: Known,
    told_by: tuple[str, ...],
    detail: dict[str, str | int],
) -> None:
    """Note it unless these words of it have been noted before: it is tried again and again."""
    cursor.execute(
        "SELECT detail FROM lineage WHERE recording_id = %s AND start_at = %s AND event = %s",
        (known.recording_id, known.start_utc, event),
    )
    before = [{word: told.get(word) for word in told_by} for (told,) in cursor.fetchall()]
    if {word: detail[word] for word in told_by} not in before:
        note(cursor, actor, event, known, **detail)


def _contradiction(one: Copied, what: str) -> CatalogueError:
    return CatalogueError(
        f"Recording {one.recording_id} of {one.start_utc:%Y-%m-%d %H:%M:%S} UTC: {what}.",
        "Nothing was changed for it; compare its lineage with the log of who copied it.",
    )
