"""What the viewer and the command line ask about sites as a whole: lists, state, calendar.

Nothing here reads the recordings of a site one by one: sums come from camera_day and camera_total, work lists from
their own small index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from vms.catalogue.connection import Connection, fetch_all
from vms.catalogue.rows import CameraDay, CameraRow, SiteOverview, SiteRow
from vms.model import State

_COUNTED: tuple[State, ...] = ("planned", "archived", "released", "purged", "quarantined")


@dataclass(frozen=True)
class CameraEnd:
    """Where the archived footage of a camera ends (UTC), None when there is none."""

    site: str
    camera: str
    name: str
    last_utc: datetime | None


@dataclass(frozen=True)
class RunBatch:
    """A batch of a run. position: also the index of its tasks. first_utc, last_utc: where its first and its last file
    begin. camera: "" for a batch of copies, which may be of any camera; then missing_in is the store that lacks them.
    files: those that whoever asks may see."""

    dag_id: str
    run_id: str
    position: int
    camera: str
    missing_in: str
    time_zone: str
    first_utc: datetime
    last_utc: datetime
    files: int


def list_sites(conn: Connection) -> list[SiteRow]:
    """Every site that was ever planned, by name."""
    found = fetch_all(
        conn,
        "SELECT s.slug, s.name, s.tz, c.slug, c.name FROM site s LEFT JOIN camera c USING (site_id)"
        " ORDER BY lower(s.name), s.slug, lower(c.name), c.slug",
        [],
    )
    sites: dict[str, SiteRow] = {}
    for slug, name, zone, camera, camera_name in found:
        row = sites.get(slug, SiteRow(slug, name, zone, ()))
        more = (CameraRow(camera, camera_name),) if camera is not None else ()
        sites[slug] = SiteRow(slug, name, zone, row.cameras + more)
    return list(sites.values())


def wholly_granted(conn: Connection) -> frozenset[str]:
    """The sites of which who asks was granted every camera; of one who sees everything, none needs to be."""
    found = fetch_all(conn, "SELECT slug FROM site WHERE site_id IN (SELECT wholly_granted_sites())", [])
    return frozenset(slug for (slug,) in found)


def store_identities(conn: Connection) -> dict[str, str]:
    """What the identity files of the stores must say, by name; without stores that nothing was ever put into."""
    found = fetch_all(conn, "SELECT name, identity FROM store WHERE identity IS NOT NULL", [])
    return dict(found)


def site_overviews(conn: Connection) -> list[SiteOverview]:
    """The state of every site, from rollups and work lists: it stays quick however much has been archived."""
    found = fetch_all(
        conn,
        """
        SELECT s.slug, s.name, s.tz, open.planned, done.archived, done.released, done.purged, open.quarantined,
               done.bytes_in, done.bytes_out, done.newest, open.oldest, newest.end_at, s.last_sensed,
               done.cameras, done.silent, awaited.at, s.every_s::float8
        FROM site s
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(t.archived), 0)::bigint, coalesce(sum(t.released), 0)::bigint,
                   coalesce(sum(t.purged), 0)::bigint,
                   coalesce(sum(t.bytes_in), 0)::bigint, coalesce(sum(t.bytes_out), 0)::bigint, max(d.last_at),
                   count(*), count(*) FILTER (WHERE d.last_at > now() - interval '1 day' IS NOT true)
            FROM camera c
            LEFT JOIN camera_total t USING (camera_id)
            LEFT JOIN LATERAL (
                SELECT last_at FROM camera_day WHERE camera_day.camera_id = c.camera_id AND last_at IS NOT NULL
                ORDER BY day DESC LIMIT 1
            ) AS d ON true
            WHERE c.site_id = s.site_id
        ) AS done (archived, released, purged, bytes_in, bytes_out, newest, cameras, silent)
        CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE custody = 0), count(*) FILTER (WHERE custody = 4),
                   min(start_at) FILTER (WHERE custody = 0)
            FROM recording WHERE site_id = s.site_id AND custody IN (0, 4)
        ) AS open (planned, quarantined, oldest)
        LEFT JOIN LATERAL (
            SELECT end_at FROM recording WHERE site_id = s.site_id AND custody <> 4
            ORDER BY start_at DESC, recording_id DESC LIMIT 1
        ) AS newest ON true
        LEFT JOIN alert_round awaited ON s.last_sensed IS NULL AND awaited.what = 'awaited ' || s.site_id
        ORDER BY lower(s.name), s.slug
        """,
        [],
    )
    overviews = []
    for slug, name, zone, *numbers in found:
        counts: dict[State, int] = dict(zip(_COUNTED, numbers[:5], strict=True))
        overviews.append(SiteOverview(slug, name, zone, counts, *numbers[5:]))
    return overviews


def camera_ends(conn: Connection, sites: Sequence[str]) -> list[CameraEnd]:
    """Every camera of these sites, by site and name, from the sums by day."""
    found = fetch_all(
        conn,
        """
        SELECT s.slug, c.slug, c.name, d.last_at
        FROM camera c
        JOIN site s USING (site_id)
        LEFT JOIN LATERAL (
            SELECT last_at FROM camera_day WHERE camera_day.camera_id = c.camera_id AND last_at IS NOT NULL
            ORDER BY day DESC LIMIT 1
        ) AS d ON true
        WHERE s.slug = ANY(%s)
        ORDER BY s.slug, lower(c.name), c.slug
        """,
        [list(sites)],
    )
    return [CameraEnd(*row) for row in found]


def batches_of_runs(conn: Connection, runs: Sequence[tuple[str, str]]) -> list[RunBatch]:
    """The batches of these (dag id, run id) in their order; a run that has no plan yet has none."""
    found = fetch_all(
        conn,
        """
        SELECT run.dag_id, run.run_id, b.position, coalesce(c.name, ''),
               CASE WHEN c.camera_id IS NULL THEN (SELECT name FROM store WHERE store_id = b.store_ids[1]) ELSE '' END,
               s.tz, item.first_at, item.last_at, item.files
        FROM unnest(%s::text[], %s::text[]) AS wanted (dag_id, run_id)
        JOIN run ON run.dag_id = wanted.dag_id AND run.run_id = wanted.run_id
        JOIN batch b USING (run_no)
        JOIN site s ON s.site_id = run.site_id
        LEFT JOIN camera c USING (camera_id)
        CROSS JOIN LATERAL (
            SELECT min(start_at) AS first_at, max(start_at) AS last_at, count(*) AS files
            FROM batch_item WHERE batch_id = b.batch_id
        ) item
        WHERE item.files > 0
        ORDER BY run.dag_id, run.run_id, b.position
        """,
        [[dag_id for dag_id, _ in runs], [run_id for _, run_id in runs]],
    )
    return [RunBatch(*row) for row in found]


def camera_days(conn: Connection, sites: Sequence[str], from_day: date, to_day: date) -> list[CameraDay]:
    """How much footage each camera has on each day from from_day to to_day, both included, in its site's zone.

    sites: only these; empty means all. Days without footage have no row.
    """
    found = fetch_all(
        conn,
        """
        SELECT s.slug, c.slug, d.day, d.archived + d.released + d.purged, d.secs, d.bytes_in, d.bytes_out,
               d.first_at, d.last_at
        FROM site s
        JOIN camera c USING (site_id)
        JOIN camera_day d USING (camera_id)
        WHERE (%s OR s.slug = ANY(%s)) AND d.day BETWEEN %s AND %s
        ORDER BY s.slug, c.slug, d.day
        """,
        [not sites, list(sites), from_day, to_day],
    )
    return [CameraDay(*row) for row in found]


def kept_seconds(conn: Connection, cameras: Sequence[tuple[str, str]], from_day: date, to_day: date) -> dict[date, int]:
    """Seconds of footage that can be watched of all these (site, camera) pairs together, on each day from from_day to
    to_day, both included, in their sites' zones. Days without have no entry."""
    found = fetch_all(
        conn,
        """
        SELECT d.day, sum(d.secs)::bigint
        FROM unnest(%s::text[], %s::text[]) AS wanted (site, camera)
        JOIN site s ON s.slug = wanted.site
        JOIN camera c ON c.site_id = s.site_id AND c.slug = wanted.camera
        CROSS JOIN LATERAL (
            SELECT day, secs FROM camera_day WHERE camera_day.camera_id = c.camera_id AND day BETWEEN %s AND %s
            OFFSET 0
        ) AS d
        GROUP BY d.day HAVING sum(d.secs) > 0
        """,
        [[site for site, _ in cameras], [camera for _, camera in cameras], from_day, to_day],
    )
    return dict(found)
