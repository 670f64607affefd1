"""The step that everything rests on: a recording becomes archived when, and only when, its rendition is proven in as
many stores as its batch asks for. Only what a store itself confirmed, for exactly the rendition of the receipt, counts
as proof. What further stores lack is noted, and caught up on by later runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from psycopg2.extensions import cursor as Cursor  # noqa: N812 (psycopg2 names its class in lower case)
from psycopg2.extras import Json

from vms.catalogue.batching import LONGEST_S, LONGEST_WORD, end_of, rate_of, side
from vms.catalogue.events import Actor, Known, note
from vms.catalogue.losing import found_again
from vms.catalogue.lost import note_stray_object
from vms.catalogue.missing import no_longer_wanted, want
from vms.catalogue.orders import load_items
from vms.catalogue.places import load_stores, set_store_identity
from vms.catalogue.rollup import rebuild_days
from vms.catalogue.rows import PARTS
from vms.errors import CatalogueError
from vms.model import Batch
from vms.receipts import CopyReceipt, InTheWay, Receipt, Rendition
from vms.sightings import LONGEST_TEXT, Fault

_LONGEST_COMMAND = 200_000
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Work:
    """One call of record_receipts: the batch, what the catalogue stored of it, and who acts."""

    actor: Actor
    batch: Batch
    camera_id: int
    zone: ZoneInfo
    store_ids: tuple[int, ...]
    min_copies: int
    wanted_ids: tuple[int, ...]

    def faults(self, receipt: Receipt) -> dict[int, Fault]:
        """What kept the file from stores, by store number."""
        numbers = {target.name: target.store_id for target in self.batch.stores}
        return {numbers[name]: fault for name, fault in receipt.store_faults.items() if name in numbers}


def archive(cursor: Cursor, work: Work, receipt: Receipt, known: Known) -> Fault | None:
    """Write the proven copies, and the custody when they suffice; else the fault that says what is missing.

    Raises CatalogueError when the receipt contradicts itself or the catalogue.
    """
    rendition = receipt.rendition
    if rendition is None:
        return Fault(
            "incomplete",
            f"{receipt.source.path}: its receipt tells of no rendition and of no fault.",
            "Clear the batch's compress task in Airflow.",
            permanent=False,
        )
    _check(cursor, work, receipt, rendition, known)
    _note_in_the_way(cursor, work, receipt, known)
    broken = _broken(cursor, known)
    keep_copies(cursor, work.actor, receipt.copies, known)
    _note_repaired(cursor, work.actor, known, broken, receipt.copies)
    proven = {copy.store_id for copy in receipt.copies if copy.part == "rendition" and _is_proof(copy, rendition)}
    if len(proven) < work.min_copies:
        return _missing(cursor, work, receipt, proven)
    _write(cursor, work, receipt, rendition, known)
    note(
        cursor,
        work.actor,
        "compressed",
        known,
        source=receipt.source.path,
        source_bytes=receipt.source.size_bytes,
        source_sha256=receipt.source_sha256,
        rendition_bytes=rendition.size_bytes,
        rendition_sha256=rendition.sha256,
        kind=rendition.kind,
        profile=rendition.profile,
        why_kept=rendition.why_kept[:LONGEST_TEXT],
        damaged=rendition.damaged[:LONGEST_TEXT],
        duration_s=rendition.duration_s,
        frames=rendition.frames,
        argv=list(rendition.argv),
        ffmpeg=rendition.ffmpeg,
        wall_s=rendition.wall_s,
        cpu_s=rendition.cpu_s,
        host=receipt.host,
        started_at=receipt.started_at.isoformat(),
        finished_at=receipt.finished_at.isoformat(),
    )
    cursor.execute(
        "DELETE FROM quarantine WHERE recording_id = %s AND start_at = %s RETURNING reason",
        (known.recording_id, known.start_utc),
    )
    for (reason,) in cursor.fetchall():
        note(cursor, work.actor, "resolved", known, why=f"it could be archived this time (before: {reason})")
    lacking = want(cursor, known, set(work.wanted_ids) - proven, work.faults(receipt), work.actor.now)
    told = {"missing": lacking} if lacking else {}
    note(cursor, work.actor, "archived", known, stores=sorted(proven), rendition_bytes=rendition.size_bytes, **told)
    end = end_of(known.start_utc, rendition.duration_s)
    rebuild_days(cursor, known.camera_id, work.zone, known.start_utc, end)
    return None


def _broken(cursor: Cursor, known: Known) -> dict[tuple[int, int], tuple[str, int]]:
    """Key and size of its lost and damaged objects, by store and part."""
    cursor.execute(
        "SELECT store_id, part, key, size_bytes FROM copy WHERE recording_id = %s AND start_at = %s AND state = 3",
        (known.recording_id, known.start_utc),
    )
    return {(store_id, part): (key, size_bytes) for store_id, part, key, size_bytes in cursor.fetchall()}


def _note_repaired(
    cursor: Cursor,
    actor: Actor,
    known: Known,
    broken: Mapping[tuple[int, int], tuple[str, int]],
    copies: Sequence[CopyReceipt],
) -> None:
    """Tell which broken copies were made good from the source; a damaged object that lies beside is a leftover."""
    for copy in copies:
        before, size_bytes = broken.get((copy.store_id, PARTS[copy.part]), ("", 0))
        if not before:
            continue
        note(cursor, actor, "repaired", known, store=copy.store_id, part=copy.part, key=copy.key, before=before)
        if before != copy.key:
            detail = f"damaged copy of recording {known.recording_id}; {copy.key} has taken its place"
            note_stray_object(cursor, copy.store_id, before, "damaged", size_bytes, detail, actor.now)


def confirm(cursor: Cursor, work: Work, receipt: Receipt, known: Known) -> None:
    """A receipt for what is archived already: it must tell of the same bytes, and may add copies in further stores."""
    rendition = receipt.rendition
    if rendition is None:
        return
    cursor.execute(
        "SELECT encode(source_sha256, 'hex'), encode(rendition_sha256, 'hex') FROM recording"
        " WHERE recording_id = %s AND start_at = %s",
        (known.recording_id, known.start_utc),
    )
    if cursor.fetchone() != (receipt.source_sha256, rendition.sha256):
        raise contradiction(work, receipt, "it is archived already, from other bytes or as another rendition")
    _check(cursor, work, receipt, rendition, known)
    _note_in_the_way(cursor, work, receipt, known)
    keep_copies(cursor, work.actor, receipt.copies, known)


def _note_in_the_way(cursor: Cursor, work: Work, receipt: Receipt, known: Known) -> None:
    """Of each object that is not what was put under its key, a broken copy: so the next one goes beside it."""
    for one in receipt.in_the_way:
        sha256 = one.sha256 if one.sha256 and _SHA256.fullmatch(one.sha256) else "0" * 64
        cursor.execute(
            "INSERT INTO copy AS old (recording_id, start_at, store_id, part, key, size_bytes, sha256, checksum,"
            " stored_at, verified_at, state) VALUES (%s, %s, %s, 0, %s, %s, decode(%s, 'hex'), 'none', %s, %s, 3)"
            " ON CONFLICT (recording_id, store_id, part, start_at) DO UPDATE SET key = excluded.key,"
            " size_bytes = excluded.size_bytes, sha256 = excluded.sha256, checksum = 'none', state = 3"
            " WHERE old.state = 3 AND old.key <> excluded.key RETURNING 1",
            (
                *(known.recording_id, known.start_utc, one.store_id, one.key, one.size_bytes, sha256),
                *(work.actor.now, work.actor.now),
            ),
        )
        if cursor.fetchone() is not None:
            note(
                cursor,
                work.actor,
                "copy_damaged",
                known,
                store=one.store_id,
                part="rendition",
                key=one.key,
                message=one.message,
            )


def keep_copies(cursor: Cursor, actor: Actor, copies: Sequence[CopyReceipt], known: Known) -> None:
    """A row for each copy that a store confirmed, and an event for each row that is new or changed; a store whose
    rendition is proven lacks it no longer."""
    for copy in copies:
        cursor.execute(
            "INSERT INTO copy AS old (recording_id, start_at, store_id, part, key, size_bytes, sha256, checksum,"
            " stored_at, verified_at) VALUES (%s, %s, %s, %s, %s, %s, decode(%s, 'hex'), %s, %s, %s)"
            " ON CONFLICT (recording_id, store_id, part, start_at) DO UPDATE"
            " SET key = excluded.key, size_bytes = excluded.size_bytes, sha256 = excluded.sha256,"
            " checksum = excluded.checksum, stored_at = excluded.stored_at, verified_at = excluded.verified_at,"
            " state = 0, state_at = NULL, proven_at = NULL"
            " WHERE old.state = 3 OR (old.key, old.size_bytes, old.sha256) IS DISTINCT FROM"
            " (excluded.key, excluded.size_bytes, excluded.sha256)"
            # stored again after it was purged: it must be known, so that it can be purged again
            " OR (old.state = 2 AND excluded.verified_at > old.state_at) RETURNING 1",
            (
                *(known.recording_id, known.start_utc, copy.store_id, PARTS[copy.part], copy.key, copy.size_bytes),
                *(copy.sha256, copy.checksum, actor.now, copy.verified_at),
            ),
        )
        if cursor.fetchone() is not None:
            note(
                cursor,
                actor,
                "copied",
                known,
                store=copy.store_id,
                part=copy.part,
                key=copy.key,
                bytes=copy.size_bytes,
                bytes_sent=copy.bytes_sent,
                sha256=copy.sha256,
                checksum=copy.checksum,
            )
    proven = {copy.store_id for copy in copies if copy.part == "rendition"}
    no_longer_wanted(cursor, known, proven)
    if proven:
        found_again(cursor, known)


def contradiction(work: Work, receipt: Receipt, what: str) -> CatalogueError:
    """The refusal of a receipt that does not fit; nothing of it is written."""
    return CatalogueError(
        f"{work.batch.site}/{work.batch.camera}: {receipt.source.path[:LONGEST_TEXT]}: {what}.",
        "Nothing was changed for this file and its sources stay; compare its lineage with the logs of the batch.",
    )


def _check(cursor: Cursor, work: Work, receipt: Receipt, rendition: Rendition, known: Known) -> None:
    for store_id, identity in sorted(receipt.store_identities.items()):
        set_store_identity(cursor, int(store_id), identity)
    if len(receipt.source_sha256) != 64 or len(rendition.sha256) != 64:
        raise contradiction(work, receipt, "its receipt lacks a SHA-256")
    words = (rendition.codec, rendition.audio_codec or "", rendition.profile)
    if any(len(word) > LONGEST_WORD for word in words) or sum(map(len, rendition.argv)) > _LONGEST_COMMAND:
        raise contradiction(work, receipt, "its receipt says more than there is to say of a rendition")
    if not 0 <= rendition.duration_s <= LONGEST_S:
        raise contradiction(work, receipt, f"{rendition.duration_s} s is no length of a rendition")
    (item,) = load_items(cursor, [(known.recording_id, known.start_utc)])
    places: tuple[CopyReceipt | InTheWay, ...] = (*receipt.copies, *receipt.in_the_way)
    for place in places:
        what = f"what its receipt tells of {place.key} in store {place.store_id}"
        if place.store_id not in work.store_ids:
            raise contradiction(work, receipt, f"{what} lies outside the batch's stores")
        if not place.key.startswith(item.key_stem):
            raise contradiction(work, receipt, f"{what} lies under another recording's key")
    for copy in receipt.copies:
        if copy.part == "rendition" and (copy.sha256, copy.size_bytes) != (rendition.sha256, rendition.size_bytes):
            what = f"its copy {copy.key} ({copy.part}) in store {copy.store_id}"
            raise contradiction(work, receipt, f"{what} is not the rendition that was made")


def _missing(cursor: Cursor, work: Work, receipt: Receipt, proven: set[int]) -> Fault:
    """What keeps it from being archived: the first store of the batch without a proven copy of this rendition."""
    store_id = next(one for one in work.store_ids if one not in proven)
    name = load_stores(cursor)[store_id].name
    unknown = Fault(
        "not_proven",
        f"{receipt.source.path}: the store {name} has not confirmed its copy.",
        "Clear the batch's upload task in Airflow, or wait for the next run.",
        permanent=False,
    )
    # whatever is wrong with a store, it is no reason to give up the source file
    return replace(receipt.store_faults.get(name, unknown), permanent=False)


def _is_proof(copy: CopyReceipt, rendition: Rendition) -> bool:
    same = (copy.sha256, copy.size_bytes) == (rendition.sha256, rendition.size_bytes)
    return same and copy.checksum != ""


def _write(cursor: Cursor, work: Work, receipt: Receipt, rendition: Rendition, known: Known) -> None:
    sprite = next((one for one in receipt.previews if one.kind == "sprite"), None)
    geometry = sprite and {
        "tile_width": sprite.tile_width,
        "tile_height": sprite.tile_height,
        "columns": sprite.columns,
        "tiles": sprite.tiles,
        "interval_s": sprite.interval_s,
    }
    stored = any(copy.part == "sprite" for copy in receipt.copies)
    cursor.execute(
        "UPDATE recording SET custody = 1, archived_at = %s, source_bytes = %s, source_sha256 = decode(%s, 'hex'),"
        " rendition_bytes = %s, rendition_sha256 = decode(%s, 'hex'), duration_s = %s, end_at = %s, codec = %s,"
        " audio_codec = %s, width = %s, height = %s, fps = %s, kind = %s, profile = %s, damaged = nullif(%s, ''),"
        " sprite = %s WHERE recording_id = %s AND start_at = %s",
        (
            *(work.actor.now, receipt.source.size_bytes, receipt.source_sha256),
            *(rendition.size_bytes, rendition.sha256, rendition.duration_s),
            *(end_of(known.start_utc, rendition.duration_s), rendition.codec, rendition.audio_codec),
            *(
                side(rendition.width),
                side(rendition.height),
                rate_of(rendition.fps),
                rendition.kind,
                rendition.profile,
                rendition.damaged[:LONGEST_TEXT],
            ),
            *(Json(geometry) if geometry and stored else None, known.recording_id, known.start_utc),
        ),
    )
