"""What the viewer's pages ask of the catalogue, each with what a person would give it there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from catalogue_asking import (
    ARCHIVED,
    MOST_COUNTED,
    PAGE,
    Question,
    World,
    a_day,
    dense_site,
    filter_of,
    find,
    of_recording,
    one_site,
)

from vms.catalogue import (
    alerts,
    audit,
    bookmarks,
    coverage,
    exports,
    holds,
    pace,
    playables,
    reads,
    reads_figures,
    reads_sites,
    restores,
    retries,
    sessions,
    shares,
    timeline,
)
from vms.catalogue.bookmark_search import BookmarkFilter
from vms.catalogue.connection import Connection
from vms.catalogue.reads import RecordingFilter


def _further(**wanted: Any) -> Callable[[World, Connection], object]:
    """The twentieth page, as the first one is found: behind the last row seen."""

    def ask(world: World, conn: Connection) -> object:
        begin, _ = world.day()
        return reads.find_recordings(conn, filter_of(world, wanted), limit=PAGE, after=(begin, 1 << 40))

    return ask


def _total(**wanted: Any) -> Callable[[World, Connection], object]:
    return lambda world, conn: reads.count_recordings(conn, filter_of(world, wanted), most=MOST_COUNTED)


def _neighbour(state: Any, *, newest_first: bool) -> Callable[[World, Connection], object]:
    def ask(world: World, conn: Connection) -> object:
        row = world.recording(conn, state)
        wanted = RecordingFilter(cameras=((row.site, row.camera),), states=state)
        return reads.find_recordings(conn, wanted, limit=1, after=(row.start_utc, row.id), newest_first=newest_first)

    return ask


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
    return playables.playable(conn, world.camera(world.dense), begin, begin + timedelta(hours=2), 400)


def _seconds(world: World, conn: Connection) -> object:
    pairs = [(site.id, camera.id) for site in world.sites for camera in site.cameras]
    return reads_sites.kept_seconds(conn, pairs, world.now.date() - timedelta(days=30), world.now.date())


def _one_camera(world: World) -> tuple[tuple[str, str], ...]:
    return (world.camera(),)


def _three_sites(world: World) -> tuple[str, ...]:
    return tuple(site.id for site in world.random.sample(world.sites, min(3, len(world.sites))))


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
        return bookmarks.list_bookmarks(conn, BookmarkFilter(**made), limit=PAGE)

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


PAGES: tuple[Question, ...] = (
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
            conn, BookmarkFilter(None, *world.day()), limit=PAGE, after=(world.now, 1 << 40)
        ),
    ),
    Question("page Watch", "bookmarks of 16 cameras, a day", _pins(1)),
    Question("page Watch", "bookmarks of 16 cameras, a month", _pins(31)),
    Question("page Find", "sites and cameras", lambda _, conn: reads.list_sites(conn)),
    Question("page Find", "when was a day purged?", _purged_at),
    Question("page Find", "sites that are seen whole", lambda _, conn: reads_sites.wholly_granted(conn)),
    *(
        Question("page Find", f"newest recording, {state}, {what}", find(1, states=states, to_utc=_soon, **where))
        for state, states in (("archived", ARCHIVED), ("any state", ()), ("purged", ("purged",)))
        for what, where in (
            ("all sites", {}),
            ("one site", {"sites": one_site}),
            ("one camera", {"cameras": _one_camera}),
        )
    ),
    Question("page Find", "first page: newest day, all sites", find(states=ARCHIVED, day=_newest_day)),
    Question("page Find", "first page: a day, all sites", find(states=ARCHIVED, day=a_day)),
    Question("page Find", "first page: a day, three sites", find(states=ARCHIVED, day=a_day, sites=_three_sites)),
    Question("page Find", "first page: a day, one camera", find(states=ARCHIVED, day=a_day, cameras=_one_camera)),
    Question("page Find", "first page: all time, all sites", find(states=ARCHIVED)),
    Question("page Find", "first page: all time, one camera", find(states=ARCHIVED, cameras=_one_camera)),
    Question("page Find", "first page: all time, purged", find(states=("purged",))),
    Question("page Find", "first page: all time, purged, one camera", find(states=("purged",), cameras=_one_camera)),
    Question("page Find", "first page: a purged day, archived (none)", find(states=ARCHIVED, day=_purged_day)),
    Question("page Find", "first page: a day, purged (none)", find(states=("purged",), day=a_day, sites=dense_site)),
    Question("page Find", "first page: all time, quarantined", find(states=("quarantined",))),
    Question(
        "page Find",
        "first page: all time, quarantined, one camera",
        find(states=("quarantined",), cameras=_one_camera),
    ),
    Question("page Find", "first page: all time, planned", find(states=("planned",))),
    Question("page Find", "first page: a run", find(run=_run)),
    Question("page Find", "further page: all time, all sites", _further(states=ARCHIVED)),
    Question("page Find", "further page: all time, one camera", _further(states=ARCHIVED, cameras=_one_camera)),
    Question("page Find", "calendar of a month: 16 cameras", _calendar(1)),
    Question("page Find", "calendar of a month: 64 cameras", _calendar(4)),
    Question("page Find", "calendar of a month: all cameras", _seconds),
    Question("page Find", "why nothing was found: a day, 32 cameras", _coverage(3, 2)),
    Question("page Find", "why nothing was found: 93 days, 32 cameras", _coverage(95, 2)),
    Question("page Find", "totals: newest day, all sites", _total(states=ARCHIVED, day=_newest_day)),
    Question("page Find", "totals: a day, one site", _total(states=ARCHIVED, day=a_day, sites=dense_site)),
    Question("page Find", "totals: a day, one camera", _total(states=ARCHIVED, day=a_day, cameras=_one_camera)),
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
        of_recording(lambda conn, row: reads.get_recording(conn, row.id, row.start_utc)),
    ),
    Question(
        "page Recording", "its events", of_recording(lambda conn, row: reads.lineage_of(conn, row.id, row.start_utc))
    ),
    Question(
        "page Recording",
        "where its parts lie",
        of_recording(lambda conn, row: reads.locate(conn, row.id, row.start_utc, "rendition")),
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
        find(1, states=ARCHIVED, day=a_day, cameras=_one_camera, newest_first=False),
    ),
    Question("page Watch", "what to play: two hours", _to_play),
    Question(
        "page Watch",
        "what to play: one recording",
        of_recording(lambda conn, row: playables.playable_recording(conn, row.id, row.start_utc)),
    ),
    Question(
        "page Recording",
        "was it found cold?",
        of_recording(lambda conn, row: restores.was_found_cold(conn, row.id, row.start_utc)),
    ),
    Question("every page", "what do I wait for?", lambda world, conn: restores.of_person(conn, 1, world.now)),
    Question("page Sites", "every site's state", lambda _, conn: reads.site_overviews(conn)),
    Question("page Sites", "a site's quarantined files", find(8, states=("quarantined",), sites=one_site)),
    Question(
        "page Sites",
        "the last 24 hours of the cameras of some sites",
        lambda world, conn: coverage.kept_footage(conn, world.now - timedelta(days=1), world.now, _three_sites(world)),
    ),
    Question("page Operations", "what waits at each site", lambda world, conn: pace.backlogs(conn, world.now)),
    Question("page Operations", "every site's quarantined files", find(20, states=("quarantined",))),
    Question("page Operations", "what waits longest", find(20, states=("planned",), newest_first=False)),
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
    Question("page Coverage", "16 cameras, 31 days", _coverage(31, 1)),
    Question("page Coverage", "100 cameras, 31 days", _coverage(31, 7, 100)),
    Question("page Coverage", "50 cameras, a quarter", _coverage(92, 4, 50)),
    Question("page Coverage", "16 cameras, a year", _coverage(366, 1)),
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
    Question("page account", "where am I signed in?", lambda _, conn: sessions.own_sessions(conn, 1)),
    Question("page sign-in", "whose password?", lambda _, conn: sessions.secret_of(conn, "sari")),
    Question("page metrics", "what lies before sites", lambda world, conn: reads_figures.site_work(conn, world.now)),
    Question("page metrics", "which copies are missing", lambda _, conn: reads_figures.missing_copies(conn)),
    Question("page metrics", "how long recordings took", lambda _, conn: reads_figures.stage_times(conn)),
)
