"""`vms retry`: have quarantined files looked at again by the next run, after their cause was mended."""

from __future__ import annotations

import getpass
import json
import socket
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from vms.catalogue.connection import connect, url
from vms.cli.selection import filters, known_sites
from vms.cli.wording import new_console
from vms.errors import CatalogueError
from vms.home import from_environment
from vms.retrying import Asked
from vms.retrying import retry as ask


def register(app: typer.Typer) -> None:
    """Mount `retry`."""
    app.command("retry")(retry)


def retry(
    site: Annotated[str | None, typer.Argument(metavar="SITE", help="Id of the site.", show_default=False)] = None,
    camera: Annotated[
        str | None, typer.Argument(metavar="CAMERA", help="Only this camera (its id).", show_default=False)
    ] = None,
    recording: Annotated[
        int | None, typer.Option("--id", min=1, help="Only this recording; `vms recordings` shows the ids.")
    ] = None,
    every_site: Annotated[bool, typer.Option("--all", help="The quarantined files of every site.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, one for each site.")] = False,
) -> None:
    """Have quarantined files tried again by the next run. They are still where the recorder left them."""
    if (site is None) != every_site or (every_site and (camera is not None or recording is not None)):
        raise typer.BadParameter("name a SITE (and a CAMERA or --id with it), or use --all.")
    home = from_environment()
    conn = connect(url(home, "owner"))
    try:
        known = known_sites(conn, home)
        filters(
            known, sites=[site] if site else [], cameras=[camera] if camera else [], begin=None, end=None, states=[]
        )
        who, now = f"{getpass.getuser()}@{socket.gethostname()}", datetime.now(UTC)
        answers = {
            one.id: ask(conn, home, one.id, camera, recording, who, now)
            for one in known
            if site is None or one.id == site
        }
    finally:
        conn.close()
    _tell(answers, camera, recording, as_json=as_json)


def _tell(answers: dict[str, Asked], camera: str | None, recording: int | None, *, as_json: bool) -> None:
    quarantined = sum(one.quarantined for one in answers.values())
    if recording is not None and not quarantined:
        raise CatalogueError(
            f"Recording {recording} is not quarantined there.", "`vms recordings --state quarantined` lists what is."
        )
    if as_json:
        for site, one in answers.items():
            told = {"site": site, "camera": camera, "recording": recording} | asdict(one)
            typer.echo(json.dumps(told))
        return
    console = new_console()
    if not quarantined:
        console.print("Nothing is quarantined there; nothing to try again.")
        return
    for site, one in answers.items():
        found, asked = one.quarantined, one.asked
        before = f" ({found - asked} were asked for before)" if found > asked else ""
        if found:
            console.print(f"{site}: {found} {'file' if found == 1 else 'files'} tried again by the next run{before}.")
    console.print(f"[dim]To start it now: vms run {next(iter(answers)) if len(answers) == 1 else '--all'}[/]")
