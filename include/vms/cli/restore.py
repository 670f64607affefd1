"""`vms restore`: put a backup in the place of the catalogue."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from vms.backups import fetch, list_store, local_backups, was_replaced
from vms.catalogue import migrate
from vms.cli.backup import opened, progress
from vms.cli.wording import new_console, plain
from vms.dumps import Manifest
from vms.errors import CatalogueError
from vms.home import Home, from_environment
from vms.restoring import refuse_while_running, restore, running_server


def register(app: typer.Typer) -> None:
    """Mount `restore`."""
    app.command("restore")(restore_catalogue)


def restore_catalogue(
    file: Annotated[Path | None, typer.Argument(help="A dump; without: the newest one that fits.")] = None,
    store: Annotated[str, typer.Option(help="Take the newest one (or FILE, by its name) from this store.")] = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="Also when the catalogue is not empty; it is backed up first.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Put a backup in the place of the catalogue. The system has to be stopped (./vms down).

    What was archived since the backup comes back by itself once it is a day old, and at once by `vms rebuild --store
    NAME`, out of what the stores hold. Nothing in the stores is changed.
    """
    home = from_environment()
    refuse_while_running(home)
    with progress(quiet=as_json) as moved:
        if store:
            there = opened(home, store)
            found = [one for one in list_store(there) if file is None or one.dump_name == file.name]
            if not found:
                what = f"no backup {file.name}" if file else "no backup of a catalogue"
                raise CatalogueError(f"Store {store} holds {what}.", f"`vms backup list --store {store}` shows them.")
            path = fetch(there, found[0], home, moved)
        elif file is not None:
            path = file
        else:
            path = home.backups / newest(home).dump_name
        home.prepare()
        with running_server(home):
            done = restore(home, path, datetime.now(UTC), moved, replace=replace)
    if as_json:
        before = str(home.backups / done.before.dump_name) if done.before else None
        told = {"file": str(done.file), "rows": done.rows, "migrated_from": done.migrated or None, "before": before}
        sys.stdout.write(json.dumps(told, ensure_ascii=False) + "\n")
        return
    console = new_console(soft_wrap=True)
    console.print(f"[green]✓[/] {done.rows} rows restored from {plain(str(done.file))}")
    if done.migrated:
        console.print(f"  Its schema ({done.migrated}) was brought up to date.")
    if done.before:
        console.print(f"  What was there before: {plain(str(home.backups / done.before.dump_name))}")
    start = "docker compose up -d" if home.parts else "./vms up"
    console.print(
        f"Start the system with [bold]{start}[/]; `vms rebuild --store NAME` takes in what was archived since."
    )


def newest(home: Home) -> Manifest:
    """The newest backup here that this program can put back, without those that a restore put aside: given again, the
    command does the same again. Raises CatalogueError when there is none."""
    here = local_backups(home)
    for one in here:
        if one.revision in migrate.revisions() and not was_replaced(home, one):
            return one
    why = "that this version can put back, but for what a restore replaced" if here else f"in {home.backups}"
    remedy = "Name one of `vms backup list`, or" if here else "Name a file, or"
    raise CatalogueError(f"There is no backup {why}.", f"{remedy} take one from a store: --store NAME.")
