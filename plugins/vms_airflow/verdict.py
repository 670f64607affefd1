"""The last word on a run: red when one planned file is neither archived nor quarantined nor withdrawn.

A run ends as its last task ends, so that a failed batch would otherwise end green under a leaf that runs always.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException

from vms.home import Home, from_environment
from vms.model import RunRef, load
from vms.receipts import ReleaseReceipt
from vms_airflow.links import RecordingsLink
from vms_airflow.surroundings import catalogue, outcome, run_ref

log = logging.getLogger(__name__)

NAMED_FILES = 20


class VerdictOperator(BaseOperator):
    """Writes down what was released, compares the plan with what became of it, and fails the run when they differ."""

    ui_color = "#dcfce7"
    operator_extra_links = (RecordingsLink(),)

    def execute(self, context: Context) -> Any:
        if outcome(context, "sense") is None:
            raise AirflowFailException(
                "The footage folder could not be looked at, so nothing was archived. The log of the task `sense` says "
                "why. The next run looks again by itself; nothing is lost as long as the recorder keeps its files."
            )
        if outcome(context, "plan") is None:
            raise AirflowFailException(
                "Nothing could be planned. The log of the task `plan` says why. The next run tries again by itself."
            )
        problems = settle(from_environment(), run_ref(context), outcome(context, "release"))
        if problems:
            raise AirflowFailException("\n".join(problems))
        return None


def settle(home: Home, run: RunRef, released: Any) -> list[str]:
    """Write the releases down, close the run in the catalogue and say what is wrong with it; empty when all is well."""
    from vms.catalogue.custody import close_run, record_releases

    problems = []
    with catalogue(home) as conn:
        if released is None:
            problems.append(
                "The task `release` failed; its log says why. Nothing is lost; the next run releases what is due."
            )
        else:
            receipts = [load(ReleaseReceipt, one) for one in released]
            record_releases(conn, receipts, run, datetime.now(UTC))
        verdict = close_run(conn, run)
    log.info(
        "%d planned: %d archived, %d quarantined, %d withdrawn, %d not finished",
        *(verdict.planned, verdict.archived, verdict.quarantined, verdict.withdrawn, len(verdict.unfinished)),
    )
    if verdict.unfinished:
        problems.insert(0, _unfinished(verdict.planned, verdict.unfinished))
    return problems


def _unfinished(planned: int, names: tuple[str, ...]) -> str:
    listed = "\n".join(f"  {name}" for name in names[:NAMED_FILES])
    more = f"\n  and {len(names) - NAMED_FILES} more" if len(names) > NAMED_FILES else ""
    return (
        f"{len(names)} of {planned} planned files are neither archived nor quarantined:\n{listed}{more}\n"
        "They stay where they are and the next run takes them up again. The red or orange tasks of `batch` say what "
        "stopped them; when that is mended, clear those tasks to go on at once instead of waiting for the next run."
    )
