"""Find footage by time, site, camera and state; the page of one recording is opened from here (see pages.recording).

The address is the only state: widgets write to it, and what is drawn is read from it, so that any view can be linked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import streamlit as st

from viewer import cards, components, database, formats, frame, query
from viewer.i18n import Words
from viewer.pages import recording
from vms.catalogue import reads, reads_sites
from vms.catalogue.rows import RecordingFilter, RecordingRow, SiteRow, Totals
from vms.home import from_environment

PAGE = 24
MOST_COUNTED = 5000
"""Recordings that are added up for the line above the cards: a day of 16 cameras with a file each five minutes."""
QUICK = ("newest", "today", "yesterday", "week", "all")
OPEN_ENDED = ("planned", "quarantined")
"""States that are few and matter whatever their age: without a period all of them are shown."""


@dataclass(frozen=True)
class _Shown:
    """What a person has seen of a search so far, once more than its first page was asked for. further: and goes on."""

    find: query.Find
    rows: tuple[RecordingRow, ...]
    further: bool = False


def draw(words: Words, _goto: Callable[[dict[str, str]], None]) -> None:
    """The whole page."""
    find = frame.current_find()
    if find.recording:
        recording.draw(words, find)
        return
    with database.pool().connection() as conn:
        sites = reads_sites.list_sites(conn)
    zone = _zone(sites, find)
    newest = _newest_day(find, zone)
    shown = _with_period(find, newest)
    _filters(words, sites, find, shown, zone, newest)
    _run_line(words, find)
    refresh_s = None if _shown(find) else 20

    @st.fragment(run_every=refresh_s)
    def results() -> None:
        if frame.current_find() != find:
            st.rerun()
        with frame.guarded(words):
            _results(words, find, _with_period(find, _newest_day(find, zone)), zone)

    results()


def _zone(sites: list[SiteRow], find: query.Find) -> str:
    """The zone in which days are counted: the chosen sites' when they share one, else that of the first site."""
    chosen = [one for one in sites if one.id in find.sites or any(pair[0] == one.id for pair in find.cameras)]
    zones = {one.time_zone for one in chosen or sites}
    if len(zones) == 1:
        return zones.pop()
    first = frame.installation().zone
    return first if first in zones or not zones else sorted(zones)[0]


def _newest_day(find: query.Find, zone: str) -> date | None:
    """The day (in this zone) of the newest recording that the filters allow in any period; clocks ahead are ignored."""
    wanted = query.as_filter(replace(find, first=None, last=None), zone)
    with database.pool().connection() as conn:
        rows = reads.find_recordings(
            conn, replace(wanted, to_utc=datetime.now(UTC) + timedelta(hours=1)), limit=1, newest_first=True
        )
    return rows[0].start_utc.astimezone(formats.zone(zone)).date() if rows else None


def _with_period(find: query.Find, newest: date | None) -> query.Find:
    """The search with the period that is meant when the address has none."""
    if find.has_period or find.run or find.state in OPEN_ENDED or newest is None:
        return find
    return replace(find, first=newest, last=newest)


def _periods(zone: str, newest: date | None) -> dict[str, tuple[date, date] | None]:
    today = datetime.now(formats.zone(zone)).date()
    return {
        "newest": (newest, newest) if newest else None,
        "today": (today, today),
        "yesterday": (today - timedelta(days=1), today - timedelta(days=1)),
        "week": (today - timedelta(days=6), today),
    }


def _filters(
    words: Words, sites: list[SiteRow], find: query.Find, shown: query.Find, zone: str, newest: date | None
) -> None:
    state = st.session_state
    names = {one.id: one.name for one in sites}
    open_sites = [one for one in sites if not find.sites or one.id in find.sites]
    cameras = {(one.id, camera.id): (camera.name, one.name) for one in open_sites for camera in one.cameras}
    periods = _periods(zone, newest)
    everything = find.everything or not (shown.first or shown.last)
    chosen_quick = "all" if everything else None
    for name, period in periods.items():
        if not everything and chosen_quick is None and period == (shown.first, shown.last):
            chosen_quick = name

    state["w.sites"] = [one for one in find.sites if one in names]
    state["w.cameras"] = [one for one in find.cameras if one in cameras]
    state["w.state"] = find.state
    state["w.quick"] = chosen_quick
    half_chosen = isinstance(state.get("w.dates"), tuple) and len(state["w.dates"]) == 1
    if not half_chosen:
        first, last = shown.first or shown.last, shown.last or shown.first
        state["w.dates"] = () if everything or first is None or last is None else (first, last)

    def changed() -> None:
        chosen = tuple(state["w.sites"])
        kept = tuple(pair for pair in state["w.cameras"] if not chosen or pair[0] in chosen)
        frame.go(replace(frame.current_find(), sites=chosen, cameras=kept, state=state["w.state"]))

    def dates_changed() -> None:
        dates = state["w.dates"]
        if not dates:
            frame.go(replace(frame.current_find(), first=None, last=None, everything=True))
        elif len(dates) == 2:
            frame.go(replace(frame.current_find(), first=dates[0], last=dates[1], everything=False))

    def quick_changed() -> None:
        name = state["w.quick"]
        period = periods.get(name or "newest")
        if name == "all":
            frame.go(replace(frame.current_find(), first=None, last=None, everything=True))
        elif name in (None, "newest") or period is None:
            frame.go(replace(frame.current_find(), first=None, last=None, everything=False))
        else:
            frame.go(replace(frame.current_find(), first=period[0], last=period[1], everything=False))

    with st.container(key="filters"):
        st.pills(
            words("find.quick"),
            [name for name in QUICK if name == "all" or periods[name]],
            format_func=lambda name: words.one_of("find.quick", name),
            key="w.quick",
            on_change=quick_changed,
            label_visibility="collapsed",
        )
        columns = st.columns([1.2, 1.4, 1.6, 1], gap="small")
        columns[0].date_input(
            words("find.dates"), value=[], key="w.dates", format="DD/MM/YYYY", on_change=dates_changed
        )
        columns[1].multiselect(
            words("find.sites"),
            list(names),
            format_func=lambda one: names[one],
            key="w.sites",
            placeholder=words("find.sites.all"),
            on_change=changed,
        )
        columns[2].multiselect(
            words("find.cameras"),
            list(cameras),
            format_func=lambda pair: cameras[pair][0] if len(open_sites) == 1 else " · ".join(cameras[pair]),
            key="w.cameras",
            placeholder=words("find.cameras.all"),
            on_change=changed,
        )
        columns[3].selectbox(
            words("find.state"),
            list(query.STATES),
            format_func=lambda name: words.one_of("find.state", name),
            key="w.state",
            on_change=changed,
        )


def _run_line(words: Words, find: query.Find) -> None:
    if not find.run:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(words("find.run", run=frame.as_plain_markdown("/".join(find.run))), color="primary")
        st.button(
            words("find.run.clear"), type="tertiary", on_click=lambda: frame.go(replace(frame.current_find(), run=None))
        )


@st.cache_data(ttl=15, max_entries=200, show_spinner=False)
def _totals(wanted: RecordingFilter) -> Totals:
    with database.pool().connection() as conn:
        return reads.count_recordings(conn, wanted, most=MOST_COUNTED)


def _results(words: Words, find: query.Find, shown: query.Find, zone: str) -> None:
    wanted = query.as_filter(shown, zone)
    rows = _rows(find, wanted)
    if not rows:
        _nothing(words, find, zone)
        return
    totals = _totals(wanted)
    _totals_line(words, totals, rows, zone)

    def opened() -> None:
        chosen = query.read({"recording": [st.session_state["grid"].open or ""]}).recording
        if chosen:
            frame.go(replace(frame.current_find(), recording=chosen))

    components.card_grid(cards.grouped_cards(from_environment(), words, rows, find, zone), "grid", opened)
    left = totals.count - len(rows)
    if len(rows) % PAGE == 0 and (totals.more or left > 0):

        def more() -> None:
            st.session_state["find.shown"] = _Shown(find, tuple(rows), further=True)

        text = words("find.more.many") if totals.more else words("find.more", left=formats.number(words, left))
        with st.container(horizontal_alignment="center"):
            st.button(text, on_click=more)


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
    with database.pool().connection() as conn:
        page = reads.find_recordings(conn, wanted, limit=PAGE, after=after)
    if seen:
        st.session_state["find.shown"] = _Shown(find, (*seen, *page))
    return [*seen, *page]


def _totals_line(words: Words, totals: Totals, rows: list[RecordingRow], zone: str) -> None:
    count = max(totals.count, len(rows))
    text = words("find.total.one") if count == 1 else words("find.total", count=formats.number(words, count))
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


def _nothing(words: Words, find: query.Find, zone: str) -> None:
    """Say what there is instead, and offer the way there."""
    newest = _newest_day(find, zone)
    if newest:
        day = formats.day_long(words, newest)
        frame.state_box(words("find.none.title"), words("find.none.newest", day=day))
        with st.container(horizontal_alignment="center"):
            st.button(
                words("find.none.go", day=formats.day_short(words, newest)),
                type="primary",
                on_click=lambda: frame.go(replace(find, first=newest, last=newest, everything=False, run=None)),
            )
        return
    if find == query.Find():
        frame.state_box(words("find.none.first"), words("find.none.first.text"))
        return
    frame.state_box(words("find.none.title"), words("find.none.filters"))
    with st.container(horizontal_alignment="center"):
        st.button(words("find.none.clear"), type="primary", on_click=lambda: frame.go(query.Find()))
