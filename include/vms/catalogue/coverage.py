"""What the catalogue knows for coverage: which footage cameras have, and what may explain the rest.

Footage is read from camera_day, whose spans are kept current by whoever archives or purges; of the recordings
themselves only those are read that are open, lost or of an impossible time, each along a small index of its own. So the
cost grows with days and with trouble, not with footage. All functions work with the viewer's role; times are UTC.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from vms.catalogue.connection import Connection, fetch_all, pairs_of
from vms.catalogue.places import PATIENCE
from vms.coverage import CameraFacts, Cause, DayCoverage, Gap, GapReason, add_up, by_day, find_gaps, unwatched
from vms.errors import CatalogueError
from vms.pieces import DAY, MINUTE, SECOND, Piece, joined, micros
from vms.schedule import Interval, midnight, parse_schedule

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
    for find in (_open, _lost, _suspects, _notes):
        for camera_id, cause in _merged(find(conn, known, begin, end)):
            causes[camera_id].append(cause)
    away = _unwatched(conn, known, begin, end, now)
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


Found = Iterable[tuple[int, Cause]]


def _open(conn: Connection, known: Sequence[_Camera], begin: datetime, end: datetime) -> Found:
    """What waits and what is quarantined. A length that is not known is taken as the camera's usual one."""
    usual = {one.camera_id: timedelta(seconds=one.usual_s) for one in known}
    found = fetch_all(
        conn,
        """
        SELECT r.camera_id, r.start_at, r.end_at, r.custody, coalesce(q.reason, '')
        FROM unnest(%s::int[]) AS site (site_id)
        CROSS JOIN LATERAL (
            SELECT recording_id, camera_id, start_at, end_at, custody FROM recording  -- an index has no more than that
            WHERE recording.site_id = site.site_id AND custody IN (0, 4) AND start_at >= %s AND start_at < %s
            OFFSET 0
        ) AS r
        LEFT JOIN quarantine q ON r.custody = 4 AND q.recording_id = r.recording_id AND q.start_at = r.start_at
        WHERE r.camera_id = ANY(%s)
        """,
        [_site_ids(known), begin - timedelta(hours=25), end, list(usual)],
    )
    for camera_id, start, stop, custody, reason in found:
        stop = stop if stop > start else start + usual[camera_id]
        if custody == 0:
            yield camera_id, _cause(start, stop, "waiting")
        else:
            yield camera_id, _cause(start, stop, "never_arrived" if reason == "source_gone" else "quarantined", reason)


def _lost(conn: Connection, known: Sequence[_Camera], begin: datetime, end: datetime) -> Found:
    found = fetch_all(
        conn,
        """
        SELECT r.camera_id, r.start_at, r.end_at
        FROM unnest(%s::int[]) AS site (site_id)
        CROSS JOIN LATERAL (
            SELECT * FROM recording WHERE recording.site_id = site.site_id AND lost_at IS NOT NULL
              AND start_at >= %s AND start_at < %s AND custody IN (1, 2)
            OFFSET 0
        ) AS r
        WHERE r.camera_id = ANY(%s)
        """,
        [_site_ids(known), begin - timedelta(hours=25), end, [one.camera_id for one in known]],
    )
    for camera_id, start, stop in found:
        yield camera_id, _cause(start, stop, "lost")


def _suspects(conn: Connection, known: Sequence[_Camera], begin: datetime, end: datetime) -> Found:
    """Footage of an impossible time was made a little before it came in: by its length, and what archiving takes."""
    found = fetch_all(
        conn,
        """
        SELECT r.camera_id, r.archived_at, r.end_at - r.start_at
        FROM unnest(%s::int[]) AS site (site_id)
        CROSS JOIN LATERAL (
            SELECT * FROM recording WHERE recording.site_id = site.site_id
              AND time_marks && '{future,before_2000}' AND archived_at >= %s AND archived_at < %s
            OFFSET 0
        ) AS r
        WHERE r.camera_id = ANY(%s)
        """,
        [_site_ids(known), begin, end + timedelta(days=1), [one.camera_id for one in known]],
    )
    for camera_id, archived_at, length in found:
        yield camera_id, _cause(archived_at - length - timedelta(hours=1), archived_at, "clock_jump")


def _notes(conn: Connection, known: Sequence[_Camera], begin: datetime, end: datetime) -> Found:
    found = fetch_all(
        conn,
        "SELECT camera_id, from_at, to_at, who || ': ' || note FROM gap_note"
        " WHERE camera_id = ANY(%s) AND withdrawn_at IS NULL AND to_at > %s AND from_at < %s ORDER BY note_id DESC",
        [[one.camera_id for one in known], begin, end],
    )
    for camera_id, start, stop, text in found:
        yield camera_id, _cause(start, stop, "acknowledged", text)


def _unwatched(
    conn: Connection, known: Sequence[_Camera], begin: datetime, end: datetime, now: datetime
) -> dict[int, list[Cause]]:
    """When each site was not looked at. The look before `begin` counts, too: a pause may have begun then."""
    found = fetch_all(
        conn,
        f"""
        SELECT s.site_id, w.from_at, w.to_at, s.last_sensed >= %(now)s - {PATIENCE} AS watched
        FROM site s
        CROSS JOIN LATERAL (
            SELECT from_at, to_at FROM site_watch WHERE site_watch.site_id = s.site_id AND from_at <= %(end)s
              AND from_at >= coalesce((SELECT from_at FROM site_watch w WHERE w.site_id = s.site_id
                                       AND w.from_at <= %(begin)s ORDER BY w.from_at DESC LIMIT 1), '-infinity')
        ) AS w
        WHERE s.site_id = ANY(%(sites)s)
        ORDER BY s.site_id, w.from_at
        """,  # noqa: S608 (a constant)
        {"now": now, "begin": begin, "end": end, "sites": _site_ids(known)},
    )
    watches: dict[int, list[Interval]] = defaultdict(list)
    still: set[int] = set()
    for site_id, start, stop, watched in found:
        watches[site_id].append((start, stop))
        if watched:
            still.add(site_id)
    return defaultdict(
        list,
        {
            site_id: [
                _cause(first, last, "not_looked")
                for first, last in unwatched(some, some[-1][1] if site_id in still else now)
            ]
            for site_id, some in watches.items()
        },
    )


def _merged(found: Found) -> Found:
    """Causes of one kind that follow each other within a minute as one: a day's waiting files are one wait."""
    by_kind: dict[tuple[int, GapReason, str], list[Piece]] = defaultdict(list)
    for camera_id, cause in found:
        by_kind[camera_id, cause.reason, cause.detail].append((cause.start, cause.end))
    for (camera_id, reason, detail), some in by_kind.items():
        for begin, end in joined(sorted(some), MINUTE):
            yield camera_id, Cause(begin, end, reason, detail)


def _cause(start: datetime, end: datetime, reason: GapReason, detail: str = "") -> Cause:
    return Cause(micros(start), micros(end), reason, detail)


def _site_ids(known: Sequence[_Camera]) -> list[int]:
    return sorted({one.site_id for one in known})
