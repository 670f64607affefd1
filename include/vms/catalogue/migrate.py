"""Bring the catalogue to the schema of this version, and give the viewer its rights.

Each step is one SQL file under migrations/versions, run once and in order by Alembic. Several starters may call
`upgrade` at once: the first does the work, the others wait and find it done.
"""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import alembic.command
import psycopg2
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from vms.catalogue import whole
from vms.catalogue.connection import VIEWER, Connection, connect
from vms.catalogue.partitions import ensure_partitions, months_ahead
from vms.errors import CatalogueError

_SCRIPTS = Path(__file__).parent / "migrations"
_LOCK = 7_302_118_001


def upgrade(owner_url: str) -> None:
    """Migrate to the newest schema, make the next months' partitions and grant the viewer's rights. Idempotent.

    Raises CatalogueError when the catalogue is away, the viewer's role is missing or a migration fails (nothing of
    that migration stays).
    """
    with closing(connect(owner_url)) as conn:
        with conn.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        try:
            require_known(whole.revision(conn))
            _require_role(conn)
            _migrate(owner_url)
            _grant(conn)
            ensure_partitions(conn, months_ahead(datetime.now(UTC)))
        except (psycopg2.Error, SQLAlchemyError) as error:
            raise CatalogueError(
                f"The catalogue's schema can't be brought up to date ({str(error).strip()}).",
                "Nothing of the failed step was kept. Check that vms_owner owns the database, then start again.",
            ) from error


def require_known(revision: str) -> None:
    """Raises CatalogueError when the schema is of a newer version than this program."""
    if revision and revision not in revisions():
        raise CatalogueError(
            f"The catalogue is newer ({revision}) than this program, which knows it up to {newest()}.",
            "Start the version that it was last used with, or restore the backup that was made before the upgrade.",
        )


def revisions() -> tuple[str, ...]:
    """All revisions of the schema that this version knows, the newest first."""
    return tuple(step.revision for step in ScriptDirectory.from_config(_config()).walk_revisions())


def newest() -> str:
    """The revision to which `upgrade` leads."""
    return revisions()[0]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _migrate(owner_url: str) -> None:
    config = _config()
    engine = create_engine(make_url(owner_url).set(drivername="postgresql+psycopg2"), poolclass=NullPool)
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "head")


def _require_role(conn: Connection) -> None:
    """Before anything is changed, as migrations name the role."""
    with conn.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (VIEWER,))
        if cursor.fetchone() is None:
            raise CatalogueError(
                f"The database server has no role {VIEWER}.",
                f"Create it (CREATE ROLE {VIEWER} LOGIN PASSWORD ...), then start again.",
            )


_CLOSE_PARTITIONS = """
    DO $do$
    DECLARE one regclass;
    BEGIN
        FOR one IN SELECT oid FROM pg_class WHERE relispartition AND relkind IN ('r', 'p')
            AND relnamespace = 'public'::regnamespace
        LOOP
            EXECUTE format('REVOKE ALL ON %%s FROM %%I', one, %s);
        END LOOP;
    END $do$
"""
"""Who sees what is decided by the parent of a partition, which is the one that queries name."""


_WRITES = {
    "view_log": "INSERT",
    "viewer_session": "INSERT, UPDATE, DELETE",
    "sign_in_try": "INSERT, UPDATE, DELETE",
    "hold": "INSERT, UPDATE (released_at, released_by, release_reason)",
    "hold_scope": "INSERT",
    "export_order": "INSERT, UPDATE (cancel_at, kept_until)",
    "export_camera": "INSERT",
    "export_share": "INSERT, UPDATE (revoked_at, opened, taken, wrong)",
    "bookmark": "INSERT, UPDATE (note, tags, changed_at), DELETE",
    "bookmark_camera": "INSERT",
    "cold_recording": "INSERT, DELETE",
    "restore_asked": "INSERT, UPDATE (asked_at, ready_at, until_at, told_at)",
}
"""What the viewer's role may write, by table; who may hold, release, order, mark what is in v0013, v0015 and v0017."""


_CLOSED = ("replaced_object", "branch", "branch_certificate", "lineage_told")
"""Tables that the viewer's role has no business with."""


def _grant(conn: Connection) -> None:
    """Partitions get no grant: rights are checked on the table that a query names, which is always the parent."""
    with conn, conn.cursor() as cursor:
        cursor.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {VIEWER}")
        cursor.execute(f"GRANT USAGE ON SCHEMA public TO {VIEWER}")
        cursor.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {VIEWER}")
        cursor.execute(_CLOSE_PARTITIONS, (VIEWER,))
        for table, rights in (_WRITES | dict.fromkeys(_CLOSED, "")).items():
            cursor.execute("SELECT to_regclass(%s)", (f"public.{table}",))
            if cursor.fetchone() == (None,):  # an older schema has not all of them
                continue
            if rights:
                cursor.execute(f"GRANT {rights} ON {table} TO {VIEWER}")
            else:
                cursor.execute(f"REVOKE ALL ON {table} FROM {VIEWER}")
