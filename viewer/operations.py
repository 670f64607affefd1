"""What the page Operations shows, section by section: pure data for its component, in the person's language.

What it shows of Airflow is in `operations_runs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from viewer import cards, elsewhere, fleet, formats, overview, query
from viewer.elsewhere import Fill, Runs
from viewer.fleet import Judged
from viewer.i18n import Words
from vms.catalogue.orders import Place
from vms.catalogue.pace import Backlog
from vms.catalogue.reads_sites import CameraEnd
from vms.catalogue.rows import RecordingRow, SiteOverview, StoreOverview, StoreStateRow

SILENT = timedelta(hours=24)
MOST_FAILING = 20
_MOST_OUT = 5

Data = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """What the catalogue tells one person. quarantined: the newest; failing: planned files that failed in their last
    batch. asked: those that the next run tries again. stores: None for whom does not see everything."""

    sites: tuple[SiteOverview, ...]
    backlogs: Mapping[str, Backlog]
    answers: tuple[StoreStateRow, ...]
    stores: tuple[StoreOverview, ...] | None
    quarantined: tuple[RecordingRow, ...]
    failing: tuple[RecordingRow, ...]
    asked: frozenset[Place]
    alerts: int


def judged(
    seen: Seen,
    labels: Mapping[str, tuple[str, str]],
    waiting: Sequence[Mapping[str, Any]],
    runs: Runs | None,
    now: datetime,
) -> list[Judged]:
    """Every site, those that need a hand first."""
    paused = frozenset(site_of(dag) for dag in runs.paused) if runs else frozenset()
    waits = frozenset(str(one.get("site", "")) for one in waiting)
    return fleet.judged(seen.sites, seen.backlogs, seen.answers, labels, now, waits, paused)


def tiles(words: Words, seen: Seen) -> Data:
    """What waits, what needs a person: of all sites together."""
    return {**section(words, "tiles", (), []), "title": "", "tiles": _tiles(words, seen), "empty": ""}


def sites(
    words: Words,
    shown: Sequence[Judged],
    cameras: Sequence[CameraEnd],
    waiting: Sequence[Mapping[str, Any]],
    now: datetime,
) -> Data:
    """These sites: cameras, newest footage, last look, backlog, quarantined files."""
    of: dict[str, list[CameraEnd]] = {}
    for camera in cameras:
        of.setdefault(camera.site, []).append(camera)
    why = [(str(one.get("site", "")), str(one.get("why", ""))) for one in waiting]
    rows = [
        _site(words, one, of.get(one.site.site, []), [text for site, text in why if site == one.site.site], now)
        for one in shown
    ]
    heads = ("site", "cameras", "newest", "look", "backlog", "quarantined")
    return {**section(words, "sites", heads, rows), "empty": words("ops.sites.none")}


def _tiles(words: Words, seen: Seen) -> list[Data]:
    backlogs = seen.backlogs.values()
    waits, footage_s = sum(one.files for one in backlogs), sum(one.footage_s for one in backlogs)
    bad = sum(one.counts.get("quarantined", 0) for one in seen.sites)
    out = len({one.store for one in seen.answers if one.state != "ok"})
    growing = any(one.falls_behind for one in backlogs)

    def tile(count: int, key: str, note: str, tone: str, page: str = "") -> Data:
        label = words.one_of("ops.tile", key)
        return {"value": formats.number(words, count), "label": label, "note": note, "tone": tone, "href": page}

    length = words("ops.tile.length", length=formats.length(words, footage_s)) if waits else ""
    return [
        tile(waits, "waiting", length, "orange" if growing else "blue" if waits else "green"),
        tile(bad, "quarantined", "", "orange" if bad else "green"),
        tile(out, "stores", "", "red" if out else "green"),
        tile(seen.alerts, "alerts", "", "red" if seen.alerts else "green", "/alerts"),
    ]


def _site(words: Words, one: Judged, cameras: Sequence[CameraEnd], why: Sequence[str], now: datetime) -> Data:
    site, backlog = one.site, one.backlog
    quarantined = site.counts.get("quarantined", 0)
    tone, state = one.look
    silent = [one for one in cameras if one.last_utc is None or now - one.last_utc > SILENT]
    note = words("ops.silent", count=formats.number(words, len(silent))) if silent else ""
    return {
        "key": site.site,
        "cells": [
            {
                "text": site.name,
                "badge": words(state),
                "tone": tone,
                "note": " · ".join(filter(None, (one.region, one.tier))),
                **overview.search(site.site, period=""),
            },
            {"text": formats.number(words, len(cameras)), "note": note, "tone": "orange" if silent else ""},
            {"text": _age(words, site.last_footage, now)},
            {"text": _age(words, site.last_sensed, now)},
            _backlog(words, backlog, site.time_zone, now),
            {
                "text": formats.number(words, quarantined),
                "tone": "orange" if quarantined else "",
                **(overview.search(site.site, "quarantined") if quarantined else {}),
            },
        ],
        "lines": [{"text": text, "tone": "orange"} for text in why],
        "items": {
            "summary": words("ops.cameras", count=formats.number(words, len(cameras))),
            "list": [
                {"name": one.name, "value": _age(words, one.last_utc, now), "tone": "orange" if one in silent else ""}
                for one in cameras
            ],
        }
        if cameras
        else None,
    }


def _backlog(words: Words, one: Backlog, time_zone: str, now: datetime) -> Data:
    """Hours of footage that wait; files, bytes, and when they will be done."""
    notes = []
    if one.files:
        notes.append(
            words(
                "ops.backlog.files",
                files=formats.number(words, one.files),
                size=formats.size(words, one.source_bytes),
            )
        )
        if one.falls_behind:
            notes.append(words("ops.backlog.growing"))
        elif one.catches_up_s is not None:
            done = (now + timedelta(seconds=one.catches_up_s)).astimezone(formats.zone(time_zone))
            is_today = done.date() == now.astimezone(done.tzinfo).date()
            day = "" if is_today else f"{formats.day_short(words, done.date())} "
            notes.append(words("ops.backlog.done", time=f"{day}{done:%H:%M} {formats.zone_name(done)}"))
    if one.missing_copies:
        notes.append(words("ops.backlog.copies", count=formats.number(words, one.missing_copies)))
    text = formats.length(words, one.footage_s) if one.files else words("ops.backlog.none")
    return {"text": text, "note": " · ".join(notes), "tone": "orange" if one.falls_behind else ""}


def stores(words: Words, seen: Seen, names: Mapping[str, str], fill: Fill | None, zone: str, now: datetime) -> Data:
    """Every store: whether it answers, what it holds and for how long it has room. names: of the sites, by id."""
    told = {one.store: one for one in (fill.stores if fill else ())}
    known = {one.name: one for one in seen.stores or ()}
    out: dict[str, list[StoreStateRow]] = {}
    for answer in seen.answers:
        out.setdefault(answer.store, [])
        if answer.state != "ok":
            out[answer.store].append(answer)
    rows = []
    for name in sorted({*known, *out}, key=lambda one: (not out.get(one), one)):
        bad = out.get(name, [])
        worst = words.one_of("ops.store", bad[0].state, bad[0].state) if bad else words("ops.store.ok")
        cells: list[Data] = [{"text": name, "badge": worst, "tone": "red" if bad else "green"}]
        lines = [{"text": _outage(words, one, names, zone, now), "tone": "red"} for one in bad[:_MOST_OUT]]
        if len(bad) > _MOST_OUT:
            others = words("fleet.others", count=formats.number(words, len(bad) - _MOST_OUT))
            lines.append({"text": others, "tone": "red"})
        if seen.stores is not None:
            some, forecast = known.get(name), told.get(name)
            held = formats.size(words, some.size_bytes) if some else ""
            count = words("ops.store.recordings", count=formats.number(words, some.copies)) if some else ""
            cells.append({"text": held, "note": count})
            cells += _room(words, forecast)
            if forecast and forecast.full_on:
                said = words(
                    "ops.store.advice",
                    size=formats.size(words, forecast.short),
                    days=formats.number(words, forecast.fits_days),
                    instead=formats.number(words, forecast.longest_days),
                )
                lines.append({"text": said, "tone": "orange"})
        rows.append({"key": name, "cells": cells, "lines": lines})
    heads = ("store", *(("holds", "room", "grows", "full") if seen.stores is not None else ()))
    asked = words("ops.stores.asked", time=formats.moment(words, fill.at.replace(microsecond=0), zone)) if fill else ""
    note = asked or (words("ops.stores.asking") if seen.stores is not None else "")
    return {**section(words, "stores", heads, rows), "note": note, "empty": words("ops.stores.none")}


def _room(words: Words, one: Any) -> list[Data]:
    if one is None or one.room is None:
        unknown = words("ops.store.unknown")
        grows = formats.size(words, max(one.per_day, 0)) if one else ""
        return [{"text": unknown}, {"text": grows}, {"text": unknown if one is None else words("ops.store.endless")}]
    share = round(100 * one.held / max(one.held + one.room, 1))
    full = formats.day_short(words, one.full_on) if one.full_on else words("ops.store.not_full")
    return [
        {"text": formats.size(words, one.room), "bar": share},
        {"text": formats.size(words, max(one.per_day, 0))},
        {"text": full, "tone": "orange" if one.full_on else ""},
    ]


def _outage(words: Words, one: StoreStateRow, names: Mapping[str, str], zone: str, now: datetime) -> str:
    since = words(
        "ops.store.since",
        site=names.get(one.site, one.site),
        time=formats.moment(words, one.since.replace(microsecond=0), zone),
        age=formats.age(words, one.since, now),
    )
    return " ".join(filter(None, (since, one.message, one.remedy)))


def failing(words: Words, seen: Seen, *, may_retry: bool, focus: str) -> Data:
    """Files that could not be archived, with the reason, what to do, and a way to have them tried again."""
    total = sum(one.counts.get("quarantined", 0) for one in seen.sites)
    rows = [_failing(words, one, seen.asked, may_retry=may_retry) for one in (*seen.quarantined, *seen.failing)]
    left = sum((one.id, one.start_utc) not in seen.asked for one in seen.quarantined)
    made = section(words, "failing", ("file", "when", "why", "remedy", ""), rows)
    made["empty"] = words("ops.failing.none")
    if total > len(seen.quarantined):
        made["more"] = {
            "text": words("sites.show_quarantined", count=formats.number(words, total)),
            **overview.search(focus, "quarantined"),
        }
    if may_retry and left > 1:
        made["all"] = {"text": words("ops.retry.all"), "id": "*"}
    return made


def _failing(words: Words, row: RecordingRow, asked: frozenset[Place], *, may_retry: bool) -> Data:
    why = cards.reason(words, row)
    key = query.recording_text(row.id, row.start_utc)
    action: Data | None = None
    if row.state == "planned":
        action = {"text": words("ops.retry.itself"), "done": True}
    elif (row.id, row.start_utc) in asked:
        action = {"text": words("ops.retry.asked"), "done": True}
    elif may_retry:
        action = {"text": words("ops.retry"), "id": key}
    name = row.source_name or row.camera_name
    return {
        "key": key,
        "cells": [
            {"text": name, "note": f"{row.camera_name} · {row.site_name}", **overview.opened(key)},
            {"text": formats.moment(words, row.start_utc, row.time_zone)},
            {"text": why, "note": row.message if row.message != why else "", "wide": True},
            {"text": cards.remedy(words, row), "wide": True},
        ],
        "action": action,
        "label": words("ops.retry.label", file=name),
    }


def section(words: Words, name: str, heads: Sequence[str], rows: list[Data]) -> Data:
    """A section of the page: its title, the heads of its columns, and these rows."""
    return {
        "lang": words.lang,
        "name": name,
        "title": words.one_of("ops.title", name),
        "heads": [words.one_of("ops.head", one) if one else "" for one in heads],
        "rows": rows,
        "note": "",
        "notice": "",
        "more": None,
        "all": None,
    }


def _age(words: Words, then: datetime | None, now: datetime) -> str:
    return formats.age(words, then, now) if then else words("sites.never")


def site_of(dag: str) -> str:
    """The site of a DAG's id, "" for a DAG that is no site's."""
    return dag.removeprefix(elsewhere.FOOTAGE) if dag.startswith(elsewhere.FOOTAGE) else ""
