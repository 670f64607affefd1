"""The viewer's own components: card grid, recording with player, site panels, heat map. Their code lies in front/.

They get plain data and make elements from it in the browser, text always as text. Each is told in the address' terms
(hrefs), so that links open in a new tab too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

_FRONT = Path(__file__).resolve().parent / "front"


def _component(name: str) -> Any:
    return st.components.v2.component(
        f"vms_{name}",
        html='<div class="root"></div>',
        css=(_FRONT / "base.css").read_text() + (_FRONT / f"{name}.css").read_text(),
        js=(_FRONT / "base.js").read_text() + (_FRONT / f"{name}.js").read_text(),
    )


_grid = _component("grid")
_recording = _component("recording")
_sites = _component("sites")
_heat = _component("heat")


def _ignore() -> None:
    """A rerun alone is what is wanted: it issues fresh links."""


def card_grid(data: dict[str, Any], key: str, opened: Callable[[], None]) -> None:
    """Draw the cards. opened: called when one is clicked; session_state[key].open is its id."""
    _grid(key=key, data=data, on_open_change=opened)


def recording(data: dict[str, Any], key: str, opened: Callable[[], None]) -> None:
    """Draw a recording with its player. opened: called to go to another, session_state[key].open is its id.

    Asks for a rerun before its links expire.
    """
    _recording(key=key, data=data, on_open_change=opened, on_renew_change=_ignore)


def site_panels(data: dict[str, Any], key: str, asked: Callable[[], None]) -> None:
    """Draw the sites. asked: called when a search is clicked; session_state[key].show is its query string."""
    _sites(key=key, data=data, on_show_change=asked)


def heat_map(data: dict[str, Any], key: str, asked: Callable[[], None]) -> None:
    """Draw coverage by camera and day. asked: called when a cell is clicked; session_state[key].show is its search."""
    _heat(key=key, data=data, on_show_change=asked)
