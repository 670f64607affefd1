"""`vms status`: what runs, what each site has, and what waits for what."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, get_args
from zoneinfo import ZoneInfo

import psycopg2
import typer
from rich.console import Console
from rich.table import Table

from vms.backups import OVERDUE, local_backups, overdue, overdue_after
from vms.catalogue.alerts import unsent, waiting_messages
from vms.catalogue.connection import connect, misfit, url
from vms.catalogue.exports import open_counts
from vms.catalogue.pace import Backlog, backlogs
from vms.catalogue.reads_sites import site_overviews, store_identities
from vms.catalogue.reads_stores import store_states
from vms.catalogue.rows import SiteOverview, StoreStateRow
from vms.cli.wording import new_console, plain, size_text, utc_text
from vms.config import load_config
from vms.dumps import Manifest
from vms.errors import VmsError
from vms.home import Home, from_environment
from vms.model import State
from vms.stack.addresses import airflow_pages, viewer_pages
from vms.stack.alone import elsewhere
from vms.stack.services import containers_now
from vms.stack.state import StackState, as_seen_now, changed_since, read_state
from vms.steps.waiting import waiting_now

_COLORS = {"ready": "green", "starting": "cyan", "waiting": "cyan", "stopped": "dim"}


@dataclass(frozen=True)
class Overview:
    """All that `status` tells. sites: those of the catalogue and of sites.yaml. waiting: why a site can't go on.
    identities: those of the stores that the catalogue knows, by name; None when it can't be asked.
    backlogs: what each site has still to do, by its id. stores: how each store last answered to each site.
    backup: the last good one of the catalogue here; backup_overdue: what is wrong with its age, "" when nothing is.
    untold: alerts that could not be sent, a line for each target. exports: how many that were ordered in the
    viewer wait, and how many are being made."""

    home: Home
    stack: StackState | None
    sites: tuple[SiteOverview, ...]
    site_errors: Mapping[str, str]
    waiting: tuple[Mapping[str, Any], ...]
    problems: tuple[str, ...]
    identities: Mapping[str, str] | None = None
    backlogs: Mapping[str, Backlog] = field(default_factory=dict)
    stores: tuple[StoreStateRow, ...] = ()
    backup: Manifest | None = None
    backup_overdue: str = ""
    untold: tuple[str, ...] = ()
    exports: tuple[int, int] = (0, 0)

    @property
    def usable(self) -> bool:
        return bool(self.stack and self.stack.phase == "usable")


def register(app: typer.Typer) -> None:
    """Mount `status`."""
    app.command("status")(status)


def status(as_json: Annotated[bool, typer.Option("--json", help="One JSON object, all times UTC.")] = False) -> None:
    """Services and sites. Exit status 0 when the system is usable, else 1."""
    seen = look(from_environment())
    if as_json:
        sys.stdout.write(json.dumps(as_object(seen), ensure_ascii=False) + "\n")
    else:
        _show(new_console(), seen)
    raise typer.Exit(0 if seen.usable else 1)


def look(home: Home) -> Overview:
    """Ask everything once. What can't be reached is among the problems; nothing raises."""
    written = read_state(home)
    stack = containers_now(home) if home.parts else as_seen_now(written) if written else None
    problems = []
    known: dict[str, SiteOverview] = {}
    identities: dict[str, str] | None = None
    waits: dict[str, Backlog] = {}
    states: list[StoreStateRow] = []
    errors: dict[str, str] = {}
    untold: list[str] = []
    ordered = (0, 0)
    if (stack and any(one.name == "postgres" and one.pid for one in stack.services)) or home.postgres_url or home.parts:
        try:
            conn = connect(url(home, "viewer"))
            try:
                known = {one.site: one for one in site_overviews(conn)}
                identities = store_identities(conn)
                waits, states = backlogs(conn, datetime.now(UTC)), store_states(conn)
                untold = unsent(waiting_messages(conn))
                ordered = open_counts(conn)
            finally:
                conn.close()
        except VmsError as error:
            problems.append(str(error))
        except psycopg2.Error as error:  # such as a schema of another version
            problems.append(str(misfit(error) or f"The catalogue does not answer as it should: {str(error).strip()}"))
    late_after = OVERDUE
    try:
        config = load_config(home.sites_file)
        for site in config.sites:
            known.setdefault(site.id, _untouched(site.id, site.name, site.time_zone))
        errors = {error.id: error.message for error in config.errors}
        late_after = overdue_after(config.backup)
    except VmsError as error:
        problems.append(str(error))
    if stack and stack.launcher_lives and changed_since(stack.loaded):
        problems.append(
            "The program was changed after it was started (git pull?), and its running parts may not fit it."
            " Restart it: ./vms down, then ./vms up. Nothing is lost."
        )
    sites = tuple(known[name] for name in sorted(known))
    waiting = tuple(waiting_now(home))
    return Overview(
        *(home, stack, sites, errors, waiting, tuple(problems), identities, waits, tuple(states)),
        *(next(iter(local_backups(home)), None), overdue(home, datetime.now(UTC), late_after), tuple(untold), ordered),
    )


def as_object(seen: Overview) -> dict[str, Any]:
    """The overview as scripts get it."""
    stack = seen.stack
    return {
        "state": stack.phase if stack else "stopped",
        "error": (stack.error or None) if stack else None,
        "remedy": (stack.remedy or None) if stack else None,
        "demo": seen.home.demo,
        "home": str(seen.home.root),
        "sites_file": str(seen.home.sites_file),
        "viewer_url": viewer_pages(seen.home),
        "airflow_url": airflow_pages(seen.home),
        "launcher_pid": stack.pid if stack and stack.launcher_lives else None,
        "services": [
            {
                "name": one.name,
                "state": one.state,
                "pid": one.pid or None,
                "since": _epoch(one.since),
                "restarts": one.restarts,
                "detail": one.detail,
            }
            for one in (stack.services if stack else ())
        ],
        "sites": [_site_object(one) | _backlog_object(seen.backlogs.get(one.site)) for one in seen.sites],
        "stores": [
            asdict(one) | {"since": utc_text(one.since), "seen_at": utc_text(one.seen_at)} for one in seen.stores
        ],
        "site_errors": [{"site": site or None, "message": message} for site, message in seen.site_errors.items()],
        "backup": {
            "last": utc_text(seen.backup.made_at) if seen.backup else None,
            "overdue": bool(seen.backup_overdue),
        },
        "waiting": list(seen.waiting),
        "exports": {"waiting": seen.exports[0], "being_made": seen.exports[1]},
        "alerts_not_sent": list(seen.untold),
        "problems": list(seen.problems),
    }


def _site_object(site: SiteOverview) -> dict[str, Any]:
    def time(at: datetime | None) -> str | None:
        return utc_text(at) if at else None

    return {
        "id": site.site,
        "name": site.name,
        "time_zone": site.time_zone,
        "counts": {state: site.counts.get(state, 0) for state in get_args(State)},
        "bytes_in": site.bytes_in,
        "bytes_out": site.bytes_out,
        "newest_archived": time(site.newest_archived),
        "oldest_waiting": time(site.oldest_waiting),
        "last_footage": time(site.last_footage),
        "last_sensed": time(site.last_sensed),
        "awaited_since": time(site.awaited_since),
    }


def _backlog_object(backlog: Backlog | None) -> dict[str, Any]:
    """files, footage_s, source_bytes, missing_copies, catches_up_s, falls_behind: see `vms.catalogue.pace.Backlog`."""
    return {"backlog": None if backlog is None else asdict(backlog)}


def _untouched(site: str, name: str, time_zone: str) -> SiteOverview:
    return SiteOverview(site, name, time_zone, {}, 0, 0, None, None, None, None)


def _epoch(seconds: float) -> str | None:
    return utc_text(datetime.fromtimestamp(seconds, UTC).replace(microsecond=0)) if seconds else None


def _show(console: Console, seen: Overview) -> None:
    stack = seen.stack
    phase = stack.phase if stack else "stopped"
    color = "green" if phase == "usable" else "red" if phase == "failed" else "yellow"
    words = {"usable": "running", "stopped": "not running"}
    console.print(
        f"[bold {color}]{words.get(phase, phase)}[/]  [dim]{seen.home.root}{' (demo)' if seen.home.demo else ''}[/]"
    )
    if stack and stack.error:
        console.print(f"[red]{plain(stack.error)}[/] {plain(stack.remedy)}")
    if phase == "usable":
        console.print(f"Viewer {viewer_pages(seen.home)}   Airflow {airflow_pages(seen.home)}")
    if stack and stack.services:
        console.print(_services_table(stack))
    if seen.sites:
        console.print(_sites_table(seen))
        for store in seen.stores:
            if store.state != "ok":
                since = _short(store.since, next(one.time_zone for one in seen.sites if one.site == store.site))
                what = f"{store.site}: store {store.store} is {store.state} since {since}."
                console.print(f"[yellow]{plain(what)}[/] {plain(store.message)} {plain(store.remedy)}")
    for message in seen.site_errors.values():
        console.print(f"[red]{plain(message)}[/]")
    for one in seen.waiting:
        console.print(f"[yellow]{plain(str(one.get('why', '')))}[/]")
    if any(seen.exports):
        console.print(f"Exports: {seen.exports[1]} being made, {seen.exports[0]} waiting.")
    if seen.backup_overdue:
        console.print(f"[red]{plain(seen.backup_overdue)}[/] Make one with [bold]./vms backup[/].")
    for line in seen.untold:
        console.print(f"[red]{plain(line)}[/]")
    for problem in seen.problems:
        console.print(f"[red]{plain(problem)}[/]")
    if phase in ("stopped", "failed"):
        how = elsewhere(seen.home)
        console.print(plain(" ".join(how)) if how else "Start it with [bold]./vms up[/].", soft_wrap=True)


def _services_table(stack: StackState) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("service", "state", "pid", "since", "restarts", ""):
        table.add_column(title, justify="right" if title in ("pid", "restarts") else "left")
    for one in stack.services:
        color = _COLORS.get(one.state, "yellow")
        since = datetime.fromtimestamp(one.since).astimezone().strftime("%d %b %H:%M:%S") if one.since else ""
        pid = str(one.pid) if one.pid else ""
        table.add_row(one.name, f"[{color}]{one.state}[/]", pid, since, str(one.restarts), plain(one.detail))
    return table


def _sites_table(seen: Overview) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("site", "planned", "archived", "quarantined", "size", "backlog", "last footage", "looked at"):
        table.add_column(title, justify="right" if title in ("planned", "archived", "quarantined") else "left")
    for one in seen.sites:
        kept = one.counts.get("archived", 0) + one.counts.get("released", 0)
        size = f"{size_text(one.bytes_in)} → {size_text(one.bytes_out)}" if one.bytes_in else ""
        table.add_row(
            plain(one.site),
            str(one.counts.get("planned", 0)),
            str(kept),
            str(one.counts.get("quarantined", 0)),
            size,
            _backlog_text(seen.backlogs.get(one.site)),
            _short(one.last_footage, one.time_zone),
            _short(one.last_sensed, one.time_zone),
        )
    return table


def _backlog_text(backlog: Backlog | None) -> str:
    """Such as "3.5 h, done in 40 min" or "2.0 h, growing; 12 copies missing"."""
    if backlog is None or (backlog.files == 0 and backlog.missing_copies == 0):
        return ""
    parts = []
    if backlog.files:
        text = _hours(backlog.footage_s)
        if backlog.falls_behind:
            text += ", growing"
        elif backlog.catches_up_s is not None:
            text += f", done in {_hours(backlog.catches_up_s)}"
        parts.append(text)
    if backlog.missing_copies:
        count = backlog.missing_copies
        parts.append(f"{count} {'copy' if count == 1 else 'copies'} missing")
    return "; ".join(parts)


def _hours(seconds: float) -> str:
    if seconds < 3600:
        return f"{max(1, round(seconds / 60))} min"
    return f"{seconds / 3600:.1f} h"


def _short(at: datetime | None, time_zone: str) -> str:
    return f"{at.astimezone(ZoneInfo(time_zone)):%d %b %H:%M %Z}" if at else "never"
