"""What the command line asks about stores as a whole."""

from __future__ import annotations

from vms.catalogue.connection import Connection, fetch_all
from vms.catalogue.rows import StoreOverview, StoreStateRow
from vms.model import StoreOptions, load


def store_overviews(conn: Connection) -> list[StoreOverview]:
    """Every store that was ever planned with, by name, and what it holds. Reads all proven copies: seconds, when there
    are millions."""
    found = fetch_all(
        conn,
        """
        SELECT st.name, st.url, st.conn_id, st.options, st.identity,
               count(k.key) FILTER (WHERE k.part = 0), coalesce(sum(k.size_bytes), 0)::bigint,
               min(k.start_at), max(k.start_at)
        FROM store st LEFT JOIN copy k ON k.store_id = st.store_id AND k.state = 0
        GROUP BY st.store_id ORDER BY lower(st.name), st.name
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
