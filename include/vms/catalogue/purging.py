"""Purging, the catalogue's side: copies are marked, and closed when their objects are confirmed gone.

    live --(marked, in a transaction with its lineage)--> marked --(object gone)--> gone
      ^                                                     |
      +------(the store refuses, or a hold covers it)-------+

A kill between the two leaves marked copies, which `leftovers` finds for the next run. When the last copy of a recording
is gone the recording is purged. Nothing else in the product marks a copy.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from psycopg2.extensions import cursor as Cursor  # noqa: N812 (psycopg2 names its class in lower case)

from vms.catalogue.adopting import owner_of, read_key
from vms.catalogue.connection import Connection, fetch_all
from vms.catalogue.events import Actor, Known, note
from vms.catalogue.expired import Expired, lock_expired
from vms.catalogue.holds import HELD_BY
from vms.catalogue.orders import Place
from vms.catalogue.registering import lock
from vms.catalogue.rollup import hold_camera, rebuild_many
from vms.catalogue.rows import CUSTODY, PARTS
from vms.retention import Decision
from vms.stores.keeping import Protection

LIVE, MARKED, GONE = 0, 1, 2
"""How copy.state spells it."""


@dataclass(frozen=True)
class MarkedCopy:
    """A recording's copy in one store, marked. footage: the key of its rendition, "" when that is gone already;
    previews: those of poster and sprite sheet."""

    recording_id: int
    start_utc: datetime
    footage: str
    previews: tuple[str, ...]

    @property
    def place(self) -> Place:
        return self.recording_id, self.start_utc


def open_items(conn: Connection, plan_id: int, store_id: int, limit: int) -> list[Place]:
    """What of the plan is still to be done in this store, the oldest footage first."""
    found = fetch_all(
        conn,
        "SELECT recording_id, start_at FROM purge_item WHERE plan_id = %s AND store_id = %s AND outcome IS NULL"
        " ORDER BY start_at LIMIT %s",
        [plan_id, store_id, limit],
    )
    return [(recording_id, start) for recording_id, start in found]


def mark(
    conn: Connection,
    actor: Actor,
    plan_id: int,
    store_id: int,
    places: Sequence[Place],
    decide: Callable[[Expired], Decision],
) -> list[MarkedCopy]:
    """Mark the copies of these recordings in this store, in one transaction, and only what may go at this moment.

    decide: what the rules say of a recording now; whatever they keep, or a hold covers, is not marked and its item says
    so. To be called under `holds.while_purging`.
    """
    with conn, conn.cursor() as cursor:
        marked: list[MarkedCopy] = []
        seen: set[Place] = set()
        for expired in lock_expired(cursor, places):
            at = expired.recorded
            place = (at.recording_id, at.start_utc)
            seen.add(place)
            decision = decide(expired)
            if all(copy.store_id != store_id for copy in decision.purge):
                _settle(cursor, plan_id, store_id, place, "held" if at.held else "kept")
                continue
            marked.append(_mark(cursor, actor, plan_id, store_id, expired))
        for place in places:
            if place not in seen:  # its row, or its last copy, has gone since the plan was made
                _settle(cursor, plan_id, store_id, place, "kept")
        return marked


def leftovers(conn: Connection, store_id: int, limit: int) -> tuple[list[MarkedCopy], list[MarkedCopy]]:
    """Copies in this store that a killed run has marked: those to delete, and those that a hold covers by now."""
    with conn.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT recording_id, start_at FROM copy WHERE store_id = %s AND state = 1"
            " ORDER BY start_at LIMIT %s",
            (store_id, limit),
        )
        places = cursor.fetchall()
        held = _held(cursor, places)
        marked = [_load_marked(cursor, place, store_id) for place in places]
    return [one for one in marked if one.place not in held], [one for one in marked if one.place in held]


def close(
    conn: Connection,
    actor: Actor,
    store_id: int,
    marked: Sequence[MarkedCopy],
    gone: Collection[str],
    protection: Callable[[str], Protection | None],
) -> int:
    """Write down what became of marked copies, in one transaction; returns how many are gone.

    gone: keys whose objects are confirmed gone. The rest the store refused to delete; protection: why.
    """
    refused = {one.place: protection(one.footage) for one in marked if one.footage and one.footage not in gone}
    with conn, conn.cursor() as cursor:
        cameras = _cameras(cursor, [one.place for one in marked])
        for camera_id in sorted({camera_id for camera_id, _, _ in cameras.values()}):
            hold_camera(cursor, camera_id)
        days: dict[tuple[int, str], list[tuple[datetime, datetime]]] = defaultdict(list)
        closed = 0
        for one in marked:
            if one.place in refused:
                _refuse(cursor, actor, store_id, one, gone, refused[one.place])
                continue
            closed += bool(one.footage)
            if _close(cursor, actor, store_id, one, gone) and one.place in cameras:
                camera_id, zone, end = cameras[one.place]
                days[camera_id, zone].append((one.start_utc, end))
        for (camera_id, zone), spans in days.items():
            rebuild_many(cursor, camera_id, ZoneInfo(zone), spans)
        return closed


def unmark(conn: Connection, actor: Actor, store_id: int, marked: Sequence[MarkedCopy], there: Collection[str]) -> None:
    """Copies that were marked and must stay after all: those whose objects are still there live again."""
    for one in marked:
        keys = [key for key in (one.footage, *one.previews) if key]
        if one.footage and one.footage not in there:  # the killed run had deleted it already
            close(conn, actor, store_id, [one], set(keys) - set(there), lambda _: None)
            continue
        with conn, conn.cursor() as cursor:
            known = lock(cursor, "r.recording_id = %s AND r.start_at = %s", one.place)
            _set_state(cursor, actor, one.place, store_id, LIVE, [key for key in keys if key in there])
            _set_state(cursor, actor, one.place, store_id, GONE, [key for key in keys if key not in there])
            _settle(cursor, None, store_id, one.place, "held")
            if known is not None:
                note(cursor, actor, "purge_withdrawn", known, store=store_id, why="a hold covers it")


def restore(conn: Connection, actor: Actor, store_id: int, place: Place, there: Collection[str], who: str) -> bool:
    """Copies that were gone and whose objects lie in their places again; True when the footage does."""
    with conn, conn.cursor() as cursor:
        cameras = _cameras(cursor, [place])
        if place not in cameras:
            return False
        camera_id, zone, end = cameras[place]
        hold_camera(cursor, camera_id)
        known = lock(cursor, "r.recording_id = %s AND r.start_at = %s", place)
        if known is None:
            return False
        _set_state(cursor, actor, place, store_id, LIVE, list(there))
        cursor.execute(
            "SELECT 1 FROM copy WHERE recording_id = %s AND start_at = %s AND store_id = %s AND part = 0 AND state = 0",
            (*place, store_id),
        )
        if cursor.fetchone() is None:
            return False
        cursor.execute(
            "UPDATE purge_item SET outcome = 'undone' WHERE recording_id = %s AND store_id = %s AND outcome = 'gone'"
            " RETURNING custody",
            (place[0], store_id),
        )
        before = [custody for (custody,) in cursor.fetchall() if custody != CUSTODY["purged"]]
        if known.custody == CUSTODY["purged"]:
            cursor.execute(
                "UPDATE recording SET custody = %s WHERE recording_id = %s AND start_at = %s",
                (before[-1] if before else CUSTODY["released"], *place),
            )
            rebuild_many(cursor, camera_id, ZoneInfo(zone), [(place[1], end)])
        note(cursor, actor, "purge_undone", known, store=store_id, who=who, keys=sorted(there))
        return True


def spoiled_leftovers(conn: Connection, store_id: int) -> list[tuple[Known, str]]:
    """Damaged objects in this store that a repaired copy has taken the place of, and whose time is over with it: their
    recording has been purged from this store, and no hold covers it. To be called under `holds.while_purging`."""
    found = fetch_all(
        conn, "SELECT key FROM stray_object WHERE store_id = %s AND kind = 'damaged' ORDER BY key", [store_id]
    )
    due = []
    for (key,) in found:
        parts = read_key(key)
        owner = owner_of(conn, parts) if parts else None
        if owner is None:
            continue
        place = (owner.known.recording_id, owner.known.start_utc)
        with conn.cursor() as cursor:
            cursor.execute(
                "SELECT bool_and(state = 2), bool_or(key = %s) FROM copy"
                " WHERE recording_id = %s AND start_at = %s AND store_id = %s",
                (key, *place, store_id),
            )
            if cursor.fetchone() == (True, False) and not _held(cursor, [place]):
                due.append((owner.known, key))
    return due


def close_leftover(conn: Connection, actor: Actor, store_id: int, known: Known, key: str) -> None:
    """Its object is confirmed gone."""
    with conn, conn.cursor() as cursor:
        cursor.execute("DELETE FROM stray_object WHERE store_id = %s AND key = %s", (store_id, key))
        if cursor.rowcount:
            note(
                cursor, actor, "copy_purged", known, store=store_id, keys=[key], why="a damaged copy that was repaired"
            )


def gone_copies(conn: Connection, place: Place, store_id: int) -> dict[str, int]:
    """The keys of this recording's copies that are gone from this store, and their sizes."""
    found = fetch_all(
        conn,
        "SELECT key, size_bytes FROM copy WHERE recording_id = %s AND start_at = %s AND store_id = %s AND state = 2",
        [*place, store_id],
    )
    return dict(found)


def _mark(cursor: Cursor, actor: Actor, plan_id: int, store_id: int, expired: Expired) -> MarkedCopy:
    at = expired.recorded
    place = (at.recording_id, at.start_utc)
    cursor.execute(
        "UPDATE copy SET state = 1, state_at = %s WHERE recording_id = %s AND start_at = %s AND store_id = %s"
        " AND state = 0",
        (actor.now, *place, store_id),
    )
    cursor.execute(
        "DELETE FROM copy_wanted WHERE recording_id = %s AND start_at = %s AND store_id = %s", (*place, store_id)
    )
    marked = _load_marked(cursor, place, store_id)
    known = lock(cursor, "r.recording_id = %s AND r.start_at = %s", place)
    if known is not None:
        keys = [marked.footage, *marked.previews]
        note(cursor, actor, "purge_marked", known, plan=plan_id, store=store_id, keys=keys)
    return marked


def _load_marked(cursor: Cursor, place: Place, store_id: int) -> MarkedCopy:
    cursor.execute(
        "SELECT part, key FROM copy WHERE recording_id = %s AND start_at = %s AND store_id = %s AND state = 1"
        " ORDER BY part",
        (*place, store_id),
    )
    keys = cursor.fetchall()
    footage = next((key for part, key in keys if part == PARTS["rendition"]), "")
    return MarkedCopy(*place, footage, tuple(key for part, key in keys if part != PARTS["rendition"]))


def _close(cursor: Cursor, actor: Actor, store_id: int, one: MarkedCopy, gone: Collection[str]) -> bool:
    """True when nothing is left of the recording. A preview that would not go stays marked, and is tried again.

    Two purges at once find the same copies marked; the later one has nothing to tell.
    """
    keys = [key for key in (one.footage, *one.previews) if key and key in gone]
    known = lock(cursor, "r.recording_id = %s AND r.start_at = %s", one.place)
    news = _set_state(cursor, actor, one.place, store_id, GONE, keys)
    _settle(cursor, None, store_id, one.place, "gone")
    if known is None or not one.footage or not news:
        return False
    cursor.execute(
        "SELECT 1 FROM copy WHERE recording_id = %s AND start_at = %s AND part = 0 AND state IN (0, 1) LIMIT 1",
        one.place,
    )
    if cursor.fetchone() is not None:
        note(cursor, actor, "copy_purged", known, store=store_id, keys=keys)
        return False
    cursor.execute(
        "UPDATE recording SET custody = 3 WHERE recording_id = %s AND start_at = %s AND custody IN (1, 2)", one.place
    )
    cursor.execute("DELETE FROM copy_wanted WHERE recording_id = %s AND start_at = %s", one.place)
    note(cursor, actor, "purged", known, store=store_id, keys=keys)
    return True


def _refuse(
    cursor: Cursor,
    actor: Actor,
    store_id: int,
    one: MarkedCopy,
    gone: Collection[str],
    protection: Protection | None,
) -> None:
    known = lock(cursor, "r.recording_id = %s AND r.start_at = %s", one.place)
    keys = [one.footage, *one.previews]
    _set_state(cursor, actor, one.place, store_id, LIVE, [key for key in keys if key not in gone])
    _set_state(cursor, actor, one.place, store_id, GONE, [key for key in keys if key in gone])
    until = protection.until if protection else None
    why = protection.why if protection else "the store did not confirm that it is gone"
    _settle(cursor, None, store_id, one.place, "locked" if protection else "refused", until)
    if known is not None:
        locked_until = until.isoformat() if until else None
        note(cursor, actor, "purge_refused", known, store=store_id, why=why, locked_until=locked_until)


def _set_state(cursor: Cursor, actor: Actor, place: Place, store_id: int, state: int, keys: Iterable[str]) -> bool:
    """Whether any of them had another state."""
    cursor.execute(
        "UPDATE copy SET state = %s, state_at = %s WHERE recording_id = %s AND start_at = %s AND store_id = %s"
        " AND key = ANY(%s) AND state <> %s",
        (state, actor.now, *place, store_id, list(keys), state),
    )
    return cursor.rowcount > 0


def _settle(
    cursor: Cursor,
    plan_id: int | None,
    store_id: int,
    place: Place,
    outcome: str,
    locked_until: datetime | None = None,
) -> None:
    """What became of it, in the plan that is being applied; plan_id None: in whatever plan it is open."""
    cursor.execute(
        "UPDATE purge_item i SET outcome = %s, locked_until = %s FROM purge_plan p WHERE p.plan_id = i.plan_id"
        " AND p.state = 'applying' AND (%s::bigint IS NULL OR i.plan_id = %s) AND i.store_id = %s"
        # said like this, as the index of open items would be read from end to end for each: by the statistics, from
        # before the plan was made, hardly anything is open
        " AND i.recording_id = %s AND coalesce(i.outcome, '') = ''",
        (outcome, locked_until, plan_id, plan_id, store_id, place[0]),
    )


def _held(cursor: Cursor, places: Sequence[Place]) -> set[Place]:
    held = set()
    for place in places:
        cursor.execute(
            f"SELECT 1 FROM recording r WHERE r.recording_id = %s AND r.start_at = %s AND EXISTS ({HELD_BY})",  # noqa: S608
            place,
        )
        if cursor.fetchone() is not None:
            held.add(place)
    return held


def _cameras(cursor: Cursor, places: Sequence[Place]) -> dict[Place, tuple[int, str, datetime]]:
    found = {}
    for place in places:
        cursor.execute(
            "SELECT r.camera_id, s.tz, r.end_at FROM recording r JOIN site s USING (site_id)"
            " WHERE r.recording_id = %s AND r.start_at = %s",
            place,
        )
        row = cursor.fetchone()
        if row is not None:
            found[place] = (row[0], row[1], row[2])
    return found
