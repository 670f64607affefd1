"""Airflow's edge executor, as branches need it whose line may be away for an hour, or for days.

What waits for a branch or runs there takes place there: it counts against nothing at the centre. And while a branch is
silent, its running tasks are not taken for dead after two minutes, as those of a killed worker are, but after
SILENT_MOST: they go on without the line, and report when it is back.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow._shared.timezones import timezone
from airflow.models.taskinstance import TaskInstance
from airflow.providers.edge3.executors import EdgeExecutor
from airflow.providers.edge3.models.edge_job import EdgeJobModel
from airflow.providers.edge3.models.edge_worker import EdgeWorkerModel, EdgeWorkerState
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState

SILENT_MOST = timedelta(hours=1)
SILENT_AFTER = timedelta(seconds=45)
"""A branch reports every 30 seconds (vms_airflow.branch_worker)."""


class BranchExecutor(EdgeExecutor):
    """Takes no slots of the centre, and speaks for branches that can't."""

    @property
    def slots_available(self) -> int:
        return self.parallelism

    @property
    def slots_occupied(self) -> int:
        return 0

    def sync(self) -> None:
        super().sync()
        with create_session(scoped=False) as session:
            speak_for_silent(session)


def speak_for_silent(session: Any) -> int:
    """Give the running tasks of silent branches a sign of life. Returns of how many.

    A branch that speaks speaks for itself: a task that died with its machine is found as soon as that is up again.
    """
    now = timezone.utcnow()
    job, worker = EdgeJobModel, EdgeWorkerModel
    same_task = (
        (job.dag_id == TaskInstance.dag_id)
        & (job.task_id == TaskInstance.task_id)
        & (job.run_id == TaskInstance.run_id)
        & (job.map_index == TaskInstance.map_index)
        & (job.try_number == TaskInstance.try_number)
    )
    silent = (
        session.query(TaskInstance.id)
        .join(job, same_task)
        .join(worker, worker.worker_name == job.edge_worker)
        .filter(
            TaskInstance.state == TaskInstanceState.RUNNING,
            TaskInstance.last_heartbeat_at < now - SILENT_AFTER,
            worker.last_update.between(now - SILENT_MOST, now - SILENT_AFTER),
            worker.state.not_in((EdgeWorkerState.OFFLINE, EdgeWorkerState.OFFLINE_MAINTENANCE)),
        )
        .all()
    )
    ids = [one for (one,) in silent]
    if ids:
        beat = {TaskInstance.last_heartbeat_at: now}
        session.query(TaskInstance).filter(TaskInstance.id.in_(ids)).update(beat, synchronize_session=False)
    return len(ids)
