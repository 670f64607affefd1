"""What tasks and commands ask of the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from catalogue_asking import (
    ARCHIVED,
    PAGE,
    Question,
    World,
    a_day,
    a_user,
    dense_site,
    filter_of,
    find,
    of_recording,
    one_site,
)

from catalogue_world import a_site, seen, sensed
from vms.backfill import Order
from vms.catalogue import (
    adopting,
    alerts,
    backfill_items,
    backfill_period,
    backfills,
    branches,
    copying,
    coverage,
    custody,
    exports,
    gap_notes,
    holds,
    integrity,
    pace,
    planning,
    purge_facts,
    purge_plans,
    purging,
    reads,
    reads_retention,
    reads_sites,
    reads_stores,
    replacing,
    restores,
    retries,
    telling_lineage,
    users,
    whole,
)
from vms.catalogue.connection import Connection
from vms.catalogue.expired import older_than
from vms.catalogue.reads import RecordingFilter
from vms.config import StoreConfig
from vms.model import RunRef

STORES = (StoreConfig("nas", "file:///nas"), StoreConfig("cloud", "s3://cloud"))


def _gaps(world: World, conn: Connection) -> object:
    begin, end = world.day()
    return coverage.gaps(conn, *world.camera(), begin, end, now=world.now)


def _read_expired(world: World, conn: Connection) -> object:
    with conn, conn.cursor():
        return sum(1 for _ in older_than(conn, {1: world.now - world.keep}))


def _plan(world: World, conn: Connection) -> object:
    site = world.site()
    run = RunRef(f"footage_{site.id}", f"asked {next(world.turn)}", "plan", -1, 1, "centre")
    camera = site.cameras[0].id
    start = world.now - timedelta(seconds=world.random.randint(1, 80_000))
    files = [
        seen(f"{camera}/new-{run.run_id}-{n}.mp4", start=start + timedelta(seconds=n), camera=camera) for n in range(6)
    ]
    known = seen("cam01/x.mp4", start=start, camera=camera, basis="mtime")
    folder = a_site(id=site.id, name=site.name, time_zone=site.time_zone, cameras=(), stores=STORES)
    plan = planning.plan_run(conn, folder, sensed(*files, known, site=site.id, at=world.now), run, world.now)
    return custody.close_run(conn, run), plan


def _compare(world: World, conn: Connection) -> object:
    begin, _ = world.day()
    after = f"{world.site().id}/cam05/{begin:%Y/%m/%d}/"
    return list(islice(integrity.copies_between(conn, 1, after, None), 1000))


def _owner(world: World, conn: Connection) -> object:
    row = world.recording(conn)
    key = adopting.read_key(row.copies[0].key)
    assert key is not None
    owner = adopting.owner_of(conn, key)
    assert owner is not None
    return adopting.live_key(conn, owner.known, 1, "rendition"), adopting.site_known(conn, row.site)


def _backfill(world: World, conn: Connection) -> object:
    """All that `vms backfill` asks, of a day of a site with a file each five minutes."""
    begin, end = world.day()
    with conn, conn.cursor() as cursor:
        cursor.execute("INSERT INTO backfill (made_at, who, mode) VALUES (now(), 'x', 'missing') RETURNING backfill_id")
        (number,) = cursor.fetchone() or (0,)
        cursor.execute(
            "INSERT INTO backfill_site (backfill_id, site_id, from_at, to_at, state, dag_run, changed_at)"
            " SELECT %s, site_id, %s, %s, 'done', 'x', now() FROM site WHERE slug = %s",
            (number, begin, end, world.dense.id),
        )
    order = Order(number, world.dense.id, "missing", begin, end)
    files = [(f"lobby/{minute}.mp4", 1, 1) for minute in range(500)]
    return (
        list(backfill_period.subjects(conn, order, world.now)),
        backfill_period.unknown_sources(conn, order.site, files),
        backfill_period.rates_of(conn, order.site, order.mode, world.now),
        backfills.overlapping(conn, order),
        backfills.site_stores(conn, STORES),
        backfills.unfinished(conn, number, order.site),
        backfills.state_of(conn, number, order.site),
        backfills.get_backfill(conn, number),
        backfill_items.looked_at(conn, order),
        backfill_items.counts(conn, order),
        backfill_items.done_already(conn, order, (1, begin)),
        replacing.replaced_of(conn, (1, begin)),
        replacing.is_held(conn, (1, begin)),
        replacing.left_over(conn, order),
        replacing.is_claimed(conn, replacing.Replaced(1, "a", "old")),
    )


def _due(read: Callable[[Connection, Any], object]) -> Callable[[World, Connection], object]:
    return lambda _, conn: read(conn, integrity.due_for_proof(conn, 1, 1)[0])


def _copies_of(conn: Connection, one: Any) -> object:
    return integrity.copies_of(conn, (one.recording_id, one.start_utc))


def _broken_of(conn: Connection, one: Any) -> object:
    return integrity.broken_of(conn, (one.recording_id, one.start_utc))


def _last_plan(conn: Connection) -> int:
    return purge_plans.list_plans(conn, 1)[0].plan_id


def _places_of_a_plan(conn: Connection) -> list[tuple[int, datetime]]:
    return next(iter(purge_facts.gone_places(conn, 5).values()))


def _extent(_: World, conn: Connection) -> object:
    return purge_facts.extent(conn, _places_of_a_plan(conn)[:500])


def _gone(_: World, conn: Connection) -> object:
    place = _places_of_a_plan(conn)[0]
    return purge_facts.gone_places_of(conn, place[0]), purging.gone_copies(conn, place, 1)


WORKS: tuple[Question, ...] = (
    Question("alerts", "who waits for a restore?", lambda world, conn: restores.waited_for(conn, world.now, 100)),
    Question(
        "retry",
        "names of a site's quarantined files",
        lambda world, conn: retries.quarantined_names(conn, world.site().id, None, None),
    ),
    Question("status", "what waits at each site", lambda world, conn: pace.backlogs(conn, world.now)),
    Question(
        "status",
        "stores by site",
        lambda _, conn: (reads_stores.store_states(conn), reads_sites.store_identities(conn)),
    ),
    Question("status", "untold alerts", lambda _, conn: alerts.waiting_messages(conn)),
    Question(
        "recordings", "one by its number alone", of_recording(lambda conn, row: reads.get_recording(conn, row.id))
    ),
    Question(
        "recordings",
        "sums by day, one site, 31 days",
        lambda world, conn: reads_sites.camera_days(
            conn, one_site(world), world.now.date() - timedelta(days=31), world.now.date()
        ),
    ),
    Question("coverage", "gaps of a camera's day", _gaps),
    Question(
        "coverage",
        "a month of a site, day by day",
        lambda world, conn: coverage.camera_days(
            conn, world.now.date() - timedelta(days=30), world.now.date(), sites=one_site(world), now=world.now
        ),
    ),
    Question("coverage", "notes", lambda _, conn: gap_notes.list_notes(conn)),
    Question("stores", "what each store holds", lambda _, conn: reads_stores.store_overviews(conn)),
    Question(
        "copy",
        "the next page to copy",
        lambda _, conn: copying.orders_to_copy(conn, "nas", "cloud", RecordingFilter(), None, 20),
    ),
    Question(
        "copy",
        "how much there is to copy of a day",
        lambda world, conn: copying.count_to_copy(
            conn, "nas", "cloud", filter_of(world, {"day": a_day, "sites": dense_site})
        ),
    ),
    Question("copy", "stores by name", lambda _, conn: copying.known_stores(conn)),
    Question(
        "export",
        "a day of all sites, oldest first",
        find(states=ARCHIVED, day=a_day, newest_first=False),
    ),
    Question(
        "export",
        "what is proven of 24 recordings",
        lambda world, conn: copying.held_of(
            conn,
            [
                (row.id, row.start_utc)
                for row in reads.find_recordings(conn, filter_of(world, {"day": a_day, "states": ARCHIVED}), limit=PAGE)
            ],
        ),
    ),
    Question("run", "planned, batches cut, verdict", _plan),
    Question("alerts", "usual interval of every camera", lambda world, conn: alerts.usual_intervals(conn, world.now)),
    Question("alerts", "what waits, since when", lambda _, conn: alerts.waiting_since(conn)),
    Question("alerts", "lost and broken", lambda _, conn: (alerts.lost_by_site(conn), alerts.broken_by_store(conn))),
    Question(
        "alerts",
        "coverage of every camera, two days",
        lambda world, conn: coverage.load_facts(
            conn, world.now.date() - timedelta(days=1), world.now.date(), now=world.now
        ),
    ),
    Question(
        "alerts",
        "open and lately closed",
        lambda world, conn: (
            alerts.list_alerts(conn, world.now - timedelta(days=1)),
            alerts.last_done(conn, "forecast"),
            alerts.looked_at(conn),
        ),
    ),
    Question("hold", "holds and what they cover", lambda _, conn: holds.list_holds(conn)),
    Question("hold", "to be held in a bucket", lambda _, conn: holds.to_hold_in_store(conn, 1, 100)),
    Question("hold", "to be released in a bucket", lambda _, conn: holds.to_release_in_store(conn, 1, 100)),
    Question(
        "retention", "stores in use", lambda _, conn: (purge_facts.stores_in_use(conn), purge_facts.known_stores(conn))
    ),
    Question("retention", "sample of a store", lambda _, conn: purge_facts.sample_keys(conn, 1, 10)),
    Question(
        "retention",
        "recent cameras",
        lambda world, conn: purge_facts.recent_cameras(conn, world.now - timedelta(days=15), 10),
    ),
    Question(
        "retention",
        "known keys of a camera's day",
        lambda world, conn: purge_facts.known_keys(conn, 1, *world.camera(world.dense), world.day()[0]),
    ),
    Question("retention", "living recordings by site", lambda _, conn: purge_facts.living_by_site(conn)),
    Question("retention", "past runs", lambda _, conn: purge_facts.past_runs(conn)),
    Question("retention", "has the clock jumped?", lambda world, conn: purge_facts.clock_facts(conn, world.now)),
    Question("retention", "all that has expired", _read_expired),
    Question("retention", "plans", lambda _, conn: purge_plans.get_plan(conn, _last_plan(conn))),
    Question("retention", "stores of a plan", lambda _, conn: purge_facts.stores_of_plan(conn, _last_plan(conn))),
    Question("retention", "next copies of a plan", lambda _, conn: purging.open_items(conn, _last_plan(conn), 1, 500)),
    Question("retention", "left by a killed run", lambda _, conn: purging.leftovers(conn, 1, 500)),
    Question("retention", "damaged and repaired", lambda _, conn: purging.spoiled_leftovers(conn, 1)),
    Question("retention", "sample of what is gone", lambda _, conn: purge_facts.gone_sample(conn, 5, 1, 20)),
    Question("retention", "where 500 of a plan lie", _extent),
    Question("retention", "what is gone of one", _gone),
    Question(
        "retention",
        "proof for every camera",
        lambda world, conn: reads_retention.camera_facts(conn, world.rules, world.now),
    ),
    Question(
        "retention",
        "how fast a store fills",
        lambda world, conn: reads_retention.store_rates(
            conn, integrity.stores_in_use(conn)["nas"], world.keep, world.now
        ),
    ),
    Question("integrity", "a page of 1,000 rows by key", _compare),
    Question("integrity", "is there anything in the store?", lambda _, conn: integrity.has_copies(conn, 1)),
    Question("integrity", "is there anything in an empty store?", lambda _, conn: integrity.has_copies(conn, 2)),
    Question("integrity", "next 100 for the deep check", lambda _, conn: integrity.due_for_proof(conn, 1, 100)),
    Question("integrity", "parts of a copy", _due(integrity.parts_of)),
    Question("integrity", "must it decode?", _due(integrity.must_decode)),
    Question(
        "integrity",
        "copies of one",
        _due(_copies_of),
    ),
    Question(
        "integrity",
        "broken copies of one",
        _due(_broken_of),
    ),
    Question("integrity", "copies to repair", lambda _, conn: integrity.broken_copies(conn, 100)),
    Question("integrity", "whose object is it?", _owner),
    Question(
        "integrity",
        "strays",
        lambda _, conn: (integrity.list_strays(conn), integrity.strays_among(conn, 1, ["a", "b"])),
    ),
    Question("integrity", "recordings kept", lambda _, conn: integrity.recordings_kept(conn)),
    Question("integrity", "how far the deep check is", lambda _, conn: integrity.proofs(conn)),
    Question(
        "openlineage",
        "the next batches to tell",
        lambda world, conn: telling_lineage.next_batches(
            conn, telling_lineage.Cursor(world.day()[0], 0), world.now, 200
        ),
    ),
    Question("backfill", "what there is on a day", _backfill),
    Question("backfill", "the last ones", lambda _, conn: backfills.list_backfills(conn, 20)),
    Question("exports", "how many are open?", lambda _, conn: exports.open_counts(conn)),
    Question("exports", "what has expired?", lambda _, conn: exports.expired_exports(conn)),
    Question("exports", "whose files are used?", lambda _, conn: exports.kept_exports(conn, [1, 2])),
    Question("exports", "who ordered it?", lambda world, conn: exports.asker_of(conn, a_user(world))),
    Question("users", "who may sign in?", lambda _, conn: users.list_users(conn)),
    Question(
        "branches",
        "who are they, and whose certificates count?",
        lambda world, conn: (branches.list_branches(conn, world.now), branches.counting_certificates(conn, world.now)),
    ),
    Question("restore", "is the catalogue empty?", lambda _, conn: (whole.is_empty(conn), whole.revision(conn))),
)
