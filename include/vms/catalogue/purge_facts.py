"""What purging asks the catalogue before it plans: the stores that hold footage, samples of it, what is usual."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from vms.catalogue.connection import Connection, fetch_all, fetch_one
from vms.catalogue.orders import Place
from vms.catalogue.places import load_stores
from vms.model import StoreTarget
from vms.retention_breaker import CLOCK_AHEAD, SILENCE, ClockFacts, PastRun

_DAYS_BACK = 45
_USUAL_RUNS = 7


def stores_in_use(conn: Connection) -> list[StoreTarget]:
    """Stores with copies that live or are marked, by name."""
    with conn.cursor() as cursor:
        stores = load_stores(cursor)
    used = [
        store
        for store in stores.values()
        if fetch_one(
            conn, "SELECT 1 FROM copy WHERE store_id = %s AND state = 0 AND part = 0 LIMIT 1", [store.store_id]
        )
        or fetch_one(conn, "SELECT 1 FROM copy WHERE store_id = %s AND state = 1 LIMIT 1", [store.store_id])
    ]
    return sorted(used, key=lambda store: store.name)


def known_stores(conn: Connection) -> list[StoreTarget]:
    """Every store that ever took anything, by name; also those that hold nothing any more."""
    with conn.cursor() as cursor:
        stores = load_stores(cursor)
    return sorted((one for one in stores.values() if one.identity is not None), key=lambda store: store.name)


def stores_of_plan(conn: Connection, plan_id: int) -> list[StoreTarget]:
    """Stores in which there is something to do for this plan, or left over from one that was killed, by name."""
    with conn.cursor() as cursor:
        stores = load_stores(cursor)
        cursor.execute(
            "SELECT store_id FROM purge_item WHERE plan_id = %s UNION SELECT store_id FROM copy WHERE state = 1",
            (plan_id,),
        )
        return sorted((stores[store_id] for (store_id,) in cursor.fetchall()), key=lambda store: store.name)


def sample_keys(conn: Connection, store_id: int, each: int) -> list[str]:
    """Keys of living copies in this store: of the oldest and of the newest footage."""
    keys: list[str] = []
    for order in ("ASC", "DESC"):
        found = fetch_all(
            conn,
            f"SELECT key FROM copy WHERE store_id = %s AND state = 0 AND part = 0 ORDER BY start_at {order} LIMIT %s",  # noqa: S608 - one of two words
            [store_id, each],
        )
        keys += [key for (key,) in found]
    return list(dict.fromkeys(keys))


def recent_cameras(conn: Connection, since: datetime, limit: int) -> list[tuple[str, str]]:
    """(site, camera) ids of some cameras that had footage since then or in the two weeks before."""
    found = fetch_all(
        conn,
        "SELECT s.slug, c.slug FROM camera c JOIN site s USING (site_id) WHERE EXISTS (SELECT 1 FROM camera_day d"
        " WHERE d.camera_id = c.camera_id AND d.day >= %s) ORDER BY random() LIMIT %s",
        [(since - timedelta(days=14)).date(), limit],
    )
    return [(site, camera) for site, camera in found]


def known_keys(conn: Connection, store_id: int, site: str, camera: str, day: datetime) -> set[str]:
    """Keys that the catalogue has, in whatever state, for this camera's footage of the day (UTC) in this store."""
    begin = day.replace(hour=0, minute=0, second=0, microsecond=0)
    found = fetch_all(
        conn,
        "SELECT k.key FROM recording r JOIN camera c USING (camera_id) JOIN site s ON s.site_id = r.site_id"
        " CROSS JOIN LATERAL (SELECT key FROM copy WHERE copy.recording_id = r.recording_id"
        " AND copy.start_at = r.start_at AND copy.store_id = %s OFFSET 0) AS k"
        " WHERE s.slug = %s AND c.slug = %s AND r.start_at >= %s AND r.start_at < %s",
        [store_id, site, camera, begin, begin + timedelta(days=1)],
    )
    return {key for (key,) in found}


def living_by_site(conn: Connection) -> dict[str, int]:
    """How many recordings of each site are archived and not purged."""
    found = fetch_all(
        conn,
        "SELECT s.slug, sum(t.archived + t.released)::bigint FROM site s JOIN camera c USING (site_id)"
        " JOIN camera_total t USING (camera_id) GROUP BY s.slug",
        [],
    )
    return dict(found)


def past_runs(conn: Connection) -> list[PastRun]:
    """The last purges that took something, the newest first."""
    found = fetch_all(
        conn,
        "SELECT finished_at, (outcome->>'bytes')::bigint FROM purge_plan WHERE state = 'done' AND copies > 0"
        " ORDER BY plan_id DESC LIMIT %s",
        [_USUAL_RUNS],
    )
    return [PastRun(*row) for row in found]


def clock_facts(conn: Connection, now: datetime) -> ClockFacts:
    """When anything happened, day by day from the lineage, without a silence after which somebody approved a plan."""
    first = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=_DAYS_BACK)
    ahead = fetch_one(conn, "SELECT max(at) FROM lineage WHERE at > %s", [now + CLOCK_AHEAD])
    if ahead is not None and ahead[0] is not None:
        return ClockFacts(ahead[0], None)
    days = fetch_all(
        conn,
        "SELECT e.first, e.last FROM generate_series(0, %s) AS n CROSS JOIN LATERAL"
        " (SELECT min(at), max(at) FROM lineage WHERE at >= %s::timestamptz + n * interval '1 day'"
        " AND at < %s::timestamptz + (n + 1) * interval '1 day')"
        " AS e (first, last) WHERE e.first IS NOT NULL ORDER BY n",
        [_DAYS_BACK, first, first],
    )
    before = fetch_one(conn, "SELECT max(at) FROM lineage WHERE at < %s", [first])
    newest = days[-1][1] if days else (before[0] if before else None)
    last_end = before[0] if before else None
    quiet = None
    for begin, end in days:
        if last_end is not None and begin - last_end > SILENCE:
            quiet = (last_end, begin)
        last_end = end
    if quiet is not None and fetch_one(
        conn,
        "SELECT 1 FROM purge_plan WHERE state IN ('applying', 'done') AND answered_at > %s LIMIT 1",
        [quiet[1]],
    ):
        quiet = None
    return ClockFacts(newest, quiet)


def gone_sample(conn: Connection, plan_id: int, store_id: int, limit: int) -> list[str]:
    """Keys of footage that this plan took from this store, some at random."""
    found = fetch_all(
        conn,
        "SELECT k.key FROM (SELECT recording_id, start_at FROM purge_item WHERE plan_id = %s AND store_id = %s"
        " AND outcome = 'gone' ORDER BY random() LIMIT %s) AS i CROSS JOIN LATERAL (SELECT key FROM copy"
        " WHERE copy.recording_id = i.recording_id AND copy.start_at = i.start_at AND copy.store_id = %s"
        " AND copy.part = 0 AND copy.state = 2 OFFSET 0) AS k",
        [plan_id, store_id, limit, store_id],
    )
    return [key for (key,) in found]


def gone_places(conn: Connection, plan_id: int) -> dict[int, list[Place]]:
    """What this plan took, by store number."""
    places: dict[int, list[Place]] = {}
    for store_id, recording_id, start in fetch_all(
        conn,
        "SELECT store_id, recording_id, start_at FROM purge_item WHERE plan_id = %s AND outcome = 'gone'"
        " ORDER BY start_at",
        [plan_id],
    ):
        places.setdefault(store_id, []).append((recording_id, start))
    return places


def gone_places_of(conn: Connection, recording_id: int) -> dict[int, list[Place]]:
    """The stores that this recording's footage is gone from."""
    places: dict[int, list[Place]] = {}
    for store_id, start in fetch_all(
        conn, "SELECT store_id, start_at FROM copy WHERE recording_id = %s AND part = 0 AND state = 2", [recording_id]
    ):
        places.setdefault(store_id, []).append((recording_id, start))
    return places


def extent(conn: Connection, places: list[Place]) -> tuple[list[tuple[str, str]], datetime, datetime] | None:
    """The cameras of these recordings and the range of time that covers them all; None when no row is left."""
    found = fetch_one(
        conn,
        "SELECT array_agg(DISTINCT s.slug || '/' || c.slug), min(r.start_at), max(greatest(r.end_at, r.start_at))"
        " FROM unnest(%s::bigint[], %s::timestamptz[]) AS w (recording_id, start_at) CROSS JOIN LATERAL (SELECT * FROM"
        " recording WHERE recording.recording_id = w.recording_id AND recording.start_at = w.start_at OFFSET 0) AS r"
        " JOIN camera c ON c.camera_id = r.camera_id JOIN site s ON s.site_id = r.site_id",
        [[one for one, _ in places], [start for _, start in places]],
    )
    if found is None or found[0] is None:
        return None
    cameras = [(site, camera) for site, _, camera in (one.partition("/") for one in sorted(found[0]))]
    return cameras, found[1], max(found[2], found[1] + timedelta(seconds=1))
