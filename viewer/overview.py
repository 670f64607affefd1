"""The state of the sites: what a panel of the Sites page shows. Pure data for the component."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from viewer import cards, fleet, formats, query
from viewer.i18n import Words
from vms import pieces
from vms.catalogue.rows import RecordingRow, SiteOverview, SiteRow
from vms.pieces import Piece

DAY = timedelta(hours=24)
MOST_PROBLEMS = 8
MOST_CAMERAS = 32

_SLACK = 5 * pieces.SECOND
"""Holes up to this length are not drawn."""


def panel(
    words: Words,
    site: SiteOverview,
    cameras: SiteRow | None,
    day: dict[str, list[Piece]],
    problems: list[RecordingRow],
    kind: str,
    now: datetime,
) -> dict[str, Any]:
    """One site. day: what each camera has of the last 24 hours. problems: its newest quarantined files. kind: how it
    is (fleet.KINDS)."""
    counts = site.counts
    archived = counts.get("archived", 0) + counts.get("released", 0)
    waiting, quarantined = counts.get("planned", 0), counts.get("quarantined", 0)
    local = now.astimezone(formats.zone(site.time_zone))
    tone, _, state = fleet.KINDS[kind]
    since = (
        words("sites.waiting.since", age=formats.age(words, site.oldest_waiting, now)) if site.oldest_waiting else ""
    )
    saving = formats.saving(words, site.bytes_in, site.bytes_out)
    stored = f"{formats.size(words, site.bytes_in)} → {formats.size(words, site.bytes_out)}"
    return {
        "id": site.site,
        "name": site.name,
        "tone": tone,
        "badge": words(state),
        "hint": "",
        "local": words("sites.local_time", time=f"{local:%H:%M} {formats.zone_name(local)}"),
        "facts": [
            {"label": words("sites.last_footage"), "value": _ago(words, site.last_footage, now)},
            {"label": words("sites.last_look"), "value": _ago(words, site.last_sensed, now)},
            {
                "label": words("sites.storage"),
                "value": stored if site.bytes_in else words("sites.storage.none"),
                "note": f"\N{MINUS SIGN}{saving}" if saving else "",
            },
        ],
        "numbers": [
            _number(words, archived, "sites.archived", "", "green" if archived else "", search(site.site)),
            _number(words, waiting, "sites.waiting", since, "blue" if waiting else "", search(site.site, "planned")),
            _number(
                words,
                quarantined,
                "sites.quarantined",
                "",
                "orange" if quarantined else "",
                search(site.site, "quarantined"),
            ),
        ],
        "day_title": words("sites.day"),
        "day_label": words("sites.day.cameras"),
        "ticks": _ticks(words, local),
        "cameras": _bars(words, site, cameras, day, now),
        "problems_title": words("sites.problems", count=formats.number(words, quarantined)),
        "problems": [_problem(words, row) for row in problems[:MOST_PROBLEMS]],
        "all_problems": (
            {
                "text": words("sites.show_quarantined", count=formats.number(words, quarantined)),
                **search(site.site, "quarantined"),
            }
            if quarantined > min(len(problems), MOST_PROBLEMS)
            else None
        ),
        "footage": {"text": words("sites.show"), **search(site.site, period="")},
    }


def _bars(
    words: Words, site: SiteOverview, cameras: SiteRow | None, day: dict[str, list[Piece]], now: datetime
) -> list[dict[str, Any]]:
    begin, end = pieces.micros(now - DAY), pieces.micros(now)
    bars = []
    for camera in (cameras.cameras if cameras else ())[:MOST_CAMERAS]:
        there = pieces.overlaps(day.get(camera.id, ()), [(begin, end)])
        parts = pieces.joined(there, _SLACK)
        seconds = sum(last - first for first, last in parts) / pieces.SECOND
        bars.append(
            {
                "name": camera.name,
                "label": words("sites.day.covered", camera=camera.name, length=formats.length(words, seconds)),
                "parts": [[round(100 * (at - begin) / pieces.DAY, 2) for at in part] for part in parts],
                **search(site.site, camera=camera.id, period=""),
            }
        )
    return bars


def _ticks(words: Words, local: datetime) -> list[str]:
    return [f"{local - DAY * (4 - step) / 4:%H:%M}" for step in range(4)] + [words("sites.now")]


def _ago(words: Words, then: datetime | None, now: datetime) -> str:
    return formats.age(words, then, now) if then else words("sites.never")


def _number(words: Words, count: int, key: str, note: str, tone: str, target: dict[str, str]) -> dict[str, Any]:
    return {
        "count": formats.number(words, count),
        "label": words(key),
        "note": note,
        "tone": tone,
        "target": target if count else None,
    }


def _problem(words: Words, row: RecordingRow) -> dict[str, str]:
    said = cards.reason(words, row)
    return {
        "file": row.source_name or row.camera_name,
        "text": said,
        "detail": cards.as_reported(words, row),
        "remedy": cards.remedy(words, row),
        **opened(query.recording_text(row.id, row.start_utc)),
    }


def opened(recording: str) -> dict[str, str]:
    """The way to a recording, as a component is told it."""
    return {"href": f"/?{urlencode({'recording': recording})}"}


def search(site: str, state: str = "", camera: str = "", period: str = "all") -> dict[str, str]:
    """The way to this search, as a component is told it."""
    made = {"site": site, "camera": f"{site}/{camera}" if camera else "", "state": state, "from": period}
    return {"href": f"/?{urlencode({key: value for key, value in made.items() if value})}"}
