"""Planning a run of a backfill: the recordings of its period that something is to be done about, cut into batches.

As with a site's own runs, a run is planned once and its batches mean the same files on every rerun. What the site's
own runs are at work on is left to them, as they leave to a backfill what is in its batches.
"""

# ruff: noqa: S608 (statements are put together from constant pieces; every value goes as a parameter)

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg2.extensions import cursor as Cursor  # noqa: N812 (psycopg2 names its class in lower case)

from vms.backfill import Order, Subject, reason_of
from vms.catalogue.backfill_items import forget_bad, looked_at
from vms.catalogue.backfill_period import subjects
from vms.catalogue.backfills import site_stores
from vms.catalogue.batching import BATCH_BYTES, Candidate, cut, title
from vms.catalogue.connection import Connection
from vms.catalogue.events import Actor
from vms.catalogue.missing import COPIES_PER_BATCH, want
from vms.catalogue.orders import Place
from vms.catalogue.places import hold_site, keep_site, keep_stores, load_stores
from vms.catalogue.planning import (
    NewBatch,
    load_batches,
    make_room,
    planned_before,
    register_files,
    standing,
    store_batch,
)
from vms.catalogue.registering import lock, set_custody
from vms.catalogue.replacing import left_over
from vms.config import Site
from vms.errors import CatalogueError
from vms.model import Plan, RunRef
from vms.sightings import Sensed

_TO_LOOK = ("unproven", "to_look_at", "broken", "other_profile")

LOOKED_AT_ONCE = 20
"""Recordings whose copies one task looks at."""

FILES_PER_ROUND = 1500
"""Most recordings that one run takes on; a longer period goes on in a further run."""


@dataclass(frozen=True)
class Round:
    """What a run will do. more: something is left for a further run."""

    plan: Plan
    more: bool


def plan_backfill(
    conn: Connection, site: Site, order: Order, sensed: Sensed, run: RunRef, now: datetime, *, again: bool
) -> Round:
    """Register what was seen, and cut what is to be archived or copied into batches, the newest footage first.

    One transaction; now: UTC. again: also what an earlier run of this backfill could not do. Raises CatalogueError when
    the backfill was cancelled meanwhile.
    """
    make_room(conn, site, sensed, now)
    actor = Actor(run, now)
    with conn, conn.cursor() as cursor:
        site_id = keep_site(cursor, site)
        hold_site(cursor, site.id)
        made_at = _must_run(cursor, order, site_id)
        before = planned_before(cursor, run)
        run_no = before[0] if before else 0
        if not run_no:
            register_files(cursor, actor, site, site_id, sensed)
            cursor.execute(
                "INSERT INTO run (dag_id, run_id, site_id, planned_at, backfill_id) VALUES (%s, %s, %s, %s, %s)"
                " RETURNING run_no",
                (run.dag_id, run.run_id, site_id, now, order.backfill_id),
            )
            (run_no,) = cursor.fetchone() or (0,)
            _store(conn, cursor, actor, site, site_id, order, run_no, made_at, again=again)
        left = _work(conn, cursor, site, site_id, order, made_at, now, again=False)
        in_run = _members(cursor, "run.run_no = %s", (run_no,))
        more = (sensed.more > 0 and bool(in_run)) or any(place not in in_run for place in left.places())
        more = more or bool(_to_look(conn, site, order, now))
        settled, _ = standing(cursor, site_id, sensed)
        return Round(Plan(site.id, load_batches(cursor, run_no), (), settled), more)


def choose_to_look(conn: Connection, site: Site, order: Order, now: datetime, *, again: bool) -> list[list[Place]]:
    """The recordings whose copies the run looks at, the newest first, as so much as one task takes. now: UTC.

    again: also those with which something was wrong. Raises CatalogueError when the backfill was cancelled meanwhile.
    """
    if again:
        forget_bad(conn, order)
    with conn, conn.cursor() as cursor:
        _must_run(cursor, order, keep_site(cursor, site))
    places = _to_look(conn, site, order, now)[:FILES_PER_ROUND]
    return [places[at : at + LOOKED_AT_ONCE] for at in range(0, len(places), LOOKED_AT_ONCE)]


def _to_look(conn: Connection, site: Site, order: Order, now: datetime) -> list[Place]:
    if order.mode == "missing":
        return []
    done = looked_at(conn, order)
    wanted = site_stores(conn, site.stores)
    begun = left_over(conn, order) if order.mode == "recompress" else set()
    return [
        _place(one)
        for one in subjects(conn, order, now)
        if order.covers(one.camera, one.start_utc)
        and _place(one) not in done
        and (reason_of(one, order.mode, site.profile.name, wanted, now) in _TO_LOOK or _place(one) in begun)
    ]


def broken_left(conn: Connection, order: Order, now: datetime) -> int:
    """Archived recordings of the period of which a copy is gone or damaged."""
    return sum(
        one.state in ("archived", "released") and (bool(one.broken) or not one.live)
        for one in subjects(conn, order, now)
        if order.covers(one.camera, one.start_utc)
    )


@dataclass(frozen=True)
class _Work:
    """What there is to do. archive: recordings of the site; copies: what each store lacks, by its number."""

    archive: list[Subject]
    copies: dict[int, list[Subject]]

    def places(self) -> Iterable[Place]:
        for some in (self.archive, *self.copies.values()):
            yield from (_place(one) for one in some)


def _place(subject: Subject) -> Place:
    return subject.recording_id, subject.start_utc


def _must_run(cursor: Cursor, order: Order, site_id: int) -> datetime:
    cursor.execute(
        "SELECT x.state, b.made_at FROM backfill_site x JOIN backfill b USING (backfill_id)"
        " WHERE x.backfill_id = %s AND x.site_id = %s",
        (order.backfill_id, site_id),
    )
    state, made_at = cursor.fetchone() or ("unknown", None)
    if made_at is None or state == "cancelled":
        raise CatalogueError(
            f"Backfill {order.backfill_id} of {order.site} is {state}, so nothing more is planned.",
            f"`vms backfill resume {order.backfill_id}` goes on with it.",
        )
    found: datetime = made_at
    return found


def _store(
    conn: Connection,
    cursor: Cursor,
    actor: Actor,
    site: Site,
    site_id: int,
    order: Order,
    run_no: int,
    made_at: datetime,
    *,
    again: bool,
) -> None:
    wanted = keep_stores(cursor, site.stores)
    min_copies = min(site.min_copies or len(wanted), len(wanted))
    work = _work(conn, cursor, site, site_id, order, made_at, actor.now, again=again)
    cameras = _cameras(cursor, site_id)
    archive = work.archive[:FILES_PER_ROUND]
    for one in archive:
        if one.state == "quarantined":
            known = lock(cursor, "r.recording_id = %s AND r.start_at = %s", _place(one))
            if known is not None:
                set_custody(cursor, known, "planned")
    candidates = [
        Candidate(*_place(one), cameras[one.camera], one.camera, one.duration_s, one.source_bytes) for one in archive
    ]
    batches = [
        NewBatch(
            "footage",
            title(batch, site.zone),
            batch[0].camera_id,
            wanted,
            min_copies,
            wanted,
            [(one.recording_id, one.start_utc) for one in batch],
        )
        for batch in cut(candidates)
    ]
    names = {store_id: target.name for store_id, target in load_stores(cursor).items()}
    for store_id, lacking in work.copies.items():
        for part in _parts(lacking[:FILES_PER_ROUND]):
            for one in part:
                known = lock(cursor, "r.recording_id = %s AND r.start_at = %s", _place(one))
                if known is not None:
                    want(cursor, known, (store_id,), {}, actor.now)
            count = "1 recording" if len(part) == 1 else f"{len(part)} recordings"
            name = f"missing on {names[store_id]}, {count}"
            places = [_place(one) for one in part]
            batches.append(NewBatch("copies", name, None, [store_id], 1, [store_id], places))
    for position, new in enumerate(batches):
        store_batch(cursor, actor, run_no, position, new)


def _work(
    conn: Connection,
    cursor: Cursor,
    site: Site,
    site_id: int,
    order: Order,
    made_at: datetime,
    now: datetime,
    *,
    again: bool,
) -> _Work:
    """What is to be done now; without `again`, not what an earlier run of this backfill has reported on."""
    wanted = keep_stores(cursor, site.stores)
    tried = set() if again else _tried(cursor, order.backfill_id, site_id)
    refused = _refused_since(cursor, site_id, made_at)
    archive: list[Subject] = []
    copies: dict[int, list[Subject]] = {}
    for one in subjects(conn, order, now):
        if not order.covers(one.camera, one.start_utc) or _place(one) in tried:
            continue
        reason = reason_of(one, order.mode, site.profile.name, wanted, now)
        if reason == "waiting" or (reason == "quarantined" and _place(one) not in refused):
            archive.append(one)
        elif order.mode in ("missing", "reupload") and one.state in ("archived", "released") and one.live:
            for store_id in one.lacking(wanted):
                copies.setdefault(store_id, []).append(one)
    return _Work(archive, copies)


def _tried(cursor: Cursor, backfill_id: int, site_id: int) -> set[Place]:
    reported = "(i.outcome IS NOT NULL OR b.kind <> 'footage' AND b.recorded_at IS NOT NULL)"
    return _members(cursor, f"run.backfill_id = %s AND run.site_id = %s AND {reported}", (backfill_id, site_id))


def _members(cursor: Cursor, where: str, params: tuple[int, ...]) -> set[Place]:
    cursor.execute(
        "SELECT i.recording_id, i.start_at FROM run JOIN batch b USING (run_no) JOIN batch_item i USING (batch_id)"
        f" WHERE {where}",
        params,
    )
    return set(cursor.fetchall())


def _refused_since(cursor: Cursor, site_id: int, made_at: datetime) -> set[Place]:
    """What was put into quarantine since the backfill was asked for: looking again at once would find the same."""
    cursor.execute(
        "SELECT r.recording_id, r.start_at FROM recording r JOIN quarantine q USING (recording_id, start_at)"
        " WHERE r.site_id = %s AND r.custody IN (0, 4) AND r.custody = 4 AND q.last_at >= %s",
        (site_id, made_at),
    )
    return set(cursor.fetchall())


def _cameras(cursor: Cursor, site_id: int) -> dict[str, int]:
    cursor.execute("SELECT slug, camera_id FROM camera WHERE site_id = %s", (site_id,))
    return dict(cursor.fetchall())


def _parts(lacking: Sequence[Subject]) -> Iterable[list[Subject]]:
    part: list[Subject] = []
    size = 0
    for one in lacking:
        more = one.rendition_bytes or 0
        if part and (len(part) == COPIES_PER_BATCH or size + more > BATCH_BYTES):
            yield part
            part, size = [], 0
        part.append(one)
        size += more
    if part:
        yield part
