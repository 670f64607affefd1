"""Every question that the product asks of a big catalogue, each with what a person would give it on that page.

The benchmark measures them; `tests/integration/test_catalogue_plans.py` asks them all of a small catalogue and turns
red when one reads a big table through, or when a function of the catalogue is in neither list here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count, islice
from random import Random
from typing import Any

from catalogue_world import a_site, seen, sensed
from vms.backfill import Order
from vms.catalogue import (
    adopting,
    alerts,
    audit,
    backfill_items,
    backfills,
    bookmarks,
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
    reads_figures,
    reads_retention,
    reads_sites,
    reads_stores,
    replacing,
    restores,
    retries,
    sessions,
    shares,
    telling_lineage,
    timeline,
    users,
    whole,
)
from vms.catalogue.connection import Connection
from vms.catalogue.expired import older_than
from vms.catalogue.reads import RecordingFilter, RecordingRow, SiteRow
from vms.config import StoreConfig
from vms.model import RunRef
from vms.retention import Rules

PAGE, MOST_COUNTED = 24, 5000  # as the page Find
AIM_MS = 50.0
ARCHIVED: Any = ("archived", "released")

STORES = (StoreConfig("nas", "file:///nas"), StoreConfig("cloud", "s3://cloud"))

WRITES = {
    "planning": {"plan_run"},
    "backfills": {"begin_backfill", "set_state", "next_round"},
    "backfill_planning": {"plan_backfill", "choose_to_look", "broken_left"},
    "backfill_items": {"record_items", "forget_bad"},
    "replacing": {"begin_replacing", "commit_replacing", "close_replaced", "forget_replaced"},
    "custody": {"record_receipts", "record_releases"},
    "retries": {"ask_retry"},
    "copying": {"record_copies", "store_to_use"},
    "telling_lineage": {"told_so_far", "note_told"},
    "holds": {"while_purging", "add_hold", "release_hold", "record_in_store"},
    "integrity": {"begin_round", "save_round", "save_proof", "record_repair", "note_stray", "forget_stray"},
    "adopting": {"keep_sheet", "make_places", "add_copy", "add_recording"},
    "losing": {"lose", "archive_from_source"},
    "alerts": {
        "one_round",
        "keep_alerts",
        "add_digest",
        "note_sent",
        "note_failed",
        "note_done",
    },
    "gap_notes": {"add_note", "withdraw_note"},
    "purge_plans": {"answer_plan", "start_applying", "finish_applying", "give_up_open_items", "drop_old_items"},
    "purging": {"mark", "close", "close_leftover", "unmark", "restore"},
    "reads": {"log_view"},
    "dead_months": {"drop_dead_months"},
    "partitions": {"ensure_partitions"},
    "whole": {"set_aside", "settle", "check_rights", "server_major", "count_rows", "others_connected"},
    "users": {
        "add_user",
        "set_password",
        "set_role",
        "set_disabled",
        "link",
        "unlink",
        "grant",
        "revoke",
        "end_all_sessions",
    },
    "sessions": {
        "begin_session",
        "touch_session",
        "end_session",
        "end_own_sessions",
        "change_own_password",
        "change_own_language",
        "enter_by_provider",
        "begin_try",
        "forget_try",
        "forgive",
    },
    "connection": {"ask_for", "fetch_all", "fetch_one"},
    "exports": {
        "add_export",
        "ask_cancel",
        "ask_delete",
        "next_export",
        "save_progress",
        "finish_export",
        "note_expired",
    },
    "bookmarks": {"add_bookmark", "change_bookmark", "remove_bookmark"},
    "branches": {"invite", "join", "renew", "revoke", "note_seen", "log_refused"},
    "shares": {"add_share", "revoke_share", "count_share"},
    "restores": ("note_cold", "note_readable", "ask", "note_ready", "note_told"),
}
"""Functions of the catalogue that are no questions: they write, or read all there is because that is what they are for
(a backup counts every row). By module."""


@dataclass(frozen=True)
class Question:
    """One way to ask. where: the page or command; pages are answered as the viewer's role and have AIM_MS."""

    where: str
    name: str
    ask: Callable[[World, Connection], object]

    @property
    def is_page(self) -> bool:
        return self.where.startswith("page")


@dataclass
class World:
    """What there is to ask about. now, keep: as the rows were made (catalogue_rows.Scale).

    granted: the viewer asks for somebody who sees some whole sites; as the page Find does, it then names them.
    """

    viewer: Connection
    owner: Connection
    now: datetime
    keep: timedelta
    random: Random = field(default_factory=lambda: Random(7))
    sites: list[SiteRow] = field(default_factory=list)
    turn: Iterator[int] = field(default_factory=count)
    granted: bool = False

    def __post_init__(self) -> None:
        self.sites = sorted(reads.list_sites(self.viewer), key=lambda site: site.id)

    @property
    def dense(self) -> SiteRow:
        """A site with a file each five minutes."""
        return self.sites[0]

    @property
    def rules(self) -> Rules:
        return Rules({site.id: self.keep for site in self.sites}, {}, {}, timedelta(days=7))

    def site(self) -> SiteRow:
        return self.random.choice(self.sites)

    def camera(self, site: SiteRow | None = None) -> tuple[str, str]:
        site = site or self.site()
        return site.id, self.random.choice(site.cameras).id

    def day(self, ago: int | None = None) -> tuple[datetime, datetime]:
        """A day, by default any that is kept and over."""
        ago = self.random.randint(1, self.keep.days - 1) if ago is None else ago
        end = self.now - timedelta(days=ago) + timedelta(hours=self.random.randint(0, 3))
        return end - timedelta(days=1), end

    def recording(self, conn: Connection, state: Any = ARCHIVED) -> RecordingRow:
        """Any one that is kept (or purged, when that is asked for)."""
        begin, end = self.day()
        wanted = RecordingFilter(cameras=(self.camera(self.dense),), from_utc=begin, to_utc=end, states=state)
        if state != ARCHIVED:
            wanted = RecordingFilter(cameras=wanted.cameras, to_utc=self.now - self.keep, states=state)
        return reads.find_recordings(conn, wanted, limit=1)[0]


def _find(limit: int = PAGE, *, newest_first: bool = True, **wanted: Any) -> Callable[[World, Connection], object]:
    """A search; values that are functions are asked of the world first."""

    def ask(world: World, conn: Connection) -> object:
        return reads.find_recordings(conn, _filter(world, wanted), limit=limit, newest_first=newest_first)

    return ask


def _filter(world: World, wanted: dict[str, Any]) -> RecordingFilter:
    made = {name: value(world) if callable(value) else value for name, value in wanted.items()}
    if "day" in made:
        made["from_utc"], made["to_utc"] = made.pop("day")
    if world.granted and not made.keys() & {"cameras", "run"}:
        made["sites"] = made.get("sites") or tuple(site.id for site in world.sites)
    return RecordingFilter(**made)


def _further(**wanted: Any) -> Callable[[World, Connection], object]:
    """The twentieth page, as the first one is found: behind the last row seen."""

    def ask(world: World, conn: Connection) -> object:
        begin, _ = world.day()
        return reads.find_recordings(conn, _filter(world, wanted), limit=PAGE, after=(begin, 1 << 40))

    return ask


def _total(**wanted: Any) -> Callable[[World, Connection], object]:
    return lambda world, conn: reads.count_recordings(conn, _filter(world, wanted), most=MOST_COUNTED)


def _neighbour(state: Any, *, newest_first: bool) -> Callable[[World, Connection], object]:
    def ask(world: World, conn: Connection) -> object:
        row = world.recording(conn, state)
        wanted = RecordingFilter(cameras=((row.site, row.camera),), states=state)
        return reads.find_recordings(conn, wanted, limit=1, after=(row.start_utc, row.id), newest_first=newest_first)

    return ask


def _of_recording(read: Callable[[Connection, RecordingRow], object]) -> Callable[[World, Connection], object]:
    return lambda world, conn: read(conn, world.recording(conn))


def _coverage(days: int, sites: int, most: int | None = None) -> Callable[[World, Connection], object]:
    def ask(world: World, conn: Connection) -> object:
        some = world.random.sample(world.sites, min(sites, len(world.sites)))
        pairs = [(site.id, camera.id) for site in some for camera in site.cameras][:most]
        last = world.now.date()
        return coverage.load_facts(conn, last - timedelta(days=days - 1), last, cameras=pairs, now=world.now)

    return ask


def _calendar(sites: int) -> Callable[[World, Connection], object]:
    def ask(world: World, conn: Connection) -> object:
        some = world.random.sample(world.sites, min(sites, len(world.sites)))
        pairs = [(site.id, camera.id) for site in some for camera in site.cameras]
        first = world.now.date() - timedelta(days=world.random.randint(31, max(31, world.keep.days)))
        return coverage.sums_by_day(conn, first, first + timedelta(days=30), pairs, now=world.now)

    return ask


def _timeline(days: int, cameras: int) -> Callable[[World, Connection], object]:
    def ask(world: World, conn: Connection) -> object:
        _, end = world.day()
        keys = [(world.dense.id, camera.id) for camera in world.dense.cameras[:cameras]]
        begin = end - timedelta(days=days)
        return timeline.stretches(conn, keys, begin, end), timeline.held(conn, keys, begin, end)

    return ask


def _months(world: World, conn: Connection) -> object:
    _, end = world.day()
    keys = [(world.dense.id, camera.id) for camera in world.dense.cameras[:16]]
    return timeline.deviating(conn, keys, end - timedelta(days=190), end, 1000, copies=True)


def _to_play(world: World, conn: Connection) -> object:
    begin, _ = world.day()
    return timeline.playable(conn, world.camera(world.dense), begin, begin + timedelta(hours=2), 400)


def _seconds(world: World, conn: Connection) -> object:
    pairs = [(site.id, camera.id) for site in world.sites for camera in site.cameras]
    return reads_sites.kept_seconds(conn, pairs, world.now.date() - timedelta(days=30), world.now.date())


def _gaps(world: World, conn: Connection) -> object:
    begin, end = world.day()
    return coverage.gaps(conn, *world.camera(), begin, end, now=world.now)


def _one_camera(world: World) -> tuple[tuple[str, str], ...]:
    return (world.camera(),)


def _one_site(world: World) -> tuple[str, ...]:
    return (world.site().id,)


def _three_sites(world: World) -> tuple[str, ...]:
    return tuple(site.id for site in world.random.sample(world.sites, min(3, len(world.sites))))


def _dense(world: World) -> tuple[str, ...]:
    return (world.dense.id,)


def _day(world: World) -> tuple[datetime, datetime]:
    return world.day()


def _newest_day(world: World) -> tuple[datetime, datetime]:
    return world.day(0)


def _month(world: World) -> tuple[datetime, datetime]:
    return world.now - timedelta(days=31), world.now


def _purged_day(world: World) -> tuple[datetime, datetime]:
    return world.day(world.keep.days + 2)


def _soon(world: World) -> datetime:
    return world.now + timedelta(hours=1)


def _run(world: World) -> tuple[str, str]:
    site = world.site()
    at = (world.now - timedelta(days=world.random.randint(1, world.keep.days))).replace(hour=6)
    return f"footage_{site.id}", f"scheduled__{at:%Y-%m-%d %H}:00:00+00"


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
        list(backfills.subjects(conn, order, world.now)),
        backfills.unknown_sources(conn, order.site, files),
        backfills.rates_of(conn, order.site, order.mode, world.now),
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


def _purged_at(world: World, conn: Connection) -> object:
    end = world.now - world.keep - timedelta(days=1)
    return reads.purged_at(conn, world.camera(world.dense), end - timedelta(days=1), end)


def _week(world: World) -> audit.LogFilter:
    return audit.LogFilter(world.now - timedelta(days=7), world.now, "", "")


def _bookmarks(**wanted: Any) -> Callable[[World, Connection], object]:
    """As the page asks: who sees everything, or much, names no cameras unless they choose some."""

    def ask(world: World, conn: Connection) -> object:
        made = {name: value(world) if callable(value) else value for name, value in wanted.items()}
        if world.granted:
            made.setdefault("cameras", _named_cameras(world))
        return bookmarks.list_bookmarks(conn, bookmarks.BookmarkFilter(**made), limit=PAGE)

    return ask


def _named_cameras(world: World) -> tuple[tuple[str, str], ...]:
    """As many as the page names of somebody who was granted them."""
    return tuple((site.id, camera.id) for site in world.sites for camera in site.cameras)[:200]


def _pins(days: int) -> Callable[[World, Connection], object]:
    def ask(world: World, conn: Connection) -> object:
        _, end = world.day()
        keys = [(world.dense.id, camera.id) for camera in world.dense.cameras]
        return bookmarks.along(conn, keys, end - timedelta(days=days), end, 300)

    return ask


def _a_user(world: World) -> int:
    with world.owner.cursor() as cursor:
        cursor.execute(
            "INSERT INTO viewer_user (name, role, password, made_at, made_by, everywhere) VALUES"
            " ('u' || floor(random() * 1e9)::text, 'investigator', '', now(), 'test', true) RETURNING user_id"
        )
        (user_id,) = cursor.fetchone() or (0,)
    return int(user_id)


QUESTIONS = (
    Question("page Bookmarks", "the newest, of all cameras", _bookmarks()),
    Question("page Bookmarks", "the newest of 200 cameras", _bookmarks(cameras=_named_cameras)),
    Question("page Bookmarks", "the newest of one camera", _bookmarks(cameras=_one_camera)),
    Question("page Bookmarks", "a word that few say", _bookmarks(words="kata77")),
    Question(
        "page Bookmarks", "a word that few say, of 200 cameras", _bookmarks(cameras=_named_cameras, words="kata77")
    ),
    Question("page Bookmarks", "a word that all say", _bookmarks(words="gate")),
    Question("page Bookmarks", "a word that all say, of 200 cameras", _bookmarks(cameras=_named_cameras, words="gate")),
    Question("page Bookmarks", "a tag, one camera", _bookmarks(tag="tag7", cameras=_one_camera)),
    Question("page Bookmarks", "a tag", _bookmarks(tag="tag7")),
    Question("page Bookmarks", "a tag and a word", _bookmarks(tag="tag7", words="red")),
    Question("page Bookmarks", "of one person", _bookmarks(who="marker3")),
    Question(
        "page Bookmarks",
        "a day",
        lambda world, conn: bookmarks.list_bookmarks(
            conn, bookmarks.BookmarkFilter(None, *world.day()), limit=PAGE, after=(world.now, 1 << 40)
        ),
    ),
    Question("page Watch", "bookmarks of 16 cameras, a day", _pins(1)),
    Question("page Watch", "bookmarks of 16 cameras, a month", _pins(31)),
    Question("page Watch", "tags that a person uses", lambda world, conn: bookmarks.tags_of(conn, _a_user(world))),
    Question("page Find", "sites and cameras", lambda _, conn: reads.list_sites(conn)),
    Question("page Find", "when was a day purged?", _purged_at),
    Question("page Find", "sites that are seen whole", lambda _, conn: reads_sites.wholly_granted(conn)),
    *(
        Question("page Find", f"newest recording, {state}, {what}", _find(1, states=states, to_utc=_soon, **where))
        for state, states in (("archived", ARCHIVED), ("any state", ()), ("purged", ("purged",)))
        for what, where in (
            ("all sites", {}),
            ("one site", {"sites": _one_site}),
            ("one camera", {"cameras": _one_camera}),
        )
    ),
    Question("page Find", "first page: newest day, all sites", _find(states=ARCHIVED, day=_newest_day)),
    Question("page Find", "first page: a day, all sites", _find(states=ARCHIVED, day=_day)),
    Question("page Find", "first page: a day, three sites", _find(states=ARCHIVED, day=_day, sites=_three_sites)),
    Question("page Find", "first page: a day, one camera", _find(states=ARCHIVED, day=_day, cameras=_one_camera)),
    Question("page Find", "first page: all time, all sites", _find(states=ARCHIVED)),
    Question("page Find", "first page: all time, one camera", _find(states=ARCHIVED, cameras=_one_camera)),
    Question("page Find", "first page: all time, purged", _find(states=("purged",))),
    Question("page Find", "first page: all time, purged, one camera", _find(states=("purged",), cameras=_one_camera)),
    Question("page Find", "first page: a purged day, archived (none)", _find(states=ARCHIVED, day=_purged_day)),
    Question("page Find", "first page: a day, purged (none)", _find(states=("purged",), day=_day, sites=_dense)),
    Question("page Find", "first page: all time, quarantined", _find(states=("quarantined",))),
    Question(
        "page Find",
        "first page: all time, quarantined, one camera",
        _find(states=("quarantined",), cameras=_one_camera),
    ),
    Question("page Find", "first page: all time, planned", _find(states=("planned",))),
    Question("page Find", "first page: a run", _find(run=_run)),
    Question("page Find", "further page: all time, all sites", _further(states=ARCHIVED)),
    Question("page Find", "further page: all time, one camera", _further(states=ARCHIVED, cameras=_one_camera)),
    Question("page Find", "calendar of a month: 16 cameras", _calendar(1)),
    Question("page Find", "calendar of a month: 96 cameras", _calendar(6)),
    Question("page Find", "calendar of a month: all cameras", _seconds),
    Question("page Find", "why nothing was found: a day, 32 cameras", _coverage(3, 2)),
    Question("page Find", "why nothing was found: 93 days, 32 cameras", _coverage(95, 2)),
    Question("page Find", "totals: newest day, all sites", _total(states=ARCHIVED, day=_newest_day)),
    Question("page Find", "totals: a day, one site", _total(states=ARCHIVED, day=_day, sites=_dense)),
    Question("page Find", "totals: a day, one camera", _total(states=ARCHIVED, day=_day, cameras=_one_camera)),
    Question("page Find", "totals: a purged day, archived (none)", _total(states=ARCHIVED, day=_purged_day)),
    Question("page Find", "totals: 31 days, one camera", _total(states=ARCHIVED, day=_month, cameras=_one_camera)),
    Question("page Find", "totals: all time, all sites", _total(states=ARCHIVED)),
    Question("page Find", "totals: all time, one camera", _total(states=ARCHIVED, cameras=_one_camera)),
    Question("page Find", "totals: all time, quarantined", _total(states=("quarantined",))),
    Question("page Find", "totals: all time, purged", _total(states=("purged",))),
    Question("page Find", "totals: a run", _total(run=_run)),
    Question(
        "page Recording",
        "one recording",
        _of_recording(lambda conn, row: reads.get_recording(conn, row.id, row.start_utc)),
    ),
    Question(
        "page Recording", "its events", _of_recording(lambda conn, row: reads.lineage_of(conn, row.id, row.start_utc))
    ),
    Question(
        "page Recording",
        "where its parts lie",
        _of_recording(lambda conn, row: reads.locate(conn, row.id, row.start_utc, "rendition")),
    ),
    *(
        Question("page Recording", f"the one {word}, {state}", _neighbour(states, newest_first=newest_first))
        for word, newest_first in (("before", True), ("after", False))
        for state, states in (("archived", ARCHIVED), ("purged", ("purged",)))
    ),
    Question("page Watch", "timeline: a day, 16 cameras", _timeline(1, 16)),
    Question("page Watch", "timeline: three days, one camera", _timeline(3, 1)),
    Question("page Watch", "timeline: what deviates in half a year, 16 cameras", _months),
    Question(
        "page Watch",
        "where a day's footage begins",
        _find(1, states=ARCHIVED, day=_day, cameras=_one_camera, newest_first=False),
    ),
    Question("page Watch", "what to play: two hours", _to_play),
    Question(
        "page Watch",
        "what to play: one recording",
        _of_recording(lambda conn, row: timeline.playable_recording(conn, row.id, row.start_utc)),
    ),
    Question(
        "page Recording",
        "was it found cold?",
        _of_recording(lambda conn, row: restores.was_found_cold(conn, row.id, row.start_utc)),
    ),
    Question("every page", "what do I wait for?", lambda world, conn: restores.of_person(conn, 1, world.now)),
    Question("alerts", "who waits for a restore?", lambda world, conn: restores.waited_for(conn, world.now, 100)),
    Question("page Sites", "every site's state", lambda _, conn: reads.site_overviews(conn)),
    Question("page Sites", "a site's quarantined files", _find(8, states=("quarantined",), sites=_one_site)),
    Question(
        "page Sites",
        "the last 24 hours of the cameras of some sites",
        lambda world, conn: coverage.kept_footage(conn, world.now - timedelta(days=1), world.now, _three_sites(world)),
    ),
    Question("page Operations", "what waits at each site", lambda world, conn: pace.backlogs(conn, world.now)),
    Question("page Operations", "every site's quarantined files", _find(20, states=("quarantined",))),
    Question("page Operations", "what waits longest", _find(20, states=("planned",), newest_first=False)),
    Question("page Operations", "retries asked for", lambda _, conn: retries.retries_asked(conn)),
    Question(
        "page Operations",
        "newest footage of the cameras of some sites",
        lambda world, conn: reads_sites.camera_ends(conn, _three_sites(world)),
    ),
    Question(
        "page Operations",
        "batches of a run",
        lambda world, conn: reads_sites.batches_of_runs(conn, [_run(world), _run(world)]),
    ),
    Question(
        "retry",
        "names of a site's quarantined files",
        lambda world, conn: retries.quarantined_names(conn, world.site().id, None, None),
    ),
    Question("page Coverage", "16 cameras, 31 days", _coverage(31, 1)),
    Question("page Coverage", "100 cameras, 31 days", _coverage(31, 7, 100)),
    Question("page Coverage", "50 cameras, a quarter", _coverage(92, 4, 50)),
    Question("page Coverage", "16 cameras, a year", _coverage(366, 1)),
    Question("status", "what waits at each site", lambda world, conn: pace.backlogs(conn, world.now)),
    Question(
        "status",
        "stores by site",
        lambda _, conn: (reads_stores.store_states(conn), reads_sites.store_identities(conn)),
    ),
    Question("status", "untold alerts", lambda _, conn: alerts.waiting_messages(conn)),
    Question(
        "recordings", "one by its number alone", _of_recording(lambda conn, row: reads.get_recording(conn, row.id))
    ),
    Question("recordings", "oldest and newest footage", lambda _, conn: reads.first_and_last(conn)),
    Question(
        "recordings",
        "sums by day, one site, 31 days",
        lambda world, conn: reads_sites.camera_days(
            conn, _one_site(world), world.now.date() - timedelta(days=31), world.now.date()
        ),
    ),
    Question("coverage", "gaps of a camera's day", _gaps),
    Question(
        "coverage",
        "a month of a site, day by day",
        lambda world, conn: coverage.camera_days(
            conn, world.now.date() - timedelta(days=30), world.now.date(), sites=_one_site(world), now=world.now
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
        lambda world, conn: copying.count_to_copy(conn, "nas", "cloud", _filter(world, {"day": _day, "sites": _dense})),
    ),
    Question("copy", "stores by name", lambda _, conn: copying.known_stores(conn)),
    Question(
        "export",
        "a day of all sites, oldest first",
        _find(states=ARCHIVED, day=_day, newest_first=False),
    ),
    Question(
        "export",
        "what is proven of 24 recordings",
        lambda world, conn: copying.held_of(
            conn,
            [
                (row.id, row.start_utc)
                for row in reads.find_recordings(conn, _filter(world, {"day": _day, "states": ARCHIVED}), limit=PAGE)
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
    Question("page log", "a week", lambda world, conn: audit.list_log(conn, _week(world), limit=100)),
    Question("page holds", "all", lambda _, conn: holds.list_holds(conn, also_released=True)),
    Question("page alerts", "a month", lambda world, conn: alerts.list_alerts(conn, world.now - timedelta(30), 200)),
    Question("page alerts", "not sent", lambda _, conn: alerts.waiting_messages(conn)),
    Question("page sign-in", "whose session?", lambda _, conn: sessions.open_session(conn, bytes(32))),
    Question("page Export", "my orders", lambda _, conn: exports.list_exports(conn, 1, everybody=False)),
    Question("page Export", "everybody's orders", lambda _, conn: exports.list_exports(conn, 1, everybody=True)),
    Question("page Export", "one order", lambda _, conn: exports.get_export(conn, 1, 1, everybody=False)),
    Question("page Export", "how many of mine are open?", lambda _, conn: exports.count_open(conn, 1)),
    Question("page Export", "the links to them", lambda _, conn: shares.list_shares(conn, [1, 2])),
    Question("page Share", "what does this link give?", lambda _, conn: shares.find_share(conn, "token")),
    Question("exports", "how many are open?", lambda _, conn: exports.open_counts(conn)),
    Question("exports", "what has expired?", lambda _, conn: exports.expired_exports(conn)),
    Question("exports", "whose files are used?", lambda _, conn: exports.kept_exports(conn, [1, 2])),
    Question("exports", "who ordered it?", lambda world, conn: exports.asker_of(conn, _a_user(world))),
    Question("page account", "where am I signed in?", lambda _, conn: sessions.own_sessions(conn, 1)),
    Question("page sign-in", "whose password?", lambda _, conn: sessions.secret_of(conn, "sari")),
    Question("users", "who may sign in?", lambda _, conn: users.list_users(conn)),
    Question(
        "branches",
        "who are they, and whose certificates count?",
        lambda world, conn: (branches.list_branches(conn, world.now), branches.counting_certificates(conn, world.now)),
    ),
    Question("page metrics", "what lies before sites", lambda world, conn: reads_figures.site_work(conn, world.now)),
    Question("page metrics", "which copies are missing", lambda _, conn: reads_figures.missing_copies(conn)),
    Question("page metrics", "how long recordings took", lambda _, conn: reads_figures.stage_times(conn)),
    Question("restore", "is the catalogue empty?", lambda _, conn: (whole.is_empty(conn), whole.revision(conn))),
)
