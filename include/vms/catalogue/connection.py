"""How to reach the catalogue: addresses for its two roles, and connections whose session runs in UTC.

The owner writes custody; the viewer can read everything and append to the view log, nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal
from urllib.parse import quote

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 (psycopg2 names its class in lower case)

from vms.errors import CatalogueError
from vms.home import Home

__all__ = [
    "AMONG",
    "OWNER",
    "VIEWER",
    "Connection",
    "Params",
    "connect",
    "fetch_all",
    "fetch_one",
    "misfit",
    "naming_loss",
    "pairs_of",
    "url",
]

Params = list[Any]

AMONG = "(s.slug, c.slug) IN (SELECT * FROM unnest(%s::text[], %s::text[]))"
"""That a camera c of a site s is one of these (`pairs_of`). A list of pairs in the statement itself would be compared
with every camera one by one: a second for the cameras of a hundred sites."""

DATABASE = "catalogue"
OWNER = "vms_owner"
VIEWER = "vms_viewer"

_SETTINGS = {"owner": "VMS_CATALOGUE_URL", "viewer": "VMS_VIEWER_CATALOGUE_URL"}
_ROLES = {"owner": OWNER, "viewer": VIEWER}


def url(home: Home, role: Literal["owner", "viewer"]) -> str:
    """The postgresql:// address for this role.

    VMS_CATALOGUE_URL (owner) and VMS_VIEWER_CATALOGUE_URL (viewer) win; otherwise it is the server that the stack of
    this home runs. Raises CatalogueError when that was never started.
    """
    configured = os.environ.get(_SETTINGS[role], "")
    if configured:
        return configured
    host, port = (home.parts and home.parts.postgres) or _noted(home, _SETTINGS[role])
    password = quote(home.secret(f"catalogue_{role}"), safe="")
    return f"postgresql://{_ROLES[role]}:{password}@{host}:{port}/{DATABASE}"


def _noted(home: Home, setting: str) -> tuple[str, int]:
    address = home.run / "postgres.json"
    try:
        server = json.loads(address.read_text())
        return str(server["host"]), int(server["port"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CatalogueError(
            f"There is no usable address of the catalogue in {address}.",
            f"Start the system with ./vms up, or set {setting}.",
        ) from error


def connect(address: str, *, asking: str = "*") -> Connection:
    """A connection in autocommit with its session in UTC, so that reading never leaves a transaction open.

    asking: for whom the viewer's role asks (see v0012_grants.sql); "*" sees everything, "" nothing until `ask_for`.
    Functions that write open their own transaction. Raises CatalogueError when the catalogue does not answer in 10 s.
    """
    try:
        conn = psycopg2.connect(
            address,
            connect_timeout=10,
            options=f"-c timezone=UTC -c vms.asking={asking}",
            application_name="vms",
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
        )
    except psycopg2.OperationalError as error:
        raise CatalogueError(
            f"The catalogue does not answer ({str(error).strip().splitlines()[0]}).",
            "Look at ./vms status; if Postgres is down, ./vms up starts it.",
        ) from error
    conn.autocommit = True
    return conn


def ask_for(conn: Connection, asking: str) -> None:
    """From now on this connection of the viewer's role asks for this user (their number), "*" for everything."""
    fetch_one(conn, "SELECT set_config('vms.asking', %s, false)", [asking])


def fetch_all(conn: Connection, sql: str, params: Params | dict[str, Any]) -> list[tuple[Any, ...]]:
    """All rows of one statement."""
    with conn.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


def pairs_of(cameras: Iterable[tuple[str, str]]) -> Params:
    """The two values that AMONG takes, of (site, camera) pairs."""
    some = list(cameras)
    return [[site for site, _ in some], [camera for _, camera in some]]


def fetch_one(conn: Connection, sql: str, params: Params) -> tuple[Any, ...] | None:
    """The first row of one statement, None when there is none."""
    with conn.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchone()


@contextmanager
def naming_loss() -> Iterator[None]:
    """Raises CatalogueError when the connection is lost within, for a command that works for hours."""
    try:
        yield
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        raise CatalogueError(
            f"The catalogue does not answer any more ({str(error).strip().splitlines()[0]}).",
            "Look at ./vms status; if Postgres is down, ./vms up starts it. Then give the same command again.",
        ) from error


def misfit(error: Exception) -> CatalogueError | None:
    """What to say when the program asked for something that the catalogue has not (yet); None for other errors."""
    if not isinstance(error, psycopg2.errors.UndefinedTable | psycopg2.errors.UndefinedColumn):
        return None
    return CatalogueError(
        f"The catalogue and this program are not of the same version ({str(error).splitlines()[0]}).",
        "Restart with this program, which brings the catalogue up to date: ./vms down, then ./vms up. Nothing is lost.",
    )
