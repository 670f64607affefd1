"""Recordings in cold storage as the pages tell of them: how cold one is, what was asked for, and what is ready now."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import urlencode

import psycopg2
import streamlit as st

from viewer import database, formats, query
from viewer.i18n import Words
from viewer.visitor import Visitor
from vms.catalogue import restores
from vms.catalogue.orders import Place
from vms.stores.cold import COLD_CLASSES, Cold

log = logging.getLogger(__name__)

_LOOK_S = 30
"""How often an open page asks whether what its visitor waits for is ready."""


def may_be(places: Sequence[Any]) -> bool:
    """Whether it looks so from what the stores give new objects, without asking them."""
    return bool(places) and all(one.storage_class in COLD_CLASSES for one in places)


def told(words: Words, cold: Cold | None, zone: str) -> dict[str, Any] | None:
    """As the page of a recording shows it."""
    if cold is None:
        return None
    if cold.state == "asleep":
        text = words("cold.asleep", hours=cold.hours, store_class=cold.storage_class)
    elif cold.state == "waking":
        text = words("cold.waking", hours=cold.hours)
    elif cold.until is not None:
        text = words("cold.ready", until=formats.moment(words, cold.until, zone))
    else:
        text = words("cold.ready.open")
    return {"state": cold.state, "text": text, "ask": words("cold.ask") if cold.state == "asleep" else ""}


def found(conn: database.Connection, recordings: Sequence[Place]) -> None:
    """Write down that these can't be read before a restore. Playing goes on when that fails."""
    try:
        restores.note_cold(conn, recordings)
    except psycopg2.Error as error:
        log.warning("Cold recordings were not noted: %s", error)


def news(words: Words, person: Visitor) -> None:
    """Whatever page is open: tell this person of each restore of theirs that is ready, until they have seen it."""

    def waiting() -> list[restores.Restore]:
        try:
            with database.pool().connection(person.scope) as conn:
                return restores.of_person(conn, person.user_id, datetime.now(UTC))
        except database.AWAY:
            return []  # the page itself says so

    if not waiting():
        return

    @st.fragment(run_every=_LOOK_S)
    def told_when_ready() -> None:
        ready = [one for one in waiting() if one.ready]
        if not ready:
            return
        with st.container(key="restored", horizontal=True, vertical_alignment="center"):
            st.html("".join(_ready(words, one) for one in ready), width="stretch")
            st.button(words("cold.news.seen"), on_click=seen)

    def seen() -> None:
        with database.pool().connection(person.scope) as conn:
            restores.note_told(conn, person.user_id)

    told_when_ready()


def _ready(words: Words, one: restores.Restore) -> str:
    text = words(
        "cold.news",
        camera=one.camera_name,
        site=one.site_name,
        time=formats.moment(words, one.start_utc.replace(microsecond=0), one.time_zone),
    )
    until = words("cold.ready", until=formats.moment(words, one.until_utc, one.time_zone)) if one.until_utc else ""
    href = "/?" + urlencode({"recording": query.recording_text(one.recording_id, one.start_utc)})
    return (
        f'<p class="restored" role="status"><a data-within href="{escape(href)}">{escape(text)}</a>'
        f" <span>{escape(until)}</span></p>"
    )
