"""What Streamlit runs for every visit: header, then the page that the address names.

It lies in a folder of its own because Streamlit takes a folder `pages` beside its script for scripts of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import streamlit as st

from viewer import frame, visitor
from viewer.database import AWAY
from viewer.i18n import Words
from viewer.pages import account, alerts, bookmarks, coverage, deeds, exports, find, holds, operations, sites, watch
from viewer.visitor import Visitor
from vms.rights import Right

Draw = Callable[[Words], None]


def main() -> None:
    person, is_away = _who()
    words = frame.language()
    st.set_page_config(
        page_title=f"{frame.installation().company or 'VMS'} · {words('app.subtitle')}",
        page_icon="/favicon.png",
        layout="wide",
        initial_sidebar_state="collapsed",
    )
    if person is None and not is_away:
        frame.state_box(words("sign_in.needed"), words("sign_in.help"))
        return

    def show(draw: Draw, right: Right | None = "view") -> None:
        if person is None:
            frame.away(words)
            return
        if right is not None and not person.may(right):
            frame.state_box(words("app.not_allowed"), words("app.not_allowed.text"))
            return
        try:
            draw(words)
        except AWAY as error:
            logging.getLogger("viewer").warning("The catalogue does not answer: %s", error)
            frame.away(words)
        except Exception as error:  # noqa: BLE001  # a person sees a designed page, the log has the trace
            frame.fault(words, error)

    def page(draw: Draw, name: str, right: Right | None = "view", *, first: bool = False) -> st.Page:
        return st.Page(lambda: show(draw, right), title=words.one_of("app", name), url_path=name, default=first)

    sees_log_only = person is not None and not person.may("view") and person.may("log")
    find_page = page(find.draw, "find", first=not sees_log_only)
    log_page = page(deeds.draw, "log", "log", first=sees_log_only)
    account_page = page(account.draw, "account", None)
    others = {
        "watch": page(watch.draw, "watch"),
        "sites": page(sites.draw, "sites"),
        "coverage": page(coverage.draw, "coverage"),
        "bookmarks": page(bookmarks.draw, "bookmarks"),
        "exports": page(exports.draw, "exports", "export"),
        "holds": page(holds.draw, "holds"),
        "operations": page(operations.draw, "operations"),
        "alerts": page(alerts.draw, "alerts"),
    }
    chosen = st.navigation([find_page, *others.values(), log_page, account_page], position="hidden")
    offered = [name for name in others if name != "exports" or person is None or person.may("export")]
    shown = [] if sees_log_only else [(find_page, "app.find"), *((others[name], f"app.{name}") for name in offered)]
    if person is not None and person.may("log"):
        shown.append((log_page, "app.log"))
    frame.header(words, shown, person, chosen)
    chosen.run()


def _who() -> tuple[Visitor | None, bool]:
    """Who looks, and whether that can't be known because the catalogue is away."""
    try:
        person = visitor.current()
    except AWAY:
        return None, True
    if person is not None and st.session_state.get("visitor") != person.mark:
        st.session_state.clear()  # of whom sat here before, should the connection have been taken over
        st.session_state["visitor"] = person.mark
    return person, False


main()
