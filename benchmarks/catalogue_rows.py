"""Millions of rows for a catalogue, made by the database itself: sites of 16 cameras, half a year, all that belongs.

Some sites record in five-minute files, the others in 45-minute ones. Each recording has what the product writes
of it: its source, a rendition with poster and sprite sheet in one store, an event, an item of a batch; seven rows in
all. One in fifty is missing (gaps), one in a thousand is quarantined, today's last hour waits. What is older than the
retention time is purged but for the last day before it, which is what tonight's plan would take.

Partitions are detached, filled without indexes and attached again, in the order in which footage arrives. Sums per
camera and day are made from the recordings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from vms.catalogue.connection import Connection, fetch_all
from vms.catalogue.partitions import BY_START, ensure_partitions, following, month_of

ZONES = ("Asia/Jakarta", "Asia/Makassar", "Asia/Jayapura")
CAMERAS = 16
DENSE_S, SPARSE_S = 300, 2700
EXPIRED_DAYS, PURGED_DAYS = 1, 2

Tell = Callable[[str, float], None]
"""What is being done, and how far it is, from 0 to 1."""


@dataclass(frozen=True)
class Scale:
    """How much is made. dense: so many of the sites record in short files. now: the moment at which the catalogue
    stands still, a full hour (UTC). long_s: the length of the other sites' files. marks: bookmarks of a camera."""

    sites: int
    dense: int
    days: int
    now: datetime
    long_s: int = SPARSE_S
    marks: int = 100

    @property
    def keep(self) -> timedelta:
        """The retention time."""
        return timedelta(days=self.days - EXPIRED_DAYS - PURGED_DAYS)

    @property
    def begin(self) -> datetime:
        return self.now - timedelta(days=self.days)

    @property
    def recordings(self) -> int:
        """About so many."""
        per_day = CAMERAS * (self.dense * 86_400 // DENSE_S + (self.sites - self.dense) * 86_400 // self.long_s)
        return round(per_day * self.days * 0.98)


def fill(conn: Connection, scale: Scale, tell: Tell) -> None:
    """Make all rows. The catalogue is migrated and empty; conn is the owner's."""
    months = [month_of(scale.begin)]
    while months[-1] != month_of(scale.now):
        months.append(following(months[-1]))
    ensure_partitions(conn, [*months, following(months[-1])])
    with conn, conn.cursor() as cursor:
        cursor.execute("SELECT setseed(0.5)")
        cursor.execute(_PLACES, {"sites": scale.sites, "cameras": CAMERAS, "zones": list(ZONES), "now": scale.now})
    for number, (year, month) in enumerate(months):
        _fill_month(conn, scale, f"{year:04d}_{month:02d}", lambda what, n=number: tell(what, n / len(months)))
    tell("run, batch, batch_item, camera_day and small tables", 0.95)
    for statement in (_RUNS, _DAYS, _SMALL):
        with conn, conn.cursor() as cursor:
            _fast(cursor)
            cursor.execute(statement, _params(scale))
    for (table,) in fetch_all(
        conn,
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        " AND (NOT relispartition OR relname ~ %s) ORDER BY relname",
        [f"_{months[-1][0]:04d}_"],
    ):
        tell(f"vacuum {table}", 0.99)
        with conn.cursor() as cursor:
            cursor.execute(f"VACUUM (ANALYZE) {table}")


def _params(scale: Scale) -> dict[str, object]:
    return {
        "now": scale.now,
        "begin": scale.begin,
        "gone": scale.now - scale.keep - timedelta(days=EXPIRED_DAYS),
        "fresh": scale.now - timedelta(days=3),
        "waits": scale.now - timedelta(hours=1),
        "dense": scale.dense,
        "short": DENSE_S,
        "long": scale.long_s,
        "marks": scale.marks,
    }


def _fill_month(conn: Connection, scale: Scale, month: str, tell: Callable[[str], None]) -> None:
    year, number = (int(word) for word in month.split("_"))
    first = datetime(year, number, 1, tzinfo=UTC)
    end = datetime(*following((year, number)), 1, tzinfo=UTC)
    bounds = {"first": max(first, scale.begin), "end": min(end, scale.now), **_params(scale)}
    for table in (*BY_START, "lineage"):
        tell(f"{table}_{month}")
        with conn, conn.cursor() as cursor:
            _fast(cursor)
            part = f"{table}_{month}"
            cursor.execute(f"ALTER TABLE {table} DETACH PARTITION {part}")
            _bare(cursor, part)
            if table in BY_START:
                cursor.execute(f"TRUNCATE {part}")  # so that, with wal_level minimal, nothing of it goes to the log
            cursor.execute(_ROWS[table].replace("@", month), bounds)
            tell(f"{part}: indexes of {cursor.rowcount:,} rows")
            cursor.execute(f"ALTER TABLE {table} ATTACH PARTITION {part} FOR VALUES FROM ('{first}') TO ('{end}')")
        with conn.cursor() as cursor:
            tell(f"{part}: vacuum")
            cursor.execute(f"VACUUM (ANALYZE) {part}")


def _fast(cursor: Cursor) -> None:
    cursor.execute(
        "SET LOCAL maintenance_work_mem = '1GB'; SET LOCAL work_mem = '256MB'; SET LOCAL max_parallel_workers = 2"
    )


def _bare(cursor: Cursor, table: str) -> None:
    """Without keys and indexes: attaching makes them all at once."""
    cursor.execute(
        "SELECT conname FROM pg_constraint"
        " WHERE conrelid = %s::regclass AND contype IN ('f', 'p', 'u') AND conparentid = 0",
        (table,),
    )
    for (name,) in cursor.fetchall():
        cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    cursor.execute("SELECT indexrelid::regclass FROM pg_index WHERE indrelid = %s::regclass", (table,))
    for (name,) in cursor.fetchall():
        cursor.execute(f"DROP INDEX {name}")


_PLACES = """
    INSERT INTO site (slug, name, tz, last_sensed)
    SELECT 'site' || lpad(n::text, 3, '0'), 'Site ' || n, (%(zones)s::text[])[1 + n %% 3], %(now)s
    FROM generate_series(0, %(sites)s - 1) n;

    INSERT INTO camera (site_id, slug, name)
    SELECT site_id, 'cam' || lpad(n::text, 2, '0'), 'Camera ' || n FROM site, generate_series(1, %(cameras)s) n
    ORDER BY site_id, n;

    INSERT INTO store (name, url, identity) VALUES ('nas', 'file:///nas', 'a'), ('cloud', 's3://cloud', 'b');

    INSERT INTO site_watch SELECT site_id, %(now)s - interval '1 year', %(now)s FROM site;
"""

_ROWS = {
    "recording": """
        INSERT INTO recording_@ (recording_id, start_at, end_at, fingerprint, source_bytes, rendition_bytes,
            archived_at, site_id, camera_id, duration_s, fps, custody, width, height, codec, kind, profile,
            time_basis, source_name, source_sha256, rendition_sha256)
        SELECT id, at, at + step, md5(id::text)::uuid, 50000000, CASE WHEN custody IN (1, 2, 3) THEN 9000000 END,
            CASE WHEN custody IN (1, 2, 3) THEN at + step + interval '7 minutes' END, site_id, camera_id,
            extract(epoch FROM step), 15, custody, 1920, 1080, 'hevc', 'encoded', 'balanced', 'name',
            slug || '/' || to_char(at, 'YYYYMMDD_HH24MISS') || '.mp4',
            CASE WHEN custody <> 0 THEN sha256(int8send(-id)) END,
            CASE WHEN custody IN (1, 2, 3) THEN sha256(int8send(id)) END
        FROM (
            SELECT nextval(pg_get_serial_sequence('recording', 'recording_id')) AS id, at, step, site_id, camera_id,
                slug, CASE WHEN at >= %(waits)s THEN 0 WHEN random() < 0.001 THEN 4 WHEN at >= %(fresh)s THEN 1
                           WHEN at < %(gone)s THEN 3 ELSE 2 END AS custody
            FROM (
                SELECT (day + slot * step) AT TIME ZONE tz AS at, step, site_id, camera_id, slug
                FROM generate_series((%(first)s AT TIME ZONE 'Asia/Jakarta')::date::timestamp,
                                     (%(end)s AT TIME ZONE 'Asia/Jayapura')::date, interval '1 day') AS day
                CROSS JOIN generate_series(0, 86400 / %(short)s - 1) AS slot
                JOIN (
                    SELECT s.site_id, s.tz, c.camera_id, c.slug,
                        make_interval(secs => CASE WHEN s.site_id <= %(dense)s THEN %(short)s ELSE %(long)s END) AS step
                    FROM site s JOIN camera c USING (site_id) ORDER BY c.camera_id
                ) AS source ON slot * extract(epoch FROM step) < 86400
                OFFSET 0
            ) AS made
            WHERE at >= %(first)s AND at < %(end)s AND random() < 0.98
            OFFSET 0
        ) AS numbered
    """,
    "recording_source": """
        INSERT INTO recording_source_@ (recording_id, start_at, site_id, path, size_bytes, mtime_ns, first_seen,
            released_at)
        SELECT recording_id, start_at, site_id, source_name, source_bytes, extract(epoch FROM end_at)::bigint * 10^9,
            end_at + interval '2 minutes', CASE WHEN custody IN (2, 3) THEN archived_at + interval '3 days' END
        FROM recording_@
    """,
    "copy": """
        INSERT INTO copy_@ (recording_id, start_at, size_bytes, stored_at, verified_at, store_id, part, state,
            state_at, sha256, key, checksum, proven_at)
        SELECT recording_id, start_at, CASE part WHEN 0 THEN 9000000 ELSE 30000 END, archived_at, archived_at, 1, part,
            CASE WHEN custody = 3 THEN 2 WHEN recording_id %% 100000 = 77 THEN 3 ELSE 0 END,
            CASE WHEN custody = 3 THEN %(now)s END,
            rendition_sha256, stem || (ARRAY['.mp4', '.poster.jpg', '.sprite.jpg'])[part + 1], told,
            CASE WHEN part = 0 AND recording_id %% 2 = 0 THEN archived_at + interval '1 day' END
        FROM (
            SELECT r.*, s.slug || '/' || c.slug || to_char(r.start_at, '/YYYY/MM/DD/YYYYMMDD"T"HH24MISS"Z_"')
                || left(r.fingerprint::text, 8) || substr(r.fingerprint::text, 10, 4) AS stem,
                'sha256:' || encode(rendition_sha256, 'hex') AS told
            FROM recording_@ r JOIN site s USING (site_id) JOIN camera c USING (camera_id)
            WHERE custody IN (1, 2, 3) OFFSET 0
        ) AS r CROSS JOIN generate_series(0, 2) AS part
    """,
    "lineage": """
        INSERT INTO lineage_@ (lineage_id, at, recording_id, start_at, site_id, camera_id, event, dag_id, run_id,
            task_id, map_index, try_number, host, detail)
        OVERRIDING SYSTEM VALUE
        SELECT nextval(pg_get_serial_sequence('lineage', 'lineage_id')), start_at, recording_id, start_at, site_id,
            camera_id, 'archived', 'footage_site', 'scheduled__2026-01-01T00:00:00+00:00', 'batch.record', 0, 1,
            'centre', '{"store": 1}'
        FROM recording_@ WHERE custody <> 0
    """,
}

_RUNS = """
    INSERT INTO run (run_no, dag_id, run_id, site_id, planned_at) OVERRIDING SYSTEM VALUE
    SELECT row_number() OVER (), 'footage_' || slug, 'scheduled__' || at, site_id, at
    FROM generate_series(date_trunc('day', %(begin)s::timestamptz), %(now)s, interval '6 hours') at, site;

    INSERT INTO batch (batch_id, run_no, position, camera_id, title, store_ids, min_copies, made_at, recorded_at,
        wanted_ids, footage_s) OVERRIDING SYSTEM VALUE
    SELECT (run_no - 1) * 16 + row_number() OVER (PARTITION BY run_no ORDER BY camera_id), run_no,
        row_number() OVER (PARTITION BY run_no ORDER BY camera_id) - 1, camera_id, 'some files', '{1}', 1, planned_at,
        planned_at + interval '20 minutes', '{1}', 21000
    FROM run JOIN camera USING (site_id);

    INSERT INTO batch_item (batch_id, position, recording_id, start_at, outcome)
    SELECT (number * sites.many + r.site_id - 1) * 16 + (r.camera_id - 1) %% 16 + 1,
        (extract(epoch FROM r.start_at)::bigint %% 21600) / 60, r.recording_id, r.start_at,
        CASE custody WHEN 4 THEN 'quarantined' ELSE 'archived' END
    FROM recording r
    CROSS JOIN (SELECT count(*) AS many FROM site) AS sites
    CROSS JOIN LATERAL (SELECT (extract(epoch FROM r.start_at)::bigint
        - extract(epoch FROM date_trunc('day', %(begin)s::timestamptz))::bigint) / 21600) AS n (number)
    WHERE custody <> 0;

    SELECT setval(pg_get_serial_sequence('run', 'run_no'), (SELECT max(run_no) FROM run)),
           setval(pg_get_serial_sequence('batch', 'batch_id'), (SELECT max(batch_id) FROM batch));
"""

_DAYS = """
    INSERT INTO camera_day (camera_id, day, archived, released, purged, secs, bytes_in, bytes_out, first_at, last_at,
        kept_spans, purged_spans)
    SELECT camera_id, day, count(*) FILTER (WHERE custody = 1), count(*) FILTER (WHERE custody = 2),
        count(*) FILTER (WHERE custody = 3), coalesce(sum(duration_s) FILTER (WHERE custody <> 3), 0),
        sum(source_bytes), sum(rendition_bytes), min(start_at) FILTER (WHERE custody <> 3),
        max(end_at) FILTER (WHERE custody <> 3),
        coalesce(range_agg(int4range(from_s, from_s + duration_s::int)) FILTER (WHERE custody <> 3), '{}'),
        coalesce(range_agg(int4range(from_s, from_s + duration_s::int)) FILTER (WHERE custody = 3), '{}')
    FROM (
        SELECT r.*, (r.start_at AT TIME ZONE s.tz)::date AS day,
            extract(epoch FROM (r.start_at AT TIME ZONE s.tz)::time)::int AS from_s
        FROM recording r JOIN site s USING (site_id) WHERE custody IN (1, 2, 3)
    ) AS r
    GROUP BY camera_id, day;

    INSERT INTO store_day (store_id, day, camera_id, copies, proven, bytes)
    SELECT 1, (start_at AT TIME ZONE 'UTC')::date, camera_id, count(*), count(*) FILTER (WHERE recording_id %% 2 = 0),
        count(*) * 9060000
    FROM recording WHERE custody IN (1, 2) AND recording_id %% 100000 <> 77 GROUP BY 2, 3;
"""

_SMALL = """
    INSERT INTO quarantine (recording_id, start_at, stage, reason, message, remedy, path, first_at, last_at)
    SELECT recording_id, start_at, 'sense', 'broken', 'It does not open.', 'Export it again.', source_name, end_at,
        end_at FROM recording WHERE custody = 4;

    UPDATE recording SET lost_at = %(now)s WHERE recording_id %% 100000 = 77 AND custody = 2;

    INSERT INTO copy_wanted (recording_id, start_at, store_id, site_id, since)
    SELECT recording_id, start_at, 2, site_id, archived_at FROM recording
    WHERE custody = 1 AND start_at >= %(fresh)s AND recording_id %% 50 = 0;

    INSERT INTO hold (from_at, to_at, reason, who, made_at)
    SELECT %(now)s - n * interval '3 days', %(now)s - n * interval '3 days' + interval '2 hours', 'evidence', 'sari',
        %(now)s FROM generate_series(1, 20) n;
    INSERT INTO hold_scope SELECT hold_id, site_id, camera_id FROM hold
    JOIN camera ON camera_id %% 16 = 3 AND site_id = 1 + hold_id %% (SELECT count(*) FROM site);

    INSERT INTO store_state SELECT site_id, store_id, 'ok', '', '', %(now)s, %(now)s FROM site, store;

    INSERT INTO gap_note (camera_id, from_at, to_at, note, who, made_at)
    SELECT camera_id, %(now)s - interval '9 days', %(now)s - interval '8 days', 'mains failure', 'sari', %(now)s
    FROM camera;

    INSERT INTO viewer_user (name, role, password, made_at, made_by, everywhere)
    SELECT 'marker' || n, 'investigator', '', %(now)s, 'benchmark', true FROM generate_series(1, 20) n;
    INSERT INTO bookmark (user_id, from_at, to_at, note, tags)
    SELECT user_id, at, at + (n %% 3) * interval '2 minutes', 'Seen by the gate: kata' || n %% 500 || ', red',
        ARRAY['tag' || n %% 40]
    FROM (
        SELECT n, %(now)s - random() * (%(now)s - %(begin)s) AS at
        FROM generate_series(1, %(marks)s * (SELECT count(*) FROM camera)) n
    ) AS made JOIN viewer_user ON name = 'marker' || 1 + n %% 20;
    INSERT INTO bookmark_camera (bookmark_id, camera_id, from_at, to_at)
    -- of cameras that are watched together: of one site, a tenth of two sites
    SELECT DISTINCT bookmark_id, camera_id, from_at, to_at
    FROM (SELECT *, bookmark_id %% (SELECT count(*) FROM camera) AS first FROM bookmark) AS made,
        unnest(ARRAY[1 + first, 1 + CASE
            WHEN bookmark_id %% 10 = 0 THEN bookmark_id * 7 %% (SELECT count(*) FROM camera)
            ELSE first - first %% 16 + bookmark_id / 16 %% 16
        END]) AS camera_id;
    UPDATE bookmark SET cameras = ARRAY(
        SELECT camera_id FROM bookmark_camera x WHERE x.bookmark_id = bookmark.bookmark_id
    );

    INSERT INTO view_log (at, who, action, recording_id, start_at, detail)
    SELECT at, 'sari', 'view', 1, at, '{}' FROM generate_series(%(begin)s, %(now)s, interval '5 minutes') at;

    INSERT INTO stray_object SELECT 1, 'foreign/' || n, 'foreign', 1000, 'its key is none of ours', %(now)s, %(now)s
    FROM generate_series(1, 1000) n;

    INSERT INTO purge_plan (made_at, made_by, state, recordings, copies, bytes, per_site, per_store, kept, alarms,
        late, away, expires_at, applied_at, finished_at, outcome)
    SELECT at, 'retention', 'done', 1000, 1000, 9000000000, '{}', '{}', '{}', '[]', false, '{}', at, at, at,
        '{"gone": 1000, "bytes": 9000000000}'
    FROM generate_series(%(now)s - interval '30 days', %(now)s, interval '1 day') at;

    INSERT INTO purge_item (plan_id, store_id, recording_id, start_at, bytes, custody, outcome)
    SELECT 1 + recording_id %% 30, 1, recording_id, start_at, 9060000, 2, 'gone' FROM recording WHERE custody = 3;

    INSERT INTO alert (kind, site, subject, detail, opened_at, seen_at, closed_at)
    SELECT 'silent', slug, 'cam' || n, '{}', %(now)s - n * interval '1 day', %(now)s,
        CASE WHEN n > 1 THEN %(now)s - n * interval '23 hours' END
        FROM site, generate_series(1, extract(day FROM %(now)s - %(begin)s)::int) n;
"""
