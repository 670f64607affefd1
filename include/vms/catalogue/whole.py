"""The catalogue as one thing: what backing up, restoring and rebuilding ask of all of it, and put in its place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import psycopg2
from psycopg2 import sql

from vms.catalogue.connection import Connection, connect, fetch_all, fetch_one
from vms.errors import CatalogueError

_ASIDE = "before_restore"
_MATTERS = {
    **dict.fromkeys(("recording", "lineage", "hold", "viewer_grant", "branch", "backfill"), ""),
    "viewer_user": " OFFSET 1",
}
"""What makes a catalogue one that is not empty, by table: a second account, a branch that was only invited, ..."""


@dataclass(frozen=True)
class Snapshot:
    """One moment of the catalogue, held for as long as it is read. rows: of each table (of each partition)."""

    name: str
    revision: str
    server_major: int
    rows: dict[str, int]


@contextmanager
def held_still(address: str) -> Iterator[Snapshot]:
    """The catalogue as it is now, for others to read the same moment by the snapshot's name. Counts every row."""
    with closing(connect(address)) as conn:
        conn.set_session(isolation_level="REPEATABLE READ", readonly=True, autocommit=False)
        (name,) = fetch_one(conn, "SELECT pg_export_snapshot()", []) or ("",)
        rows = count_rows(conn)
        yield Snapshot(name, revision(conn), server_major(conn), rows)
        conn.rollback()


def server_major(conn: Connection) -> int:
    """The major version of the server."""
    return conn.info.server_version // 10_000


def count_rows(conn: Connection) -> dict[str, int]:
    """Rows of every table, exactly."""
    counts = {}
    for name in _tables(conn):
        with conn.cursor() as cursor:
            cursor.execute(sql.SQL("SELECT count(*) FROM public.{}").format(sql.Identifier(name)))
            (counts[name],) = cursor.fetchone() or (0,)
    return counts


def revision(conn: Connection) -> str:
    """Which schema it has; "" when it has none."""
    if "alembic_version" not in _tables(conn):
        return ""
    (found,) = fetch_one(conn, "SELECT version_num FROM public.alembic_version", []) or ("",)
    return str(found)


def is_empty(conn: Connection) -> bool:
    """Whether it knows of no footage and of nothing that people entrusted to it: nothing is lost when it is replaced.
    The first administrator, who is made with it, is nothing."""
    there = set(_tables(conn, kinds="rp"))
    return not any(
        fetch_one(conn, f"SELECT 1 FROM public.{table}{condition} LIMIT 1", [])  # noqa: S608 (words of ours)
        for table, condition in _MATTERS.items()
        if table in there  # an older schema has not all of them
    )


def others_connected(conn: Connection) -> list[str]:
    """What else is connected to this database, by its own name; several of a kind once."""
    found = fetch_all(
        conn,
        "SELECT DISTINCT coalesce(nullif(application_name, ''), usename::text, 'unnamed') FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        " ORDER BY 1",
        [],
    )
    return [name for (name,) in found]


def set_aside(conn: Connection) -> None:
    """Make room for another catalogue; the present one stays until `settle`. Mends what a killed restore left."""
    with conn, conn.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (_ASIDE,))
        if cursor.fetchone() is not None:
            if _tables(conn, kinds="rp"):  # the other one had arrived, or the system has gone on since
                cursor.execute(f"DROP SCHEMA {_ASIDE} CASCADE")
            else:
                _put_back(cursor)
        cursor.execute(f"ALTER SCHEMA public RENAME TO {_ASIDE}")
        cursor.execute("CREATE SCHEMA public")


def settle(conn: Connection, *, kept: bool) -> None:
    """End `set_aside`: let the former catalogue go when the other one is to be kept, else put the former back."""
    with conn, conn.cursor() as cursor:
        if kept:
            cursor.execute(f"DROP SCHEMA {_ASIDE} CASCADE")
        else:
            _put_back(cursor)


def check_rights(conn: Connection) -> None:
    """Raises CatalogueError when this role may not replace the catalogue."""
    found = fetch_one(
        conn, "SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()", []
    )
    if found is None or not found[0]:
        raise CatalogueError(
            "The catalogue's database belongs to another role, so it can't be replaced.",
            "ALTER DATABASE catalogue OWNER TO vms_owner, as an administrator; then try again.",
        )


def _put_back(cursor: psycopg2.extensions.cursor) -> None:
    cursor.execute("DROP SCHEMA IF EXISTS public CASCADE")
    cursor.execute(f"ALTER SCHEMA {_ASIDE} RENAME TO public")


def _tables(conn: Connection, kinds: str = "r") -> list[str]:
    found = fetch_all(
        conn,
        "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('public') AND relkind = ANY(%s) ORDER BY 1",
        [list(kinds)],
    )
    return [name for (name,) in found]
