"""The task that tells a lineage service what was archived. It runs at the centre and only reads custody."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime

from airflow.sdk import task

from vms.config import load_config
from vms.errors import ConfigError
from vms.home import from_environment
from vms_airflow.stop import stoppable
from vms_airflow.surroundings import catalogue

log = logging.getLogger(__name__)


def is_wanted() -> bool:
    """Whether a service is named; not while sites.yaml can't be read."""
    try:
        named = load_config(from_environment().sites_file).openlineage is not None
    except ConfigError:
        return False
    return named or bool(os.environ.get("OPENLINEAGE_URL"))


@task
@stoppable
def tell() -> int:
    """Send an event for each batch that was recorded since the last time, and note how far that got."""
    from vms.openlineage import target_of, tell

    home = from_environment()
    config = load_config(home.sites_file)
    target = target_of(config.openlineage, config.company)
    if target is None:
        return 0
    with catalogue(home) as conn:
        count = tell(
            conn, target, datetime.now(UTC), lambda batch: log.info("%s, batch %d", batch.run_id, batch.position)
        )
    log.info("%d batches were told", count)
    return count
