"""`vms retry`: have quarantined files looked at again by the next run, after their cause was mended."""

from __future__ import annotations

import getpass
import json
import socket
from datetime import UTC, datetime
from typing import Annotated

import typer

from vms.catalogue.connection import Connection, connect, url
from vms.catalogue.custody import ask_retry
from vms.catalogue.reads import RecordingFilter
from vms.cli.selection import filters, known_sites, stream
from vms.cli.wording import new_console
from vms.config import Site, load_config
from vms.errors import CatalogueError, ConfigError
from vms.home import Home, from_environment
from vms.ledger import FILE, Ledger


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
        answers = {
            one.id: _ask(conn, home, one.id, camera, recording) for one in known if site is None or one.id == site
        }
    finally:
        conn.close()
    _tell(answers, camera, recording, as_json=as_json)


def _ask(conn: Connection, home: Home, site: str, camera: str | None, recording: int | None) -> tuple[int, int]:
    """How many are quarantined, and how many of them were asked for now and not before."""
    wanted = RecordingFilter(
        sites=(site,), cameras=((site, camera),) if camera is not None else (), states=("quarantined",)
    )
    names = [row.source_name for row in stream(conn, [wanted], None) if recording in (None, row.id)]
    if not names:
        return 0, 0
    _look_again(home, site, names)
    who = f"{getpass.getuser()}@{socket.gethostname()}"
    return len(names), ask_retry(conn, site, camera, recording, who, datetime.now(UTC))


def _look_again(home: Home, site: str, names: list[str]) -> None:
    """Where this machine looks into the site's folder itself, its ledger must not take the files for settled."""
    try:
        place: Site = load_config(home.sites_file).site(site)
    except ConfigError:
        return
    staging = place.staging or home.site_staging(site)
    if (staging / FILE).exists():
        Ledger(staging).forget(names)


def _tell(answers: dict[str, tuple[int, int]], camera: str | None, recording: int | None, *, as_json: bool) -> None:
    quarantined = sum(found for found, _ in answers.values())
    if recording is not None and not quarantined:
        raise CatalogueError(
            f"Recording {recording} is not quarantined there.", "`vms recordings --state quarantined` lists what is."
        )
    if as_json:
        for site, (found, asked) in answers.items():
            told = {"site": site, "camera": camera, "recording": recording, "quarantined": found, "asked": asked}
            typer.echo(json.dumps(told))
        return
    console = new_console()
    if not quarantined:
        console.print("Nothing is quarantined there; nothing to try again.")
        return
    for site, (found, asked) in answers.items():
        before = f" ({found - asked} were asked for before)" if found > asked else ""
        if found:
            console.print(f"{site}: {found} {'file' if found == 1 else 'files'} tried again by the next run{before}.")
    console.print(f"[dim]To start it now: vms run {next(iter(answers)) if len(answers) == 1 else '--all'}[/]")
