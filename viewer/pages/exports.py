"""Exports: order one, see it being made, download, share, delete it. The making is the worker's (vms.exports.worker).

?camera=...&from=...&to=... fills in the form (viewer.export_form).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from urllib.parse import urlencode, urlsplit

import streamlit as st

from viewer import database, export_form, formats, frame, orders, places, query, share, taking, tokens
from viewer.i18n import Words
from viewer.places import Places
from viewer.visitor import Visitor
from vms import passwords
from vms.catalogue import exports, reads, shares
from vms.catalogue.exports import ExportRow, NewExport
from vms.catalogue.shares import ShareRow
from vms.home import from_environment

MOST_SHARE_DAYS = 30


def draw(words: Words) -> None:
    """The whole page."""
    person = frame.visitor()
    there = places.seen_by(person)
    with database.pool().connection(person.scope) as conn:
        rows = exports.list_exports(conn, person.user_id, everybody=taking.sees_everybodys(person))
    st.html(f'<h1 class="pagetitle">{escape(words("exports.title"))}</h1>')
    said = st.session_state.pop("x.said", None)
    if said:
        st.success(said)
    with st.expander(words("exports.new"), icon=":material/add:", expanded=not rows or bool(st.query_params)):
        export_form.draw(words, there, person)
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
            _list(words, there, person, now, links)

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


def _list(
    words: Words,
    there: Places,
    person: Visitor,
    rows: Sequence[ExportRow],
    links: Sequence[ShareRow],
) -> None:
    if not rows:
        frame.state_box(words("exports.none"), words("exports.none.text"))
    known = there.by_id
    for row in rows:
        zone = next((known[site].time_zone for site, _ in row.cameras if site in known), frame.installation().zone)
        with st.container(border=True):
            st.html(orders.card(words, row, there.names, zone, somebody_elses=row.user_id != person.user_id))
            if row.state in ("queued", "running"):
                st.progress(orders.share_done(row), text=frame.as_plain_markdown(orders.progress_text(words, row)))
                if row.cancel_at is None:
                    _cancel(words, person, row)
            elif row.state == "done" and row.all_granted:
                _finished(words, person, row, [one for one in links if one.export_id == row.export_id], zone)
            elif row.state != "done" and row.all_granted:
                _again(words, person, row)


def _again(words: Words, person: Visitor, row: ExportRow) -> None:
    """What failed, was cancelled or is gone can be ordered as it was."""
    if st.button(words("exports.again"), key=f"x.again.{row.export_id}", icon=":material/refresh:"):
        made = NewExport(
            person.user_id,
            row.cameras,
            row.from_utc,
            row.to_utc,
            row.reason,
            clip=row.clip,
            burn_in=row.burn_in,
            evidence=row.evidence,
            cut=row.cut,
            gaps=row.gaps,
            only_clips=row.only_clips,
        )
        export_form.order(words, person, made)


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
        locked = escape(words("exports.lock"))
        st.html(f'<a class="csv" href="{escape(link)}/locked?lang={words.lang}">{locked}</a>', width="content")
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
        ticked = f"x.share.locked.{row.export_id}"  # an unfit PIN must not have the tick forgotten
        locked = st.checkbox(
            words("exports.share.lock", least=taking.SHORTEST_PASSWORD), value=st.session_state.get(ticked, False)
        )
        if not st.form_submit_button(words("exports.share.button"), type="primary"):
            return
        st.session_state[ticked] = locked
        least = taking.SHORTEST_PASSWORD if locked else share.SHORTEST_PIN
        if (pin or locked) and len(pin) < least:
            st.error(words("exports.share.short", least=least))
            return
        if taking.find(database.pool(), person, row.export_id) is None:
            st.error(words("exports.share.refused"))
            return
        with database.pool().connection(person.scope) as conn:
            until = datetime.now(UTC) + timedelta(days=int(days))
            kept = passwords.hashed(pin) if pin else None
            token = shares.add_share(conn, row.export_id, person.name, until, kept, locked=locked)
            detail = {"until": until.isoformat(timespec="seconds"), "pin": bool(pin), "locked": locked}
            _log(conn, person, "share", row, detail)
        where = urlsplit(st.context.url or "")
        base = f"{where.scheme}://{where.netloc}" if where.netloc else ""
        st.session_state["x.link"] = (row.export_id, f"{base}/share/{token}?lang={words.lang}")
        frame.begin_anew()


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
