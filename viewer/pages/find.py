"""Find footage by time, site, camera and state; the page of one recording is opened from here (see pages.recording).

The address is the only state: widgets write to it, and what is drawn is read from it, so that any view can be linked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from html import escape
from urllib.parse import urlencode

import streamlit as st

from viewer import absence, cards, components, database, export_form, formats, frame, places, query, search_bar
from viewer.i18n import Words
from viewer.pages import recording
from viewer.watch import asked as watch_asked
from vms.catalogue import bookmarks, coverage, reads, reads_sites
from vms.catalogue.bookmarks import BookmarkRow
from vms.catalogue.rows import RecordingFilter, RecordingRow, SiteRow, Totals

PAGE = 24
MOST_CAMERAS = 64
MOST_EXPLAINED, EXPLAINED_CAMERAS = timedelta(days=93), 32
"""For more cameras or a longer time the page Coverage is the place to ask why footage is missing."""

MOST_COUNTED = 5000
"""Recordings that are added up for the line above the cards: a day of 16 cameras with a file each five minutes."""
MOST_MARKED = 100
"""Bookmarks that are looked for among what was found."""

OPEN_ENDED = ("planned", "quarantined")
"""States that are few and matter whatever their age: without a period all of them are shown."""


@dataclass(frozen=True)
class _Shown:
    """What a person has seen of a search so far, once more than its first page was asked for. further: and goes on."""

    find: query.Find
    rows: tuple[RecordingRow, ...]
    further: bool = False


def draw(words: Words) -> None:
    """The whole page."""
    find = frame.current_find()
    if find.recording:
        recording.draw(words, find)
        return
    there = places.seen_by(frame.visitor())
    _log_search(find)
    zone = _zone(there.sites, find)
    newest = _newest_day(find, zone)
    shown = _with_period(find, newest)
    search_bar.draw(words, there, find, shown, zone, newest)
    _run_line(words, find)
    refresh_s = None if _shown(find) else 20

    @st.fragment(run_every=refresh_s)
    def results() -> None:
        if frame.current_find() != find:
            st.rerun()
        with frame.guarded(words):
            _results(words, there.sites, find, _with_period(find, _newest_day(find, zone)), zone)

    results()


def _log_search(find: query.Find) -> None:
    """Each search once, when it is new to this visit; a page that renews itself searches for nobody."""
    asked = query.write(find)
    if st.session_state.get("find.logged") == asked:
        return
    person = frame.visitor()
    with database.pool().connection(person.scope) as conn:
        reads.log_view(conn, person.name, "search", None, None, dict(asked), person.address)
    st.session_state["find.logged"] = asked


def _zone(sites: Sequence[SiteRow], find: query.Find) -> str:
    """The zone in which days are counted: the chosen sites' when they share one, else that of the first site."""
    chosen = [one for one in sites if one.id in find.sites or any(pair[0] == one.id for pair in find.cameras)]
    zones = {one.time_zone for one in chosen or sites}
    if len(zones) == 1:
        return zones.pop()
    first = frame.installation().zone
    return first if first in zones or not zones else sorted(zones)[0]


def _filter(find: query.Find, zone: str) -> RecordingFilter:
    """The catalogue's filter. Of a person who sees some cameras of a site only, it names them: to search the site for
    the few that are theirs would read through all the others' footage. Of one who sees whole sites it names those, as
    what is rare is found along the index of a site."""
    wanted = query.as_filter(find, zone)
    person = frame.visitor()
    if person.sees_everything or wanted.cameras or wanted.run:
        return wanted
    sites = places.seen_by(person).sites
    with database.pool().connection(person.scope) as conn:
        whole = reads_sites.wholly_granted(conn)
    asked = [site.id for site in sites if not wanted.sites or site.id in wanted.sites]
    if asked and whole.issuperset(asked):
        return replace(wanted, sites=tuple(asked))
    cameras = search_bar.pairs(sites, find)
    return replace(wanted, cameras=cameras) if len(cameras) <= MOST_CAMERAS else wanted


def _newest_day(find: query.Find, zone: str) -> date | None:
    """The day (in this zone) of the newest recording that the filters allow in any period; clocks ahead are ignored."""
    wanted = _filter(replace(find, first=None, last=None), zone)
    with database.pool().connection(frame.visitor().scope) as conn:
        rows = reads.find_recordings(
            conn, replace(wanted, to_utc=datetime.now(UTC) + timedelta(hours=1)), limit=1, newest_first=True
        )
    return rows[0].start_utc.astimezone(formats.zone(zone)).date() if rows else None


def _with_period(find: query.Find, newest: date | None) -> query.Find:
    """The search with the period that is meant when the address has none."""
    if find.has_period or find.run or find.state in OPEN_ENDED or newest is None:
        return find
    return replace(find, first=newest, last=newest)


def _run_line(words: Words, find: query.Find) -> None:
    if not find.run:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(words("find.run", run=frame.as_plain_markdown("/".join(find.run))), color="primary")
        st.button(
            words("find.run.clear"), type="tertiary", on_click=lambda: frame.go(replace(frame.current_find(), run=None))
        )


@st.cache_data(ttl=15, max_entries=200, show_spinner=False)
def _totals(scope: str, wanted: RecordingFilter) -> Totals:
    with database.pool().connection(scope) as conn:
        return reads.count_recordings(conn, wanted, most=MOST_COUNTED)


def _results(words: Words, sites: Sequence[SiteRow], find: query.Find, shown: query.Find, zone: str) -> None:
    wanted = _filter(shown, zone)
    rows = _rows(find, wanted)
    if not rows:
        _nothing(words, sites, find, shown, zone)
        return
    totals = _totals(frame.visitor().scope, wanted)
    marked = _bookmarks(rows)
    with st.container(key="totals", horizontal=True, vertical_alignment="center"):
        _totals_line(words, totals, rows, zone)
        _timeline_link(words, rows)
        _export_link(words, sites, find, shown)
        if marked:
            there = query.Find(sites=find.sites, cameras=find.cameras, first=shown.first, last=shown.last)
            count = formats.number(words, len(marked))
            _link(f"/bookmarks?{urlencode(query.write(there))}", words("find.bookmarks", count=count))

    key = "table" if find.table else "grid"

    def opened() -> None:
        chosen = query.read({"recording": [st.session_state[key].open or ""]}).recording
        if chosen:
            frame.go(replace(frame.current_find(), recording=chosen))

    made = cards.grouped_cards(frame.links(), words, rows, find, zone, marked)
    (components.card_table if find.table else components.card_grid)(made, key, opened)
    left = totals.count - len(rows)
    if len(rows) % PAGE == 0 and (totals.more or left > 0):

        def more() -> None:
            st.session_state["find.shown"] = _Shown(find, tuple(rows), further=True)

        text = words("find.more.many") if totals.more else words("find.more", left=formats.number(words, left))
        with st.container(horizontal_alignment="center"):
            st.button(text, on_click=more)


def _bookmarks(rows: list[RecordingRow]) -> list[BookmarkRow]:
    """Moments that people have marked in what was found."""
    cameras = list(dict.fromkeys((row.site, row.camera) for row in rows))
    begin, end = min(row.start_utc for row in rows), max(cards.end_of(row) for row in rows)
    with database.pool().connection(frame.visitor().scope) as conn:
        return bookmarks.along(conn, cameras, begin, end, MOST_MARKED)


def _shown(find: query.Find) -> _Shown | None:
    shown = st.session_state.get("find.shown")
    return shown if shown is not None and shown.find == find else None


def _rows(find: query.Find, wanted: RecordingFilter) -> list[RecordingRow]:
    """The first page as it is now; behind it, only what follows the last row seen is asked for."""
    shown = _shown(find)
    if shown is not None and not shown.further:
        return list(shown.rows)
    seen = shown.rows if shown else ()
    after = (seen[-1].start_utc, seen[-1].id) if seen else None
    with database.pool().connection(frame.visitor().scope) as conn:
        page = reads.find_recordings(conn, wanted, limit=PAGE, after=after)
    if seen:
        st.session_state["find.shown"] = _Shown(find, (*seen, *page))
    return [*seen, *page]


def _totals_line(words: Words, totals: Totals, rows: list[RecordingRow], zone: str) -> None:
    count = max(totals.count, len(rows))
    text = formats.counted(words, "find.total", count)
    if totals.more:
        text = words("find.total.many", count=formats.number(words, totals.count))
    parts = [f"<b>{text}</b>"]
    if totals.duration_s:
        parts.append(f"<span>{words('find.total.length', length=formats.length(words, totals.duration_s))}</span>")
    if totals.rendition_bytes:
        before, after = (formats.size(words, one) for one in (totals.source_bytes, totals.rendition_bytes))
        parts.append(f"<span>{words('find.total.size', before=before, after=after)}</span>")
        saved = formats.saving(words, totals.source_bytes, totals.rendition_bytes)
        if saved:
            parts.append(f'<span class="save">{words("find.total.saving", saving=saved)}</span>')
    if len({row.time_zone for row in rows}) > 1:
        name = formats.zone_name(rows[0].start_utc.astimezone(formats.zone(zone)))
        parts.append(f'<span class="hint">{words("find.days_in", zone=name)}</span>')
    st.html(f'<div class="totals" role="status">{"".join(parts)}</div>')


def _timeline_link(words: Words, rows: list[RecordingRow]) -> None:
    """The way to the page Watch, with the cameras that were found, at the newest of what was found."""
    cameras = list(dict.fromkeys((row.site, row.camera) for row in rows))[: watch_asked.MOST_CAMERAS]
    _link(f"/watch?{urlencode(query.watch_params(cameras, rows[0].start_utc))}", words("find.watch"))


def _export_link(words: Words, sites: Sequence[SiteRow], find: query.Find, shown: query.Find) -> None:
    """The way to export what is found, where that is a range of some cameras."""
    cameras = search_bar.pairs(sites, find)
    if shown.first is None or find.run or not cameras or len(cameras) > export_form.MOST_CAMERAS:
        return
    if frame.visitor().may("export"):
        period = {name: getattr(shown, name) for name in ("first", "last", "first_time", "last_time")}
        _link(
            f"/exports?{urlencode(query.write(query.Find(cameras=cameras, **period)))}",
            words("exports.these"),
        )


def _link(address: str, text: str) -> None:
    """A way to another page, drawn as a button."""
    st.html(f'<a class="csv" data-within href="{escape(address)}">{escape(text)}</a>', width="content")


def _nothing(words: Words, sites: Sequence[SiteRow], find: query.Find, shown: query.Find, zone: str) -> None:
    """Say why there is nothing, what there is instead, and offer the way there."""
    newest = _newest_day(find, zone)
    others = _other_states(shown, zone)
    unseen = _unseen(sites, find)
    if unseen:
        frame.state_box(words("find.none.title"), words("find.none.unseen", places=", ".join(unseen)))
        with st.container(horizontal_alignment="center"):
            st.button(words("find.none.clear"), type="primary", on_click=lambda: frame.go(query.Find()))
        return
    if find == query.Find() and not newest:
        frame.state_box(words("find.none.first"), words("find.none.first.text"))
        return
    if newest:
        frame.state_box(words("find.none.title"), words("find.none.newest", day=formats.day_long(words, newest)))
    else:
        frame.state_box(words("find.none.title"), words("find.none.filters"))
    with st.container(horizontal_alignment="center", horizontal=True):
        if others:
            st.button(
                words("find.none.states"),
                type="primary",
                on_click=lambda: frame.go(replace(frame.current_find(), state="all")),
            )
        if newest:
            st.button(
                words("find.none.go", day=formats.day_short(words, newest)),
                type="secondary" if others else "primary",
                on_click=lambda: frame.go(
                    replace(
                        find, first=newest, last=newest, first_time=None, last_time=None, everything=False, run=None
                    )
                ),
            )
        elif not others:
            st.button(words("find.none.clear"), type="primary", on_click=lambda: frame.go(query.Find()))
    _why(words, sites, shown, zone)


def _unseen(sites: Sequence[SiteRow], find: query.Find) -> list[str]:
    """What the address names and this person does not see; empty while some of what it names is seen."""
    seen = {site.id for site in sites} | {f"{site.id}/{one.id}" for site in sites for one in site.cameras}
    asked = [*find.sites, *("/".join(one) for one in find.cameras)]
    return asked if asked and not seen & set(asked) else []


def _other_states(shown: query.Find, zone: str) -> bool:
    """Whether recordings in other states would be found in the same period."""
    if shown.state == "all":
        return False
    wanted = _filter(replace(shown, state="all"), zone)
    with database.pool().connection(frame.visitor().scope) as conn:
        return bool(reads.find_recordings(conn, wanted, limit=1))


def _why(words: Words, sites: Sequence[SiteRow], shown: query.Find, zone: str) -> None:
    """What the coverage ledger says about the period: each gap with its reason and what to do about it."""
    start, end = query.bounds(shown, zone)
    pairs = search_bar.pairs(sites, shown)
    if start is None or end is None or not pairs or shown.run or end - start > MOST_EXPLAINED:
        return
    cameras = _maps(frame.visitor().scope, pairs[:EXPLAINED_CAMERAS], start, end)
    if len(pairs) > EXPLAINED_CAMERAS:
        count, of = formats.number(words, EXPLAINED_CAMERAS), formats.number(words, len(pairs))
        st.caption(words("find.none.some", count=count, of=of))
    told = absence.gaps(words, cameras, {site.id: site.name for site in sites})
    if not told:
        with st.container(horizontal_alignment="center"):
            st.caption(frame.as_plain_markdown(absence.unexpected(words, cameras, end)), width="content")
        return
    components.gap_list({"lang": words.lang, "title": words("find.none.why"), "gaps": told}, "why")


@st.cache_data(ttl=30, max_entries=100, show_spinner=False)
def _maps(scope: str, pairs: tuple[tuple[str, str], ...], start: datetime, end: datetime) -> list[absence.CameraGaps]:
    days = (start.date() - timedelta(days=1), end.date() + timedelta(days=1))
    with database.pool().connection(scope) as conn:
        facts = coverage.load_facts(conn, *days, cameras=pairs)
        found = [absence.of_camera(one, start, end) for one in facts]
        return [absence.with_purge_days(one, lambda *span: reads.purged_at(conn, *span)) for one in found]
