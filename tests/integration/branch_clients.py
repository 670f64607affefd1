"""All that Airflow's own clients at a branch say to the centre, said once: the edge worker's and the task runner's.

`branch_clients.py TASK TOKEN` in the environment of a branch's worker; prints how each call ended, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from branch_server import RUN, TASKS


def main(number: str, token: str) -> None:
    from airflow import __version__ as airflow_version
    from airflow.configuration import conf
    from airflow.models.taskinstancekey import TaskInstanceKey
    from airflow.providers.edge3 import __version__ as edge_version
    from airflow.providers.edge3.cli import api_client as edge
    from airflow.providers.edge3.models.edge_worker import EdgeWorkerState
    from airflow.sdk.api.client import Client
    from airflow.sdk.execution_time.comms import RescheduleTask, SkipDownstreamTasks
    from airflow.utils.state import TaskInstanceState

    from vms_airflow import branch_worker

    signer = branch_worker.Signer(conf.get("api_auth", "jwt_secret"))
    edge.request, edge.jwt_generator = branch_worker.request, lambda: signer
    ended: dict[str, Any] = {}

    def tell(name: str, call: Callable[[], Any]) -> None:
        try:
            said = call()
            refused = type(said).__name__ == "ErrorResponse" and (said.detail or {}).get("status_code", 404)
            ended[name] = refused or 200
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            answer = getattr(error, "response", None)
            status = getattr(error, "status", None) or getattr(answer, "status_code", None)
            ended[name] = status or f"{type(error).__name__}: {error}"

    dag, task, index, queue = TASKS["mine"]
    key, ti, now = TaskInstanceKey(dag, task, RUN, 1, index), UUID(number), datetime.now(UTC)
    about: dict[str, Any] = {"airflow_version": airflow_version, "edge_provider_version": edge_version}
    about |= {"concurrency": 2, "free_concurrency": 1}
    name, queues = "branch-jkt", [queue]
    chunk = "a line of the log: ż ☃\n" * 1000
    for what, coroutine in {
        "register": lambda: edge.worker_register(name, EdgeWorkerState.STARTING, queues, about),
        "beat": lambda: edge.worker_set_state(name, EdgeWorkerState.IDLE, 0, queues, about),
        "fetch": lambda: edge.jobs_fetch(name, queues, 1, supports_task_instance_uuid=True),
        "job": lambda: edge.jobs_set_state(key, TaskInstanceState.RUNNING, task_instance_id=ti),
        "log file": lambda: edge.logs_logfile_path(key, task_instance_id=ti),
        "log": lambda: edge.logs_push(key, now, chunk, task_instance_id=ti),
        "fetch all": lambda: edge.jobs_fetch(name, None, 1, supports_task_instance_uuid=True),
    }.items():
        tell(what, lambda coroutine=coroutine: asyncio.run(coroutine()))  # type: ignore[misc]

    with Client(base_url=conf.get("core", "execution_api_server_url"), token=token) as client:
        own, handed = client.task_instances, client.xcoms
        for what, call in {
            "start": lambda: own.start(ti, 17, now),
            "task beat": lambda: own.heartbeat(ti, 17),
            "fields": lambda: own.set_rtif(ti, {"op_kwargs": "{'batch': 1}"}),
            "title": lambda: own.set_rendered_map_index(ti, "lobby, 3 files"),
            "run before": lambda: own.get_previous_successful_dagrun(ti),
            "inlets": lambda: own.validate_inlets_and_outlets(ti),
            "look began": lambda: own.get_reschedule_start_date(ti, 1),
            "take": lambda: handed.get(dag, RUN, "plan", "return_value"),
            "take one": lambda: handed.get(dag, RUN, "batch.compress", "return_value", 0),
            "count": lambda: handed.head(dag, RUN, "batch.record", "return_value"),
            "item": lambda: handed.get_sequence_item(dag, RUN, "batch.record", "return_value", 0),
            "slice": lambda: handed.get_sequence_slice(dag, RUN, "batch.record", "return_value", None, None, None),
            "hand on": lambda: handed.set(dag, RUN, task, "return_value", [{"copies": []}], index),
            "take back": lambda: handed.delete(dag, RUN, task, "return_value", index),
            "look again": lambda: own.reschedule(ti, RescheduleTask(reschedule_date=now, end_date=now)),
            "try again": lambda: own.retry(ti, now, "title", 15.0, "because"),
            "fail": lambda: own.finish(ti, "failed", now, "title"),
            "succeed": lambda: own.succeed(ti, now, [], [], "title"),
            "connection": lambda: client.connections.get("company_s3"),
            "variable": lambda: client.variables.get("secret"),
            "skip others": lambda: own.skip_downstream_tasks(ti, SkipDownstreamTasks(tasks=["verdict"])),
            "foreign": lambda: handed.get("footage_mks", RUN, "plan", "return_value"),
        }.items():
            tell(what, call)
    print("\n" + json.dumps(ended))


if __name__ == "__main__":
    main(*sys.argv[1:])
