"""What the page Operations asks beside what `vms status` does: newest footage of each camera, batches of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from vms.catalogue.connection import Connection, fetch_all


@dataclass(frozen=True)
class CameraEnd:
    """Where the archived footage of a camera ends (UTC), None when there is none."""

    site: str
    camera: str
    name: str
    last_utc: datetime | None


@dataclass(frozen=True)
class RunBatch:
    """A batch of a run. position: also the index of its tasks."""

    dag_id: str
    run_id: str
    position: int
    title: str


def camera_ends(conn: Connection) -> list[CameraEnd]:
    """Every camera, by site and name, from the sums by day."""
    found = fetch_all(
        conn,
        """
        SELECT s.slug, c.slug, c.name, d.last_at
        FROM camera c
        JOIN site s USING (site_id)
        LEFT JOIN LATERAL (
            SELECT last_at FROM camera_day WHERE camera_day.camera_id = c.camera_id AND last_at IS NOT NULL
            ORDER BY day DESC LIMIT 1
        ) AS d ON true
        ORDER BY s.slug, lower(c.name), c.slug
        """,
        [],
    )
    return [CameraEnd(*row) for row in found]


def batches_of_runs(conn: Connection, runs: Sequence[tuple[str, str]]) -> list[RunBatch]:
    """The batches of these (dag id, run id) in their order; a run that has no plan yet has none."""
    found = fetch_all(
        conn,
        """
        SELECT run.dag_id, run.run_id, b.position, b.title
        FROM unnest(%s::text[], %s::text[]) AS wanted (dag_id, run_id)
        JOIN run ON run.dag_id = wanted.dag_id AND run.run_id = wanted.run_id
        JOIN batch b USING (run_no)
        ORDER BY run.dag_id, run.run_id, b.position
        """,
        [[dag_id for dag_id, _ in runs], [run_id for _, run_id in runs]],
    )
    return [RunBatch(*row) for row in found]
