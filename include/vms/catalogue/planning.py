"""Planning: what a run of a site will do, from what its footage folder showed and what the catalogue knows.

A run is planned once. Asked again for the same run (its plan task was cleared, or killed after the commit), the
catalogue answers with the batches it stored then, however the folder looks by now; files that appeared since are the
next run's. So batch 3 of a run always means the same files.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Literal

import psycopg2
from psycopg2.extensions import cursor as Cursor  # noqa: N812 (psycopg2 names its class in lower case)

from vms.catalogue.backfills import held_by_backfills
from vms.catalogue.batching import LONGEST_WORD, Candidate, cut, title
from vms.catalogue.connection import Connection
from vms.catalogue.events import Actor, note
from vms.catalogue.lost import rebuild_days_of
from vms.catalogue.missing import choose_copies, copy_orders, forget_stores, out_since, with_fallback
from vms.catalogue.orders import Place, load_items, load_orders, select_due
from vms.catalogue.pace import pace_of
from vms.catalogue.partitions import ensure_months_of
from vms.catalogue.places import hold_site, keep_cameras, keep_site, keep_stores, load_stores, note_look
from vms.catalogue.registering import lock, register_rejection, register_sighting, set_custody
from vms.catalogue.rollup import hold_camera
from vms.catalogue.rows import CUSTODY
from vms.config import Site
from vms.errors import CatalogueError
from vms.model import Batch, Plan, RunRef
from vms.sightings import Fault, Rejection, Sensed, Sighting, SourceSeen

logger = logging.getLogger(__name__)

FILES_PER_RUN = 500
"""Most recordings that one run takes on; the rest is next run's."""

MOST_FILES = 2000
"""Most files that one look may tell of; ours stop at 500, and at 1500 when they look back."""

LONGEST_PATH = 20_000
"""Of a file, as text; a disk's longest has 4096 bytes, and what is no letter takes more than one."""

RUN_S = 1800.0
"""About how long a run may take, as far as the site's pace is known."""

LEAST_VIDEO_S = 3600.0

_CAMERA = re.compile(r"[a-z0-9][a-z0-9-]{0,39}", re.ASCII)
"""As `vms.names.slug` makes it and sites.yaml asks for it; keys and names of files are made of it."""


def plan_run(conn: Connection, site: Site, sensed: Sensed, run: RunRef, now: datetime) -> Plan:
    """Register what was seen, cut everything that waits into batches, and say what is due for release.

    One transaction; now: UTC. The work of earlier runs that failed is taken on again, and so is what somebody asked to
    retry. Raises CatalogueError when the catalogue contradicts itself, or the look is none that this program takes;
    psycopg2.Error when it is away.
    """
    make_room(conn, site, sensed, now)
    actor = Actor(run, now)
    with conn, conn.cursor() as cursor:
        site_id = keep_site(cursor, site)
        hold_site(cursor, site.id)
        note_look(cursor, site_id, min(sensed.looked_at, now))  # a branch's clock may be ahead
        run_no, planned_at = planned_before(cursor, run) or (0, now)
        if not run_no:
            register_files(cursor, actor, site, site_id, sensed)
            _take_up_retries(cursor, site_id)
            run_no = _store_batches(cursor, actor, site, site_id)
        settled, back = standing(cursor, site_id, sensed)
        for camera_id, place in back:
            _back_on_site(cursor, actor, camera_id, place)
        due: list[Place] = []
        if site.keep_source is not None:
            due = select_due(cursor, site_id, site.keep_source, now, planned_at)
        return Plan(
            site=site.id,
            batches=load_batches(cursor, run_no),
            due=load_orders(cursor, due, site.keep_source),
            settled=settled,
        )


def make_room(conn: Connection, site: Site, sensed: Sensed, now: datetime) -> None:
    """Make the months of what was seen. At a branch others may have the machine: what no program of ours tells gets no
    further. Raises CatalogueError."""
    files = tuple(files_of(sensed))
    odd = next((f"a camera {one.camera[:60]!r}" for one in files if not _CAMERA.fullmatch(one.camera)), "")
    if any(len(each.source.path) > LONGEST_PATH for each in files):
        odd = odd or "a path longer than one can be"
    words = (word or "" for one in sensed.sightings for word in (one.codec, one.audio_codec, one.pattern))
    if any(len(word) > LONGEST_WORD for word in words):
        odd = odd or "a codec or pattern longer than any is"
    if odd or len(files) > MOST_FILES:
        what = odd or f"{len(files)} files at once"
        raise CatalogueError(
            f"{site.id}: the look at its footage folder tells of {what}; nothing of it is taken.",
            "Is its machine of the centre's version? If so, somebody else may work there: `vms branch revoke`.",
        )
    ensure_months_of(conn, (each.start_utc for each in files), now)


def load_batches(cursor: Cursor, run_no: int) -> tuple[Batch, ...]:
    """The batches of a planned run in their order; recordings withdrawn since are left out of them. Where all sources
    have been released since, they are named all the same: a task that is cleared says of them that they are gone."""
    stores = load_stores(cursor)
    cursor.execute(
        "SELECT b.batch_id, s.slug, coalesce(c.slug, ''), b.title, b.store_ids, b.min_copies, b.kind"
        " FROM run JOIN batch b USING (run_no) JOIN site s USING (site_id)"
        " LEFT JOIN camera c ON c.camera_id = b.camera_id WHERE run_no = %s ORDER BY b.position",
        (run_no,),
    )
    batches = []
    for batch_id, site, camera, name, store_ids, min_copies, kind in cursor.fetchall():
        cursor.execute(
            "SELECT recording_id, start_at FROM batch_item WHERE batch_id = %s ORDER BY position", (batch_id,)
        )
        places = cursor.fetchall()
        used = tuple(stores[store_id] for store_id in store_ids)
        if kind == "footage":
            items = tuple(load_items(cursor, places, also_gone=True))
            batches.append(Batch(batch_id, site, camera, name, used, items, min_copies))
        else:
            orders = copy_orders(cursor, places)
            holding = sorted({copy.store_id for order in orders for copy in order.held} - set(store_ids))
            holders = tuple(stores[store_id] for store_id in holding)
            batches.append(Batch(batch_id, site, camera, name, used, (), min_copies, orders, holders))
    return tuple(batches)


def files_of(sensed: Sensed) -> Iterable[Sighting | Rejection]:
    """All that a look has to report."""
    yield from sensed.sightings
    yield from sensed.rejections


def planned_before(cursor: Cursor, run: RunRef) -> tuple[int, datetime] | None:
    """Number and time of this run's plan; None while it has none."""
    cursor.execute("SELECT run_no, planned_at FROM run WHERE dag_id = %s AND run_id = %s", (run.dag_id, run.run_id))
    row = cursor.fetchone()
    return (row[0], row[1]) if row else None


def register_files(cursor: Cursor, actor: Actor, site: Site, site_id: int, sensed: Sensed) -> None:
    """Take note of all that was seen; one file that the catalogue refuses keeps no other from it."""
    cameras = keep_cameras(cursor, site_id, site, {each.camera for each in files_of(sensed)})
    for sighting in sensed.sightings:
        camera_id = cameras[sighting.camera]
        refusal = _alone(cursor, partial(register_sighting, cursor, actor, site_id, camera_id, sighting))
        if refusal:
            logger.error("%s/%s: %s: %s", site.id, sighting.camera, sighting.source.path, refusal)
            aside = _not_recordable(site, sighting, refusal)
            again = _alone(cursor, partial(register_rejection, cursor, actor, site_id, camera_id, aside))
            if again:  # nor that it can't
                logger.error("%s/%s: %s: %s", site.id, sighting.camera, sighting.source.path, again)
    for rejection in sensed.rejections:
        camera_id = cameras[rejection.camera]
        refusal = _alone(cursor, partial(register_rejection, cursor, actor, site_id, camera_id, rejection))
        if refusal:
            logger.error("%s/%s: %s: %s", site.id, rejection.camera, rejection.source.path, refusal)


def _alone(cursor: Cursor, write: Callable[[], None]) -> str:
    """What the catalogue refuses about one file, which then has written nothing; "" when all is well.

    A header may claim anything, and one file must not keep the site's others from being planned.
    """
    cursor.execute("SAVEPOINT one_file")
    try:
        write()
    except (psycopg2.DataError, psycopg2.IntegrityError, ValueError, OverflowError) as error:
        cursor.execute("ROLLBACK TO SAVEPOINT one_file")
        return str(error).strip().splitlines()[0]
    cursor.execute("RELEASE SAVEPOINT one_file")
    return ""


def _not_recordable(site: Site, seen: Sighting, refusal: str) -> Rejection:
    fault = Fault(
        "not_recordable",
        f"{site.id}/{seen.camera}: {seen.source.path}: the catalogue can't hold what its header says ({refusal})."
        " It stays where it is.",
        "Export it again from the recorder. It is looked at again when it changes or when asked.",
        permanent=True,
    )
    return Rejection(seen.source, seen.camera, seen.fingerprint, seen.start_utc, seen.time_basis, fault)


def _take_up_retries(cursor: Cursor, site_id: int) -> None:
    cursor.execute("SELECT recording_id, start_at FROM quarantine WHERE retry_asked_at IS NOT NULL")
    for place in cursor.fetchall():
        known = lock(
            cursor,
            "r.recording_id = %s AND r.start_at = %s AND r.site_id = %s AND r.custody = 4",
            (*place, site_id),
        )
        if known is not None:
            set_custody(cursor, known, "planned")


def _store_batches(cursor: Cursor, actor: Actor, site: Site, site_id: int) -> int:
    """Write down what the run does: new footage first, then what stores lack of what is archived already."""
    named = keep_stores(cursor, (*site.stores, *((site.fallback,) if site.fallback else ())))
    wanted, fallback = named[: len(site.stores)], named[-1] if site.fallback else None
    forget_stores(cursor, site_id, named)
    out = out_since(cursor, site_id, fallback, actor.now - site.fallback_after)
    used = with_fallback(wanted, fallback, out, site.fallback_after, actor.now)
    min_copies = min(site.min_copies or len(wanted), len(wanted))
    if used != wanted:
        logger.warning("%s: %s stands in for a store that is out", site.id, site.fallback and site.fallback.name)
    cursor.execute(
        "INSERT INTO run (dag_id, run_id, site_id, planned_at) VALUES (%s, %s, %s, %s) RETURNING run_no",
        (actor.run.dag_id, actor.run.run_id, site_id, actor.now),
    )
    (run_no,) = cursor.fetchone() or (0,)
    batches = [
        NewBatch("footage", title(batch, site.zone), batch[0].camera_id, used, min_copies, wanted, _places(batch))
        for batch in cut(_in_time(*_candidates(cursor, site_id, actor.now), pace_of(cursor, site_id, actor.now)))
    ]
    names = {store_id: target.name for store_id, target in load_stores(cursor).items()}
    for store_id, places in choose_copies(cursor, site_id, named, out):
        count = "1 recording" if len(places) == 1 else f"{len(places)} recordings"
        name = f"missing on {names[store_id]}, {count}"
        batches.append(NewBatch("copies", name, None, [store_id], 1, [store_id], places))
    for position, batch in enumerate(batches):
        store_batch(cursor, actor, int(run_no), position, batch)
    return int(run_no)


@dataclass(frozen=True)
class NewBatch:
    """A batch before it is written: see the columns of `batch`."""

    kind: Literal["footage", "copies"]
    title: str
    camera_id: int | None
    store_ids: list[int]
    min_copies: int
    wanted_ids: list[int]
    places: list[Place]


def _places(batch: Iterable[Candidate]) -> list[Place]:
    return [(one.recording_id, one.start_utc) for one in batch]


def store_batch(cursor: Cursor, actor: Actor, run_no: int, position: int, batch: NewBatch) -> None:
    """Write down a batch of this run."""
    cursor.execute(
        "INSERT INTO batch (run_no, position, kind, title, camera_id, store_ids, min_copies, wanted_ids, made_at)"
        " VALUES (%s, %s, %s, %s, %s, %s::smallint[], %s, %s::smallint[], %s) RETURNING batch_id",
        (
            *(run_no, position, batch.kind, batch.title, batch.camera_id),
            *(batch.store_ids, batch.min_copies, batch.wanted_ids, actor.now),
        ),
    )
    (batch_id,) = cursor.fetchone() or (0,)
    for place, (recording_id, start) in enumerate(batch.places):
        cursor.execute(
            "INSERT INTO batch_item (batch_id, position, recording_id, start_at) VALUES (%s, %s, %s, %s)",
            (batch_id, place, recording_id, start),
        )


def _in_time(again: list[Candidate], new: list[Candidate], pace: float | None) -> list[Candidate]:
    """As many of them as a run can do in RUN_S at the site's pace, so that a backlog never holds up what is new for
    long; at least LEAST_VIDEO_S, so that a slow start does not stay slow. Where both wait, each gets half of it."""
    if pace is None:
        return [*again, *new]
    room = max(LEAST_VIDEO_S, pace * RUN_S)
    all_new = sum(one.duration_s for one in new)
    chosen = _filling(again, max(room / 2, room - all_new))
    return [*chosen, *_filling(new, max(room / 2, room - sum(one.duration_s for one in chosen)))]


def _filling(candidates: list[Candidate], room: float) -> list[Candidate]:
    """The first of them that fill so many seconds; the last one may be longer."""
    chosen: list[Candidate] = []
    for one in candidates:
        if room <= 0:
            break
        chosen.append(one)
        room -= one.duration_s
    return chosen


def _candidates(cursor: Cursor, site_id: int, now: datetime) -> tuple[list[Candidate], list[Candidate]]:
    """What the run takes on, as what earlier batches held in vain and what none held yet. The latter comes newest
    first. The former takes at most half of the run from it, the longest ago first: however much fails each time,
    everything has its turn."""
    statement = (
        "SELECT r.recording_id, r.start_at, r.camera_id, c.slug, r.duration_s::float8, r.source_bytes"
        " FROM recording r JOIN camera c USING (camera_id) LEFT JOIN LATERAL (SELECT i.batch_id FROM batch_item i"
        " WHERE i.recording_id = r.recording_id ORDER BY i.batch_id DESC LIMIT 1) AS tried ON true"
        " WHERE r.site_id = %s AND r.custody = 0 AND "
    )
    ids = [recording_id for recording_id, _ in held_by_backfills(cursor, site_id, now)]
    statement += "NOT r.recording_id = ANY(%s::bigint[]) AND "
    newest_first = "r.start_at DESC, r.recording_id DESC LIMIT %s"
    cursor.execute(f"{statement} tried.batch_id IS NULL ORDER BY {newest_first}", (site_id, ids, FILES_PER_RUN))
    new = [Candidate(*row) for row in cursor.fetchall()]
    room = max(FILES_PER_RUN // 2, FILES_PER_RUN - len(new))
    cursor.execute(
        f"{statement} tried.batch_id IS NOT NULL ORDER BY tried.batch_id, {newest_first}", (site_id, ids, room)
    )
    again = [Candidate(*row) for row in cursor.fetchall()]
    return again, new[: FILES_PER_RUN - len(again)]


def standing(cursor: Cursor, site_id: int, sensed: Sensed) -> tuple[tuple[SourceSeen, ...], list[tuple[int, Place]]]:
    """Names that need no further look, and recordings already released of which a source lies there again, with the
    number of their camera."""
    settled: list[SourceSeen] = []
    back: set[tuple[int, Place]] = set()
    for each in files_of(sensed):
        cursor.execute(
            "SELECT r.recording_id, r.start_at, r.custody, r.camera_id"
            " FROM recording_source n JOIN recording r ON r.recording_id = n.recording_id AND r.start_at = n.start_at"
            " WHERE n.site_id = %s AND n.path_hash = hashtextextended(%s, 0) AND n.path = %s"
            " AND n.size_bytes = %s AND n.mtime_ns = %s AND n.released_at IS NULL AND n.replaced_at IS NULL",
            (site_id, each.source.path, each.source.path, each.source.size_bytes, each.source.mtime_ns),
        )
        for recording_id, start, custody, camera_id in cursor.fetchall():
            if custody != CUSTODY["planned"]:
                settled.append(each.source)
            if custody == CUSTODY["released"]:
                back.add((camera_id, (recording_id, start)))
    return tuple(settled), sorted(back)


def _back_on_site(cursor: Cursor, actor: Actor, camera_id: int, place: Place) -> None:
    """A source of it lies in the footage folder: it is archived, and released anew when its time has come."""
    hold_camera(cursor, camera_id)
    known = lock(cursor, "r.recording_id = %s AND r.start_at = %s", place)
    if known is None or known.custody != CUSTODY["released"]:
        return
    cursor.execute(
        "UPDATE recording SET custody = %s, release_tried_at = NULL WHERE recording_id = %s AND start_at = %s",
        (CUSTODY["archived"], *place),
    )
    note(cursor, actor, "source_seen", known, why="it was released, and a source of it lies on site")
    rebuild_days_of(cursor, known)
