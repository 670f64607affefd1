"""Months of which nothing lives any more: their partitions are detached and dropped, in one go.

Rows of purged recordings stay for a year after their month, so that the viewer can say when footage was purged; lineage
says it for good. A month also stays while a source file of it may still lie in a footage folder: without its row the
file would be taken for new footage.
"""

# ruff: noqa: S608 (table names are made here from a year and a month)

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import psycopg2

from vms.catalogue.connection import Connection, fetch_all
from vms.catalogue.partitions import BY_START, LOCK

KEEP_ROWS = timedelta(days=365)
"""How long rows of purged recordings stay after their month, and after the last purge in it."""

_PATIENCE = "2s"
_IN_USE = (psycopg2.errors.LockNotAvailable, psycopg2.errors.QueryCanceled, psycopg2.errors.DeadlockDetected)
_NAME = re.compile(r"recording_(\d{4})_(\d{2})\Z")


def drop_dead_months(conn: Connection, now: datetime) -> list[str]:
    """Drop the partitions of months in which nothing lives; returns them as 2026-01. now: UTC.

    Waits two seconds at most for others to let go of a month; a month that is in use is left to the next run.
    """
    dropped = []
    found = fetch_all(
        conn,
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'recording'::regclass ORDER BY c.relname",
        [],
    )
    for (name,) in found:
        match = _NAME.match(name)
        if match is None:
            continue
        year, month = int(match[1]), int(match[2])
        end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC) if year < 9999 else now
        if end + KEEP_ROWS > now:
            continue
        try:
            if _drop(conn, f"{year:04d}_{month:02d}", now):
                dropped.append(f"{year:04d}-{month:02d}")
        except _IN_USE:
            continue
    return dropped


def _drop(conn: Connection, month: str, now: datetime) -> bool:
    with conn, conn.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{_PATIENCE}'")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        cursor.execute(f"LOCK TABLE {', '.join(f'{table}_{month}' for table in BY_START)} IN SHARE ROW EXCLUSIVE MODE")
        cursor.execute(
            f"SELECT EXISTS (SELECT 1 FROM recording_{month} WHERE custody <> 3)"
            f" OR EXISTS (SELECT 1 FROM copy_{month} WHERE state <> 2 OR state_at > %s)"
            f" OR EXISTS (SELECT 1 FROM recording_source_{month} WHERE released_at IS NULL AND replaced_at IS NULL)",
            (now - KEEP_ROWS,),
        )
        (lives,) = cursor.fetchone() or (True,)
        if lives:
            return False
        for table in BY_START:
            cursor.execute(f"ALTER TABLE {table} DETACH PARTITION {table}_{month}")
            cursor.execute(f"DROP TABLE {table}_{month}")
        return True
