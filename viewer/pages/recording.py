"""One recording: play it, download it, see where it comes from. A view of the Find page, with an address of its own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from html import escape

import streamlit as st

from viewer import cards, cold, components, database, details, frame, query
from viewer.i18n import Words
from viewer.pages import exports, holds
from vms import coldness
from vms.catalogue import reads, restores
from vms.catalogue.rows import Located, RecordingFilter, RecordingRow
from vms.errors import VmsError
from vms.stores.cold import Cold

log = logging.getLogger(__name__)

_STORED = ("archived", "released")


def draw(words: Words, find: query.Find) -> None:
    """The recording that the search has opened. Seeing it is logged, once a visit."""
    assert find.recording is not None  # noqa: S101  # the caller has looked
    st.button(
        words("recording.back"),
        icon=":material/arrow_back:",
        type="tertiary",
        on_click=lambda: frame.go(find.list_only()),
    )
    with database.pool().connection(frame.visitor().scope) as conn:
        row = reads.get_recording(conn, *find.recording)
        if row is None:
            frame.state_box(words("find.none.title"), words("recording.missing"))
            return
        lineage = reads.lineage_of(conn, row.id, row.start_utc)
        before, after = _neighbours(conn, row, find)
        places = reads.locate(conn, row.id, row.start_utc, "rendition")
        _log_once(conn, row)
        found_cold: set[int] = st.session_state.setdefault("recording.cold", set())
        noted = row.state in _STORED and restores.was_found_cold(conn, row.id, row.start_utc)
    here = None
    if noted or (row.state in _STORED and (row.id in found_cold or cold.may_be(places))):
        asked = coldness.of(places)
        here = None if isinstance(asked, str) else asked
        _keep(row, asked, noted=noted)

    def woken() -> None:
        _wake(words, row, places)

    def opened() -> None:
        chosen = query.read({"recording": [st.session_state["recording"].open or ""]}).recording
        if chosen:
            frame.go(replace(frame.current_find(), recording=chosen))

    components.recording(
        details.detail(
            frame.links(),
            words,
            row,
            lineage,
            find,
            before,
            after,
            may_download=frame.visitor().may("export"),
            export=exports.address_of((row.site, row.camera), row.start_utc, cards.end_of(row), row.time_zone),
            cold=cold.told(words, here, row.time_zone),
        ),
        "recording",
        opened,
        lambda: found_cold.add(row.id),
        woken,
    )
    if problem := st.session_state.pop("recording.problem", ""):
        st.error(problem)
    if row.state in _STORED and frame.visitor().may("hold"):
        address = holds.address_of((row.site, row.camera), row.start_utc, cards.end_of(row), row.time_zone)
        st.html(f'<p><a class="csv" href="{escape(address)}">{escape(words("holds.this"))}</a></p>')


def _wake(words: Words, row: RecordingRow, places: Sequence[Located]) -> None:
    """Ask the store for the recording; written down, as it costs."""
    person = frame.visitor()
    if not person.may("view"):
        return
    try:
        with database.pool().connection(person.scope) as conn:
            coldness.wake(places)
            restores.ask(conn, row.id, row.start_utc, person.user_id)
            reads.log_view(conn, person.name, "restore_asked", row.id, row.start_utc, {}, person.address)
    except (VmsError, OSError, *database.AWAY) as error:
        log.warning("A restore can't be asked for: %s", error)
        st.session_state["recording.problem"] = words("cold.refused")


def _keep(row: RecordingRow, asked: Cold | str, *, noted: bool) -> None:
    """What the stores have just said, for the timeline and for whom else asks."""
    person = frame.visitor()
    with database.pool().connection(person.scope) as conn:
        if asked == "readable" and noted:
            restores.note_readable(conn, [(row.id, row.start_utc)])
        elif isinstance(asked, Cold) and not noted:
            restores.note_cold(conn, [(row.id, row.start_utc)])
        if asked == "readable" or (isinstance(asked, Cold) and asked.state == "ready"):
            restores.note_told(conn, person.user_id, row.id)


def _neighbours(
    conn: database.Connection, row: RecordingRow, find: query.Find
) -> tuple[RecordingRow | None, RecordingRow | None]:
    """The same camera's recordings before and after this one, in the states that the search shows."""
    states = query.STATES[find.state]
    wanted = RecordingFilter(cameras=((row.site, row.camera),), states=states if row.state in states else ())
    here = (row.start_utc, row.id)
    before = reads.find_recordings(conn, wanted, limit=1, after=here, newest_first=True)
    after = reads.find_recordings(conn, wanted, limit=1, after=here, newest_first=False)
    return (before[0] if before else None), (after[0] if after else None)


def _log_once(conn: database.Connection, row: RecordingRow) -> None:
    seen: set[tuple[int, float]] = st.session_state.setdefault("seen", set())
    mark = (row.id, row.start_utc.timestamp())
    if mark not in seen:
        person = frame.visitor()
        reads.log_view(conn, person.name, "view", row.id, row.start_utc, {"state": row.state}, person.address)
        seen.add(mark)
