"""What is fake in the runs of benchmarks/fleet.py: the footage. Everything around it is the product's own.

There is none, so `sense` lists an empty folder, `plan` writes its run into the catalogue and gets so many empty batches
as VMS_FLEET_BATCHES says, and `compress`, `upload` and `record` of each do all that they do but for files.
Read by a shard only when one of its tasks runs, in that task's process.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from airflow.sdk import get_parsing_context


def install() -> None:
    """Put the fakes in place, when a task is to run."""
    context = get_parsing_context()
    if context.task_id == "plan":
        from vms.catalogue import planning
        from vms.model import Batch, Plan

        real = planning.plan_run

        def plan_run(*arguments: Any) -> Plan:
            count = int(os.environ.get("VMS_FLEET_BATCHES", "0"))
            site = arguments[1].id
            batches = [Batch(number, site, "cam-01", f"nothing {number}", (), ()) for number in range(1, count + 1)]
            return replace(real(*arguments), batches=tuple(batches))

        planning.plan_run = plan_run
    elif context.task_id == "batch.record":
        from vms.catalogue import custody
        from vms.model import Recorded

        custody.record_receipts = lambda _conn, batch, *_rest: Recorded(batch.batch_id, (), (), ())
