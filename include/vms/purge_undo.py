"""Bringing back what was purged, where a store still has it: a folder store for its undo window, a versioned bucket for
as long as its old versions last, any store where somebody has restored the object by hand.

What is brought back is put under a hold, as it would be purged again by the next run otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from vms.catalogue import purge_facts
from vms.catalogue.connection import Connection
from vms.catalogue.events import Actor
from vms.catalogue.holds import add_hold, release_hold
from vms.catalogue.orders import Place
from vms.catalogue.partitions import ensure_partitions, months_ahead
from vms.catalogue.places import load_stores
from vms.catalogue.purging import gone_copies, restore
from vms.errors import CatalogueError, StoreError
from vms.model import RunRef, StoreTarget
from vms.stores import open_store
from vms.stores.keeping import BringsBack

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Undone:
    """back: copies whose footage lies in its place again. lost: those that no longer can. hold_id: of the hold that
    keeps them now, 0 when nothing came back. problems: stores that could not be asked."""

    back: int
    lost: int
    hold_id: int
    problems: tuple[str, ...]


def undo(
    conn: Connection,
    *,
    plan_id: int | None,
    recording_id: int | None,
    who: str,
    now: datetime,
    report: Callable[[str], None] = logger.info,
) -> Undone:
    """Bring back all that a plan took, or one recording. now: UTC.

    Raises CatalogueError when there is nothing that was purged, or too long ago for its single copies to be known.
    """
    taken = (
        purge_facts.gone_places(conn, plan_id)
        if plan_id is not None
        else purge_facts.gone_places_of(conn, recording_id or 0)
    )
    places = sorted({place for some in taken.values() for place in some}, key=lambda one: (one[1], one[0]))
    extent = purge_facts.extent(conn, places) if places else None
    if extent is None:
        what = f"plan {plan_id}" if plan_id is not None else f"recording {recording_id}"
        raise CatalogueError(
            f"Nothing of {what} is known that was purged and could be brought back.",
            "`vms retention history` shows the plans; their single copies are known for 30 days after the undo window.",
        )
    ensure_partitions(conn, months_ahead(now))
    reason = f"brought back ({f'plan {plan_id}' if plan_id is not None else f'recording {recording_id}'})"
    hold_id = add_hold(conn, *extent, reason, who, now)
    actor = Actor(RunRef("", ""), now)
    with conn.cursor() as cursor:
        stores = load_stores(cursor)
    back, problems = 0, []
    for store_id, some in taken.items():
        try:
            back += _bring_back(conn, actor, stores[store_id], some, who, report)
        except StoreError as error:
            problems.append(str(error))
    if not back:
        release_hold(conn, hold_id, who, "nothing could be brought back", now)
    return Undone(back, sum(map(len, taken.values())) - back, hold_id if back else 0, tuple(problems))


def _bring_back(
    conn: Connection,
    actor: Actor,
    store: StoreTarget,
    places: list[Place],
    who: str,
    report: Callable[[str], None],
) -> int:
    opened = open_store(store.name, store.url, conn_id=store.conn_id, options=store.options)
    opened.identify(store.identity)
    back = 0
    for number, place in enumerate(places, 1):
        sizes = gone_copies(conn, place, store.store_id)
        if isinstance(opened, BringsBack):
            opened.bring_back(sizes)
        found = {key: opened.head(key) for key in sizes}
        there = [key for key, one in found.items() if one is not None and one.size_bytes == sizes[key]]
        if there:
            back += restore(conn, actor, store.store_id, place, there, who)
        if number % 100 == 0 or number == len(places):
            report(f"{store.name}: {number} of {len(places)} looked at, {back} brought back")
    return back
