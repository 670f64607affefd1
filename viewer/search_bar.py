"""The filters of the Find page: period (calendar and times), sites and cameras (tree), state, posters or table.

Every change goes into the address, and what is drawn is read from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

import streamlit as st

from viewer import calendar, camera_tree, components, database, formats, frame, query
from viewer.calendar import DayShare
from viewer.i18n import Words
from viewer.places import Places
from vms.catalogue import coverage, reads_sites
from vms.catalogue.rows import SiteRow

QUICK = ("newest", "today", "yesterday", "week", "all")
MOST_CAMERAS = 64
"""With more cameras the calendar counts what is there against whole days, instead of against each schedule."""

_DAY_S = 86_400


def draw(words: Words, there: Places, find: query.Find, shown: query.Find, zone: str, newest: date | None) -> None:
    """The whole bar. shown: the search with its default period. zone: in which days are counted."""
    with st.container(key="filters"):
        _quick(words, shown, zone, newest)
        with st.container(key="searchbar", horizontal=True, vertical_alignment="center", gap="small"):
            # with on_change they would close at each choice, because their label, which tells the choice, is new
            with st.popover(
                frame.as_plain_markdown(calendar.label(words, shown)), icon=":material/calendar_month:", key="w.period"
            ):
                _calendar(words, there.sites, find, shown, zone)
            with st.popover(
                frame.as_plain_markdown(camera_tree.label(words, there, find)),
                icon=":material/videocam:",
                key="w.cameras",
            ):
                tree(words, there, find)
            _state(words, find)
            _view(words, find)


def _quick(words: Words, shown: query.Find, zone: str, newest: date | None) -> None:
    periods = _periods(zone, newest)
    whole_days = shown.first_time is None and shown.last_time is None
    chosen = "all" if shown.first is None and shown.last is None else None
    if chosen is None and whole_days:
        chosen = next((name for name, period in periods.items() if period == (shown.first, shown.last)), None)
    st.session_state["w.quick"] = chosen

    def changed() -> None:
        name = st.session_state["w.quick"]
        period = periods.get(name or "newest")
        fresh = replace(frame.current_find(), first=None, last=None, first_time=None, last_time=None, everything=False)
        if name == "all":
            fresh = replace(fresh, everything=True)
        elif name not in (None, "newest") and period is not None:
            fresh = replace(fresh, first=period[0], last=period[1])
        frame.go(fresh)

    st.pills(
        words("find.quick"),
        [name for name in QUICK if name == "all" or periods[name]],
        format_func=lambda name: words.one_of("find.quick", name),
        key="w.quick",
        on_change=changed,
        label_visibility="collapsed",
    )


def _periods(zone: str, newest: date | None) -> dict[str, tuple[date, date] | None]:
    today = _today(zone)
    return {
        "newest": (newest, newest) if newest else None,
        "today": (today, today),
        "yesterday": (today - timedelta(days=1), today - timedelta(days=1)),
        "week": (today - timedelta(days=6), today),
    }


def _calendar(words: Words, sites: Sequence[SiteRow], find: query.Find, shown: query.Find, zone: str) -> None:
    today = _today(zone)
    # made only for those who open it, whose calendar then asks for its month: of many cameras it takes half a second
    is_open = "find.month" in st.session_state
    asked, month = st.session_state.get("find.month", (None, None))
    if month is None or asked != (shown.first, shown.last):
        month = shown.last or shown.first or today
    month = min(month, today).replace(day=1)
    last = (month + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    shares = _shares(frame.visitor().scope, pairs(sites, find), month, min(last, today)) if is_open else None
    zone_name = formats.zone_name(datetime.now(formats.zone(zone)))

    def turned() -> None:
        other = calendar.month_of(st.session_state["calendar"].month or "")
        if other:
            st.session_state["find.month"] = ((shown.first, shown.last), other)

    def chosen() -> None:
        told = calendar.chosen(st.session_state["calendar"].chosen or "")
        if told:
            period = query.read(told)
            st.session_state["find.month"] = ((period.first, period.last), month)
            frame.go(
                replace(
                    frame.current_find(),
                    **{name: getattr(period, name) for name in ("first", "last", "first_time", "last_time")},
                    everything=False,
                )
            )

    components.calendar(calendar.page(words, month, shares, shown, zone_name, today), "calendar", chosen, turned)


def pairs(sites: Sequence[SiteRow], find: query.Find) -> tuple[tuple[str, str], ...]:
    """The cameras that the search is about."""
    return tuple(
        (site.id, camera.id)
        for site in sites
        if not find.sites or site.id in find.sites
        for camera in site.cameras
        if not find.cameras or (site.id, camera.id) in find.cameras
    )


@st.cache_data(ttl=50, max_entries=100, show_spinner=False)
def _shares(scope: str, pairs: tuple[tuple[str, str], ...], first: date, last: date) -> dict[date, DayShare]:
    """How much footage these cameras have on each day, each day in its own site's zone."""
    if not pairs:
        return {}
    with database.pool().connection(scope) as conn:
        if len(pairs) <= MOST_CAMERAS:
            sums = coverage.sums_by_day(conn, first, last, pairs)
            return {day: DayShare(*one) for day, one in sums.items()}
        kept = reads_sites.kept_seconds(conn, pairs, first, last)
    return {day: DayShare(len(pairs) * _DAY_S, seconds) for day, seconds in kept.items()}


def tree(words: Words, there: Places, find: query.Find) -> None:
    """Sites and cameras to choose from; what is chosen stands in the address."""

    def chosen() -> None:
        told = st.session_state["tree"].chosen
        if told:
            frame.go(camera_tree.choose(frame.current_find(), there, told))

    components.camera_tree(camera_tree.page(words, there, find), "tree", chosen)


def _state(words: Words, find: query.Find) -> None:
    state = st.session_state
    state["w.state"] = find.state
    st.selectbox(
        words("find.state"),
        list(query.STATES),
        format_func=lambda name: words.one_of("find.state", name),
        key="w.state",
        on_change=lambda: frame.go(replace(frame.current_find(), state=state["w.state"])),
        label_visibility="collapsed",
        width=180,
    )


def _view(words: Words, find: query.Find) -> None:
    state = st.session_state
    state["w.view"] = "table" if find.table else "posters"
    st.segmented_control(
        words("find.view"),
        ("posters", "table"),
        format_func=lambda name: words.one_of("find.view", name),
        key="w.view",
        on_change=lambda: frame.go(replace(frame.current_find(), table=state["w.view"] == "table")),
        label_visibility="collapsed",
        width="content",
    )


def _today(zone: str) -> date:
    return datetime.now(formats.zone(zone)).date()
