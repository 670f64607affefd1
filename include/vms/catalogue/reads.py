"""What the viewer and the command line ask the catalogue.

Built for 10^8 recordings: every search goes along an index (`recording_search`) and pages by the last row seen instead
of by counting. All functions work with the viewer's role; all times are UTC.
"""

# ruff: noqa: S608 (statements are put together from constant pieces; every value goes as a parameter)

from __future__ import annotations

from datetime import datetime
from pathlib import PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

from psycopg2.extras import Json

from vms.catalogue.batching import local
from vms.catalogue.connection import Connection, Params, fetch_all, fetch_one
from vms.catalogue.reads_sites import camera_days, list_sites, site_overviews
from vms.catalogue.recording_search import LONGEST, conditions_of, ordered, rows_of
from vms.catalogue.rows import (
    PARTS,
    STATES,
    CameraDay,
    CameraRow,
    CopyRow,
    LineageRow,
    Located,
    Part,
    RecordingFilter,
    RecordingRow,
    SiteOverview,
    SiteRow,
    SpriteInfo,
    Totals,
)

__all__ = [
    "CameraDay",
    "CameraRow",
    "CopyRow",
    "LineageRow",
    "Located",
    "RecordingFilter",
    "RecordingRow",
    "SiteOverview",
    "SiteRow",
    "SpriteInfo",
    "Totals",
    "camera_days",
    "count_recordings",
    "find_recordings",
    "get_recording",
    "lineage_of",
    "list_sites",
    "locate",
    "log_view",
    "site_overviews",
]


_MEDIA_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
    ".avi": "video/x-msvideo",
    ".ts": "video/mp2t",
    ".flv": "video/x-flv",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}


def find_recordings(
    conn: Connection,
    filter: RecordingFilter,
    *,
    limit: int = 100,
    after: tuple[datetime, int] | None = None,
    newest_first: bool = True,
) -> list[RecordingRow]:
    """The next `limit` recordings by start. after: (start_utc, id) of the last row of the page before."""
    order = "DESC" if newest_first else "ASC"
    conditions, params = conditions_of(filter)
    if after is not None:
        sign = "<" if newest_first else ">"
        conditions.append(f"(r.start_at, r.recording_id) {sign} (%s, %s) AND r.start_at {sign}= %s")
        params += [after[0], after[1], after[0]]
    body, body_params = rows_of(filter, " AND ".join(conditions), params, limit, order)
    page = f"SELECT r.* FROM {body} {ordered('r', order)} LIMIT %s"
    return _rows(conn, page, [*body_params, limit], order)


def count_recordings(conn: Connection, filter: RecordingFilter, *, most: int | None = None) -> Totals:
    """Sums over all that the filter lets through; every such row is read, of chosen cameras from their index alone.

    most: read no more than about so many; when there are more, the answer says so instead of the sums.
    """
    conditions, params = conditions_of(filter)
    limit = None if most is None else most + 1
    body, body_params = rows_of(filter, " AND ".join(conditions), params, limit, whole=False)
    found = fetch_one(
        conn,
        "SELECT count(*), coalesce(sum(duration_s::float8), 0), coalesce(sum(source_bytes), 0)::bigint,"
        " coalesce(sum(rendition_bytes), 0)::bigint"
        f" FROM (SELECT r.duration_s, r.source_bytes, r.rendition_bytes FROM {body} LIMIT %s) AS r",
        [*body_params, limit],
    )
    totals = Totals(*found) if found else Totals(0, 0.0, 0, 0)
    return Totals(most, 0.0, 0, 0, more=True) if most is not None and totals.count > most else totals


def get_recording(conn: Connection, recording_id: int, start_utc: datetime | None = None) -> RecordingRow | None:
    """One recording. With start_utc only its month is looked into."""
    page = "SELECT r.* FROM recording r WHERE r.recording_id = %s"
    params: Params = [recording_id]
    if start_utc is not None:
        page, params = f"{page} AND r.start_at = %s", [*params, start_utc]
    rows = _rows(conn, page, params, "DESC")
    return rows[0] if rows else None


def locate(conn: Connection, recording_id: int, start_utc: datetime, part: Part) -> tuple[Located, ...]:
    """Every store that holds this part, in the order in which they were first used. Empty when there is none."""
    found = fetch_all(
        conn,
        """
        SELECT st.name, st.url, st.identity, st.conn_id, k.key, k.size_bytes, s.slug, c.slug, s.tz, k.start_at,
               coalesce(st.options->>'storage_class', '')
        FROM copy k
        JOIN store st USING (store_id)
        JOIN recording r ON r.recording_id = k.recording_id AND r.start_at = k.start_at AND r.start_at = %s
        JOIN site s USING (site_id)
        JOIN camera c USING (camera_id)
        WHERE k.recording_id = %s AND k.start_at = %s AND k.part = %s AND k.state = 0
        ORDER BY k.store_id
        """,
        [start_utc, recording_id, start_utc, PARTS[part]],
    )
    located = []
    for name, url, identity, conn_id, key, size, site, camera, zone, start, kept_class in found:
        suffix = PurePosixPath(key).suffix.lower()
        begin = local(start, ZoneInfo(zone))
        located.append(
            Located(
                store_name=name,
                store_url=url,
                store_identity=identity,
                store_conn_id=conn_id,
                key=key,
                size_bytes=size,
                media_type=_MEDIA_TYPES.get(suffix, "application/octet-stream"),
                download_name=f"{site}_{camera}_{begin:%Y-%m-%d_%H-%M-%S}_{begin:%Z}{suffix}",
                storage_class=kept_class,
            )
        )
    return tuple(located)


def lineage_of(conn: Connection, recording_id: int, start_utc: datetime) -> list[LineageRow]:
    """All that happened to a recording, oldest first. Answers for recordings that are long gone, too."""
    found = fetch_all(
        conn,
        "SELECT at, event, dag_id, run_id, task_id, map_index, try_number, host, detail FROM lineage"
        " WHERE recording_id = %s AND start_at = %s ORDER BY lineage_id",
        [recording_id, start_utc],
    )
    return [LineageRow(*row) for row in found]


def purged_at(conn: Connection, camera: tuple[str, str], from_utc: datetime, to_utc: datetime) -> datetime | None:
    """When footage of this camera within [from_utc, to_utc) was purged: that of its newest recording. None when none
    was, or so long ago that nothing tells of it any more."""
    found = fetch_one(
        conn,
        """
        SELECT max(l.at)
        FROM (
            SELECT r.recording_id, r.start_at
            FROM (SELECT c.camera_id FROM camera c JOIN site s USING (site_id) WHERE s.slug = %s AND c.slug = %s) AS c
            CROSS JOIN LATERAL (
                SELECT recording_id, start_at FROM recording
                WHERE recording.camera_id = c.camera_id AND start_at >= %s AND start_at < %s AND custody = 3
                ORDER BY start_at DESC LIMIT 1
            ) AS r
        ) AS newest
        JOIN lineage l ON l.recording_id = newest.recording_id AND l.start_at = newest.start_at AND l.event = 'purged'
        """,
        [*camera, from_utc - LONGEST, to_utc],
    )
    return found[0] if found else None


def log_view(
    conn: Connection,
    who: str,
    action: str,
    recording_id: int | None,
    start_utc: datetime | None,
    detail: dict[str, Any],
    address: str = "",
) -> None:
    """Note that somebody saw, took or tried something; address: from where. Can be done by the viewer's role and
    never undone."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "INSERT INTO view_log (who, action, recording_id, start_at, detail, address)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            (who, action, recording_id, start_utc, Json(detail), address),
        )


def _rows(conn: Connection, page: str, params: Params, order: str) -> list[RecordingRow]:
    found = fetch_all(
        conn,
        f"""
        SELECT r.recording_id, s.slug, s.name, c.slug, c.name, s.tz, r.start_at, r.end_at, r.duration_s::float8,
               r.custody,
               coalesce(q.reason, f.reason, ''), coalesce(q.message, f.message, ''), coalesce(q.remedy, f.remedy, ''),
               r.source_name, r.source_bytes, coalesce(encode(r.source_sha256, 'hex'), ''), r.rendition_bytes,
               coalesce(r.kind, ''), coalesce(r.codec, ''), coalesce(r.audio_codec, ''), coalesce(r.profile, ''),
               r.width, r.height, r.fps::float8, r.time_basis, r.time_marks, coalesce(r.damaged, ''), r.sprite
        FROM ({page}) AS r
        JOIN site s ON s.site_id = r.site_id
        JOIN camera c ON c.camera_id = r.camera_id
        LEFT JOIN quarantine q ON r.custody = 4 AND q.recording_id = r.recording_id AND q.start_at = r.start_at
        LEFT JOIN LATERAL (
            SELECT i.reason, i.message, i.remedy FROM batch_item i
            WHERE i.recording_id = r.recording_id AND i.outcome = 'failed' ORDER BY i.batch_id DESC LIMIT 1
        ) AS f ON r.custody = 0
        ORDER BY r.start_at {order}, r.recording_id {order}
        """,
        params,
    )
    copies, posters = _copies(conn, [(row[0], row[6]) for row in found])
    rows = []
    for row in found:
        sprite = SpriteInfo(**row[27]) if row[27] else None
        stored = (tuple(copies.get(row[0], ())), row[0] in posters, sprite)
        values: list[Any] = [*row[:9], STATES[row[9]], *row[10:25], tuple(row[25]), row[26], *stored]
        rows.append(RecordingRow(*values))
    return rows


def _copies(conn: Connection, wanted: list[tuple[int, datetime]]) -> tuple[dict[int, list[CopyRow]], set[int]]:
    """Copies of the renditions by recording id, and which recordings have a poster."""
    copies: dict[int, list[CopyRow]] = {}
    posters: set[int] = set()
    if not wanted:
        return copies, posters
    found = fetch_all(
        conn,
        """
        SELECT k.recording_id, k.part, st.name, k.key, k.size_bytes, k.checksum, k.verified_at
        FROM unnest(%s::bigint[], %s::timestamptz[]) AS page (recording_id, start_at)
        CROSS JOIN LATERAL (
            SELECT * FROM copy
            WHERE copy.recording_id = page.recording_id AND copy.start_at = page.start_at
              AND part IN (0, 1) AND state = 0
            OFFSET 0
        ) AS k
        JOIN store st USING (store_id)
        ORDER BY k.store_id
        """,
        [[one for one, _ in wanted], [start for _, start in wanted]],
    )
    for recording_id, part, *row in found:
        if part == PARTS["rendition"]:
            copies.setdefault(recording_id, []).append(CopyRow(*row))
        else:
            posters.add(recording_id)
    return copies, posters
