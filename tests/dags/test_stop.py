"""SIGTERM in a running task: it ends at once, tidies up undisturbed, and is not tried later than need be."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from airflow.sdk import RetryAction

from vms.video.ffmpeg import Stopped
from vms_airflow import tasks
from vms_airflow.sensor import FootageSensor
from vms_airflow.stop import stoppable


@pytest.fixture(autouse=True)
def _as_airflow_does() -> Iterator[None]:
    """Airflow hears SIGTERM itself and calls on_kill, which does nothing."""
    before = signal.signal(signal.SIGTERM, _airflow)
    yield
    signal.signal(signal.SIGTERM, before)


def _airflow(_number: int, _frame: object) -> None:
    return None


def test_a_signal_ends_the_work_and_a_second_one_does_not_disturb_its_tidying_up() -> None:
    tidied = []

    @stoppable
    def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            tidied.append(True)

    with pytest.raises(Stopped, match="asked to stop"):
        work()
    assert tidied
    assert signal.getsignal(signal.SIGTERM) is _airflow


def test_work_without_a_signal_is_left_alone_in_any_thread() -> None:
    answers: list[int] = []
    work = stoppable(lambda number: number * 2)
    thread = threading.Thread(target=lambda: answers.append(work(2)))
    thread.start()
    thread.join()
    assert [*answers, work(3)] == [4, 6]
    assert signal.getsignal(signal.SIGTERM) is _airflow


@pytest.mark.parametrize("name", ["plan", "compress", "upload", "record", "release"])
def test_every_task_can_be_stopped(name: str) -> None:
    assert getattr(tasks, name).function.__code__ is stoppable(lambda: None).__code__  # type: ignore[attr-defined]


def test_the_sensor_can_be_stopped() -> None:
    assert FootageSensor.poke.__code__ is stoppable(lambda: None).__code__  # type: ignore[attr-defined]


def test_what_was_stopped_is_tried_again_in_seconds() -> None:
    from footage import DEFAULTS

    decision = DEFAULTS["retry_policy"].evaluate(Stopped("asked"), try_number=1, max_tries=2)
    assert decision.action == RetryAction.RETRY
    assert decision.retry_delay is not None
    assert decision.retry_delay <= timedelta(seconds=10)
