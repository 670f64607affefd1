"""A recording of which no store has a good copy: it is lost, or planned again because its source still lies on site.

Once archived it is never forgotten: when its source can't be read either, it is lost, with all that is known of it.
"""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from psycopg2.extensions import cursor as Cursor  # noqa: N812 (psycopg2 names its class in lower case)

from vms.catalogue.events import Actor, Known, note
from vms.catalogue.rollup import hold_camera, rebuild_days
from vms.catalogue.rows import CUSTODY


def was_archived(cursor: Cursor, known: Known) -> bool:
    """Whether a recording that is not archived now was so before: its copies turned out to be lost or damaged."""
    cursor.execute(
        "SELECT archived_at IS NOT NULL FROM recording WHERE recording_id = %s AND start_at = %s",
        (known.recording_id, known.start_utc),
    )
    return bool((cursor.fetchone() or (False,))[0])


def is_lost(cursor: Cursor, known: Known) -> bool:
    """Whether it is archived and no store has a good copy."""
    cursor.execute(
        "SELECT lost_at IS NOT NULL AND custody IN (1, 2) FROM recording WHERE recording_id = %s AND start_at = %s",
        (known.recording_id, known.start_utc),
    )
    return bool((cursor.fetchone() or (False,))[0])


def mark_lost(cursor: Cursor, actor: Actor, known: Known, why: str) -> None:
    """Nothing can make it good now. It stays archived, and coverage shows its time as lost."""
    hold_camera(cursor, known.camera_id)
    place = (known.recording_id, known.start_utc)
    cursor.execute(
        "UPDATE recording SET custody = CASE WHEN custody = 2 THEN 2 ELSE %s END, lost_at = %s"
        " WHERE recording_id = %s AND start_at = %s",
        (CUSTODY["archived"], actor.now, *place),
    )
    cursor.execute("DELETE FROM quarantine WHERE recording_id = %s AND start_at = %s", place)
    note(cursor, actor, "lost", known, why=why)
    rebuild_days_of(cursor, known)


def plan_again(cursor: Cursor, actor: Actor, known: Known, why: str) -> None:
    """The next run of its site archives it anew from its source."""
    hold_camera(cursor, known.camera_id)
    cursor.execute(
        "UPDATE recording SET custody = %s, lost_at = NULL WHERE recording_id = %s AND start_at = %s",
        (CUSTODY["planned"], known.recording_id, known.start_utc),
    )
    note(cursor, actor, "replanned", known, why=why)
    rebuild_days_of(cursor, known)


def rebuild_days_of(cursor: Cursor, known: Known) -> None:
    """Make the sums and spans of its days anew."""
    cursor.execute(
        "SELECT s.tz, r.end_at FROM recording r JOIN site s USING (site_id) WHERE recording_id = %s AND start_at = %s",
        (known.recording_id, known.start_utc),
    )
    zone, end = cursor.fetchone() or ("UTC", known.start_utc)
    rebuild_days(cursor, known.camera_id, ZoneInfo(zone), known.start_utc, end)


def note_stray_object(
    cursor: Cursor, store_id: int, key: str, kind: str, size_bytes: int, detail: str, now: datetime
) -> bool:
    """Report an object that no copy tells of. kind: foreign or damaged. Whether it is reported for the first time."""
    cursor.execute(
        "INSERT INTO stray_object (store_id, key, kind, size_bytes, detail, first_at, last_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (store_id, key) DO UPDATE"
        " SET kind = excluded.kind, size_bytes = excluded.size_bytes, detail = excluded.detail,"
        " last_at = excluded.last_at RETURNING first_at = last_at",
        (store_id, key, kind, size_bytes, detail, now, now),
    )
    (first,) = cursor.fetchone() or (False,)
    return bool(first)
