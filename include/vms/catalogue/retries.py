"""Quarantined files that somebody wants tried again: which there are, and the order that the site's next run takes up.

Asked by the owner and by the viewer's role alike; for the latter the database lets through what the person sees.
"""

from __future__ import annotations

from datetime import datetime

from vms.catalogue.connection import Connection, Params, fetch_all
from vms.catalogue.orders import Place
from vms.catalogue.partitions import ensure_partitions, month_of
from vms.catalogue.places import hold_site

_CHOSEN = (
    " FROM site s JOIN recording r ON r.site_id = s.site_id AND r.custody IN (0, 4) AND r.custody = 4"
    " JOIN camera c ON c.camera_id = r.camera_id"
    " WHERE s.slug = %s AND (%s::text IS NULL OR c.slug = %s) AND (%s::bigint IS NULL OR r.recording_id = %s)"
)


def quarantined_names(conn: Connection, site: str, camera: str | None, recording_id: int | None) -> list[str]:
    """The names of the quarantined source files of a site, a camera, or a single recording."""
    found = fetch_all(conn, "SELECT r.source_name" + _CHOSEN, _params(site, camera, recording_id))
    return [name for (name,) in found]


def ask_retry(
    conn: Connection, site: str, camera: str | None, recording_id: int | None, who: str, now: datetime
) -> int:
    """Have quarantined recordings tried again by the site's next run: of a site, a camera, or a single one.

    Returns how many were not asked for before. who: the person, for lineage; now: UTC.
    """
    # Only this month's, which runs have made since last month: the next one's the viewer's role could not make.
    ensure_partitions(conn, {month_of(now)})
    with conn, conn.cursor() as cursor:
        hold_site(cursor, site)
        cursor.execute("SELECT r.recording_id, r.start_at" + _CHOSEN, _params(site, camera, recording_id))
        asked = 0
        for place in sorted(cursor.fetchall()):
            cursor.execute("SELECT ask_retry(%s, %s, %s, %s)", (*place, who, now))
            asked += cursor.fetchone() == (True,)
        return asked


def retries_asked(conn: Connection) -> set[Place]:
    """The quarantined recordings that the next run of their site will try again."""
    return set(fetch_all(conn, "SELECT recording_id, start_at FROM quarantine WHERE retry_asked_at IS NOT NULL", []))


def _params(site: str, camera: str | None, recording_id: int | None) -> Params:
    return [site, camera, camera, recording_id, recording_id]
