"""What Airflow and the stores say, asked in the background and remembered: no page waits for one that hangs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from vms.airflow_api import ACTIVE, AirflowApi, DagRun, TaskRun
from vms.catalogue.connection import connect, url
from vms.config import load_config
from vms.errors import VmsError
from vms.home import Home
from vms.proofs import forecasts
from vms.retention_proof import Forecast
from vms.stack.airflow_env import VIEWER_USER

logging.getLogger("httpx").setLevel(logging.WARNING)  # else the log gets a line for each question to Airflow

T = TypeVar("T")

FOOTAGE = "footage_"
"""How the id of a site's DAG begins."""

_ANSWER_S = 5.0
_MOST_ACTIVE, _MOST_WATCHED, _MOST_FAILED, _MOST_DONE = 30, 8, 5, 12
_MOST_KEPT = 200


class Kept(Generic[T]):
    """An answer, asked for again when it is older than every_s; meanwhile the one before it counts, for old_s at most.

    Where there is none to count, the asker waits patience_s for it and then goes on without.
    """

    def __init__(self, ask: Callable[[], T], *, every_s: float, old_s: float, patience_s: float) -> None:
        self._ask, self._every_s, self._old_s, self._patience_s = ask, every_s, old_s, patience_s
        self._lock = threading.Lock()
        self._answer: tuple[T, float] | None = None
        self._asking: threading.Event | None = None

    def now(self) -> T | None:
        """The answer; None while there is none."""
        with self._lock:
            age = time.monotonic() - self._answer[1] if self._answer else float("inf")
            if age > self._every_s and self._asking is None:
                self._asking = threading.Event()
                threading.Thread(target=self._run, args=(self._asking,), daemon=True).start()
            pending = self._asking
        if age > self._old_s and pending is not None:
            pending.wait(self._patience_s)
        with self._lock:
            if self._answer is None or time.monotonic() - self._answer[1] > self._old_s:
                return None
            return self._answer[0]

    def forget(self) -> None:
        """What was just changed has to be asked for anew."""
        with self._lock:
            self._answer = None

    def _run(self, done: threading.Event) -> None:
        try:
            found = (self._ask(), time.monotonic())
            with self._lock:
                self._answer = found
        finally:
            with self._lock:
                self._asking = None
            done.set()


@dataclass(frozen=True)
class Runs:
    """What Airflow does. active, failed, done: runs, the newest first. tasks: of watched ones, by DAG and run.
    paused: DAGs that start nothing. error: why it could not be asked, else ""."""

    active: tuple[DagRun, ...] = ()
    failed: tuple[DagRun, ...] = ()
    done: tuple[DagRun, ...] = ()
    tasks: dict[tuple[str, str], tuple[TaskRun, ...]] | None = None
    paused: frozenset[str] = frozenset()
    error: str = ""


@dataclass(frozen=True)
class Fill:
    """How full the stores are, as they said at this time."""

    at: datetime
    stores: tuple[Forecast, ...]


_runs: dict[tuple[Home, tuple[str, ...] | None], Kept[Runs]] = {}
_fill: dict[Home, Kept[Fill | None]] = {}
_lock = threading.Lock()


def runs(home: Home, dag_ids: tuple[str, ...] | None) -> Runs | None:
    """The runs of these DAGs, or (None) of all; None when Airflow has not answered yet."""
    return _kept_runs(home, dag_ids).now()


def fill(home: Home) -> Fill | None:
    """How full the stores are; None while they have not answered yet. For who sees everything."""
    with _lock:
        if home not in _fill:
            _fill[home] = Kept(lambda: _ask_stores(home), every_s=300, old_s=3600, patience_s=1.0)
        kept = _fill[home]
    return kept.now()


def start_run(home: Home, site: str, note: str) -> None:
    """Have the site's next run begin now, unless one waits to begin already. Raises VmsError when Airflow does not."""
    dag_id = FOOTAGE + site
    with AirflowApi(home, user=VIEWER_USER, timeout_s=_ANSWER_S) as api:
        if not any(run.state == "queued" for run in api.active_runs(dag_id)):
            api.trigger(dag_id, note)
    with _lock:
        some = list(_runs.values())
    for one in some:
        one.forget()


def _kept_runs(home: Home, dag_ids: tuple[str, ...] | None) -> Kept[Runs]:
    with _lock:
        key = (home, dag_ids)
        if key not in _runs:
            if len(_runs) >= _MOST_KEPT:
                _runs.clear()
            _runs[key] = Kept(lambda: _ask_airflow(home, dag_ids), every_s=4, old_s=30, patience_s=2.0)
        return _runs[key]


def _ask_airflow(home: Home, dag_ids: tuple[str, ...] | None) -> Runs:
    if dag_ids == ():
        return Runs()
    try:
        with AirflowApi(home, user=VIEWER_USER, timeout_s=_ANSWER_S) as api:
            active = api.newest_runs(ACTIVE, _MOST_ACTIVE, dag_ids)
            watched = [one for one in active if one.state == "running"][:_MOST_WATCHED]
            return Runs(
                tuple(active),
                tuple(api.newest_runs(("failed",), _MOST_FAILED, dag_ids)),
                tuple(api.newest_runs(("success",), _MOST_DONE, dag_ids)),
                {(one.dag_id, one.run_id): tuple(api.tasks(one.dag_id, one.run_id)) for one in watched},
                api.paused(),
            )
    except (VmsError, OSError) as error:
        return Runs(error=str(error))


def _ask_stores(home: Home) -> Fill | None:
    """With a connection of its own: a store that hangs must not hold one of the pages'."""
    now = datetime.now(UTC)
    try:
        with closing(connect(url(home, "viewer"))) as conn:
            return Fill(now, tuple(forecasts(conn, load_config(home.sites_file), now)))
    except VmsError:
        return None
