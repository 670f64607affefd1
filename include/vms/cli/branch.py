"""`vms branch`: machines at branches that reach the centre by HTTPS alone. Here: who is let in, and who is shut out."""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from vms import __version__
from vms.branches import invitation, unit
from vms.catalogue import branches
from vms.catalogue.connection import Connection, connect, url
from vms.cli import branch_policy, branch_run
from vms.cli.retention import who
from vms.cli.wording import new_console, plain, utc_text
from vms.config import load_config
from vms.errors import BranchError, ConfigError, VmsError
from vms.home import Home, from_environment

app = typer.Typer(help="Branches that reach the centre by HTTPS alone.", no_args_is_help=True)

_Site = Annotated[str, typer.Argument(metavar="SITE", help="Id of the site in sites.yaml.", show_default=False)]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, times UTC.")]


@app.command()
def invite(site: _Site, as_json: _Json = False) -> None:
    """At the centre: let one machine join as the branch of this site. Prints what to type there; it works once."""
    from vms.branches.authority import authority  # only now: it takes its time

    home = from_environment()
    runs_on = load_config(home.sites_file).site(site).runs_on  # says which ones there are
    if runs_on != "edge":
        raise ConfigError(
            f"Site {site!r} has runs_on: {runs_on} in sites.yaml, so no branch would get anything to do for it.",
            "Write runs_on: edge there first.",
        )
    now = datetime.now(UTC)
    made = invitation.invite(site, authority(home, now).pin)
    with _opened(home) as conn:
        branches.invite(conn, site, made.hashed, now + invitation.VALID_FOR, who(), now)
    centre = home.parts.branch_address if home.parts else "https://NAME-OF-THE-CENTRE:8444"
    if as_json:
        until = utc_text(now + invitation.VALID_FOR)
        _write({"site": site, "url": centre, "token": made.text, "valid_until": until})
        return
    console = new_console(soft_wrap=True)
    console.print("At the branch, within a day:\n")
    console.print(f"./vms branch join {plain(centre)} {made.text}\n", markup=False)
    console.print("Whoever has this line becomes the branch: hand it over as you would a password.")
    if home.parts is None:
        console.print("Branches need the installation in containers: docs/operations.md, Branches.")


@app.command()
def join(
    url: Annotated[str, typer.Argument(metavar="URL", help="As the centre printed it.", show_default=False)],
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="As the centre printed it.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, times UTC.")] = False,
) -> None:
    """At the branch: become the branch that the token is for. Makes a key here and gets a certificate for it."""
    from vms.branches import membership  # only now: it takes its time

    home = from_environment()
    made = membership.join(home, url, token, datetime.now(UTC))
    until = membership.certificate_until(home)
    if as_json:
        told = {
            "site": made.site,
            "centre": made.url,
            "certificate_until": utc_text(until),
            "sites_file": str(membership.folder(home) / "sites.yaml"),
            "connections_file": str(home.connections),
            "version": __version__,
            "centre_version": made.version,
            "clock_off_s": made.clock_off_s,
        }
        _write(told)
        return
    console = new_console(soft_wrap=True)
    console.print(f"This machine is the branch {plain(made.site)} of {plain(made.url)}.")
    console.print(f"Its certificate counts until {until:%Y-%m-%d} and is renewed by itself.")
    console.print(f"Its part of sites.yaml: {plain(str(membership.folder(home) / 'sites.yaml'))}")
    console.print(f"The keys of its buckets go into {plain(str(home.connections))}.")
    if by := unit.proxies(os.environ):
        names = ",".join(by)
        console.print(
            f"Its service goes by the same proxy if told: sudo --preserve-env={names} ./vms branch install ..."
        )
    if made.version != __version__:
        console.print(f"[yellow]The centre has version {plain(made.version)}, this {__version__}: bring them together.")
    if made.clock_warning:
        console.print(f"[yellow]{plain(made.clock_warning)}")


@app.command("list")
def list_all(as_json: _Json = False) -> None:
    """At the centre: all branches, whether they joined, and when they last asked for something."""
    with _opened(from_environment()) as conn:
        rows = branches.list_branches(conn, datetime.now(UTC))
    if as_json:
        for row in rows:
            times = {key: utc_text(at) for key, at in asdict(row).items() if isinstance(at, datetime)}
            _write(asdict(row) | times)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("site", "state", "machine", "version", "last seen (UTC)", "from", "certificate until"):
        table.add_column(title)
    for row in rows:
        state = {
            "invited": f"invited until {row.token_until:%Y-%m-%d %H:%M}",
            "revoked": f"revoked {row.revoked_at or row.invited_at:%Y-%m-%d} by {row.revoked_by}",
            "expired": "nobody came in time" if row.joined_at is None else "certificate is over: invite again",
        }.get(row.state, row.state)
        seen = f"{row.seen_at:%Y-%m-%d %H:%M}" if row.seen_at else ""
        until = f"{row.until:%Y-%m-%d}" if row.until else ""
        table.add_row(row.site, plain(state), plain(row.machine), plain(row.version), seen, row.seen_from, until)
    new_console().print(table if rows else "There is no branch yet: `vms branch invite SITE`.")


@app.command()
def revoke(site: _Site, as_json: _Json = False) -> None:
    """At the centre: shut a branch out, at once. What it was doing is planned again for whoever joins next."""
    home = from_environment()
    with _opened(home) as conn:
        branches.revoke(conn, site, who(), datetime.now(UTC))
    console = new_console()
    if not as_json:
        console.print(f"The branch {plain(site)} is shut out: within seconds nothing it asks for is answered.")
    try:
        ended = _end_runs(home, f"footage_{site}")
    except VmsError as error:
        raise BranchError(
            f"It is shut out, but its runs could not be ended: {error.message}",
            "End them in Airflow, or they wait for it until their time is over. " + error.remedy,
        ) from error
    if as_json:
        _write({"site": site, "revoked": True, "runs_ended": ended})
        return
    if ended:
        console.print(f"{ended} run(s) ended; what they had not archived is planned again by the next one.")
    console.print("Its keys for buckets are the stores' to take back: remove them there, too.")


def _end_runs(home: Home, dag_id: str) -> int:
    from vms.airflow_api import AirflowApi  # only now: the other commands need none

    with AirflowApi(home) as airflow:
        if airflow.dag(dag_id) is None:
            return 0
        runs = airflow.active_runs(dag_id)
        for run in runs:
            airflow.stop(dag_id, run.run_id)
    return len(runs)


def _write(row: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")


def _opened(home: Home) -> closing[Connection]:
    return closing(connect(url(home, "owner")))


branch_run.register(app)
branch_policy.register(app)
