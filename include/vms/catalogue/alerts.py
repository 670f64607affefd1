"""Alerts and the messages about them: what is open, who was told, what could not be sent.

A message is written in the transaction that opens or closes its alert, and marked once its target has taken it. Killed
between the two, it is sent again: a message may come twice, but none is lost and none begins a second alert.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from psycopg2.extras import Json

from vms.catalogue.connection import Connection, fetch_all, fetch_one
from vms.catalogue.places import keep_site
from vms.config import Site
from vms.errors import CatalogueError

_ALERT = "alert_id, kind, site, subject, detail, opened_at, seen_at, closed_at"
_LOCK = 7_306_000_001  # advisory: one round of alerts at a time

SETTLED = timedelta(minutes=9)
"""So long an alert must not have been found any more to be over: what comes and goes is one alert."""

_LONGEST_WAIT = timedelta(hours=1)


@dataclass(frozen=True)
class AlertRow:
    """One alert. Times are UTC; closed_at None: it goes on."""

    alert_id: int
    kind: str
    site: str
    subject: str
    detail: Mapping[str, Any]
    opened_at: datetime
    seen_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True)
class MessageRow:
    """A message that a target has not taken yet. alert: of begin and end; site and day: of a digest; detail: of a
    recording that was restored from cold storage (`vms.catalogue.restores`)."""

    message_id: int
    target: str
    kind: str
    alert: AlertRow | None
    site: str
    day: date | None
    made_at: datetime
    tries: int
    tried_at: datetime | None
    error: str
    detail: Mapping[str, Any] | None = None

    def is_due(self, now: datetime) -> bool:
        """Whether it is to be tried now: four minutes after the first failure, then ever later, up to an hour."""
        wait = min(timedelta(minutes=4) * 2 ** min(self.tries - 1, 6), _LONGEST_WAIT) if self.tries else timedelta()
        return self.tried_at is None or self.tried_at + wait <= now


@contextmanager
def one_round(conn: Connection) -> Iterator[None]:
    """Only one round at a time, of the DAG or by hand. Raises CatalogueError while another one is under way."""
    found = fetch_one(conn, "SELECT pg_try_advisory_lock(%s)", [_LOCK])
    if not found or not found[0]:
        raise CatalogueError("Alerts are being sent by another run at this moment.", "Wait for it, then try again.")
    try:
        yield
    finally:
        fetch_one(conn, "SELECT pg_advisory_unlock(%s)", [_LOCK])


def keep_alerts(
    conn: Connection,
    found: Iterable[tuple[str, str, str, Mapping[str, Any]]],
    unknown: Iterable[tuple[str, str]],
    sites: Collection[str],
    targets: Sequence[str],
    now: datetime,
) -> None:
    """Open what is new, close what is over, and write one message to each target for either.

    found: (kind, site, subject, detail) of all that is wrong. unknown: (kind, site) that could not be looked at.
    sites: those that are looked at; alerts of any other are closed without a word, as nobody knows how they ended.
    """
    left_alone = set(unknown)
    with conn, conn.cursor() as cursor:
        for kind, site, subject, detail in found:
            cursor.execute(
                "INSERT INTO alert (kind, site, subject, detail, opened_at, seen_at) VALUES (%s, %s, %s, %s, %s, %s)"
                " ON CONFLICT (kind, site, subject) WHERE closed_at IS NULL"
                " DO UPDATE SET detail = excluded.detail, seen_at = excluded.seen_at RETURNING alert_id, xmax = 0",
                (kind, site, subject, Json(dict(detail)), now, now),
            )
            alert_id, is_new = cursor.fetchone() or (0, False)
            if is_new:
                _write(cursor, "begin", alert_id, targets, now)
        cursor.execute(
            "SELECT alert_id, kind, site FROM alert WHERE closed_at IS NULL AND seen_at <= %s", (now - SETTLED,)
        )
        for alert_id, kind, site in cursor.fetchall():
            if (kind, site) in left_alone:
                continue
            cursor.execute("UPDATE alert SET closed_at = %s WHERE alert_id = %s", (now, alert_id))
            cursor.execute("SELECT DISTINCT target FROM alert_message WHERE alert_id = %s", (alert_id,))
            told = {target for (target,) in cursor.fetchall()} if not site or site in sites else set()
            _write(cursor, "end", alert_id, [one for one in targets if one in told], now)
        cursor.execute(  # nobody to send it to any more
            "UPDATE alert_message SET withdrawn_at = %s WHERE sent_at IS NULL AND withdrawn_at IS NULL"
            " AND target <> ALL(%s)",
            (now, list(targets)),
        )


def add_digest(conn: Connection, site: str, day: date, targets: Sequence[str], now: datetime) -> None:
    """Let each target have the site's digest of this day, once; an older one that could not be sent is withdrawn."""
    with conn, conn.cursor() as cursor:
        for target in targets:
            cursor.execute(
                "INSERT INTO alert_message (target, kind, site, day, made_at) VALUES (%s, 'digest', %s, %s, %s)"
                " ON CONFLICT DO NOTHING",
                (target, site, day, now),
            )
        cursor.execute(
            "UPDATE alert_message SET withdrawn_at = %s WHERE kind = 'digest' AND site = %s AND day < %s"
            " AND sent_at IS NULL AND withdrawn_at IS NULL",
            (now, site, day),
        )


def waiting_messages(conn: Connection) -> list[MessageRow]:
    """All that is not sent yet, in the order in which it was written."""
    found = fetch_all(
        conn,
        """
        SELECT m.message_id, m.target, m.kind, m.site, m.day, m.made_at, m.tries, m.tried_at, m.error, m.detail,
               a.alert_id, a.kind, a.site, a.subject, a.detail, a.opened_at, a.seen_at, a.closed_at
        FROM alert_message m LEFT JOIN alert a USING (alert_id)
        WHERE m.sent_at IS NULL AND m.withdrawn_at IS NULL ORDER BY m.message_id
        """,
        [],
    )
    rows = []
    for message_id, target, kind, site, day, made_at, tries, tried_at, error, detail, *alert in found:
        about = AlertRow(*alert) if alert[0] is not None else None
        rows.append(MessageRow(message_id, target, kind, about, site, day, made_at, tries, tried_at, error, detail))
    return rows


def unsent(waiting: Sequence[MessageRow]) -> list[str]:
    """One line for each target that could not be told: how many messages, since when, why."""
    lines = []
    for target in dict.fromkeys(one.target for one in waiting if one.error):
        some = [one for one in waiting if one.target == target and one.error]
        since = f"{min(one.made_at for one in some):%Y-%m-%d %H:%M} UTC"
        lines.append(f"{len(some)} alerts to {target} not sent since {since}: {some[-1].error}")
    return lines


def note_sent(conn: Connection, message_ids: Sequence[int], now: datetime) -> None:
    """Their target has taken them."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "UPDATE alert_message SET sent_at = %s, tried_at = %s, error = '' WHERE message_id = ANY(%s)",
            (now, now, list(message_ids)),
        )


def note_failed(conn: Connection, message_ids: Sequence[int], error: str, now: datetime) -> None:
    """They could not be sent, and why; they are tried again."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "UPDATE alert_message SET tries = tries + 1, tried_at = %s, error = %s WHERE message_id = ANY(%s)",
            (now, error, list(message_ids)),
        )


def list_alerts(conn: Connection, closed_since: datetime | None = None, most: int | None = None) -> list[AlertRow]:
    """What is open, and what was closed since then when that is given, of this the last `most`; the newest first."""
    found = fetch_all(
        conn,
        f"""
        SELECT * FROM (
            (SELECT {_ALERT} FROM alert WHERE closed_at IS NULL)
            UNION ALL
            (SELECT {_ALERT} FROM alert WHERE closed_at >= %s ORDER BY closed_at DESC LIMIT %s)
        ) AS either ORDER BY opened_at DESC, alert_id DESC
        """,  # noqa: S608
        [closed_since, most],
    )
    return [AlertRow(*row) for row in found]


def last_done(conn: Connection, what: str) -> datetime | None:
    """When this was last done (UTC)."""
    found = fetch_one(conn, "SELECT at FROM alert_round WHERE what = %s", [what])
    return found[0] if found else None


def looked_at(conn: Connection) -> datetime | None:
    """When a round last looked (UTC); before the first one, when the first account was made, as the catalogue was."""
    found = fetch_one(
        conn,
        "SELECT coalesce((SELECT at FROM alert_round WHERE what = 'look'), (SELECT min(made_at) FROM viewer_user))",
        [],
    )
    return found[0] if found else None


def note_done(conn: Connection, what: str, now: datetime) -> None:
    """This was done now."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "INSERT INTO alert_round VALUES (%s, %s) ON CONFLICT (what) DO UPDATE SET at = excluded.at", (what, now)
        )


def keep_awaited(conn: Connection, sites: Sequence[Site], wanted: Collection[str], now: datetime) -> None:
    """Note since when the first look at a site is waited for: since the first round that found it in sites.yaml.

    sites: those that are enabled; the row of each is made and kept as sites.yaml says, also while nobody gets to look
    at it, as whoever asks for sites goes by it. wanted: their ids, and of those whose part of sites.yaml is wrong just
    now.
    """
    with conn, conn.cursor() as cursor:
        cursor.execute("SELECT slug, name, tz, every_s, gap_tolerance_s FROM site")
        known = {slug: row for slug, *row in cursor.fetchall()}
        for site in sites:
            told = [site.name, site.time_zone, site.every.total_seconds(), site.gap_tolerance.total_seconds()]
            if known.get(site.id) != told:
                keep_site(cursor, site)
        values = {"wanted": list(wanted), "now": now}
        cursor.execute(
            "DELETE FROM alert_round WHERE what LIKE 'awaited %%' AND what NOT IN"
            " (SELECT 'awaited ' || site_id FROM site WHERE slug = ANY(%(wanted)s) AND last_sensed IS NULL)",
            values,
        )
        cursor.execute(
            "INSERT INTO alert_round (what, at) SELECT 'awaited ' || site_id, %(now)s FROM site"
            " WHERE slug = ANY(%(wanted)s) AND last_sensed IS NULL ON CONFLICT DO NOTHING",
            values,
        )


def usual_intervals(conn: Connection, now: datetime) -> dict[tuple[str, str], float]:
    """Seconds between the beginnings of files, usually, by (site, camera): the median of the newest twenty."""
    found = fetch_all(
        conn,
        """
        SELECT s.slug, c.slug, extract(epoch FROM usual.step)::float8
        FROM camera c JOIN site s USING (site_id)
        CROSS JOIN LATERAL (
            SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY step) AS step
            FROM (
                SELECT lag(start_at) OVER (ORDER BY start_at DESC) - start_at AS step
                FROM (
                    SELECT start_at FROM recording r
                    WHERE r.camera_id = c.camera_id AND start_at > %s - interval '40 days' AND start_at <= %s
                    ORDER BY start_at DESC LIMIT 20
                ) AS newest
            ) AS steps
        ) AS usual
        WHERE usual.step IS NOT NULL
        """,
        [now, now],
    )
    return {(site, camera): step for site, camera, step in found}


def waiting_since(conn: Connection) -> dict[str, tuple[int, datetime]]:
    """Of each site with a backlog: how many files and copies wait, and since when the oldest of them does."""
    found = fetch_all(
        conn,
        """
        SELECT s.slug, files.many + copies.many, least(files.since, copies.since)
        FROM site s
        CROSS JOIN LATERAL (
            SELECT count(DISTINCT r.recording_id), min(n.first_seen)
            FROM recording r JOIN recording_source n USING (recording_id, start_at)
            WHERE r.site_id = s.site_id AND r.custody IN (0, 4) AND r.custody = 0
        ) AS files (many, since)
        CROSS JOIN LATERAL (
            SELECT count(*), min(since) FROM copy_wanted w WHERE w.site_id = s.site_id
        ) AS copies (many, since)
        WHERE files.many + copies.many > 0
        """,
        [],
    )
    return {site: (many, since) for site, many, since in found if since is not None}


def lost_by_site(conn: Connection) -> dict[str, int]:
    """Archived recordings of which no store has a good copy, by site."""
    found = fetch_all(
        conn,
        "SELECT s.slug, count(*) FROM recording r JOIN site s USING (site_id)"
        " WHERE r.lost_at IS NOT NULL AND r.custody IN (1, 2) GROUP BY s.slug",
        [],
    )
    return dict(found)


def broken_by_store(conn: Connection) -> dict[str, int]:
    """Lost and damaged copies, by store."""
    found = fetch_all(
        conn,
        "SELECT st.name, count(*) FROM copy k JOIN store st USING (store_id) WHERE k.state = 3 GROUP BY st.name",
        [],
    )
    return dict(found)


def _write(cursor: Any, kind: str, alert_id: int, targets: Sequence[str], now: datetime) -> None:
    for target in targets:
        cursor.execute(
            "INSERT INTO alert_message (target, kind, alert_id, made_at) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            (target, kind, alert_id, now),
        )
