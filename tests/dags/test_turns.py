"""However many ask Airflow's API server at once: no more are answered at a time than it has connections for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from vms.stack.airflow_env import FIXED
from vms_airflow.turns import AT_ONCE, Turns


async def crowd(path: str, count: int) -> tuple[int, int]:
    """How many were inside at once, and how many were answered."""
    inside = most = answered = 0

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        nonlocal inside, most, answered
        inside += 1
        most = max(most, inside)
        for _ in range(5):
            await asyncio.sleep(0)  # the others have their chance to come in
        inside -= 1
        answered += 1
        if answered % 3 == 0:
            raise ValueError("an answer that fails gives its turn back, too")

    turns = Turns(app)
    scope = {"type": "http", "path": path}
    await asyncio.gather(*(turns(scope, None, None) for _ in range(count)), return_exceptions=True)
    return most, answered


@pytest.mark.parametrize("path", ["/execution/task-instances/1/run", "/edge_worker/v1/jobs/fetch/branch-jkt"])
def test_tasks_and_branches_wait_their_turn_and_all_are_answered(path: str) -> None:
    assert asyncio.run(crowd(path, 100)) == (AT_ONCE, 100)


def test_pages_do_not_wait() -> None:
    assert asyncio.run(crowd("/api/v2/dags", 100)) == (100, 100)


def test_there_are_more_connections_than_turns() -> None:
    assert int(FIXED["DATABASE__SQL_ALCHEMY_POOL_SIZE"]) + int(FIXED["DATABASE__SQL_ALCHEMY_MAX_OVERFLOW"]) > AT_ONCE


def test_the_gate_stands_before_the_turns() -> None:
    from airflow.api_fastapi.app import init_plugins
    from fastapi import FastAPI

    app = FastAPI()
    init_plugins(app)
    names = [one.cls.__name__ for one in app.user_middleware]
    assert names.index("BranchGate") < names.index("Turns")
