"""`vms retention`: what would be purged, what was, who let it, and how to bring it back."""

from __future__ import annotations

import getpass
import json
import socket
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from vms.airflow_api import AirflowApi
from vms.catalogue import purge_facts, purge_plans
from vms.catalogue.connection import Connection, connect, url
from vms.catalogue.purge_plans import PurgePlan
from vms.cli.retention_proof import show
from vms.cli.wording import new_console, plain, size_text
from vms.config import load_config
from vms.errors import CatalogueError, VmsError
from vms.hold_stores import hold_in_stores
from vms.home import Home, from_environment
from vms.model import RunRef
from vms.proofs import gather
from vms.purge import apply_in_store, finish, make_plan, prove
from vms.purge_undo import undo as undo_purge
from vms.purge_words import headline, lines, outcome

app = typer.Typer(help="Delete what has outlived its retention, after saying what that is.", no_args_is_help=True)

DAG = "retention"
APPROVAL_TASK = "approval"

_Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, times UTC.")]
_Plan = Annotated[int, typer.Argument(metavar="PLAN", min=1, help="Number of the plan.", show_default=False)]


@app.command()
def plan(
    late: Annotated[
        bool, typer.Option("--late", help="Also footage that was too old already when it arrived.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Write down what would be deleted now, and what is unusual about it. Deletes nothing."""
    home = from_environment()
    with _opened(home) as conn, _working(as_json, "Looking at the stores and the catalogue") as report:
        made = make_plan(conn, load_config(home.sites_file), who(), datetime.now(UTC), late=late, report=report)
    _show(made, as_json=as_json)
    if not as_json and made.copies:
        word = "approve" if made.alarms else "apply"
        new_console().print(f"[dim]Nothing was deleted. To go on: vms retention {word} {made.plan_id}[/]")


@app.command()
def apply(
    plan_id: Annotated[
        int | None, typer.Argument(metavar="[PLAN]", min=1, help="Number of the plan; default: the newest that may.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Delete what a plan says; what is held by now, or must be kept by now, stays. Can be interrupted and repeated."""
    home = from_environment()
    config, run = load_config(home.sites_file), RunRef("", "", "", -1, 0, socket.gethostname())
    problems = []
    with _opened(home) as conn:
        number = plan_id or _applicable(conn)
        purge_plans.start_applying(conn, number, datetime.now(UTC))
        with _working(as_json, f"Plan {number}") as report:
            hold_in_stores(conn, datetime.now(UTC), report)
            for store in purge_facts.stores_of_plan(conn, number):
                try:
                    apply_in_store(conn, config, number, store, run, datetime.now(UTC), report=report)
                except VmsError as error:
                    problems.append(str(error))
            problems += prove(conn, number, report=report)
            done = finish(conn, config, number, datetime.now(UTC), report=report)
    _show(done, as_json=as_json)
    for problem in () if as_json else problems:
        new_console().print(f"[red]{plain(problem)}[/]")
    raise typer.Exit(1 if problems or done.state != "done" else 0)


@app.command()
def history(
    plan_id: Annotated[int | None, typer.Option("--plan", min=1, help="Only this plan, with all it says.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 20,
    as_json: _Json = False,
) -> None:
    """The plans, who let them, and what became of them."""
    with _opened(from_environment()) as conn:
        if plan_id is not None:
            _show(purge_plans.get_plan(conn, plan_id), as_json=as_json)
            return
        plans = purge_plans.list_plans(conn, limit)
    if as_json:
        for one in plans:
            _show(one, as_json=True)
        return
    if not plans:
        new_console().print("Nothing was planned yet. `vms retention plan` shows what would be deleted.")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("plan", "made (UTC)", "state", "copies", "size", "oldest", "newest", "let by", "outcome"):
        table.add_column(title, justify="right" if title in ("plan", "copies", "size") else "left", overflow="fold")
    for one in plans:
        span = [f"{at:%Y-%m-%d}" if at else "" for at in (one.oldest, one.newest)]
        state = f"[{_COLORS.get(one.state, 'dim')}]{one.state}[/]"
        let = plain(f"{one.answered_by} ({one.answered_how})" if one.answered_by else "")
        told = outcome(one.outcome) if one.outcome else ""
        row = (str(one.plan_id), f"{one.made_at:%Y-%m-%d %H:%M}", state, f"{one.copies:,}", size_text(one.bytes))
        table.add_row(*row, *span, let, told)
    new_console().print(table)


@app.command()
def approve(plan_id: _Plan, as_json: _Json = False) -> None:
    """Let a plan that waits be applied: exactly this one, and only until its time to be answered is over."""
    home = from_environment()
    with _opened(home) as conn:
        answered = purge_plans.answer_plan(conn, plan_id, "approved", who(), "command line", datetime.now(UTC))
    _show(answered, as_json=as_json)
    goes_on = _answer_airflow(home, "Approve")
    if not as_json:
        told = "The run that waited in Airflow goes on." if goes_on else f"To apply it: vms retention apply {plan_id}"
        new_console().print(f"[dim]{told}[/]")


@app.command()
def reject(plan_id: _Plan, as_json: _Json = False) -> None:
    """Say no to a plan that waits. The next run makes a new one."""
    home = from_environment()
    with _opened(home) as conn:
        answered = purge_plans.answer_plan(conn, plan_id, "rejected", who(), "command line", datetime.now(UTC))
    _show(answered, as_json=as_json)
    _answer_airflow(home, "Reject")


@app.command()
def undo(
    plan_id: Annotated[
        int | None, typer.Argument(metavar="[PLAN]", min=1, help="Bring back all that this plan deleted.")
    ] = None,
    recording: Annotated[int | None, typer.Option("--recording", min=1, help="Bring back one recording.")] = None,
    as_json: _Json = False,
) -> None:
    """Bring back what was deleted, where its store still can, and put it under a hold."""
    if (plan_id is None) == (recording is None):
        raise typer.BadParameter("name a PLAN, or a --recording.")
    with _opened(from_environment()) as conn, _working(as_json, "Bringing back") as report:
        done = undo_purge(
            conn, plan_id=plan_id, recording_id=recording, who=who(), now=datetime.now(UTC), report=report
        )
    if as_json:
        sys.stdout.write(json.dumps(asdict(done), ensure_ascii=False) + "\n")
    else:
        console = new_console()
        kept = f"; hold {done.hold_id} keeps them until you release it" if done.hold_id else ""
        console.print(f"{done.back} copies are back{kept}. {done.lost} can't be brought back.")
        for problem in done.problems:
            console.print(f"[red]{plain(problem)}[/]")
    raise typer.Exit(0 if done.back and not done.lost else 1)


@app.command()
def proof(as_json: _Json = False) -> None:
    """Promised against achieved days of each camera, since when that holds, and when each store will be full."""
    home = from_environment()
    with closing(connect(url(home, "viewer"))) as conn, _working(as_json, "Reading the catalogue"):
        proofs, forecasts = gather(conn, load_config(home.sites_file))
    show(proofs, forecasts, as_json=as_json)
    raise typer.Exit(1 if any(one.state == "broken" for one in proofs) else 0)


def who() -> str:
    """The person at this command line."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


_COLORS = {"done": "green", "ready": "cyan", "applying": "yellow", "waiting": "yellow"}


@contextmanager
def _opened(home: Home) -> Iterator[Connection]:
    with closing(connect(url(home, "owner"))) as conn:
        yield conn


@contextmanager
def _working(as_json: bool, what: str) -> Iterator[Any]:
    """A line that moves while it lasts, and says where it is."""
    console = new_console(stderr=True)
    if as_json or not console.is_terminal:
        yield lambda _text: None
        return
    with console.status(what) as status:
        yield lambda text: status.update(f"{what}: {plain(text)}")


def _applicable(conn: Connection) -> int:
    for state in ("applying", "ready"):
        for one in purge_plans.list_plans(conn, 1, state):
            return one.plan_id
    raise CatalogueError("No plan is ready to be applied.", "Make one with `vms retention plan`.")


def _answer_airflow(home: Home, option: str) -> bool:
    """Whether a run that waits in Airflow took the answer; without a running Airflow there is none to tell."""
    try:
        with AirflowApi(home) as airflow:
            took = [airflow.answer(DAG, run.run_id, APPROVAL_TASK, option) for run in airflow.active_runs(DAG)]
            return any(took)
    except VmsError:
        return False


def _show(one: PurgePlan, *, as_json: bool) -> None:
    if as_json:
        data = asdict(one) | {"away": sorted(one.away)}
        sys.stdout.write(json.dumps(data, ensure_ascii=False, default=_text) + "\n")
        return
    console = new_console()
    console.print(f"[bold]{plain(headline(one))}[/]  [{_COLORS.get(one.state, 'dim')}]{one.state}[/]")
    for line in lines(one):
        console.print(f"  [yellow]{plain(line)}[/]" if line.startswith("UNUSUAL") else f"  {plain(line)}")


def _text(value: Any) -> str:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)
