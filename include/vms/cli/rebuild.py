"""`vms rebuild`: the catalogue from what a store holds."""

from __future__ import annotations

import getpass
import json
import socket
import sys
from contextlib import closing
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from vms.catalogue import migrate
from vms.catalogue.connection import connect, naming_loss, url
from vms.cli.backup import store_config
from vms.cli.wording import new_console, plain, size_text
from vms.config import load_config
from vms.home import from_environment
from vms.model import RunRef
from vms.restoring import make_database, running_server
from vms.steps.rebuild import Rebuilt, rebuild


def register(app: typer.Typer) -> None:
    """Mount `rebuild`."""
    app.command("rebuild")(rebuild_catalogue)


def rebuild_catalogue(
    store: Annotated[str, typer.Option(help="The store to read.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would come back.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Bring back the recordings of a store into the catalogue, by what its objects tell of themselves.

    For when there is no backup. Give it once for each store; it may be stopped, and goes on where it was. Deletes
    nothing.
    """
    home = from_environment()
    config, wanted = load_config(home.sites_file), store_config(home, store)
    run = RunRef("", "", "vms rebuild", host=f"{getpass.getuser()}@{socket.gethostname()}")
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with (
        Progress(*columns, console=console, transient=True, disable=as_json or not console.is_terminal) as bar,
        running_server(home),
    ):
        task = bar.add_task(f"{store}: looking")
        said: list[str] = []

        def report(line: str) -> None:
            if as_json:
                said.append(line)
            else:
                bar.console.print(f"[yellow]•[/] {plain(line)}", soft_wrap=True)

        def moved(done: Rebuilt) -> None:
            fresh = done.recordings + done.copies
            text = f"{store}: {done.objects} objects, {fresh} taken in, {size_text(done.bytes_read)} read"
            bar.update(task, description=plain(text))

        if not dry_run:
            make_database(home)
            migrate.upgrade(url(home, "owner"))
        with closing(connect(url(home, "owner"))) as conn, naming_loss():
            done = rebuild(conn, config, wanted, home, run, dry_run=dry_run, report=report, moved=moved)
    if as_json:
        sys.stdout.write(json.dumps(asdict(done) | {"dry_run": dry_run, "report": said}, ensure_ascii=False) + "\n")
        return
    would = "would come" if dry_run else "came"
    out = new_console(soft_wrap=True)
    out.print(f"[green]✓[/] [bold]{plain(store)}[/]: {done.objects} objects, {size_text(done.bytes_read)} read")
    out.print(f"  {done.recordings} recordings {would} back, {done.originals} of them by their key alone")
    out.print(f"  {done.copies} copies and previews {would} to recordings, {done.known} objects were known already")
    if done.waiting:
        out.print(f"  {done.waiting} objects belong to recordings that the next run of their site archives")
    if done.foreign:
        out.print(f"  [yellow]{done.foreign} objects are left alone; the reasons stand above[/]")
