"""Recordings that can be played, with where their bytes lie: for the viewer's player.

All functions work with the viewer's role; all times are UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

from vms.catalogue.connection import Connection, Params, fetch_all
from vms.catalogue.recording_search import LONGEST
from vms.catalogue.rows import PARTS
from vms.catalogue.timeline import CameraKey


@dataclass(frozen=True)
class Place:
    """A store that holds a rendition, and under which key."""

    store_name: str
    store_url: str
    store_identity: str | None
    store_conn_id: str
    key: str


@dataclass(frozen=True)
class Playable:
    """A recording with where its rendition lies, in the order in which its stores were first used.

    codec: of the picture. suffix: of the file, such as ".mp4". damaged: what is wrong with the footage, or "".
    """

    recording_id: int
    start_utc: datetime
    end_utc: datetime
    duration_s: float
    codec: str
    kind: str
    damaged: str
    size_bytes: int
    fps: float | None
    places: tuple[Place, ...]

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.places[0].key).suffix.lower() if self.places else ""


def playable(conn: Connection, camera: CameraKey, from_utc: datetime, to_utc: datetime, most: int) -> list[Playable]:
    """The first `most` archived recordings of a camera that overlap [from_utc, to_utc), by start."""
    return _playable(
        conn,
        """
        (SELECT c.camera_id FROM camera c JOIN site s USING (site_id) WHERE s.slug = %s AND c.slug = %s) AS head
        CROSS JOIN LATERAL (
            SELECT recording_id, start_at FROM recording
            WHERE recording.camera_id = head.camera_id AND custody IN (1, 2)
              AND start_at >= %s AND start_at < %s AND (end_at > %s OR start_at >= %s)
            ORDER BY start_at, recording_id LIMIT %s
        ) AS chosen
        """,
        [*camera, from_utc - LONGEST, to_utc, from_utc, from_utc, most],
    )


def playable_recording(conn: Connection, recording_id: int, start_utc: datetime) -> Playable | None:
    """One archived recording; None when there is none (any more)."""
    chosen = "(SELECT %s::bigint AS recording_id, %s::timestamptz AS start_at) AS chosen"
    found = _playable(conn, chosen, [recording_id, start_utc])
    return found[0] if found else None


def _playable(conn: Connection, chosen: str, params: Params) -> list[Playable]:
    """chosen: FROM body that gives recording_id and start_at as `chosen`."""
    found = fetch_all(
        conn,
        f"""
        SELECT r.recording_id, r.start_at, r.end_at, r.duration_s::float8, coalesce(r.codec, ''), coalesce(r.kind, ''),
               coalesce(r.damaged, ''), coalesce(r.rendition_bytes, 0), r.fps::float8, k.places
        FROM {chosen}
        CROSS JOIN LATERAL (
            SELECT * FROM recording
            WHERE recording.recording_id = chosen.recording_id AND recording.start_at = chosen.start_at
              AND custody IN (1, 2)
            OFFSET 0  -- one by one by key, never by reading months into a hash
        ) AS r
        CROSS JOIN LATERAL (
            SELECT json_agg(json_build_array(st.name, st.url, st.identity, st.conn_id, copy.key) ORDER BY copy.store_id)
                   AS places
            FROM copy JOIN store st USING (store_id)
            WHERE copy.recording_id = r.recording_id AND copy.start_at = r.start_at
              AND copy.part = %s AND copy.state = 0
        ) AS k
        ORDER BY r.start_at, r.recording_id
        """,  # noqa: S608 (put together from constant pieces)
        [*params, PARTS["rendition"]],
    )
    return [
        Playable(
            number, start, end, seconds, codec, kind, damaged, size, fps, tuple(Place(*place) for place in places or ())
        )
        for number, start, end, seconds, codec, kind, damaged, size, fps, places in found
    ]
