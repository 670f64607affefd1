"""`vms alerts`: what is wrong now, what could not be told, and whether messages arrive."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.table import Table

from vms.alerts import wording
from vms.alerts.round import policy_of, run_round
from vms.alerts.sending import send
from vms.catalogue.alerts import list_alerts, unsent, waiting_messages
from vms.catalogue.connection import connect, url
from vms.cli.wording import clock_text, new_console, plain, utc_text
from vms.config import load_config
from vms.errors import ConfigError, VmsError
from vms.home import from_environment

app = typer.Typer(help="Who is told when something is wrong.", no_args_is_help=True)

_Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, times UTC.")]


@app.command("test")
def send_test(
    target: Annotated[list[str] | None, typer.Argument(help="Only these targets. Default: all.")] = None,
    as_json: _Json = False,
) -> None:
    """Send a test message now, also in quiet hours. Exit status 1 when one does not arrive."""
    policy = policy_of(load_config(from_environment().sites_file))
    known = {one.name: one for one in policy.targets}
    if not known:
        raise ConfigError("There is no alert target in sites.yaml.", "Add one below alerts: targets:.")
    unknown = [name for name in target or [] if name not in known]
    if unknown:
        raise ConfigError(f"There is no alert target {unknown[0]}.", f"The targets are: {', '.join(known)}.")
    console, failed = new_console(), False
    for name in target or list(known):
        error: VmsError | None = None
        try:
            send(known[name], wording.phrase(policy.language, "test"), wording.phrase(policy.language, "test_body"))
        except VmsError as raised:
            error, failed = raised, True
        if as_json:
            _write({"target": name, "sent": error is None, "error": str(error) if error else None})
        else:
            console.print(f"[red]{plain(str(error))}[/]" if error else f"[green]sent[/] to {plain(name)}")
    raise typer.Exit(1 if failed else 0)


@app.command("list")
def list_all(
    days: Annotated[int, typer.Option(help="Also alerts that ended within so many days.", min=0)] = 0,
    as_json: _Json = False,
) -> None:
    """Open alerts, and messages that are not sent yet."""
    home = from_environment()
    now = datetime.now(UTC)
    with closing(connect(url(home, "viewer"))) as conn:
        rows = list_alerts(conn, now - timedelta(days=days) if days else None)
        waiting = waiting_messages(conn)
    if as_json:
        for row in rows:
            times = {key: utc_text(at) for key, at in asdict(row).items() if isinstance(at, datetime)}
            _write(asdict(row) | times)
        return
    console = new_console()
    zone = load_config(home.sites_file).alerts.time_zone
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("alert", "since", "until"):
        table.add_column(title, overflow="fold")
    for row in rows:
        until = clock_text(row.closed_at, zone) if row.closed_at else ""
        text = wording.short_text("en", row, ZoneInfo(zone))
        table.add_row(plain(text), clock_text(row.opened_at, zone), until)
    console.print(table if rows else "No alerts.")
    for line in unsent(waiting):
        console.print(f"[yellow]{plain(line)}[/]")


@app.command()
def check(as_json: _Json = False) -> None:
    """Look now, and send what is to be sent, as the DAG does every five minutes."""
    home = from_environment()
    console = new_console()
    config = load_config(home.sites_file)
    lines: list[str] = []
    with closing(connect(url(home, "owner"))) as conn, console.status("Looking"):
        done = run_round(conn, home, config, datetime.now(UTC), lines.append)
    if as_json:
        _write(asdict(done) | {"told": lines})
        raise typer.Exit(1 if done.errors else 0)
    for line in lines:
        console.print(plain(line))
    console.print(f"{done.open} open, {done.sent} messages sent, {done.held} held back by quiet hours.")
    raise typer.Exit(1 if done.errors else 0)


def _write(row: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(row, default=str, ensure_ascii=False) + "\n")
