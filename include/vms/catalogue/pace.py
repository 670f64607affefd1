"""How fast a site archives, and how long its backlog will take: read from what its last runs did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg2.extensions import cursor as Cursor  # noqa: N812 (psycopg2 names its class in lower case)

LOOKED_BACK = timedelta(hours=24)
WORTH_S = 600.0
"""Least seconds of footage in a run for it to say something: a short one is all start-up and waiting."""


@dataclass(frozen=True)
class Backlog:
    """What a site has still to archive. files, footage_s, source_bytes: planned recordings, their seconds of
    footage and the size of their source files.

    missing_copies: copies that archived recordings still lack. catches_up_s: seconds until the backlog is gone at the
    pace of the last day, new footage reckoned in; None when the pace is not known or new footage comes as fast.
    falls_behind: new footage comes at least as fast as it is archived.
    """

    files: int
    footage_s: float
    missing_copies: int
    catches_up_s: float | None
    falls_behind: bool
    source_bytes: int = 0


def pace_of(cursor: Cursor, site_id: int, now: datetime) -> float | None:
    """Seconds of footage that the site archives in a second of a run, over the last day; None when not known."""
    cursor.execute(
        """
        SELECT sum(done.footage_s), sum(extract(epoch FROM done.recorded_at - run.planned_at))::float8
        FROM run
        CROSS JOIN LATERAL (
            SELECT sum(r.duration_s)::float8 AS footage_s, max(b.recorded_at) AS recorded_at
            FROM batch b JOIN batch_item i USING (batch_id)
            CROSS JOIN LATERAL (
                SELECT duration_s FROM recording
                WHERE recording.recording_id = i.recording_id AND recording.start_at = i.start_at
                OFFSET 0  -- one by one by key, never by reading months into a hash
            ) AS r
            WHERE b.run_no = run.run_no AND b.kind = 'footage' AND i.outcome = 'archived'
        ) AS done
        WHERE run.site_id = %s AND run.planned_at > %s AND done.footage_s >= %s AND done.recorded_at > run.planned_at
        """,
        (site_id, now - LOOKED_BACK, WORTH_S),
    )
    footage_s, busy_s = cursor.fetchone() or (None, None)
    return footage_s / busy_s if footage_s and busy_s else None


def backlog_of(cursor: Cursor, site_id: int, now: datetime) -> Backlog:
    """What the site has to do, and when it will be done. now: UTC."""
    cursor.execute(
        "SELECT count(*), coalesce(sum(duration_s), 0)::float8, coalesce(sum(source_bytes), 0)::bigint FROM recording"
        " WHERE site_id = %s AND custody IN (0, 4) AND custody = 0",
        (site_id,),
    )
    files, footage_s, source_bytes = cursor.fetchone() or (0, 0.0, 0)
    cursor.execute("SELECT count(*) FROM copy_wanted WHERE site_id = %s", (site_id,))
    (missing,) = cursor.fetchone() or (0,)
    pace = pace_of(cursor, site_id, now)
    catches_up: float | None = 0.0 if files == 0 else None
    behind = False
    if files and pace is not None:
        cursor.execute(
            "SELECT coalesce(sum(duration_s), 0)::float8, coalesce(extract(epoch FROM %s - min(start_at)), 0)::float8"
            " FROM recording WHERE site_id = %s AND start_at BETWEEN %s AND %s AND custody <> 4",
            (now, site_id, now - LOOKED_BACK, now),
        )
        arrived_s, within_s = cursor.fetchone() or (0.0, 0.0)
        gain = pace - arrived_s / max(within_s, 1.0)
        behind = gain <= 0
        catches_up = None if behind else footage_s / gain
    return Backlog(files, footage_s, missing, catches_up, behind, source_bytes)
