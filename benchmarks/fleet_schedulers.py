"""One scheduler and two at the same work, for benchmarks/fleet.py.

What a scheduler gets done is hidden where tasks take most of the machine. So here tasks take nothing (NothingExecutor:
whatever is handed out has succeeded), and each scheduler is given the same small share of a core, so that it is
what everything waits for, whatever else the machine does. Then real tasks, of which one scheduler is killed half way.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.executors.base_executor import BaseExecutor
from airflow.utils.session import create_session
from fleet_runs import SETTLE_S, STARTS, begin, due, ended, some
from fleet_world import World, difference, wait
from sqlalchemy import text

from vms.stack import processes

RACE_S = 600
PERIOD_US = 100_000


class NothingExecutor(BaseExecutor):
    """Every task succeeds at the moment at which it is handed out, without a process."""

    def _process_workloads(self, workload_items: Sequence[Any]) -> None:
        batches = int(os.environ["VMS_FLEET_BATCHES"])
        with create_session(scoped=False) as session:
            for one in workload_items:
                ti = one.ti
                session.execute(text(_DONE), {"id": ti.id})
                if ti.task_id == "plan":
                    session.execute(text(_MAPPED), {"dag": ti.dag_id, "run": ti.run_id, "length": batches})
        for one in workload_items:
            self.queued_tasks.pop(one.ti.key, None)
            self.success(one.ti.key)

    def end(self) -> None:
        """There is nothing to wait for."""

    def terminate(self) -> None:
        """There is nothing to end."""


_DONE = "UPDATE task_instance SET state = 'success', start_date = now(), end_date = now(), pid = 1 WHERE id = :id"
_MAPPED = "INSERT INTO task_map (dag_id, task_id, run_id, map_index, length) VALUES (:dag, 'plan', :run, -1, :length)"


def measure_schedulers(world: World, counts: Iterable[int], runs: int, share: float) -> dict[str, Any]:
    """Runs that are all due at once. share: of a core, for each scheduler."""
    return {
        "share": share,
        "race": {count: race(world, count, runs, share) for count in counts},
        "killed": kill_one(world, 8),
    }


def race(world: World, schedulers: int, runs: int, share: float) -> dict[str, Any]:
    """So many schedulers; what they got done in a second, and what it cost."""
    begin(world, **_NOTHING)
    _more(world, schedulers, **_NOTHING)
    ids = some(world, runs)
    names = [one for one in world.running if one.startswith("scheduler")]
    with Held([world.running[one].pid for one in names], share) as held:
        time.sleep(SETTLE_S)
        asked, before = datetime.now(UTC), world.cpu()
        due(world, ids, 0)
        wait(lambda: ended(world, ids, asked) == len(ids), "the runs to end", RACE_S)
        used = difference(before, world.cpu())
    (numbers,) = world.ask(STARTS, asked, ids, asked, ids)
    ((wall,),) = world.ask(
        "SELECT extract(epoch FROM max(end_date) - min(run_after)) FROM dag_run"
        " WHERE run_after >= %s AND dag_id = ANY(%s)",
        *(asked, ids),
    )
    world.stop()
    found = {
        "schedulers": schedulers,
        "runs": runs,
        "starts": numbers[0],
        "not_at_the_first_try": numbers[3],
        "held": held.works,
        "starts_per_s": numbers[0] / float(wall),
        "run_lag_s": [round(float(value), 1) for value in numbers[1]],
        "start_lag_s": [round(float(value), 1) for value in numbers[2]],
        "scheduler_cpu_s_per_start": used["scheduler"] / numbers[0],
        "database_cpu_s_per_start": used["postgres"] / numbers[0],
    }
    print(json.dumps(found), file=sys.stderr, flush=True)
    return found


_NOTHING = {"CORE__EXECUTOR": f"{__name__}.NothingExecutor", "CORE__PARALLELISM": "512"}


def kill_one(world: World, runs: int) -> dict[str, Any]:
    """Real tasks, two schedulers, one of which is killed as soon as it has tasks of its own: what becomes of all."""
    begin(world)
    _more(world, 2)
    ids, asked = some(world, runs), datetime.now(UTC)
    due(world, ids, 0)
    second = world.running["scheduler-2"]
    # Whose a task is, says who has queued it; the second one's job is the newest.
    question = (
        "SELECT count(*) FROM task_instance WHERE state IN ('queued', 'running') AND queued_by_job_id ="
        " (SELECT max(id) FROM job WHERE job_type = 'SchedulerJob')"
    )
    its = 0

    def has_tasks() -> bool:
        nonlocal its
        its = int(world.ask(question)[0][0])
        return its > 0

    wait(has_tasks, "tasks of the second scheduler", RACE_S)
    tree = processes.tree(
        second.pid
    )  # its workers hold its connections, and with them its locks: as a machine that ends
    processes.send(tree, signal.SIGKILL)
    before = ended(world, ids, asked)
    wait(lambda: ended(world, ids, asked) == len(ids), "the runs of the killed scheduler", RACE_S)
    states = dict(
        world.ask(
            "SELECT state, count(*) FROM dag_run WHERE run_after >= %s AND dag_id = ANY(%s) GROUP BY 1", asked, ids
        )
    )
    (numbers,) = world.ask(STARTS, asked, ids, asked, ids)
    world.stop()
    return {
        "executor": world.executor,
        "runs": len(ids),
        "ended_before": before,
        "its_tasks": its,
        "states": states,
        "tasks": numbers[0],
        "not_at_the_first_try": numbers[3],
    }


def _more(world: World, schedulers: int, **settings: str) -> None:
    for number in range(2, schedulers + 1):
        world.start("scheduler", f"scheduler-{number}", **settings)
    alive = (
        "SELECT count(*) FROM job WHERE job_type = 'SchedulerJob' AND state = 'running'"
        " AND latest_heartbeat > now() - interval '20 seconds'"
    )
    wait(lambda: world.ask(alive)[0][0] >= schedulers, f"{schedulers} schedulers to be well")


class Held:
    """Processes that get only so much of a core each, by control groups; where these are not to be had (they need
    root), works is False and everybody takes what there is."""

    def __init__(self, pids: Iterable[int], share: float) -> None:
        self._pids, self._share = tuple(pids), share
        self._folders: list[Path] = []
        self.works = False

    def __enter__(self) -> Held:
        root = Path("/sys/fs/cgroup")
        first = (root / "cpu").exists()
        quota = int(self._share * PERIOD_US)
        try:
            for pid in self._pids:
                folder = (root / "cpu" if first else root) / f"vms-fleet-{pid}"
                folder.mkdir()
                self._folders.append(folder)
                (folder / "cpu.cfs_quota_us").write_text(str(quota)) if first else (folder / "cpu.max").write_text(
                    f"{quota} {PERIOD_US}"
                )
                (folder / "cgroup.procs").write_text(str(pid))
            self.works = True
        except OSError:
            self.works = False
        return self

    def __exit__(self, *_: object) -> None:
        """They run on, unheld."""
        for folder in self._folders:
            try:
                for pid in (folder / "cgroup.procs").read_text().split():
                    (folder.parent / "cgroup.procs").write_text(pid)
                folder.rmdir()
            except OSError:
                continue
