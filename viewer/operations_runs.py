"""What the page Operations shows of Airflow: what it does now, what failed, and what was done lately."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from urllib.parse import quote

from viewer import formats
from viewer.elsewhere import FOOTAGE, Runs
from viewer.i18n import Words
from viewer.operations import Data, section
from vms.airflow_api import DagRun, TaskRun
from vms.catalogue.reads_sites import RunBatch

_MOST_LINES = 6
_AT_WORK = ("running", "up_for_retry", "up_for_reschedule")
_TONES = {"success": "green", "failed": "red", "running": "blue", "queued": "gray"}


def runs(
    words: Words, found: Runs | None, batches: Iterable[RunBatch], names: Mapping[str, str], link: str, now: datetime
) -> Data:
    """What Airflow does now, what failed and what was done lately. link: Airflow's address, "" for no links."""
    made = section(words, "runs", ("run", "began", "took"), [])
    made["empty"] = words("ops.runs.none")
    if found is None or found.error:
        made["notice"] = words("ops.runs.asking") if found is None else words("ops.runs.away")
        made["empty"] = found.error if found else ""
        return made
    of: dict[tuple[str, str], dict[int, RunBatch]] = {}
    for one in batches:
        of.setdefault((one.dag_id, one.run_id), {})[one.position] = one
    # a round of alerts every few minutes would leave no room for anything else
    over = [*found.failed, *(one for one in found.done if one.dag_id != "alerts")]
    newest = [*found.active, *sorted(over, key=lambda one: _order(one, now), reverse=True)]
    for run in newest:
        tasks = (found.tasks or {}).get((run.dag_id, run.run_id), ())
        made["rows"].append(_run(words, run, tasks, of.get((run.dag_id, run.run_id), {}), names, link, now))
    return made


def _order(run: DagRun, now: datetime) -> datetime:
    return run.ended_at or run.started_at or now


def _run(
    words: Words,
    run: DagRun,
    tasks: Sequence[TaskRun],
    batches: Mapping[int, RunBatch],
    names: Mapping[str, str],
    link: str,
    now: datetime,
) -> Data:
    site = run.dag_id.removeprefix(FOOTAGE) if run.dag_id.startswith(FOOTAGE) else ""
    what = words("ops.dag.footage", site=names.get(site, site)) if site else _dag(words, run)
    lines = [{"text": text, "tone": ""} for text in (_batch_lines if site else _task_lines)(words, tasks, batches)]
    done = sum(task.task_id == "batch.record" and task.state == "success" for task in tasks if task.map_index >= 0)
    note = ""
    if batches and run.active:
        note = words("ops.run.batches", done=formats.number(words, done), count=formats.number(words, len(batches)))
    took = ""
    if run.started_at:
        took = formats.length(words, ((run.ended_at or now) - run.started_at).total_seconds())
    cell = {"text": what, "badge": words.one_of("ops.state", run.state, run.state), "note": note}
    if link:
        cell["link"] = f"{link}/dags/{quote(run.dag_id, safe='')}/runs/{quote(run.run_id, safe='')}"
        cell["hint"] = words("ops.runs.open")
    return {
        "key": f"{run.dag_id} {run.run_id}",
        "cells": [
            {**cell, "tone": _TONES.get(run.state, "gray")},
            {"text": formats.age(words, run.started_at, now) if run.started_at else words("ops.run.waits")},
            {"text": took},
        ],
        "lines": lines[:_MOST_LINES],
    }


def _dag(words: Words, run: DagRun) -> str:
    return words.one_of("ops.dag", run.dag_id, run.title or run.dag_id)


def _batch_lines(words: Words, tasks: Sequence[TaskRun], batches: Mapping[int, RunBatch]) -> list[str]:
    """What is being done with which batch; batches that the person may not see are not spoken of."""
    lines = []
    for task in tasks:
        if task.state not in _AT_WORK:
            continue
        doing = words.one_of("ops.doing", task.task_id.rpartition(".")[2], task.task_id)
        if task.state != "running":
            doing = words("ops.doing.again", what=doing)
        if task.map_index < 0:
            lines.append(doing)
        elif task.map_index in batches:
            lines.append(f"{doing}: {_batch(words, batches[task.map_index])}")
    return lines


def _batch(words: Words, one: RunBatch) -> str:
    """Which camera, from when to when its files begin, and how many they are."""
    files = formats.number(words, one.files)
    if not one.camera:
        return words("ops.batch.copies", store=one.missing_in, files=files)
    first = one.first_utc.astimezone(formats.zone(one.time_zone)).date()
    when = formats.span(words, one.first_utc, one.last_utc, one.time_zone)
    return words("ops.batch", camera=one.camera, when=f"{formats.day_short(words, first)} {when}", files=files)


def _task_lines(_words: Words, tasks: Sequence[TaskRun], _batches: Mapping[int, RunBatch]) -> list[str]:
    return [task.title or task.task_id for task in tasks if task.state in _AT_WORK]
