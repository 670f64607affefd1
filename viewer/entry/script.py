"""What Streamlit runs for every visit: header, then the page that the address names.

It lies in a folder of its own because Streamlit takes a folder `pages` beside its script for scripts of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import streamlit as st

from viewer import database, frame, visitor
from viewer.database import AWAY
from viewer.i18n import Words
from viewer.pages import coverage, find, sites, watch


def main() -> None:
    words = frame.language()
    st.set_page_config(
        page_title=f"{frame.installation().company or 'VMS'} · {words('app.subtitle')}",
        page_icon="/favicon.png",
        layout="wide",
        initial_sidebar_state="collapsed",
    )

    try:
        person = visitor.current()
    except AWAY:
        person = None
        unknown = True
    else:
        unknown = False
    if person is None and not unknown:
        frame.state_box(words("sign_in.needed"), words("sign_in.help"))
        return

    def show(draw: Callable[[Words, frame.Goto], None]) -> None:
        try:
            if person is None or not person.may("view"):
                database.pool().ping()
                frame.state_box(words("app.not_allowed"), words("app.not_allowed.text"))
                return
            draw(words, goto)
        except AWAY as error:
            logging.getLogger("viewer").warning("The catalogue does not answer: %s", error)
            frame.away(words)
        except Exception as error:  # noqa: BLE001  # a person sees a designed page, the log has the trace
            frame.fault(words, error)

    def goto(params: dict[str, str], page: str = "find") -> None:
        st.switch_page({"find": find_page, "watch": watch_page}[page], query_params=params)

    find_page = st.Page(lambda: show(find.draw), title=words("app.find"), url_path="find", default=True)
    watch_page = st.Page(lambda: show(watch.draw), title=words("app.watch"), url_path="watch")
    sites_page = st.Page(lambda: show(sites.draw), title=words("app.sites"), url_path="sites")
    coverage_page = st.Page(lambda: show(coverage.draw), title=words("app.coverage"), url_path="coverage")
    page = st.navigation([find_page, watch_page, sites_page, coverage_page], position="hidden")
    links = [
        (find_page, "app.find"),
        (watch_page, "app.watch"),
        (sites_page, "app.sites"),
        (coverage_page, "app.coverage"),
    ]
    frame.header(words, links, person)
    page.run()


main()
