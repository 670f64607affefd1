"""What may explain that footage is missing, for coverage: what waits, is quarantined or lost, what a person noted, and
when nobody looked at the site.

Only recordings that are open, lost or of an impossible time are read, each kind along a small index of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from vms.catalogue.connection import Connection, fetch_all
from vms.catalogue.places import PATIENCE
from vms.coverage import Cause, GapReason, unwatched
from vms.pieces import MINUTE, Piece, joined, micros
from vms.schedule import Interval

Found = Iterable[tuple[int, Cause]]


def of_cameras(
    conn: Connection, usual: Mapping[int, timedelta], site_ids: Sequence[int], begin: datetime, end: datetime
) -> Found:
    """(camera_id, cause) of these cameras of these sites, around [begin, end).

    usual: by camera_id, how long a recording of it is as a rule.
    """
    cameras = list(usual)
    for found in (
        _open(conn, usual, site_ids, begin, end),
        _lost(conn, cameras, site_ids, begin, end),
        _suspects(conn, cameras, site_ids, begin, end),
        _notes(conn, cameras, begin, end),
    ):
        yield from _merged(found)


def not_looked_at(
    conn: Connection, site_ids: Sequence[int], begin: datetime, end: datetime, now: datetime
) -> dict[int, list[Cause]]:
    """By site_id, when it was not looked at. The look before `begin` counts, too: a pause may have begun then."""
    found = fetch_all(
        conn,
        f"""
        SELECT s.site_id, w.from_at, w.to_at, s.last_sensed >= %(now)s - {PATIENCE} AS watched
        FROM site s
        CROSS JOIN LATERAL (
            SELECT from_at, to_at FROM site_watch WHERE site_watch.site_id = s.site_id AND from_at <= %(end)s
              AND from_at >= coalesce((SELECT from_at FROM site_watch w WHERE w.site_id = s.site_id
                                       AND w.from_at <= %(begin)s ORDER BY w.from_at DESC LIMIT 1), '-infinity')
        ) AS w
        WHERE s.site_id = ANY(%(sites)s)
        ORDER BY s.site_id, w.from_at
        """,  # noqa: S608 (a constant)
        {"now": now, "begin": begin, "end": end, "sites": list(site_ids)},
    )
    watches: dict[int, list[Interval]] = defaultdict(list)
    still: set[int] = set()
    for site_id, start, stop, watched in found:
        watches[site_id].append((start, stop))
        if watched:
            still.add(site_id)
    return defaultdict(
        list,
        {
            site_id: [
                _cause(first, last, "not_looked")
                for first, last in unwatched(some, some[-1][1] if site_id in still else now)
            ]
            for site_id, some in watches.items()
        },
    )


def _open(
    conn: Connection, usual: Mapping[int, timedelta], site_ids: Sequence[int], begin: datetime, end: datetime
) -> Found:
    """What waits and what is quarantined. A length that is not known is taken as the camera's usual one."""
    found = fetch_all(
        conn,
        """
        SELECT r.camera_id, r.start_at, r.end_at, r.custody, coalesce(q.reason, '')
        FROM unnest(%s::int[]) AS site (site_id)
        CROSS JOIN LATERAL (
            SELECT recording_id, camera_id, start_at, end_at, custody FROM recording  -- an index has no more than that
            WHERE recording.site_id = site.site_id AND custody IN (0, 4) AND start_at >= %s AND start_at < %s
            OFFSET 0
        ) AS r
        LEFT JOIN quarantine q ON r.custody = 4 AND q.recording_id = r.recording_id AND q.start_at = r.start_at
        WHERE r.camera_id = ANY(%s)
        """,
        [list(site_ids), begin - timedelta(hours=25), end, list(usual)],
    )
    for camera_id, start, stop, custody, reason in found:
        stop = stop if stop > start else start + usual[camera_id]
        if custody == 0:
            yield camera_id, _cause(start, stop, "waiting")
        else:
            yield camera_id, _cause(start, stop, "never_arrived" if reason == "source_gone" else "quarantined", reason)


def _lost(conn: Connection, cameras: Sequence[int], site_ids: Sequence[int], begin: datetime, end: datetime) -> Found:
    found = fetch_all(
        conn,
        """
        SELECT r.camera_id, r.start_at, r.end_at
        FROM unnest(%s::int[]) AS site (site_id)
        CROSS JOIN LATERAL (
            SELECT * FROM recording WHERE recording.site_id = site.site_id AND lost_at IS NOT NULL
              AND start_at >= %s AND start_at < %s AND custody IN (1, 2)
            OFFSET 0
        ) AS r
        WHERE r.camera_id = ANY(%s)
        """,
        [list(site_ids), begin - timedelta(hours=25), end, list(cameras)],
    )
    for camera_id, start, stop in found:
        yield camera_id, _cause(start, stop, "lost")


def _suspects(
    conn: Connection, cameras: Sequence[int], site_ids: Sequence[int], begin: datetime, end: datetime
) -> Found:
    """Footage of an impossible time was made a little before it came in: by its length, and what archiving takes."""
    found = fetch_all(
        conn,
        """
        SELECT r.camera_id, r.archived_at, r.end_at - r.start_at
        FROM unnest(%s::int[]) AS site (site_id)
        CROSS JOIN LATERAL (
            SELECT * FROM recording WHERE recording.site_id = site.site_id
              AND time_marks && '{future,before_2000}' AND archived_at >= %s AND archived_at < %s
            OFFSET 0
        ) AS r
        WHERE r.camera_id = ANY(%s)
        """,
        [list(site_ids), begin, end + timedelta(days=1), list(cameras)],
    )
    for camera_id, archived_at, length in found:
        yield camera_id, _cause(archived_at - length - timedelta(hours=1), archived_at, "clock_jump")


def _notes(conn: Connection, cameras: Sequence[int], begin: datetime, end: datetime) -> Found:
    found = fetch_all(
        conn,
        "SELECT camera_id, from_at, to_at, who || ': ' || note FROM gap_note"
        " WHERE camera_id = ANY(%s) AND withdrawn_at IS NULL AND to_at > %s AND from_at < %s ORDER BY note_id DESC",
        [list(cameras), begin, end],
    )
    for camera_id, start, stop, text in found:
        yield camera_id, _cause(start, stop, "acknowledged", text)


def _merged(found: Found) -> Found:
    """Causes of one kind that follow each other within a minute as one: a day's waiting files are one wait."""
    by_kind: dict[tuple[int, GapReason, str], list[Piece]] = defaultdict(list)
    for camera_id, cause in found:
        by_kind[camera_id, cause.reason, cause.detail].append((cause.start, cause.end))
    for (camera_id, reason, detail), some in by_kind.items():
        for begin, end in joined(sorted(some), MINUTE):
            yield camera_id, Cause(begin, end, reason, detail)


def _cause(start: datetime, end: datetime, reason: GapReason, detail: str = "") -> Cause:
    return Cause(micros(start), micros(end), reason, detail)
