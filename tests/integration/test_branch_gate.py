"""The gate in Airflow's real API server, with the real edge provider: a branch gets its own, and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import jwt
import pytest

from branch_server import RUN, task_id
from branch_world import SERIALS, Server, edge_token, let_join, serving, task_token
from catalogue_world import opened
from viewer_world import eventually
from vms.catalogue import branches
from vms.catalogue.connection import fetch_all
from vms_airflow import branch_gate
from vms_airflow.branch_gate import BRANCH, BranchGate
from vms_airflow.branch_known import Known
from vms_airflow.branch_rules import MB, Branch, TaskFacts
from vms_airflow.links import RecordingsLink

RUN_PART = quote(RUN, safe="")
JOB = f"footage_jkt/batch.upload/{RUN_PART}/1/0"


@pytest.fixture(scope="module")
def server(new_catalogue: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home, address = new_catalogue(tmp_path_factory.mktemp("centre"))
    for site, serial in SERIALS.items():
        let_join(address, site, serial)
    with serving(tmp_path_factory.mktemp("airflow"), home, address) as made:
        yield made


QUEUES = {"queues": ["site-jkt"], "free_concurrency": 1, "supports_task_instance_uuid": True}
STATE = {"state": "running", "jobs_active": 0, "queues": ["site-jkt"], "sysinfo": {"concurrency": 1}}


def test_the_worker_and_the_tasks_of_a_branch_do_their_work(server: Server) -> None:
    """Let in: what answers is Airflow, by its own lights."""
    assert server.worker("GET /edge_worker/v1/health").body == {"status": "healthy"}
    versions = {"airflow_version": "3.3.2", "edge_provider_version": "5.1.0"}
    made = STATE | {"state": "starting", "sysinfo": {**STATE["sysinfo"], **versions}}  # type: ignore[dict-item]
    assert "last_update" in server.worker("POST /edge_worker/v1/worker/branch-jkt", made).body
    beat = server.worker("PATCH /edge_worker/v1/worker/branch-jkt", made | {"state": "idle"})
    assert beat.body["queues"] == ["site-jkt"]
    fetched = server.worker("POST /edge_worker/v1/jobs/fetch/branch-jkt", QUEUES)
    assert (fetched.status, fetched.body) == (200, None)
    mine = {"task_instance_id": task_id("mine")}
    assert server.worker(f"PATCH /edge_worker/v1/jobs/state/{JOB}/running", mine).status == 200
    logged = server.worker(f"GET /edge_worker/v1/logs/logfile_path/{JOB}?task_instance_id={task_id('mine')}")
    assert logged.status != 403, logged
    # Airflow before 3.4 gives jobs no ids: their path says which
    assert server.worker(f"PATCH /edge_worker/v1/jobs/state/{JOB}/running").status == 200
    assert server.worker(f"GET /edge_worker/v1/logs/logfile_path/{JOB}").status != 403
    counted = f"dag_id=footage_jkt&task_ids=batch.upload&run_ids={RUN_PART}"
    assert server.task(f"GET /execution/task-instances/count?{counted}").body == 1
    own = f"/execution/task-instances/{task_id('mine')}"
    beaten = server.task(f"PUT {own}/heartbeat", body={"hostname": "h", "pid": 1})
    assert beaten.status in (204, 409), beaten
    assert server.task(f"GET /execution/xcoms/footage_jkt/{RUN_PART}/plan/return_value").status == 404
    kept = server.task(
        f"POST /execution/xcoms/footage_jkt/{RUN_PART}/batch.upload/return_value?map_index=0", body=[{"a": {"b": None}}]
    )
    assert kept.status != 403, kept
    link = f"POST /execution/xcoms/footage_jkt/{RUN_PART}/sense/{RecordingsLink().xcom_key}"
    linked = server.task(link, "mine-sense", body="http://viewer/")
    assert linked.status != 403, "which Airflow hands on beside what the look has found"


def test_whoever_comes_another_way_reaches_nothing_of_branches(server: Server) -> None:
    for path in (
        "/edge_worker/v1/health",
        "/edge_worker/v1/jobs/fetch/branch-jkt",
        "/edge_worker/docs",
        "/edge_worker/openapi.json",
        "/edge_worker",
        "/edge_worker/static/../v1/health",
        "//edge_worker/v1/health",
        "/%65dge_worker/v1/health",
        "/edge_worker%2fv1/health",
        "/EDGE_WORKER/v1/health",
        "/edge_worker./v1/health",
        "/branch/config",
        "/branch/join",
        "//execution/health",
    ):
        for method in ("GET", "POST", "OPTIONS"):
            answer = server.ask(f"{method} {path}", token=edge_token(path.rpartition("/v1/")[2]))
            assert (answer.status, answer.detail) == (403, "This is for branches alone, by their own port."), path
    assert server.ask("GET /execution/health").status == 200
    assert server.ask("GET /api/v2/version").status == 200
    assert server.ask("GET /edge_worker/ui/worker").status == 401, "people sign in there"
    assert server.ask("GET /edge_worker/static/main.umd.cjs").status == 200
    own = f"/execution/task-instances/{task_id('centre-record')}/heartbeat"
    token = f"Bearer {task_token('centre-record')}"
    beaten = server.ask(f"PUT {own}", token=token, body={"hostname": "h", "pid": 1})
    assert beaten.status in (204, 409), "the centre's tasks as ever"


def test_nobody_passes_for_the_proxy(server: Server) -> None:
    good = list(server.says().items())
    for said in (
        server.says(Proxy=""),
        server.says(Proxy="0" * 64),
        server.says(Proxy=server.proxy[:-1]),
        {"X-VMS-Branch-Name": "jkt"},
        {"x-vms-branch-anything": "1"},
        [*good, ("X-VMS-Branch-Name", "mks")],
        [("X-VMS-BRANCH-PROXY", "guess"), *good],
    ):
        for path in ("/edge_worker/v1/health", "/api/v2/version", "/execution/health", "/branch/health"):
            answer = server.ask(f"GET {path}", said=said, token=edge_token("health"))
            assert (answer.status, answer.detail) == (403, "Only the branches' own port speaks for branches."), said


def test_only_a_certificate_that_counts_is_one(server: Server) -> None:
    for changes, why in (
        ({"Verify": "NONE"}, "needs a branch's certificate"),
        ({"Verify": "FAILED:certificate has expired"}, "it is over"),
        ({"Verify": ""}, "needs a branch's certificate"),
        ({"Serial": "C3"}, "does not count any more"),
        ({"Serial": ""}, "no number"),
        ({"Serial": "zz"}, "no number"),
        ({"Name": "mks"}, "of another site"),
        ({"Name": ""}, "of another site"),
    ):
        answer = server.worker("GET /edge_worker/v1/health", said=server.says(**changes))
        assert answer.status == 403
        assert why in answer.detail
    assert server.worker("GET /edge_worker/v1/health", said=server.says(Serial="00a1")).status == 200


def test_a_revoked_branch_is_out_within_seconds_and_its_last_words_are_in_the_log(server: Server) -> None:
    let_join(server.address, "jog", 0xD4)
    said = server.says(Serial="D4", Name="jog")

    def status() -> int:
        return server.worker("GET /edge_worker/v1/health", said=said).status

    eventually(lambda: status() == 200)
    with opened(server.address) as conn:
        branches.revoke(conn, "jog", "ani", datetime.now(UTC))
    eventually(lambda: status() == 403)
    assert [status() for _ in range(5)] == [403] * 5
    with opened(server.address) as conn:
        told = fetch_all(
            conn, "SELECT who, detail->>'why', address FROM view_log WHERE action = 'branch_refused' AND who = %s",
            ["branch-jog"],
        )  # fmt: skip
        seen = fetch_all(conn, "SELECT seen_from FROM branch WHERE site = 'mks'", [])
    (one,) = {row for row in told if "shut out" in row[1]}
    assert one[2] == "127.0.0.1"
    assert sum("shut out" in row[1] for row in told) < 5, "the same is told once a minute"
    assert seen


OTHER, CENTRE = task_id("other"), task_id("centre-record")
MINE = task_id("mine")
XCOM = f"/execution/xcoms/footage_jkt/{RUN_PART}"
REFUSED_WORKER: list[tuple[str, Any]] = [
    ("POST /edge_worker/v1/worker/branch-mks", STATE),
    ("POST /edge_worker/v1/worker/branch-jkt", STATE | {"queues": ["site-jkt", "centre"]}),
    ("POST /edge_worker/v1/worker/branch-jkt", STATE | {"queues": None}),
    ("PATCH /edge_worker/v1/worker/branch-jkt", STATE | {"team_name": "a"}),
    ("PATCH /edge_worker/v1/worker/queues/branch-jkt", {"new_queues": ["centre"], "remove_queues": None}),
    ("POST /edge_worker/v1/jobs/fetch/branch-mks", QUEUES),
    ("POST /edge_worker/v1/jobs/fetch/branch-jkt", QUEUES | {"queues": []}),
    ("POST /edge_worker/v1/jobs/fetch/branch-jkt", QUEUES | {"queues": None}),
    ("POST /edge_worker/v1/jobs/fetch/branch-jkt", QUEUES | {"queues": "site-jkt"}),
    ("POST /edge_worker/v1/jobs/fetch/branch-jkt", QUEUES | {"queues": ["centre"]}),
    ("POST /edge_worker/v1/jobs/fetch/branch-jkt", {"free_concurrency": 1}),
    ("POST /edge_worker/v1/jobs/fetch/branch-jkt", [QUEUES]),
    (f"PATCH /edge_worker/v1/jobs/state/{JOB.replace('jkt', 'mks')}/success", {"task_instance_id": OTHER}),
    (f"PATCH /edge_worker/v1/jobs/state/{JOB}/success", {"task_instance_id": OTHER}),
    (f"PATCH /edge_worker/v1/jobs/state/{JOB}/success", {"task_instance_id": CENTRE}),
    (f"PATCH /edge_worker/v1/jobs/state/{JOB}/success", {"task_instance_id": task_id("mine-sense")}),
    (f"PATCH /edge_worker/v1/jobs/state/{JOB.replace('upload', 'record')}/success", None),
    (f"GET /edge_worker/v1/logs/logfile_path/{JOB.replace('upload', 'record')}", None),
    (f"GET /edge_worker/v1/logs/logfile_path/{JOB}?task_instance_id={OTHER}", None),
    (
        f"POST /edge_worker/v1/logs/push/{JOB}",
        {"log_chunk_time": "x", "log_chunk_data": "y", "task_instance_id": OTHER},
    ),
    ("GET /edge_worker/v1/logs/logfile_path/footage_jkt/..%2f..%2fetc/x/1/0", None),
    (f"POST /edge_worker/v1/logs/push/{JOB.replace('/1/', '/123456/')}", {"task_instance_id": task_id("mine")}),
    ("GET /edge_worker/ui/worker", None),
    ("GET /edge_worker/docs", None),
    ("GET /edge_worker/static/main.umd.cjs", None),
    ("GET /edge_worker/v1/health/", None),
    ("GET //edge_worker/v1/health", None),
    ("GET /edge_worker/v1/../v1/health", None),
    ("GET /edge_worker/v1/%2e%2e/v1/health", None),
    ("GET /edge_worker/v1/./health", None),
    ("GET /edge_worker/v1/health%00", None),
    ("GET /edge_worker/v1/health%0a", None),
    ("GET /edge_worker/v1%2fhealth/", None),
    ("GET /edge_worker/v1/%2568ealth", None),
    ("GET /EDGE_WORKER/v1/health", None),
    ("GET /edge_worker/v1/health.", None),
    ("GET /edge_worker/v1/health?a=1", None),
    ("OPTIONS /edge_worker/v1/health", None),
    ("GET /", None),
    ("GET /api/v2/version", None),
    ("GET /api/v2/connections", None),
    ("GET /ui/config", None),
    ("POST /auth/token", {"username": "admin", "password": "x"}),
    ("GET /branch/elsewhere", None),
]
REFUSED_TASK: list[tuple[str, str, Any]] = [
    ("GET /execution/connections/company_s3", "mine", None),
    ("GET /execution/variables/secret", "mine", None),
    ("GET /execution/variables/keys", "mine", None),
    ("PUT /execution/variables/secret", "mine", {"val": "1"}),
    ("GET /execution/connection-tests/x/connection", "mine", None),
    ("GET /execution/health", "mine", None),
    (f"PUT /execution/task-instances/{OTHER}/heartbeat", "other", {"hostname": "h", "pid": 1}),
    (f"PUT /execution/task-instances/{OTHER}/heartbeat", "mine", {"hostname": "h", "pid": 1}),
    (f"PUT /execution/task-instances/{CENTRE}/heartbeat", "centre-record", {"hostname": "h", "pid": 1}),
    (f"PUT /execution/task-instances/{MINE}/heartbeat", "other", {"hostname": "h", "pid": 1}),
    (f"PUT /execution/task-instances/{MINE}/heartbeat", "mine-sense", {"hostname": "h", "pid": 1}),
    (f"PUT /execution/task-instances/{MINE.upper()}/heartbeat", "mine", {"hostname": "h", "pid": 1}),
    (f"PATCH /execution/task-instances/{MINE}/state", "mine", {"state": "deferred", "classpath": "os.system"}),
    (f"PATCH /execution/task-instances/{MINE}/state", "mine", {"state": "awaiting_input", "next_method": "x"}),
    (f"PATCH /execution/task-instances/{MINE}/state", "mine", {"state": "success", "outlet_events": [{"a": 1}]}),
    (f"PATCH /execution/task-instances/{MINE}/state", "mine", {"state": "success", "task_outlets": [{"name": "x"}]}),
    (f"PATCH /execution/task-instances/{MINE}/state", "mine", ["success"]),
    (f"PATCH /execution/task-instances/{MINE}/skip-downstream", "mine", {"tasks": ["verdict"]}),
    ("GET /execution/task-instances/count?dag_id=footage_mks", "mine", None),
    ("GET /execution/task-instances/count?dag_id=footage_jkt", "mine", None),
    (f"GET /execution/task-instances/count?dag_id=footage_mks&run_ids={RUN_PART}", "mine", None),
    (f"GET /execution/task-instances/count?dag_id=footage_jkt&run_ids={RUN_PART}&run_ids=other", "mine", None),
    ("GET /execution/task-instances/previous/footage_mks/sense", "mine", None),
    (f"POST /execution/dag-runs/footage_jkt/{RUN_PART}/clear", "mine", None),
    ("POST /execution/dag-runs/backfill/x", "mine", {}),
    ("GET /execution/dags/footage_jkt", "mine", None),
    ("GET /execution/assets/by-name?name=x", "mine", None),
    (f"POST /execution/hitlDetails/{MINE}", "mine", {}),
    (f"GET /execution/store/ti/{MINE}/x", "mine", None),
    (f"GET /execution/xcoms/footage_mks/{RUN_PART}/plan/return_value", "mine", None),
    ("GET /execution/xcoms/footage_jkt/scheduled__2026-01-01/plan/return_value", "mine", None),
    (f"GET {XCOM}/plan/return_value?dag_id=footage_mks", "mine", None),
    (f"GET {XCOM}/plan/return_value?map_index=0&map_index=1", "mine", None),
    (f"GET {XCOM}/plan/a/b", "mine", None),
    (f"POST {XCOM}/plan/return_value", "mine", [1]),
    (f"POST {XCOM}/batch.upload/return_value?map_index=1", "mine", [1]),
    (f"POST {XCOM}/batch.upload/return_value", "mine", [1]),
    (f"DELETE {XCOM}/plan/return_value", "mine", None),
    (f"POST {XCOM}/batch.upload/a-word-more?map_index=0", "mine", [1]),
    (f"POST {XCOM}/batch.upload/return_value?map_index=0", "mine", [{"a": [{"__classname__": "airflow.x"}]}]),
    (f"POST {XCOM}/batch.upload/return_value?map_index=0", "mine", {"__type": "x", "__var": 1}),
]


@pytest.mark.parametrize(("target", "body"), REFUSED_WORKER)
def test_a_branchs_worker_gets_nothing_else(server: Server, target: str, body: Any) -> None:
    answer = server.worker(target, body)
    assert (answer.status, bool(answer.detail)) == (403, True), answer
    assert "Forbidden" not in answer.detail, "it is the gate that refuses, before Airflow has seen it"


@pytest.mark.parametrize(("target", "name", "body"), REFUSED_TASK)
def test_a_branchs_task_gets_nothing_else(server: Server, target: str, name: str, body: Any) -> None:
    answer = server.task(target, name, body)
    assert answer.status in (400, 403), answer
    assert "token" not in answer.detail.lower(), answer
    assert answer.detail, answer


def test_bodies_mean_one_thing_and_are_bounded(server: Server) -> None:
    fetch = "POST /edge_worker/v1/jobs/fetch/branch-jkt"
    good = json.dumps(QUEUES)
    for raw in (
        good.replace('"queues"', '"queues": ["centre"], "queues"').encode(),
        good.replace("queues", "\\u0071ueues").replace("{", '{"queues": [],', 1).encode(),
        good.encode("utf-16"),
        b"\xef\xbb\xbf" + good.encode(),
        good.encode()[:-1],
        b"[" * 100_000,
    ):
        answer = server.worker(fetch, raw=raw)
        assert answer.status == 400, raw[:50]
    assert server.worker(fetch, raw=b" " * 300_000 + good.encode()).status == 413
    deep: Any = "x"
    for _ in range(60):
        deep = [deep]
    kept = server.task(f"POST {XCOM}/batch.upload/return_value?map_index=0", body=deep)
    assert "nested too deeply" in kept.detail


class Knows(Known):
    """Without a database behind it."""

    async def require_proxy(self, said: dict[str, str]) -> None:
        pass

    async def branch(self, said: dict[str, str], address: str) -> Branch:
        return Branch(said["name"], address)

    async def task(self, number: str) -> TaskFacts:  # noqa: ARG002 - there is but one
        return TaskFacts("footage_jkt", "site-jkt", RUN, "batch.upload", 0)

    async def note_refused(self, name: str, why: str, address: str) -> None:
        pass


def test_a_branch_has_one_large_body_at_a_time_and_so_much_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else one of them fills the memory of all, or the disk."""
    asked: list[str] = []
    ended: list[int] = []
    size = 2 * MB

    async def many() -> None:
        go_on = asyncio.Event()

        async def app(scope: Any, _receive: Any, _send: Any) -> None:
            asked.append(scope[BRANCH].site)
            await go_on.wait()

        gate = BranchGate(app, Knows())

        async def push(site: str, padding: int) -> None:
            said = {"x-vms-branch-proxy": "x", "x-vms-branch-name": site}
            body = json.dumps({"task_instance_id": MINE, "log_chunk_data": "x" * padding}).encode()
            headers = [(name.encode(), text.encode()) for name, text in said.items()]
            headers.append((b"content-length", str(len(body)).encode()))
            path = f"/edge_worker/v1/logs/push/footage_jkt/batch.upload/{RUN}/1/0"
            scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}

            async def receive() -> dict[str, Any]:
                return {"type": "http.request", "body": body, "more_body": False}

            async def send(message: Any) -> None:
                if "status" in message:
                    ended.append(message["status"])

            await gate(scope, receive, send)

        large = [asyncio.create_task(push("jkt", size)) for _ in range(3)]
        small = asyncio.create_task(push("jkt", 10))
        for _ in range(50):
            await asyncio.sleep(0)
        assert asked == ["jkt", "jkt"], "a large one and the small one"
        go_on.set()
        await asyncio.gather(*large, small)
        assert asked == ["jkt"] * 4
        monkeypatch.setattr(branch_gate, "MOST_SPENT", 4 * size)
        await push("jkt", size)
        assert ended == [429]
        monkeypatch.setattr(branch_gate, "SPENT_S", -1.0)
        await push("jkt", size)
        assert (ended, len(asked)) == ([429], 5), "an hour later"

    asyncio.run(many())


def test_without_the_right_token_nothing_is_even_looked_up(server: Server) -> None:
    own = f"PUT /execution/task-instances/{MINE}/heartbeat"
    beat = {"hostname": "h", "pid": 1}
    for token in ("", "Bearer x", f"Basic {task_token('mine')}", f"Bearer {task_token('not-an-id')}"):
        assert "no task's token" in server.ask(own, said=server.says(), token=token, body=beat).detail
    forged = jwt.encode({"sub": MINE, "aud": "urn:airflow.apache.org:task"}, "x" * 64, "HS512")
    answer = server.ask(own, said=server.says(), token=f"Bearer {forged}", body=beat)
    assert (answer.status, answer.detail) == (403, "Invalid auth token"), "Airflow looks at the signature"
    unknown = task_id("nobody")
    gone = server.ask(
        f"PUT /execution/task-instances/{unknown}/heartbeat", said=server.says(), body=beat,
        token=f"Bearer {task_token(unknown)}",
    )  # fmt: skip
    assert gone.status == 404, "as Airflow tells a task that it is to end"
