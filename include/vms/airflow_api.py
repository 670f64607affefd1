"""What the command line and the viewer ask of the running Airflow, by its REST API; every failure said in words.

The scheduler, not this process, runs what is asked for. No part of Airflow is imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from vms.errors import StackError
from vms.home import Home
from vms.stack.addresses import airflow_url
from vms.stack.airflow_env import commands_user, password_of

ACTIVE = ("queued", "running")
_PAGE = 100
_LOG_IN = "POST /auth/token"


@dataclass(frozen=True)
class Dag:
    """A DAG that Airflow has parsed."""

    dag_id: str
    name: str
    paused: bool


@dataclass(frozen=True)
class DagRun:
    """One run. state: queued, running, success or failed. Times are UTC, None before they happened. title: of its DAG,
    as people read it."""

    dag_id: str
    run_id: str
    state: str
    started_at: datetime | None
    ended_at: datetime | None
    title: str = ""

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


@dataclass(frozen=True)
class TaskRun:
    """One task of a run. title: of a mapped task, what it is about ("" otherwise). state None: not scheduled yet."""

    task_id: str
    map_index: int
    title: str
    state: str | None
    try_number: int


class AirflowApi:
    """A client of one home's Airflow, as who commands ask as, or another of its users; use it in a `with` block.

    Every method raises StackError when Airflow does not answer or refuses. timeout_s: on a busy machine an answer takes
    its time; that Airflow does not run at all is known at once.
    """

    def __init__(self, home: Home, *, user: str = "", timeout_s: float = 60.0) -> None:
        self._home = home
        self.user = user or commands_user(home)
        self._url = airflow_url(home)
        # Airflow is on this machine: a proxy of the environment must never get the password.
        self._client = httpx.Client(base_url=self._url, timeout=timeout_s, trust_env=False)
        self._token = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close()

    def dags(self) -> list[Dag]:
        """All DAGs that Airflow has parsed."""
        return [_dag(one) for one in self._pages("/dags", "dags")]

    def dag(self, dag_id: str) -> Dag | None:
        """This DAG, or None while Airflow does not know it."""
        found = self._ask("GET", f"/dags/{_part(dag_id)}", missing_ok=True)
        return _dag(found) if found is not None else None

    def trigger(self, dag_id: str, note: str) -> DagRun:
        """Queue a run for now. note: why, shown in Airflow. StackError when the DAG is not (yet) known."""
        body = {"logical_date": None, "note": note}
        found = self._ask("POST", f"/dags/{_part(dag_id)}/dagRuns", json=body, missing_ok=True)
        if found is None:
            raise StackError(
                f"Airflow does not know the DAG {dag_id} (yet): sites.yaml is still being parsed.",
                "Try again in half a minute. If it stays away: `vms sites check`, and the import errors in Airflow.",
            )
        return _run(found)

    def start(self, dag_id: str, run_id: str, conf: Mapping[str, Any], note: str) -> DagRun:
        """Queue a run of this name, or find the one that has it already. conf: what it is to do."""
        body = {"logical_date": None, "note": note, "dag_run_id": run_id, "conf": dict(conf)}
        path = f"/dags/{_part(dag_id)}/dagRuns"
        found = self._ask("POST", path, json=body, missing_ok=True, taken_ok=True)
        if found is None:
            if self.dag(dag_id) is None:
                raise StackError(f"Airflow does not know the DAG {dag_id} (yet).", "Try again in half a minute.")
            return self.run(dag_id, run_id)
        return _run(found)

    def find_run(self, dag_id: str, run_id: str) -> DagRun | None:
        """The present state of this run; None when Airflow has none of this name."""
        found = self._ask("GET", f"/dags/{_part(dag_id)}/dagRuns/{_part(run_id)}", missing_ok=True)
        return _run(found) if found is not None else None

    def stop(self, dag_id: str, run_id: str) -> None:
        """End this run: what of it is running is ended, too, and nothing of it is started any more."""
        path = f"/dags/{_part(dag_id)}/dagRuns/{_part(run_id)}"
        self._ask("PATCH", path, json={"state": "failed"}, missing_ok=True)

    def run(self, dag_id: str, run_id: str) -> DagRun:
        """The present state of this run."""
        found = self._ask("GET", f"/dags/{_part(dag_id)}/dagRuns/{_part(run_id)}", missing_ok=True)
        if found is None:
            raise StackError(
                f"Airflow has no run {run_id} of {dag_id} any more.", "Somebody deleted it: start a new one."
            )
        return _run(found)

    def active_runs(self, dag_id: str) -> list[DagRun]:
        """Runs of this DAG that are queued or running, the oldest first."""
        query = {"state": list(ACTIVE), "order_by": "run_after"}
        return [_run(one) for one in self._pages(f"/dags/{_part(dag_id)}/dagRuns", "dag_runs", query)]

    def recent_runs(self, limit: int) -> list[DagRun]:
        """The last runs of all DAGs, the newest first; at most 100."""
        query = {"order_by": "-run_after", "limit": min(limit, _PAGE)}
        found = self._ask("GET", "/dags/~/dagRuns", params=query) or {}
        return [_run(one) for one in found.get("dag_runs", [])]

    def import_errors(self) -> dict[str, str]:
        """DAG files that can't be read, and the last line of why."""
        found = self._pages("/importErrors", "import_errors")
        return {one["filename"]: (one.get("stack_trace") or "").strip().rpartition("\n")[2] for one in found}

    def tasks(self, dag_id: str, run_id: str) -> list[TaskRun]:
        """The tasks of a run with their states."""
        path = f"/dags/{_part(dag_id)}/dagRuns/{_part(run_id)}/taskInstances"
        return [
            TaskRun(
                task_id=one["task_id"],
                map_index=one["map_index"],
                title=one.get("rendered_map_index") or "",
                state=one["state"],
                try_number=one["try_number"],
            )
            for one in self._pages(path, "task_instances")
        ]

    def newest_runs(self, states: Sequence[str], most: int, dag_ids: Sequence[str] | None = None) -> list[DagRun]:
        """The newest runs in these states, of these DAGs or (None) of any."""
        body: dict[str, Any] = {"states": list(states), "page_limit": most, "order_by": "-run_after"}
        if dag_ids is not None:
            body["dag_ids"] = list(dag_ids)
        found = self._ask("POST", "/dags/~/dagRuns/list", json=body) or {}
        return [_run(one) for one in found.get("dag_runs", [])]

    def paused(self) -> frozenset[str]:
        """The ids of the DAGs that somebody has paused in Airflow."""
        return frozenset(one["dag_id"] for one in self._pages("/dags", "dags", {"paused": True}))

    def failure(self, dag_id: str, run_id: str, task: TaskRun) -> str:
        """The error that ended the last try of a task, as its log has it; "" when the log tells none."""
        path = (
            f"/dags/{_part(dag_id)}/dagRuns/{_part(run_id)}/taskInstances/{_part(task.task_id)}/logs/{task.try_number}"
        )
        found = self._ask("GET", path, params={"map_index": task.map_index, "full_content": True}, missing_ok=True)
        for line in reversed((found or {}).get("content") or []):
            if not isinstance(line, dict) or line.get("level") not in ("error", "critical"):
                continue
            details = line.get("error_detail") or []
            told = str(details[0].get("exc_value") or "") if details else str(line.get("event") or "")
            if told:
                return told
        return ""

    def answer(self, dag_id: str, run_id: str, task_id: str, option: str) -> bool:
        """Answer a task that waits for a person; False when it does not wait (any more)."""
        path = f"/dags/{_part(dag_id)}/dagRuns/{_part(run_id)}/taskInstances/{_part(task_id)}/-1/hitlDetails"
        body = {"chosen_options": [option], "params_input": {}}
        return self._ask("PATCH", path, json=body, missing_ok=True) is not None

    def clear(self, dag_id: str, run_id: str, *, only_failed: bool = True) -> int:
        """Have tasks of a run done again, at once; returns how many. Safe: what is done already is not done twice."""
        body = {"dag_run_id": run_id, "dry_run": False, "only_failed": only_failed}
        found = self._ask("POST", f"/dags/{_part(dag_id)}/clearTaskInstances", json=body)
        return len((found or {}).get("task_instances", []))

    def _pages(self, path: str, name: str, query: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        while True:
            page = self._ask("GET", path, params={**(query or {}), "limit": _PAGE, "offset": len(rows)}) or {}
            rows += page.get(name, [])
            if not page.get(name) or len(rows) >= page.get("total_entries", 0):
                return rows

    def _ask(
        self,
        method: str,
        path: str,
        *,
        missing_ok: bool = False,
        taken_ok: bool = False,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
    ) -> dict[str, Any] | None:
        """The answer as JSON; None for 404 when missing_ok, and for 409 when taken_ok."""
        if not self._token:
            self._log_in()
        answer = self._send(method, f"/api/v2{path}", json=json, params=params)
        if answer.status_code == 401:  # the token expired or Airflow was restarted with other keys
            self._log_in()
            answer = self._send(method, f"/api/v2{path}", json=json, params=params)
        if (answer.status_code == 404 and missing_ok) or (answer.status_code == 409 and taken_ok):
            return None
        return self._told(answer, f"{method} {path}")

    def _log_in(self) -> None:
        login = {"username": self.user, "password": password_of(self._home, self.user)}
        self._token = ""
        answer = self._send("POST", "/auth/token", json=login)
        if answer.status_code in (401, 403):
            raise StackError(
                f"Airflow at {self._url} refuses the user {self.user} of this home.",
                "Is it the Airflow of another home? Check VMS_HOME and VMS_AIRFLOW_PORT with ./vms status.",
            )
        self._token = str(self._told(answer, _LOG_IN).get("access_token", ""))

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            return self._client.request(method, path, headers=headers, **content)
        except httpx.ConnectError as error:
            raise StackError(
                f"Airflow does not answer at {self._url}.",
                "Start the system with ./vms up; ./vms status shows its parts.",
            ) from error
        except httpx.TimeoutException as error:
            raise StackError(
                f"Airflow at {self._url} did not answer in time.", "It may be starting or busy: try again in a minute."
            ) from error
        except httpx.HTTPError as error:
            raise StackError(
                f"The connection to Airflow at {self._url} broke ({error}).", "Try again; ./vms status shows its parts."
            ) from error

    def _told(self, answer: httpx.Response, asked: str) -> dict[str, Any]:
        try:
            told = answer.json()
        except ValueError:
            told = None
        if answer.is_success and isinstance(told, dict):
            return told
        if answer.is_success or (asked == _LOG_IN and answer.status_code == 404):
            raise StackError(
                f"What answers at {self._url} is not Airflow's API.",
                "Check VMS_AIRFLOW_PORT; another program may have that port.",
            )
        detail = told.get("detail") if isinstance(told, dict) else answer.text[:200]
        if answer.status_code >= 500:
            raise StackError(
                f"Airflow failed to answer {asked} ({answer.status_code}: {detail}).",
                f"Try again in a minute; its log lies in {self._home.logs}.",
            )
        raise StackError(
            f"Airflow refused {asked} ({answer.status_code}: {detail}).", "Look at the DAG in Airflow's own page."
        )


def _part(text: str) -> str:
    return quote(text, safe="")


def _dag(found: Mapping[str, Any]) -> Dag:
    return Dag(found["dag_id"], found.get("dag_display_name") or found["dag_id"], bool(found["is_paused"]))


def _run(found: Mapping[str, Any]) -> DagRun:
    return DagRun(
        dag_id=found["dag_id"],
        run_id=found["dag_run_id"],
        state=found["state"],
        started_at=_time(found.get("start_date")),
        ended_at=_time(found.get("end_date")),
        title=found.get("dag_display_name") or "",
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
