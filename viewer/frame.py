"""What stands around every page: language, company, header, and the states that any page can be in."""

from __future__ import annotations

import html
import logging
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import streamlit as st

from viewer import cold, components, database, query
from viewer import visitor as visitors
from viewer.cards import Links
from viewer.database import AWAY
from viewer.i18n import LANGUAGE_NAMES, Words, choose_language, of_streamlit
from viewer.visitor import Visitor
from vms.config import load_config
from vms.errors import ConfigError
from vms.home import from_environment

log = logging.getLogger(__name__)

_FRONT = Path(__file__).resolve().parent / "front"
_BEGIN = '<span class="pagebegin visually-hidden" tabindex="-1"></span>'
"""Where a page begins; front/keyboard.js says its title there, and leads whoever works by keyboard to it."""
_STYLE = f"<style>{(_FRONT / 'page.css').read_text()}</style>"


def language() -> Words:
    """The language of this visit: the address, then what was chosen before, then the person's, then the browser's."""
    asked = st.query_params.get("lang") or st.session_state.get("lang") or _own_language()
    lang = choose_language(asked, st.context.headers.get("Accept-Language"))
    if st.query_params.get("lang"):
        st.session_state["lang"] = lang
    return Words(lang)


def _own_language() -> str | None:
    try:
        person = visitors.current()
    except AWAY:
        return None
    return person.lang if person else None


def visitor() -> Visitor:
    """Who looks at this page. A session that has ended meanwhile ends the run: the gate closes its connection."""
    person = visitors.current()
    if person is None:
        st.stop()
    return person


def links() -> Links:
    """Makes the media links of this visit."""
    return Links(from_environment(), visitor().mark)


@dataclass(frozen=True)
class Installation:
    """What sites.yaml says, as the pages need it. zone: of its first site. sites: id to (name, zone), in its order.
    labels: id to (region, tier), of sites that have one.

    faults: (site id or "" for the whole file, message).
    """

    company: str
    zone: str
    sites: dict[str, tuple[str, str]]
    labels: dict[str, tuple[str, str]]
    faults: tuple[tuple[str, str], ...]


def installation(scope: str = "") -> Installation:
    """What sites.yaml says now, its sites and its faults only to whom sees everything; labels are for sites seen."""
    found = _installation()
    return found if scope == "*" else replace(found, sites={}, faults=())


@st.cache_resource(ttl=20, max_entries=1, show_spinner=False)
def _installation() -> Installation:
    """What sites.yaml says now; a file that can't be read is a fault to show, not an error."""
    try:
        config = load_config(from_environment().sites_file)
    except ConfigError as error:
        return Installation("", "Asia/Jakarta", {}, {}, (("", str(error)),))
    sites = {site.id: (site.name, site.time_zone) for site in config.sites}
    zone = config.sites[0].time_zone if config.sites else "Asia/Jakarta"
    labels = {site.id: (site.region, site.tier) for site in config.sites if site.region or site.tier}
    return Installation(config.company, zone, sites, labels, tuple((one.id, one.message) for one in config.errors))


def current_find() -> query.Find:
    """The search that the address asks for now."""
    return query.read({key: st.query_params.get_all(key) for key in query.KEYS})


def go(find: query.Find) -> None:
    """Put a search into the address; call it from a widget's callback, the run that follows draws it."""
    params = query.write(find)
    if st.session_state.get("lang"):
        params["lang"] = st.session_state["lang"]
    st.query_params.from_dict(params)


def begin_anew() -> NoReturn:
    """Run again after a deed that made another page of this one: whoever works by keyboard is at its beginning then."""
    st.session_state["begun"] = st.session_state.get("begun", 0) + 1
    st.rerun()


def as_plain_markdown(text: str) -> str:
    """Text from outside as Markdown that shows it unchanged."""
    return re.sub(r"([\\`*_{}\[\]()#+.!|~:$<>&-])", r"\\\1", text.replace("\n", " "))


@contextmanager
def guarded(words: Words) -> Iterator[None]:
    """Within a fragment: when the catalogue goes away, the whole page is run again and shows that state.

    The page itself must ask the catalogue before it draws the fragment, or it would run for ever.
    """
    try:
        yield
    except AWAY as error:
        log.warning("The catalogue went away: %s", error)
        st.rerun()
    except Exception as error:  # noqa: BLE001  # a person sees a designed state, the log has the trace
        fault(words, error)


def header(words: Words, pages: list[tuple[st.Page, str]], person: Visitor | None, here: st.Page) -> None:
    """The line at the top: company, pages, language, who has signed in. person None: that can't be known now.
    here: the page below it."""
    st.html(_STYLE)
    with st.container(key="top", horizontal=True, vertical_alignment="center", gap="small"):
        if not st.context.is_embedded:  # else Airflow's own page stands around it
            _brand_and_pages(words, pages)
        _language_switch(words)
        if person is not None:
            components.account(
                {
                    "lang": words.lang,
                    "name": person.name,
                    "role": words.one_of("role", person.role),
                    "href": f"/account?lang={words.lang}",
                    "title": here.title,
                    "place": f"{here.url_path} {'recording' in st.query_params} {st.session_state.get('begun', 0)}",
                    "said": of_streamlit(words),
                    "words": {
                        "out": words("app.sign_out"),
                        "who": words("app.signed_in", name=person.name),
                        "account": words("app.account"),
                    },
                },
                "account",
            )
    st.html(_BEGIN)
    if person is not None and person.may("view"):
        cold.news(words, person)


def _brand_and_pages(words: Words, pages: list[tuple[st.Page, str]]) -> None:
    name = installation().company or "VMS"
    st.html(
        f'<div class="brand"><img src="/favicon.png" alt="" width="36" height="36"><div><b>{html.escape(name)}</b>'
        f"<small>{html.escape(words('app.subtitle'))}</small></div></div>",
        width="content",
    )
    with st.container(key="nav", horizontal=True, vertical_alignment="center", gap="small", width="content"):
        for page, key in pages:
            st.page_link(page, label=words(key))


def _language_switch(words: Words) -> None:
    if st.session_state.get("language_choice") != words.lang:
        st.session_state["language_choice"] = words.lang

    def changed() -> None:
        chosen = st.session_state["language_choice"] or words.lang
        st.session_state["lang"] = chosen
        st.query_params["lang"] = chosen

    st.segmented_control(
        words("app.language"),
        options=list(LANGUAGE_NAMES),
        format_func=str.upper,
        key="language_choice",
        on_change=changed,
        label_visibility="collapsed",
        width="content",
        help=None,
    )


def state_box(title: str, text: str, more: str = "", tone: str = "calm") -> None:
    """A designed state in place of content: empty, away, broken. All texts are escaped here."""
    extra = f"<p class='more'>{html.escape(more)}</p>" if more else ""
    st.html(
        f'<div class="statebox {html.escape(tone)}" role="status"><h2>{html.escape(title)}</h2>'
        f"<p>{html.escape(text)}</p>{extra}</div>"
    )


def plain_table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table of texts as HTML; on a phone each line becomes a block that names its columns. All texts are escaped
    here. The roles are what the elements are by themselves; a phone's blocks would lose them otherwise."""
    named = [html.escape(one) for one in heads]
    head = "".join(f'<th scope="col" role="columnheader">{one}</th>' for one in named)
    rows = "".join(
        '<tr role="row">'
        + "".join(
            f'<td role="cell" data-label="{name}">{html.escape(one)}</td>'
            for name, one in zip(named, line, strict=True)
        )
        + "</tr>"
        for line in lines
    )
    return (
        '<div class="plaintable" tabindex="0"><table role="table"><thead role="rowgroup">'
        f'<tr role="row">{head}</tr></thead><tbody role="rowgroup">{rows}</tbody></table></div>'
    )


def away(words: Words) -> None:
    """The catalogue does not answer: say so, look again every three seconds, and come back by itself."""
    state_box(words("app.away.title"), words("app.away.text"), words("app.away.remedy"), "away")

    @st.fragment(run_every=3)
    def watch() -> None:
        try:
            database.pool().ping()
        except Exception as error:  # noqa: BLE001  # whatever it is, it is still away
            log.debug("Still away: %s", error)
            return
        st.rerun()

    watch()


def fault(words: Words, error: Exception) -> None:
    """Something unforeseen: a number that is also in the log, and a way to try again."""
    number = secrets.token_hex(4)
    log.error("Fault %s on a page", number, exc_info=error)
    state_box(words("app.fault.title"), words("app.fault.text", number=number), tone="away")
    st.button(words("app.fault.retry"))
