"""The viewer's own components: account, card grid and table, calendar, camera tree, recording with player,
site panels, the map of many sites, the tables of Operations, heat map, gaps, timeline with player. Their code lies in
front/.

They get plain data and make elements from it in the browser, text always as text. Each is told in the address' terms
(hrefs), so that links open in a new tab too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

_FRONT = Path(__file__).resolve().parent / "front"


def _component(name: str, *parts: str) -> Any:
    """Its code and look from front/, after the base and the parts that it shares with others."""
    files = ("base", *parts, name)
    css, js = ([_FRONT / f"{one}.{ending}" for one in files] for ending in ("css", "js"))
    return st.components.v2.component(
        f"vms_{name}",
        html='<div class="root"></div>',
        css="".join(path.read_text() for path in css if path.exists()),
        js="".join(path.read_text() for path in js),
    )


_account = _component("account", "keyboard")
_grid = _component("grid")
_table = _component("table")
_calendar = _component("calendar")
_tree = _component("tree")
_why = _component("why", "gaps")
_recording = _component("recording")
_sites = _component("sites")
_ops = _component("ops")
_fleet = _component("fleet")
_heat = _component("heat", "gaps")
_watch = _component("watch", "watch_time", "watch_line", "watch_pick", "watch_marks", "watch_player", "watch_data")


def _ignore() -> None:
    """A rerun alone is what is wanted: it issues fresh links."""


def account(data: dict[str, Any], key: str) -> None:
    """Draw who has signed in, with the way out."""
    _account(key=key, data=data, width="content")


def card_grid(data: dict[str, Any], key: str, opened: Callable[[], None]) -> None:
    """Draw the cards. opened: called when one is clicked; session_state[key].open is its id."""
    _grid(key=key, data=data, on_open_change=opened)


def card_table(data: dict[str, Any], key: str, opened: Callable[[], None]) -> None:
    """Draw the cards as the rows of a table. opened: as of card_grid."""
    _table(key=key, data=data, on_open_change=opened)


def calendar(data: dict[str, Any], key: str, chosen: Callable[[], None], turned: Callable[[], None]) -> None:
    """Draw a month. chosen: called when a period is, session_state[key].chosen says which; turned: .month is asked."""
    _calendar(key=key, data=data, on_chosen_change=chosen, on_month_change=turned)


def camera_tree(data: dict[str, Any], key: str, chosen: Callable[[], None]) -> None:
    """Draw sites and cameras to choose from; session_state[key].chosen is what is chosen now, "*" for all."""
    _tree(key=key, data=data, on_chosen_change=chosen)


def gap_list(data: dict[str, Any], key: str) -> None:
    """Draw gaps and their reasons."""
    _why(key=key, data=data)


def recording(
    data: dict[str, Any],
    key: str,
    opened: Callable[[], None],
    found_cold: Callable[[], None],
    woken: Callable[[], None],
) -> None:
    """Draw a recording with its player. opened: called to go to another, session_state[key].open is its id.
    found_cold: called when it has to be restored before it can be played;
    woken: when that is asked for.

    Asks for a rerun before its links expire, and now and then while it is being restored.
    """
    _recording(
        key=key,
        data=data,
        on_open_change=opened,
        on_renew_change=_ignore,
        on_cold_change=found_cold,
        on_wake_change=woken,
    )


def site_panels(data: dict[str, Any], key: str) -> None:
    """Draw the sites."""
    _sites(key=key, data=data)


def operations(data: dict[str, Any], key: str, retried: Callable[[], None]) -> None:
    """Draw a section of Operations. retried: called to have a file tried again, session_state[key].retry says which,
    "*" for all."""
    _ops(key=key, data=data, on_retry_change=retried)


def fleet_map(data: dict[str, Any], key: str, opened: Callable[[], None], narrowed: Callable[[], None]) -> None:
    """Draw many sites by region. opened: called to go to one, session_state[key].open is its id; narrowed: to one
    region, .region is its name."""
    _fleet(key=key, data=data, on_open_change=opened, on_region_change=narrowed)


def heat_map(data: dict[str, Any], key: str) -> None:
    """Draw coverage by camera and day."""
    _heat(key=key, data=data)


def watch(data: dict[str, Any], key: str) -> None:
    """Draw the timeline and the player; they ask viewer.watch.routes for what they need."""
    _watch(key=key, data=data)
