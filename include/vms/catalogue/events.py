"""Writing lineage: one append-only row for each thing that happened to a recording.

Always called inside the transaction that makes the thing true, so that there is never one without the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg2.extensions import cursor as Cursor  # noqa: N812 (psycopg2 names its class in lower case)
from psycopg2.extras import Json

from vms.model import RunRef

Event = Literal[
    "planned",
    "source_seen",
    "withdrawn",
    "quarantined",
    "retry_asked",
    "resolved",
    "failed",
    "compressed",
    "copied",
    "copy_failed",
    "copy_damaged",
    "copy_lost",
    "lost",
    "replanned",
    "repaired",
    "recompressed",
    "retired",
    "adopted",
    "archived",
    "release_kept",
    "released",
    "purge_marked",
    "purge_withdrawn",
    "purge_refused",
    "copy_purged",
    "purged",
    "purge_undone",
]


@dataclass(frozen=True)
class Actor:
    """Who acts, and when (UTC): one per call that writes."""

    run: RunRef
    now: datetime


@dataclass(frozen=True)
class Known:
    """A recording that the catalogue holds, locked by the transaction that loaded it. custody as rows.CUSTODY."""

    recording_id: int
    start_utc: datetime
    site_id: int
    camera_id: int
    custody: int
    time_basis: str
    fingerprint: str


KNOWN = (
    "r.recording_id, r.start_at, r.site_id, r.camera_id, r.custody, r.time_basis, replace(r.fingerprint::text, '-', '')"
)
"""The columns of `Known`, of a recording r."""


def note(cursor: Cursor, actor: Actor, event: Event, known: Known, **detail: Any) -> None:
    """Add one event. detail: plain JSON values."""
    run = actor.run
    cursor.execute(
        "INSERT INTO lineage (at, recording_id, start_at, site_id, camera_id, event, dag_id, run_id, task_id,"
        " map_index, try_number, host, detail) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            actor.now,
            known.recording_id,
            known.start_utc,
            known.site_id,
            known.camera_id,
            event,
            run.dag_id,
            run.run_id,
            run.task_id,
            run.map_index,
            run.try_number,
            run.host,
            Json(detail),
        ),
    )
