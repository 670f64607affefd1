"""Plans of what to purge: each is written down before anything is deleted, with who let it and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from psycopg2.extensions import cursor as Cursor  # noqa: N812 (psycopg2 names its class in lower case)
from psycopg2.extras import Json, execute_values

from vms.catalogue.connection import Connection, fetch_all, fetch_one
from vms.errors import CatalogueError
from vms.retention import Decision, PlanSums
from vms.retention_breaker import Alarm

PlanState = Literal["waiting", "ready", "applying", "done", "rejected", "expired", "superseded"]

_CHUNK = 2000


@dataclass(frozen=True)
class PurgePlan:
    """A plan as it stands. Times are UTC; sizes bytes.

    state: waiting (somebody must approve it), ready, applying, done; rejected, expired, superseded: never applied.
    recordings: that lose their last copy; copies: that go. oldest, newest: where their footage starts. kept: by reason
    (copies, bytes) whose time has passed but that stay; held: recordings by hold number. outcome: copies by what
    became of them, and "bytes" that went.
    """

    plan_id: int
    made_at: datetime
    made_by: str
    state: PlanState
    recordings: int
    copies: int
    bytes: int
    oldest: datetime | None
    newest: datetime | None
    per_site: dict[str, dict[str, Any]]
    per_store: dict[str, dict[str, int]]
    kept: dict[str, dict[str, int]]
    held: dict[str, int]
    alarms: tuple[Alarm, ...]
    late: bool
    away: frozenset[int]
    expires_at: datetime
    answered_by: str
    answered_at: datetime | None
    answered_how: str
    applied_at: datetime | None
    finished_at: datetime | None
    outcome: dict[str, Any]


def begin_plan(cursor: Cursor, made_by: str, now: datetime, *, late: bool, away: Iterable[int]) -> int:
    """The number of a new, empty plan; older ones that were never applied are superseded by it."""
    cursor.execute("UPDATE purge_plan SET state = 'superseded' WHERE state IN ('waiting', 'ready')")
    cursor.execute(
        "INSERT INTO purge_plan (made_at, made_by, state, recordings, copies, bytes, per_site, per_store, kept, alarms,"
        " late, away, expires_at) VALUES (%s, %s, 'waiting', 0, 0, 0, '{}', '{}', '{}', '[]', %s, %s::smallint[], %s)"
        " RETURNING plan_id",
        (now, made_by, late, sorted(away), now),
    )
    (plan_id,) = cursor.fetchone() or (0,)
    return int(plan_id)


def add_items(cursor: Cursor, plan_id: int, decisions: Iterable[Decision]) -> None:
    """The copies that the plan would purge, some decisions at a time."""
    rows = [
        (plan_id, copy.store_id, one.recorded.recording_id, one.recorded.start_utc, copy.bytes, one.recorded.custody)
        for one in decisions
        for copy in one.purge
    ]
    execute_values(
        cursor,
        "INSERT INTO purge_item (plan_id, store_id, recording_id, start_at, bytes, custody) VALUES %s",
        rows,
        page_size=_CHUNK,
    )


def finish_plan(
    cursor: Cursor, plan_id: int, sums: PlanSums, found: tuple[Alarm, ...], now: datetime, answer_within: timedelta
) -> None:
    """Write down what it amounts to; it is ready, or waits for an answer when something is unusual."""
    per_site = {
        name: {
            "recordings": site.recordings,
            "copies": site.copies,
            "bytes": site.bytes,
            "oldest": site.oldest and site.oldest.isoformat(),
            "newest": site.newest and site.newest.isoformat(),
        }
        for name, site in sorted(sums.sites.items())
        if site.copies
    }
    kept: dict[str, Any] = {why: {"copies": many, "bytes": size} for why, (many, size) in sums.kept.items()}
    holds = {str(hold_id): many for hold_id, many in sorted(sums.by_hold.items())}
    cursor.execute(
        "UPDATE purge_plan SET state = %s, recordings = %s, copies = %s, bytes = %s, oldest = %s, newest = %s,"
        " per_site = %s, per_store = %s, kept = %s, alarms = %s, expires_at = %s WHERE plan_id = %s",
        (
            *("waiting" if found else "ready", sums.recordings, sums.copies, sums.bytes, sums.oldest, sums.newest),
            Json(per_site),
            Json({name: {"copies": many, "bytes": size} for name, (many, size) in sorted(sums.stores.items())}),
            Json({**kept, "by_hold": holds}),
            Json([asdict(alarm) for alarm in found]),
            *(now + answer_within, plan_id),
        ),
    )


def get_plan(conn: Connection, plan_id: int) -> PurgePlan:
    """This plan. Raises CatalogueError when there is none."""
    found = fetch_one(conn, f"{_SELECT} WHERE plan_id = %s", [plan_id])
    if found is None:
        raise CatalogueError(f"There is no plan {plan_id}.", "`vms retention history` shows the plans.")
    return _plan(found)


def list_plans(conn: Connection, limit: int, state: PlanState | None = None) -> list[PurgePlan]:
    """The newest plans, of this state only when one is given."""
    found = fetch_all(
        conn,
        f"{_SELECT} WHERE %s::text IS NULL OR state = %s ORDER BY plan_id DESC LIMIT %s",
        [state, state, limit],
    )
    return [_plan(row) for row in found]


def answer_plan(
    conn: Connection,
    plan_id: int,
    answer: Literal["approved", "rejected", "expired"],
    who: str,
    how: str,
    now: datetime,
) -> PurgePlan:
    """Say yes or no to a plan that waits, or that nobody answered. The same answer again changes nothing.

    Raises CatalogueError when the plan does not wait (any more), or its time is over.
    """
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "SELECT state, expires_at, answered_by FROM purge_plan WHERE plan_id = %s FOR UPDATE", (plan_id,)
        )
        found = cursor.fetchone()
        if found is None:
            raise CatalogueError(f"There is no plan {plan_id}.", "`vms retention history` shows the plans.")
        state, expires_at, answered_by = found
        wanted = {"approved": "ready", "rejected": "rejected", "expired": "expired"}[answer]
        late = answer == "approved" and state == "waiting" and expires_at <= now
        if state == "waiting" and not late:
            cursor.execute(
                "UPDATE purge_plan SET state = %s, answered_by = %s, answered_at = %s, answered_how = %s"
                " WHERE plan_id = %s",
                (wanted, who, now, how, plan_id),
            )
        elif late or (state != wanted and not (answer == "approved" and answered_by and state in ("applying", "done"))):
            was = f"waited for an answer until {expires_at:%Y-%m-%d %H:%M} UTC" if late else f"is {state}"
            raise CatalogueError(
                f"Plan {plan_id} {was}, so it can't be {answer}.", "Make a new one with `vms retention plan`."
            )
    return get_plan(conn, plan_id)


def start_applying(conn: Connection, plan_id: int, now: datetime) -> PurgePlan:
    """Begin, or go on, to apply a plan. Raises CatalogueError when it may not be applied: silence means no."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "UPDATE purge_plan SET state = 'applying', applied_at = coalesce(applied_at, %s)"
            " WHERE plan_id = %s AND state IN ('ready', 'applying')",
            (now, plan_id),
        )
    plan = get_plan(conn, plan_id)
    if plan.state not in ("applying", "done"):
        raise CatalogueError(
            f"Plan {plan_id} is {plan.state} and not applied.",
            f"Look at it (`vms retention history --plan {plan_id}`), then `vms retention approve {plan_id}`."
            if plan.state == "waiting"
            else "Make a new one with `vms retention plan`.",
        )
    return plan


def finish_applying(conn: Connection, plan_id: int, now: datetime) -> PurgePlan:
    """Add up what became of its copies; the plan is done when each copy has an outcome."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(outcome, 'open'), count(*), coalesce(sum(bytes), 0)::bigint, min(locked_until)"
            " FROM purge_item WHERE plan_id = %s GROUP BY 1",
            (plan_id,),
        )
        found = cursor.fetchall()
        outcome: dict[str, Any] = {what: many for what, many, _, _ in found}
        outcome["bytes"] = sum(size for what, _, size, _ in found if what == "gone")
        until = [at.isoformat() for what, _, _, at in found if what == "locked" and at is not None]
        outcome |= {"locked_until": until[0]} if until else {}
        cursor.execute(
            "UPDATE purge_plan SET outcome = %s, state = CASE WHEN %s THEN 'done' ELSE state END,"
            " finished_at = CASE WHEN %s THEN coalesce(finished_at, %s) END WHERE plan_id = %s AND state = 'applying'",
            (Json(outcome), "open" not in outcome, "open" not in outcome, now, plan_id),
        )
    return get_plan(conn, plan_id)


def give_up_open_items(conn: Connection, plan_id: int) -> None:
    """What a plan never got to is left to a newer one."""
    with conn, conn.cursor() as cursor:
        cursor.execute("UPDATE purge_item SET outcome = 'kept' WHERE plan_id = %s AND outcome IS NULL", (plan_id,))


def drop_old_items(conn: Connection, before: datetime) -> int:
    """Forget the single copies of plans that were finished before this; the plans and the lineage stay."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "DELETE FROM purge_item i USING purge_plan p WHERE p.plan_id = i.plan_id"
            " AND (p.finished_at < %s OR (p.state IN ('rejected', 'expired', 'superseded') AND p.made_at < %s))",
            (before, before),
        )
        return int(cursor.rowcount)


_SELECT = """
    SELECT plan_id, made_at, made_by, state, recordings, copies, bytes, oldest, newest, per_site, per_store, kept,
           alarms, late, away, expires_at, coalesce(answered_by, ''), answered_at, coalesce(answered_how, ''),
           applied_at, finished_at, outcome
    FROM purge_plan
"""


def _plan(row: tuple[Any, ...]) -> PurgePlan:
    kept = dict(row[11])
    held = kept.pop("by_hold", {})
    alarms = tuple(Alarm(**alarm) for alarm in row[12])
    values: list[Any] = [*row[:11], kept, held, alarms, row[13], frozenset(row[14]), *row[15:]]
    return PurgePlan(*values)
