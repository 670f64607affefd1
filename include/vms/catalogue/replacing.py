"""Another rendition takes the place of the one that was archived: proven first, then committed, then the old one goes.

    new is listed and written ── proven by every store ── one transaction: rows move to new, old is listed ──
    old is deleted and confirmed gone ── its listing goes

Whatever is killed in between is found in replaced_object: a new object that was never committed is removed before the
next try, an old one by the next call. At no moment does the catalogue tell of an object that is not proven.
"""

# ruff: noqa: S608 (statements are put together from constant pieces; every value goes as a parameter)

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from vms.backfill import Order
from vms.catalogue.archiving import keep_copies
from vms.catalogue.batching import side
from vms.catalogue.connection import Connection, fetch_all
from vms.catalogue.events import Actor, note
from vms.catalogue.holds import HELD_BY
from vms.catalogue.integrity import forget_stray
from vms.catalogue.losing import LIVE, StoredCopy
from vms.catalogue.lost import note_stray_object
from vms.catalogue.orders import Place
from vms.catalogue.registering import lock
from vms.catalogue.rollup import hold_camera, rebuild_days
from vms.catalogue.rows import CUSTODY
from vms.receipts import CopyReceipt, Rendition


@dataclass(frozen=True)
class Replaced:
    """An object that is to be deleted. state: new (a try that was killed) or old (its place is taken)."""

    store_id: int
    key: str
    state: str


def begin_replacing(conn: Connection, place: Place, keys: Sequence[tuple[int, str, int]], now: datetime) -> None:
    """List the objects (store, key, bytes) that are about to be written."""
    with conn, conn.cursor() as cursor:
        for store_id, key, size_bytes in keys:
            cursor.execute(
                "INSERT INTO replaced_object (store_id, key, recording_id, start_at, state, size_bytes, at)"
                " VALUES (%s, %s, %s, %s, 'new', %s, %s)",
                (store_id, key, *place, size_bytes, now),
            )


def replaced_of(conn: Connection, place: Place) -> list[Replaced]:
    """What is to be deleted of a recording."""
    found = fetch_all(
        conn,
        "SELECT store_id, key, state FROM replaced_object WHERE recording_id = %s AND start_at = %s ORDER BY 1, 2",
        list(place),
    )
    return [Replaced(*row) for row in found]


def left_over(conn: Connection, order: Order) -> set[Place]:
    """Recordings of the order's time and site of which something is still to be deleted."""
    found = fetch_all(
        conn,
        "SELECT DISTINCT o.recording_id, o.start_at FROM replaced_object o CROSS JOIN LATERAL ("
        " SELECT site_id FROM recording WHERE recording.recording_id = o.recording_id"
        " AND recording.start_at = o.start_at OFFSET 0) AS r JOIN site s USING (site_id)"
        " WHERE s.slug = %s AND o.start_at >= %s AND o.start_at < %s",
        [order.site, order.from_utc, order.to_utc],
    )
    return {(recording_id, start) for recording_id, start in found}


def is_claimed(conn: Connection, one: Replaced) -> bool:
    """Whether a copy lies under this key after all: then it is not to be deleted."""
    found = fetch_all(
        conn,
        'SELECT 1 FROM copy WHERE store_id = %s AND key COLLATE "C" = %s AND state IN (0, 1, 3)',
        [one.store_id, one.key],
    )
    return bool(found)


def forget_replaced(conn: Connection, one: Replaced) -> None:
    """It is no longer to be deleted."""
    with conn, conn.cursor() as cursor:
        cursor.execute("DELETE FROM replaced_object WHERE store_id = %s AND key = %s", (one.store_id, one.key))


def is_held(conn: Connection, place: Place) -> bool:
    """Whether a hold covers it."""
    found = fetch_all(
        conn,
        f"SELECT 1 FROM recording r WHERE r.recording_id = %s AND r.start_at = %s AND EXISTS ({HELD_BY})",
        list(place),
    )
    return bool(found)


def commit_replacing(
    conn: Connection, actor: Actor, old: Sequence[StoredCopy], rendition: Rendition, made: Sequence[CopyReceipt]
) -> bool:
    """The new rendition is what was archived, in one transaction with its lineage; False when the recording is not any
    more what it was made from, or a hold covers it meanwhile: then nothing has changed.

    old: the live copies of the rendition, each of which has its successor in `made`.
    """
    place = (old[0].recording_id, old[0].start_utc)
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "SELECT r.camera_id, s.tz, r.end_at FROM recording r JOIN site s USING (site_id)"
            " WHERE r.recording_id = %s AND r.start_at = %s",
            place,
        )
        row = cursor.fetchone()
        if row is None:
            return False
        camera_id, zone, end = row
        hold_camera(cursor, camera_id)
        known = lock(cursor, "r.recording_id = %s AND r.start_at = %s", place)
        cursor.execute(
            f"""
            SELECT encode(rendition_sha256, 'hex'), rendition_bytes, coalesce(profile, ''), EXISTS ({HELD_BY})
            FROM recording r WHERE r.recording_id = %s AND r.start_at = %s
            """,
            place,
        )
        sha256, before, profile, held = cursor.fetchone() or ("", 0, "", True)
        cursor.execute(
            "SELECT store_id FROM copy WHERE recording_id = %s AND start_at = %s AND part = 0 AND state IN (0, 1, 3)",
            place,
        )
        holders = {store_id for (store_id,) in cursor.fetchall()}
        same = sha256 == old[0].sha256 and holders == {one.store_id for one in old} == {one.store_id for one in made}
        archived = known is not None and known.custody in (CUSTODY["archived"], CUSTODY["released"])
        if known is None or not archived or held or not same:
            return False
        cursor.execute(
            "UPDATE recording SET rendition_bytes = %s, rendition_sha256 = decode(%s, 'hex'), codec = %s,"
            " audio_codec = %s, width = %s, height = %s, fps = %s, kind = %s, profile = %s"
            " WHERE recording_id = %s AND start_at = %s",
            (
                *(rendition.size_bytes, rendition.sha256, rendition.codec, rendition.audio_codec),
                *(side(rendition.width), side(rendition.height), rendition.fps, rendition.kind, rendition.profile),
                *place,
            ),
        )
        keep_copies(cursor, actor, made, known)
        cursor.execute("DELETE FROM replaced_object WHERE recording_id = %s AND state = 'new'", (place[0],))
        for one in old:
            cursor.execute(
                "INSERT INTO replaced_object (store_id, key, recording_id, start_at, state, size_bytes, at)"
                " VALUES (%s, %s, %s, %s, 'old', %s, %s)",
                (one.store_id, one.key, *place, one.size_bytes, actor.now),
            )
            detail = f"former rendition of recording {place[0]}; a smaller one has taken its place"
            note_stray_object(cursor, one.store_id, one.key, "damaged", one.size_bytes, detail, actor.now)
        note(
            cursor,
            actor,
            "recompressed",
            known,
            before={"profile": profile, "bytes": before, "sha256": sha256, "keys": [one.key for one in old]},
            profile=rendition.profile,
            rendition_bytes=rendition.size_bytes,
            rendition_sha256=rendition.sha256,
            argv=list(rendition.argv),
            ffmpeg=rendition.ffmpeg,
            wall_s=rendition.wall_s,
            cpu_s=rendition.cpu_s,
        )
        rebuild_days(cursor, camera_id, ZoneInfo(zone), known.start_utc, end)
        return True


def close_replaced(conn: Connection, actor: Actor, place: Place, store_id: int, gone: Collection[str]) -> None:
    """These objects are confirmed gone."""
    with conn, conn.cursor() as cursor:
        known = lock(cursor, "r.recording_id = %s AND r.start_at = %s", place)
        cursor.execute(
            "DELETE FROM replaced_object WHERE store_id = %s AND key = ANY(%s) RETURNING key, state",
            (store_id, list(gone)),
        )
        old = sorted(key for key, state in cursor.fetchall() if state == "old")
        if old and known is not None:
            note(cursor, actor, "retired", known, store=store_id, keys=old)
    for key in gone:
        forget_stray(conn, store_id, key)


def live_footage(copies: Sequence[StoredCopy]) -> list[StoredCopy]:
    """The living copies of the rendition among all of a recording's."""
    return [copy for copy in copies if copy.part == "rendition" and copy.state == LIVE]
