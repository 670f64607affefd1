"""Holds: what is kept until somebody releases it, and why; add one, release one. Each by a right of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from html import escape

import psycopg2.errors
import streamlit as st

from viewer import camera_tree, components, database, formats, frame, orders, places, query
from viewer.i18n import Words
from viewer.places import Places
from vms.catalogue import holds, reads
from vms.catalogue.holds import HoldRow
from vms.errors import CatalogueError

MOST_SHOWN = 200
_LONGEST_REASON = 500


def draw(words: Words) -> None:
    """The whole page. ?camera=...&from=...&to=... fills in the form."""
    person = frame.visitor()
    there = places.seen_by(person)
    with database.pool().connection(person.scope) as conn:
        released = bool(st.session_state.get("h.released"))
        rows = holds.list_holds(conn, also_released=released)
    st.html(f'<h1 class="pagetitle">{escape(words("holds.title"))}</h1>')
    said = st.session_state.pop("h.said", None)
    if said:
        st.success(said)
    if person.may("hold"):
        _add(words, there)
    st.toggle(words("holds.released"), key="h.released")
    if not rows:
        frame.state_box(words("holds.none"), words("holds.none.text"))
    for row in rows[:MOST_SHOWN]:
        _hold(words, row, there)


def chosen(there: Places, find: query.Find) -> tuple[tuple[str, str], ...]:
    """What a hold is about: single cameras, and ("site", "") for all of a site, also those that come later."""
    cameras = tuple(one for one in find.cameras if one in there.names)
    of_some = {site for site, _ in cameras}
    return (*((site, "") for site in find.sites if site in there.by_id and site not in of_some), *cameras)


def _cameras(words: Words, there: Places, find: query.Find) -> None:
    """The tree; what is chosen stands in the address, with all else that it says."""

    def picked() -> None:
        told = st.session_state["h.tree"].chosen
        if told:
            whole, some = camera_tree.told_of(there, told)
            frame.go(replace(frame.current_find(), sites=tuple(one.id for one in whole), cameras=tuple(some)))

    label = camera_tree.label(words, there, find) if chosen(there, find) else words("holds.choose")
    with st.popover(frame.as_plain_markdown(label), icon=":material/videocam:", key="h.cameras"):
        components.camera_tree(camera_tree.page(words, there, find), "h.tree", picked)


def _add(words: Words, there: Places) -> None:
    find = frame.current_find()
    cameras = chosen(there, find)
    today = datetime.now(formats.zone(frame.installation().zone)).date()
    with st.expander(words("holds.add"), icon=":material/add:", expanded=bool(cameras)):
        _cameras(words, there, find)
        form = st.form("hold", border=False)
    with form:
        with st.container(key="h-times"):
            columns = st.columns(4, gap="small")
        first = columns[0].date_input(words("holds.from"), value=find.first or today, format="DD/MM/YYYY")
        begin = columns[1].time_input(words("holds.from.time"), value=find.first_time or time(0), step=60)
        last = columns[2].date_input(words("holds.to"), value=find.last or find.first or today, format="DD/MM/YYYY")
        end = columns[3].time_input(words("holds.to.time"), value=find.last_time or time(23, 59), step=60)
        reason = st.text_area(words("holds.reason"), max_chars=_LONGEST_REASON, height=80)
        st.caption(words("holds.reason.help"))  # not as its help, whose button has a name in English only
        st.caption(words("holds.clock"))
        if st.form_submit_button(words("holds.add.button"), type="primary"):
            _added(words, there, cameras, (first, begin), (last, end), reason)


def _added(
    words: Words,
    there: Places,
    cameras: Sequence[tuple[str, str]],
    begin: tuple[date, time],
    end: tuple[date, time],
    reason: str,
) -> None:
    person = frame.visitor()
    zones = orders.zones_of(there.sites, [site for site, _ in cameras])
    problem = ""
    if not cameras:
        problem = words("holds.no_camera")
    elif not reason.strip():
        problem = words("holds.no_reason")
    elif not person.may("hold"):
        problem = words("app.not_allowed")
    if problem:
        st.error(problem)
        return
    zone = formats.zone(zones[0])
    from_utc = datetime.combine(*begin, zone).astimezone(UTC)
    to_utc = datetime.combine(*end, zone).astimezone(UTC)
    if end[1] == time(23, 59):
        to_utc += timedelta(minutes=1)  # the whole day
    if from_utc >= to_utc:
        st.error(words("holds.backwards"))
        return
    try:
        with database.pool().connection(person.scope) as conn:
            hold_id = holds.add_hold(conn, cameras, from_utc, to_utc, reason, person.name, datetime.now(UTC))
            detail = {
                "hold": hold_id,
                "cameras": [f"{site}/{camera}" if camera else site for site, camera in cameras],
                "from": from_utc.isoformat(),
                "to": to_utc.isoformat(),
                "reason": reason.strip(),
            }
            reads.log_view(conn, person.name, "hold", None, None, detail, person.address)
    except (CatalogueError, psycopg2.errors.InsufficientPrivilege):
        st.error(words("holds.refused"))
        return
    st.session_state["h.said"] = words("holds.added", number=hold_id)
    st.query_params.clear()
    frame.begin_anew()


def _hold(words: Words, row: HoldRow, there: Places) -> None:
    sites = [there.by_id[site] for site, _ in row.cameras if site in there.by_id]
    zone = sites[0].time_zone if sites else frame.installation().zone
    names = {(site.id, camera.id): camera.name for site in sites for camera in site.cameras}
    names |= {(site.id, ""): words("holds.whole", site=site.name) for site in sites}
    cameras = ", ".join(names.get(one, "/".join(filter(None, one))) for one in row.cameras)
    facts = [
        (words("holds.cameras"), cameras),
        (
            words("holds.time"),
            f"{formats.moment(words, row.from_utc, zone)} \N{EN DASH} {formats.moment(words, row.to_utc, zone)}",
        ),
        (words("holds.reason"), row.reason),
        (words("holds.by"), f"{row.who}, {formats.moment(words, row.made_at, zone)}"),
    ]
    if row.released_at is not None:
        told = f"{row.released_by}, {formats.moment(words, row.released_at, zone)}: {row.release_reason}"
        facts.append((words("holds.released.by"), told))
    else:
        kept = formats.counted(words, "holds.keeps", row.recordings, size=formats.size(words, row.bytes))
        facts.append((words("holds.now"), kept))
    lines = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts)
    state = words("holds.is_released") if row.released_at else words("holds.counts")
    with st.container(border=True):
        st.html(
            f'<section class="hold"><h2>{escape(words("holds.number", number=row.hold_id))}'
            f' <span class="{"off" if row.released_at else "on"}">{escape(state)}</span></h2><dl>{lines}</dl></section>'
        )
        if row.released_at is None and frame.visitor().may("release"):
            _release(words, row)


def _release(words: Words, row: HoldRow) -> None:
    with (
        st.popover(words("holds.release"), icon=":material/lock_open:"),
        st.form(f"release.{row.hold_id}", border=False),
    ):
        st.caption(words("holds.release.text"))
        reason = st.text_area(words("holds.release.reason"), max_chars=_LONGEST_REASON, height=80)
        if not st.form_submit_button(words("holds.release.button"), type="primary"):
            return
        person = frame.visitor()
        if not reason.strip() or not person.may("release"):
            st.error(words("holds.no_reason") if not reason.strip() else words("app.not_allowed"))
            return
        try:
            with database.pool().connection(person.scope) as conn:
                holds.release_hold(conn, row.hold_id, person.name, reason, datetime.now(UTC))
                detail = {"hold": row.hold_id, "reason": reason.strip()}
                reads.log_view(conn, person.name, "release", None, None, detail, person.address)
        except (CatalogueError, psycopg2.errors.InsufficientPrivilege):
            st.error(words("holds.release.refused"))
            return
        st.session_state["h.said"] = words("holds.done", number=row.hold_id)
        frame.begin_anew()


def address_of(camera: tuple[str, str], start_utc: datetime, end_utc: datetime, time_zone: str) -> str:
    """The page with its form filled in for this camera and time, to the minute around it."""
    zone = formats.zone(time_zone)
    begin = start_utc.astimezone(zone).replace(second=0, microsecond=0)
    end = (end_utc + timedelta(seconds=59)).astimezone(zone).replace(second=0, microsecond=0)
    params = query.write(
        query.Find(
            cameras=(camera,),
            first=begin.date(),
            last=end.date(),
            first_time=begin.time(),
            last_time=end.time(),
        )
    )
    return "/holds?" + "&".join(f"{name}={value}" for name, value in params.items())
