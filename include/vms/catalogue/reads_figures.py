"""What a monitoring system asks again and again: sums of sites and stores, from work lists and rollups alone.

Nothing here grows with what has been archived: work lists have indexes of their own, days are looked up camera by
camera, and how long a file takes is told by the newest few of each site.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from vms.catalogue.connection import Connection, fetch_all
from vms.schedule import expected_on, parse_schedule

NEWEST = 20
"""Of so many recordings of a site it is told how long they took."""


@dataclass(frozen=True)
class SiteWork:
    """What lies before a site. waiting_bytes: of sources that are planned.

    today_s, yesterday_s: seconds of footage that are kept and proven of these days of its zone, over all `cameras`.
    schedules: of each camera, as written, without those of which a note covers all of yesterday; yesterday: which day
    that is there.
    """

    site: str
    waiting_bytes: int
    cameras: int
    today_s: int
    yesterday_s: int
    schedules: Sequence[str]
    yesterday: date
    time_zone: str

    @property
    def expected_s(self) -> int:
        """Seconds of yesterday in which its cameras should record, all together."""
        zone, together = ZoneInfo(self.time_zone), 0.0
        for text, cameras in Counter(self.schedules).items():
            hours = expected_on(parse_schedule(text), zone, self.yesterday)
            together += cameras * sum((end - begin).total_seconds() for begin, end in hours)
        return round(together)


@dataclass(frozen=True)
class StageTimes:
    """How long the newest recordings of a site took, on average, in seconds: from the end of the footage until work on
    it began, until its rendition was made, and until it was proven in the stores and recorded."""

    site: str
    wait_s: float
    compress_s: float
    store_s: float


def site_work(conn: Connection, now: datetime) -> list[SiteWork]:
    """Every site. now: UTC."""
    found = fetch_all(
        conn,
        """
        SELECT s.slug, open.bytes, days.cameras, days.today, days.yesterday, days.schedules,
               (%(now)s AT TIME ZONE s.tz)::date - 1, s.tz
        FROM site s
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(source_bytes), 0)::bigint FROM recording
            WHERE site_id = s.site_id AND custody IN (0, 4) AND custody = 0
        ) AS open (bytes)
        CROSS JOIN LATERAL (
            SELECT count(*), coalesce(sum(today.secs), 0)::bigint, coalesce(sum(yesterday.secs), 0)::bigint,
                   coalesce(array_agg(c.schedule) FILTER (WHERE NOT EXISTS (
                       SELECT FROM gap_note n WHERE n.camera_id = c.camera_id AND n.withdrawn_at IS NULL
                       AND n.from_at <= ((%(now)s AT TIME ZONE s.tz)::date - 1)::timestamp AT TIME ZONE s.tz
                       AND n.to_at >= ((%(now)s AT TIME ZONE s.tz)::date)::timestamp AT TIME ZONE s.tz
                   )), '{}')
            FROM camera c
            LEFT JOIN LATERAL (
                SELECT secs FROM camera_day d
                WHERE d.camera_id = c.camera_id AND d.day = (%(now)s AT TIME ZONE s.tz)::date OFFSET 0
            ) AS today ON true
            LEFT JOIN LATERAL (
                SELECT secs FROM camera_day d
                WHERE d.camera_id = c.camera_id AND d.day = (%(now)s AT TIME ZONE s.tz)::date - 1 OFFSET 0
            ) AS yesterday ON true
            WHERE c.site_id = s.site_id
        ) AS days (cameras, today, yesterday, schedules)
        ORDER BY s.slug
        """,
        {"now": now},
    )
    return [SiteWork(*row) for row in found]


def missing_copies(conn: Connection) -> dict[tuple[str, str], int]:
    """How many copies of archived recordings are still to be made, by site and store; pairs that lack none are left
    out."""
    found = fetch_all(
        conn,
        """
        SELECT s.slug, st.name, lacking.many
        FROM site s
        CROSS JOIN store st
        CROSS JOIN LATERAL (
            SELECT count(*) FROM copy_wanted w WHERE w.site_id = s.site_id AND w.store_id = st.store_id
        ) AS lacking (many)
        WHERE lacking.many > 0
        """,
        [],
    )
    return {(site, store): many for site, store, many in found}


def stage_times(conn: Connection) -> list[StageTimes]:
    """Of every site that has archived something."""
    found = fetch_all(
        conn,
        """
        SELECT s.slug, avg(took.wait_s)::float8, avg(took.compress_s)::float8, avg(took.store_s)::float8
        FROM site s
        CROSS JOIN LATERAL (
            SELECT recording_id, start_at, end_at, archived_at FROM recording
            WHERE site_id = s.site_id AND custody IN (1, 2) ORDER BY start_at DESC, recording_id DESC LIMIT %s
        ) AS r
        CROSS JOIN LATERAL (
            SELECT extract(epoch FROM (l.detail->>'started_at')::timestamptz - r.end_at) AS wait_s,
                   extract(epoch FROM (l.detail->>'finished_at')::timestamptz - (l.detail->>'started_at')::timestamptz)
                       AS compress_s,
                   extract(epoch FROM l.at - (l.detail->>'finished_at')::timestamptz) AS store_s
            FROM lineage l
            WHERE l.recording_id = r.recording_id AND l.event = 'compressed'
              AND l.at BETWEEN r.archived_at - interval '1 minute' AND r.archived_at + interval '1 minute'
            ORDER BY l.lineage_id DESC LIMIT 1
        ) AS took
        GROUP BY s.slug ORDER BY s.slug
        """,
        [NEWEST],
    )
    return [StageTimes(*row) for row in found]
