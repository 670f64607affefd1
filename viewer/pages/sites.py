"""The sites at a glance: newest footage, what waits, what needs a person, and the last 24 hours of each camera."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import streamlit as st

from viewer import components, database, formats, frame, overview
from viewer.i18n import Words
from vms.catalogue import coverage, reads, reads_sites
from vms.catalogue.rows import RecordingFilter, RecordingRow, SiteOverview, SiteRow
from vms.pieces import Piece


def draw(words: Words) -> None:
    """The whole page; it renews itself every ten seconds."""
    database.pool().ping()  # a fragment that finds the catalogue away runs the page again, which must then say so
    st.html(f'<h1 class="visually-hidden">{words("sites.title")}</h1>')

    @st.fragment(run_every=10)
    def panels() -> None:
        with frame.guarded(words):
            _panels(words)

    panels()


def _panels(words: Words) -> None:
    now = datetime.now(UTC)
    with database.pool().connection(frame.visitor().scope) as conn:
        overviews = reads_sites.site_overviews(conn)
        cameras = {one.id: one for one in reads_sites.list_sites(conn)}
    installation = frame.installation(frame.visitor().scope)
    known = {one.site: one for one in overviews}
    order = [*installation.sites, *(one for one in known if one not in installation.sites)]
    for site_id, (name, zone) in installation.sites.items():
        known.setdefault(site_id, SiteOverview(site_id, name, zone, {}, 0, 0, None, None, None, None))
    if not known and not installation.faults:
        frame.state_box(words("sites.none"), words("sites.none.text"))
        return
    data = {
        "lang": words.lang,
        "faults": [
            {
                "title": title or "sites.yaml",
                "badge": words("sites.attention"),
                "text": words("sites.faulty") if title else words("sites.faulty_file"),
                "message": message,
            }
            for title, message in installation.faults
        ],
        "sites": [_site(words, known[site_id], cameras.get(site_id), now) for site_id in order],
        "updated": words(
            "sites.updated", time=formats.moment(words, now.replace(second=0, microsecond=0), installation.zone)
        ),
    }

    components.site_panels(data, "sites")


def _site(words: Words, site: SiteOverview, cameras: SiteRow | None, now: datetime) -> dict[str, Any]:
    problems = _problems(frame.visitor().scope, site.site) if site.counts.get("quarantined") else []
    day = _day(frame.visitor().scope).get(site.site, {}) if site.counts else {}
    return overview.panel(words, site, cameras, day, problems, now)


@st.cache_data(ttl=10, max_entries=300, show_spinner=False)
def _problems(scope: str, site: str) -> list[RecordingRow]:
    with database.pool().connection(scope) as conn:
        wanted = RecordingFilter(sites=(site,), states=("quarantined",))
        return reads.find_recordings(conn, wanted, limit=overview.MOST_PROBLEMS)


@st.cache_data(ttl=30, max_entries=50, show_spinner=False)
def _day(scope: str) -> dict[str, dict[str, list[Piece]]]:
    """What each camera of each site has archived of the last 24 hours."""
    now = datetime.now(UTC)
    with database.pool().connection(scope) as conn:
        return coverage.kept_footage(conn, now - overview.DAY, now)
