"""Objects that lie in a store without a row: which recording each belongs to, and taking them into the catalogue."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import psycopg2
from psycopg2.extras import Json

from vms.catalogue.archiving import keep_copies
from vms.catalogue.batching import end_of, length_of, rate_of, side
from vms.catalogue.connection import Connection, fetch_one
from vms.catalogue.events import KNOWN, Actor, Known, note
from vms.catalogue.partitions import ensure_months_of
from vms.catalogue.places import keep_cameras, keep_site, keep_stores, set_store_identity
from vms.catalogue.rollup import hold_camera, rebuild_days
from vms.catalogue.rows import PARTS, Part
from vms.config import Config, StoreConfig
from vms.receipts import CopyReceipt

_KEY = re.compile(
    r"(?P<site>[a-z0-9][a-z0-9-]*)/(?P<camera>[a-z0-9][a-z0-9-]*)/\d{4}/\d\d/\d\d/"
    r"(?P<start>\d{8}T\d{6})Z_(?P<fingerprint>[0-9a-f]{12})(?P<ending>\.[A-Za-z0-9.]+)\Z"
)


@dataclass(frozen=True)
class KeyParts:
    """What a key says of its recording. start_utc: to the second; fingerprint: its first 12 digits."""

    site: str
    camera: str
    start_utc: datetime
    fingerprint: str
    ending: str


@dataclass(frozen=True)
class Owner:
    """The recording that a key belongs to. has_sheet: whether it is known how its sprite sheet is laid out."""

    known: Known
    rendition_sha256: str
    duration_s: float
    has_sheet: bool


@dataclass(frozen=True)
class Found:
    """A rendition that was understood, but whose recording the catalogue has not. duration_s as probed.

    profile None: of an original, which none made. archived_at (UTC): None for now. damaged: what is wrong with it.
    """

    site: str
    camera: str
    start_utc: datetime
    fingerprint: str
    time_basis: str
    source_name: str
    source_bytes: int
    source_sha256: str
    kind: Literal["encoded", "remuxed", "original"]
    profile: str | None
    duration_s: float
    codec: str | None
    audio_codec: str | None
    width: int
    height: int
    fps: float | None
    archived_at: datetime | None = None
    damaged: str | None = None


class Unrecordable(Exception):
    """What an object says of itself fits no recording; the text says why."""


def read_key(key: str) -> KeyParts | None:
    """The parts of a key of ours, None for any other."""
    found = _KEY.match(key)
    if not found:
        return None
    try:
        start = datetime.strptime(found["start"], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return KeyParts(found["site"], found["camera"], start, found["fingerprint"], found["ending"])


def owner_of(conn: Connection, parts: KeyParts) -> Owner | None:
    """The recording that this key was made for."""
    found = fetch_one(
        conn,
        f"SELECT {KNOWN}, coalesce(encode(r.rendition_sha256, 'hex'), ''), r.duration_s,"  # noqa: S608 (a constant)
        " r.sprite IS NOT NULL FROM recording r"
        " WHERE r.camera_id = (SELECT camera_id FROM camera c JOIN site s USING (site_id)"
        "                      WHERE s.slug = %s AND c.slug = %s)"
        " AND r.start_at >= %s AND r.start_at < %s AND left(replace(r.fingerprint::text, '-', ''), 12) = %s LIMIT 1",
        [parts.site, parts.camera, parts.start_utc, parts.start_utc + timedelta(seconds=1), parts.fingerprint],
    )
    return Owner(Known(*found[:7]), *found[7:]) if found else None


def live_key(conn: Connection, known: Known, store_id: int, part: Part) -> str:
    """Under which key this store has the recording's part already; "" when it has not."""
    found = fetch_one(
        conn,
        "SELECT key FROM copy WHERE recording_id = %s AND start_at = %s AND store_id = %s AND part = %s AND state = 0",
        [known.recording_id, known.start_utc, store_id, PARTS[part]],
    )
    return str(found[0]) if found else ""


def keep_sheet(conn: Connection, owner: Owner, sheet: dict[str, Any]) -> None:
    """Remember how the recording's sprite sheet is laid out."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "UPDATE recording SET sprite = %s WHERE recording_id = %s AND start_at = %s AND sprite IS NULL",
            (Json(sheet), owner.known.recording_id, owner.known.start_utc),
        )


def make_places(conn: Connection, config: Config, store: StoreConfig, identity: str) -> int:
    """Sites, their cameras and this store as sites.yaml has them; the store's number. Raises CatalogueError when the
    catalogue knows another store by this name."""
    with conn, conn.cursor() as cursor:
        for site in sorted(config.sites, key=lambda each: each.id):  # as whoever else holds several
            keep_cameras(cursor, keep_site(cursor, site), site, set())
        (number,) = keep_stores(cursor, (store,))
        set_store_identity(cursor, number, identity)
        return number


def site_known(conn: Connection, site: str) -> bool:
    """Whether the catalogue knows the site."""
    return fetch_one(conn, "SELECT 1 FROM site WHERE slug = %s", [site]) is not None


def add_copy(conn: Connection, actor: Actor, owner: Owner, copy: CopyReceipt) -> None:
    """The recording has this copy, too: its row was missing."""
    with conn, conn.cursor() as cursor:
        hold_camera(cursor, owner.known.camera_id)
        keep_copies(cursor, actor, (copy,), owner.known)
        note(cursor, actor, "adopted", owner.known, store=copy.store_id, part=copy.part, key=copy.key)


def add_recording(conn: Connection, actor: Actor, found: Found, copy: CopyReceipt) -> None:
    """Take in a recording with this one copy, as its own metadata tells of it.

    No source of it is known on site, so it is released; a source that lies there all the same is recognised by the
    next look. Raises Unrecordable: what an object says of itself is said by whoever has put it there.
    """
    ensure_months_of(conn, [found.start_utc], actor.now)
    try:
        _add_recording(conn, actor, found, copy)
    except psycopg2.errors.UniqueViolation:
        raise  # a run has registered it at this moment
    except (psycopg2.DataError, psycopg2.IntegrityError, ValueError, OverflowError) as error:
        why = str(error).strip().splitlines()[0]
        raise Unrecordable(f"the catalogue can't hold what it says of itself ({why})") from error


def _add_recording(conn: Connection, actor: Actor, found: Found, copy: CopyReceipt) -> None:
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "INSERT INTO camera (site_id, slug, name) SELECT site_id, %s, %s FROM site WHERE slug = %s"
            " ON CONFLICT (site_id, slug) DO NOTHING",
            (found.camera, found.camera, found.site),
        )
        cursor.execute(
            "SELECT s.site_id, c.camera_id, s.tz FROM camera c JOIN site s USING (site_id)"
            " WHERE s.slug = %s AND c.slug = %s",
            (found.site, found.camera),
        )
        site_id, camera_id, zone = cursor.fetchone() or (0, 0, "UTC")
        hold_camera(cursor, camera_id)
        end = end_of(found.start_utc, found.duration_s)
        facts: dict[str, Any] = {
            "site_id": site_id,
            "camera_id": camera_id,
            "start_at": found.start_utc,
            "end_at": end,
            "duration_s": length_of(found.duration_s),
            "fingerprint": found.fingerprint,
            "custody": 2,
            "archived_at": found.archived_at or actor.now,
            "time_basis": found.time_basis,
            "time_marks": _marks(found.start_utc, actor.now),
            "source_name": found.source_name,
            "source_bytes": found.source_bytes,
            "source_sha256": bytes.fromhex(found.source_sha256),
            "rendition_bytes": copy.size_bytes,
            "rendition_sha256": bytes.fromhex(copy.sha256),
            "kind": found.kind,
            "profile": found.profile,
            "codec": found.codec,
            "audio_codec": found.audio_codec,
            "width": side(found.width),
            "height": side(found.height),
            "fps": rate_of(found.fps),
            "damaged": found.damaged,
        }
        cursor.execute(
            f"INSERT INTO recording ({', '.join(facts)}) VALUES ({', '.join(['%s'] * len(facts))})"  # noqa: S608
            " ON CONFLICT (camera_id, fingerprint, start_at) DO NOTHING RETURNING recording_id",
            list(facts.values()),
        )
        row = cursor.fetchone()
        if row is None:
            return  # it has been registered meanwhile; the next round finds it
        known = Known(row[0], found.start_utc, site_id, camera_id, 2, found.time_basis, found.fingerprint)
        keep_copies(cursor, actor, (copy,), known)
        note(cursor, actor, "adopted", known, store=copy.store_id, part=copy.part, key=copy.key)
        rebuild_days(cursor, camera_id, ZoneInfo(zone), found.start_utc, end)


def _marks(start: datetime, now: datetime) -> list[str]:
    if start > now:
        return ["future"]
    return ["before_2000"] if start.year < 2000 else []
