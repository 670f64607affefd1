"""`vms run`: archive a site's footage now, instead of at the next turn of its schedule."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import typer
from rich.console import Console

from vms.airflow_api import AirflowApi, DagRun
from vms.catalogue.connection import connect, url
from vms.cli.run_report import Outcome, as_object, live, outcome_of, show
from vms.cli.wording import new_console
from vms.config import Site, load_config
from vms.errors import ConfigError, StackError
from vms.home import Home, from_environment

DAG_PREFIX = "footage_"
PARSING_PATIENCE_S = 180.0
"""Mostly it is known in half a minute; a busy machine takes minutes to read all files of DAGs once."""

POLL_S = 2.0


@dataclass(frozen=True)
class Asked:
    """A run that somebody waits for. started: by this command, else it was waiting for its turn already."""

    site: Site
    run: DagRun
    started: bool


def register(app: typer.Typer) -> None:
    """Mount `run`."""
    app.command("run")(run)


def run(
    site: Annotated[str | None, typer.Argument(metavar="SITE", help="Id of the site.", show_default=False)] = None,
    every_site: Annotated[bool, typer.Option("--all", help="Every site of sites.yaml.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Show how it goes and end with what became of it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, one for each site.")] = False,
) -> None:
    """Archive now. With --wait the exit code is 1 when something planned was neither archived nor quarantined."""
    if (site is None) != every_site:
        raise typer.BadParameter("name a SITE, or use --all.")
    home = from_environment()
    console = new_console(stderr=as_json)
    with AirflowApi(home) as api:
        asked = [start(api, one, console) for one in _sites(home, site, console)]
        if wait:
            outcomes = _wait(api, home, asked, console, quiet=as_json)
        else:
            outcomes = [Outcome(one.site.id, one.site.name, one.started, one.run) for one in asked]
    if as_json:
        for outcome in outcomes:
            typer.echo(json.dumps(as_object(outcome, waited=wait), ensure_ascii=False))
    elif wait:
        show(outcomes, console)
    if wait and any(outcome.run.state != "success" for outcome in outcomes):
        raise typer.Exit(1)


def start(api: AirflowApi, site: Site, console: Console, *, patience_s: float = PARSING_PATIENCE_S) -> Asked:
    """Trigger a run of the site, or find one that waits for its turn and so has yet to look. Raises StackError.

    A run that is running may have looked already: a further one is queued behind it, so that footage which landed
    meanwhile is archived by it and not hours later.
    patience_s: how long a DAG that Airflow does not know is waited for; a new site is parsed within that time.
    """
    dag_id = DAG_PREFIX + site.id
    deadline = time.monotonic() + patience_s
    dag = api.dag(dag_id)
    if dag is None:
        console.print(f"{site.id}: Airflow has not read this site yet, waiting for it ...")
    while dag is None:
        if time.monotonic() > deadline:
            raise StackError(
                f"Airflow does not know the site {site.id} after {patience_s:.0f} s (DAG {dag_id}).",
                "`vms sites check` tells whether sites.yaml is right; import errors are shown on Airflow's first page.",
            )
        time.sleep(min(1.0, patience_s / 10))
        dag = api.dag(dag_id)
    if dag.paused:
        raise StackError(
            f"The site {site.id} is paused in Airflow (DAG {dag_id}), so a run would only queue up.",
            "Switch it on in Airflow if that is meant, and try again.",
        )
    under_way = api.active_runs(dag_id)
    queued = next((one for one in under_way if one.state == "queued"), None)
    if queued is not None:
        console.print(f"{site.id}: a run is queued already ({queued.run_id}).")
        return Asked(site, queued, started=False)
    started = api.trigger(dag_id, "vms run")
    behind = f", behind {under_way[-1].run_id}" if under_way else ""
    console.print(f"{site.id}: run {started.run_id} is {started.state}{behind}.")
    return Asked(site, started, started=True)


def _sites(home: Home, wanted: str | None, console: Console) -> tuple[Site, ...]:
    config = load_config(home.sites_file)
    if wanted is not None:
        return (config.site(wanted),)
    for error in config.errors:
        console.print(error.message, style="red", markup=False)
    if not config.sites:
        raise ConfigError(f"{home.sites_file} has no site that can run.", "`vms sites check` shows what to correct.")
    return tuple(one for one in config.sites if one.enabled)


def _wait(api: AirflowApi, home: Home, asked: Sequence[Asked], console: Console, *, quiet: bool) -> list[Outcome]:
    conn = connect(url(home, "viewer"))
    try:
        with live(console, quiet=quiet) as draw:
            waiting = list(asked)
            while True:
                waiting = [replace(one, run=api.run(one.run.dag_id, one.run.run_id)) for one in waiting]
                draw([outcome_of(api, conn, one.site, one.run, one.started) for one in waiting])
                if not any(one.run.active for one in waiting):
                    break
                time.sleep(POLL_S)
        return [outcome_of(api, conn, one.site, one.run, one.started, problems=True) for one in waiting]
    except KeyboardInterrupt:
        console.print("No longer waiting; what was started goes on in Airflow.")
        raise typer.Exit(130) from None
    finally:
        conn.close()
