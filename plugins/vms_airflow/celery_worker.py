"""Airflow's Celery worker, with what every task reads in read in before: `python -m vms_airflow.celery_worker WORDS`,
started by vms.stack.container_worker.

Celery forks its pool from this process, and each task is forked from one of the pool. What is not in memory by then
every task reads in for itself: 0.4 CPU seconds, when it was measured by hand (docs/benchmarks.md, "The fleet", also
says what of it is seen in the whole). LocalExecutor's tasks are forked from a scheduler, which has most of it.
"""

from __future__ import annotations

import sys
from importlib import import_module

READ_IN = (
    "airflow.sdk.execution_time.task_runner",
    "airflow.sdk.execution_time.supervisor",
    "airflow.dag_processing.dagbag",
    "airflow.dag_processing.importers.python_importer",
    "airflow.providers.standard.decorators.python",
    "airflow.sdk.definitions.retry_policy",
    "airflow.version",
    "vms.catalogue.custody",
    "vms.catalogue.planning",
    "vms.config",
    "vms.steps.compress",
    "vms.steps.look_ahead",
    "vms.steps.release",
    "vms.steps.replicate",
    "vms.steps.sense",
    "vms.steps.standing",
    "vms.steps.upload",
    "vms.steps.vouch",
    "vms_airflow.links",
    "vms_airflow.sensor",
    "vms_airflow.tasks",
    "vms_airflow.timetable",
    "vms_airflow.verdict",
)
"""Modules that a site's tasks and reading its DAG need. None may begin threads or connections: what is forked has none
of them."""


def read_in() -> None:
    for name in READ_IN:
        import_module(name)


def main(words: list[str]) -> None:
    read_in()
    sys.argv = ["airflow", "celery", *words]
    from airflow.__main__ import main as airflow

    airflow()


if __name__ == "__main__":
    main(sys.argv[1:])
