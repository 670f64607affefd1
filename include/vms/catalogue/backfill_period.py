"""What there is in the period of a backfill, and how quickly it can be gone through: what its plan is made of."""

# ruff: noqa: S608 (statements are put together from constant pieces; every value goes as a parameter)

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from vms.backfill import Mode, Order, Subject
from vms.catalogue.backfills import UNDER_WAY
from vms.catalogue.connection import Connection, fetch_all
from vms.catalogue.holds import HELD_BY
from vms.catalogue.pace import pace_of
from vms.catalogue.rows import STATES

_PAGE = 5000


@dataclass(frozen=True)
class Rates:
    """What was measured at a site. pace: seconds of footage archived in a second; seconds_per_byte: of its sources;
    shrink: bytes of renditions per byte of source; looking: bytes of copies looked at in a second. None: not yet."""

    pace: float | None = None
    seconds_per_byte: float | None = None
    shrink: float | None = None
    looking: float | None = None


def rates_of(conn: Connection, site: str, mode: Mode, now: datetime) -> Rates:
    """The rates of the last day's runs, of the last 30 days' footage, and of the last backfills of this mode."""
    with conn.cursor() as cursor:
        cursor.execute("SELECT site_id FROM site WHERE slug = %s", (site,))
        row = cursor.fetchone()
        if row is None:
            return Rates()
        pace = pace_of(cursor, row[0], now)
        cursor.execute(
            "SELECT sum(d.secs)::float8 / nullif(sum(d.bytes_in), 0),"
            " sum(d.bytes_out)::float8 / nullif(sum(d.bytes_in), 0)"
            " FROM camera c CROSS JOIN LATERAL (SELECT secs, bytes_in, bytes_out FROM camera_day"
            " WHERE camera_day.camera_id = c.camera_id ORDER BY day DESC LIMIT 30) AS d WHERE c.site_id = %s",
            row,
        )
        length, shrink = cursor.fetchone() or (None, None)
        cursor.execute(
            "SELECT sum(i.bytes)::float8 / nullif(sum(i.seconds), 0)::float8"
            " FROM (SELECT backfill_id FROM backfill WHERE mode = %s ORDER BY backfill_id DESC LIMIT 5) AS b"
            " CROSS JOIN LATERAL (SELECT bytes, seconds FROM backfill_item"
            " WHERE backfill_item.backfill_id = b.backfill_id LIMIT 1000) AS i",
            (mode,),
        )
        (looking,) = cursor.fetchone() or (None,)
    return Rates(pace, length, shrink, looking)


def subjects(conn: Connection, order: Order, now: datetime) -> Iterator[Subject]:
    """Every recording of the period as it stands now (UTC), the newest first; read page by page."""
    after: tuple[datetime, int] | None = None
    while True:
        page = _subjects(conn, order, after, now)
        yield from page
        if len(page) < _PAGE:
            return
        after = (page[-1].start_utc, page[-1].recording_id)


def unknown_sources(conn: Connection, site: str, files: Sequence[tuple[str, int, int]]) -> set[str]:
    """Which of these files (path, bytes, mtime in ns) of the site's footage folder no recording was made of, as they
    are now."""
    found = fetch_all(
        conn,
        """
        SELECT f.path FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS f (path, size_bytes, mtime_ns)
        WHERE NOT EXISTS (
            SELECT 1 FROM recording_source n WHERE n.site_id = (SELECT site_id FROM site WHERE slug = %s)
              AND n.path_hash = hashtextextended(f.path, 0) AND n.path = f.path
              AND n.size_bytes = f.size_bytes AND n.mtime_ns = f.mtime_ns AND n.replaced_at IS NULL
            OFFSET 0  -- one by one by the index of names
        )
        """,
        [[path for path, _, _ in files], [size for _, size, _ in files], [at for _, _, at in files], site],
    )
    return {path for (path,) in found}


def _subjects(conn: Connection, order: Order, after: tuple[datetime, int] | None, now: datetime) -> list[Subject]:
    cursor_at = "AND (r.start_at, r.recording_id) < (%s, %s) AND r.start_at <= %s" if after else ""
    found = fetch_all(
        conn,
        f"""
        SELECT r.recording_id, r.start_at, c.slug, r.custody, r.duration_s::float8, r.source_bytes, r.rendition_bytes,
               k.live, k.broken, k.proven_at, coalesce(r.profile, ''), coalesce(r.kind, ''),
               EXISTS ({HELD_BY}), r.lost_at IS NOT NULL, r.custody IN (0, 4) AND coalesce(w.busy, false)
        FROM site s CROSS JOIN LATERAL (
            SELECT * FROM recording r WHERE r.site_id = s.site_id AND r.start_at >= %s AND r.start_at < %s {cursor_at}
            ORDER BY r.start_at DESC, r.recording_id DESC LIMIT %s
        ) AS r
        JOIN camera c USING (camera_id)
        CROSS JOIN LATERAL (
            SELECT coalesce(array_agg(store_id) FILTER (WHERE state = 0), '{{}}') AS live,
                   coalesce(array_agg(store_id) FILTER (WHERE state = 3), '{{}}') AS broken,
                   CASE WHEN bool_and(proven_at IS NOT NULL) FILTER (WHERE state = 0)
                        THEN min(proven_at) FILTER (WHERE state = 0) END AS proven_at
            FROM copy k WHERE k.recording_id = r.recording_id AND k.start_at = r.start_at AND k.part = 0
        ) AS k
        LEFT JOIN LATERAL (
            SELECT i.outcome IS NULL AND b.recorded_at IS NULL AND run.backfill_id IS NULL
                   AND run.planned_at > %s AS busy
            FROM batch_item i JOIN batch b USING (batch_id) JOIN run USING (run_no)
            WHERE i.recording_id = r.recording_id ORDER BY i.batch_id DESC LIMIT 1
        ) AS w ON r.custody IN (0, 4)
        WHERE s.slug = %s ORDER BY r.start_at DESC, r.recording_id DESC
        """,
        [
            *(order.from_utc, order.to_utc, *((after[0], after[1], after[0]) if after else ())),
            *(_PAGE, now - UNDER_WAY, order.site),
        ],
    )
    return [
        Subject(
            recording_id=row[0],
            start_utc=row[1],
            camera=row[2],
            state=STATES[row[3]],
            duration_s=row[4],
            source_bytes=row[5],
            rendition_bytes=row[6],
            live=tuple(row[7]),
            broken=tuple(row[8]),
            proven_at=row[9],
            profile=row[10],
            kind=row[11],
            held=row[12],
            lost=row[13],
            busy=row[14],
        )
        for row in found
    ]
