"""Cold storage in the catalogue: recordings that were found there, who asked for their restore, and who was told.

What a store's own class says of its objects is in its options; here is what only reading them has shown: a rule of the
bucket moved them. A restore is waited for by whom asked; the round of alerts looks whether it has come to its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg2.extras import Json, execute_values

from vms.catalogue.connection import Connection, fetch_all
from vms.catalogue.orders import Place

PATIENCE = timedelta(days=4)
"""After that a restore that nobody has seen the end of is not looked for any more: the slowest takes two days."""

_NEWS = timedelta(days=8)


@dataclass(frozen=True)
class Restore:
    """A recording whose restore somebody waits for, or (ready) has to be told of. until_utc: to when it can be read."""

    recording_id: int
    start_utc: datetime
    site: str
    site_name: str
    camera: str
    camera_name: str
    time_zone: str
    ready: bool
    until_utc: datetime | None


def note_cold(conn: Connection, recordings: Sequence[Place]) -> None:
    """These could not be read before a restore."""
    _write(conn, "INSERT INTO cold_recording (recording_id, start_at) VALUES %s ON CONFLICT DO NOTHING", recordings)


def note_readable(conn: Connection, recordings: Sequence[Place]) -> None:
    """These can be read without a restore (again)."""
    _write(
        conn,
        "DELETE FROM cold_recording c USING (VALUES %s) AS v (recording_id, start_at)"
        " WHERE c.recording_id = v.recording_id AND c.start_at = v.start_at",
        recordings,
    )


def was_found_cold(conn: Connection, recording_id: int, start_utc: datetime) -> bool:
    """Whether reading it has shown that it has to be restored first."""
    asked = "SELECT 1 FROM cold_recording WHERE recording_id = %s AND start_at = %s"
    return bool(fetch_all(conn, asked, [recording_id, start_utc]))


def ask(conn: Connection, recording_id: int, start_utc: datetime, user_id: int) -> None:
    """Note that this person waits for its restore; asked for again, it is waited for again."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "INSERT INTO restore_asked (recording_id, start_at, user_id) VALUES (%s, %s, %s)"
            " ON CONFLICT (recording_id, start_at, user_id)"
            " DO UPDATE SET asked_at = now(), ready_at = NULL, until_at = NULL, told_at = NULL",
            (recording_id, start_utc, user_id),
        )


def waited_for(conn: Connection, now: datetime, most: int) -> list[Restore]:
    """The recordings whose restore somebody waits for, the longest first."""
    return _restores(
        conn,
        "(SELECT recording_id, start_at, false AS ready, NULL::timestamptz AS until_at, min(asked_at) AS asked_at"
        " FROM restore_asked WHERE ready_at IS NULL AND asked_at > %s GROUP BY recording_id, start_at"
        " ORDER BY min(asked_at) LIMIT %s)",
        [now - PATIENCE, most],
    )


def of_person(conn: Connection, user_id: int, now: datetime) -> list[Restore]:
    """What this person waits for, and what they have not been told of yet."""
    return _restores(
        conn,
        "(SELECT recording_id, start_at, ready_at IS NOT NULL AS ready, until_at, asked_at FROM restore_asked"
        " WHERE user_id = %s AND told_at IS NULL AND asked_at > %s AND (until_at IS NULL OR until_at > %s))",
        [user_id, now - _NEWS, now],
    )


def note_ready(conn: Connection, one: Restore, until: datetime | None, targets: Iterable[str], now: datetime) -> None:
    """It can be read now: whoever waits for it and the targets of alerts are to be told, in one transaction."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "UPDATE restore_asked SET ready_at = %s, until_at = %s"
            " WHERE recording_id = %s AND start_at = %s AND ready_at IS NULL RETURNING user_id",
            (now, until, one.recording_id, one.start_utc),
        )
        users = [user_id for (user_id,) in cursor.fetchall()]
        if not users:
            return
        cursor.execute("SELECT name FROM viewer_user WHERE user_id = ANY(%s) ORDER BY name", (users,))
        detail = {
            "camera": one.camera_name,
            "start": one.start_utc.isoformat(),
            "until": until.isoformat() if until else "",
            "who": ", ".join(name for (name,) in cursor.fetchall()),
        }
        for target in targets:
            cursor.execute(
                "INSERT INTO alert_message (target, kind, site, made_at, detail) VALUES (%s, 'restored', %s, %s, %s)",
                (target, one.site, now, Json(detail)),
            )


def note_told(conn: Connection, user_id: int, recording_id: int | None = None) -> None:
    """This person has seen that it is ready; None: all that is."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "UPDATE restore_asked SET told_at = now() WHERE user_id = %s AND told_at IS NULL AND ready_at IS NOT NULL"
            " AND (%s::bigint IS NULL OR recording_id = %s)",
            (user_id, recording_id, recording_id),
        )


def _write(conn: Connection, statement: str, recordings: Sequence[Place]) -> None:
    if recordings:
        with conn, conn.cursor() as cursor:
            execute_values(cursor, statement, sorted(set(recordings)), template="(%s::bigint, %s::timestamptz)")


def _restores(conn: Connection, chosen: str, params: Sequence[object]) -> list[Restore]:
    found = fetch_all(
        conn,
        f"""
        SELECT a.recording_id, a.start_at, s.slug, s.name, c.slug, c.name, s.tz, a.ready, a.until_at
        FROM {chosen} a
        CROSS JOIN LATERAL (
            SELECT camera_id, site_id FROM recording
            WHERE recording.recording_id = a.recording_id AND recording.start_at = a.start_at AND custody IN (1, 2)
            OFFSET 0
        ) AS r
        JOIN camera c ON c.camera_id = r.camera_id
        JOIN site s ON s.site_id = r.site_id
        ORDER BY a.asked_at, a.recording_id
        """,  # noqa: S608 (put together from constant pieces)
        list(params),
    )
    return [Restore(*row) for row in found]
