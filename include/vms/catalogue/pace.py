"""How fast sites archive, and how long their backlogs will take: read from what their last runs did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg2.extensions import cursor as Cursor  # noqa: N812 (psycopg2 names its class in lower case)

from vms.catalogue.connection import Connection, fetch_all

LOOKED_BACK = timedelta(hours=24)
WORTH_S = 600.0
"""Least seconds of footage in a run for it to say something: a short one is all start-up and waiting."""


@dataclass(frozen=True)
class Backlog:
    """What a site has still to archive. files, footage_s, source_bytes: planned recordings, their seconds of
    footage and the size of their source files.

    missing_copies: copies that archived recordings still lack. catches_up_s: seconds until the backlog is gone at the
    pace of the last day, new footage reckoned in as it came since yesterday; None when the pace is not known or new
    footage comes as fast.
    falls_behind: new footage comes at least as fast as it is archived.
    """

    files: int
    footage_s: float
    missing_copies: int
    catches_up_s: float | None
    falls_behind: bool
    source_bytes: int = 0


_DONE = """
    SELECT sum(done.footage_s), sum(extract(epoch FROM done.recorded_at - run.planned_at))::float8
    FROM run
    CROSS JOIN LATERAL (
        SELECT sum(b.footage_s)::float8 AS footage_s, max(b.recorded_at) AS recorded_at
        FROM batch b WHERE b.run_no = run.run_no AND b.kind = 'footage'
    ) AS done
    WHERE run.site_id = s.site_id AND run.planned_at > %(since)s
      AND done.footage_s >= %(worth)s AND done.recorded_at > run.planned_at
"""
"""Seconds of footage that the runs of a site s have archived, and how long they took."""


def pace_of(cursor: Cursor, site_id: int, now: datetime) -> float | None:
    """Seconds of footage that the site archives in a second of a run, over the last day; None when not known."""
    cursor.execute(
        f"SELECT done.* FROM site s CROSS JOIN LATERAL ({_DONE}) AS done WHERE s.site_id = %(site)s",  # noqa: S608 (a constant)
        {"site": site_id, "since": now - LOOKED_BACK, "worth": WORTH_S},
    )
    footage_s, busy_s = cursor.fetchone() or (None, None)
    return footage_s / busy_s if footage_s and busy_s else None


def backlogs(conn: Connection, now: datetime) -> dict[str, Backlog]:
    """What each site has to do, by its id, and when it will be done. now: UTC."""
    found = fetch_all(
        conn,
        f"""
        SELECT s.slug, open.files, open.footage_s, open.source_bytes, lacking.copies, done.footage_s, done.busy_s,
               came.footage_s + open.lately_s,
               coalesce(extract(epoch FROM %(now)s - least(came.first_at, open.first_at)), 0)::float8
        FROM site s
        CROSS JOIN LATERAL (
            SELECT (%(since)s AT TIME ZONE s.tz)::date, (%(now)s AT TIME ZONE s.tz)::date,
                   date_trunc('day', %(since)s AT TIME ZONE s.tz) AT TIME ZONE s.tz
        ) AS lately (from_day, to_day, begin)
        CROSS JOIN LATERAL (
            SELECT count(*), coalesce(sum(duration_s), 0)::float8, coalesce(sum(source_bytes), 0)::bigint,
                   coalesce(sum(duration_s) FILTER (WHERE start_at BETWEEN lately.begin AND %(now)s), 0)::float8,
                   min(start_at) FILTER (WHERE start_at BETWEEN lately.begin AND %(now)s)
            FROM recording WHERE site_id = s.site_id AND custody IN (0, 4) AND custody = 0
        ) AS open (files, footage_s, source_bytes, lately_s, first_at)
        CROSS JOIN LATERAL (SELECT count(*) FROM copy_wanted w WHERE w.site_id = s.site_id) AS lacking (copies)
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(d.secs), 0)::float8, min(d.first_at)
            FROM camera c
            CROSS JOIN LATERAL (
                SELECT secs, first_at FROM camera_day
                WHERE camera_day.camera_id = c.camera_id AND day BETWEEN lately.from_day AND lately.to_day
                OFFSET 0
            ) AS d
            WHERE c.site_id = s.site_id
        ) AS came (footage_s, first_at)
        CROSS JOIN LATERAL ({_DONE}) AS done (footage_s, busy_s)
        """,  # noqa: S608 (a constant)
        {"now": now, "since": now - LOOKED_BACK, "worth": WORTH_S},
    )
    return {slug: _backlog(*row) for slug, *row in found}


def _backlog(
    files: int,
    footage_s: float,
    source_bytes: int,
    missing: int,
    done_s: float | None,
    busy_s: float | None,
    came_s: float,
    within_s: float,
) -> Backlog:
    if not files or not done_s or not busy_s:
        return Backlog(files, footage_s, missing, None if files else 0.0, False, source_bytes)
    gain = done_s / busy_s - came_s / max(within_s, 1.0)
    return Backlog(files, footage_s, missing, footage_s / gain if gain > 0 else None, gain <= 0, source_bytes)
