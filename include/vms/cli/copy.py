"""`vms copy`: fill a store from another one, such as a new bucket from the NAS. It needs no Airflow."""

from __future__ import annotations

import getpass
import heapq
import json
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.console import Console

from vms.catalogue.connection import Connection, connect, naming_loss, url
from vms.catalogue.copying import count_to_copy, known_stores, orders_to_copy, record_copies, store_to_use
from vms.catalogue.reads import RecordingFilter, SiteRow
from vms.cli.copy_report import CopyPlan, Meter, Tally, as_object, meter, show_end, show_plan
from vms.cli.selection import filters, known_sites, moment_of, nearest
from vms.cli.wording import new_console
from vms.config import Config, load_config
from vms.errors import ConfigError, Reason, VmsError
from vms.home import Home, from_environment
from vms.model import CopyOrder, RunRef, StoreTarget
from vms.steps.copies_in_flight import SitePlace
from vms.steps.meeting import meet
from vms.steps.replicate import copy_each
from vms.uplink import UNLIMITED

PAGE = 100

_NO_USE: tuple[Reason, ...] = (
    "store_unreachable", "store_full", "store_denied", "copy_unreachable", "staging_full",
)  # fmt: skip
"""What keeps every further recording from being copied as well."""


def register(app: typer.Typer) -> None:
    """Mount `copy`."""
    app.command("copy")(copy)


def copy(
    source: Annotated[str, typer.Option("--from", metavar="STORE", help="The store to read from.")],
    target: Annotated[str, typer.Option("--to", metavar="STORE", help="The store of sites.yaml to fill.")],
    site: Annotated[list[str] | None, typer.Option(help="Only this site (its id); may be repeated.")] = None,
    camera: Annotated[list[str] | None, typer.Option(help="Only this camera (its id); may be repeated.")] = None,
    from_time: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Footage from this time on: 2026-11-24 or 2026-11-24T08:00, on the clock of each site; with an"
            " offset, such as 2026-11-24T08:00+07:00 or ...T01:00Z, one instant for all sites.",
        ),
    ] = None,
    to_time: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Footage before this time; a date alone includes that whole day."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many recordings, the newest first.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be copied.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: the plan, and what became of it.")] = False,
) -> None:
    """Copy archived recordings that one store holds and another lacks, verified, the newest first.

    Ctrl-C stops it, and the same command goes on from there. Exit status 1 when something could not be copied.
    """
    begin, end = moment_of(from_time, "--from-time"), moment_of(to_time, "--to-time")
    home = from_environment()
    console = new_console(stderr=as_json)
    config = load_config(home.sites_file)
    with closing(connect(url(home, "viewer" if dry_run else "owner"))) as conn, naming_loss():
        _must_be_stores(config, known_stores(conn), source, target)
        known = known_sites(conn, home)
        wanted = filters(known, sites=site or [], cameras=camera or [], begin=begin, end=end, states=[])
        if any(one.from_utc and one.to_utc and one.from_utc >= one.to_utc for one in wanted):
            raise typer.BadParameter("--to-time is not later than --from-time.")
        plan = _plan(conn, source, target, wanted, limit, console)
        if not as_json:
            show_plan(plan, console)
        tally = None if dry_run else Tally()
        stopped = False
        if tally is not None and plan.recordings:
            stores = (_store(conn, config, source), _store(conn, config, target))
            for store in stores:
                meet(store)
            orders = islice(_orders(conn, source, target, wanted), limit)
            places = _places(known, config, home)
            stopped = _copy(conn, orders, stores, places, plan, tally, console, quiet=as_json)
    _tell(plan, tally, console, stopped=stopped, as_json=as_json)


def _must_be_stores(config: Config, known: Mapping[str, StoreTarget], source: str, target: str) -> None:
    if source == target:
        raise ConfigError(f"{source} can't be copied to itself.", "Name two stores: --from nas --to cloud.")
    configured = {store.name for store in config.stores}
    for name, allowed, option in ((source, configured | set(known), "--from"), (target, configured, "--to")):
        if name not in allowed:
            raise ConfigError(
                f"{option}: there is no store {name!r}{' in sites.yaml' if name in known else ''}."
                f"{nearest(name, allowed)}",
                f"The stores are: {', '.join(sorted(allowed))}. `vms sites check` shows mistakes in others.",
            )


def _store(conn: Connection, config: Config, name: str) -> StoreTarget:
    """As sites.yaml describes it now; a store to read from may have been taken out of it since."""
    found = next((store for store in config.stores if store.name == name), None)
    return known_stores(conn)[name] if found is None else store_to_use(conn, found)


def _plan(
    conn: Connection,
    source: str,
    target: str,
    wanted: Sequence[RecordingFilter],
    limit: int | None,
    console: Console,
) -> CopyPlan:
    waiting = size = 0
    with console.status(f"comparing {source} with {target} ..."):
        for one in wanted:
            count, size_bytes = count_to_copy(conn, source, target, one)
            waiting, size = waiting + count, size + size_bytes
    count = waiting if limit is None else min(limit, waiting)
    return CopyPlan(source, target, count, round(size * count / waiting) if waiting else 0, waiting)


def _orders(conn: Connection, source: str, target: str, wanted: Sequence[RecordingFilter]) -> Iterator[CopyOrder]:
    pages = [_pages(conn, source, target, one) for one in wanted]
    return heapq.merge(*pages, key=lambda order: (order.start_utc, order.recording_id), reverse=True)


def _pages(conn: Connection, source: str, target: str, wanted: RecordingFilter) -> Iterator[CopyOrder]:
    after: tuple[datetime, int] | None = None
    while page := orders_to_copy(conn, source, target, wanted, after, PAGE):
        yield from page
        after = (page[-1].start_utc, page[-1].recording_id)


def _places(known: Sequence[SiteRow], config: Config, home: Home) -> dict[str, SitePlace]:
    """A site's own staging folder where this machine has it, so that what still lies there need not be fetched."""
    configured = {site.id: site for site in config.sites}
    places = {}
    for site in known:
        own = configured.get(site.id)
        staging = own.staging if own else None
        usable = staging is not None and staging.is_dir()
        folder = staging if staging is not None and usable else home.site_staging(site.id)
        places[site.id] = SitePlace(ZoneInfo(site.time_zone), folder, own.uplink if own else UNLIMITED)
    return places


def _copy(
    conn: Connection,
    orders: Iterator[CopyOrder],
    stores: tuple[StoreTarget, StoreTarget],
    places: Mapping[str, SitePlace],
    plan: CopyPlan,
    tally: Tally,
    console: Console,
    *,
    quiet: bool,
) -> bool:
    """Whether it was stopped by Ctrl-C. Each recording is committed as soon as it is copied."""
    source, target = stores
    who = RunRef("", "", "vms copy", host=f"{getpass.getuser()}@{socket.gethostname()}")
    report = _reporting(console, quiet=quiet)
    with meter(plan, console, quiet=quiet) as drawn:
        done = copy_each(
            _begun(orders, drawn), (source,), target, places, report=report, moved=drawn.moved, total=plan.recordings
        )
        with closing(done):
            try:
                for one in done:
                    record_copies(conn, [one], who, datetime.now(UTC))
                    drawn.end(one)
                    tally.add(one)
                    if one.fault is not None and one.fault.reason in _NO_USE:
                        break
            except KeyboardInterrupt:
                return True
            except VmsError:
                if not quiet:
                    show_end(plan, tally, console)
                raise
    return False


def _begun(orders: Iterator[CopyOrder], drawn: Meter) -> Iterator[CopyOrder]:
    for order in orders:
        drawn.begin(order)
        yield order


def _reporting(console: Console, *, quiet: bool) -> Callable[[str], None]:
    """A line for each file in a log; on a terminal the bar and the closing table say it."""
    if quiet or console.is_terminal:
        return lambda _line: None
    return lambda line: console.print(line, markup=False)


def _tell(plan: CopyPlan, tally: Tally | None, console: Console, *, stopped: bool, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(as_object(plan, tally) | {"stopped": stopped}, ensure_ascii=False) + "\n")
    elif tally is not None and plan.recordings:
        show_end(plan, tally, console)
    if stopped:
        console.print("Stopped. The same command goes on from there.")
        raise typer.Exit(130)
    if tally is not None and (tally.failed or tally.damaged):
        raise typer.Exit(1)
