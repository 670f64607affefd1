"""What the checks of the stores ask and write: how far a round got, what should lie where, what was proven, strays.

Everything pages along an index in key order, so that a round over 10^8 objects can be cut anywhere and goes on there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vms.catalogue.archiving import keep_copies
from vms.catalogue.connection import Connection, fetch_all, fetch_one
from vms.catalogue.events import Actor, note
from vms.catalogue.losing import StoredCopy
from vms.catalogue.lost import note_stray_object
from vms.catalogue.places import load_stores
from vms.catalogue.registering import lock
from vms.catalogue.rollup import hold_camera
from vms.catalogue.rows import PARTS
from vms.model import StoreTarget
from vms.receipts import CopyReceipt

_PART_NAMES = {number: part for part, number in PARTS.items()}
_COPY = (
    "k.recording_id, k.start_at, k.store_id, k.part, k.key, k.size_bytes, encode(k.sha256, 'hex'), k.stored_at, k.state"
)
_PAGE = 2000


@dataclass(frozen=True)
class Stray:
    """An object in a store that no copy tells of. kind: foreign or damaged. Times (UTC): when it was seen."""

    store: str
    key: str
    kind: str
    size_bytes: int
    detail: str
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True)
class Proofs:
    """How far the deep check of a store is: live copies, those ever proven restorable, the proof that is oldest."""

    store: str
    copies: int
    proven: int
    oldest: datetime | None
    broken: int


def stores_in_use(conn: Connection) -> dict[str, StoreTarget]:
    """Stores that something was ever put into, by name."""
    with conn.cursor() as cursor:
        return {one.name: one for one in load_stores(cursor).values() if one.identity is not None}


def begin_round(conn: Connection, store_id: int, now: datetime) -> str:
    """The key behind which the reconciliation goes on; "" when a new round begins."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "INSERT INTO store_round AS old (store_id, round, begun_at, after_key) VALUES (%s, 1, %s, '')"
            " ON CONFLICT (store_id) DO UPDATE SET round = old.round + (old.after_key IS NULL)::int,"
            " begun_at = CASE WHEN old.after_key IS NULL THEN excluded.begun_at ELSE old.begun_at END,"
            " after_key = coalesce(old.after_key, '') RETURNING after_key",
            (store_id, now),
        )
        (after,) = cursor.fetchone() or ("",)
        return str(after)


def save_round(conn: Connection, store_id: int, after_key: str | None, now: datetime) -> None:
    """All up to this key has been compared; None: all there is."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "UPDATE store_round SET after_key = %s, finished_at = CASE WHEN %s THEN %s ELSE finished_at END"
            " WHERE store_id = %s",
            (after_key, after_key is None, now, store_id),
        )


def copies_between(conn: Connection, store_id: int, after: str, upto: str | None) -> Iterator[StoredCopy]:
    """Every row of this store with after < key <= upto (None: to the end), whatever its state, in key order."""
    while True:
        found = fetch_all(
            conn,
            f'SELECT {_COPY} FROM copy k WHERE k.store_id = %s AND k.key COLLATE "C" > %s'  # noqa: S608 (a constant)
            + (' AND k.key COLLATE "C" <= %s' if upto is not None else "")
            + ' ORDER BY k.key COLLATE "C" LIMIT %s',
            [store_id, after, *((upto,) if upto is not None else ()), _PAGE],
        )
        yield from (_copy(row) for row in found)
        if len(found) < _PAGE:
            return
        after = found[-1][4]


def has_copies(conn: Connection, store_id: int) -> bool:
    """Whether the catalogue knows of anything that should lie in the store."""
    found = fetch_one(
        conn,
        'SELECT 1 FROM copy WHERE store_id = %s AND state = 0 ORDER BY key COLLATE "C" LIMIT 1',  # by its index
        [store_id],
    )
    return found is not None


def due_for_proof(conn: Connection, store_id: int, limit: int) -> list[StoredCopy]:
    """The renditions of a store that were never proven restorable, the oldest first, then those proven longest ago."""
    found = fetch_all(
        conn,
        f"SELECT {_COPY} FROM copy k WHERE k.store_id = %s AND k.part = 0 AND k.state = 0"  # noqa: S608 (a constant)
        " ORDER BY k.proven_at NULLS FIRST, k.stored_at LIMIT %s",
        [store_id, limit],
    )
    return [_copy(row) for row in found]


def parts_of(conn: Connection, copy: StoredCopy) -> list[StoredCopy]:
    """All live objects of the copy's recording in the copy's store."""
    found = fetch_all(
        conn,
        f"SELECT {_COPY} FROM copy k WHERE k.recording_id = %s AND k.start_at = %s AND k.store_id = %s"  # noqa: S608
        " AND k.state = 0 ORDER BY k.part",
        [copy.recording_id, copy.start_utc, copy.store_id],
    )
    return [_copy(row) for row in found]


def must_decode(conn: Connection, copy: StoredCopy) -> bool:
    """Whether the rendition was ever seen to decode: not so for originals and for footage that was damaged itself."""
    found = fetch_one(
        conn,
        "SELECT kind <> 'original' AND damaged IS NULL FROM recording WHERE recording_id = %s AND start_at = %s",
        [copy.recording_id, copy.start_utc],
    )
    return bool(found and found[0])


def save_proof(conn: Connection, copy: StoredCopy, now: datetime) -> None:
    """The object was fetched whole, has the right bytes, and decodes."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "UPDATE copy SET proven_at = %s WHERE recording_id = %s AND start_at = %s AND store_id = %s AND part = %s"
            " AND key = %s",
            (now, copy.recording_id, copy.start_utc, copy.store_id, PARTS[copy.part], copy.key),
        )


def broken_copies(conn: Connection, limit: int) -> list[tuple[StoredCopy, list[StoredCopy]]]:
    """Copies to be repaired, renditions first, each with the live copies of the same part in other stores.

    Not those of recordings that are planned again: what archives them anew makes their copies good.
    """
    broken = fetch_all(
        conn,
        f"SELECT {_COPY} FROM copy k WHERE k.state = 3 AND"  # noqa: S608 (a constant)
        " (SELECT custody FROM recording r WHERE r.recording_id = k.recording_id AND r.start_at = k.start_at) IN (1, 2)"
        " ORDER BY k.part, k.store_id, k.recording_id LIMIT %s",
        [limit],
    )
    found = []
    for row in broken:
        copy = _copy(row)
        held = fetch_all(
            conn,
            f"SELECT {_COPY} FROM copy k WHERE k.recording_id = %s AND k.start_at = %s AND k.part = %s"  # noqa: S608
            " AND k.state = 0 AND k.store_id <> %s ORDER BY k.store_id",
            [copy.recording_id, copy.start_utc, PARTS[copy.part], copy.store_id],
        )
        found.append((copy, [_copy(one) for one in held]))
    return found


def broken_of(conn: Connection, place: tuple[int, datetime]) -> list[tuple[StoredCopy, list[StoredCopy]]]:
    """The broken copies of one recording, footage first, each with the live ones of the same part."""
    copies = copies_of(conn, place)
    return [
        (broken, [one for one in copies if one.state == 0 and one.part == broken.part])
        for broken in copies
        if broken.state != 0
    ]


def copies_of(conn: Connection, place: tuple[int, datetime]) -> list[StoredCopy]:
    """Every object of a recording that a store should hold, good or broken, footage first."""
    found = fetch_all(
        conn,
        f"SELECT {_COPY} FROM copy k WHERE k.recording_id = %s AND k.start_at = %s AND k.state IN (0, 3)"  # noqa: S608
        " ORDER BY k.part, k.store_id",
        list(place),
    )
    return [_copy(row) for row in found]


def record_repair(conn: Connection, actor: Actor, broken: StoredCopy, made: CopyReceipt) -> None:
    """The broken copy is good again: under its own key, or under another where a damaged object lies in its place."""
    place = (broken.recording_id, broken.start_utc)
    with conn, conn.cursor() as cursor:
        cursor.execute("SELECT camera_id FROM recording WHERE recording_id = %s AND start_at = %s", place)
        row = cursor.fetchone()
        if row is None:
            return
        hold_camera(cursor, row[0])
        known = lock(cursor, "r.recording_id = %s AND r.start_at = %s", place)
        if known is None:
            return
        keep_copies(cursor, actor, (made,), known)
        note(cursor, actor, "repaired", known, store=made.store_id, part=made.part, key=made.key, before=broken.key)
        if made.key != broken.key:
            detail = f"damaged copy of recording {broken.recording_id}; {made.key} has taken its place"
            note_stray_object(cursor, broken.store_id, broken.key, "damaged", broken.size_bytes, detail, actor.now)


def note_stray(conn: Connection, store_id: int, key: str, size_bytes: int, detail: str, now: datetime) -> bool:
    """Report an object that is not ours or of no known recording; whether it is reported for the first time."""
    with conn, conn.cursor() as cursor:
        return note_stray_object(cursor, store_id, key, "foreign", size_bytes, detail, now)


def forget_stray(conn: Connection, store_id: int, key: str) -> None:
    """The object is known to belong to a recording after all."""
    with conn, conn.cursor() as cursor:
        cursor.execute("DELETE FROM stray_object WHERE store_id = %s AND key = %s", (store_id, key))


def strays_among(conn: Connection, store_id: int, keys: Sequence[str]) -> set[str]:
    """Which of these keys are reported as damaged leftovers, about which nothing more has to be found out."""
    found = fetch_all(
        conn,
        "SELECT key FROM stray_object WHERE store_id = %s AND key = ANY(%s) AND kind = 'damaged'",
        [store_id, list(keys)],
    )
    return {key for (key,) in found}


def list_strays(conn: Connection, store: str = "") -> list[Stray]:
    """Objects that no copy tells of, by store and key."""
    found = fetch_all(
        conn,
        "SELECT st.name, key, kind, size_bytes, detail, first_at, last_at FROM stray_object"
        " JOIN store st USING (store_id) WHERE %s OR st.name = %s ORDER BY st.name, key",
        [not store, store],
    )
    return [Stray(*row) for row in found]


def recordings_kept(conn: Connection) -> int:
    """How many recordings are archived and not purged, from the sums of the cameras."""
    found = fetch_one(conn, "SELECT coalesce(sum(archived + released), 0)::bigint FROM camera_total", [])
    return int(found[0]) if found else 0


def proofs(conn: Connection) -> list[Proofs]:
    """How far the deep check of each store is that ever held anything: from the sums by day."""
    found = fetch_all(
        conn,
        """
        SELECT st.name, d.copies, d.proven, oldest.at, broken.many
        FROM store st
        CROSS JOIN LATERAL (
            SELECT sum(copies)::bigint, sum(proven)::bigint FROM store_day WHERE store_day.store_id = st.store_id
        ) AS d (copies, proven)
        LEFT JOIN LATERAL (
            SELECT proven_at FROM copy k WHERE k.store_id = st.store_id AND part = 0 AND state = 0
              AND proven_at IS NOT NULL ORDER BY proven_at LIMIT 1
        ) AS oldest (at) ON true
        CROSS JOIN LATERAL (
            SELECT count(*) FROM copy k WHERE k.store_id = st.store_id AND part = 0 AND state = 3
        ) AS broken (many)
        WHERE d.copies IS NOT NULL ORDER BY st.name
        """,
        [],
    )
    return [Proofs(*row) for row in found]


def _copy(row: tuple[Any, ...]) -> StoredCopy:
    recording_id, start, store_id, part, key, size, sha256, stored_at, state = row
    return StoredCopy(recording_id, start, store_id, _PART_NAMES[part], key, size, sha256, stored_at, state)
