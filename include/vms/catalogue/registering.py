"""What the catalogue makes of what was seen: a new recording, a further name of a known one, or a quarantined file.

Identity is camera, start and fingerprint. Where a start was only guessed (from the container or the file's time), the
same content of the same camera is the same recording whatever start is guessed the next time; two starts that recorders
named are two recordings, as archiving twice is safer than once too little.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any, Literal

from psycopg2.extensions import cursor as Cursor  # noqa: N812 (psycopg2 names its class in lower case)

from vms.catalogue.batching import end_of, length_of, rate_of, side
from vms.catalogue.events import KNOWN, Actor, Known, note
from vms.catalogue.lost import is_lost, mark_lost, plan_again, was_archived
from vms.catalogue.rows import CUSTODY
from vms.sightings import Fault, Rejection, Sighting, SourceSeen

# ruff: noqa: S608 (statements are put together from constant pieces; every value goes as a parameter)

_WEAK = ("container", "mtime")
_PLANNED, _QUARANTINED = CUSTODY["planned"], CUSTODY["quarantined"]
_OPEN = (_PLANNED, _QUARANTINED)


def register_sighting(cursor: Cursor, actor: Actor, site_id: int, camera_id: int, seen: Sighting) -> None:
    """Take note of a file that can become a recording. The same again changes nothing."""
    known = _same_recording(cursor, camera_id, seen)
    names: list[SourceSeen] = []
    if known and _only_guessed(known, seen):
        names = live_names(cursor, known)
        drop(cursor, actor, known, "its start is known better now")
        known = None
    if known is None:
        known = _this_very_file(cursor, site_id, seen)
    if known is None:
        known = _insert(cursor, site_id, camera_id, seen, custody="planned")
        note(
            cursor, actor, "planned", known, source=seen.source.path, bytes=seen.source.size_bytes, pattern=seen.pattern
        )
        for name in names:
            if name.path != seen.source.path:
                _see_name(cursor, actor, known, name, told=False)
        _see_name(cursor, actor, known, seen.source, told=False)
        return
    news = _see_name(cursor, actor, known, seen.source, told=True)
    if news and is_lost(cursor, known):
        plan_again(cursor, actor, known, "no store has a good copy, and its source was seen again on site")
    if known.custody == _QUARANTINED and _worth_another_try(cursor, known, news):
        _revive(cursor, actor, known, seen)


def register_rejection(cursor: Cursor, actor: Actor, site_id: int, camera_id: int, seen: Rejection) -> None:
    """Take note of a file that can't become a recording. The same again changes nothing."""
    seen = replace(seen, fingerprint=_fingerprint(seen))
    known = _exactly(cursor, camera_id, seen.fingerprint, seen) or _under_this_name(cursor, site_id, camera_id, seen)
    fresh = known is None
    if known is None:
        known = _insert(cursor, site_id, camera_id, seen, custody="quarantined")
    if known.custody in _OPEN:
        quarantine(cursor, actor, known, "sense", seen.fault, seen.source.path)
    _see_name(cursor, actor, known, seen.source, told=not fresh)


def quarantine(
    cursor: Cursor, actor: Actor, known: Known, stage: Literal["sense", "work"], fault: Fault, path: str
) -> None:
    """Put a recording that is not archived aside, with the reason; nothing is written when that is so already.

    One that was archived before and is planned again as its copies are broken is lost instead.
    """
    if known.custody in _OPEN and was_archived(cursor, known):
        mark_lost(cursor, actor, known, f"no store has a good copy, and its source can't be archived: {fault.message}")
        return
    cursor.execute(
        "SELECT reason, message, remedy, path FROM quarantine WHERE recording_id = %s AND start_at = %s",
        (known.recording_id, known.start_utc),
    )
    told = (fault.reason, fault.message, fault.remedy, path)
    if known.custody == _QUARANTINED and cursor.fetchone() == told:
        return
    cursor.execute(
        "INSERT INTO quarantine (recording_id, start_at, stage, reason, message, remedy, path, first_at, last_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (recording_id, start_at) DO UPDATE"
        " SET stage = excluded.stage, reason = excluded.reason, message = excluded.message, remedy = excluded.remedy,"
        " path = excluded.path, last_at = excluded.last_at, retry_asked_at = NULL",
        (known.recording_id, known.start_utc, stage, *told, actor.now, actor.now),
    )
    set_custody(cursor, known, "quarantined")
    note(
        cursor,
        actor,
        "quarantined",
        known,
        reason=fault.reason,
        message=fault.message,
        remedy=fault.remedy,
        source=path,
    )


def set_custody(cursor: Cursor, known: Known, custody: Literal["planned", "quarantined", "released"]) -> None:
    """Move a locked recording on."""
    cursor.execute(
        "UPDATE recording SET custody = %s WHERE recording_id = %s AND start_at = %s AND custody <> %s",
        (CUSTODY[custody], known.recording_id, known.start_utc, CUSTODY[custody]),
    )


def drop(cursor: Cursor, actor: Actor, known: Known, why: str) -> None:
    """Forget a recording that was never archived; its lineage, with the keys of what a store may hold, stays.

    One that was archived before, and is planned again as its copies are broken, is not forgotten: it is lost.
    """
    if was_archived(cursor, known):
        mark_lost(cursor, actor, known, f"no store has a good copy, and its source is gone: {why}")
        return
    place = (known.recording_id, known.start_utc)
    cursor.execute("SELECT key FROM copy WHERE recording_id = %s AND start_at = %s ORDER BY key", place)
    keys = [key for (key,) in cursor.fetchall()]
    for table in ("copy", "recording_source", "quarantine", "recording"):
        cursor.execute(f"DELETE FROM {table} WHERE recording_id = %s AND start_at = %s", place)
    cursor.execute(
        "UPDATE batch_item SET outcome = 'withdrawn', reason = '', message = %s, remedy = ''"
        " WHERE recording_id = %s AND start_at = %s AND (outcome IS NULL OR outcome = 'failed')",
        (why, *place),
    )
    note(cursor, actor, "resolved" if known.custody == _QUARANTINED else "withdrawn", known, why=why, keys=keys)


def live_names(cursor: Cursor, known: Known) -> list[SourceSeen]:
    """The names under which its content may still lie in the footage folder, the one seen last first."""
    cursor.execute(
        "SELECT path, size_bytes, mtime_ns FROM recording_source WHERE recording_id = %s AND start_at = %s"
        " AND released_at IS NULL AND replaced_at IS NULL ORDER BY first_seen DESC, path",
        (known.recording_id, known.start_utc),
    )
    return [SourceSeen(*row) for row in cursor.fetchall()]


def forget_names(cursor: Cursor, actor: Actor, known: Known) -> None:
    """Its source is no longer where it was seen; it counts again when it is seen again."""
    cursor.execute(
        "UPDATE recording_source SET replaced_at = %s WHERE recording_id = %s AND start_at = %s"
        " AND released_at IS NULL AND replaced_at IS NULL",
        (actor.now, known.recording_id, known.start_utc),
    )


def lock(cursor: Cursor, where: str, params: tuple[Any, ...]) -> Known | None:
    """The first recording r that fits, locked until the transaction ends."""
    cursor.execute(f"SELECT {KNOWN} FROM recording r WHERE {where} LIMIT 1 FOR UPDATE OF r", params)
    row = cursor.fetchone()
    return Known(*row) if row else None


def _same_recording(cursor: Cursor, camera_id: int, seen: Sighting) -> Known | None:
    exact = _exactly(cursor, camera_id, seen.fingerprint, seen)
    if exact is not None:
        return exact
    guessed = seen.time_basis in _WEAK
    return lock(
        cursor,
        "r.camera_id = %s AND r.fingerprint = %s::uuid AND (%s OR r.time_basis IN %s)"
        " ORDER BY r.custody NOT IN (1, 2, 3), r.start_at",
        (camera_id, seen.fingerprint, guessed, _WEAK),
    )


def _this_very_file(cursor: Cursor, site_id: int, seen: Sighting) -> Known | None:
    """The recording that was archived from this file, as its name, size, time and content say, though the name is read
    differently now: a time zone or camera was corrected in sites.yaml."""
    cursor.execute(
        "SELECT recording_id, start_at FROM recording_source WHERE site_id = %s"
        " AND path_hash = hashtextextended(%s, 0) AND path = %s AND size_bytes = %s AND mtime_ns = %s"
        " AND released_at IS NULL AND replaced_at IS NULL",
        (site_id, seen.source.path, seen.source.path, seen.source.size_bytes, seen.source.mtime_ns),
    )
    for place in cursor.fetchall():
        known = lock(
            cursor,
            "r.recording_id = %s AND r.start_at = %s AND r.fingerprint = %s::uuid AND r.custody IN (1, 2, 3)",
            (*place, seen.fingerprint),
        )
        if known is not None:
            return known
    return None


def _only_guessed(known: Known, seen: Sighting) -> bool:
    """Its start was a guess, the recorder's own is known now, and nothing is archived under the guess yet."""
    better = known.time_basis in _WEAK and seen.time_basis not in _WEAK
    return better and known.custody in _OPEN and known.start_utc != seen.start_utc


def _exactly(cursor: Cursor, camera_id: int, fingerprint: str, seen: Sighting | Rejection) -> Known | None:
    return lock(
        cursor,
        "r.camera_id = %s AND r.fingerprint = %s::uuid AND r.start_at = %s",
        (camera_id, fingerprint, seen.start_utc),
    )


def _under_this_name(cursor: Cursor, site_id: int, camera_id: int, seen: Rejection) -> Known | None:
    """The recording that has this content under this very name, whatever start is guessed for it today."""
    if seen.time_basis not in _WEAK:
        return None
    return lock(
        cursor,
        "r.camera_id = %s AND r.fingerprint = %s::uuid AND EXISTS (SELECT 1 FROM recording_source n"
        " WHERE n.recording_id = r.recording_id AND n.start_at = r.start_at AND n.site_id = %s"
        " AND n.path_hash = hashtextextended(%s, 0) AND n.path = %s AND n.replaced_at IS NULL)",
        (camera_id, seen.fingerprint, site_id, seen.source.path, seen.source.path),
    )


def _insert(
    cursor: Cursor,
    site_id: int,
    camera_id: int,
    seen: Sighting | Rejection,
    custody: Literal["planned", "quarantined"],
) -> Known:
    facts = _facts(seen)
    columns = ", ".join(facts)
    cursor.execute(
        f"INSERT INTO recording (site_id, camera_id, start_at, fingerprint, custody, source_name, {columns})"
        f" VALUES (%s, %s, %s, %s, %s, %s, {', '.join(['%s'] * len(facts))}) RETURNING recording_id",
        (site_id, camera_id, seen.start_utc, seen.fingerprint, CUSTODY[custody], seen.source.path, *facts.values()),
    )
    (recording_id,) = cursor.fetchone() or (0,)
    # a fresh quarantine is told by `quarantine`, so the row starts as if it were still planned
    return Known(recording_id, seen.start_utc, site_id, camera_id, _PLANNED, seen.time_basis, seen.fingerprint)


def _facts(seen: Sighting | Rejection) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "source_bytes": seen.source.size_bytes,
        "time_basis": seen.time_basis,
        "duration_s": 0.0,
        "end_at": seen.start_utc,
    }
    if isinstance(seen, Sighting):
        facts |= {
            "duration_s": length_of(seen.duration_s),
            "end_at": end_of(seen.start_utc, seen.duration_s),
            "time_marks": list(seen.time_marks),
            "codec": seen.codec,
            "audio_codec": seen.audio_codec,
            "width": side(seen.width),
            "height": side(seen.height),
            "fps": rate_of(seen.fps),
        }
    return facts


def _see_name(cursor: Cursor, actor: Actor, known: Known, source: SourceSeen, *, told: bool) -> bool:
    """Link this name to this recording and to no other. True when that is news."""
    place = (known.recording_id, known.start_utc, source.path)
    cursor.execute(
        "SELECT size_bytes, mtime_ns, released_at, replaced_at FROM recording_source"
        " WHERE recording_id = %s AND start_at = %s AND path_hash = hashtextextended(%s, 0)",
        place,
    )
    news = cursor.fetchone() != (source.size_bytes, source.mtime_ns, None, None)
    if news:
        cursor.execute(
            "INSERT INTO recording_source (recording_id, start_at, site_id, path, size_bytes, mtime_ns, first_seen)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (recording_id, path_hash, start_at) DO UPDATE"
            " SET size_bytes = excluded.size_bytes, mtime_ns = excluded.mtime_ns, released_at = NULL,"
            " replaced_at = NULL",
            (*place[:2], known.site_id, source.path, source.size_bytes, source.mtime_ns, actor.now),
        )
        if told:
            note(cursor, actor, "source_seen", known, source=source.path, bytes=source.size_bytes)
    _replace_others(cursor, actor, known, source.path)
    return news


def _replace_others(cursor: Cursor, actor: Actor, known: Known, path: str) -> None:
    """What this name held before is no longer there; a recording that had no other name and no copy is forgotten."""
    cursor.execute(
        "UPDATE recording_source SET replaced_at = %s WHERE site_id = %s AND path_hash = hashtextextended(%s, 0)"
        " AND path = %s AND recording_id <> %s AND released_at IS NULL AND replaced_at IS NULL"
        " RETURNING recording_id, start_at",
        (actor.now, known.site_id, path, path, known.recording_id),
    )
    for place in cursor.fetchall():
        other = lock(cursor, "r.recording_id = %s AND r.start_at = %s", place)
        if other is not None and other.custody in _OPEN and not live_names(cursor, other):
            drop(cursor, actor, other, f"{path} holds other content now")


def _worth_another_try(cursor: Cursor, known: Known, news: bool) -> bool:
    if news:
        return True
    cursor.execute(
        "SELECT 1 FROM quarantine WHERE recording_id = %s AND start_at = %s"
        " AND (stage = 'sense' OR reason = 'source_gone')",
        (known.recording_id, known.start_utc),
    )
    return cursor.fetchone() is not None


def _revive(cursor: Cursor, actor: Actor, known: Known, seen: Sighting) -> None:
    facts = {name: value for name, value in _facts(seen).items() if name not in ("end_at", "time_basis", "time_marks")}
    facts["end_at"] = end_of(known.start_utc, seen.duration_s)
    settings = ", ".join(f"{column} = %s" for column in facts)
    cursor.execute(
        f"UPDATE recording SET {settings}, custody = %s WHERE recording_id = %s AND start_at = %s",
        (*facts.values(), _PLANNED, known.recording_id, known.start_utc),
    )
    cursor.execute(
        "DELETE FROM quarantine WHERE recording_id = %s AND start_at = %s", (known.recording_id, known.start_utc)
    )
    note(cursor, actor, "resolved", known, why="it was seen again and can be tried")
    note(cursor, actor, "planned", known, source=seen.source.path, bytes=seen.source.size_bytes, pattern=seen.pattern)


def _fingerprint(seen: Rejection) -> str:
    """A file that can't be read has none; then its name, size and time stand for its content."""
    if len(seen.fingerprint) == 32:
        return seen.fingerprint
    text = f"{seen.source.path}\0{seen.source.size_bytes}\0{seen.source.mtime_ns}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
