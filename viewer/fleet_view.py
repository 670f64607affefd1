"""What the pages Sites and Operations share: the state of all sites, asked of the catalogue once for all who see the
same, and where they are many the filters and the map (viewer.fleet)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import urlencode

import streamlit as st

from viewer import components, database, fleet, formats, frame
from viewer.fleet import Asked, Judged
from viewer.i18n import Words
from vms.catalogue import pace, reads_sites, reads_stores
from vms.catalogue.pace import Backlog
from vms.catalogue.rows import SiteOverview, StoreStateRow

_WIDGETS = {"words": "fleet.q", "region": "fleet.region", "tier": "fleet.tier", "state": "fleet.state"}


@dataclass(frozen=True)
class Seen:
    """Every site that a person sees, what waits at each, and how the stores last answered to each."""

    sites: tuple[SiteOverview, ...]
    backlogs: Mapping[str, Backlog]
    answers: tuple[StoreStateRow, ...]

    @property
    def are_many(self) -> bool:
        return len(self.sites) > fleet.FEW


def seen(scope: str) -> Seen:
    """What is so at this moment, or was some seconds ago."""
    overviews = {one.site: one for one in _overviews(scope)}
    of_file = frame.installation(scope).sites
    order = [*of_file, *(site for site in overviews if site not in of_file)]
    for site, (name, zone) in of_file.items():
        overviews.setdefault(site, SiteOverview(site, name, zone, {}, 0, 0, None, None, None, None))
    return Seen(tuple(overviews[site] for site in order), *_works(scope))


# cache_data would copy all of it at each rerun
@st.cache_resource(ttl=8, max_entries=100, show_spinner=False)
def _overviews(scope: str) -> tuple[SiteOverview, ...]:
    with database.pool().connection(scope) as conn:
        return tuple(reads_sites.site_overviews(conn))


@st.cache_resource(ttl=30, max_entries=100, show_spinner=False)
def _works(scope: str) -> tuple[dict[str, Backlog], tuple[StoreStateRow, ...]]:
    with database.pool().connection(scope) as conn:
        return pace.backlogs(conn, datetime.now(UTC)), tuple(reads_stores.store_states(conn))


def forget() -> None:
    """What was just changed has to be asked for anew."""
    _overviews.clear()


def asked() -> Asked:
    """Which sites the address asks for."""
    return fleet.read({name: st.query_params.get(name, "") for name in ("q", "region", "tier", "state")})


def drawn_for() -> tuple[str, ...]:
    """What of the address the page around a fragment is drawn for: where that has changed, all is to be drawn anew."""
    return tuple(st.query_params.get(name, "") for name in ("q", "region", "tier", "state", "site", "dag"))


def _ask(wanted: Asked) -> None:
    params = fleet.write(wanted)
    if st.session_state.get("lang"):
        params["lang"] = st.session_state["lang"]
    st.query_params.from_dict(params)
    st.session_state.pop("fleet.shown", None)


def filters(words: Words, sites: Sequence[SiteOverview]) -> None:
    """Words, region, tier and state to search by; regions and tiers only where sites.yaml tells them."""
    state, now = st.session_state, asked()
    labels = frame.installation().labels
    of = [labels[one.site] for one in sites if one.site in labels]
    regions, tiers = (sorted({one[place] for one in of if one[place]}, key=str.casefold) for place in (0, 1))
    for name, key in _WIDGETS.items():
        state[key] = getattr(now, name)

    def changed() -> None:
        _ask(Asked(*((state[key] or "").strip() for key in _WIDGETS.values())))

    def choice(name: str, options: Sequence[str], label: Callable[[str], str]) -> None:
        st.selectbox(
            words(f"fleet.{name}"),
            ["", *options],
            format_func=lambda one: label(one) if one else words.one_of("fleet.every", name),
            key=_WIDGETS[name],
            on_change=changed,
            label_visibility="collapsed",
            width=190,
        )

    with st.container(key="fleet-filters", horizontal=True, vertical_alignment="center", gap="small"):
        st.text_input(
            words("fleet.search"),
            key="fleet.q",
            placeholder=words("fleet.search"),
            max_chars=100,
            on_change=changed,
            label_visibility="collapsed",
            width=260,
        )
        if regions:
            choice("region", [*regions, *([now.region] if now.region and now.region not in regions else [])], str)
        if tiers:
            choice("tier", [*tiers, *([now.tier] if now.tier and now.tier not in tiers else [])], str)
        named = {one: words(word) for one, (_, _, word) in fleet.KINDS.items()} | {"bad": words("fleet.bad")}
        choice("state", fleet.STATES, named.__getitem__)


def show_map(words: Words, sites: Sequence[Judged], address: str, opened: Callable[[str], None]) -> None:
    """The map of these sites. address: of the page of one, to be followed by its id; opened: called with that id."""
    key = "fleet"

    def to_site() -> None:
        chosen = str(st.session_state[key].open or "")
        if any(one.site.site == chosen for one in sites):
            opened(chosen)

    def to_region() -> None:
        _ask(replace(asked(), region=str(st.session_state[key].region or "")[:100]))

    bad = sum(one.kind in fleet.NEEDS_A_PERSON for one in sites)
    count = formats.number(words, len(sites))
    told = words("fleet.summary", bad=formats.number(words, bad), count=count)
    st.html(f'<p class="totals" role="status"><b>{told if bad else words("fleet.summary.none", count=count)}</b></p>')
    regions = f"?{urlencode(fleet.write(replace(asked(), region='')) | {'region': ''})}"
    components.fleet_map(fleet.page(words, sites, datetime.now(UTC), address, regions), key, to_site, to_region)


def shown(page: int) -> int:
    """How many of the sites are drawn: more at each asking."""
    return int(st.session_state.get("fleet.shown", page))


def more(words: Words, drawn: int, total: int, page: int) -> None:
    """The way to the rest."""

    def go_on() -> None:
        st.session_state["fleet.shown"] = drawn + page

    if total > drawn:
        with st.container(horizontal_alignment="center"):
            st.button(words("fleet.more", left=formats.number(words, total - drawn)), on_click=go_on)
