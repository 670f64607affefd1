"""The log: who signed in, searched, saw, took, held and changed what, when and from where. For auditors."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from html import escape
from urllib.parse import urlencode

import streamlit as st

from viewer import audit_log, database, formats, frame
from viewer.i18n import Words
from vms.catalogue import audit
from vms.catalogue.audit import LogFilter, LogRow

PAGE = 100
USUAL_DAYS = 7


def draw(words: Words) -> None:
    """The whole page; the address carries its filters."""
    zone = frame.installation().zone
    today = datetime.now(formats.zone(zone)).date()
    asked = audit_log.read({name: st.query_params.get(name, "") for name in audit_log.KEYS})
    asked = replace(asked, first=asked.first or today - timedelta(days=USUAL_DAYS - 1), last=asked.last or today)
    st.html(f'<h1 class="pagetitle">{escape(words("log.title"))}</h1>')
    _filters(words, asked, today)
    wanted = audit_log.as_filter(asked, zone)
    rows = _rows(wanted)
    if not rows:
        frame.state_box(words("log.none"), words("log.none.text"))
        return
    href = f"/log.csv?{urlencode(audit_log.write(asked))}"
    st.html(
        _table(words, rows, zone)
        + f'<p><a class="csv" href="{escape(href)}" download>{escape(words("log.csv"))}</a></p>'
    )
    if len(rows) % PAGE == 0:

        def more() -> None:
            st.session_state["log.pages"] = (wanted, len(rows) // PAGE + 1)

        with st.container(horizontal_alignment="center"):
            st.button(words("find.more.many"), on_click=more)


def _filters(words: Words, asked: audit_log.Asked, today: date) -> None:
    state = st.session_state
    if not (isinstance(state.get("l.dates"), tuple) and len(state["l.dates"]) == 1):
        state["l.dates"] = (asked.first, asked.last)
    state["l.who"], state["l.action"] = asked.who, asked.action

    def changed() -> None:
        dates = state["l.dates"]
        if len(dates) != 2:
            return
        fresh = audit_log.Asked(dates[0], dates[1], (state["l.who"] or "").strip(), state["l.action"])
        params = audit_log.write(fresh)
        if state.get("lang"):
            params["lang"] = state["lang"]
        st.query_params.from_dict(params)

    with st.container(key="filters"):
        columns = st.columns([1.3, 1, 1.2], gap="small", vertical_alignment="bottom")
        columns[0].date_input(
            words("find.dates"), value=[], key="l.dates", format="DD/MM/YYYY", max_value=today, on_change=changed
        )
        columns[1].text_input(words("log.who"), key="l.who", max_chars=40, on_change=changed)
        columns[2].selectbox(
            words("log.action"),
            ["", *audit_log.ACTIONS],
            format_func=lambda one: words.one_of("action", one) if one else words("log.any"),
            key="l.action",
            on_change=changed,
        )


def _rows(wanted: LogFilter) -> list[LogRow]:
    """As many pages as the person has asked for."""
    shown, pages = st.session_state.get("log.pages", (None, 1))
    with database.pool().connection(frame.visitor().scope) as conn:
        return audit.list_log(conn, wanted, limit=PAGE * (pages if shown == wanted else 1))


def _table(words: Words, rows: list[LogRow], zone: str) -> str:
    heads = [words.one_of("log", name) for name in audit_log.COLUMNS]
    lines = []
    for row in rows:
        cells = (
            formats.moment(words, row.at, zone),
            row.who or words("log.unknown"),
            row.address or words("log.machine"),
            words.one_of("action", row.action, row.action),
            audit_log.what(words, row, zone),
        )
        lines.append(cells)
    return frame.plain_table(heads, lines)
