"""How `vms run` tells what becomes of its runs: live, as a closing table, and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from vms.airflow_api import AirflowApi, DagRun
from vms.catalogue.connection import Connection
from vms.catalogue.reads import RecordingFilter, count_recordings, find_recordings
from vms.cli.wording import plain, size_text
from vms.config import Site
from vms.model import State

_KEPT: tuple[State, ...] = ("archived", "released", "purged")
_PROBLEMS_SHOWN = 50
_COLORS = {"success": "green", "failed": "red", "running": "cyan", "queued": "yellow"}


@dataclass(frozen=True)
class Problem:
    """A file that was not archived, or a task that failed (file is then ""). state: planned, quarantined or failed."""

    file: str
    state: str
    reason: str
    message: str
    remedy: str


@dataclass(frozen=True)
class Outcome:
    """What became of one run, from the catalogue: numbers of recordings, bytes before and after of what is archived."""

    site: str
    site_name: str
    started: bool
    run: DagRun
    planned: int = 0
    archived: int = 0
    quarantined: int = 0
    source_bytes: int = 0
    rendition_bytes: int = 0
    doing: str = ""
    problems: tuple[Problem, ...] = ()


def outcome_of(
    api: AirflowApi, conn: Connection, site: Site, run: DagRun, started: bool, *, problems: bool = False
) -> Outcome:
    """How the run stands now; problems: also why files were left behind, and which tasks failed."""
    of_run = (run.dag_id, run.run_id)
    kept = count_recordings(conn, RecordingFilter(run=of_run, states=_KEPT))
    return Outcome(
        site=site.id,
        site_name=site.name,
        started=started,
        run=run,
        planned=count_recordings(conn, RecordingFilter(run=of_run)).count,
        archived=kept.count,
        quarantined=count_recordings(conn, RecordingFilter(run=of_run, states=("quarantined",))).count,
        source_bytes=kept.source_bytes,
        rendition_bytes=kept.rendition_bytes,
        doing=_doing(api, run) if run.active else "",
        problems=(*_files(conn, of_run), *_tasks(api, run)) if problems else (),
    )


@contextmanager
def live(console: Console, *, quiet: bool) -> Iterator[Callable[[Sequence[Outcome]], None]]:
    """A table that is redrawn in place on a terminal; elsewhere nothing is drawn."""
    if quiet or not console.is_terminal:
        yield lambda _outcomes: None
        return
    with Live(console=console, transient=True, auto_refresh=False) as drawn:
        yield lambda outcomes: drawn.update(_progress(outcomes), refresh=True)


def show(outcomes: Sequence[Outcome], console: Console) -> None:
    """The closing table, and below it each file that was left behind with the reason and what to do."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("site", "run", "planned", "archived", "quarantined", "before", "after", "saved"):
        table.add_column(title, justify="left" if title in ("site", "run") else "right")
    for one in outcomes:
        saved = f"{1 - one.rendition_bytes / one.source_bytes:.0%}" if one.source_bytes else ""
        numbers = (str(one.planned), str(one.archived), str(one.quarantined))
        sizes = (size_text(one.source_bytes), size_text(one.rendition_bytes)) if one.archived else ("", "")
        table.add_row(plain(one.site_name), _state(one), *numbers, *sizes, saved)
    console.print(table)
    for one in outcomes:
        for problem in one.problems:
            color = "yellow" if problem.state == "quarantined" else "red"
            what = plain(problem.file) or "run"
            console.print(f"[{color}]{problem.state}[/] {one.site}: {what}: {plain(problem.reason)}")
            for line in (problem.message, problem.remedy):
                if line:
                    console.print(f"  {plain(line)}")


def as_object(outcome: Outcome, *, waited: bool) -> dict[str, Any]:
    """For scripts; without waiting there are no numbers yet."""
    told: dict[str, Any] = {
        "site": outcome.site,
        "dag_id": outcome.run.dag_id,
        "run_id": outcome.run.run_id,
        "state": outcome.run.state,
        "started": outcome.started,
    }
    if waited:
        told |= {
            "planned": outcome.planned,
            "archived": outcome.archived,
            "quarantined": outcome.quarantined,
            "source_bytes": outcome.source_bytes,
            "rendition_bytes": outcome.rendition_bytes,
            "problems": [vars(one) for one in outcome.problems],
        }
    return told


def _progress(outcomes: Sequence[Outcome]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("site", "run", "planned", "archived", "quarantined", "at work on"):
        table.add_column(title, justify="left" if title in ("site", "run", "at work on") else "right", no_wrap=True)
    for one in outcomes:
        numbers = (str(one.planned), str(one.archived), str(one.quarantined))
        table.add_row(plain(one.site_name), _state(one), *numbers, plain(one.doing))
    return table


def _state(outcome: Outcome) -> str:
    return f"[{_COLORS.get(outcome.run.state, 'white')}]{outcome.run.state}[/]"


def _doing(api: AirflowApi, run: DagRun) -> str:
    at_work = [one for one in api.tasks(run.dag_id, run.run_id) if one.state in ("running", "up_for_retry")]
    names = [f"{one.task_id.removeprefix('batch.')} {one.title}".strip() for one in at_work]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _files(conn: Connection, of_run: tuple[str, str]) -> Iterator[Problem]:
    wanted = RecordingFilter(run=of_run, states=("planned", "quarantined"))
    for row in find_recordings(conn, wanted, limit=_PROBLEMS_SHOWN):
        reason = row.reason or "not finished"
        yield Problem(row.source_name, row.state, reason, row.message, row.remedy)


def _tasks(api: AirflowApi, run: DagRun) -> Iterator[Problem]:
    if run.state != "failed":
        return
    for task in api.tasks(run.dag_id, run.run_id):
        if task.state == "failed":
            name = f"{task.task_id} {task.title}".strip()
            message = api.failure(run.dag_id, run.run_id, task)
            yield Problem("", "failed", f"task {name}", message, "Its whole log is in Airflow; clear it to try again.")
