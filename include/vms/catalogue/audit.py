"""The log of who did what, read by whom it is for: newest first, a page after the other, filtered.

It is written through reads.log_view and by the changes of users; the database refuses to change or delete a row of it.
"""

# ruff: noqa: S608 (statements are put together from constant pieces; every value goes as a parameter)

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vms.catalogue.connection import Connection, Params, fetch_all


@dataclass(frozen=True)
class LogFilter:
    """Which rows: in [from_utc, to_utc), of this user and this action; "" means any."""

    from_utc: datetime
    to_utc: datetime
    who: str = ""
    action: str = ""


@dataclass(frozen=True)
class LogRow:
    """One row. site, camera, start_utc: of the recording it is about, "" and None when about none (or of one whose row
    is gone); detail: what else there is to say. Times are UTC."""

    number: int
    at: datetime
    who: str
    address: str
    action: str
    site: str
    camera: str
    time_zone: str
    recording_id: int | None
    start_utc: datetime | None
    detail: Mapping[str, Any]


def list_log(
    conn: Connection, wanted: LogFilter, *, limit: int, after: tuple[datetime, int] | None = None
) -> list[LogRow]:
    """The next `limit` rows, newest first. after: (at, number) of the last row of the page before."""
    conditions, params = ["v.at >= %s AND v.at < %s"], Params([wanted.from_utc, wanted.to_utc])
    if after is not None:
        conditions.append("(v.at, v.view_no) < (%s, %s) AND v.at <= %s")
        params += [*after, after[0]]
    if wanted.who:
        conditions.append("v.who = %s")
        params.append(wanted.who)
    if wanted.action:
        conditions.append("v.action = %s")
        params.append(wanted.action)
    found = fetch_all(
        conn,
        f"""
        SELECT v.view_no, v.at, v.who, v.address, v.action, coalesce(r.site, ''), coalesce(r.camera, ''),
               coalesce(r.tz, ''), v.recording_id, v.start_at, v.detail
        FROM (
            SELECT * FROM view_log v WHERE {" AND ".join(conditions)} ORDER BY v.at DESC, v.view_no DESC LIMIT %s
        ) AS v
        LEFT JOIN LATERAL (
            SELECT s.slug AS site, c.slug AS camera, s.tz
            FROM (
                SELECT site_id, camera_id FROM recording
                WHERE recording.recording_id = v.recording_id AND recording.start_at = v.start_at
                OFFSET 0  -- one by one by key, never by reading months into a hash
            ) AS one
            JOIN site s USING (site_id) JOIN camera c USING (camera_id)
        ) AS r ON true
        ORDER BY v.at DESC, v.view_no DESC
        """,
        [*params, limit],
    )
    return [LogRow(*row) for row in found]
