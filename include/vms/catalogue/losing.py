"""A copy that turns out to be gone or damaged: its row says so, and whatever can still make it good is set going.

Another store has a good copy: the copy is wanted again. No store has one, but the source still lies on site: the
recording is planned again and archived anew. Neither: the recording is lost, which coverage shows as a gap. Nothing is
ever deleted here, and a copy that is proven anew undoes all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from psycopg2.extensions import cursor as Cursor  # noqa: N812 (psycopg2 names its class in lower case)

from vms.catalogue.connection import Connection
from vms.catalogue.events import Actor, Known, note
from vms.catalogue.lost import mark_lost, plan_again, rebuild_days_of
from vms.catalogue.missing import want
from vms.catalogue.registering import live_names, lock
from vms.catalogue.rollup import hold_camera
from vms.catalogue.rows import CUSTODY, PARTS, Part

LIVE, BROKEN = 0, 3
"""How copy.state spells that an object is there, and that it is lost or damaged."""

_FROM_SOURCE = "no store has a good copy, and the source still lies on site"
_ARCHIVED = (CUSTODY["archived"], CUSTODY["released"])

Outcome = Literal["wanted", "replanned", "lost", "known"]
"""What follows: another store makes it good, the source does, nothing can, or it was known before."""


@dataclass(frozen=True)
class StoredCopy:
    """One row of copy: an object that a store should hold. sha256 as 64 hex digits; times UTC."""

    recording_id: int
    start_utc: datetime
    store_id: int
    part: Part
    key: str
    size_bytes: int
    sha256: str
    stored_at: datetime
    state: int = LIVE


def lose(conn: Connection, actor: Actor, copy: StoredCopy, kind: Literal["lost", "damaged"], message: str) -> Outcome:
    """Mark a live copy as lost (no object) or damaged (other bytes), in one transaction with what follows from it."""
    place = (copy.recording_id, copy.start_utc)
    with conn, conn.cursor() as cursor:
        cursor.execute("SELECT camera_id FROM recording WHERE recording_id = %s AND start_at = %s", place)
        row = cursor.fetchone()
        if row is None:
            return "known"
        hold_camera(cursor, row[0])
        known = lock(cursor, "r.recording_id = %s AND r.start_at = %s", place)
        cursor.execute(
            "UPDATE copy SET state = %s WHERE recording_id = %s AND start_at = %s AND store_id = %s AND part = %s"
            " AND key = %s AND state = %s RETURNING 1",
            (BROKEN, *place, copy.store_id, PARTS[copy.part], copy.key, LIVE),
        )
        if known is None or cursor.fetchone() is None:
            return "known"
        event: Literal["copy_lost", "copy_damaged"] = "copy_lost" if kind == "lost" else "copy_damaged"
        note(cursor, actor, event, known, store=copy.store_id, part=copy.part, key=copy.key, message=message)
        if copy.part != "rendition" or known.custody not in _ARCHIVED:
            return "wanted"
        cursor.execute(
            "SELECT 1 FROM copy WHERE recording_id = %s AND start_at = %s AND part = 0 AND state = %s", (*place, LIVE)
        )
        if cursor.fetchone() is not None:
            if kind == "lost":  # the way of a damaged one is barred by the object under its key: it is repaired apart
                want(cursor, known, (copy.store_id,), {}, actor.now)
            return "wanted"
        if live_names(cursor, known):
            plan_again(cursor, actor, known, _FROM_SOURCE)
            return "replanned"
        mark_lost(cursor, actor, known, "no store has a good copy, and none can be made")
        return "lost"


def archive_from_source(conn: Connection, actor: Actor, copy: StoredCopy) -> bool:
    """Whether this broken copy's recording is planned again now, as no store has a good one and its source is known to
    lie on site."""
    place = (copy.recording_id, copy.start_utc)
    with conn, conn.cursor() as cursor:
        cursor.execute("SELECT camera_id FROM recording WHERE recording_id = %s AND start_at = %s", place)
        row = cursor.fetchone()
        if row is None or copy.part != "rendition":
            return False
        hold_camera(cursor, row[0])
        known = lock(cursor, "r.recording_id = %s AND r.start_at = %s", place)
        cursor.execute(
            "SELECT 1 FROM copy WHERE recording_id = %s AND start_at = %s AND part = 0 AND state = %s", (*place, LIVE)
        )
        if known is None or known.custody not in _ARCHIVED or cursor.fetchone() or not live_names(cursor, known):
            return False
        plan_again(cursor, actor, known, _FROM_SOURCE)
        return True


def found_again(cursor: Cursor, known: Known) -> None:
    """A store has proven a copy of the rendition: the recording is not lost any more, if it was."""
    cursor.execute(
        "UPDATE recording SET lost_at = NULL WHERE recording_id = %s AND start_at = %s AND lost_at IS NOT NULL"
        " RETURNING 1",
        (known.recording_id, known.start_utc),
    )
    if cursor.fetchone() is not None:
        rebuild_days_of(cursor, known)
