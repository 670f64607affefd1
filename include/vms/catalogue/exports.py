"""Exports that people order in the viewer: ordered, worked on, handed out, gone.

Orders are made and ended with the viewer's role and seen by who made them, and by administrators (everybody's). How far
they are is written by the worker alone, with the owner's role. All times are UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from vms.catalogue.connection import AMONG, Connection, fetch_all, fetch_one, pairs_of
from vms.errors import CatalogueError
from vms.model import Cut, Gaps

ExportState = Literal["queued", "running", "done", "failed", "cancelled", "expired"]


@dataclass(frozen=True)
class NewExport:
    """What somebody orders: footage of these (site, camera) ids in [from_utc, to_utc), and what is made of it."""

    user_id: int
    cameras: tuple[tuple[str, str], ...]
    from_utc: datetime
    to_utc: datetime
    reason: str
    clip: bool = False
    burn_in: bool = False
    evidence: bool = False
    cut: Cut = "exact"
    gaps: Gaps = "short"
    only_clips: bool = False


@dataclass(frozen=True)
class ExportRow:
    """One order. cameras: (site, camera) ids, of those that the asking role sees; all_granted: whether these are all.

    done, total: of the step under way, in bytes (files, packing), seconds (clips) or recordings (stills). time_zone: of
    the cameras' sites.
    """

    export_id: int
    user_id: int
    who: str
    made_at: datetime
    from_utc: datetime
    to_utc: datetime
    clip: bool
    burn_in: bool
    evidence: bool
    reason: str
    state: ExportState
    step: str
    done: float
    total: float
    files_done: int
    files: int
    size_bytes: int | None
    fault: str
    message: str
    remedy: str
    tries: int
    started_at: datetime | None
    finished_at: datetime | None
    cancel_at: datetime | None
    kept_until: datetime | None
    all_granted: bool
    time_zone: str
    cut: Cut
    gaps: Gaps
    only_clips: bool
    cameras: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Asker:
    """Who ordered an export, as they stand now. asking: for whom the worker looks for footage (see connection)."""

    name: str
    role: str
    asking: str
    is_disabled: bool


_ROWS = """
    SELECT e.export_id, e.user_id, u.name, e.made_at, e.from_at, e.to_at, e.clip, e.burn_in, e.evidence, e.reason,
           e.state, e.step, e.done, e.total, e.files_done, e.files, e.size_bytes, e.fault, e.message, e.remedy,
           e.tries, e.started_at, e.finished_at, e.cancel_at, e.kept_until,
           (SELECT count(*) = count(c.camera_id) FROM export_camera x LEFT JOIN camera c USING (camera_id)
            WHERE x.export_id = e.export_id),
           coalesce((SELECT min(s.tz) FROM export_camera x JOIN camera c USING (camera_id) JOIN site s USING (site_id)
                     WHERE x.export_id = e.export_id), 'UTC'), e.cut, e.gaps, e.only_clips,
           ARRAY(SELECT s.slug || '/' || c.slug FROM export_camera x JOIN camera c USING (camera_id)
                 JOIN site s USING (site_id) WHERE x.export_id = e.export_id ORDER BY s.slug, c.slug)
    FROM export_order e JOIN viewer_user u USING (user_id)
"""


def add_export(conn: Connection, order: NewExport) -> int:
    """Order an export; returns its number. Raises CatalogueError when a camera is none that the asker sees."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            f"SELECT c.camera_id FROM camera c JOIN site s USING (site_id) WHERE {AMONG}",  # noqa: S608 (a constant)
            pairs_of(order.cameras),
        )
        cameras = [row[0] for row in cursor.fetchall()]
        if not cameras or len(cameras) != len(set(order.cameras)):
            raise CatalogueError("An export was ordered of a camera that is not there.", "Choose from those shown.")
        cursor.execute(
            "INSERT INTO export_order (user_id, from_at, to_at, clip, burn_in, evidence, reason, cut, gaps,"
            " only_clips) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING export_id",
            (
                order.user_id,
                order.from_utc,
                order.to_utc,
                order.clip,
                order.burn_in and order.clip and order.cut == "exact",
                order.evidence,
                order.reason,
                order.cut,
                order.gaps,
                order.only_clips and order.clip,
            ),
        )
        (export_id,) = cursor.fetchone() or (0,)
        cursor.execute("INSERT INTO export_camera (export_id, camera_id) SELECT %s, unnest(%s)", (export_id, cameras))
    return int(export_id)


def list_exports(conn: Connection, user_id: int, *, everybody: bool, limit: int = 50) -> list[ExportRow]:
    """The newest exports of this user, or of everybody."""
    found = fetch_all(
        conn,
        f"{_ROWS} WHERE (%s OR e.user_id = %s) ORDER BY e.export_id DESC LIMIT %s",
        [everybody, user_id, limit],
    )
    return [_row(one) for one in found]


def get_export(conn: Connection, export_id: int, user_id: int, *, everybody: bool) -> ExportRow | None:
    """This export, when it is this user's or when everybody's may be seen."""
    found = fetch_one(
        conn, f"{_ROWS} WHERE e.export_id = %s AND (%s OR e.user_id = %s)", [export_id, everybody, user_id]
    )
    return _row(found) if found else None


def count_open(conn: Connection, user_id: int) -> int:
    """How many exports of this user wait or are being made."""
    found = fetch_one(
        conn, "SELECT count(*) FROM export_order WHERE user_id = %s AND state IN ('queued', 'running')", [user_id]
    )
    return int(found[0]) if found else 0


def ask_cancel(conn: Connection, export_id: int, user_id: int, *, everybody: bool) -> bool:
    """Ask for the end of an export that waits or is being made. Returns whether there was one."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "UPDATE export_order SET cancel_at = now()"
            " WHERE export_id = %s AND (%s OR user_id = %s) AND state IN ('queued', 'running') AND cancel_at IS NULL",
            (export_id, everybody, user_id),
        )
        return cursor.rowcount == 1


def ask_delete(conn: Connection, export_id: int, user_id: int, *, everybody: bool) -> bool:
    """Hand out a finished export no more; the worker removes its files. Returns whether there was one."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "UPDATE export_order SET kept_until = now()"
            " WHERE export_id = %s AND (%s OR user_id = %s) AND state = 'done' AND kept_until > now()",
            (export_id, everybody, user_id),
        )
        return cursor.rowcount == 1


def open_counts(conn: Connection) -> tuple[int, int]:
    """How many exports wait and how many are being made, whoever ordered them."""
    found = fetch_one(
        conn,
        "SELECT count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state = 'running')"
        " FROM export_order WHERE state IN ('queued', 'running')",
        [],
    )
    return (int(found[0]), int(found[1])) if found else (0, 0)


def next_export(conn: Connection) -> ExportRow | None:
    """Take up the next order: one that a worker left unfinished, else the oldest that waits."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "UPDATE export_order SET state = 'running', tries = tries + 1, started_at = coalesce(started_at, now())"
            " WHERE export_id = (SELECT export_id FROM export_order WHERE state IN ('queued', 'running')"
            "                    ORDER BY state = 'queued', export_id LIMIT 1 FOR UPDATE)"
            " RETURNING export_id"
        )
        found = cursor.fetchone()
    return get_export(conn, found[0], 0, everybody=True) if found else None


def save_progress(
    conn: Connection, export_id: int, step: str, done: float, total: float, files_done: int, files: int
) -> bool:
    """How far it is. Returns whether somebody has asked for its end."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "UPDATE export_order SET step = %s, done = %s, total = %s, files_done = %s, files = %s"
            " WHERE export_id = %s RETURNING cancel_at IS NOT NULL",
            (step, done, total, files_done, files, export_id),
        )
        found = cursor.fetchone()
    return bool(found and found[0])


def finish_export(
    conn: Connection,
    export_id: int,
    state: ExportState,
    *,
    size_bytes: int | None = None,
    kept_until: datetime | None = None,
    fault: str = "",
    message: str = "",
    remedy: str = "",
) -> None:
    """What has become of it."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "UPDATE export_order SET state = %s, size_bytes = %s, kept_until = %s, fault = %s, message = %s,"
            " remedy = %s, finished_at = now() WHERE export_id = %s",
            (state, size_bytes, kept_until, fault, message, remedy, export_id),
        )


def expired_exports(conn: Connection) -> list[int]:
    """The finished exports whose time has passed."""
    found = fetch_all(
        conn, "SELECT export_id FROM export_order WHERE state = 'done' AND kept_until <= now() ORDER BY export_id", []
    )
    return [row[0] for row in found]


def note_expired(conn: Connection, export_id: int) -> None:
    """Its files are gone."""
    with conn, conn.cursor() as cursor:
        cursor.execute("UPDATE export_order SET state = 'expired' WHERE export_id = %s", (export_id,))


def kept_exports(conn: Connection, export_ids: Sequence[int]) -> set[int]:
    """Those of these whose files are used or may be gone on with."""
    found = fetch_all(
        conn,
        "SELECT export_id FROM export_order WHERE export_id = ANY(%s) AND state IN ('queued', 'running', 'done')",
        [list(export_ids)],
    )
    return {row[0] for row in found}


def asker_of(conn: Connection, user_id: int) -> Asker:
    """Who this user is now, and what they see."""
    found = fetch_one(
        conn, "SELECT name, role, everywhere, disabled_at IS NOT NULL FROM viewer_user WHERE user_id = %s", [user_id]
    )
    if found is None:
        raise CatalogueError(f"There is no user number {user_id}.", "The catalogue was changed by hand.")
    name, role, everywhere, disabled = found
    return Asker(name, role, "*" if everywhere else str(user_id), disabled)


def _row(found: tuple[Any, ...]) -> ExportRow:
    values: list[Any] = [*found[:-1], tuple(tuple(one.split("/")) for one in found[-1])]
    return ExportRow(*values)
