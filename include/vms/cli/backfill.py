"""`vms backfill`: go through a past period again, and list, resume or cancel what was asked for.

The runs go on in Airflow whatever becomes of this command; what is asked for stands in the catalogue, so that it can be
resumed after everything was killed.
"""

from __future__ import annotations

import getpass
import socket
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from typer.core import TyperGroup

from vms.airflow_api import AirflowApi, DagRun
from vms.backfill import DAG_ID, MODES, Order, run_id
from vms.catalogue import backfills
from vms.catalogue.backfills import BackfillSite
from vms.catalogue.connection import Connection, connect, naming_loss, url
from vms.cli import backfill_report as report
from vms.cli.backfill_asked import Asked, plans_of
from vms.cli.wording import new_console
from vms.config import load_config
from vms.errors import StackError
from vms.home import Home, from_environment
from vms.model import dump

POLL_S = 2.0


class _StartFirst(TyperGroup):
    """`vms backfill ho ...` means `vms backfill start ho ...`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["start", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_StartFirst,
    no_args_is_help=True,
    help="Go through a past period again: `vms backfill SITE --from ... --to ... --mode missing`.",
)

WaitOption = Annotated[bool, typer.Option("--wait", help="Show how it goes, and end with a table by camera.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object; all times UTC.")]
NumberArgument = Annotated[int, typer.Argument(help="Number of the backfill.", metavar="ID")]


@app.command("start")
def start(
    site: Annotated[str | None, typer.Argument(metavar="[SITE]", help="Id of the site.", show_default=False)] = None,
    every_site: Annotated[bool, typer.Option("--all", help="Every enabled site of sites.yaml.")] = False,
    from_time: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TIME",
            help="Footage that starts from here on: 2026-11-24 or ...T08:00, on the site's clock.",
        ),
    ] = None,
    to_time: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="... and before this; a day alone is included.")
    ] = None,
    camera: Annotated[list[str] | None, typer.Option(help="Only this camera (its id); may be repeated.")] = None,
    mode: Annotated[
        str, typer.Option(help="; ".join(f"{name}: {what}" for name, what in MODES.items()) + ".")
    ] = "missing",
    profile: Annotated[
        str, typer.Option(metavar="NAME", help="Make renditions with this profile instead of the site's.")
    ] = "",
    cap: Annotated[
        str, typer.Option(metavar="RATE", help="Most of the line that its uploads may take, such as 5Mbit.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    files: Annotated[bool, typer.Option("--files", help="Name each file, and why it is done or not.")] = False,
    wait: WaitOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show what there is to do in a period, and have Airflow do it, the newest footage first.

    Also as `vms backfill SITE ...`. What is done already is left alone. Ctrl-C ends only the waiting.
    """
    home, console = from_environment(), new_console(stderr=as_json)
    config = load_config(home.sites_file)
    asked = Asked.of(site, every_site, from_time, to_time, mode, profile, cap, config)
    with closing(connect(url(home, "viewer"))) as conn, naming_loss():
        plans = plans_of(conn, home, config, asked, camera or [], files, console)
    if not as_json:
        report.show_plan(plans, {one.id: one.time_zone for one in asked.sites}, console, files=files)
    work = [plan for plan in plans if plan.work_files or plan.disk]
    if dry_run or not work:
        if as_json:
            report.write({"backfill": None, "plan": [report.plan_object(one, files=files) for one in plans]})
        elif dry_run and work:
            console.print("Nothing was started: this was a dry run.")
        return
    with AirflowApi(home) as api:
        _must_be_ready(api)
        with closing(connect(url(home, "owner"))) as conn, naming_loss():
            by_id = {one.id: one for one in asked.sites}
            chosen = [(by_id[plan.order.site], plan.order) for plan in work]
            number, orders = backfills.begin_backfill(conn, _who(), chosen, datetime.now(UTC))
            for order in orders:
                _start(api, order, run_id(order, 1), again=False)
            if not as_json:
                console.print(
                    f"Backfill {number} is started in Airflow, at {len(orders)} of {len(plans)} sites."
                    " `vms backfill list` shows how far it is."
                )
            _finish(api, conn, home, number, console, wait=wait, as_json=as_json)


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The last so many.")] = 20, as_json: JsonOption = False
) -> None:
    """The last backfills with their states; stopped: Airflow is not at work on it, `resume` goes on."""
    home = from_environment()
    with closing(connect(url(home, "viewer"))) as conn:
        found = backfills.list_backfills(conn, limit)
    console = new_console(stderr=as_json)
    stopped: set[str] = set()
    if any(one.state == "running" for one in found):
        try:
            with AirflowApi(home) as api:
                stopped = _stopped(api, [site for one in found for site in one.sites])
        except StackError as error:
            console.print(f"[yellow]Airflow can't be asked whether they go on:[/] {error}")
    if as_json:
        report.write([report.end_object(one, {}, stopped) for one in found])
    elif found:
        report.show_list(found, stopped, console)
    else:
        console.print(
            "There was no backfill yet: `vms backfill SITE --from ... --to ... --dry-run` shows what one would do."
        )


@app.command("resume")
def resume(number: NumberArgument, wait: WaitOption = False, as_json: JsonOption = False) -> None:
    """Go on with one that was cancelled, failed, or was stopped by a crash; with --wait also watch one that runs."""
    home, console = from_environment(), new_console(stderr=as_json)
    with AirflowApi(home) as api, closing(connect(url(home, "owner"))) as conn, naming_loss():
        found = backfills.get_backfill(conn, number)
        _must_be_ready(api)
        stopped = _stopped(api, found.sites)
        for one in found.sites:
            if one.state == "done":
                console.print(f"{one.order.site}: done already; nothing to resume.")
            elif one.state == "running" and one.dag_run not in stopped:
                console.print(f"{one.order.site}: is running ({one.dag_run}).")
            elif api.find_run(DAG_ID, one.dag_run) is None and one.state == "running":
                _start(api, one.order, one.dag_run, again=False)  # it was asked for, and never begun
                console.print(f"{one.order.site}: started ({one.dag_run}).")
            else:
                name = backfills.next_round(conn, one.order, after=one.dag_run, now=datetime.now(UTC))
                if name is not None:
                    _start(api, one.order, name, again=True)
                    console.print(f"{one.order.site}: goes on ({name}).")
        _finish(api, conn, home, number, console, wait=wait, as_json=as_json)


@app.command("cancel")
def cancel(number: NumberArgument, as_json: JsonOption = False) -> None:
    """End a backfill. What is archived stays so, the rest is left as it is; `resume` goes on with it."""
    home, console = from_environment(), new_console(stderr=as_json)
    with closing(connect(url(home, "owner"))) as conn:
        found = backfills.get_backfill(conn, number)
        going = [one for one in found.sites if one.state == "running"]
        for one in going:
            backfills.set_state(conn, number, one.order.site, "cancelled", f"by {_who()}", datetime.now(UTC))
        if not going:
            console.print(f"Backfill {number} is {found.state}: there is nothing to cancel.")
        else:
            try:
                with AirflowApi(home) as api:
                    for one in going:
                        api.stop(DAG_ID, one.dag_run)
            except StackError as error:
                console.print(f"[yellow]{error}[/] It is cancelled all the same: nothing more of it is planned.")
            console.print(f"Backfill {number} is cancelled. `vms backfill resume {number}` goes on with it.")
        if as_json:
            report.write(report.end_object(backfills.get_backfill(conn, number), {}, set()))


def _must_be_ready(api: AirflowApi) -> None:
    dag = api.dag(DAG_ID)
    if dag is None:
        raise StackError(
            "Airflow does not know the DAG backfill (yet).",
            "Try again in half a minute. If it stays away, Airflow's first page shows import errors.",
        )
    if dag.paused:
        raise StackError(
            "The DAG backfill is paused in Airflow, so its runs would only queue up.", "Switch it on, and try again."
        )


def _start(api: AirflowApi, order: Order, name: str, *, again: bool) -> DagRun:
    note = f"vms backfill {order.backfill_id}, {order.mode}, {_who()}"
    return api.start(DAG_ID, name, {"order": dump(order), "again": again}, note)


def _stopped(api: AirflowApi, sites: Sequence[BackfillSite]) -> set[str]:
    """The runs of backfills that have not ended which Airflow is not at work on."""
    names = set()
    for one in sites:
        if one.state == "running":
            run = api.find_run(DAG_ID, one.dag_run)
            if run is None or not run.active:
                names.add(one.dag_run)
    return names


def _finish(
    api: AirflowApi, conn: Connection, home: Home, number: int, console: Console, *, wait: bool, as_json: bool
) -> None:
    """Wait for it if that is wanted, and tell what became of it; exit status 1 when not all of it is done."""
    stopped = _wait(api, conn, number, console, quiet=as_json) if wait else set()
    one = backfills.get_backfill(conn, number)
    ends = {}
    if wait:
        config = load_config(home.sites_file)
        for site in one.sites:
            wanted = backfills.site_stores(conn, config.site(site.order.site).stores)
            ends[site.order.site] = report.ends_of(conn, site.order, wanted, datetime.now(UTC))
    if as_json:
        report.write(report.end_object(one, ends, stopped))
    elif wait:
        report.show_end(one, ends, stopped, console)
        if one.state != "done":
            console.print(f"Not all of it is done. Once what is said above is mended: `vms backfill resume {number}`.")
    if wait and one.state != "done":
        raise typer.Exit(1)


def _wait(api: AirflowApi, conn: Connection, number: int, console: Console, *, quiet: bool) -> set[str]:
    """Until no site of it is being worked on; the runs that have stopped without an end."""
    shown = console.is_terminal and not quiet
    try:
        with Live(console=console, transient=True, auto_refresh=False) as drawn:
            while True:
                one = backfills.get_backfill(conn, number)
                stopped = _stopped(api, one.sites)
                going = [site for site in one.sites if site.state == "running" and site.dag_run not in stopped]
                if not going:
                    again = backfills.get_backfill(conn, number)  # a run may have ended between the two questions
                    return {site.dag_run for site in again.sites if site.state == "running"} & stopped
                if shown:
                    doing = {site.order.site: _doing(api, site.dag_run) for site in going}
                    drawn.update(report.progress_table(one, doing), refresh=True)
                time.sleep(POLL_S)
    except KeyboardInterrupt:
        console.print(
            f"No longer waiting; backfill {number} goes on in Airflow. `vms backfill resume {number} --wait` watches it"
            f" again, `vms backfill cancel {number}` ends it."
        )
        raise typer.Exit(130) from None


def _doing(api: AirflowApi, dag_run: str) -> str:
    at_work = [one for one in api.tasks(DAG_ID, dag_run) if one.state in ("running", "up_for_retry")]
    names = [f"{one.task_id.removeprefix('batch.')} {one.title}".strip() for one in at_work]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _who() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"
