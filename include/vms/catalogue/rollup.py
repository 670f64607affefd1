"""camera_day: how much footage a camera has on a day of its site's zone, rebuilt from its recordings."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from psycopg2.extensions import cursor as Cursor  # noqa: N812 (psycopg2 names its class in lower case)

from vms.catalogue.batching import local

_LOCK_SPACE = 7_303  # of advisory locks: (this, camera_id) is held by who changes what a camera's days are made from


def hold_camera(cursor: Cursor, camera_id: int) -> None:
    """Let no other transaction change this camera's recordings and days until this one ends.

    To be taken before the change: two that rebuild one day at once would each leave out what the other adds.
    """
    cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", (_LOCK_SPACE, camera_id))


def rebuild_many(cursor: Cursor, camera_id: int, zone: ZoneInfo, spans: Iterable[tuple[datetime, datetime]]) -> None:
    """As `rebuild_days` for many recordings of a camera, each day once."""
    days: set[date] = set()
    for start, end in spans:
        first, last = local(start, zone).date(), local(end, zone).date()
        days |= {date.fromordinal(number) for number in range(first.toordinal(), last.toordinal() + 1)}
    for day in sorted(days):
        _rebuild_day(cursor, camera_id, zone, day)


def rebuild_days(cursor: Cursor, camera_id: int, zone: ZoneInfo, start: datetime, end: datetime) -> None:
    """Make the days right that this recording touches (start, end: UTC). Counting up would count a rerun twice."""
    rebuild_many(cursor, camera_id, zone, [(start, end)])


def _rebuild_day(cursor: Cursor, camera_id: int, zone: ZoneInfo, day: date) -> None:
    try:
        begin, following = _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
    except OverflowError:  # a clock at the very edge of the calendar: no day that could be shown
        return
    _rebuild(cursor, camera_id, day, begin, following)


def _rebuild(cursor: Cursor, camera_id: int, day: date, begin: datetime, end: datetime) -> None:
    cursor.execute(
        """
        INSERT INTO camera_day
              (camera_id, day, archived, released, purged, secs, bytes_in, bytes_out, first_at, last_at)
        SELECT %(camera)s, %(day)s,
               count(*) FILTER (WHERE custody = 1 AND starts_here),
               count(*) FILTER (WHERE custody = 2 AND starts_here),
               count(*) FILTER (WHERE custody = 3 AND starts_here),
               coalesce(round(sum(extract(epoch FROM greatest(to_at - greatest(from_at, seen_to), interval '0')))
                        FILTER (WHERE custody IN (1, 2))), 0),
               coalesce(sum(source_bytes) FILTER (WHERE starts_here), 0),
               coalesce(sum(rendition_bytes) FILTER (WHERE starts_here), 0),
               min(from_at) FILTER (WHERE custody IN (1, 2)),
               max(to_at) FILTER (WHERE custody IN (1, 2))
        FROM (
            SELECT custody, source_bytes, rendition_bytes, start_at >= %(begin)s AS starts_here,
                   greatest(start_at, %(begin)s) AS from_at, least(end_at, %(end)s) AS to_at,
                   max(least(end_at, %(end)s)) FILTER (WHERE custody IN (1, 2)) OVER (
                       ORDER BY start_at, recording_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                   ) AS seen_to
            FROM recording
            WHERE camera_id = %(camera)s AND start_at >= %(begin)s - interval '25 hours' AND start_at < %(end)s
              AND (end_at > %(begin)s OR start_at >= %(begin)s) AND custody IN (1, 2, 3)
        ) AS footage
        ON CONFLICT (camera_id, day) DO UPDATE
        SET archived = excluded.archived, released = excluded.released, purged = excluded.purged,
            secs = excluded.secs, bytes_in = excluded.bytes_in, bytes_out = excluded.bytes_out,
            first_at = excluded.first_at, last_at = excluded.last_at
        """,
        {"camera": camera_id, "day": day, "begin": begin, "end": end},
    )


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)
