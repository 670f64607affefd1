"""What the catalogue knows of cameras along time: which recordings there are, in how many copies, and what is
held. For the viewer's timeline; what its player needs is in `playables`.

Every question is bounded by cameras and time, and goes camera by camera along the index of recordings. All functions
work with the viewer's role; all times are UTC.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from vms.catalogue.connection import AMONG, Connection, fetch_all, fetch_one, pairs_of
from vms.catalogue.recording_search import LONGEST
from vms.stores.cold import COLD_CLASSES

CameraKey = tuple[str, str]
"""(site, camera)"""


class Stretch(NamedTuple):
    """A recording that can be watched; a page has thousands. lacking: a store that shall hold it has no good copy yet.

    damaged: the footage itself is. doubtful: its time is (a clock change, a recorder with a wrong clock). cold: it lies
    only in stores whose footage has to be restored before it is read, or was found to, and no restore of it lasts.
    """

    camera: CameraKey
    recording_id: int
    start_utc: datetime
    end_utc: datetime
    lacking: bool
    damaged: bool
    doubtful: bool
    cold: bool = False


def stretches(conn: Connection, cameras: Sequence[CameraKey], from_utc: datetime, to_utc: datetime) -> list[Stretch]:
    """The archived recordings of these cameras that overlap [from_utc, to_utc), by camera and start.

    Every recording is a row: ask for no more than some days of some cameras; for longer there is
    `coverage.load_facts`.
    """
    near = (from_utc - LONGEST, to_utc)
    found = fetch_all(
        conn,
        f"""
        SELECT head.site, head.camera, r.recording_id, r.start_at, r.end_at,
               CASE WHEN EXISTS (SELECT FROM store WHERE options->>'storage_class' = ANY(%s)) THEN (
                   SELECT bool_and(coalesce(st.options->>'storage_class', '') = ANY(%s))
                   FROM copy k JOIN store st USING (store_id)
                   WHERE k.recording_id = r.recording_id AND k.start_at = r.start_at AND k.part = 0 AND k.state = 0
               ) END
        FROM (
            SELECT camera_id, s.slug AS site, c.slug AS camera FROM camera c JOIN site s USING (site_id) WHERE {AMONG}
        ) AS head
        CROSS JOIN LATERAL (
            -- from the index alone: the rows of a day lie on as many pages
            SELECT recording_id, start_at, end_at FROM recording
            WHERE recording.camera_id = head.camera_id AND start_at >= %s AND start_at < %s AND custody IN (1, 2)
              AND (start_at >= %s OR end_at > %s)
            OFFSET 0
        ) AS r
        ORDER BY head.site, head.camera, r.start_at, r.recording_id
        """,  # noqa: S608 (a constant)
        [[*COLD_CLASSES], [*COLD_CLASSES], *pairs_of(cameras), *near, from_utc, from_utc],
    )
    # What is true of few is asked by itself: asking it of each of thousands of rows takes longer than all the rest.
    odd = _odd(conn, cameras, near)
    lacking = _lacking_of(conn, cameras, near, [(row[2], row[3]) for row in found])
    cold = {row[1] for row in _found_cold(conn, near)} | {row[2] for row in found if row[5]}
    cold -= _restored(conn, [(row[2], row[3]) for row in found if row[2] in cold])
    lost = {one.recording_id for one, is_lost in odd if is_lost}
    by_number = {one.recording_id: one for one, _ in odd}
    stretches = [
        Stretch((site, camera), number, start, end, number in lacking, False, False, number in cold)
        for site, camera, number, start, end, _ in found
        if number not in lost
    ]
    for at, one in enumerate(stretches):
        if known := by_number.get(one.recording_id):
            stretches[at] = one._replace(damaged=known.damaged, doubtful=known.doubtful)
    return stretches


def deviating(
    conn: Connection, cameras: Sequence[CameraKey], from_utc: datetime, to_utc: datetime, most: int, *, copies: bool
) -> tuple[list[Stretch], bool]:
    """The archived recordings about which something is not as it should be, by camera and start, for any length of
    time; and whether these are all that there are.

    No more is read than `most` damaged and doubtful ones of a camera, `most` copies that a site lacks in this time, and
    `most` recordings that were found cold. copies: ask for lacking copies and cold footage at all; they are found only
    by looking through what others may not see, so ask it for who sees everything.
    """
    near = (from_utc - LONGEST, to_utc)
    odd = _odd(conn, cameras, near, most + 1)
    found = {one.recording_id: one for one, lost in odd if not lost}
    are_all = copies and max(Counter(one.camera for one, _ in odd).values(), default=0) <= most
    if copies:
        for state, rows in (
            ("lacking", _lacking(conn, cameras, near, most + 1)),
            ("cold", _found_cold(conn, near, most + 1)),
        ):
            are_all = are_all and max(Counter(row[0] for row in rows).values(), default=0) <= most
            for one in _among(conn, cameras, from_utc, to_utc, [(row[1], row[2]) for row in rows]):
                known = found.get(one.recording_id, one)
                found[one.recording_id] = (
                    known._replace(lacking=True) if state == "lacking" else known._replace(cold=True)
                )
        if are_all and fetch_one(
            conn, "SELECT 1 FROM store WHERE options->>'storage_class' = ANY(%s)", [[*COLD_CLASSES]]
        ):
            are_all = False  # whose footage is cold can be told of each recording alone
    return sorted(found.values(), key=lambda one: (one.camera, one.start_utc, one.recording_id)), are_all


Near = tuple[datetime, datetime]
"""What can overlap a time starts from the one on and before the other."""


def _odd(
    conn: Connection, cameras: Sequence[CameraKey], near: Near, most: int | None = None
) -> list[tuple[Stretch, bool]]:
    """The first `most` of each camera's recordings that are damaged, of a doubtful time or lost; and whether lost, or
    not archived (any more)."""
    found = fetch_all(
        conn,
        f"""
        SELECT s.slug, c.slug, r.*
        FROM camera c JOIN site s USING (site_id)
        CROSS JOIN LATERAL (
            SELECT recording_id, start_at, end_at, coalesce(damaged, '') <> '', cardinality(time_marks) > 0,
                   lost_at IS NOT NULL OR custody NOT IN (1, 2)
            FROM recording
            WHERE recording.camera_id = c.camera_id AND start_at >= %s AND start_at < %s
              AND (coalesce(damaged, '') <> '' OR cardinality(time_marks) > 0 OR lost_at IS NOT NULL)
            ORDER BY start_at LIMIT %s
        ) AS r
        WHERE {AMONG}
        """,  # noqa: S608 (a constant)
        [*near, most, *pairs_of(cameras)],
    )
    return [
        (Stretch((site, camera), number, start, end, lacking=False, damaged=damaged, doubtful=doubtful), lost)
        for site, camera, number, start, end, damaged, doubtful, lost in found
    ]


def _lacking_of(
    conn: Connection, cameras: Sequence[CameraKey], near: Near, recordings: Sequence[tuple[int, datetime]]
) -> set[int]:
    """Those of these recordings of which a store that shall have a copy has none: from what their sites lack then, or,
    where that is more (a store is away), one by one."""
    rows = _lacking(conn, cameras, near, len(recordings) + 1)
    if max(Counter(row[0] for row in rows).values(), default=0) <= len(recordings):
        return {row[1] for row in rows}
    found = fetch_all(
        conn,
        """
        SELECT one.recording_id
        FROM unnest(%s::bigint[], %s::timestamptz[]) AS one (recording_id, start_at)
        WHERE EXISTS (
            SELECT FROM copy_wanted w WHERE w.recording_id = one.recording_id AND w.start_at = one.start_at OFFSET 0
        )
        """,
        [[one[0] for one in recordings], [one[1] for one in recordings]],
    )
    return {row[0] for row in found}


def _lacking(
    conn: Connection, cameras: Sequence[CameraKey], near: Near, most: int | None = None
) -> list[tuple[int, int, datetime]]:
    """(site_id, recording_id, start) of the first `most` copies that each of these cameras' sites lacks."""
    return fetch_all(
        conn,
        """
        SELECT s.site_id, w.recording_id, w.start_at
        FROM site s
        CROSS JOIN LATERAL (
            SELECT recording_id, start_at FROM copy_wanted
            WHERE copy_wanted.site_id = s.site_id AND start_at >= %s AND start_at < %s
            ORDER BY start_at LIMIT %s
        ) AS w
        WHERE s.slug = ANY(%s)
        """,
        [*near, most, list({site for site, _ in cameras})],
    )


def _found_cold(conn: Connection, near: Near, most: int | None = None) -> list[tuple[int, int, datetime]]:
    """(0, recording_id, start) of the first `most` recordings that were found cold though their stores are not."""
    return fetch_all(
        conn,
        "SELECT 0, recording_id, start_at FROM cold_recording WHERE start_at >= %s AND start_at < %s"
        " ORDER BY start_at LIMIT %s",
        [*near, most],
    )


def _restored(conn: Connection, recordings: Sequence[tuple[int, datetime]]) -> set[int]:
    """Those of these recordings that can be read for now, as a restore of them lasts."""
    if not recordings:
        return set()
    found = fetch_all(
        conn,
        """
        SELECT one.recording_id
        FROM unnest(%s::bigint[], %s::timestamptz[]) AS one (recording_id, start_at)
        WHERE EXISTS (  -- one by one by key
            SELECT FROM restore_asked a WHERE a.recording_id = one.recording_id AND a.start_at = one.start_at
              AND a.ready_at IS NOT NULL AND coalesce(a.until_at, 'infinity') > now()
            OFFSET 0
        )
        """,
        [[one[0] for one in recordings], [one[1] for one in recordings]],
    )
    return {row[0] for row in found}


def _among(
    conn: Connection,
    cameras: Sequence[CameraKey],
    from_utc: datetime,
    to_utc: datetime,
    recordings: Sequence[tuple[int, datetime]],
) -> list[Stretch]:
    """Those of these archived recordings that are of these cameras and overlap [from_utc, to_utc)."""
    near = [one for one in set(recordings) if from_utc - LONGEST <= one[1] < to_utc]
    found = fetch_all(
        conn,
        f"""
        SELECT s.slug, c.slug, r.recording_id, r.start_at, r.end_at
        FROM unnest(%s::bigint[], %s::timestamptz[]) AS one (recording_id, start_at)
        CROSS JOIN LATERAL (
            SELECT recording_id, start_at, end_at, camera_id FROM recording
            WHERE recording.recording_id = one.recording_id AND recording.start_at = one.start_at
              AND custody IN (1, 2) AND lost_at IS NULL
            OFFSET 0  -- one by one by key
        ) AS r
        JOIN camera c USING (camera_id) JOIN site s USING (site_id)
        WHERE r.end_at > %s AND {AMONG}
        """,  # noqa: S608 (a constant)
        [[one[0] for one in near], [one[1] for one in near], from_utc, *pairs_of(cameras)],
    )
    return [
        Stretch((site, camera), number, start, end, lacking=False, damaged=False, doubtful=False)
        for site, camera, number, start, end in found
    ]


def held(
    conn: Connection, cameras: Sequence[CameraKey], from_utc: datetime, to_utc: datetime
) -> list[tuple[CameraKey, datetime, datetime]]:
    """What holds keep of these cameras within [from_utc, to_utc): (camera, from, to), cut to what was asked."""
    found = fetch_all(
        conn,
        f"""
        SELECT s.slug, c.slug, greatest(h.from_at, %s), least(h.to_at, %s)
        FROM hold h
        JOIN hold_scope o USING (hold_id)
        JOIN site s ON s.site_id = o.site_id
        JOIN camera c ON c.site_id = o.site_id AND (o.camera_id IS NULL OR o.camera_id = c.camera_id)
        WHERE h.released_at IS NULL AND h.from_at < %s AND h.to_at > %s AND {AMONG}
        ORDER BY s.slug, c.slug, h.from_at
        """,  # noqa: S608 (a constant)
        [from_utc, to_utc, to_utc, from_utc, *pairs_of(cameras)],
    )
    return [((site, camera), begin, end) for site, camera, begin, end in found]
