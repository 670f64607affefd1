"""What the command line asks about stores as a whole."""

from __future__ import annotations

from vms.catalogue.connection import Connection, fetch_all
from vms.catalogue.rows import StoreOverview, StoreStateRow
from vms.model import StoreOptions, load


def store_overviews(conn: Connection) -> list[StoreOverview]:
    """Every store that was ever planned with, by name, and what it holds: from the sums by day."""
    found = fetch_all(
        conn,
        """
        SELECT st.name, st.url, st.conn_id, st.options, st.identity, held.copies, held.bytes, oldest.at, newest.at
        FROM store st
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(copies), 0), coalesce(sum(bytes), 0)::bigint FROM store_day d
            WHERE d.store_id = st.store_id
        ) AS held (copies, bytes)
        LEFT JOIN LATERAL (
            SELECT start_at FROM copy k WHERE k.store_id = st.store_id AND state = 0 AND part = 0
            ORDER BY start_at LIMIT 1
        ) AS oldest (at) ON true
        LEFT JOIN LATERAL (
            SELECT start_at FROM copy k WHERE k.store_id = st.store_id AND state = 0 AND part = 0
            ORDER BY start_at DESC LIMIT 1
        ) AS newest (at) ON true
        ORDER BY lower(st.name), st.name
        """,
        [],
    )
    return [
        StoreOverview(name, url, conn_id, load(StoreOptions, options), *numbers)
        for name, url, conn_id, options, *numbers in found
    ]


def store_states(conn: Connection) -> list[StoreStateRow]:
    """How each store last answered to each site that uses it."""
    found = fetch_all(
        conn,
        "SELECT s.slug, st.name, t.state, t.message, t.remedy, t.since, t.seen_at FROM store_state t"
        " JOIN site s USING (site_id) JOIN store st USING (store_id) ORDER BY s.slug, st.name",
        [],
    )
    return [StoreStateRow(*row) for row in found]
