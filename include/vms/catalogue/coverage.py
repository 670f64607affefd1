"""What the catalogue knows for coverage: which footage cameras have, and what may explain the rest.

Footage is read from camera_day, whose spans are kept current by whoever archives or purges; what may explain the rest
is in `gap_causes`. So the cost grows with days and with trouble, not with footage. All functions work with the viewer's
role; times are UTC.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from vms.catalogue import gap_causes
from vms.catalogue.connection import Connection, fetch_all, pairs_of
from vms.catalogue.places import PATIENCE
from vms.coverage import CameraFacts, Cause, DayCoverage, Gap, add_up, by_day, find_gaps
from vms.errors import CatalogueError
from vms.pieces import DAY, MINUTE, SECOND, Piece, joined, micros
from vms.schedule import midnight, parse_schedule

_LEAST_DELAY, _MOST_DELAY = timedelta(minutes=15), timedelta(hours=24)
_DELAY_SPREAD = 1.5  # of the median; beyond it something is late rather than under way
_MARGIN = timedelta(days=1)  # footage that reaches over midnight, and zones ahead of and behind UTC

_NONE = "{}"  # a multirange with nothing in it
_DAY_S = DAY // SECOND


@dataclass(frozen=True)
class _Camera:
    """A camera with what is the same for all its days."""

    camera_id: int
    site_id: int
    site: str
    slug: str
    name: str
    zone: str
    schedule: str
    tolerance_s: float
    since: datetime | None
    until: datetime
    usual_s: float

    def facts(self, kept: Sequence[Piece], causes: Sequence[Cause] = ()) -> CameraFacts:
        return CameraFacts(
            site=self.site,
            camera=self.slug,
            camera_name=self.name,
            time_zone=self.zone,
            schedule=parse_schedule(self.schedule),
            tolerance_s=self.tolerance_s,
            since=self.since,
            until=self.until,
            kept=kept,
            causes=causes,
        )


def camera_days(
    conn: Connection,
    from_day: date,
    to_day: date,
    *,
    sites: Sequence[str] = (),
    cameras: Sequence[tuple[str, str]] = (),
    now: datetime | None = None,
) -> list[DayCoverage]:
    """What each camera should have and has on each day from from_day to to_day, both included, in its site's zone.

    sites, cameras ((site, camera) pairs): only these; empty means all. Cameras that never had footage have no days.
    now: the present (default: the clock); today counts up to what should be archived by now.
    """
    facts = load_facts(conn, from_day, to_day, sites=sites, cameras=cameras, now=now)
    return [day for each in facts if each.since is not None for day in by_day(each, from_day, to_day)]


def sums_by_day(
    conn: Connection,
    from_day: date,
    to_day: date,
    cameras: Sequence[tuple[str, str]],
    *,
    now: datetime | None = None,
) -> dict[date, tuple[int, int]]:
    """(expected_s, present_s) of all these cameras together on each day, as `camera_days` counts them. Quicker than
    that, as nobody asks why something is missing."""
    known = _cameras(conn, (), cameras, now or datetime.now(UTC))
    kept, _ = _footage(conn, known, from_day - _MARGIN, to_day + _MARGIN)
    return add_up((one.facts(kept[one.camera_id]) for one in known), from_day, to_day)


def gaps(
    conn: Connection, site: str, camera: str, from_utc: datetime, to_utc: datetime, *, now: datetime | None = None
) -> list[Gap]:
    """The gaps of one camera within [from_utc, to_utc), in order. Raises CatalogueError for a camera nobody knows."""
    days = (from_utc.date() - timedelta(days=1), to_utc.date() + timedelta(days=1))  # whatever the zone
    facts = load_facts(conn, *days, cameras=((site, camera),), now=now)
    if not facts:
        raise CatalogueError(f"There is no camera {site}/{camera} in the catalogue.", "`vms coverage` lists them.")
    return find_gaps(facts[0], from_utc, to_utc)


def kept_footage(
    conn: Connection, from_utc: datetime, to_utc: datetime, sites: Sequence[str]
) -> dict[str, dict[str, list[Piece]]]:
    """Where every camera of these sites has footage that can be watched, by site and camera, in order: of all the days
    that touch [from_utc, to_utc), with holes of up to two seconds closed. Quick however many files it is.
    """
    found = fetch_all(
        conn,
        """
        SELECT s.slug, c.slug, s.tz, d.day, d.kept_spans::text
        FROM camera c JOIN site s USING (site_id)
        CROSS JOIN LATERAL (
            SELECT day, kept_spans FROM camera_day
            WHERE camera_day.camera_id = c.camera_id AND day BETWEEN %s AND %s AND last_at > %s
              AND NOT isempty(kept_spans) ORDER BY day
            OFFSET 0
        ) AS d
        WHERE s.slug = ANY(%s)
        """,
        [from_utc.date() - _MARGIN, to_utc.date() + _MARGIN, from_utc, list(sites)],
    )
    begins = {(zone, day): micros(midnight(day, ZoneInfo(zone))) for zone, day in {(row[2], row[3]) for row in found}}
    footage: dict[str, dict[str, list[Piece]]] = defaultdict(lambda: defaultdict(list))
    earliest = micros(from_utc)
    for site, camera, zone, day, kept in found:
        footage[site][camera] += [one for one in _spans(begins[zone, day], kept) if one[1] > earliest]
    return {site: dict(cameras) for site, cameras in footage.items()}


def load_facts(
    conn: Connection,
    from_day: date,
    to_day: date,
    *,
    sites: Sequence[str] = (),
    cameras: Sequence[tuple[str, str]] = (),
    now: datetime | None = None,
) -> list[CameraFacts]:
    """The facts of these cameras around these days, by site and name; `vms.coverage` makes gaps and sums of them."""
    now = now or datetime.now(UTC)
    known = _cameras(conn, sites, cameras, now)
    if not known:
        return []
    kept, purged = _footage(conn, known, from_day - _MARGIN, to_day + _MARGIN)
    causes: dict[int, list[Cause]] = defaultdict(list)
    for camera_id, some in purged.items():
        causes[camera_id] += [Cause(*one, "purged") for one in joined(some, MINUTE)]
    begin = datetime.combine(from_day, datetime.min.time(), UTC) - _MARGIN
    end = datetime.combine(to_day, datetime.min.time(), UTC) + 2 * _MARGIN
    usual = {one.camera_id: timedelta(seconds=one.usual_s) for one in known}
    site_ids = sorted({one.site_id for one in known})
    for camera_id, cause in gap_causes.of_cameras(conn, usual, site_ids, begin, end):
        causes[camera_id].append(cause)
    away = gap_causes.not_looked_at(conn, site_ids, begin, end, now)
    return [one.facts(kept[one.camera_id], causes[one.camera_id] + away[one.site_id]) for one in known]


def _cameras(
    conn: Connection, sites: Sequence[str], cameras: Sequence[tuple[str, str]], now: datetime
) -> list[_Camera]:
    of_sites, slugs = pairs_of(cameras)
    found = fetch_all(
        conn,
        f"""
        SELECT c.camera_id, s.site_id, s.slug, c.slug, c.name, s.tz, c.schedule, s.gap_tolerance_s::float8,
               first.day, first.second, s.every_s::float8, s.last_sensed,
               s.last_sensed IS NOT NULL AND s.last_sensed >= %(now)s - {PATIENCE} AS watched,
               usual.delay, usual.length_s, known.start_at
        FROM site s
        JOIN camera c USING (site_id)
        LEFT JOIN LATERAL (
            -- a recorder whose clock was never set starts in 1970: not the day that this camera came into being
            SELECT day, lower(kept_spans + purged_spans) AS second FROM camera_day d
            WHERE d.camera_id = c.camera_id AND day >= '2000-01-02' AND NOT isempty(kept_spans + purged_spans)
            ORDER BY day LIMIT 1
        ) AS first ON true
        LEFT JOIN LATERAL (
            -- also what waits or is lost; purged months may be gone from here, but not from camera_day
            SELECT start_at FROM recording r
            WHERE r.camera_id = c.camera_id AND custody <> 4 AND start_at >= '2000-01-02'
            ORDER BY start_at LIMIT 1
        ) AS known ON true
        LEFT JOIN LATERAL (
            SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY archived_at - start_at) AS delay,
                   percentile_disc(0.5) WITHIN GROUP (ORDER BY duration_s)::float8 AS length_s
            FROM (
                SELECT archived_at, start_at, duration_s FROM recording r
                WHERE r.camera_id = c.camera_id AND custody IN (1, 2)
                  AND start_at > %(now)s - interval '40 days' AND start_at <= %(now)s
                ORDER BY start_at DESC LIMIT 8
            ) AS newest
        ) AS usual ON true
        WHERE (%(all_sites)s OR s.slug = ANY(%(sites)s))
          AND (%(all_cameras)s
               OR (s.slug, c.slug) IN (SELECT * FROM unnest(%(of_sites)s::text[], %(cameras)s::text[])))
        ORDER BY lower(s.name), s.slug, lower(c.name), c.slug
        """,  # noqa: S608 (a constant)
        {
            "now": now,
            "all_sites": not sites,
            "sites": list(sites),
            "all_cameras": not cameras,
            "of_sites": of_sites,
            "cameras": slugs,
        },
    )
    known = []
    for row in found:
        zone, (day, second, every_s, looked_at, watched, delay, length_s, known_at) = row[5], row[8:]
        usual = max(_LEAST_DELAY, 2 * timedelta(seconds=every_s), _DELAY_SPREAD * (delay or timedelta()))
        latest = looked_at if watched else now
        firsts = [known_at] if known_at else []
        if day is not None:
            firsts.append(midnight(day, ZoneInfo(zone)) + timedelta(seconds=second))
        since = min(firsts, default=None)
        until = min(latest, now) - min(usual, _MOST_DELAY)
        values: list[Any] = [*row[:8], since, until, length_s or 300.0]
        known.append(_Camera(*values))
    return known


def _footage(
    conn: Connection, known: Sequence[_Camera], from_day: date, to_day: date
) -> tuple[dict[int, list[Piece]], dict[int, list[Piece]]]:
    """What can be watched, and what was purged, by camera and in order."""
    found = fetch_all(
        conn,
        "SELECT camera_id, day - %(from)s, nullif(kept_spans, %(whole)s::int4multirange)::text,"
        " nullif(purged_spans, '{}'::int4multirange)::text FROM camera_day"
        " WHERE camera_id = ANY(%(cameras)s) AND day BETWEEN %(from)s AND %(to)s ORDER BY camera_id, day",
        {
            "cameras": [one.camera_id for one in known],
            "from": from_day,
            "to": to_day,
            "whole": f"{{[0,{_DAY_S})}}",
        },
    )
    days = range((to_day - from_day).days + 1)
    midnights = {
        zone: [micros(midnight(from_day + timedelta(days=step), ZoneInfo(zone))) for step in days]
        for zone in {one.zone for one in known}
    }
    begins = {one.camera_id: midnights[one.zone] for one in known}
    kept: dict[int, list[Piece]] = defaultdict(list)
    purged: dict[int, list[Piece]] = defaultdict(list)
    for camera_id, step, kept_spans, purged_spans in found:
        begin = begins[camera_id][step]
        if kept_spans is None:  # whole days, as most are: not told, and as one
            some, end = kept[camera_id], begin + DAY
            if some and some[-1][1] == begin:
                some[-1] = (some[-1][0], end)
            else:
                some.append((begin, end))
        elif kept_spans != _NONE:
            kept[camera_id] += _spans(begin, kept_spans)
        if purged_spans is not None:
            purged[camera_id] += _spans(begin, purged_spans)
    return kept, purged


def _spans(begin: int, multirange: str) -> Iterable[Piece]:
    """A multirange of seconds since `begin`, with something in it, as time: "{[0,600),[900,1200)}"."""
    edges = [begin + int(one) * SECOND for one in multirange[2:-2].replace("),[", ",").split(",")]
    return zip(edges[::2], edges[1::2], strict=True)
