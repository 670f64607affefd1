"""The form by which an export is ordered. What is to be ordered stands in the address, so that pages can prefill it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from html import escape
from typing import get_args

import psycopg2.errors
import streamlit as st

from viewer import camera_tree, database, formats, frame, orders, query, search_bar
from viewer.i18n import Words
from viewer.places import Places
from viewer.visitor import Visitor
from vms.catalogue import exports, reads
from vms.catalogue.exports import NewExport
from vms.catalogue.rows import RecordingFilter, Totals
from vms.errors import CatalogueError
from vms.exports.making import KEPT, clips_bytes
from vms.exports.policy import policy_of
from vms.home import from_environment
from vms.model import Cut, Gaps

MOST_CAMERAS = 16
MOST_RECORDINGS = 20_000
MOST_OPEN = 5
_LONGEST_REASON = 500
_USUAL = timedelta(minutes=15)


def draw(words: Words, there: Places, person: Visitor) -> None:
    find = frame.current_find()
    cameras = search_bar.pairs(there.sites, find) if find.cameras or find.sites else ()
    zones = orders.zones_of(there.sites, [*(site for site, _ in find.cameras), *find.sites])
    zone = zones[0] if zones else frame.installation().zone
    with st.popover(
        frame.as_plain_markdown(camera_tree.label(words, there, find) if cameras else words("exports.cameras")),
        icon=":material/videocam:",
        key="x.cameras",
    ):
        search_bar.tree(words, there, find)
    begin, end = _times(words, find, zone)
    zone_name = formats.zone_name(datetime.now(formats.zone(zone)))
    st.caption(words("exports.clocks" if len(zones) > 1 else "exports.clock", zone=zone_name))
    problem = ""
    if not 1 <= len(cameras) <= MOST_CAMERAS:
        problem = words("exports.no_camera", most=MOST_CAMERAS)
    elif begin is None or end is None:
        problem = words("exports.no_time")
    elif begin >= end:
        problem = words("exports.backwards")
    clip = st.checkbox(words("exports.clip"), key="x.clip", value=True)
    cut, gaps, burn_in = _cut(words) if clip else ("exact", "short", False)
    only_clips = clip and st.checkbox(
        words("exports.only_clips"), key="x.only_clips", help=words("exports.only_clips.why")
    )
    evidence = st.checkbox(words("exports.evidence"), key="x.evidence")
    if not problem and begin and end:
        text, is_possible = _estimate(
            words, person, cameras, begin, end, cut=cut if clip else None, only_clips=only_clips
        )
        st.html(f'<p class="estimate" role="status">{escape(text)}</p>')
        problem = "" if is_possible else text
    else:
        st.html(f'<p class="estimate" role="status">{escape(problem)}</p>')
    reason = st.text_area(words("exports.reason.label"), max_chars=_LONGEST_REASON, height=80, key="x.reason")
    if st.button(words("exports.order"), type="primary", disabled=bool(problem), key="x.order") and begin and end:
        if not reason.strip():
            st.error(words("exports.no_reason"))
            return
        made = NewExport(
            person.user_id,
            cameras,
            begin.astimezone(UTC),
            end.astimezone(UTC),
            reason.strip(),
            clip=clip,
            burn_in=burn_in,
            evidence=evidence,
            cut=cut,
            gaps=gaps,
            only_clips=only_clips,
        )
        order(words, person, made)


def _cut(words: Words) -> tuple[Cut, Gaps, bool]:
    """How the clips are cut, what of them becomes of gaps, and whether camera and clock are written into them."""
    cut: Cut = (
        st.radio(
            words("exports.cut"), get_args(Cut), format_func=lambda one: words.one_of("exports.cut", one), key="x.cut"
        )
        or "exact"
    )
    if cut == "fast":
        return cut, "short", False
    gaps: Gaps = (
        st.radio(
            words("exports.gaps"),
            get_args(Gaps),
            format_func=lambda one: words.one_of("exports.gaps", one),
            key="x.gaps",
        )
        or "short"
    )
    return cut, gaps, st.checkbox(words("exports.burn_in"), key="x.burn_in")


def _times(words: Words, find: query.Find, zone: str) -> tuple[datetime | None, datetime | None]:
    """The form's times, which the address has; the last quarter of an hour where it has none."""
    state = st.session_state
    now = datetime.now(formats.zone(zone)).replace(second=0, microsecond=0)
    usual = (now - _USUAL, now)
    if find.first or find.last:
        first, last = find.first or find.last, find.last or find.first
        begin_text = formats.clock(datetime.combine(now, find.first_time or time(0)))
        end_at = find.last_time or time(23, 59, 59)
        end_text = formats.clock(datetime.combine(now, end_at))
    else:
        first, last = usual[0].date(), usual[1].date()
        begin_text, end_text = (formats.clock(one) for one in usual)
    address = (first, last, find.first_time, find.last_time)
    if state.get("x.address") != address or "x.first" not in state:
        state.update({"x.address": address, "x.first": first, "x.last": last, "x.begin": begin_text, "x.end": end_text})

    def changed() -> None:
        begin, end = orders.clock(state["x.begin"]), orders.clock(state["x.end"])
        if begin and end:
            kept = {"first": state["x.first"], "last": state["x.last"], "first_time": begin, "last_time": end}
            state["x.address"] = tuple(kept.values())
            frame.go(replace(frame.current_find(), **kept))

    with st.container(key="x-times"):
        columns = st.columns(4, gap="small")
    columns[0].date_input(words("exports.from.day"), key="x.first", format="DD/MM/YYYY", on_change=changed)
    columns[1].text_input(words("exports.from.time"), key="x.begin", max_chars=8, on_change=changed)
    columns[2].date_input(words("exports.to.day"), key="x.last", format="DD/MM/YYYY", on_change=changed)
    columns[3].text_input(words("exports.to.time"), key="x.end", max_chars=8, on_change=changed)
    begin, end = orders.clock(state["x.begin"]), orders.clock(state["x.end"])
    if begin is None or end is None:
        return None, None
    if end == time(23, 59, 59):  # the whole day
        return orders.instant(state["x.first"], begin, zone), orders.instant(
            state["x.last"] + timedelta(days=1), time(0), zone
        )
    return orders.instant(state["x.first"], begin, zone), orders.instant(state["x.last"], end, zone)


def _estimate(
    words: Words,
    person: Visitor,
    cameras: tuple[tuple[str, str], ...],
    begin: datetime,
    end: datetime,
    *,
    cut: Cut | None,
    only_clips: bool,
) -> tuple[str, bool]:
    """How much it would be, and whether it can be ordered."""
    totals = _totals(person.scope, cameras, begin.astimezone(UTC), end.astimezone(UTC))
    most = policy_of(from_environment()).largest
    if totals.more:
        return words("exports.estimate.many", count=formats.number(words, MOST_RECORDINGS)), False
    if totals.count == 0:
        return words("exports.estimate.none"), False
    text = formats.counted(
        words,
        "exports.estimate",
        totals.count,
        size=formats.size(words, totals.rendition_bytes),
        length=formats.length(words, totals.duration_s),
    )
    asked_s = min(totals.duration_s, len(cameras) * (end - begin).total_seconds())
    clips = formats.size(
        words,
        round(totals.rendition_bytes * asked_s / max(totals.duration_s, 1.0))
        if cut == "fast"
        else clips_bytes(totals.duration_s, len(cameras), end - begin),
    )
    if totals.rendition_bytes > most:
        return f"{text} {words('exports.estimate.large', most=formats.size(words, most))}", False
    if only_clips:
        return f"{text} {words('exports.estimate.only_clips', size=clips)}", True
    return (f"{text} {words('exports.estimate.clip', size=clips)}" if cut == "exact" else text), True


@st.cache_data(ttl=15, max_entries=200, show_spinner=False)
def _totals(scope: str, cameras: tuple[tuple[str, str], ...], begin: datetime, end: datetime) -> Totals:
    wanted = RecordingFilter(cameras=cameras, from_utc=begin, to_utc=end, states=KEPT)
    with database.pool().connection(scope) as conn:
        return reads.count_recordings(conn, wanted, most=MOST_RECORDINGS)


def order(words: Words, person: Visitor, made: NewExport) -> None:
    """Order it, or say why not; what was ordered is written down."""
    try:
        with database.pool().connection(person.scope) as conn:
            count = exports.count_open(conn, person.user_id)
            if count >= MOST_OPEN:
                st.error(words("exports.too_many", count=count))
                return
            export_id = exports.add_export(conn, made)
            detail = {
                "export": export_id,
                "cameras": ["/".join(one) for one in made.cameras],
                "from": made.from_utc.isoformat(),
                "to": made.to_utc.isoformat(),
                "reason": made.reason,
            } | ({"only_clips": True} if made.only_clips else {})
            reads.log_view(conn, person.name, "export_ordered", None, None, detail, person.address)
    except (CatalogueError, psycopg2.errors.InsufficientPrivilege):
        st.error(words("exports.refused"))
        return
    st.session_state["x.said"] = words("exports.ordered", number=export_id)
    for name in ("x.reason", "x.address", "x.evidence", "x.burn_in", "x.cut", "x.gaps", "x.only_clips"):
        st.session_state.pop(name, None)
    frame.go(query.Find())
    frame.begin_anew()
