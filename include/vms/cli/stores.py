"""`vms stores`: does a store do all that the archive builds on, and what does each hold?"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from vms.catalogue.connection import connect, url
from vms.catalogue.reads_sites import store_identities
from vms.catalogue.reads_stores import store_overviews
from vms.catalogue.rows import StoreOverview
from vms.cli.wording import new_console, plain, size_text, utc_text
from vms.config import StoreConfig, load_config
from vms.config_values import did_you_mean
from vms.errors import ConfigError, VmsError
from vms.home import Home, from_environment
from vms.stack import postgres
from vms.stores import Finding, links, open_store
from vms.stores.links import GivesLinks
from vms.stores.narrow import is_bucket
from vms.stores.narrow_check import TriesNarrowKey, narrow_findings

app = typer.Typer(help="Check stores, and list what they hold.", no_args_is_help=True)


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="Only this store of sites.yaml.", metavar="NAME")] = "",
    branch: Annotated[
        str,
        typer.Option(
            "--branch",
            help="Try the connections as the keys of this site's branch: they may write, and nothing else."
            " At a branch it is so anyway.",
            metavar="SITE",
        ),
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object: ok, the findings and the numbers by store.")
    ] = False,
) -> None:
    """Write, read, prove and delete probes in each store, measure its speed, and say what is wrong in it.

    Exit status 1 if anything is wrong. A new and empty store gets its identity by this. The largest probe has 32 MB.
    At a branch it is looked whether its keys are as narrow as they should be; one small probe stays in each bucket.
    """
    home = from_environment()
    config = load_config(home.sites_file)
    chosen = _chosen(config.stores, name)
    broken = [error.message for error in config.errors if not error.id and not name]
    branch = branch or home.branch
    known = {} if branch else _identities(home)
    console = new_console(soft_wrap=True)
    found: dict[str, list[Finding]] = {}
    for store in chosen:
        if not as_json:
            console.print(f"[bold]{plain(store.name)}[/]  {plain(store.url)}")
        with _waiting(console, quiet=as_json) as tell:
            if branch and is_bucket(store.url):
                found[store.name] = narrow(store, branch, tell)
            else:
                found[store.name] = _findings(home, store, known.get(store.name), tell)
        for one in () if as_json else found[store.name]:
            console.print(f"  {'[green]✓[/]' if one.ok else '[red]✗[/]'} {plain(one.what)}")
            if one.remedy:
                console.print(f"    [yellow]→[/] {plain(one.remedy)}")
    ok = not broken and all(one.ok for some in found.values() for one in some)
    if as_json:
        stores = [
            {
                "name": store.name,
                "url": store.url,
                "findings": [asdict(one) for one in found[store.name]],
                "numbers": {key: value for one in found[store.name] for key, value in one.numbers.items()},
            }
            for store in chosen
        ]
        sys.stdout.write(json.dumps({"ok": ok, "stores": stores, "errors": broken}, ensure_ascii=False) + "\n")
    for message in () if as_json else broken:
        console.print(f"[red]✗[/] {plain(message)}")
    raise typer.Exit(0 if ok else 1)


@app.command("list")
def list_stores(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, times UTC.")] = False,
) -> None:
    """Each store with its copies, their size, and the oldest and newest footage in it."""
    home = from_environment()
    with closing(connect(url(home, "viewer"))) as conn:
        held = {one.name: one for one in store_overviews(conn)}
    configured = {one.name: one for one in load_config(home.sites_file).stores}
    for name, store in configured.items():
        new = StoreOverview(name, store.url, store.conn_id, store.options, None, 0, 0, None, None)
        at = replace(held.get(name, new), url=store.url, conn_id=store.conn_id, options=store.options)
        held[name] = at
    rows = sorted(held.values(), key=lambda one: one.name.lower())
    if as_json:
        for row in rows:
            sys.stdout.write(json.dumps(_as_object(row, row.name in configured), ensure_ascii=False) + "\n")
        return
    table = Table(box=None, header_style="bold")
    for title in ("store", "url", "copies", "size", "oldest footage", "newest footage", ""):
        table.add_column(title, justify="right" if title in ("copies", "size") else "left")
    for row in rows:
        note = "" if row.name in configured else "no longer in sites.yaml"
        size, times = size_text(row.size_bytes), (_clock(row.oldest), _clock(row.newest))
        table.add_row(plain(row.name), plain(row.url), str(row.copies), size, *times, note)
    new_console().print(table)


@app.command()
def lifecycle(
    name: Annotated[str, typer.Argument(help="Only this store of sites.yaml.", metavar="NAME")] = "",
    write: Annotated[bool, typer.Option("--write", help="Put the rules into the bucket.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, one for each bucket.")] = False,
) -> None:
    """Rules by which a bucket clears up by itself, as a backstop: printed, or written. Exit status 1 if one is refused.

    Objects expire well after the longest retention, unfinished uploads are aborted after 7 days. Expiry is refused
    where the bucket could delete what is under a hold.
    """
    from vms.cli.stores_lifecycle import lifecycles

    home = from_environment()
    config = load_config(home.sites_file)
    chosen = _chosen(config.stores, name)
    well = lifecycles(home, config, chosen, new_console(soft_wrap=True), write=write, as_json=as_json)
    raise typer.Exit(0 if well else 1)


def _chosen(stores: tuple[StoreConfig, ...], name: str) -> list[StoreConfig]:
    chosen = [one for one in stores if name in ("", one.name)]
    if name and not chosen:
        known = [one.name for one in stores]
        raise ConfigError(
            f"There is no store {name!r} that can be used in sites.yaml.{did_you_mean(name, known)}",
            f"The stores are: {', '.join(known)}. `vms sites check` shows mistakes in others.",
        )
    return chosen


def _identities(home: Home) -> Mapping[str, str]:
    """What the catalogue expects of each store; nothing where no catalogue was ever started.

    Raises CatalogueError when there is one that can't be asked: an empty mount point must not pass for a new store.
    """
    try:
        postgres.read_address(home)
    except VmsError:
        if not home.postgres_url:
            return {}
    with closing(connect(url(home, "viewer"))) as conn:
        return store_identities(conn)


@contextmanager
def _waiting(console: Console, *, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Shows in a terminal what is being tried; gone when it is done."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=20), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda what: bar.update(task, description=what)


def _findings(home: Home, store: StoreConfig, identity: str | None, tell: Callable[[str], None]) -> list[Finding]:
    try:
        opened = open_store(store.name, store.url, conn_id=store.conn_id, options=store.options)
        if identity is not None:
            opened.identify(identity)
    except VmsError as error:
        return [Finding(False, error.message, error.remedy)]
    found = opened.check(tell)
    if store.browsers != "through" and found[0].ok and isinstance(opened, GivesLinks):
        tell("reading as a browser does")
        address = "" if store.browsers == "redirect" else store.browsers
        pages = home.place.origins(home.viewer_port)
        found += links.findings(opened, store.url, address, pages, asked=bool(store.browsers))
    return found


def narrow(store: StoreConfig, site: str, tell: Callable[[str], None] | None = None) -> list[Finding]:
    """What the key of a branch can do with this bucket, and should not be able to. Never raises."""
    try:
        opened = open_store(store.name, store.url, conn_id=store.conn_id, options=store.options)
    except VmsError as error:
        return [Finding(False, error.message, error.remedy)]
    return narrow_findings(opened, store.name, site, tell) if isinstance(opened, TriesNarrowKey) else []


def _as_object(row: StoreOverview, configured: bool) -> dict[str, Any]:
    times = {"oldest": row.oldest and utc_text(row.oldest), "newest": row.newest and utc_text(row.newest)}
    return asdict(row) | times | {"configured": configured}


def _clock(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M} UTC"
