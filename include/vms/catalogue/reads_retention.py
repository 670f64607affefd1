"""What the retention proof and the forecast ask the catalogue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from vms.catalogue.connection import Connection, fetch_all, fetch_one
from vms.model import StoreTarget
from vms.retention import Rules
from vms.retention_proof import FILL_DAYS, CameraFacts


def camera_facts(conn: Connection, rules: Rules, now: datetime) -> list[CameraFacts]:
    """Of every camera, from the sums per day alone. Footage of wrong clocks (before 2000, tomorrow) is left out."""
    cameras = fetch_all(
        conn,
        "SELECT c.camera_id, s.slug, c.slug, s.tz FROM camera c JOIN site s USING (site_id) ORDER BY s.slug, c.slug",
        [],
    )
    facts = []
    for camera_id, site, camera, zone in cameras:
        today = now.astimezone(ZoneInfo(zone)).date()
        keep = rules.keep(site, camera)
        young = today - keep if keep is not None else today
        row = fetch_one(
            conn,
            "SELECT min(day), min(day) FILTER (WHERE archived + released > 0),"
            " max(day) FILTER (WHERE purged > 0 AND day > %s) FROM camera_day"
            " WHERE camera_id = %s AND day BETWEEN '2000-01-01' AND %s AND archived + released + purged > 0",
            [young, camera_id, today],
        )
        first, oldest, broken = row or (None, None, None)
        facts.append(CameraFacts(site, camera, first, oldest, broken, today))
    return facts


def store_rates(conn: Connection, store: StoreTarget, longest: timedelta, now: datetime) -> tuple[int, int, int]:
    """Bytes that the store holds, that footage of the last FILL_DAYS added, and that footage expiring in the next
    FILL_DAYS will free: from the sums by day (UTC)."""
    today = now.astimezone(UTC).date()
    row = fetch_one(
        conn,
        "SELECT coalesce(sum(bytes), 0)::bigint,"
        " coalesce(sum(bytes) FILTER (WHERE day > %s AND day <= %s), 0)::bigint,"
        " coalesce(sum(bytes) FILTER (WHERE day < %s), 0)::bigint"
        " FROM store_day WHERE store_id = %s",
        [
            today - timedelta(days=FILL_DAYS),
            today,
            (now.astimezone(UTC) - longest + timedelta(days=FILL_DAYS)).date(),
            store.store_id,
        ],
    )
    return (row[0], row[1], row[2]) if row else (0, 0, 0)
