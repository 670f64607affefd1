"""How `vms backfill` tells what it would do, how far it is, and what became of it; for people and for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from vms.backfill import WORDS, Order, is_work
from vms.backfill_plan import SitePlan, reasons
from vms.catalogue.backfill_period import subjects
from vms.catalogue.backfills import Backfill, BackfillSite
from vms.catalogue.connection import Connection
from vms.cli.wording import clock_text, plain, size_text, utc_text
from vms.uplink import rate_text

_FILES_SHOWN = 2000
_COLORS = {"running": "cyan", "done": "green", "failed": "red", "cancelled": "yellow", "stopped": "yellow"}


@dataclass(frozen=True)
class CameraEnd:
    """What the catalogue holds of a camera in the period. copies_missing: of archived recordings, in the site's stores.
    before, after: bytes of sources and renditions that are kept."""

    camera: str
    files: int
    archived: int
    quarantined: int
    waiting: int
    purged: int
    copies_missing: int
    before: int
    after: int


def length_text(seconds: float | None) -> str:
    """Such as "about 12 min"; what is said when nothing was measured yet."""
    if seconds is None:
        return "time not known yet: nothing like it was measured here lately"
    if seconds < 90:
        return "about a minute"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def show_plan(plans: Sequence[SitePlan], zones: Mapping[str, str], console: Console, *, files: bool) -> None:
    """A table of what there is by camera and reason, then a line for each site."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("site", "camera", "files", "size", "", ""):
        table.add_column(title, justify="right" if title in ("files", "size") else "left")
    for plan in plans:
        for line in sorted(plan.lines, key=lambda one: (one.camera, not one.work, one.reason)):
            mark = "[bold cyan]to do[/]" if line.work else "[dim]no[/]"
            size = size_text(line.size_bytes) if line.work else ""
            table.add_row(plan.order.site, plain(line.camera), str(line.files), size, mark, WORDS[line.reason])
    if table.row_count:
        console.print(table)
    for plan in plans:
        order, zone = plan.order, zones[plan.order.site]
        period = f"{clock_text(order.from_utc, zone)} to {clock_text(order.to_utc, zone)}"
        console.print(f"[bold]{order.site}[/], {period}: {_sum(plan)}", soft_wrap=True)
        if plan.disk:
            console.print(
                f"  [yellow]{plain(plan.disk)} Its files are not in this plan; the run looks there itself.[/]"
            )
        if files:
            _show_files(plan, zone, console)


def _sum(plan: SitePlan) -> str:
    if not plan.work_files:
        return "nothing to do. " + why_nothing([plan])
    what = "file" if plan.work_files == 1 else "files"
    return f"{plan.work_files} {what}, {size_text(plan.work_bytes)}, {length_text(plan.estimate_s)}"


def why_nothing(plans: Iterable[SitePlan]) -> str:
    """Why no file of the period is touched, in a sentence."""
    found = {reason: count for reason, count in reasons(plans).items() if not is_work(reason)}
    if not found:
        return "There is no footage that starts in this time, neither in the catalogue nor in the footage folder."
    return "; ".join(f"{count} {WORDS[reason]}" for reason, count in sorted(found.items())) + "."


def _show_files(plan: SitePlan, zone: str, console: Console) -> None:
    for file in plan.files[:_FILES_SHOWN]:
        what = plain(file.name) if file.name else f"recording {file.recording_id}"
        console.print(f"  {clock_text(file.start_utc, zone)} {plain(file.camera)} {what}: {WORDS[file.reason]}")
    if len(plan.files) > _FILES_SHOWN:
        console.print(f"  and {len(plan.files) - _FILES_SHOWN} more; --json lists all")


def plan_object(plan: SitePlan, *, files: bool) -> dict[str, Any]:
    """A site's plan for scripts."""
    told: dict[str, Any] = {
        "site": plan.order.site,
        "from": utc_text(plan.order.from_utc),
        "to": utc_text(plan.order.to_utc),
        "files": plan.work_files,
        "bytes": plan.work_bytes,
        "estimate_s": plan.estimate_s,
        "disk_error": plan.disk or None,
        "lines": [{**vars(line), "work": line.work, "why": WORDS[line.reason]} for line in plan.lines],
    }
    if files:
        told["listed"] = [
            {**vars(file), "start_utc": utc_text(file.start_utc), "why": WORDS[file.reason]} for file in plan.files
        ]
    return told


def show_list(found: Sequence[Backfill], stopped: set[str], console: Console) -> None:
    """The backfills as a table. stopped: runs that Airflow is not at work on, though they have not ended."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("id", "asked", "by", "mode", "site", "from", "to", "state", "done", ""):
        table.add_column(title, justify="right" if title == "id" else "left")
    for one in found:
        for number, site in enumerate(one.sites):
            first = number == 0
            begin, end = (f"{at:%Y-%m-%d %H:%M}Z" for at in (site.order.from_utc, site.order.to_utc))
            table.add_row(
                str(one.backfill_id) if first else "",
                f"{one.made_at:%Y-%m-%d %H:%M}Z" if first else "",
                plain(one.who) if first else "",
                mode_text(one) if first else "",
                plain(site.order.site),
                begin,
                end,
                state_text(site, stopped),
                done_text(site),
                plain(site.message),
            )
    console.print(table)


def mode_text(one: Backfill) -> str:
    """Such as "missing, 5 Mbit/s"."""
    words = [str(one.mode), one.profile, rate_text(one.cap) if one.cap is not None else ""]
    return ", ".join(plain(word) for word in words if word)


def state_text(site: BackfillSite, stopped: set[str]) -> str:
    """The state with its colour."""
    state = "stopped" if site.dag_run in stopped else site.state
    return f"[{_COLORS[state]}]{state}[/]"


def done_text(site: BackfillSite) -> str:
    """How many recordings of those planned so far are reported on."""
    parts = [f"{site.done} of {site.planned}"] if site.planned else []
    parts += [f"{site.looked_at} looked at"] if site.looked_at else []
    return ", ".join(parts)


def progress_table(one: Backfill, doing: Mapping[str, str]) -> Table:
    """How far each site is. doing: what is at work, by site."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("site", "state", "done", "at work on"):
        table.add_column(title, no_wrap=True)
    for site in one.sites:
        at_work = plain(doing.get(site.order.site, ""))
        table.add_row(plain(site.order.site), state_text(site, set()), done_text(site), at_work)
    return table


def ends_of(conn: Connection, order: Order, wanted: set[int], now: datetime) -> list[CameraEnd]:
    """What the catalogue holds of each camera in the period. wanted: numbers of the site's stores."""
    found: dict[str, list[int]] = {}
    for one in subjects(conn, order, now):
        if not order.covers(one.camera, one.start_utc):
            continue
        row = found.setdefault(one.camera, [0] * 8)
        kept = one.state in ("archived", "released")
        row[0] += 1
        row[1] += kept
        row[2] += one.state == "quarantined"
        row[3] += one.state == "planned"
        row[4] += one.state == "purged"
        row[5] += len(wanted - set(one.live)) if kept else 0
        row[6] += one.source_bytes if kept else 0
        row[7] += (one.rendition_bytes or 0) if kept else 0
    return [CameraEnd(camera, *row) for camera, row in sorted(found.items())]


def show_end(one: Backfill, ends: Mapping[str, Sequence[CameraEnd]], stopped: set[str], console: Console) -> None:
    """The closing table, camera by camera from the catalogue, and what went wrong."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    titles = ("files", "archived", "quarantined", "waiting", "purged", "copies missing", "before", "after")
    for title in ("site", "camera", *titles):
        table.add_column(title, justify="left" if title in ("site", "camera") else "right")
    for site in one.sites:
        for end in ends[site.order.site]:
            numbers = (end.files, end.archived, end.quarantined, end.waiting, end.purged, end.copies_missing)
            sizes = (size_text(end.before), size_text(end.after))
            table.add_row(plain(site.order.site), plain(end.camera), *map(str, numbers), *sizes)
    console.print(table)
    for site in one.sites:
        line = f"{plain(site.order.site)}: {state_text(site, stopped)}"
        console.print(f"{line}. {plain(site.message)}" if site.message else line)


def end_object(one: Backfill, ends: Mapping[str, Sequence[CameraEnd]], stopped: set[str]) -> dict[str, Any]:
    """A backfill for scripts; ends: by site, {} while it is under way."""
    return {
        "backfill": one.backfill_id,
        "made_at": utc_text(one.made_at),
        "who": one.who,
        "mode": one.mode,
        "profile": one.profile or None,
        "cap_bytes_s": one.cap,
        "state": one.state,
        "sites": [
            {
                "site": site.order.site,
                "from": utc_text(site.order.from_utc),
                "to": utc_text(site.order.to_utc),
                "cameras": list(site.order.cameras),
                "state": "stopped" if site.dag_run in stopped else site.state,
                "run_id": site.dag_run,
                "planned": site.planned,
                "done": site.done,
                "looked_at": site.looked_at,
                "message": site.message or None,
                **({"result": [vars(end) for end in ends[site.order.site]]} if ends else {}),
            }
            for site in one.sites
        ],
    }


def write(told: Any) -> None:
    """One JSON object as one line."""
    sys.stdout.write(json.dumps(told, ensure_ascii=False) + "\n")
