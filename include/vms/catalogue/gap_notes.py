"""Notes on gaps: what a person found out about missing footage, kept with the name of who wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from vms.catalogue.connection import Connection, fetch_all
from vms.errors import CatalogueError


@dataclass(frozen=True)
class GapNote:
    """One note; it covers from_utc to to_utc of a camera."""

    id: int
    site: str
    camera: str
    from_utc: datetime
    to_utc: datetime
    note: str
    who: str
    made_at: datetime


def add_note(
    conn: Connection, site: str, camera: str, from_utc: datetime, to_utc: datetime, note: str, who: str, now: datetime
) -> int:
    """Keep a note; returns its number. Raises CatalogueError for a camera nobody knows."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "INSERT INTO gap_note (camera_id, from_at, to_at, note, who, made_at)"
            " SELECT camera_id, %s, %s, %s, %s, %s FROM camera c JOIN site s USING (site_id)"
            " WHERE s.slug = %s AND c.slug = %s RETURNING note_id",
            (from_utc, to_utc, note, who, now, site, camera),
        )
        row = cursor.fetchone()
    if row is None:
        raise CatalogueError(f"There is no camera {site}/{camera} in the catalogue.", "`vms coverage` lists them.")
    return int(row[0])


def withdraw_note(conn: Connection, note_id: int, who: str, now: datetime) -> None:
    """Take a note back; it stays in the catalogue. Raises CatalogueError when there is none to take back."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "UPDATE gap_note SET withdrawn_at = %s, withdrawn_by = %s WHERE note_id = %s AND withdrawn_at IS NULL",
            (now, who, note_id),
        )
        if cursor.rowcount == 0:
            raise CatalogueError(f"There is no note {note_id} that counts.", "`vms coverage notes` lists them.")


def list_notes(conn: Connection, sites: Sequence[str] = ()) -> list[GapNote]:
    """The notes that count, of these sites (empty: all), the newest time first."""
    found = fetch_all(
        conn,
        "SELECT note_id, s.slug, c.slug, from_at, to_at, note, who, made_at FROM gap_note"
        " JOIN camera c USING (camera_id) JOIN site s USING (site_id)"
        " WHERE withdrawn_at IS NULL AND (%s OR s.slug = ANY(%s)) ORDER BY from_at DESC, note_id DESC",
        [not sites, list(sites)],
    )
    return [GapNote(*row) for row in found]
