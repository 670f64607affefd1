"""Coverage: is everything there? Cameras by day, what is missing and why; a click leads to that day's footage.

As on the other pages the address is the only state: ?site=...&from=...&to=... Of more cameras than the map has room for
&page=2 has the next ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from viewer import camera_tree, components, database, formats, frame, heat, places, query, search_bar
from viewer.i18n import Words
from viewer.places import Places
from vms.catalogue import coverage
from vms.catalogue.rows import SiteRow

PERIODS = {"week": 7, "month": 31, "quarter": 92}
USUAL = "month"
MOST_DAYS = 366
LEAST_CAMERAS, MOST_CAMERAS = 16, 100
MOST_CELLS = 50 * 92
"""Of the map: more of them nobody can tell apart, and they would take long. Of many days so much fewer cameras."""


def draw(words: Words) -> None:
    """The whole page; it renews itself every minute."""
    database.pool().ping()  # a fragment that finds the catalogue away runs the page again, which must then say so
    there = places.seen_by(frame.visitor())
    if not there.cameras:
        frame.state_box(words("coverage.none"), words("coverage.none.text"))
        return
    find = frame.current_find()
    today = datetime.now(formats.zone(frame.installation().zone)).date()
    first, last = _period(find, today)
    _filters(words, there, find, first, last, today)

    @st.fragment(run_every=60)
    def shown() -> None:
        with frame.guarded(words):
            _heat(words, there.sites, find, first, last)

    shown()


def _period(find: query.Find, today: date) -> tuple[date, date]:
    """The days that the address asks for, else the usual ones; never days to come or more than a year."""
    last = min(find.last or find.first or today, today)
    first = find.first if find.first and find.first <= last else last - timedelta(days=PERIODS[USUAL] - 1)
    return max(first, last - timedelta(days=MOST_DAYS - 1)), last


def _filters(words: Words, there: Places, find: query.Find, first: date, last: date, today: date) -> None:
    state = st.session_state
    quick = {name: (today - timedelta(days=count - 1), today) for name, count in PERIODS.items()}
    state["c.quick"] = next((name for name, period in quick.items() if period == (first, last)), None)
    if not (isinstance(state.get("c.dates"), tuple) and len(state["c.dates"]) == 1):
        state["c.dates"] = (first, last)

    def go(**changes: object) -> None:
        now = frame.current_find()
        frame.go(replace(_kept(now), **changes))  # type: ignore[arg-type]

    def quick_changed() -> None:
        begin, end = quick[state["c.quick"] or USUAL]
        go(first=begin, last=end)

    def dates_changed() -> None:
        if len(state["c.dates"]) == 2:
            go(first=state["c.dates"][0], last=state["c.dates"][1])

    def chosen() -> None:
        told = state["c.tree"].chosen
        if told:
            frame.go(camera_tree.choose(_kept(frame.current_find()), there, told))

    with st.container(key="filters"):
        columns = st.columns([1.5, 1.2, 1.6], gap="small", vertical_alignment="bottom")
        columns[0].pills(
            words("coverage.period"),
            list(quick),
            format_func=lambda name: words.one_of("coverage.period", name),
            key="c.quick",
            on_change=quick_changed,
        )
        columns[1].date_input(
            words("find.dates"), value=[], key="c.dates", format="DD/MM/YYYY", max_value=today, on_change=dates_changed
        )
        label = frame.as_plain_markdown(camera_tree.label(words, there, find))
        with columns[2].popover(label, icon=":material/videocam:", key="c.cameras"):
            components.camera_tree(camera_tree.page(words, there, find), "c.tree", chosen)


def _kept(find: query.Find) -> query.Find:
    """What of an address is of this page."""
    return query.Find(sites=find.sites, cameras=find.cameras, first=find.first, last=find.last)


def most_cameras(first: date, last: date) -> int:
    """How many cameras the map has room for, from first to last."""
    return min(MOST_CAMERAS, max(LEAST_CAMERAS, MOST_CELLS // ((last - first).days + 1)))


def _heat(words: Words, sites: Sequence[SiteRow], find: query.Find, first: date, last: date) -> None:
    pairs = search_bar.pairs(sites, find)
    most = most_cameras(first, last)
    page = page_of(st.query_params.get("page", ""), len(pairs), most)
    maps = _maps(frame.visitor().scope, pairs[page * most : (page + 1) * most], first, last)
    if not maps and len(pairs) <= most:
        frame.state_box(words("coverage.empty"), words("coverage.empty.text"))
        return
    data = heat.page(words, maps, {site.id: site.name for site in sites}, first, last)
    if len(pairs) > most:
        data["pages"] = _pages(words, find, page, len(pairs), most)

    components.heat_map(data, "heat")


def page_of(text: str, cameras: int, most: int) -> int:
    """Which of the pages of `most` cameras the address asks for, from 0 on; the nearest that there is."""
    asked = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 1
    return max(0, min(asked, -(-cameras // most)) - 1)


def _pages(words: Words, find: query.Find, page: int, cameras: int, most: int) -> dict[str, Any]:
    """Which cameras are drawn, and the ways to those before and after them."""

    texts = {
        to: words(key, count=formats.number(words, min(most, cameras - to * most)))
        for to, key in ((page - 1, "coverage.before"), (page + 1, "coverage.after"))
        if 0 <= to * most < cameras
    }
    kept = query.write(_kept(find))
    ways = [
        {"way": f"to-{to - page}", "text": text, "href": f"/coverage?{urlencode(kept | {'page': str(to + 1)})}"}
        for to, text in texts.items()
    ]
    begin, end = page * most + 1, min(cameras, (page + 1) * most)
    shown = {"first": formats.number(words, begin), "last": formats.number(words, end)}
    return {"text": words("coverage.more", count=formats.number(words, cameras), **shown), "ways": ways}


@st.cache_data(ttl=50, max_entries=60, show_spinner=False)
def _maps(scope: str, pairs: tuple[tuple[str, str], ...], first: date, last: date) -> list[heat.CameraMap]:
    """The cameras that ever had footage, by site."""
    if not pairs:
        return []
    with database.pool().connection(scope) as conn:
        facts = coverage.load_facts(conn, first, last, cameras=pairs)
    return [heat.camera_map(one, first, last) for one in facts if one.since is not None]
