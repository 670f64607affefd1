"""Sites, cameras and stores: the small tables that everything else points at."""

from __future__ import annotations

from datetime import datetime

from psycopg2.extensions import cursor as Cursor  # noqa: N812 (psycopg2 names its class in lower case)
from psycopg2.extras import Json

from vms.config import Site, StoreConfig
from vms.errors import CatalogueError
from vms.model import StoreOptions, StoreTarget, dump, load

_LOCK_SPACE = 7_302  # of advisory locks: (this, site_id) is held while a site is planned

PATIENCE = "greatest(3 * s.every_s, 1800) * interval '1 second'"
"""How long a site s may go without a look before nobody counts as looking at it: two looks may fail, or half an hour
pass, as restarts take minutes."""


def keep_site(cursor: Cursor, site: Site) -> int:
    """The number of this site, made or brought up to date."""
    cursor.execute(
        "INSERT INTO site (slug, name, tz, every_s, gap_tolerance_s) VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (slug) DO UPDATE SET name = excluded.name, tz = excluded.tz, every_s = excluded.every_s,"
        " gap_tolerance_s = excluded.gap_tolerance_s"
        " WHERE (site.name, site.tz, site.every_s, site.gap_tolerance_s)"
        " IS DISTINCT FROM (excluded.name, excluded.tz, excluded.every_s, excluded.gap_tolerance_s)",
        (site.id, site.name, site.time_zone, site.every.total_seconds(), site.gap_tolerance.total_seconds()),
    )
    cursor.execute("SELECT site_id FROM site WHERE slug = %s", (site.id,))
    return _number(cursor)


def hold_site(cursor: Cursor, site: str) -> None:
    """Let no other transaction plan this site until this one ends."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s, site_id) FROM site WHERE slug = %s", (_LOCK_SPACE, site))


def note_look(cursor: Cursor, site_id: int, looked_at: datetime) -> None:
    """Note that the site's folder was looked at (UTC): the look goes on a stretch of looks, or begins a new one."""
    cursor.execute("UPDATE site SET last_sensed = greatest(last_sensed, %s) WHERE site_id = %s", (looked_at, site_id))
    cursor.execute(
        f"""
        UPDATE site_watch w SET to_at = greatest(w.to_at, %(at)s) FROM site s
        WHERE w.site_id = %(site)s AND s.site_id = w.site_id AND w.to_at >= %(at)s - {PATIENCE}
          AND w.from_at = (
              SELECT from_at FROM site_watch WHERE site_id = %(site)s AND from_at <= %(at)s
              ORDER BY from_at DESC LIMIT 1
          )
        RETURNING 1
        """,  # noqa: S608 (a constant)
        {"site": site_id, "at": looked_at},
    )
    if cursor.fetchone() is None:
        cursor.execute(
            "INSERT INTO site_watch (site_id, from_at, to_at) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (site_id, looked_at, looked_at),
        )


def keep_cameras(cursor: Cursor, site_id: int, site: Site, seen: set[str]) -> dict[str, int]:
    """The numbers of the site's configured cameras and of those seen in its folder, by camera id."""
    told = {camera: (camera, site.schedule) for camera in sorted(seen)}
    told |= {camera.id: (camera.name, camera.schedule) for camera in site.cameras}
    numbers = {}
    for camera, (name, schedule) in told.items():
        cursor.execute(
            "INSERT INTO camera (site_id, slug, name, schedule) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (site_id, slug) DO UPDATE SET name = excluded.name, schedule = excluded.schedule"
            " WHERE (camera.name, camera.schedule) IS DISTINCT FROM (excluded.name, excluded.schedule)",
            (site_id, camera, name, schedule),
        )
        cursor.execute("SELECT camera_id FROM camera WHERE site_id = %s AND slug = %s", (site_id, camera))
        numbers[camera] = _number(cursor)
    cursor.execute(  # of those not listed, also the ones that are silent just now
        "UPDATE camera SET schedule = %s WHERE site_id = %s AND slug <> ALL(%s) AND schedule <> %s",
        (site.schedule, site_id, [camera.id for camera in site.cameras], site.schedule),
    )
    return numbers


def keep_stores(cursor: Cursor, stores: tuple[StoreConfig, ...]) -> list[int]:
    """The numbers of these stores, in their order. A store that moved keeps its number and its identity.

    Their rows are held until the transaction ends: by everybody in the order of their names, and behind those of sites.
    """
    numbers = []
    cursor.execute(
        "SELECT FROM store WHERE name = ANY(%s) ORDER BY name FOR NO KEY UPDATE", ([store.name for store in stores],)
    )
    for store in stores:
        cursor.execute(
            "INSERT INTO store (name, url, conn_id, options) VALUES (%s, %s, %s, %s) ON CONFLICT (name) DO UPDATE"
            " SET url = excluded.url, conn_id = excluded.conn_id, options = excluded.options"
            " WHERE (store.url, store.conn_id, store.options)"
            " IS DISTINCT FROM (excluded.url, excluded.conn_id, excluded.options)",
            (store.name, store.url, store.conn_id, Json(dump(store.options))),
        )
        cursor.execute("SELECT store_id FROM store WHERE name = %s", (store.name,))
        numbers.append(_number(cursor))
    return numbers


def load_stores(cursor: Cursor) -> dict[int, StoreTarget]:
    """Every store with the identity that is expected of it, by number."""
    cursor.execute("SELECT store_id, name, url, identity, conn_id, options FROM store")
    return {
        store_id: StoreTarget(store_id, name, url, identity, conn_id, load(StoreOptions, options))
        for store_id, name, url, identity, conn_id, options in cursor.fetchall()
    }


def set_store_identity(cursor: Cursor, store_id: int, identity: str) -> None:
    """Remember what a store's identity file says. Raises CatalogueError when it said something else before, or when it
    is another store's: one object would count as two copies, and purging one of them would take both away."""
    cursor.execute(
        "UPDATE store SET identity = %s WHERE store_id = %s AND identity IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM store other WHERE other.identity = %s)",
        (identity, store_id, identity),
    )
    cursor.execute("SELECT name, url, identity FROM store WHERE store_id = %s", (store_id,))
    found = cursor.fetchone()
    if found is None:
        raise CatalogueError(f"There is no store number {store_id}.", "Run the site's plan task again.")
    if found[2] is None:
        cursor.execute("SELECT name, url FROM store WHERE identity = %s ORDER BY store_id", (identity,))
        name, place = cursor.fetchone() or ("", "")
        raise CatalogueError(
            f"The store {found[0]} at {found[1]} says it is {identity}, which is the store {name} (at {place}).",
            f"One place can't be two stores: call it {name} in sites.yaml, or give {found[0]} an empty place of its"
            " own. Where a whole store was copied by hand, let `vms copy` fill an empty one instead.",
        )
    if found[2] != identity:
        raise CatalogueError(
            f"The store {found[0]} at {found[1]} says it is {identity}, but the catalogue knows it as {found[2]}.",
            "Mount the right storage there. If this really is a new store, give it a new name in sites.yaml.",
        )


def _number(cursor: Cursor) -> int:
    row = cursor.fetchone()
    if row is None:
        raise CatalogueError("A row just written to the catalogue is not there.", "Run the task again.")
    number: int = row[0]
    return number
