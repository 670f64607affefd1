"""The sites at a glance: newest footage, what waits, what needs a person, and the last 24 hours of each camera.

Of a few sites each has its panel. Many are shown as a map by region, the panels of the worst below it; the address says
which are asked for (viewer.fleet), and ?site=... shows one alone.
"""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from urllib.parse import urlencode

import streamlit as st

from viewer import components, database, fleet, fleet_view, formats, frame, overview, places
from viewer.elsewhere import FOOTAGE
from viewer.fleet import Judged
from viewer.i18n import Words
from vms.catalogue import coverage, reads
from vms.catalogue.rows import RecordingFilter, RecordingRow
from vms.pieces import Piece

PAGE = 6
"""Panels that are drawn of many sites, until more are asked for."""


def draw(words: Words) -> None:
    """The whole page; it renews itself every ten seconds."""
    database.pool().ping()  # a fragment that finds the catalogue away runs the page again, which must then say so
    st.html(f'<h1 class="visually-hidden">{words("sites.title")}</h1>')
    seen = fleet_view.seen(frame.visitor().scope)
    only = st.query_params.get("site", "")[:50]
    if only:
        _way_back(words, only)
    elif seen.are_many:
        fleet_view.filters(words, seen.sites)

    at = fleet_view.drawn_for()

    @st.fragment(run_every=10)
    def panels() -> None:
        if fleet_view.drawn_for() != at:
            st.rerun()
        with frame.guarded(words):
            _sites(words, only)

    panels()


def _way_back(words: Words, only: str) -> None:
    def everything() -> None:
        st.query_params.pop("site", None)

    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(words("fleet.back"), icon=":material/arrow_back:", on_click=everything)
        href = f"/operations?{urlencode({'dag': FOOTAGE + only})}"
        text = escape(words("fleet.operations"))
        st.html(f'<a class="csv" data-within href="{escape(href)}">{text}</a>', width="content")


def _sites(words: Words, only: str) -> None:
    now, person = datetime.now(UTC), frame.visitor()
    seen, installation = fleet_view.seen(person.scope), frame.installation(person.scope)
    faults = () if only else installation.faults
    if not seen.sites and not faults:
        frame.state_box(words("sites.none"), words("sites.none.text"))
        return
    judged = {
        one.site.site: one
        for one in fleet.judged(seen.sites, seen.backlogs, seen.answers, frame.installation().labels, now)
    }
    panels = [judged[one.site] for one in seen.sites if not only or one.site == only]
    total = drawn = len(panels)
    if only and not panels:
        frame.state_box(words("fleet.nothing"), words("sites.none.text"))
        return
    if seen.are_many and not only:
        fitting = fleet.fitting(judged.values(), fleet_view.asked())
        fleet_view.show_map(words, fitting, "/sites?site=", _open)
        total, drawn = len(fitting), fleet_view.shown(PAGE)
        panels = fitting[:drawn]
    data = {
        "lang": words.lang,
        "faults": [
            {
                "title": title or "sites.yaml",
                "badge": words("sites.attention"),
                "text": words("sites.faulty") if title else words("sites.faulty_file"),
                "message": message,
            }
            for title, message in (faults[:PAGE] if seen.are_many else faults)
        ],
        "sites": _panels(words, panels, now),
        "updated": words(
            "sites.updated", time=formats.moment(words, now.replace(second=0, microsecond=0), installation.zone)
        ),
    }

    components.site_panels(data, "sites")
    fleet_view.more(words, drawn, total, PAGE)


def _open(site: str) -> None:
    st.query_params["site"] = site


def _panels(words: Words, sites: list[Judged], now: datetime) -> list[dict[str, object]]:
    person = frame.visitor()
    cameras = places.seen_by(person).by_id
    days = _day(person.scope, tuple(one.site.site for one in sites if one.site.counts))
    return [
        overview.panel(
            words,
            one.site,
            cameras.get(one.site.site),
            days.get(one.site.site, {}),
            _problems(person.scope, one.site.site) if one.site.counts.get("quarantined") else [],
            one.kind,
            now,
        )
        for one in sites
    ]


@st.cache_data(ttl=10, max_entries=300, show_spinner=False)
def _problems(scope: str, site: str) -> list[RecordingRow]:
    with database.pool().connection(scope) as conn:
        wanted = RecordingFilter(sites=(site,), states=("quarantined",))
        return reads.find_recordings(conn, wanted, limit=overview.MOST_PROBLEMS)


@st.cache_data(ttl=30, max_entries=50, show_spinner=False)
def _day(scope: str, sites: tuple[str, ...]) -> dict[str, dict[str, list[Piece]]]:
    """What each camera of each of these sites has archived of the last 24 hours."""
    now = datetime.now(UTC)
    with database.pool().connection(scope) as conn:
        return coverage.kept_footage(conn, now - overview.DAY, now, sites)
