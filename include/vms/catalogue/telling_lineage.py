"""Which batches are still to be told to a lineage service, and how far that has got."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vms.catalogue.connection import Connection, fetch_all, fetch_one


@dataclass(frozen=True)
class Cursor:
    """The last batch that was told."""

    recorded_at: datetime
    batch_id: int


@dataclass(frozen=True)
class ToldEvent:
    """One event of the ledger. codec: of the rendition, "" without one; store_url: where a copy went, "" for none."""

    recording_id: int
    start_utc: datetime
    event: str
    detail: dict[str, Any]
    codec: str
    store_url: str


@dataclass(frozen=True)
class ToldBatch:
    """A batch that was recorded. tries: how often its recording was tried. events: of its recordings, in its run."""

    batch_id: int
    recorded_at: datetime
    position: int
    dag_id: str
    run_id: str
    planned_at: datetime
    site: str
    camera: str
    events: tuple[ToldEvent, ...]

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.recorded_at, self.batch_id)


_TOLD = ("compressed", "copied", "quarantined")


def told_so_far(conn: Connection, now: datetime) -> Cursor:
    """How far it is. Asked for the first time, it begins now: what was archived before is not told."""
    with conn, conn.cursor() as cursor:
        cursor.execute("INSERT INTO lineage_told (recorded_at, batch_id) VALUES (%s, 0) ON CONFLICT DO NOTHING", (now,))
    found = fetch_one(conn, "SELECT recorded_at, batch_id FROM lineage_told", [])
    return Cursor(*found) if found else Cursor(now, 0)


def note_told(conn: Connection, upto: Cursor) -> None:
    """It has been told up to here. Never goes back."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "UPDATE lineage_told SET recorded_at = %s, batch_id = %s WHERE (recorded_at, batch_id) < (%s, %s)",
            (upto.recorded_at, upto.batch_id) * 2,
        )


def next_batches(conn: Connection, after: Cursor, before: datetime, limit: int) -> list[ToldBatch]:
    """Batches of footage that were recorded after the cursor and before this moment, in order, with their events."""
    found = fetch_all(
        conn,
        "SELECT b.batch_id, b.recorded_at, b.position, run.dag_id, run.run_id, run.planned_at, site.slug, camera.slug"
        " FROM batch b JOIN run USING (run_no) JOIN camera USING (camera_id) JOIN site ON site.site_id = camera.site_id"
        " WHERE (b.recorded_at, b.batch_id) > (%s, %s) AND b.recorded_at < %s AND b.kind = 'footage'"
        " ORDER BY b.recorded_at, b.batch_id LIMIT %s",
        [after.recorded_at, after.batch_id, before, limit],
    )
    events = _events(conn, [row[0] for row in found])
    return [ToldBatch(*(*row, tuple(events.get(row[0], ())))) for row in found]


def _events(conn: Connection, batches: list[int]) -> dict[int, list[ToldEvent]]:
    # OFFSET 0 keeps the ledger a look-up for each recording, by its index, however many batches are asked for
    rows = fetch_all(
        conn,
        "SELECT i.batch_id, i.recording_id, i.start_at, l.event, l.detail, coalesce(r.codec, ''), coalesce(s.url, '')"
        " FROM batch_item i JOIN batch b USING (batch_id) JOIN run USING (run_no)"
        " CROSS JOIN LATERAL (SELECT l.lineage_id, l.event, l.detail FROM lineage l"
        "  WHERE l.recording_id = i.recording_id AND l.start_at = i.start_at AND l.at >= run.planned_at"
        "  AND l.dag_id = run.dag_id AND l.run_id = run.run_id AND l.event = ANY(%s) OFFSET 0) l"
        " CROSS JOIN LATERAL (SELECT r.codec FROM recording r"
        "  WHERE r.recording_id = i.recording_id AND r.start_at = i.start_at OFFSET 0) r"
        " LEFT JOIN store s ON l.event = 'copied' AND s.store_id = (l.detail->>'store')::smallint"
        " WHERE i.batch_id = ANY(%s) ORDER BY i.batch_id, i.position, l.lineage_id",
        [list(_TOLD), batches],
    )
    found: dict[int, list[ToldEvent]] = {}
    for batch_id, *rest in rows:
        found.setdefault(batch_id, []).append(ToldEvent(*rest))
    return found
