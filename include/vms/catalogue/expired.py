"""Reading what may have expired, in the form in which `vms.retention` decides about it."""

# ruff: noqa: S608 (statements are put together from constant pieces; every value goes as a parameter)

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg2.extensions import cursor as Cursor  # noqa: N812 (psycopg2 names its class in lower case)

from vms.catalogue.connection import Connection
from vms.catalogue.holds import HELD_BY
from vms.catalogue.orders import Place
from vms.retention import LivingCopy, Recorded

_PAGE = 5000

_WANTED = "WITH wanted AS (SELECT * FROM unnest(%s::bigint[], %s::timestamptz[]) AS w (recording_id, start_at))"
_FACTS = f"""
    SELECT r.recording_id, r.start_at, r.end_at, r.archived_at, s.slug, c.slug, r.time_basis, r.time_marks, r.custody,
           ARRAY({HELD_BY}), k.stores, k.names, k.bytes, r.site_id, r.camera_id, s.tz
    FROM wanted
    CROSS JOIN LATERAL (
        SELECT * FROM recording WHERE recording.recording_id = wanted.recording_id
         AND recording.start_at = wanted.start_at AND recording.custody IN (1, 2, 3)
        OFFSET 0  -- one by one by key, never by reading months into a hash
    ) AS r
    JOIN site s ON s.site_id = r.site_id
    JOIN camera c ON c.camera_id = r.camera_id
    CROSS JOIN LATERAL (
        SELECT array_agg(one.store_id), array_agg(st.name), array_agg(one.bytes) FROM (
            SELECT store_id, sum(size_bytes)::bigint AS bytes FROM copy
            WHERE copy.recording_id = r.recording_id AND copy.start_at = r.start_at AND copy.state = 0
            GROUP BY store_id HAVING bool_or(part = 0) OFFSET 0
        ) AS one JOIN store st USING (store_id)
    ) AS k (stores, names, bytes)
    WHERE k.stores IS NOT NULL
    ORDER BY r.start_at, r.recording_id
"""


_NAMES = ("recording_id", "start_utc", "end_utc", "archived_at", "site", "camera", "time_basis")


@dataclass(frozen=True)
class Expired:
    """A recording to decide about, and what its rows are found by."""

    recorded: Recorded
    site_id: int
    camera_id: int
    zone: str


def older_than(conn: Connection, bounds: Mapping[int, datetime]) -> Iterator[Expired]:
    """Recordings of which a store has a living copy that starts before the store's bound, the oldest first.

    bounds: UTC, by store number; what starts later can't have expired there. Page by page along the index of living
    copies: neither memory nor what is read grows with all that was purged before.
    """
    after: tuple[datetime, int] | None = None
    with conn.cursor() as cursor:
        while True:
            pages = [_living(cursor, store_id, before, after) for store_id, before in bounds.items()]
            full = [page[-1] for page in pages if len(page) == _PAGE]
            upto = min(full) if full else None
            wanted = sorted({row for page in pages for row in page if upto is None or row <= upto})
            if wanted:
                cursor.execute(_WANTED + _FACTS, ([one for _, one in wanted], [start for start, _ in wanted]))
                for row in cursor.fetchall():
                    yield _expired(row)
            if upto is None:
                return
            after = upto


def _living(
    cursor: Cursor, store_id: int, before: datetime, after: tuple[datetime, int] | None
) -> list[tuple[datetime, int]]:
    """The next living copies of a store that start before a time, as (start, recording), the oldest first."""
    # the first of the two conditions is for the index, which knows starts only
    further = "AND start_at >= %s AND (start_at, recording_id) > (%s, %s)" if after else ""
    cursor.execute(
        "SELECT start_at, recording_id FROM copy WHERE store_id = %s AND state = 0 AND part = 0 AND start_at < %s"
        f" {further} ORDER BY start_at, recording_id LIMIT %s",
        (store_id, before, *((after[0], *after) if after else ()), _PAGE),
    )
    return cursor.fetchall()


def lock_expired(cursor: Cursor, places: Sequence[Place]) -> list[Expired]:
    """These recordings as they are now, locked until the transaction ends; those without a living copy are left out."""
    ids, starts = [one for one, _ in places], [start for _, start in places]
    cursor.execute(
        "SELECT count(*) FROM (SELECT 1 FROM unnest(%s::bigint[], %s::timestamptz[]) AS wanted (recording_id, start_at)"
        " CROSS JOIN LATERAL (SELECT 1 FROM recording WHERE recording.recording_id = wanted.recording_id"
        " AND recording.start_at = wanted.start_at FOR UPDATE) AS r) AS locked",
        (ids, starts),
    )
    cursor.execute(_WANTED + _FACTS, (ids, starts))
    return [_expired(row) for row in cursor.fetchall()]


def _expired(row: tuple[Any, ...]) -> Expired:
    copies = tuple(LivingCopy(*one) for one in zip(row[10], row[11], row[12], strict=True))
    facts: dict[str, Any] = dict(zip(_NAMES, row, strict=False))
    recorded = Recorded(**facts, time_marks=tuple(row[7]), custody=row[8], held=tuple(sorted(row[9])), copies=copies)
    return Expired(recorded, row[13], row[14], row[15])
