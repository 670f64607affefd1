"""Exports: order one, see it being made, download, share, delete it. The making is the worker's (vms.exports.worker).

What is to be ordered stands in the address, so that other pages can prefill it: ?camera=...&from=...&to=...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from html import escape
from urllib.parse import urlencode, urlsplit

import psycopg2.errors
import streamlit as st

from viewer import camera_tree, components, database, formats, frame, orders, query, search_bar, share, taking, tokens
from viewer.i18n import Words
from viewer.visitor import Visitor
from vms import passwords
from vms.catalogue import exports, reads, reads_sites, shares
from vms.catalogue.exports import ExportRow, NewExport
from vms.catalogue.rows import RecordingFilter, SiteRow, Totals
from vms.catalogue.shares import ShareRow
from vms.errors import CatalogueError
from vms.exports.making import KEPT
from vms.exports.policy import policy_of
from vms.home import from_environment

MOST_CAMERAS = 16
MOST_RECORDINGS = 20_000
MOST_OPEN = 5
MOST_SHARE_DAYS = 30
_LONGEST_REASON = 500
_USUAL = timedelta(minutes=15)


def draw(words: Words, _goto: frame.Goto) -> None:
    """The whole page."""
    person = frame.visitor()
    with database.pool().connection(person.scope) as conn:
        sites = reads_sites.list_sites(conn)
        rows = exports.list_exports(conn, person.user_id, everybody=taking.sees_everybodys(person))
    st.html(f'<h1 class="pagetitle">{escape(words("exports.title"))}</h1>')
    said = st.session_state.pop("x.said", None)
    if said:
        st.success(said)
    with st.expander(words("exports.new"), icon=":material/add:", expanded=not rows or bool(st.query_params)):
        _form(words, sites, person)
    title = words("exports.everybody") if taking.sees_everybodys(person) else words("exports.mine")
    st.html(f'<h2 class="section">{escape(title)}</h2>')
    is_busy = any(row.state in ("queued", "running") for row in rows)

    @st.fragment(run_every=1.5 if is_busy else 30)
    def listed() -> None:
        with frame.guarded(words):
            with database.pool().connection(person.scope) as conn:
                now = exports.list_exports(conn, person.user_id, everybody=taking.sees_everybodys(person))
                links = shares.list_shares(conn, [row.export_id for row in now if row.state == "done"])
            if is_busy != any(row.state in ("queued", "running") for row in now):
                st.rerun()
            _list(words, sites, person, now, links)

    listed()


def address_of(camera: tuple[str, str], start_utc: datetime, end_utc: datetime, time_zone: str) -> str:
    """The page with its form filled in for this camera and time, to the second around it."""
    zone = formats.zone(time_zone)
    begin = start_utc.astimezone(zone).replace(microsecond=0)
    end = (end_utc + timedelta(microseconds=999_999)).astimezone(zone).replace(microsecond=0)
    find = query.Find(
        cameras=(camera,), first=begin.date(), last=end.date(), first_time=begin.time(), last_time=end.time()
    )
    return f"/exports?{urlencode(query.write(find))}"


def _form(words: Words, sites: Sequence[SiteRow], person: Visitor) -> None:
    find = frame.current_find()
    cameras = search_bar.pairs(sites, find) if find.cameras or find.sites else ()
    zones = orders.zones_of(sites, cameras)
    zone = zones.pop() if len(zones) == 1 else frame.installation().zone
    with st.popover(
        frame.as_plain_markdown(camera_tree.label(words, sites, find) if cameras else words("exports.cameras")),
        icon=":material/videocam:",
        key="x.cameras",
    ):
        _tree(words, sites, find)
    begin, end = _times(words, find, zone)
    st.caption(words("exports.clock", zone=formats.zone_name(datetime.now(formats.zone(zone)))))
    problem = ""
    if zones:
        problem = words("exports.zones")
    elif not 1 <= len(cameras) <= MOST_CAMERAS:
        problem = words("exports.no_camera", most=MOST_CAMERAS)
    elif begin is None or end is None:
        problem = words("exports.no_time")
    elif begin >= end:
        problem = words("exports.backwards")
    clip = st.checkbox(words("exports.clip"), key="x.clip", value=True)
    burn_in = st.checkbox(words("exports.burn_in"), key="x.burn_in", disabled=not clip)
    evidence = st.checkbox(words("exports.evidence"), key="x.evidence")
    if not problem and begin and end:
        text, is_possible = _estimate(words, person, cameras, begin, end, clip=clip)
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
            clip,
            burn_in and clip,
            evidence,
        )
        _ordered(words, person, made)


def _tree(words: Words, sites: Sequence[SiteRow], find: query.Find) -> None:
    def chosen() -> None:
        told = st.session_state["tree"].chosen
        if told:
            frame.go(camera_tree.choose(frame.current_find(), sites, told))

    components.camera_tree(camera_tree.page(words, sites, find), "tree", chosen)


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
    clip: bool,
) -> tuple[str, bool]:
    """How much it would be, and whether it can be ordered."""
    totals = _totals(person.scope, cameras, begin.astimezone(UTC), end.astimezone(UTC))
    most = policy_of(from_environment()).largest
    if totals.more:
        return words("exports.estimate.many", count=formats.number(words, MOST_RECORDINGS)), False
    if totals.count == 0:
        return words("exports.estimate.none"), False
    text = words(
        "exports.estimate",
        count=formats.number(words, totals.count),
        size=formats.size(words, totals.rendition_bytes),
        length=formats.length(words, totals.duration_s),
    )
    if totals.rendition_bytes > most:
        return f"{text} {words('exports.estimate.large', most=formats.size(words, most))}", False
    return (f"{text} {words('exports.estimate.clip')}" if clip else text), True


@st.cache_data(ttl=15, max_entries=200, show_spinner=False)
def _totals(scope: str, cameras: tuple[tuple[str, str], ...], begin: datetime, end: datetime) -> Totals:
    wanted = RecordingFilter(cameras=cameras, from_utc=begin, to_utc=end, states=KEPT)
    with database.pool().connection(scope) as conn:
        return reads.count_recordings(conn, wanted, most=MOST_RECORDINGS)


def _ordered(words: Words, person: Visitor, made: NewExport) -> None:
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
            }
            reads.log_view(conn, person.name, "export_ordered", None, None, detail, person.address)
    except (CatalogueError, psycopg2.errors.InsufficientPrivilege):
        st.error(words("exports.refused"))
        return
    st.session_state["x.said"] = words("exports.ordered", number=export_id)
    for name in ("x.reason", "x.address", "x.evidence", "x.burn_in"):
        st.session_state.pop(name, None)
    frame.go(query.Find())
    st.rerun()


def _list(
    words: Words,
    sites: Sequence[SiteRow],
    person: Visitor,
    rows: Sequence[ExportRow],
    links: Sequence[ShareRow],
) -> None:
    if not rows:
        frame.state_box(words("exports.none"), words("exports.none.text"))
    names = {(site.id, camera.id): f"{camera.name} · {site.name}" for site in sites for camera in site.cameras}
    zones = {site.id: site.time_zone for site in sites}
    for row in rows:
        zone = next((zones[site] for site, _ in row.cameras if site in zones), frame.installation().zone)
        with st.container(border=True):
            st.html(orders.card(words, row, names, zone, somebody_elses=row.user_id != person.user_id))
            if row.state in ("queued", "running"):
                st.progress(orders.share_done(row), text=frame.as_plain_markdown(orders.progress_text(words, row)))
                if row.cancel_at is None:
                    _cancel(words, person, row)
            elif row.state == "done" and row.all_granted:
                _finished(words, person, row, [one for one in links if one.export_id == row.export_id], zone)


def _cancel(words: Words, person: Visitor, row: ExportRow) -> None:
    def cancel() -> None:
        with database.pool().connection(person.scope) as conn:
            if exports.ask_cancel(conn, row.export_id, person.user_id, everybody=taking.sees_everybodys(person)):
                _log(conn, person, "export_cancelled", row)

    st.button(words("exports.cancel"), key=f"x.cancel.{row.export_id}", icon=":material/close:", on_click=cancel)


def _finished(words: Words, person: Visitor, row: ExportRow, links: Sequence[ShareRow], zone: str) -> None:
    made = st.session_state.get("x.link")
    if made and made[0] == row.export_id:
        st.info(words("exports.share.made"))
        st.code(made[1], language=None, wrap_lines=True)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        link = tokens.issue_export(from_environment(), person.mark, row.export_id)
        text = escape(words("exports.download"))
        st.html(f'<a class="csv main" href="{escape(link)}" download>{text}</a>', width="content")
        _share(words, person, row)
        _delete(words, person, row)
    for one in links:
        line, is_open = orders.share_line(words, one, zone, datetime.now(UTC))
        st.caption(frame.as_plain_markdown(line))
        if is_open:
            _revoke(words, person, row, one)


def _share(words: Words, person: Visitor, row: ExportRow) -> None:
    with (
        st.popover(words("exports.share"), icon=":material/share:", key=f"x.share.{row.export_id}"),
        st.form(f"x.share.form.{row.export_id}", border=False, clear_on_submit=True),
    ):
        st.caption(f"{words('exports.share.text')} {words('exports.share.pin.text')}")
        days = st.number_input(words("exports.share.days"), 1, MOST_SHARE_DAYS, value=3)
        pin = st.text_input(
            words("exports.share.pin"), type="password", max_chars=share.LONGEST_PIN, autocomplete="off"
        ).strip()
        if not st.form_submit_button(words("exports.share.button"), type="primary"):
            return
        if pin and len(pin) < share.SHORTEST_PIN:
            st.error(words("exports.share.short"))
            return
        if taking.find(database.pool(), person, row.export_id) is None:
            st.error(words("exports.share.refused"))
            return
        with database.pool().connection(person.scope) as conn:
            until = datetime.now(UTC) + timedelta(days=int(days))
            kept = passwords.hashed(pin) if pin else None
            token = shares.add_share(conn, row.export_id, person.name, until, kept)
            detail = {"until": until.isoformat(timespec="seconds"), "pin": bool(pin)}
            _log(conn, person, "share", row, detail)
        where = urlsplit(st.context.url or "")
        base = f"{where.scheme}://{where.netloc}" if where.netloc else ""
        st.session_state["x.link"] = (row.export_id, f"{base}/share/{token}?lang={words.lang}")
        st.rerun()


def _revoke(words: Words, person: Visitor, row: ExportRow, one: ShareRow) -> None:
    def revoke() -> None:
        with database.pool().connection(person.scope) as conn:
            if shares.revoke_share(conn, row.export_id, one.share_id):
                _log(conn, person, "share_revoked", row, {"share": one.share_id})
        st.session_state.pop("x.link", None)

    st.button(
        words("exports.share.revoke", number=one.share_id),
        key=f"x.revoke.{one.share_id}",
        icon=":material/link_off:",
        on_click=revoke,
    )


def _delete(words: Words, person: Visitor, row: ExportRow) -> None:
    def delete() -> None:
        with database.pool().connection(person.scope) as conn:
            if exports.ask_delete(conn, row.export_id, person.user_id, everybody=taking.sees_everybodys(person)):
                _log(conn, person, "export_deleted", row)

    with st.popover(words("exports.delete"), icon=":material/delete:", key=f"x.delete.{row.export_id}"):
        st.caption(words("exports.delete.text"))
        st.button(words("exports.delete.button"), key=f"x.delete.now.{row.export_id}", type="primary", on_click=delete)


def _log(
    conn: database.Connection, person: Visitor, action: str, row: ExportRow, more: Mapping[str, object] | None = None
) -> None:
    detail = {"export": row.export_id, **(more or {})}
    reads.log_view(conn, person.name, action, None, None, detail, person.address)
