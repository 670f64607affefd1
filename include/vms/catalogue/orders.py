"""Release orders: which recordings are archived, where their proven copies lie, which source files may go and when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from psycopg2.extensions import cursor as Cursor  # noqa: N812 (psycopg2 names its class in lower case)

from vms.catalogue.places import load_stores
from vms.catalogue.rows import PARTS, Part
from vms.model import BatchItem, EarlierCopy, ReleaseOrder
from vms.receipts import CopyReceipt
from vms.sightings import SourceSeen

DUE_LIMIT = 500
"""Most recordings that one run releases; the rest is next run's."""

AGAIN_AFTER = timedelta(hours=1)
"""How long a recording whose sources could not be removed waits before it is tried again."""

Place = tuple[int, datetime]
"""A recording as its key: recording_id, start_utc."""

_PART_NAMES: dict[int, Part] = {number: part for part, number in PARTS.items()}


def select_due(
    cursor: Cursor, site_id: int, keep_source: timedelta, now: datetime, planned_at: datetime
) -> list[Place]:
    """Archived recordings whose sources have been kept long enough, marked as tried by the run planned at planned_at.

    The same run asked again gets its own again.
    """
    cursor.execute(
        """
        SELECT recording_id, start_at FROM recording
        WHERE site_id = %s AND custody = 1 AND archived_at <= %s
          AND (release_tried_at IS NULL OR release_tried_at <= %s OR release_tried_at = %s)
        ORDER BY release_tried_at NULLS FIRST, archived_at
        LIMIT %s FOR UPDATE
        """,
        (site_id, now - keep_source, now - AGAIN_AFTER, planned_at, DUE_LIMIT),
    )
    places: list[Place] = sorted(cursor.fetchall(), key=lambda place: (place[1], place[0]))
    for place in places:
        cursor.execute(
            "UPDATE recording SET release_tried_at = %s WHERE recording_id = %s AND start_at = %s", (planned_at, *place)
        )
    return places


def load_orders(cursor: Cursor, places: Sequence[Place], keep_source: timedelta | None) -> tuple[ReleaseOrder, ...]:
    """The orders for these recordings, in their order. keep_source: how long after archiving the sources stay."""
    stores = load_stores(cursor)
    orders = []
    for item in load_items(cursor, places):
        cursor.execute(
            "SELECT encode(source_sha256, 'hex'), archived_at FROM recording WHERE recording_id = %s AND start_at = %s",
            (item.recording_id, item.start_utc),
        )
        sha256, archived_at = cursor.fetchone() or ("", None)
        copies = load_copies(cursor, (item.recording_id, item.start_utc))
        holders = sorted({copy.store_id for copy in copies if copy.part == "rendition"})
        orders.append(
            ReleaseOrder(
                recording_id=item.recording_id,
                start_utc=item.start_utc,
                source_sha256=sha256 or "",
                staging_stem=item.staging_stem,
                keep_until=None if keep_source is None or archived_at is None else archived_at + keep_source,
                sources=item.sources,
                copies=copies,
                stores=tuple(stores[store_id] for store_id in holders),
            )
        )
    return tuple(orders)


def load_copies(cursor: Cursor, place: Place) -> tuple[CopyReceipt, ...]:
    """All proven copies of a recording: rendition, poster and sprite sheet."""
    cursor.execute(
        "SELECT store_id, part, key, size_bytes, encode(sha256, 'hex'), checksum, verified_at FROM copy"
        " WHERE recording_id = %s AND start_at = %s AND state = 0 ORDER BY store_id, part",
        place,
    )
    return tuple(
        CopyReceipt(store_id, _PART_NAMES[part], key, size_bytes, sha256, checksum, verified_at, bytes_sent=0)
        for store_id, part, key, size_bytes, sha256, checksum, verified_at in cursor.fetchall()
    )


def load_items(cursor: Cursor, places: Sequence[Place], *, also_gone: bool = False) -> list[BatchItem]:
    """These recordings as work to do, in this order; those that the catalogue no longer holds are left out.

    also_gone: where no source is left on site, name those that there were.
    """
    if not places:
        return []
    starts = [start for _, start in places]
    wanted = ([recording_id for recording_id, _ in places], starts)
    cursor.execute(
        """
        SELECT n.recording_id, n.is_left, n.path, n.size_bytes, n.mtime_ns
        FROM unnest(%s::bigint[], %s::timestamptz[]) AS wanted (recording_id, start_at)
        CROSS JOIN LATERAL (
            SELECT *, s.released_at IS NULL AND s.replaced_at IS NULL AS is_left FROM recording_source s
            WHERE s.recording_id = wanted.recording_id AND s.start_at = wanted.start_at
            OFFSET 0  -- one by one by key, never by reading months into a hash
        ) AS n
        ORDER BY n.first_seen DESC, n.path
        """,
        wanted,
    )
    left: dict[int, list[SourceSeen]] = defaultdict(list)
    gone: dict[int, list[SourceSeen]] = defaultdict(list)
    for recording_id, is_left, *seen in cursor.fetchall():
        (left if is_left else gone)[recording_id].append(SourceSeen(*seen))
    earlier = _earlier_copies(cursor, wanted)
    cursor.execute(
        """
        SELECT r.recording_id, s.slug, c.slug, r.start_at, replace(r.fingerprint::text, '-', ''),
               r.duration_s::float8, r.time_basis
        FROM unnest(%s::bigint[], %s::timestamptz[]) WITH ORDINALITY AS wanted (recording_id, start_at, position)
        CROSS JOIN LATERAL (
            SELECT * FROM recording
            WHERE recording.recording_id = wanted.recording_id AND recording.start_at = wanted.start_at
            OFFSET 0
        ) AS r
        JOIN camera c ON c.camera_id = r.camera_id
        JOIN site s ON s.site_id = r.site_id
        ORDER BY wanted.position
        """,
        wanted,
    )
    return [
        BatchItem(
            recording_id=recording_id,
            site=site,
            camera=camera,
            start_utc=start,
            fingerprint=fingerprint,
            duration_s=duration_s,
            time_basis=basis,
            sources=tuple(left[recording_id] or (gone[recording_id] if also_gone else ())),
            earlier=tuple(earlier[recording_id]),
        )
        for recording_id, site, camera, start, fingerprint, duration_s, basis in cursor.fetchall()
    ]


def _earlier_copies(cursor: Cursor, wanted: tuple[list[int], list[datetime]]) -> dict[int, list[EarlierCopy]]:
    cursor.execute(
        r"""
        SELECT k.recording_id, k.store_id, k.part, k.key, k.state = 3
        FROM unnest(%s::bigint[], %s::timestamptz[]) AS wanted (recording_id, start_at)
        CROSS JOIN LATERAL (
            SELECT * FROM copy
            WHERE copy.recording_id = wanted.recording_id AND copy.start_at = wanted.start_at
              AND (copy.state = 3 OR copy.state = 0 AND copy.key ~ '\.r[0-9]+\.')
            OFFSET 0
        ) AS k
        ORDER BY k.store_id, k.part
        """,
        wanted,
    )
    found: dict[int, list[EarlierCopy]] = defaultdict(list)
    for recording_id, store_id, part, key, broken in cursor.fetchall():
        found[recording_id].append(EarlierCopy(store_id, _PART_NAMES[part], key, broken))
    return found
