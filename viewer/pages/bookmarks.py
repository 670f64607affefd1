"""Bookmarks: what people marked, found again by words, tag, time, camera and person. They are set on the page Watch.

The address carries the search: ?q=...&tag=...&who=...&from=...&to=...&camera=...
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from html import escape
from urllib.parse import urlencode

import streamlit as st

from viewer import camera_tree, components, database, formats, frame, places, query, search_bar
from viewer.i18n import Words
from viewer.media import Refusal
from viewer.places import Places
from viewer.visitor import Visitor
from viewer.watch import asked as watch_asked
from viewer.watch import bookmarking
from vms.catalogue import bookmarks, reads
from vms.catalogue.bookmark_search import BookmarkFilter
from vms.catalogue.bookmarks import LONGEST_NOTE, LONGEST_TAG, MOST_TAGS, BookmarkRow

PAGE = 20
MOST_NAMED = 200
_LONGEST_WORDS = 120


@dataclass(frozen=True)
class _Asked:
    """What the address asks for, beside cameras and days."""

    words: str
    tag: str
    who: str


def draw(words: Words) -> None:
    """The whole page."""
    person = frame.visitor()
    there = places.seen_by(person)
    find = frame.current_find()
    told = _Asked(*(st.query_params.get(name, "").strip()[:_LONGEST_WORDS] for name in ("q", "tag", "who")))
    st.html(f'<h1 class="pagetitle">{escape(words("bookmarks.title"))}</h1>')
    said = st.session_state.pop("b.said", None)
    if said:
        st.success(said)
    _filters(words, there, find, told)
    zone = frame.installation().zone
    begin, end = query.bounds(find, zone)
    chosen = bool(find.cameras or find.sites)
    # of somebody who sees little, their cameras are looked at one by one; who sees much meets theirs along the time
    theirs = search_bar.pairs(there.sites, find)
    cameras = theirs if chosen or not (person.sees_everything or len(theirs) > MOST_NAMED) else None
    wanted = BookmarkFilter(cameras, begin, end, told.words, told.tag.lower(), told.who)
    _log_search(person, find, told)
    shown, pages = st.session_state.get("b.pages", (None, 1))
    limit = PAGE * (pages if shown == wanted else 1)
    with database.pool().connection(person.scope) as conn:
        rows = bookmarks.list_bookmarks(conn, wanted, limit=limit + 1)
    if not rows:
        is_search = chosen or begin or told != _Asked("", "", "")
        frame.state_box(
            words("bookmarks.nothing") if is_search else words("bookmarks.none"),
            words("bookmarks.nothing.text") if is_search else words("bookmarks.none.text"),
        )
        return
    for row in rows[:limit]:
        _bookmark(words, row, there.names, person)
    if len(rows) > limit:

        def more() -> None:
            st.session_state["b.pages"] = (wanted, limit // PAGE + 1)

        with st.container(horizontal_alignment="center"):
            st.button(words("find.more.many"), on_click=more)


def _filters(words: Words, there: Places, find: query.Find, told: _Asked) -> None:
    state = st.session_state
    days = (find.first, find.last)
    if state.get("b.address") != (days, told):
        state["b.address"] = (days, told)
        state["b.dates"] = tuple(dict.fromkeys(one for one in days if one))
        state["b.words"], state["b.tag"], state["b.who"] = told.words, told.tag, told.who

    def changed() -> None:
        dates: tuple[date, ...] = state["b.dates"]
        if len(dates) == 1 and dates != (find.first,):
            return  # the second day is still to be chosen
        params = query.write(query.Find(sites=find.sites, cameras=find.cameras))
        if dates:
            params |= {"from": dates[0].isoformat(), "to": dates[-1].isoformat()}
        params |= {name: state[f"b.{key}"].strip() for name, key in (("q", "words"), ("tag", "tag"), ("who", "who"))}
        if state.get("lang"):
            params["lang"] = state["lang"]
        st.query_params.from_dict({name: text for name, text in params.items() if text})

    with st.container(key="filters"):
        with st.popover(
            frame.as_plain_markdown(camera_tree.label(words, there, find)), icon=":material/videocam:", key="b.cameras"
        ):
            _tree(words, there, find, told)
        with st.container(key="b-filters"):
            columns = st.columns(4, gap="small")
        columns[0].text_input(words("bookmarks.words"), key="b.words", max_chars=_LONGEST_WORDS, on_change=changed)
        columns[1].date_input(words("find.dates"), value=[], key="b.dates", format="DD/MM/YYYY", on_change=changed)
        columns[2].text_input(words("bookmarks.tag"), key="b.tag", max_chars=LONGEST_TAG, on_change=changed)
        columns[3].text_input(words("log.who"), key="b.who", max_chars=LONGEST_TAG, on_change=changed)


def _tree(words: Words, there: Places, find: query.Find, told: _Asked) -> None:
    def chosen() -> None:
        picked = st.session_state["b.tree"].chosen
        if picked:
            frame.go(camera_tree.choose(find, there, picked))
            for name, text in (("q", told.words), ("tag", told.tag), ("who", told.who)):
                if text:
                    st.query_params[name] = text

    components.camera_tree(camera_tree.page(words, there, find), "b.tree", chosen)


def _log_search(person: Visitor, find: query.Find, told: _Asked) -> None:
    """Each search once, when it is new to this visit."""
    asked = query.write(find) | {"words": told.words, "tags": told.tag, "who": told.who}
    if not any(asked.values()) or st.session_state.get("b.logged") == asked:
        return
    with database.pool().connection(person.scope) as conn:
        detail = {"view": "bookmarks", **{name: text for name, text in asked.items() if text}}
        reads.log_view(conn, person.name, "search", None, None, detail, person.address)
    st.session_state["b.logged"] = asked


def _bookmark(words: Words, row: BookmarkRow, names: dict[tuple[str, str], str], person: Visitor) -> None:
    zone = row.time_zone
    begin, end = (formats.moment(words, at, zone) for at in (row.from_utc, row.to_utc))
    seconds = (row.to_utc - row.from_utc).total_seconds()
    when = f"{begin} \N{EN DASH} {end} ({formats.length(words, seconds)})" if seconds else begin
    tags = "".join(f"<li>{escape(one)}</li>" for one in row.tags)
    facts = [
        (words("exports.cameras"), ", ".join(names.get(one, "/".join(one)) for one in row.cameras)),
        (words("holds.by"), f"{row.who}, {formats.moment(words, row.made_at, zone)}"),
    ]
    if row.changed_at is not None:
        facts.append((words("bookmarks.changed"), formats.moment(words, row.changed_at, zone)))
    gone = _gone(words, row)
    lines = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts)
    with st.container(border=True):
        st.html(
            f'<section class="hold bookmark" data-bookmark="{row.bookmark_id}"><h2>{escape(when)}</h2>'
            f"{f'<p class=note>{escape(row.note)}</p>' if row.note else ''}"
            f"{f'<ul class=tags>{tags}</ul>' if tags else ''}<dl>{lines}</dl>"
            f"{f'<p class=gone>{escape(gone)}</p>' if gone else ''}</section>"
        )
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.html(
                f'<a class="csv" href="{escape(address_of(row))}">{escape(words("bookmarks.watch"))}</a>',
                width="content",
            )
            if row.user_id == person.user_id or is_master(person):
                _change(words, row, person)
                _remove(words, row, person)


def address_of(row: BookmarkRow) -> str:
    """The page Watch at this moment, with its range chosen."""
    params = query.watch_params(row.cameras[: watch_asked.MOST_CAMERAS], row.from_utc)
    if row.to_utc > row.from_utc:
        params |= {name: _as_address(at) for name, at in (("from", row.from_utc), ("to", row.to_utc))}
    return f"/watch?{urlencode(params)}"


def _as_address(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def is_master(person: Visitor) -> bool:
    """Whether the bookmarks of others may be changed and removed."""
    return person.role == "administrator"


def _gone(words: Words, row: BookmarkRow) -> str:
    """That there is nothing to watch any more, of some of the cameras or of all."""
    missing = len(row.cameras) - (row.with_footage or 0)
    if missing <= 0:
        return ""
    key = "bookmarks.purged" if row.purged else "bookmarks.no_footage"
    return words(key) if missing == len(row.cameras) else words("bookmarks.partly", count=missing)


def _change(words: Words, row: BookmarkRow, person: Visitor) -> None:
    with (
        st.popover(words("bookmarks.change"), icon=":material/edit:", key=f"b.change.{row.bookmark_id}"),
        st.form(f"b.form.{row.bookmark_id}", border=False),
    ):
        note = st.text_area(words("bookmarks.note"), value=row.note, max_chars=LONGEST_NOTE)
        tags = st.text_input(
            words("bookmarks.tags"), value=", ".join(row.tags), max_chars=MOST_TAGS * (LONGEST_TAG + 2)
        )
        if not st.form_submit_button(words("bookmarks.save"), type="primary"):
            return
        try:
            note, found = bookmarking.said(note, tags)
        except Refusal as refusal:
            st.error(words(refusal.key))
            return
        with database.pool().connection(person.scope) as conn:
            changed = bookmarks.change_bookmark(
                conn, row.bookmark_id, person.user_id, note, found, everybody=is_master(person)
            )
            if changed:
                detail = {"bookmark": row.bookmark_id, "note": note, "tags": list(found), "before": row.note}
                reads.log_view(conn, person.name, "bookmark_changed", None, None, detail, person.address)
        st.session_state["b.said"] = words("bookmarks.saved") if changed else words("bookmarks.refused")
        frame.begin_anew()


def _remove(words: Words, row: BookmarkRow, person: Visitor) -> None:
    def remove() -> None:
        with database.pool().connection(person.scope) as conn:
            if bookmarks.remove_bookmark(conn, row.bookmark_id, person.user_id, everybody=is_master(person)):
                detail = bookmarking.as_told(row.bookmark_id, row)
                reads.log_view(conn, person.name, "bookmark_removed", None, None, detail, person.address)
                st.session_state["b.said"] = words("bookmarks.removed")

    with st.popover(words("exports.delete"), icon=":material/delete:", key=f"b.delete.{row.bookmark_id}"):
        st.caption(words("bookmarks.delete.text"))
        st.button(
            words("bookmarks.delete.button"), key=f"b.delete.now.{row.bookmark_id}", type="primary", on_click=remove
        )
