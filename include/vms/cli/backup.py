"""`vms backup`: dump the catalogue now, and see which backups there are."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from vms.backups import clear_old, list_store, local_backups, make_backup, put_into_store, was_replaced
from vms.catalogue.connection import connect, url
from vms.catalogue.reads_sites import store_identities
from vms.cli.wording import new_console, plain, size_text, utc_text
from vms.config import StoreConfig, load_config
from vms.dumps import Manifest, Moved
from vms.errors import ConfigError, VmsError
from vms.home import Home, from_environment
from vms.restoring import running_server
from vms.stores import Store, open_store

app = typer.Typer(help="Back up the catalogue itself: here, and into every store.", invoke_without_command=True)


@app.callback()
def backup(
    ctx: typer.Context,
    here_only: Annotated[bool, typer.Option("--here-only", help="Not into the stores.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Back up the catalogue now, prove that the backup can be read, and put it into every store.

    Exit status 1 if it could not be made, or a store did not take it.
    """
    if ctx.invoked_subcommand:
        return
    home, now = from_environment(), datetime.now(UTC)
    config = load_config(home.sites_file)
    wrong: list[str] = []
    taken: list[str] = []
    with running_server(home), progress(quiet=as_json) as moved:
        made = make_backup(home, url(home, "owner"), now, moved)
        with closing(connect(url(home, "owner"))) as conn:
            identities = dict(store_identities(conn))
        for store in () if here_only else config.stores:
            if store.name not in identities:
                continue  # nothing lies there yet
            moved(f"into store {store.name}", 1.0)
            try:
                put_into_store(home, made, store, identities[store.name])
                taken.append(store.name)
            except VmsError as error:
                wrong.append(str(error))
        wrong += clear_old(home, config, {} if here_only else identities, now)
    if as_json:
        told = {"file": str(home.backups / made.dump_name), "stores": taken, "problems": wrong}
        sys.stdout.write(json.dumps(_object(made) | told, ensure_ascii=False) + "\n")
    else:
        console = new_console(soft_wrap=True)
        where = f" and in {', '.join(taken)}" if taken else ""
        rows = sum(made.rows.values())
        console.print(f"[green]✓[/] {size_text(made.size_bytes)}, {rows} rows, every one read back")
        console.print(f"  {plain(str(home.backups / made.dump_name))}{plain(where)}")
        for text in wrong:
            console.print(f"[red]✗[/] {plain(text)}")
    raise typer.Exit(1 if wrong else 0)


@app.command("list")
def list_all(
    store: Annotated[str, typer.Option(help="Those in this store instead of those here.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array.")] = False,
) -> None:
    """The backups there are, the newest first."""
    home = from_environment()
    found = list_store(opened(home, store)) if store else local_backups(home)
    if as_json:
        sys.stdout.write(json.dumps([_object(one) for one in found], ensure_ascii=False) + "\n")
        return
    console = new_console()
    if not found:
        console.print("There is no backup." if store else "There is no backup here. `vms backup` makes one.")
        return
    table = Table("made (UTC)", "size", "rows", "schema", "name", "", box=None, header_style="bold", pad_edge=False)
    for one in found:
        made = f"{one.made_at:%Y-%m-%d %H:%M:%S}"
        note = "what a restore replaced" if not store and was_replaced(home, one) else ""
        table.add_row(made, size_text(one.size_bytes), str(sum(one.rows.values())), one.revision, one.dump_name, note)
    console.print(table)


def store_config(home: Home, name: str) -> StoreConfig:
    """The store of this name in sites.yaml. Raises ConfigError."""
    stores = {one.name: one for one in load_config(home.sites_file).stores}
    if name not in stores:
        raise ConfigError(f'There is no store "{name}" in sites.yaml.', f"The stores are: {', '.join(sorted(stores))}.")
    return stores[name]


def opened(home: Home, name: str) -> Store:
    """The store, as it is found, since there may be no catalogue that knows its identity. Raises VmsError."""
    config = store_config(home, name)
    store = open_store(config.name, config.url, conn_id=config.conn_id, options=config.options)
    store.identify(None)
    return store


@contextmanager
def progress(*, quiet: bool) -> Iterator[Moved]:
    """A bar for what takes long."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("", total=1.0)

        def moved(what: str, share: float) -> None:
            bar.update(task, description=plain(what), completed=share)

        yield moved


def _object(made: Manifest) -> dict[str, object]:
    return {
        "name": made.name,
        "made_at": utc_text(made.made_at),
        "size_bytes": made.size_bytes,
        "sha256": made.sha256,
        "revision": made.revision,
        "rows": sum(made.rows.values()),
    }
