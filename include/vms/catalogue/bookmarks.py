"""Bookmarks: moments and ranges of cameras that people marked, with a note and tags.

Made, changed and removed with the viewer's role; the database shows one to whoever sees all its cameras. All times are
UTC; a moment begins and ends at the same time.
"""

# ruff: noqa: S608 (statements are put together from constant pieces; every value goes as a parameter)

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from vms.catalogue import bookmark_search
from vms.catalogue.bookmark_search import BookmarkFilter
from vms.catalogue.connection import AMONG, Connection, fetch_all, pairs_of
from vms.catalogue.recording_search import LONGEST
from vms.catalogue.timeline import CameraKey
from vms.errors import CatalogueError

LONGEST_NOTE = 2000
LONGEST_TAG = 40
MOST_TAGS = 12


@dataclass(frozen=True)
class NewBookmark:
    """What somebody marks."""

    user_id: int
    cameras: tuple[CameraKey, ...]
    from_utc: datetime
    to_utc: datetime
    note: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class BookmarkRow:
    """One bookmark. with_footage: how many of its cameras have footage of its time now; purged: of how many others it
    was removed when its time was over. Both None where they were not asked for."""

    bookmark_id: int
    user_id: int
    who: str
    made_at: datetime
    changed_at: datetime | None
    from_utc: datetime
    to_utc: datetime
    note: str
    tags: tuple[str, ...]
    time_zone: str
    cameras: tuple[CameraKey, ...]
    with_footage: int | None = None
    purged: int | None = None


def as_tags(text: str) -> tuple[str, ...]:
    """What somebody wrote as tags, by commas: in lower case, each once. Raises ValueError when there are too many."""
    found = (" ".join(one.replace("#", " ").split()).lower() for one in text.split(","))
    tags = tuple(dict.fromkeys(one for one in found if one))
    if len(tags) > MOST_TAGS or any(len(one) > LONGEST_TAG for one in tags):
        raise ValueError("tags")
    return tags


def add_bookmark(conn: Connection, made: NewBookmark) -> int:
    """Returns its number. Raises CatalogueError when a camera is none that the asker sees."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            f"SELECT c.camera_id FROM camera c JOIN site s USING (site_id) WHERE {AMONG}",
            pairs_of(made.cameras),
        )
        cameras = [row[0] for row in cursor.fetchall()]
        if not cameras or len(cameras) != len(set(made.cameras)):
            raise CatalogueError("A bookmark was set on a camera that is not there.", "Choose from those shown.")
        cursor.execute(
            "INSERT INTO bookmark (user_id, from_at, to_at, note, tags, cameras) VALUES (%s, %s, %s, %s, %s, %s)"
            " RETURNING bookmark_id",
            (made.user_id, made.from_utc, made.to_utc, made.note, list(made.tags), cameras),
        )
        (bookmark_id,) = cursor.fetchone() or (0,)
        cursor.execute(
            "INSERT INTO bookmark_camera (bookmark_id, camera_id, from_at, to_at) SELECT %s, unnest(%s), %s, %s",
            (bookmark_id, cameras, made.from_utc, made.to_utc),
        )
    return int(bookmark_id)


def change_bookmark(
    conn: Connection, bookmark_id: int, user_id: int, note: str, tags: Sequence[str], *, everybody: bool
) -> bool:
    """Give it another note and other tags. Returns whether there is one that is this user's (or anybody's)."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "UPDATE bookmark SET note = %s, tags = %s, changed_at = now()"
            " WHERE bookmark_id = %s AND (%s OR user_id = %s)",
            (note, list(tags), bookmark_id, everybody, user_id),
        )
        return cursor.rowcount == 1


def remove_bookmark(conn: Connection, bookmark_id: int, user_id: int, *, everybody: bool) -> bool:
    """Returns whether there was one that was this user's (or anybody's)."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "DELETE FROM bookmark WHERE bookmark_id = %s AND (%s OR user_id = %s)", (bookmark_id, everybody, user_id)
        )
        return cursor.rowcount == 1


def list_bookmarks(
    conn: Connection, wanted: BookmarkFilter, *, limit: int, after: tuple[datetime, int] | None = None
) -> list[BookmarkRow]:
    """The next `limit`, those of the newest moments first, with what footage there is. after: (from_utc, bookmark_id)
    of the last row of the page before."""
    body, params = bookmark_search.chosen(conn, wanted, limit, after)
    return _rows(conn, body, [*params], footage=True)


def along(
    conn: Connection, cameras: Sequence[CameraKey], begin: datetime, end: datetime, most: int
) -> list[BookmarkRow]:
    """The newest `most` bookmarks of these cameras that overlap [begin, end)."""
    body, params = bookmark_search.chosen(conn, BookmarkFilter(tuple(cameras), begin, end), most, None)
    return _rows(conn, body, [*params], footage=False)


_FOOTAGE = """
    SELECT count(*) FILTER (WHERE f.kept)::int, count(*) FILTER (WHERE f.purged AND NOT f.kept)::int
    FROM bookmark_camera x
    CROSS JOIN LATERAL (
        SELECT coalesce(bool_or(r.custody IN (1, 2) AND r.lost_at IS NULL), false),
               coalesce(bool_or(r.custody = 3), false)
        FROM (
            -- the few that are of that time: from the index alone, as a day of rows lies far apart
            SELECT recording_id, start_at FROM recording
            WHERE recording.camera_id = x.camera_id AND start_at >= x.from_at - %s AND start_at <= x.to_at
              AND end_at > x.from_at
            OFFSET 0
        ) AS here
        CROSS JOIN LATERAL (
            SELECT custody, lost_at FROM recording
            WHERE recording.recording_id = here.recording_id AND recording.start_at = here.start_at
            OFFSET 0
        ) AS r
    ) AS f (kept, purged)
    WHERE x.bookmark_id = chosen.bookmark_id
"""


def _rows(conn: Connection, chosen: str, params: Iterable[object], *, footage: bool) -> list[BookmarkRow]:
    found = fetch_all(
        conn,
        f"""
        SELECT b.bookmark_id, b.user_id, u.name, b.made_at, b.changed_at, b.from_at, b.to_at, b.note, b.tags,
               coalesce(k.tz, 'UTC'), k.cameras, {"f.kept, f.purged" if footage else "NULL, NULL"}
        FROM {chosen}
        CROSS JOIN LATERAL (SELECT * FROM bookmark WHERE bookmark.bookmark_id = chosen.bookmark_id OFFSET 0) AS b
        JOIN viewer_user u ON u.user_id = b.user_id
        CROSS JOIN LATERAL (
            SELECT array_agg(s.slug || '/' || c.slug ORDER BY s.slug, c.slug), min(s.tz)
            FROM bookmark_camera x
            CROSS JOIN LATERAL (  -- one by one by key, as there are more cameras than bookmarks on a page
                SELECT * FROM camera WHERE camera.camera_id = x.camera_id OFFSET 0
            ) AS c
            JOIN site s USING (site_id)
            WHERE x.bookmark_id = chosen.bookmark_id
        ) AS k (cameras, tz)
        {f"CROSS JOIN LATERAL ({_FOOTAGE}) AS f (kept, purged)" if footage else ""}
        ORDER BY b.from_at DESC, b.bookmark_id DESC
        """,
        [*params, *([LONGEST] if footage else [])],
    )
    rows = []
    for number, user_id, who, made, changed, begin, end, note, tags, zone, cameras, kept, purged in found:
        keys = tuple((one.split("/")[0], one.split("/")[1]) for one in cameras or ())
        rows.append(
            BookmarkRow(number, user_id, who, made, changed, begin, end, note, tuple(tags), zone, keys, kept, purged)
        )
    return rows
