"""Looks into a site's footage folder for files that are closed and new."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import BaseSensorOperator, Context, PokeReturnValue

from vms.model import dump
from vms_airflow.links import RecordingsLink
from vms_airflow.stop import stoppable
from vms_airflow.surroundings import installation

log = logging.getLogger(__name__)


class FootageSensor(BaseSensorOperator):
    """One look per run: a folder without new files is an answer too, so that what is due for release is not held up.

    What it saw (`vms.sightings.Sensed`) goes to `plan`. Raises FootageUnreachable when the folder is away.
    """

    ui_color = "#dbeafe"
    operator_extra_links = (RecordingsLink(),)

    def __init__(self, *, site: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.site = site

    @stoppable
    def poke(self, context: Context) -> PokeReturnValue:  # noqa: ARG002 - Airflow's form
        from vms.steps.sense import sense

        home, config, site = installation(self.site)
        seen = sense(site, config, home, now=datetime.now(UTC))
        log.info(
            "%s: %d files in %s: %d new, %d that can't be used, %d still being written, %d known already, %d ignored",
            *(site.name, seen.files, site.footage, len(seen.sightings), len(seen.rejections)),
            *(len(seen.waiting), seen.settled, seen.ignored),
        )
        for waiting in seen.waiting:
            log.info("waiting: %s (%s)", waiting.path, waiting.why)
        for rejected in seen.rejections:
            log.warning("can't be used: %s: %s %s", rejected.source.path, rejected.fault.message, rejected.fault.remedy)
        if seen.more:
            log.info("%d more new files are left for the next run", seen.more)
        return PokeReturnValue(is_done=True, xcom_value=dump(seen))
