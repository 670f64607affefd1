"""The task that tells people what is wrong."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from airflow.sdk import task
from airflow.sdk.exceptions import AirflowFailException

from vms.config import load_config
from vms.home import from_environment
from vms_airflow.stop import stoppable
from vms_airflow.surroundings import catalogue

log = logging.getLogger(__name__)


@task
@stoppable
def tell() -> None:
    """Look what is wrong, send what is new, over, or could not be sent before. Red while a target can't be reached."""
    from vms.alerts.round import run_round
    from vms_airflow.store_clients import use_hooks

    use_hooks()
    home = from_environment()
    with catalogue(home) as conn:
        done = run_round(conn, home, load_config(home.sites_file), datetime.now(UTC), log.info)
    log.info("%s", done)
    if done.errors:
        raise AirflowFailException(
            "Messages could not be sent and are tried again: "
            + " ".join(f"{target}: {error}" for target, error in done.errors.items())
        )
