"""Custody: what became of planned recordings, committed file by file.

    planned --(rendition proven in as many stores as asked)--> archived --(no source left on site)--> released
       |  ^                                                        (purged comes with retention)
       v  | seen again, or a retry was asked for
    quarantined

Each change and its lineage events are one transaction. Everything here may be called again with the same receipts: it
then changes nothing, adds no lineage and gives the same answer. Only this module and `planning` write custody.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import psycopg2
from psycopg2.extensions import cursor as Cursor  # noqa: N812 (psycopg2 names its class in lower case)

from vms.catalogue.archiving import Work, archive, confirm, contradiction
from vms.catalogue.batching import local
from vms.catalogue.connection import Connection, fetch_all, fetch_one
from vms.catalogue.events import Actor, Known, note
from vms.catalogue.lost import was_archived
from vms.catalogue.missing import see_stores
from vms.catalogue.orders import Place, load_items, load_orders
from vms.catalogue.partitions import ensure_partitions, months_ahead
from vms.catalogue.registering import drop, forget_names, lock, quarantine, set_custody
from vms.catalogue.rollup import hold_camera, rebuild_days
from vms.catalogue.rows import CUSTODY, STATES
from vms.errors import CatalogueError
from vms.model import Batch, Recorded, RunRef, State, dump
from vms.receipts import Receipt, ReleaseReceipt
from vms.sightings import Fault

logger = logging.getLogger(__name__)

_KEPT = (CUSTODY["archived"], CUSTODY["released"], CUSTODY["purged"])
_CHANGED = "source_changed"
_GONE = "source_gone"


@dataclass(frozen=True)
class Verdict:
    """How a run ended, in numbers of recordings. unfinished: one line of text for each that is neither archived,
    quarantined nor withdrawn; a run with such lines has failed."""

    planned: int
    archived: int
    quarantined: int
    withdrawn: int
    unfinished: tuple[str, ...]


def record_receipts(
    conn: Connection,
    batch: Batch,
    receipts: Sequence[Receipt],
    run: RunRef,
    now: datetime,
    keep_source: timedelta | None,
) -> Recorded:
    """Commit what a batch reports, one transaction per file. now: UTC; keep_source: the site's, for the release orders.

    A file is archived when its rendition is proven in as many stores as the batch asks for. A receipt that contradicts
    the catalogue changes nothing; the other files are committed first, then CatalogueError names it.
    """
    ensure_partitions(conn, months_ahead(now))
    work = _work(conn, batch, Actor(run, now))
    contradictions: list[CatalogueError] = []
    for receipt in receipts:
        try:
            with conn, conn.cursor() as cursor:
                hold_camera(cursor, work.camera_id)
                _record(cursor, work, receipt)
        except CatalogueError as error:
            contradictions.append(error)
        except (psycopg2.DataError, psycopg2.IntegrityError) as error:
            contradictions.append(
                CatalogueError(
                    f"{batch.site}/{batch.camera}: {receipt.source.path}: the catalogue refuses its receipt"
                    f" ({str(error).strip().splitlines()[0]}).",
                    "Nothing of it was written; report this with the task's log.",
                )
            )
    with conn, conn.cursor() as cursor:
        _see(cursor, work, receipts)
    if contradictions:
        for each in contradictions:
            logger.error("%s", each)
        raise contradictions[0]
    with conn, conn.cursor() as cursor:
        return _recorded(cursor, work, keep_source)


def record_releases(conn: Connection, receipts: Sequence[ReleaseReceipt], run: RunRef, now: datetime) -> None:
    """Commit which source files release removed, one transaction per recording. now: UTC.

    Raises CatalogueError for a recording of another site than the run's: a branch tells of its own alone.
    """
    ensure_partitions(conn, months_ahead(now))
    actor = Actor(run, now)
    for receipt in receipts:
        with conn, conn.cursor() as cursor:
            _record_release(cursor, actor, receipt)


def close_run(conn: Connection, run: RunRef) -> Verdict:
    """Compare what the run planned with what became of it, as the catalogue stands now. Writes nothing.

    Raises CatalogueError when the run was never planned.
    """
    known = fetch_one(conn, "SELECT 1 FROM run WHERE dag_id = %s AND run_id = %s", [run.dag_id, run.run_id])
    if known is None:
        raise CatalogueError(
            f"The run {run.run_id} of {run.dag_id} was never planned.", "Look at the log of its plan task."
        )
    found = fetch_all(
        conn,
        """
        SELECT r.custody, c.slug, i.start_at, s.tz, r.source_name, i.reason, i.message
        FROM run
        JOIN batch b USING (run_no)
        JOIN batch_item i USING (batch_id)
        JOIN camera c USING (camera_id)
        JOIN site s ON s.site_id = run.site_id
        LEFT JOIN LATERAL (
            SELECT custody, source_name FROM recording
            WHERE recording.recording_id = i.recording_id AND recording.start_at = i.start_at
            OFFSET 0  -- one by one by key, never by reading months into a hash
        ) AS r ON true
        WHERE run.dag_id = %s AND run.run_id = %s AND b.kind = 'footage'
        ORDER BY b.position, i.position
        """,
        [run.dag_id, run.run_id],
    )
    custodies = [row[0] for row in found]
    return Verdict(
        planned=len(found),
        archived=sum(custody in _KEPT for custody in custodies),
        quarantined=custodies.count(CUSTODY["quarantined"]),
        withdrawn=custodies.count(None),
        unfinished=tuple(_unfinished(*row[1:]) for row in found if row[0] == CUSTODY["planned"]),
    )


def _unfinished(camera: str, start: datetime, zone: str, name: str, reason: str, message: str) -> str:
    begin = local(start, ZoneInfo(zone))
    why = f"{reason}: {message}" if reason else "no task reported on it"
    return f"{camera} {begin:%Y-%m-%d %H:%M:%S %Z} ({name}): {why}"


def _work(conn: Connection, batch: Batch, actor: Actor) -> Work:
    with conn.cursor() as cursor:
        cursor.execute(
            "SELECT b.camera_id, s.tz, b.store_ids, b.min_copies, b.wanted_ids FROM batch b"
            " JOIN camera c USING (camera_id) JOIN site s USING (site_id)"
            " WHERE b.batch_id = %s AND s.slug = %s AND c.slug = %s AND b.kind = 'footage'",
            (batch.batch_id, batch.site, batch.camera),
        )
        row = cursor.fetchone()
    if row is None:
        raise CatalogueError(
            f"The catalogue has no batch {batch.batch_id} of {batch.site}/{batch.camera}.",
            "It was planned with another catalogue: trigger a new run of the site.",
        )
    return Work(actor, batch, row[0], ZoneInfo(row[1]), tuple(row[2]), row[3], tuple(row[4]))


def _see(cursor: Cursor, work: Work, receipts: Sequence[Receipt]) -> None:
    """What the batch says about its stores and about how fast the site works."""
    faults: dict[int, list[Fault]] = defaultdict(list)
    for receipt in receipts:
        for store_id, fault in work.faults(receipt).items():
            faults[store_id].append(fault)
    proven = {copy.store_id for receipt in receipts for copy in receipt.copies} & set(work.store_ids)
    cursor.execute("SELECT site_id FROM camera WHERE camera_id = %s", (work.camera_id,))
    (site_id,) = cursor.fetchone() or (0,)
    see_stores(cursor, site_id, proven, faults, work.actor.now)
    cursor.execute(
        """
        UPDATE batch SET recorded_at = %s, footage_s = (
            SELECT coalesce(sum(r.duration_s), 0)
            FROM batch_item i
            CROSS JOIN LATERAL (
                SELECT duration_s FROM recording
                WHERE recording.recording_id = i.recording_id AND recording.start_at = i.start_at
                OFFSET 0  -- one by one by key, never by reading months into a hash
            ) AS r
            WHERE i.batch_id = batch.batch_id AND i.outcome = 'archived'
        )
        WHERE batch_id = %s
        """,
        (work.actor.now, work.batch.batch_id),
    )


def _record(cursor: Cursor, work: Work, receipt: Receipt) -> None:
    place = (receipt.recording_id, receipt.start_utc)
    cursor.execute(
        "SELECT outcome, replace(receipt::text, '-', '') FROM batch_item"
        " WHERE batch_id = %s AND recording_id = %s AND start_at = %s",
        (work.batch.batch_id, *place),
    )
    item = cursor.fetchone()
    if item is None:
        raise contradiction(work, receipt, f"batch {work.batch.batch_id} never held recording {place[0]}")
    known = lock(cursor, "r.recording_id = %s AND r.start_at = %s", place)
    if known is None:
        _close_item(cursor, work, receipt, "withdrawn")
        return
    fault = receipt.fault
    if known.custody in _KEPT:
        if fault is None:
            confirm(cursor, work, receipt, known)
        _close_item(cursor, work, receipt, "archived")
        return
    if item[0] is not None and item[1] == _digest(receipt) and known.custody == CUSTODY["planned"]:
        return  # this very receipt has been recorded, whatever happened to the recording since
    if fault is None:
        fault = archive(cursor, work, receipt, known)
    if fault is None:
        _close_item(cursor, work, receipt, "archived")
    elif fault.reason == _CHANGED:
        drop(cursor, work.actor, known, fault.message)
        _close_item(cursor, work, receipt, "withdrawn", fault)
    elif fault.permanent or fault.reason == _GONE:
        if fault.reason == _GONE and was_archived(cursor, known):
            forget_names(cursor, work.actor, known)  # else each night it would be planned again in vain
        quarantine(cursor, work.actor, known, "work", fault, receipt.source.path)
        _close_item(cursor, work, receipt, "quarantined", fault)
    else:
        note(cursor, work.actor, "failed", known, reason=fault.reason, message=fault.message, remedy=fault.remedy)
        _close_item(cursor, work, receipt, "failed", fault)


def _close_item(
    cursor: Cursor,
    work: Work,
    receipt: Receipt,
    outcome: Literal["archived", "quarantined", "withdrawn", "failed"],
    fault: Fault | None = None,
) -> None:
    told = (fault.reason, fault.message, fault.remedy) if fault else ("", "", "")
    cursor.execute(
        "UPDATE batch_item SET outcome = %s, reason = %s, message = %s, remedy = %s, receipt = %s::uuid"
        " WHERE batch_id = %s AND recording_id = %s AND start_at = %s"
        " AND (outcome IS DISTINCT FROM %s OR receipt IS DISTINCT FROM %s::uuid)",
        (
            *(outcome, *told, _digest(receipt)),
            *(work.batch.batch_id, receipt.recording_id, receipt.start_utc),
            *(outcome, _digest(receipt)),
        ),
    )


def _digest(receipt: Receipt) -> str:
    return hashlib.sha256(json.dumps(dump(receipt), sort_keys=True).encode()).hexdigest()[:32]


def _recorded(cursor: Cursor, work: Work, keep_source: timedelta | None) -> Recorded:
    cursor.execute(
        "SELECT r.recording_id, r.start_at, r.custody FROM batch_item i"
        " JOIN recording r ON r.recording_id = i.recording_id AND r.start_at = i.start_at"
        " WHERE i.batch_id = %s ORDER BY i.position",
        (work.batch.batch_id,),
    )
    places: dict[State, list[Place]] = {state: [] for state in CUSTODY}
    for recording_id, start, custody in cursor.fetchall():
        places[STATES[custody]].append((recording_id, start))
    aside = load_items(cursor, places["quarantined"])
    return Recorded(
        batch_id=work.batch.batch_id,
        archived=load_orders(cursor, places["archived"], keep_source),
        quarantined=tuple(source for item in aside for source in item.sources),
        unfinished=tuple(recording_id for recording_id, _ in places["planned"]),
    )


def _record_release(cursor: Cursor, actor: Actor, receipt: ReleaseReceipt) -> None:
    place = (receipt.recording_id, receipt.start_utc)
    cursor.execute(
        "SELECT r.camera_id, s.tz, r.end_at, r.release_tried_at IS NOT NULL"
        " FROM recording r JOIN site s USING (site_id) JOIN run USING (site_id)"
        " WHERE r.recording_id = %s AND r.start_at = %s AND run.dag_id = %s AND run.run_id = %s",
        (*place, actor.run.dag_id, actor.run.run_id),
    )
    row = cursor.fetchone()
    if row is None:
        raise CatalogueError(
            f"The site of {actor.run.dag_id} has no recording {place[0]} of {place[1]:%Y-%m-%d %H:%M:%S} UTC.",
            "Its sources were removed by an order of another catalogue, as of one before a restore, or the site's"
            " machine tells what is not so: look at its lineage, and at that machine.",
        )
    camera_id, zone, end, was_due = row
    hold_camera(cursor, camera_id)
    known = lock(cursor, "r.recording_id = %s AND r.start_at = %s", place)
    if known is None or known.custody not in _KEPT:
        raise CatalogueError(
            f"Recording {place[0]} is not archived, yet a release of its sources was reported.",
            "Keep the remaining files of this camera and look at the recording's lineage.",
        )
    cursor.execute(
        "UPDATE recording_source SET released_at = %s WHERE recording_id = %s AND start_at = %s"
        " AND released_at IS NULL AND (path = ANY(%s) OR (%s AND replaced_at IS NULL)) RETURNING path",
        (actor.now, *place, list(receipt.removed), receipt.done),
    )
    gone = sorted(path for (path,) in cursor.fetchall())
    changed = receipt.done and known.custody == CUSTODY["archived"]
    if changed:
        set_custody(cursor, known, "released")
        rebuild_days(cursor, camera_id, ZoneInfo(zone), known.start_utc, end)
    if changed or gone:
        removed = [path for path in gone if path in receipt.removed]
        missing = [path for path in gone if path not in receipt.removed]
        note(
            cursor,
            actor,
            "released",
            known,
            removed=removed,
            already_gone=missing,
            kept=receipt.kept,
            done=receipt.done,
        )
    elif receipt.kept and was_due:
        _note_kept(cursor, actor, known, receipt.kept)


def _note_kept(cursor: Cursor, actor: Actor, known: Known, kept: dict[str, str]) -> None:
    """Once per reason: what can't be released is tried again every hour."""
    cursor.execute(
        "SELECT detail->'kept' FROM lineage WHERE recording_id = %s AND start_at = %s AND event = 'release_kept'"
        " ORDER BY lineage_id DESC LIMIT 1",
        (known.recording_id, known.start_utc),
    )
    row = cursor.fetchone()
    if row is None or row[0] != kept:
        note(cursor, actor, "release_kept", known, kept=kept)
