"""What a branch may ask of Airflow: the list of it, and how each request is held to the branch's own site.

Everything that is not on the list is refused. The list is what the worker of the edge provider and the runner of tasks
call for the tasks of a site's own DAG, and no more: no connections or variables of the centre, no other DAG's runs,
nothing that makes the centre load code (a deferred task names a class; so may a value that is handed on).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

from vms.queues import site_queue

GUARDED = ("edge_worker", "execution", "branch")
"""First parts of paths that are a branch's business."""

OPEN = {("GET", "/branch/health"), ("GET", "/branch/authority"), ("POST", "/branch/join")}
"""What whoever comes by the branches' port may ask without a certificate."""

PAGES = ("ui", "static", "res")
"""What of the edge provider is for people, signed in to Airflow; the rest is for workers."""

KB, MB = 1024, 1024 * 1024
_PART = re.compile(r"[^/\\%\x00-\x1f\x7f]+")
_TRY = re.compile(r"[0-9]{1,4}", re.ASCII)
"""Each has a log of its own at the centre."""
_HANDED = frozenset({"return_value", "_link_RecordingsLink"})
"""Under what words the tasks of a site hand on; each is a row at the centre, of up to 32 MB."""
_STATES = {"success", "failed", "skipped", "up_for_retry", "up_for_reschedule", "fail_without_retry"}
_DEEPEST = 50


class Refused(Exception):
    """status: of the answer. Its text is told to whoever asked."""

    def __init__(self, why: str, status: int = 403) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True)
class Branch:
    """The branch that asks, as its certificate proves. address: from where."""

    site: str
    address: str = ""

    @property
    def worker(self) -> str:
        return f"branch-{self.site}"

    @property
    def queue(self) -> str:
        return site_queue(self.site)

    @property
    def dag_id(self) -> str:
        return f"footage_{self.site}"


@dataclass(frozen=True)
class TaskFacts:
    """Of a task instance, or an earlier try of one, as Airflow's database has it."""

    dag_id: str
    queue: str
    run_id: str
    task_id: str
    map_index: int


@dataclass(frozen=True)
class Rule:
    """One request that may be asked. path: its parts; <name> stands for a value. query: the words that it may have.

    checks: what else is looked at, see `_CHECKS`. largest: its body, in bytes.
    """

    method: str
    path: tuple[str, ...]
    checks: tuple[str, ...]
    query: tuple[str, ...] = ()
    largest: int = 256 * KB


def _rule(what: str, *checks: str, query: str = "", largest: int = 256 * KB) -> Rule:
    method, path = what.split(" ")
    return Rule(method, tuple(path.strip("/").split("/")), checks, tuple(query.split()), largest)


_JOB = "<dag>/<task>/<run>/<try>/<map>"
_XCOM = "/execution/xcoms/<dag>/<run>/<task>/<key>"
_TASK = "/execution/task-instances/<ti>"

RULES = (
    _rule("GET /edge_worker/v1/health"),
    _rule("POST /edge_worker/v1/worker/<worker>", "worker", "queues"),
    _rule("PATCH /edge_worker/v1/worker/<worker>", "worker", "queues"),
    _rule("POST /edge_worker/v1/jobs/fetch/<worker>", "worker", "queues"),
    _rule(f"PATCH /edge_worker/v1/jobs/state/{_JOB}/<state>", "dag", "job"),
    _rule(f"GET /edge_worker/v1/logs/logfile_path/{_JOB}", "dag", "job", query="task_instance_id"),
    _rule(f"POST /edge_worker/v1/logs/push/{_JOB}", "dag", "job", largest=4 * MB),
    _rule(f"PATCH {_TASK}/run", "own"),
    _rule(f"PATCH {_TASK}/state", "own", "state"),
    _rule(f"PUT {_TASK}/heartbeat", "own"),
    _rule(f"PUT {_TASK}/rtif", "own", largest=4 * MB),
    _rule(f"PATCH {_TASK}/rendered-map-index", "own"),
    _rule("GET /execution/task-instances/count", "count", query="dag_id task_ids run_ids"),
    _rule(f"GET {_TASK}/previous-successful-dagrun", "own"),
    _rule(f"GET {_TASK}/validate-inlets-and-outlets", "own"),
    _rule("GET /execution/task-reschedules/<ti>/start_date", "own", query="try_number"),
    _rule(f"GET {_XCOM}", "dag", "run", query="map_index include_prior_dates"),
    _rule(f"HEAD {_XCOM}", "dag", "run", query="map_index"),
    _rule(f"GET {_XCOM}/item/<offset>", "dag", "run"),
    _rule(f"GET {_XCOM}/slice", "dag", "run", query="start stop step include_prior_dates"),
    _rule(
        f"POST {_XCOM}", "dag", "mine", "handed", "plain", query="map_index dag_result mapped_length", largest=16 * MB
    ),
    _rule(f"DELETE {_XCOM}", "dag", "mine", query="map_index"),
    _rule("GET /branch/config"),
    _rule("POST /branch/renew"),
)


def parts_of(path: str) -> tuple[str, ...]:
    """The parts of a path as the router sees it (decoded). Raises Refused for one that could mean two things."""
    if len(path) > 4 * KB or not path.startswith("/"):
        raise Refused("This path is none that a branch asks for.")
    parts = tuple(path[1:].split("/"))
    if any(part in (".", "..") or not _PART.fullmatch(part) for part in parts):
        raise Refused("This path is none that a branch asks for.")
    return parts


def rule_for(method: str, parts: Sequence[str]) -> tuple[Rule, dict[str, str]]:
    """The rule that this request falls under, and the values in its path. Raises Refused when there is none."""
    for rule in RULES:
        if rule.method != method or len(rule.path) != len(parts):
            continue
        values: dict[str, str] = {}
        for word, part in zip(rule.path, parts, strict=True):
            if word.startswith("<"):
                values[word.strip("<>")] = part
            elif word != part:
                break
        else:
            return rule, values
    if parts[:2] in (("execution", "connections"), ("execution", "variables")):
        raise Refused(
            "A branch gets no connections and no variables of the centre: connections of its stores lie in its own"
            " secrets/connections.json."
        )
    raise Refused("This is none of the things that a branch may ask of the centre.")


def read_query(rule: Rule, raw: bytes) -> dict[str, str]:
    """The words of the query. Raises Refused for one that is unknown, or said twice."""
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, strict_parsing=bool(raw), max_num_fields=10)
    except (ValueError, UnicodeError):
        raise Refused("The query of this request can't be read.", 400) from None
    found = dict(pairs)
    if len(found) != len(pairs) or not found.keys() <= set(rule.query):
        raise Refused("The query of this request has words that a branch does not use.")
    return found


def read_body(raw: bytes) -> Any:
    """JSON that can be read in one way only; None for nothing. Raises Refused."""
    if not raw:
        return None
    try:
        return json.loads(raw.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise Refused("The body of this request is no JSON, or says a word twice.", 400) from None


def task_ids(rule: Rule, values: Mapping[str, str], query: Mapping[str, str], body: Any) -> list[str]:
    """The ids of the task instances that the request names, as text. Raises Refused."""
    named = [values.get("ti"), query.get("task_instance_id")]
    if "job" in rule.checks and isinstance(body, dict):
        named.append(body.get("task_instance_id"))
    ids = [one for one in named if one is not None]
    for one in ids:
        if not isinstance(one, str) or as_uuid(one) is None:
            raise Refused("This request names a task by what is no id.", 400)
    return ids


def as_uuid(text: str) -> UUID | None:
    """Only as the programs write it."""
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text else None


def check(
    branch: Branch,
    rule: Rule,
    values: Mapping[str, str],
    query: Mapping[str, str],
    body: Any,
    named: Sequence[TaskFacts],
    token: TaskFacts | None,
) -> None:
    """named: the task instances that the request names; token: the one that its token is of (execution alone).

    Raises Refused.
    """
    for facts in (*named, *([token] if token else [])):
        if (facts.dag_id, facts.queue) != (branch.dag_id, branch.queue):
            raise Refused(f"This task is none of the branch {branch.site}.")
    asked = _Asked(branch, values, query, body, named, token)
    for what in rule.checks:
        _CHECKS[what](asked)


@dataclass(frozen=True)
class _Asked:
    branch: Branch
    values: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    named: Sequence[TaskFacts]
    token: TaskFacts | None


def _worker(asked: _Asked) -> None:
    if asked.values["worker"] != asked.branch.worker:
        raise Refused(f"The worker of the branch {asked.branch.site} is called {asked.branch.worker}, no other.")


def _queues(asked: _Asked) -> None:
    """An empty list, or none, would mean every queue there is."""
    body = asked.body if isinstance(asked.body, dict) else {}
    if body.get("queues") != [asked.branch.queue]:
        raise Refused(f"The branch {asked.branch.site} takes jobs from {asked.branch.queue}, from no other queue.")
    if body.get("team_name") is not None:
        raise Refused("A branch is of no team.")


def _dag(asked: _Asked) -> None:
    if asked.values["dag"] != asked.branch.dag_id:
        raise Refused(f"The branch {asked.branch.site} works for {asked.branch.dag_id}, for no other DAG.")


def _job(asked: _Asked) -> None:
    """The path says which job; the id, whose log and whose state it is: both have to be of one and the same task."""
    if len(asked.named) != 1:
        raise Refused("This request has to say of which task it is.")
    values, facts = asked.values, asked.named[0]
    if (values["task"], values["run"], values["map"]) != (facts.task_id, facts.run_id, str(facts.map_index)):
        raise Refused("This request names two tasks at once.")
    if not _TRY.fullmatch(values["try"]):
        raise Refused("This request names no try of the task.")


def _own(asked: _Asked) -> None:
    if asked.named != [asked.token]:
        raise Refused("A task speaks for itself alone.")


def _run(asked: _Asked) -> None:
    if asked.token is None or asked.values["run"] != asked.token.run_id:
        raise Refused("A task sees what was handed on in its own run.")


def _count(asked: _Asked) -> None:
    """How often a task of its own run is mapped: what Airflow asks to find what was handed on to one of them."""
    facts = asked.token
    if facts is None or (asked.query.get("dag_id"), asked.query.get("run_ids")) != (facts.dag_id, facts.run_id):
        raise Refused("A task sees what was handed on in its own run.")


def _mine(asked: _Asked) -> None:
    facts = asked.token
    if facts is None or (asked.values["run"], asked.values["task"]) != (facts.run_id, facts.task_id):
        raise Refused("A task hands on for itself alone.")
    if asked.query.get("map_index", "-1") != str(facts.map_index):
        raise Refused("A task hands on for itself alone.")


def _handed(asked: _Asked) -> None:
    if asked.values["key"] not in _HANDED:
        raise Refused("A task of a branch hands on its outcome, and under no other word.")


def _state(asked: _Asked) -> None:
    body = asked.body if isinstance(asked.body, dict) else {}
    if body.get("state") not in _STATES:
        raise Refused("A task of a branch ends, waits for its next try or is skipped; it has no other state.")
    if body.get("task_outlets") or body.get("outlet_events"):
        raise Refused("A task of a branch sets nothing else going.")


def _plain(asked: _Asked) -> None:
    _require_plain(asked.body, 0)


def _require_plain(value: Any, depth: int) -> None:
    """A word that begins with __ tells Airflow to make an object of a class."""
    if depth > _DEEPEST:
        raise Refused("What is handed on is nested too deeply.")
    if isinstance(value, dict):
        if any(key.startswith("__") for key in value):
            raise Refused("A branch hands on plain values: no words that begin with __.")
        for one in value.values():
            _require_plain(one, depth + 1)
    elif isinstance(value, list):
        for one in value:
            _require_plain(one, depth + 1)


_CHECKS = {
    "worker": _worker,
    "queues": _queues,
    "dag": _dag,
    "job": _job,
    "own": _own,
    "run": _run,
    "count": _count,
    "mine": _mine,
    "handed": _handed,
    "state": _state,
    "plain": _plain,
}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("twice")
    return found
