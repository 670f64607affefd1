"""Backfills as the catalogue keeps them: who asked for what, and how far each site is.

A backfill is rows, not a process: it can be listed, resumed and cancelled after everything was killed.
"""

# ruff: noqa: S608 (statements are put together from constant pieces; every value goes as a parameter)

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from psycopg2.extensions import cursor as Cursor  # noqa: N812 (psycopg2 names its class in lower case)

from vms.backfill import Mode, Order, run_id
from vms.catalogue.connection import Connection, fetch_all, fetch_one
from vms.catalogue.orders import Place
from vms.catalogue.places import hold_site, keep_site, keep_stores
from vms.config import Site, StoreConfig
from vms.errors import CatalogueError

SiteState = Literal["running", "done", "failed", "cancelled"]

UNDER_WAY = timedelta(hours=24)
"""A run that has not reported in this time is dead: Airflow ends every run by then."""


@dataclass(frozen=True)
class BackfillSite:
    """A backfill at one site, and how far it is. dag_run: its last run in Airflow. message: what went wrong, or why it
    ended. planned, done: recordings in its batches, and those of them that are reported on; looked_at: those of other
    work. changed_at: UTC."""

    order: Order
    state: SiteState
    round: int
    dag_run: str
    message: str
    planned: int
    done: int
    looked_at: int
    changed_at: datetime


@dataclass(frozen=True)
class Backfill:
    """One backfill with all its sites. made_at: UTC."""

    backfill_id: int
    made_at: datetime
    who: str
    mode: Mode
    profile: str
    cap: float | None
    sites: tuple[BackfillSite, ...]

    @property
    def state(self) -> SiteState:
        """Of the whole: running while one site is, else the worst."""
        states = [one.state for one in self.sites]
        order: tuple[SiteState, ...] = ("running", "failed", "cancelled", "done")
        return next((state for state in order if state in states), "done")


def begin_backfill(
    conn: Connection, who: str, sites: Sequence[tuple[Site, Order]], now: datetime
) -> tuple[int, list[Order]]:
    """Write a backfill down, before anything of it is started; its number, and the orders with it. now: UTC.

    Raises CatalogueError when one that is not over has footage of the same camera and time.
    """
    first = sites[0][1]
    orders: list[Order] = []
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "INSERT INTO backfill (made_at, who, mode, profile, cap) VALUES (%s, %s, %s, %s, %s) RETURNING backfill_id",
            (now, who, first.mode, first.profile, first.cap),
        )
        (number,) = cursor.fetchone() or (0,)
        for site, given in sorted(sites, key=lambda each: each[0].id):
            order = replace(given, backfill_id=number)
            site_id = keep_site(cursor, site)
            hold_site(cursor, site.id)
            _refuse_overlap(cursor, site_id, order)
            cursor.execute(
                "INSERT INTO backfill_site (backfill_id, site_id, from_at, to_at, cameras, state, dag_run, changed_at)"
                " VALUES (%s, %s, %s, %s, %s, 'running', %s, %s)",
                (number, site_id, order.from_utc, order.to_utc, list(order.cameras), run_id(order, 1), now),
            )
            orders.append(order)
        keep_stores(cursor, tuple({store.name: store for site, _ in sites for store in site.stores}.values()))
    return int(number), orders


def overlapping(conn: Connection, order: Order) -> int | None:
    """The number of a backfill that is not over and has footage of the same site, camera and time; None if none has."""
    with conn.cursor() as cursor:
        cursor.execute("SELECT site_id FROM site WHERE slug = %s", (order.site,))
        row = cursor.fetchone()
        return _overlap(cursor, row[0], order) if row else None


def get_backfill(conn: Connection, backfill_id: int) -> Backfill:
    """One of them. Raises CatalogueError when there is none of this number."""
    found = _load(conn, "b.backfill_id = %s", [backfill_id], 1)
    if not found:
        raise CatalogueError(f"There is no backfill {backfill_id}.", "`vms backfill list` shows those that there are.")
    return found[0]


def list_backfills(conn: Connection, limit: int) -> list[Backfill]:
    """The last ones, the newest first."""
    return _load(conn, "true", [], limit)


def state_of(conn: Connection, backfill_id: int, site: str) -> SiteState | None:
    """How far the backfill is at this site; None when it has nothing to do there."""
    found = fetch_one(
        conn,
        "SELECT x.state FROM backfill_site x JOIN site s USING (site_id) WHERE x.backfill_id = %s AND s.slug = %s",
        [backfill_id, site],
    )
    return found[0] if found else None


def set_state(conn: Connection, backfill_id: int, site: str, state: SiteState, message: str, now: datetime) -> bool:
    """Note how far the backfill is at this site; False when it was cancelled meanwhile, which stands."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "UPDATE backfill_site x SET state = %s, message = %s, changed_at = %s FROM site s"
            " WHERE s.site_id = x.site_id AND x.backfill_id = %s AND s.slug = %s"
            " AND (x.state <> 'cancelled' OR %s = 'cancelled') RETURNING 1",
            (state, message, now, backfill_id, site, state),
        )
        return cursor.fetchone() is not None


def next_round(conn: Connection, order: Order, *, after: str, now: datetime) -> str | None:
    """The run that comes behind `after` in this backfill at its site, begun now or by an earlier call; None when others
    have gone further. Raises CatalogueError when another backfill has taken its footage meanwhile.
    """
    with conn, conn.cursor() as cursor:
        hold_site(cursor, order.site)
        cursor.execute(
            "SELECT x.site_id, x.round, x.dag_run, x.state FROM backfill_site x JOIN site s USING (site_id)"
            " WHERE x.backfill_id = %s AND s.slug = %s FOR UPDATE OF x",
            (order.backfill_id, order.site),
        )
        site_id, round, dag_run, state = cursor.fetchone() or (0, 0, "", "")
        if round > 1 and after == run_id(order, round - 1) and state == "running":
            return str(dag_run)
        if dag_run != after:
            return None
        _refuse_overlap(cursor, site_id, order)
        name = run_id(order, round + 1)
        cursor.execute(
            "UPDATE backfill_site SET state = 'running', round = %s, dag_run = %s, message = '', changed_at = %s"
            " WHERE backfill_id = %s AND site_id = %s",
            (round + 1, name, now, order.backfill_id, site_id),
        )
        return name


def unfinished(conn: Connection, backfill_id: int, site: str) -> int:
    """Recordings in its batches at this site that are neither archived, quarantined nor withdrawn."""
    found = fetch_one(
        conn,
        "SELECT count(DISTINCT i.recording_id) FROM run JOIN site s USING (site_id) JOIN batch b USING (run_no)"
        " JOIN batch_item i USING (batch_id) CROSS JOIN LATERAL (SELECT custody FROM recording r"
        " WHERE r.recording_id = i.recording_id AND r.start_at = i.start_at OFFSET 0) AS r"
        " WHERE run.backfill_id = %s AND s.slug = %s AND r.custody = 0",
        [backfill_id, site],
    )
    return int(found[0]) if found else 0


def site_stores(conn: Connection, stores: Sequence[StoreConfig]) -> set[int]:
    """The numbers of these stores of sites.yaml; one that was never used has none yet (-1)."""
    found = fetch_all(conn, "SELECT name, store_id FROM store", [])
    numbers = dict(found)
    return {numbers.get(store.name, -1) for store in stores}


def held_by_backfills(cursor: Cursor, site_id: int, now: datetime) -> set[Place]:
    """Recordings that a backfill of this site is at work on: the site's own runs leave them to it."""
    cursor.execute(
        "SELECT i.recording_id, i.start_at FROM backfill_site x"
        " JOIN run ON run.backfill_id = x.backfill_id AND run.site_id = x.site_id"
        " JOIN batch b USING (run_no) JOIN batch_item i USING (batch_id)"
        " WHERE x.site_id = %s AND x.state = 'running' AND run.run_id = x.dag_run AND run.planned_at > %s"
        " AND i.outcome IS NULL",
        (site_id, now - UNDER_WAY),
    )
    return set(cursor.fetchall())


def _load(conn: Connection, where: str, params: list[object], limit: int) -> list[Backfill]:
    found = fetch_all(
        conn,
        f"""
        SELECT b.backfill_id, b.made_at, b.who, b.mode, b.profile, b.cap, s.slug, x.from_at, x.to_at, x.cameras,
               x.state, x.round, x.dag_run, x.message, x.changed_at, work.planned, work.done, other.looked_at
        FROM (SELECT * FROM backfill b WHERE {where} ORDER BY b.backfill_id DESC LIMIT %s) AS b
        JOIN backfill_site x USING (backfill_id)
        JOIN site s USING (site_id)
        CROSS JOIN LATERAL (
            SELECT count(DISTINCT i.recording_id) AS planned,
                   count(DISTINCT i.recording_id) FILTER (WHERE i.outcome IS NOT NULL OR t.kind <> 'footage'
                                                          AND t.recorded_at IS NOT NULL) AS done
            FROM run JOIN batch t USING (run_no) JOIN batch_item i USING (batch_id)
            WHERE run.backfill_id = b.backfill_id AND run.site_id = x.site_id
        ) AS work
        CROSS JOIN LATERAL (
            SELECT count(DISTINCT i.recording_id) AS looked_at FROM backfill_item i
            WHERE i.backfill_id = b.backfill_id AND i.site_id = x.site_id
        ) AS other
        ORDER BY b.backfill_id DESC, s.slug
        """,
        [*params, limit],
    )
    rows: dict[int, Backfill] = {}
    for number, made_at, who, mode, profile, cap, site, begin, end, cameras, *rest in found:
        order = Order(number, site, mode, begin, end, tuple(cameras), profile, cap)
        state, round, dag_run, message, changed_at, planned, done, looked_at = rest
        one = BackfillSite(order, state, round, dag_run, message, planned, done, looked_at, changed_at)
        before = rows.get(number) or Backfill(number, made_at, who, mode, profile, cap, ())
        rows[number] = replace(before, sites=(*before.sites, one))
    return list(rows.values())


def _refuse_overlap(cursor: Cursor, site_id: int, order: Order) -> None:
    other = _overlap(cursor, site_id, order)
    if other is not None:
        raise overlap_error(order.site, other)


def overlap_error(site: str, other: int) -> CatalogueError:
    """The refusal of a backfill whose footage another one has that is not over."""
    return CatalogueError(
        f"Backfill {other} of {site} is running and has footage of the same cameras and time.",
        f"`vms backfill list` shows how far it is. Wait for it (`vms backfill resume {other} --wait`), or end it with"
        f" `vms backfill cancel {other}`.",
    )


def _overlap(cursor: Cursor, site_id: int, order: Order) -> int | None:
    cursor.execute(
        "SELECT backfill_id FROM backfill_site WHERE site_id = %s AND state = 'running' AND backfill_id <> %s"
        " AND from_at < %s AND to_at > %s AND (cameras = '{}' OR %s = '{}'::text[] OR cameras && %s::text[])"
        " ORDER BY backfill_id LIMIT 1",
        (site_id, order.backfill_id, order.to_utc, order.from_utc, list(order.cameras), list(order.cameras)),
    )
    row = cursor.fetchone()
    return int(row[0]) if row else None
