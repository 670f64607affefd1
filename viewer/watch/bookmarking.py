"""Bookmarks on the page Watch: set one, and what the timeline shows of those that there are.

What a person writes is data: it is sent and shown as text.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg2.errors

from viewer import query
from viewer.media import Refusal
from viewer.watch import spans
from viewer.watch.asked import MOST_CAMERAS
from viewer.watch.visit import Visit
from vms.catalogue import bookmarks
from vms.catalogue.bookmark_search import LONGEST_RANGE
from vms.catalogue.bookmarks import LONGEST_NOTE, BookmarkRow, NewBookmark
from vms.errors import CatalogueError

MOST_SHOWN = 300
"""Of a timeline: the newest."""

_SHOWN_NOTE = 300


def pin(one: BookmarkRow) -> dict[str, Any]:
    """A bookmark as the timeline draws it."""
    note = one.note if len(one.note) <= _SHOWN_NOTE else f"{one.note[:_SHOWN_NOTE].rstrip()}\N{HORIZONTAL ELLIPSIS}"
    return {
        "id": one.bookmark_id,
        "from": spans.milliseconds(one.from_utc),
        "to": spans.milliseconds(one.to_utc),
        "note": note,
        "tags": list(one.tags),
        "who": one.who,
        "cameras": ["/".join(key) for key in one.cameras],
    }


def add(visit: Visit) -> dict[str, Any]:
    """Set what was sent: {cameras: ["site/camera"], from, to (ms), note, tags (by commas)}."""
    told = visit.told
    cameras = told.get("cameras")
    begin, end, note, tags = (told.get(name) for name in ("from", "to", "note", "tags"))
    if not (
        isinstance(cameras, list)
        and all(isinstance(one, str) for one in cameras)
        and type(begin) is int
        and type(end) is int
        and 0 < begin <= end < 250_000_000_000_000
        and isinstance(note, str)
        and isinstance(tags, str)
    ):
        raise Refusal(400, "watch.bad_request")
    keys = query.read({"camera": cameras[: MOST_CAMERAS + 1]}).cameras
    if not keys or len(keys) != len(cameras) or len(keys) > MOST_CAMERAS:
        raise Refusal(400, "watch.bad_request")
    if end - begin > LONGEST_RANGE / timedelta(milliseconds=1):
        raise Refusal(400, "bookmarks.too_long")
    made = NewBookmark(
        visit.person.user_id,
        keys,
        spans.from_milliseconds(begin),
        spans.from_milliseconds(end),
        *said(note, tags),
    )
    try:
        with visit.connection() as conn:
            number = bookmarks.add_bookmark(conn, made)
            visit.note(conn, "bookmark_added", as_told(number, made))
    except (CatalogueError, psycopg2.errors.InsufficientPrivilege):
        raise Refusal(404, "watch.no_camera") from None
    return {"id": number}


def said(note: str, tags: str) -> tuple[str, tuple[str, ...]]:
    """The note and tags that somebody wrote, as they are kept. Raises Refusal when there is nothing, or too much."""
    note = note.replace("\0", "").replace("\r\n", "\n").strip()
    try:
        found = bookmarks.as_tags(tags.replace("\0", ""))
    except ValueError:
        raise Refusal(400, "bookmarks.too_many_tags") from None
    if len(note) > LONGEST_NOTE:
        raise Refusal(400, "bookmarks.long_note")
    if not note and not found:
        raise Refusal(400, "bookmarks.empty")
    return note, found


def as_told(number: int, one: NewBookmark | BookmarkRow) -> dict[str, Any]:
    """A bookmark as the log of views keeps it."""
    return {
        "bookmark": number,
        "cameras": ["/".join(key) for key in one.cameras],
        "from": one.from_utc.isoformat(),
        "to": one.to_utc.isoformat(),
        "note": one.note,
        "tags": list(one.tags),
    }
