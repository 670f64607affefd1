"""Holds: orders to keep what cameras recorded in a range of time until somebody releases them.

A hold covers every recording that overlaps it, also one that arrives later, and wins over every rule and every caller:
the database itself refuses to mark a held copy (see v0004_retention.sql). Adding one waits for the batch that is being
purged at this moment and counts from then on, so that nobody is told of a hold that a running purge does not know.
"""

# ruff: noqa: S608 (statements are put together from constant pieces; every value goes as a parameter)

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from vms.catalogue.connection import Connection, fetch_all
from vms.catalogue.orders import Place
from vms.errors import CatalogueError

_LOCK = 7_304_000_001  # advisory: held shared while a batch is purged, exclusively while a hold is added

HELD_BY = """
    SELECT h.hold_id FROM hold_scope x JOIN hold h USING (hold_id)
    WHERE x.site_id = r.site_id AND (x.camera_id IS NULL OR x.camera_id = r.camera_id) AND h.released_at IS NULL
      AND r.start_at < h.to_at AND (r.end_at > h.from_at OR r.start_at >= h.from_at)
"""
"""The holds that cover a recording r."""


@dataclass(frozen=True)
class HoldRow:
    """One hold. cameras: (site, camera) ids, camera "" for all of the site. Times are UTC; released_at None: it counts.

    recordings, bytes: living footage that it covers at this moment. in_stores: copies on which a bucket put a hold of
    its own; not_in_stores: those on which it would not.
    """

    hold_id: int
    cameras: tuple[tuple[str, str], ...]
    from_utc: datetime
    to_utc: datetime
    reason: str
    who: str
    made_at: datetime
    released_at: datetime | None
    released_by: str
    release_reason: str
    recordings: int
    bytes: int
    in_stores: int
    not_in_stores: int


@dataclass(frozen=True)
class HeldObject:
    """A copy on which a bucket should put its own hold, or take it off. keys: footage and previews."""

    recording_id: int
    start_utc: datetime
    keys: tuple[str, ...]


@contextmanager
def while_purging(conn: Connection) -> Iterator[None]:
    """Let no hold be added until this block ends. Several purges may run at the same time."""
    with conn.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock_shared(%s)", (_LOCK,))
        try:
            yield
        finally:
            if not conn.closed:
                cursor.execute("SELECT pg_advisory_unlock_shared(%s)", (_LOCK,))


def add_hold(
    conn: Connection,
    cameras: Sequence[tuple[str, str]],
    from_utc: datetime,
    to_utc: datetime,
    reason: str,
    who: str,
    now: datetime,
) -> int:
    """Hold what these cameras recorded in [from_utc, to_utc); returns its number.

    cameras: (site, camera) ids; camera "" means all of the site's, also those added later. Raises CatalogueError for a
    site or camera that the catalogue does not know, and for a range or reason that is none.
    """
    if from_utc >= to_utc:
        raise CatalogueError("A hold must end after it begins.", "Give a later end.")
    if not reason.strip() or not cameras:
        raise CatalogueError("A hold needs a reason and at least one camera or site.", "Say why it is kept, and what.")
    with conn, conn.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        cursor.execute(
            "INSERT INTO hold (from_at, to_at, reason, who, made_at) VALUES (%s, %s, %s, %s, %s) RETURNING hold_id",
            (from_utc, to_utc, reason.strip(), who, now),
        )
        (hold_id,) = cursor.fetchone() or (0,)
        for site, camera in dict.fromkeys(cameras):
            cursor.execute(
                "INSERT INTO hold_scope (hold_id, site_id, camera_id)"
                " SELECT %s, s.site_id, c.camera_id FROM site s LEFT JOIN camera c ON c.site_id = s.site_id"
                " AND c.slug = %s WHERE s.slug = %s AND (%s = '' OR c.camera_id IS NOT NULL) RETURNING 1",
                (hold_id, camera, site, camera),
            )
            if cursor.fetchone() is None:
                raise CatalogueError(
                    f"The catalogue knows no {f'camera {camera} of site {site}' if camera else f'site {site}'}.",
                    "`vms recordings` shows what it knows. Nothing was held.",
                )
        return int(hold_id)


def release_hold(conn: Connection, hold_id: int, who: str, reason: str, now: datetime) -> None:
    """End a hold; what no other hold covers follows its retention again. Raises CatalogueError when there is none."""
    if not reason.strip():
        raise CatalogueError("Releasing a hold needs a reason.", "Say why it may go, and on whose decision.")
    with conn, conn.cursor() as cursor:
        cursor.execute("SELECT released_at, released_by FROM hold WHERE hold_id = %s FOR UPDATE", (hold_id,))
        found = cursor.fetchone()
        if found is None:
            raise CatalogueError(f"There is no hold {hold_id}.", "`vms hold list` shows them.")
        if found[0] is not None:
            raise CatalogueError(
                f"Hold {hold_id} was released by {found[1]} on {found[0]:%Y-%m-%d %H:%M} UTC.", "Nothing is to be done."
            )
        cursor.execute(
            "UPDATE hold SET released_at = %s, released_by = %s, release_reason = %s WHERE hold_id = %s",
            (now, who, reason.strip(), hold_id),
        )


def list_holds(conn: Connection, *, also_released: bool = False) -> list[HoldRow]:
    """Holds, the newest first, with what they cover now."""
    found = fetch_all(
        conn,
        """
        SELECT h.hold_id, h.from_at, h.to_at, h.reason, h.who, h.made_at, h.released_at,
               coalesce(h.released_by, ''), coalesce(h.release_reason, ''),
               array_agg(ARRAY[s.slug, coalesce(c.slug, '')] ORDER BY s.slug, c.slug)
        FROM hold h JOIN hold_scope x USING (hold_id) JOIN site s ON s.site_id = x.site_id
        LEFT JOIN camera c ON c.camera_id = x.camera_id
        WHERE %s OR h.released_at IS NULL
        GROUP BY h.hold_id ORDER BY h.hold_id DESC
        """,
        [also_released],
    )
    covered = _covered(conn, [row[0] for row in found if row[6] is None])
    rows = []
    for hold_id, begin, end, reason, who, made_at, released_at, released_by, why, cameras in found:
        scope = tuple((site, camera) for site, camera in cameras)
        sums = covered.get(hold_id, (0, 0, 0, 0))
        rows.append(HoldRow(hold_id, scope, begin, end, reason, who, made_at, released_at, released_by, why, *sums))
    return rows


def to_hold_in_store(conn: Connection, store_id: int, limit: int) -> list[HeldObject]:
    """Living copies in this store that a hold covers and on which the bucket was not asked to put one."""
    return _objects(
        conn,
        f"""
        SELECT DISTINCT r.recording_id, r.start_at FROM hold h JOIN hold_scope x USING (hold_id)
        CROSS JOIN LATERAL (
            SELECT * FROM recording
            WHERE recording.site_id = x.site_id AND (x.camera_id IS NULL OR recording.camera_id = x.camera_id)
              AND start_at < h.to_at AND start_at >= h.from_at - interval '25 hours'
              AND (end_at > h.from_at OR start_at >= h.from_at)
            OFFSET 0  -- along its site's index, never by reading months into a hash
        ) AS r
        CROSS JOIN LATERAL (
            SELECT 1 FROM copy WHERE copy.recording_id = r.recording_id AND copy.start_at = r.start_at
              AND store_id = %s AND part = 0 AND state = 0
            OFFSET 0
        ) AS k
        WHERE h.released_at IS NULL AND NOT EXISTS ({_IN_STORE} AND n.store_id = %s)
        ORDER BY r.start_at LIMIT %s
        """,
        [store_id, store_id, limit],
        store_id,
    )


def to_release_in_store(conn: Connection, store_id: int, limit: int) -> list[HeldObject]:
    """Copies that still carry the bucket's hold though no hold covers them any more."""
    return _objects(
        conn,
        f"""
        SELECT r.recording_id, r.start_at FROM hold_in_store n
        JOIN recording r ON r.recording_id = n.recording_id AND r.start_at = n.start_at
        WHERE n.store_id = %s AND NOT EXISTS ({HELD_BY}) ORDER BY r.start_at LIMIT %s
        """,
        [store_id, limit],
        store_id,
    )


def record_in_store(conn: Connection, store_id: int, one: HeldObject, on: bool, message: str, now: datetime) -> None:
    """Write down what the bucket made of it: message "" means that it was done."""
    place: Place = (one.recording_id, one.start_utc)
    with conn, conn.cursor() as cursor:
        if not on and not message:
            cursor.execute(
                "DELETE FROM hold_in_store WHERE recording_id = %s AND start_at = %s AND store_id = %s",
                (*place, store_id),
            )
            return
        cursor.execute(
            "INSERT INTO hold_in_store (recording_id, start_at, store_id, state, message, at)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (recording_id, store_id, start_at) DO UPDATE"
            " SET state = excluded.state, message = excluded.message, at = excluded.at",
            (*place, store_id, "failed" if message else "on", message, now),
        )


_IN_STORE = """
    SELECT 1 FROM hold_in_store n WHERE n.recording_id = r.recording_id AND n.start_at = r.start_at
"""


def _objects(conn: Connection, sql: str, params: list[object], store_id: int) -> list[HeldObject]:
    found = []
    for recording_id, start in fetch_all(conn, sql, params):
        keys = fetch_all(
            conn,
            "SELECT key FROM copy WHERE recording_id = %s AND start_at = %s AND store_id = %s AND state = 0"
            " ORDER BY part",
            [recording_id, start, store_id],
        )
        found.append(HeldObject(recording_id, start, tuple(key for (key,) in keys)))
    return found


def _covered(conn: Connection, hold_ids: Sequence[int]) -> dict[int, tuple[int, int, int, int]]:
    """By hold: recordings, bytes, copies that a bucket holds, too, and those that it would not. All holds in one
    statement: to plan it costs as much as to count some."""
    found = fetch_all(
        conn,
        """
        SELECT r.hold_id, count(*), coalesce(sum(k.bytes), 0)::bigint, coalesce(sum(n.done), 0)::bigint,
               coalesce(sum(n.failed), 0)::bigint
        FROM (
            SELECT DISTINCT h.hold_id, r.recording_id, r.start_at FROM hold h JOIN hold_scope x USING (hold_id)
            CROSS JOIN LATERAL (
                SELECT recording_id, start_at FROM recording
                WHERE recording.site_id = x.site_id AND (x.camera_id IS NULL OR recording.camera_id = x.camera_id)
                  AND start_at < h.to_at AND start_at >= h.from_at - interval '25 hours'
                  AND (end_at > h.from_at OR start_at >= h.from_at) AND custody IN (1, 2, 3)
                OFFSET 0  -- along its site's index, never by reading months into a hash
            ) AS r
            WHERE h.hold_id = ANY(%s)
        ) AS r
        CROSS JOIN LATERAL (
            SELECT sum(size_bytes) FROM copy WHERE copy.recording_id = r.recording_id AND copy.start_at = r.start_at
             AND copy.state = 0 HAVING bool_or(part = 0)
        ) AS k (bytes)
        CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE state = 'on'), count(*) FILTER (WHERE state = 'failed') FROM hold_in_store n
            WHERE n.recording_id = r.recording_id AND n.start_at = r.start_at
        ) AS n (done, failed)
        GROUP BY r.hold_id
        """,
        [list(hold_ids)],
    )
    return {hold_id: (count, size, done, failed) for hold_id, count, size, done, failed in found}
