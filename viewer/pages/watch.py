"""Watch: cameras along time, and their picture at any moment.

The address says which cameras and when: ?camera=ho/lobby,ho/gate&at=2026-01-31T01:05:00Z, and which range is chosen:
&from=...&to=... With &day=2026-01-31 in place of a moment a whole day is shown, from its first footage. The component
keeps moment and range up to date in the address by itself; what it asks while it is used is answered by
viewer.watch.routes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import streamlit as st

from viewer import camera_tree, components, database, formats, frame, places, query
from viewer.i18n import Words
from viewer.places import Places
from viewer.watch import asked, routes, spans, visit
from vms.catalogue import reads
from vms.catalogue.rows import RecordingFilter, SiteRow

CameraKey = tuple[str, str]


def draw(words: Words) -> None:
    """The whole page."""
    database.pool().ping()  # the sites may be known from before
    there = places.seen_by(frame.visitor())
    sites = there.sites
    if not any(site.cameras for site in sites):
        frame.state_box(words("find.none.first"), words("find.none.first.text"))
        return
    find = frame.current_find()
    asked_for = _cameras(sites, find)
    chosen = asked_for[: asked.MOST_CAMERAS] or _newest_camera(sites)
    with st.container(key="searchbar", horizontal=True, vertical_alignment="center", gap="small"):
        with st.popover(
            frame.as_plain_markdown(camera_tree.label(words, there, query.Find(cameras=chosen))),
            icon=":material/videocam:",
            key="watch.cameras",
        ):
            _tree(words, there, query.Find(cameras=chosen))
        if len(asked_for) > asked.MOST_CAMERAS:
            st.caption(words("watch.most", count=asked.MOST_CAMERAS), width="content")
    at = _moment(st.query_params.get("at", ""), chosen, sites)
    day = None if at else _day(st.query_params.get("day", ""), chosen, sites)
    if at is None:
        at = _first(chosen, day) if day else None if "watch.seen" in st.session_state else _newest(chosen)
    st.session_state["watch.seen"] = True
    person = frame.visitor()
    made = page(
        words,
        sites,
        chosen,
        at,
        chosen_range=_range(chosen, sites),
        day=day,
        may_take=person.may("export"),
        may_hold=person.may("hold"),
    )

    components.watch(made, "watch")


def page(
    words: Words,
    sites: Sequence[SiteRow],
    cameras: Sequence[CameraKey],
    at: datetime | None,
    *,
    chosen_range: tuple[datetime, datetime] | None = None,
    day: tuple[datetime, datetime] | None = None,
    may_take: bool,
    may_hold: bool = False,
) -> dict[str, Any]:
    """All that the component is given. at: the moment to show (UTC), None to stay where it is. day: to be seen as
    a whole. may_take: pictures and exports."""
    of = {site for site, _ in cameras}
    names = {
        (site.id, camera.id): (camera.name, site.name) for site in sites if site.id in of for camera in site.cameras
    }
    several = len(of) > 1
    return {
        "lang": words.lang,
        "cameras": [
            {
                "key": "/".join(key),
                "name": f"{names[key][0]} · {names[key][1]}" if several else names[key][0],
            }
            for key in cameras
        ],
        "at": spans.milliseconds(at) if at else None,
        "range": [spans.milliseconds(one) for one in chosen_range] if chosen_range else None,
        "day": [spans.milliseconds(one) for one in day] if day else None,
        "player": f"{visit.PREFIX}/{routes.HLS}",
        "months": formats.short_months(words),
        "may_take": may_take,
        "may_hold": may_hold,
        "keys": [
            [_named(words, keys), words.one_of("watch.key", name)]
            for name, keys in KEYS.items()
            if may_take or name != "shot"
        ],
        "words": {name: words.one_of("watch.say", name) for name in SAID},
    }


def _named(words: Words, keys: str) -> str:
    """The keys as they are called in this language."""
    return re.sub("Space|drag|wheel", lambda found: words.one_of("watch.keyname", found[0].lower(), found[0]), keys)


SAID = (
    "line", "play", "pause", "back10", "forth10", "next", "previous", "no_next", "no_previous", "sound", "full",
    "moment", "moment_hint", "calendar", "tools", "nearer", "farther", "hour", "day", "week", "month", "copy_link",
    "copied", "list", "keys",
    "loading", "broken", "retry", "no_player", "damaged", "open", "is_all", "is_lacking", "is_damaged", "is_kept",
    "is_cold", "key_cold",
    "is_doubtful", "is_held", "is_nothing", "key_all", "key_lacking", "key_site", "key_damaged", "key_held", "key_gap",
    "key_settled", "unsure", "seconds", "minutes", "hours", "speed", "cameras", "show1", "show4", "show9",
    "help", "close",
    "lens", "shot", "no_shot", "gap_next", "gap_previous", "no_gap", "low", "making", "made",
    "missing", "pick", "pick_begin", "pick_begin_label", "pick_end", "pick_end_label", "pick_draw", "pick_draw_label",
    "pick_drawing", "pick_from", "pick_to", "pick_cameras", "pick_clear", "pick_export", "pick_hold",
    "bookmark", "bookmark_label", "bookmark_new", "bookmark_note", "bookmark_tags", "bookmark_tags_example",
    "bookmark_save", "bookmark_saved", "bookmark_list", "bookmark_all", "key_marked", "cancel",
)  # fmt: skip
"""What the component says: texts of the family watch.say."""


KEYS = {
    "play": "Space K",
    "seconds": "\N{LEFTWARDS ARROW} \N{RIGHTWARDS ARROW}",
    "minutes": "Shift+\N{LEFTWARDS ARROW} Shift+\N{RIGHTWARDS ARROW}",
    "frame": ", .",
    "recording": "N P",
    "gap": "G Shift+G",
    "speed": "< >",
    "pick": "I O",
    "draw": "Shift+drag",
    "bookmark": "B",
    "camera": "\N{UPWARDS ARROW} \N{DOWNWARDS ARROW}",
    "show": "1 4 9",
    "zoom": "+ \N{MINUS SIGN}",
    "view": "PageUp PageDown",
    "lens": "Z Ctrl+wheel",
    "shot": "S",
    "sound": "M",
    "full": "F",
    "help": "?",
}
"""The keyboard map: what it is for (family watch.key), and the keys."""


def _cameras(sites: Sequence[SiteRow], find: query.Find) -> tuple[CameraKey, ...]:
    """Those of the address that there are, in its order; of a site without cameras named, all."""
    wanted = {*find.sites, *(site for site, _ in find.cameras)}
    known = [(site.id, camera.id) for site in sites if site.id in wanted for camera in site.cameras]
    if find.cameras:
        there = set(known)
        return tuple(key for key in find.cameras if key in there)
    return tuple(known)


def _newest_camera(sites: Sequence[SiteRow]) -> tuple[CameraKey, ...]:
    """The camera with the newest footage, else the first."""
    wanted = RecordingFilter(to_utc=datetime.now(UTC) + timedelta(hours=1), states=("archived", "released"))
    with database.pool().connection(frame.visitor().scope) as conn:
        rows = reads.find_recordings(conn, wanted, limit=1)
    if rows:
        return ((rows[0].site, rows[0].camera),)
    return next(((site.id, site.cameras[0].id),) for site in sites if site.cameras)


def _newest(cameras: Sequence[CameraKey]) -> datetime | None:
    """Where the newest recording of these cameras begins."""
    wanted = RecordingFilter(
        cameras=tuple(cameras), to_utc=datetime.now(UTC) + timedelta(hours=1), states=("archived", "released")
    )
    with database.pool().connection(frame.visitor().scope) as conn:
        rows = reads.find_recordings(conn, wanted, limit=1)
    return rows[0].start_utc if rows else None


def _moment(text: str, cameras: Sequence[CameraKey], sites: Sequence[SiteRow]) -> datetime | None:
    """The moment of the address; without a zone it is the clock of the first camera's site."""
    try:
        found = datetime.fromisoformat(text[:40])
    except ValueError:
        return None
    if not 1970 < found.year < 9890:
        return None
    zone = next(site.time_zone for site in sites if site.id == cameras[0][0])
    return (found if found.tzinfo else found.replace(tzinfo=formats.zone(zone))).astimezone(UTC)


def _day(text: str, cameras: Sequence[CameraKey], sites: Sequence[SiteRow]) -> tuple[datetime, datetime] | None:
    """From when to when the day of the address lasts at the first camera's site."""
    found = query.read({"from": [text]}).first
    if found is None:
        return None
    zone = next(site.time_zone for site in sites if site.id == cameras[0][0])
    begin, end = formats.day_bounds(found, found, zone)
    return begin.astimezone(UTC), end.astimezone(UTC)


def _first(cameras: Sequence[CameraKey], day: tuple[datetime, datetime]) -> datetime:
    """Where the footage of a day begins; the day itself where there is none."""
    wanted = RecordingFilter(cameras=tuple(cameras), from_utc=day[0], to_utc=day[1], states=("archived", "released"))
    with database.pool().connection(frame.visitor().scope) as conn:
        rows = reads.find_recordings(conn, wanted, limit=1, newest_first=False)
    return max(day[0], rows[0].start_utc) if rows else day[0]


def _range(cameras: Sequence[CameraKey], sites: Sequence[SiteRow]) -> tuple[datetime, datetime] | None:
    """The range that the address chooses."""
    begin, end = (_moment(st.query_params.get(name, ""), cameras, sites) for name in ("from", "to"))
    return (begin, end) if begin and end and begin < end else None


def _tree(words: Words, there: Places, find: query.Find) -> None:
    def chosen() -> None:
        told = st.session_state["watch.tree"].chosen
        if told:
            frame.go(query.Find(cameras=_cameras(there.sites, camera_tree.choose(query.Find(), there, told))))

    components.camera_tree(camera_tree.page(words, there, find), "watch.tree", chosen)
