"""My account: one's own password, the language of the pages, and where one is signed in. Each by themselves alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from html import escape

import streamlit as st

from viewer import database, formats, frame, places, visitor
from viewer.database import NOBODY
from viewer.i18n import LANGUAGE_NAMES, Words
from viewer.visitor import Visitor
from vms import passwords
from vms.catalogue import reads, sessions
from vms.catalogue.sessions import OwnSession
from vms.errors import UserError
from vms.home import from_environment
from vms.users import made_up_password_file

MOST_NAMED = 20
"""Sites of whom sees some only."""

_BROWSERS = (("Edg", "Edge"), ("OPR", "Opera"), ("SamsungBrowser", "Samsung Internet"), ("Firefox", "Firefox"))
_BROWSERS += (("FxiOS", "Firefox"), ("Chrome", "Chrome"), ("CriOS", "Chrome"), ("Safari", "Safari"))
_SYSTEMS = (("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"))
_SYSTEMS += (("Mac OS X", "Mac"), ("CrOS", "ChromeOS"), ("Linux", "Linux"))


def draw(words: Words) -> None:
    """The whole page."""
    person = frame.visitor()
    names = [] if person.sees_everything else [site.name for site in places.seen_by(person).sites]
    if len(names) > MOST_NAMED:
        names = [*names[:MOST_NAMED], words("account.sees.more", count=formats.number(words, len(names) - MOST_NAMED))]
    with database.pool().connection(NOBODY) as conn:
        open_now = sessions.own_sessions(conn, person.user_id)
        has_password = sessions.secret_of(conn, person.name).password is not None
    st.html(f'<h1 class="pagetitle">{escape(words("app.account"))}</h1>')
    said = st.session_state.pop("a.said", None)
    if said:
        st.success(said)
    sees = words("account.sees.all") if person.sees_everything else ", ".join(names) or words("account.sees.none")
    st.html(
        f'<p class="soft"><b>{escape(person.name)}</b> · {escape(words.one_of("role", person.role))} ·'
        f" {escape(words('account.sees'))}: {escape(sees)}</p>"
    )
    with st.container(width=640):
        _language(words, person)
        if has_password:
            _password(words, person)
        else:
            st.caption(words("account.password.none"))
        _sessions(words, person, open_now)


def _language(words: Words, person: Visitor) -> None:
    chosen = st.segmented_control(
        words("account.language"),
        options=["", *LANGUAGE_NAMES],
        default=person.lang or "",
        format_func=lambda one: LANGUAGE_NAMES.get(one, words("account.language.auto")),
        key="a.lang",
    )
    if chosen is None or chosen == (person.lang or ""):
        return
    with database.pool().connection(NOBODY) as conn:
        if not sessions.change_own_language(conn, visitor.current_session(), chosen or None, person.address):
            return
    visitor.of(database.pool()).forget(visitor.current_session())
    st.session_state.pop("lang", None)
    st.query_params.clear()
    st.session_state["a.said"] = frame.language()("account.language.done")
    frame.begin_anew()


def _password(words: Words, person: Visitor) -> None:
    limits = {"shortest": passwords.SHORTEST, "longest": passwords.LONGEST}
    st.html(f'<h2 class="section">{escape(words("account.password"))}</h2>')
    with st.form("password", clear_on_submit=True):
        old = _secret(words("account.password.old"), "current-password")
        fresh = _secret(words("account.password.new"), "new-password")
        again = _secret(words("account.password.again"), "new-password")
        st.caption(words("account.password.rules", **limits))
        if not st.form_submit_button(words("account.password.button"), type="primary"):
            return
    problem = _unfit(words, person, old, fresh, again) or _changed(words, person, old, fresh)
    if problem:
        st.error(problem)
        return
    made_up_password_file(from_environment(), person.name).unlink(missing_ok=True)
    st.session_state["a.said"] = words("account.password.done")
    frame.begin_anew()


def _secret(label: str, autocomplete: str) -> str:
    return st.text_input(label, type="password", max_chars=passwords.LONGEST, autocomplete=autocomplete)


def _unfit(words: Words, person: Visitor, old: str, fresh: str, again: str) -> str:
    """Why the new password will not do, "" when it does."""
    if fresh != again:
        return words("account.password.differ")
    try:
        passwords.check_new(fresh, person.name)
    except UserError:
        if person.name in fresh.lower():
            return words("account.password.named")
        return words("account.password.weak", shortest=passwords.SHORTEST, longest=passwords.LONGEST)
    return words("account.password.same") if fresh == old else ""


def _changed(words: Words, person: Visitor, old: str, fresh: str) -> str:
    """Change it; why it was not, "" when it was. Tries are counted before the password is looked at, as at sign-in."""
    with database.pool().connection(NOBODY) as conn:
        counted = sessions.begin_try(conn, person.name, person.address)
        if counted.wait_s:
            return words("sign_in.wait", minutes=formats.number(words, -(-counted.wait_s // 60)))
        kept = sessions.secret_of(conn, person.name)
    right = passwords.is_right_now(old, kept.password)
    with database.pool().connection(NOBODY) as conn:
        if not right or kept.password is None:
            detail = {"own_password": True} | ({"limited": True} if counted.is_last else {})
            reads.log_view(conn, person.name, "sign_in_failed", None, None, detail, person.address)
            return words("account.password.wrong")
        sessions.forgive(conn, person.name, person.address)
        now = passwords.hashed(fresh)
        own = visitor.current_session()
        if sessions.change_own_password(conn, own, kept.password, now, person.address):
            return ""
    return words("account.password.lost")


def _sessions(words: Words, person: Visitor, open_now: list[OwnSession]) -> None:
    st.html(f'<h2 class="section">{escape(words("account.sessions"))}</h2>')
    idle, longest = (formats.length(words, one.total_seconds()) for one in (sessions.IDLE, sessions.LONGEST))
    st.caption(words("account.sessions.text", idle=idle, longest=longest))
    now = datetime.now(UTC)
    zone = frame.installation().zone
    for one in sorted(open_now, key=lambda one: one.mark != person.mark):
        with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
            is_this = one.mark == person.mark
            badge = f' <span class="good">{escape(words("account.sessions.this"))}</span>' if is_this else ""
            since = words("account.sessions.since", since=formats.moment(words, one.made_at, zone))
            seen = words("account.sessions.seen", age=formats.age(words, one.seen_at, now))
            st.html(
                f'<section class="hold" data-session="{one.mark}"><h2>{escape(device(one.device, words))}{badge}</h2>'
                f'<p class="soft">{escape(" · ".join(filter(None, (one.address, since, "" if is_this else seen))))}</p>'
                "</section>",
                width="stretch",
            )
            if not is_this:
                st.button(
                    words("account.sessions.end"), key=f"a.end.{one.mark}", on_click=_ender(words, person, one.mark)
                )
    with st.popover(words("account.sessions.all"), icon=":material/logout:"):
        st.caption(words("account.sessions.sure"))
        st.button(words("account.sessions.all"), key="a.end", type="primary", on_click=_ender(words, person))


def _ender(words: Words, person: Visitor, mark: str = "") -> Callable[[], None]:
    """What ends the session of this mark, or all of them; the page then goes away by itself."""

    def end() -> None:
        with database.pool().connection(NOBODY) as conn:
            ended = sessions.end_own_sessions(conn, person.user_id, person.name, person.address, mark)
        if ended and mark:
            st.session_state["a.said"] = words("account.sessions.ended")

    return end


def device(told: str, words: Words) -> str:
    """Chrome · Windows, from what a browser says of itself; what it is not."""
    found = [next((name for sign, name in known if sign in told), "") for known in (_BROWSERS, _SYSTEMS)]
    plain = re.sub(r"[^\w ./-]", "", told.partition(" ")[0])[:40]
    return " · ".join(filter(None, found)) or plain or words("account.device.unknown")
