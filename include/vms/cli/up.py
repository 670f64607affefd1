"""`vms up`: start everything, show how far it is, and keep it running."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from vms import queues
from vms.cli.wording import new_console, plain
from vms.config import load_config
from vms.errors import ConfigError, StackError
from vms.home import Home, from_environment
from vms.stack import demo_s3, launch
from vms.stack.addresses import airflow_url, viewer_url
from vms.stack.airflow_env import ADMIN_USER, password_file
from vms.stack.state import ServiceState, StackState
from vms.users import FIRST, first_password_file


def register(app: typer.Typer) -> None:
    """Mount `up`."""
    app.command("up")(up)


def up(
    demo: Annotated[
        bool, typer.Option("--demo", help="With three made-up sites and footage that keeps coming.")
    ] = False,
    with_s3: Annotated[
        bool | None,
        typer.Option(
            "--with-s3/--without-s3",
            help="The demo with an S3 server as second store, or no longer; else as at its last start.",
            show_default=False,
        ),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return when all is usable; it runs on.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object with the addresses when all is usable; steps go to stderr.")
    ] = False,
) -> None:
    """Start the system and keep it running until Ctrl-C."""
    # Said in the environment, so that whatever is started here works on the same sites.
    os.environ["VMS_DEMO"] = "1" if demo or os.environ.get("VMS_DEMO", "0") not in ("", "0") else "0"
    if with_s3 is not None:
        if os.environ["VMS_DEMO"] == "0":
            raise typer.BadParameter(
                "it belongs to the demonstration: ./vms up --demo --with-s3. A bucket of your own is a store in"
                " sites.yaml (url: s3://bucket/prefix).",
                param_hint="--with-s3" if with_s3 else "--without-s3",
            )
        os.environ["VMS_DEMO_S3"] = "1" if with_s3 else "0"
    home = from_environment()
    console = new_console(stderr=as_json)
    began = time.monotonic()
    told = _Told(console)
    if detach:
        state = launch.start_detached(home, changed=told.follow)
        _welcome(console, home, state, time.monotonic() - began, as_json=as_json)
        console.print("Stop it with [bold]./vms down[/]; see [bold]./vms status[/].")
        return

    def changed(state: StackState) -> None:
        told.follow(state)
        if state.phase == "usable" and not told.welcomed:
            told.welcomed = True
            _welcome(console, home, state, time.monotonic() - began, as_json=as_json)
            console.print("It runs until Ctrl-C. What changes is shown here:")

    status = launch.run(home, changed=changed)
    if status:
        raise StackError(told.error or "The start failed.", told.remedy)
    console.print("Everything is stopped.")


def as_object(home: Home, state: StackState, seconds: float) -> dict[str, Any]:
    """Where everything is, as scripts get it. seconds: how long the start took."""
    return {
        "state": state.phase,
        "demo": state.demo,
        "seconds": round(seconds, 1),
        "home": str(home.root),
        "sites_file": str(home.sites_file),
        "viewer_url": viewer_url(home),
        "airflow_url": airflow_url(home),
        "s3_url": (demo_s3.url(home) or None) if home.with_s3 else None,
        "user": ADMIN_USER,
        "password_file": str(password_file(home)),
        "viewer_password_file": str(first_password_file(home)) if first_password_file(home).exists() else None,
    }


class _Told:
    """What was already said, so that each step and each change of a service is said once."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun: set[str] = set()
        self._done: set[str] = set()
        self._services: dict[str, ServiceState] = {}
        self.welcomed = False
        self.error = ""
        self.remedy = ""

    def follow(self, state: StackState) -> None:
        if state.error:
            self.error, self.remedy = state.error, state.remedy
        for step in state.steps:
            if step.seconds is None and step.title not in self._begun and self._console.is_terminal:
                self._console.print(f"  [dim]{step.title} ...[/]")
            self._begun.add(step.title)
            if step.seconds is not None and step.title not in self._done:
                self._done.add(step.title)
                self._console.print(f"  [green]✓[/] {step.title} [dim]{step.seconds:.1f} s[/]")
        for service in state.services:
            before = self._services.get(service.name)
            self._services[service.name] = service
            if before and before.state != service.state and state.phase in ("starting", "usable"):
                self._say(before, service)
        if state.phase == "stopping" and "stopping" not in self._done:
            self._done.add("stopping")
            self._console.print("Stopping ...")

    def _say(self, before: ServiceState, service: ServiceState) -> None:
        at = time.strftime("%H:%M:%S")
        if service.state in ("restarting", "unwell"):
            self._console.print(f"  {at} [yellow]{service.name}: {service.state}[/]", service.detail, markup=True)
        elif service.state == "ready" and (before.restarts or before.state == "unwell"):
            self._console.print(f"  {at} [green]{service.name}: ready again[/]")


def _welcome(console: Console, home: Home, state: StackState, seconds: float, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(as_object(home, state, seconds), ensure_ascii=False) + "\n")
        sys.stdout.flush()
        return
    table = Table.grid(padding=(0, 2))
    table.add_row("Viewer", f"[bold cyan]{viewer_url(home)}[/]")
    if first_password_file(home).exists():
        table.add_row("", f"user [bold]{FIRST}[/], password in {first_password_file(home)}")
    table.add_row("Airflow", f"[bold cyan]{airflow_url(home)}[/]")
    table.add_row("", f"user [bold]{ADMIN_USER}[/], password in {password_file(home)}")
    if home.with_s3:
        table.add_row("S3", f"[bold cyan]{demo_s3.url(home)}[/]")
        table.add_row("", f"bucket [bold]{demo_s3.BUCKET}[/], keys in {home.connections}")
    table.add_row("Sites", str(home.sites_file))
    console.print(f"\n[bold green]Ready[/] after {seconds:.0f} s{' (demo)' if state.demo else ''}.")
    console.print(table, soft_wrap=True)
    for why in _not_reachable(home):
        console.print(f"[yellow]{plain(why)}[/]", soft_wrap=True)
    console.print()


def _not_reachable(home: Home) -> list[str]:
    """What to say of sites that run on a machine of their own, which this installation can't give work to."""
    try:
        sites = load_config(home.sites_file).sites
    except ConfigError:
        return []  # its DAGs are red and say it
    told = (queues.not_reachable(one, in_containers=False, at_branch=False) for one in sites)
    return [why for why in told if why]
