"""Branches at the scheduler: they take no place of others, and are not taken for dead while they are silent."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from airflow.models import import_all_models
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskinstancekey import TaskInstanceKey
from airflow.providers.edge3.models.edge_job import EdgeJobModel
from airflow.providers.edge3.models.edge_worker import EdgeWorkerModel, EdgeWorkerState
from sqlalchemy import create_engine, insert, select
from sqlalchemy.orm import Session

from vms_airflow.branch_executor import SILENT_MOST, BranchExecutor, speak_for_silent

LONG_AGO = timedelta(minutes=10)


@pytest.fixture
def session() -> Iterator[Session]:
    import_all_models()
    engine = create_engine("sqlite://")
    for model in (TaskInstance, EdgeJobModel, EdgeWorkerModel):
        model.__table__.create(engine)
    with Session(engine) as made:
        yield made


def running(session: Session, site: str, silent_for: timedelta, state: str = "unknown") -> None:
    """A task of this site's branch, from which nothing was heard for so long."""
    heard = datetime.now(UTC) - silent_for
    name = {"dag_id": f"footage_{site}", "task_id": "batch.upload", "run_id": "run", "map_index": 3, "try_number": 1}
    job = name | {"state": "running", "queue": f"site-{site}", "concurrency_slots": 1, "command": "{}"}
    task = name | {"id": uuid.uuid4(), "state": "running", "executor": "edge", "pool": "default_pool", "pool_slots": 1}
    session.execute(insert(TaskInstance).values(**task, last_heartbeat_at=heard))
    session.execute(insert(EdgeJobModel).values(**job, edge_worker=f"branch-{site}"))
    session.add(EdgeWorkerModel(f"branch-{site}", EdgeWorkerState(state), [f"site-{site}"], last_update=heard))
    session.commit()


def heartbeats(session: Session) -> dict[str, timedelta]:
    """How old the last sign of life of each site's task is."""
    rows = session.execute(select(TaskInstance.dag_id, TaskInstance.last_heartbeat_at)).all()
    now = datetime.now(UTC)
    return {dag_id.removeprefix("footage_"): now - at for dag_id, at in rows}


def test_a_task_of_a_silent_branch_lives_on_for_an_hour_and_no_other(session: Session) -> None:
    running(session, "cut-off", LONG_AGO)
    running(session, "gone", SILENT_MOST + timedelta(minutes=1))
    running(session, "stopped", LONG_AGO, "offline")
    session.execute(
        insert(TaskInstance).values(
            id=uuid.uuid4(), dag_id="footage_ho", task_id="plan", run_id="run", map_index=-1, try_number=1,
            state="running", pool="default_pool", pool_slots=1, last_heartbeat_at=datetime.now(UTC) - LONG_AGO,
        )
    )  # fmt: skip
    assert speak_for_silent(session) == 1
    ages = heartbeats(session)
    assert ages.pop("cut-off") < timedelta(minutes=1)
    assert set(ages) == {"gone", "stopped", "ho"}
    assert min(ages.values()) >= LONG_AGO


def test_a_branch_that_speaks_speaks_for_itself(session: Session) -> None:
    """Its machine came up again; the task that ran before has to be found dead."""
    running(session, "back", LONG_AGO)
    session.get(EdgeWorkerModel, "branch-back").last_update = datetime.now(UTC)
    session.commit()
    assert speak_for_silent(session) == 0
    assert heartbeats(session)["back"] >= LONG_AGO


def test_what_waits_for_branches_takes_no_place_from_others() -> None:
    executor = BranchExecutor(parallelism=4)
    executor.running = {TaskInstanceKey("footage_jkt", "compress", "run", map_index=number) for number in range(100)}
    assert executor.slots_occupied == 0
    assert executor.slots_available == 4
