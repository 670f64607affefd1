"""Alerts: what is wrong now and what to do, what was wrong lately, and which messages could not be sent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import streamlit as st

from viewer import database, formats, frame, places
from viewer.i18n import Words
from vms.alerts import wording
from vms.catalogue import alerts
from vms.catalogue.alerts import AlertRow, MessageRow

SINCE = timedelta(days=30)
MOST_SHOWN = 200


def draw(words: Words) -> None:
    """The whole page; it renews itself every half minute."""
    database.pool().ping()  # a fragment that finds the catalogue away runs the page again, which must then say so
    st.html(f'<h1 class="pagetitle">{escape(words("alerts.title"))}</h1>')

    @st.fragment(run_every=30)
    def shown() -> None:
        with frame.guarded(words):
            _alerts(words)

    shown()


def _alerts(words: Words) -> None:
    now = datetime.now(UTC)
    person = frame.visitor()
    names = {site.id: site.name for site in places.seen_by(person).sites}
    with database.pool().connection(person.scope) as conn:
        rows = alerts.list_alerts(conn, now - SINCE, MOST_SHOWN)
        waiting = alerts.waiting_messages(conn)
    zone = frame.installation().zone
    is_open = [one for one in rows if one.closed_at is None]
    over = [one for one in rows if one.closed_at is not None]
    if is_open:
        st.html('<div class="alerts">' + "".join(_card(words, one, names, zone, now) for one in is_open) + "</div>")
    else:
        st.html(f'<p class="allwell" role="status">{escape(words("alerts.none"))}</p>')
    failed = [one for one in waiting if one.error]
    if failed:
        _unsent(words, failed, zone)
    st.html(f"<h2 class='section'>{escape(words('alerts.history'))}</h2>")
    if not over:
        st.html(f"<p>{escape(words('alerts.history.none'))}</p>")
        return
    heads = (words("alerts.what"), words("alerts.since"), words("alerts.until"))
    lines = [
        (
            wording.short_text(_language(words), _named(one, names), ZoneInfo(zone)),
            formats.moment(words, one.opened_at, zone),
            formats.moment(words, one.closed_at or now, zone),
        )
        for one in over
    ]
    st.html(frame.plain_table(heads, lines))


def _named(one: AlertRow, names: Mapping[str, str]) -> AlertRow:
    """As it is told of: sites have names."""
    return replace(one, site=names.get(one.site, one.site))


def _card(words: Words, one: AlertRow, names: Mapping[str, str], zone: str, now: datetime) -> str:
    text, remedy = wording.told(_language(words), _named(one, names), ZoneInfo(zone))
    since = words(
        "alerts.open_since", time=formats.moment(words, one.opened_at, zone), age=formats.age(words, one.opened_at, now)
    )
    return (
        f'<article class="alert"><h2>{escape(text)}</h2><p>{_with_commands(remedy)}</p>'
        f"<p class='soft'>{escape(since)}</p>{_ways(words, one)}</article>"
    )


def _ways(words: Words, one: AlertRow) -> str:
    """Where the viewer itself shows more of it."""
    ways = {
        "quarantine": (
            "alerts.show_files",
            "/?" + urlencode({"site": one.site, "state": "quarantined", "from": "all"}),
        ),
        "camera_silent": ("alerts.show_coverage", "/coverage?" + urlencode({"site": one.site})),
    }
    if one.kind not in ways:
        return ""
    key, address = ways[one.kind]
    return f'<a class="csv" data-within href="{escape(address)}">{escape(words(key))}</a>'


def _with_commands(text: str) -> str:
    """Commands stand between backticks, as messages are plain text; a page has an element for them."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _unsent(words: Words, failed: Sequence[MessageRow], zone: str) -> None:
    st.html(f"<h2 class='section'>{escape(words('alerts.unsent'))}</h2>")
    heads = (words("alerts.target"), words("alerts.count"), words("alerts.since"), words("alerts.why"))
    lines = []
    for target in dict.fromkeys(one.target for one in failed):
        some = [one for one in failed if one.target == target]
        oldest = formats.moment(words, min(one.made_at for one in some), zone)
        lines.append((target, formats.number(words, len(some)), oldest, some[-1].error))
    st.html(frame.plain_table(heads, lines) + f"<p class='soft'>{escape(words('alerts.unsent.text'))}</p>")


def _language(words: Words) -> Any:
    """Both rooms know the same languages by the same names."""
    return words.lang
