"""Operations: is everything being archived, and what needs a hand? Backlog, runs, failing files, stores.

Sites shows what has come in; this page shows what the machinery does with it, and starts what a person may start.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import streamlit as st

from viewer import components, database, elsewhere, fleet, fleet_view, frame, operations, operations_runs, places, query
from viewer.elsewhere import FOOTAGE, Runs
from viewer.i18n import Words
from viewer.operations import MOST_FAILING, Seen
from viewer.security import is_local
from viewer.visitor import Visitor
from vms.catalogue import alerts, reads, reads_sites, reads_stores
from vms.catalogue.reads_sites import RunBatch
from vms.catalogue.retries import retries_asked
from vms.catalogue.rows import RecordingFilter
from vms.errors import VmsError
from vms.home import from_environment
from vms.retrying import retry
from vms.stack.addresses import airflow_pages
from vms.steps.waiting import waiting_now

log = logging.getLogger(__name__)

PAGE = 20
"""Rows of many sites that are drawn, until more are asked for."""


def draw(words: Words) -> None:
    """The whole page; its sections renew themselves. ?dag=... (as Airflow calls it) shows that site or DAG alone."""
    database.pool().ping()  # a fragment that finds the catalogue away runs the page again, which must then say so
    dag = st.query_params.get("dag", "")[:250]
    st.html(f'<h1 class="pagetitle">{escape(words("app.operations"))}</h1>')
    focus = operations.site_of(dag)
    if focus:
        _focused(words, focus)

    else:
        sites = fleet_view.seen(frame.visitor().scope)
        if sites.are_many and not dag:
            fleet_view.filters(words, sites.sites)

    at = fleet_view.drawn_for()

    @st.fragment(run_every=10)
    def sites_and_backlog() -> None:
        if fleet_view.drawn_for() != at:
            st.rerun()
        with frame.guarded(words):
            _sites(words, focus)

    @st.fragment(run_every=5)
    def runs() -> None:
        with frame.guarded(words):
            _runs(words, dag)

    @st.fragment(run_every=10)
    def hands() -> None:
        with frame.guarded(words):
            _failing(words, focus)
            _stores(words, focus)

    sites_and_backlog()
    runs()
    hands()


def _focused(words: Words, focus: str) -> None:
    def everything() -> None:
        st.query_params.pop("dag", None)

    with st.container(horizontal=True, vertical_alignment="center"):
        name = _names(frame.visitor()).get(focus, focus)
        st.html(f"<p>{escape(words('ops.only', site=name))}</p>", width="content")
        st.button(words("ops.everything"), on_click=everything)


def _section(words: Words, data: dict[str, Any], focus: str = "") -> None:
    key = f"ops.{data['name']}"

    def retried() -> None:
        again(words, str(st.session_state[key].retry or ""), focus)

    components.operations(data, key, retried)


def _sites(words: Words, focus: str) -> None:
    person, now = frame.visitor(), datetime.now(UTC)
    seen, waiting = _seen(person.scope, focus), list(waiting_now(from_environment()))
    judged = operations.judged(seen, frame.installation().labels, waiting, _asked_of_airflow(person, ""), now)
    _section(words, operations.tiles(words, seen))
    are_many = len(judged) > fleet.FEW
    rows, drawn = judged, len(judged)
    if are_many:
        asked = fleet_view.asked()
        fitting = fleet.fitting(judged, asked)
        fleet_view.show_map(words, fitting, f"/operations?dag={FOOTAGE}", _open)
        is_search = asked != fleet.Asked()
        rows = fitting if is_search else [one for one in fitting if one.kind in fleet.NEEDS_A_PERSON]
        drawn = fleet_view.shown(PAGE)
    with database.pool().connection(person.scope) as conn:
        cameras = reads_sites.camera_ends(conn, [one.site.site for one in rows[:drawn]])
    data = operations.sites(words, rows[:drawn], cameras, waiting, now)
    if are_many and not rows:
        data["empty"] = words("fleet.nothing")
    _section(words, data)
    fleet_view.more(words, drawn, len(rows), PAGE)


def _open(site: str) -> None:
    st.query_params["dag"] = FOOTAGE + site


def _failing(words: Words, focus: str) -> None:
    person = frame.visitor()
    said = st.session_state.pop("ops.said", None)
    if said:
        st.toast(said)
    seen = _seen(person.scope, focus)
    _section(words, operations.failing(words, seen, may_retry=person.may("retry"), focus=focus), focus)


def _stores(words: Words, focus: str) -> None:
    person = frame.visitor()
    fill = elsewhere.fill(from_environment()) if person.sees_everything else None
    zone = frame.installation().zone
    _section(words, operations.stores(words, _seen(person.scope, focus), _names(person), fill, zone, datetime.now(UTC)))


def _runs(words: Words, dag: str) -> None:
    person, now = frame.visitor(), datetime.now(UTC)
    found = _asked_of_airflow(person, dag)
    watched = [] if found is None else [(run.dag_id, run.run_id) for run in found.active]
    with database.pool().connection(person.scope) as conn:
        batches: list[RunBatch] = reads_sites.batches_of_runs(conn, watched) if watched else []
    address = airflow_pages(from_environment())
    is_here = is_local(st.context.headers.get("Host", "")) or not is_local(urlsplit(address).netloc)
    knows_airflow = person.sees_everything and person.may("retry") and not st.context.is_embedded
    data = operations_runs.runs(
        words, found, batches, _names(person), address if knows_airflow and is_here else "", now
    )
    if knows_airflow and not is_here:
        data["note"] = words("ops.runs.where", address=address)
    _section(words, data)


def _asked_of_airflow(person: Visitor, dag: str) -> Runs | None:
    """The runs that this person may know of: of their sites, for who sees everything of all DAGs."""
    sees = None if person.sees_everything else tuple(FOOTAGE + site for site in sorted(_names(person)))
    wanted = sees if not dag else (dag,) if sees is None or dag in sees else ()
    return elsewhere.runs(from_environment(), wanted)


def _names(person: Visitor) -> dict[str, str]:
    """The sites that this person sees, by id."""
    found = {site: name for site, (name, _) in frame.installation(person.scope).sites.items()}
    return found | {site.id: site.name for site in places.seen_by(person).sites}


@st.cache_resource(ttl=8, max_entries=100, show_spinner=False)  # not copied at each rerun: nobody changes it
def _seen(scope: str, focus: str) -> Seen:
    """What the catalogue tells of all the sites of this scope, or of one. Shared by all who see the same."""
    now = datetime.now(UTC)
    only = (focus,) if focus else ()

    def wanted(state: Any) -> RecordingFilter:
        return RecordingFilter(sites=only, states=(state,))

    there = fleet_view.seen(scope)
    with database.pool().connection(scope) as conn:
        longest = reads.find_recordings(conn, wanted("planned"), limit=MOST_FAILING, newest_first=False)
        return Seen(
            sites=tuple(one for one in there.sites if not focus or one.site == focus),
            backlogs={site: one for site, one in there.backlogs.items() if not focus or site == focus},
            answers=tuple(one for one in there.answers if not focus or one.site == focus),
            stores=tuple(reads_stores.store_overviews(conn)) if scope == "*" else None,
            quarantined=tuple(reads.find_recordings(conn, wanted("quarantined"), limit=MOST_FAILING)),
            failing=tuple(row for row in longest if row.reason),
            asked=frozenset(retries_asked(conn)),
            alerts=sum(
                one.closed_at is None and (not focus or one.site == focus) for one in alerts.list_alerts(conn, now)
            ),
        )


def again(words: Words, chosen: str, focus: str = "") -> None:
    """Have a file tried again, or ("*") all of those that the page is about; then have their sites' runs begin."""
    person, home, now = frame.visitor(), from_environment(), datetime.now(UTC)
    if not person.may("retry"):
        st.session_state["ops.said"] = words("app.not_allowed")
        return
    asked: dict[str, int] = {}
    try:
        with database.pool().connection(person.scope) as conn:
            one = query.read({"recording": [chosen]}).recording
            if one is not None:
                row = reads.get_recording(conn, *one)
                if row is not None:
                    asked[row.site] = retry(conn, home, row.site, row.camera, row.id, person.name, now).asked
                    detail = {"asked": asked[row.site]}
                    reads.log_view(conn, person.name, "retry", row.id, row.start_utc, detail, person.address)
            elif chosen == "*":
                for site in _seen(person.scope, focus).sites:
                    if site.counts.get("quarantined"):
                        asked[site.site] = retry(conn, home, site.site, None, None, person.name, now).asked
                        detail = {"site": site.site, "asked": asked[site.site]}
                        reads.log_view(conn, person.name, "retry", None, None, detail, person.address)
    except (VmsError, psycopg2.Error) as error:
        log.warning("A retry could not be asked for: %s", error)
        st.session_state["ops.said"] = words("ops.retry.refused")
        return
    fleet_view.forget()
    _seen.clear()
    st.session_state["ops.said"] = _begun(words, [site for site, count in asked.items() if count], person)


def _begun(words: Words, sites: list[str], person: Visitor) -> str:
    """What to tell: begin the runs now where Airflow answers; else what was asked for waits for the next ones."""
    if not sites:
        return words("ops.retry.nothing")
    try:
        for site in sites:
            elsewhere.start_run(from_environment(), site, f"{person.name} asked in the viewer to try files again")
    except (VmsError, OSError):
        return words("ops.retry.done.next")
    return words("ops.retry.done.now")
