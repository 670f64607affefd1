"""The tasks that keep Airflow's own history short. They touch neither catalogue nor footage."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from airflow.sdk import task

from vms.config import load_config
from vms.home import from_environment
from vms_airflow.stop import stoppable

log = logging.getLogger(__name__)


def _before() -> datetime:
    return datetime.now(UTC) - load_config(from_environment().sites_file).history.keep


@task
@stoppable
def runs() -> int:
    """Delete runs from Airflow's own database that began longer ago than `history.keep` of sites.yaml says.

    The last run of each DAG stays.
    """
    from vms.airflow_history import clean_database

    before = _before()
    rows = clean_database(from_environment(), before, log.info)
    log.info("%d rows of Airflow's own database were older than %s", rows, f"{before:%Y-%m-%d %H:%M} UTC")
    return rows


@task
@stoppable
def logs() -> int:
    """Delete the log files of those runs."""
    from vms.airflow_history import clean_logs, log_folders

    gone = clean_logs(log_folders(from_environment()), _before())
    log.info("%d log files with %d bytes are gone", gone.files, gone.size_bytes)
    return gone.files
