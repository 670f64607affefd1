"""Month partitions, made when a month is first needed.

Recorders have wrong clocks: footage of 1970 or 2038 must find its partition like any other, so they are made on
demand instead of by a calendar. There is no default partition, as it would have to be searched for every new one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime

from vms.catalogue.connection import Connection

logger = logging.getLogger(__name__)

Month = tuple[int, int]
"""Year and month in UTC."""

BY_START = ("recording", "recording_source", "copy")
BY_EVENT = ("lineage",)

MOST_MONTHS = 480
"""Forty years. Whoever may say when footage begins, as a branch's machine or an object in its bucket, says how many
tables there are; each has its price in every question that no month narrows, for everybody."""

LOCK = 7_302_118_002
"""Advisory: held by who makes or drops partitions."""

_POINTED_AT = "site, camera, store"
"""What rows of partitions point at, in the order in which planning writes to it."""

_AUTOVACUUM = (
    # index-only reads need vacuumed pages on exactly the newest days; the default would wait for 20 % of the table
    "autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000, "
    "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50000, autovacuum_analyze_scale_factor = 0.05"
)


def month_of(at: datetime) -> Month:
    """The month of a UTC time."""
    return at.year, at.month


def following(month: Month) -> Month:
    """The month after."""
    year, number = month
    return (year + 1, 1) if number == 12 else (year, number + 1)


def months_ahead(now: datetime) -> set[Month]:
    """The current month and the next, so that the turn of a month finds its partitions already there."""
    this = month_of(now)
    return {this, following(this)}


def ensure_partitions(conn: Connection, months: Iterable[Month]) -> None:
    """Make what is missing of these months' partitions, in a short transaction of its own.

    Many may call this at once, and none blocks readers: a finished table is attached, which unlike
    CREATE TABLE ... PARTITION OF locks out neither reading nor writing.
    """
    wanted = {
        f"{table}_{year:04d}_{month:02d}": (table, (year, month))
        for year, month in set(months)
        for table in (*BY_START, *BY_EVENT)
    }
    if not _missing(conn, list(wanted)):
        return
    with conn, conn.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        missing = _missing(conn, list(wanted))
        if missing:
            # To attach is to lock these one by one, in an order of its own: with whoever writes to two of them it would
            # come to a deadlock. Locked here in everybody's order they are only waited for.
            cursor.execute(f"LOCK TABLE {_POINTED_AT} IN SHARE ROW EXCLUSIVE MODE")
        for name in missing:
            table, month = wanted[name]
            cursor.execute(
                f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING CONSTRAINTS)"
                f" WITH ({_AUTOVACUUM})"
            )
            cursor.execute(
                f"ALTER TABLE {table} ATTACH PARTITION {name}"
                f" FOR VALUES FROM ('{_first_day(month)}') TO ('{_first_day(following(month))}')"
            )
            if table in BY_EVENT:  # row triggers come with the parent, statement triggers do not
                cursor.execute(
                    f"CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {name}"
                    " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
                )
                cursor.execute(f"ALTER TABLE {name} ENABLE ALWAYS TRIGGER append_only_truncate")


def ensure_months_of(conn: Connection, starts: Iterable[datetime], now: datetime) -> None:
    """Make the months in which footage begins as somebody else says, beside the present; of too many those that are
    nearest to the present. What begins in another one the catalogue then refuses, file by file."""
    ahead = months_ahead(now)
    asked = {month: f"recording_{month[0]:04d}_{month[1]:02d}" for month in map(month_of, starts)}
    gone = set(_missing(conn, list(asked.values())))
    new = sorted((month for month, name in asked.items() if name in gone), key=lambda month: _apart(month, now))
    if new:
        with conn, conn.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_inherits WHERE inhparent = 'recording'::regclass")
            (count,) = cursor.fetchone() or (0,)
        room = max(0, MOST_MONTHS - count)
        if len(new) > room:
            logger.error(
                "Footage is told of in %d months more than the catalogue takes (%d).", len(new) - room, MOST_MONTHS
            )
        new = new[:room]
    ensure_partitions(conn, ahead | set(new))


def _apart(month: Month, now: datetime) -> int:
    return abs((month[0] - now.year) * 12 + month[1] - now.month)


def _missing(conn: Connection, names: list[str]) -> list[str]:
    """Asked of pg_class as a table: to_regclass may answer from a cache older than what the lock has waited for."""
    with conn.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = ANY(%s)", (names,)
        )
        there = {name for (name,) in cursor.fetchall()}
    return sorted(set(names) - there)


def _first_day(month: Month) -> str:
    return f"{month[0]:04d}-{month[1]:02d}-01 00:00:00+00"
