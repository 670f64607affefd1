"""What a backfill found and did recording by recording, where it is no footage batch.

Each answer is of one recording in one store; the same again replaces it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from vms.backfill import Order
from vms.catalogue.connection import Connection, fetch_all, fetch_one
from vms.catalogue.orders import Place

Outcome = Literal[
    "proven", "good", "repaired", "replanned", "recompressed", "held", "same_profile", "no_smaller",
    "lost", "damaged", "unplayable", "cold", "without", "failed", "unreachable", "locked",
]  # fmt: skip

BAD: tuple[Outcome, ...] = ("lost", "damaged", "unplayable", "cold", "without", "failed", "unreachable")
"""What makes a backfill end as failed, and is tried again when it is resumed."""


@dataclass(frozen=True)
class Done:
    """What came of a recording in one store (0: in none in particular). bytes, seconds: how much was looked at, in what
    time."""

    store_id: int
    outcome: Outcome
    message: str = ""
    bytes: int = 0
    seconds: float = 0.0


def done_already(conn: Connection, order: Order, place: Place) -> bool:
    """Whether this backfill has an answer for this recording."""
    return (
        fetch_one(
            conn,
            "SELECT 1 FROM backfill_item WHERE backfill_id = %s AND recording_id = %s LIMIT 1",
            [order.backfill_id, place[0]],
        )
        is not None
    )


def record_items(conn: Connection, order: Order, place: Place, done: Sequence[Done], now: datetime) -> None:
    """Write down what came of a recording; the same again replaces it. now: UTC."""
    with conn, conn.cursor() as cursor:
        for one in done:
            cursor.execute(
                "INSERT INTO backfill_item (backfill_id, site_id, recording_id, start_at, store_id, outcome, message,"
                " bytes, seconds, at) SELECT %s, site_id, %s, %s, %s, %s, %s, %s, %s, %s FROM site WHERE slug = %s"
                " ON CONFLICT (backfill_id, recording_id, store_id) DO UPDATE SET outcome = excluded.outcome,"
                " message = excluded.message, bytes = excluded.bytes, seconds = excluded.seconds, at = excluded.at",
                (
                    *(order.backfill_id, *place, one.store_id, one.outcome, one.message),
                    *(one.bytes, one.seconds, now, order.site),
                ),
            )


def looked_at(conn: Connection, order: Order) -> set[Place]:
    """The recordings that this backfill has an answer for, at its site."""
    found = fetch_all(
        conn,
        "SELECT DISTINCT i.recording_id, i.start_at FROM backfill_item i JOIN site s USING (site_id)"
        " WHERE i.backfill_id = %s AND s.slug = %s",
        [order.backfill_id, order.site],
    )
    return {(recording_id, start) for recording_id, start in found}


def counts(conn: Connection, order: Order) -> dict[str, int]:
    """How many answers of each kind there are."""
    found = fetch_all(
        conn,
        "SELECT i.outcome, count(*) FROM backfill_item i JOIN site s USING (site_id)"
        " WHERE i.backfill_id = %s AND s.slug = %s GROUP BY 1",
        [order.backfill_id, order.site],
    )
    return dict(found)


def forget_bad(conn: Connection, order: Order) -> None:
    """Have what went wrong looked at again."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "DELETE FROM backfill_item i USING site s WHERE s.site_id = i.site_id AND i.backfill_id = %s"
            " AND s.slug = %s AND i.outcome = ANY(%s)",
            (order.backfill_id, order.site, list(BAD)),
        )
