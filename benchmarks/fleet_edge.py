"""A swarm of branches for benchmarks/fleet.py: they register, tell that they live and ask for work, as Airflow's own
edge worker does (same requests, same tokens), against the product's API server on loopback, with the headers that the
branches' proxy would add for them. There is no work for them.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from airflow.api_fastapi.auth.tokens import JWTGenerator
from airflow.providers.edge3 import __version__ as edge_version
from airflow.version import version as airflow_version
from fleet_world import World, difference, site_id

from vms.branches import agent
from vms.branches.authority import Issued, authority
from vms.catalogue import branches
from vms.catalogue.connection import connect, url
from vms.stack.addresses import airflow_url

AT_ONCE = 64
POLL_S, HEARTBEAT_S = (float(agent.OVER_A_LINE[f"EDGE__{name}_INTERVAL"]) for name in ("JOB_POLL", "HEARTBEAT"))
"""Of a branch: how often it asks for work, and how often it tells that it lives."""


@dataclass
class Swarm:
    """All branches. took: seconds of each answer by kind; failed: status or error by kind."""

    url: str
    secret: str
    proxy: str
    workers: int
    took: dict[str, list[float]] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)

    async def ask(
        self, client: httpx.AsyncClient, kind: str, method: str, number: int, path: str, body: dict[str, Any]
    ) -> None:
        said = {"Proxy": self.proxy, "Verify": "SUCCESS", "Serial": format(number + 1, "X"), "Name": site_id(number)}
        made = JWTGenerator(secret_key=self.secret, valid_for=30, audience="api").generate({"method": path})
        began = time.monotonic()
        try:
            answer = await client.request(
                method,
                f"{self.url}/{path}",
                content=json.dumps(body),
                headers={"Authorization": made, "Content-Type": "application/json"}
                | {f"X-VMS-Branch-{name}": value for name, value in said.items()},
            )
        except httpx.HTTPError as error:
            self._fail(f"{kind}: {type(error).__name__}")
            return
        if answer.is_success:
            self.took.setdefault(kind, []).append(time.monotonic() - began)
        else:
            self._fail(f"{kind}: {answer.status_code} {answer.text[:80]}")

    def _fail(self, what: str) -> None:
        self.failed[what] = self.failed.get(what, 0) + 1

    def state(self, number: int) -> tuple[str, dict[str, Any]]:
        known = {"status": 20, "concurrency": 4, "free_concurrency": 4}
        versions = {"airflow_version": airflow_version, "edge_provider_version": edge_version}
        body = {"state": "idle", "jobs_active": 0, "queues": [f"site-{site_id(number)}"], "sysinfo": known | versions}
        return f"worker/branch-{site_id(number)}", body

    async def register(self, client: httpx.AsyncClient) -> None:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            path, body = self.state(number)
            async with gate:
                await self.ask(client, "register", "POST", number, path, body | {"state": "starting"})

        await asyncio.gather(*(one(number) for number in range(self.workers)))

    async def live(self, client: httpx.AsyncClient, kind: str, every_s: float, ends: float) -> None:
        """Each branch at its own moment of the period, until the end. Whoever is late is asked at once."""
        began, gate, tasks = time.monotonic(), asyncio.Semaphore(AT_ONCE), []
        number = 0

        async def one(worker: int) -> None:
            async with gate:
                if kind == "heartbeat":
                    path, body = self.state(worker)
                    await self.ask(client, kind, "PATCH", worker, path, body)
                else:
                    wanted = {"queues": [f"site-{site_id(worker)}"], "free_concurrency": 4}
                    path = f"jobs/fetch/branch-{site_id(worker)}"
                    await self.ask(client, kind, "POST", worker, path, wanted | {"supports_task_instance_uuid": True})

        while (due := began + number * every_s / self.workers) < ends:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            tasks.append(asyncio.create_task(one(number % self.workers)))
            number += 1
        await asyncio.gather(*tasks)


def enrol(world: World, workers: int) -> str:
    """The catalogue knows each branch, with the certificate of its number; what the proxy proves itself by."""
    now = datetime.now(UTC)
    asker = branches.Asker("127.0.0.1", "fleet", "0", bytes(32))
    with closing(connect(url(world.home, "owner"))) as conn:
        for number in range(world.enrolled, workers):
            token, issued = number.to_bytes(32, "big"), Issued("", format(number + 1, "x"), now + timedelta(days=1))
            branches.invite(conn, site_id(number), token, now + timedelta(hours=1), "fleet", now)
            branches.join(conn, site_id(number), token, asker, lambda issued=issued: issued, now)
    world.enrolled = max(workers, world.enrolled)
    return authority(world.home, now, make=True).proxy


def measure_edge(world: World, workers: int, seconds: float) -> dict[str, Any]:
    """What the API server and the database use for so many branches that have nothing to do."""
    world.start(
        "api", EDGE__API_ENABLED="True", CORE__EXECUTOR="LocalExecutor,airflow.providers.edge3.executors.EdgeExecutor"
    )
    world.wait_well("api_server")
    environment = world.environment()
    secret = environment["AIRFLOW__API_AUTH__JWT_SECRET"]
    swarm = Swarm(f"{airflow_url(world.home)}/edge_worker/v1", secret, enrol(world, workers), workers)
    found: dict[str, Any] = {"workers": workers, "poll_s": POLL_S, "heartbeat_s": HEARTBEAT_S}

    async def run() -> None:
        limits = httpx.Limits(max_connections=2 * AT_ONCE, max_keepalive_connections=2 * AT_ONCE)
        async with httpx.AsyncClient(limits=limits, timeout=60.0) as client:
            for kind, work in (
                ("register", lambda _ends: swarm.register(client)),
                ("heartbeat", lambda ends: swarm.live(client, "heartbeat", HEARTBEAT_S, ends)),
                ("fetch", lambda ends: swarm.live(client, "fetch", POLL_S, ends)),
            ):
                before, began = world.cpu(), time.monotonic()
                await work(began + seconds)
                found[kind] = _figures(
                    swarm.took.get(kind, []), difference(before, world.cpu()), time.monotonic() - began
                )

    try:
        asyncio.run(run())
    finally:
        world.stop("api")
    found["failed"] = swarm.failed
    per_s = {"heartbeat": workers / HEARTBEAT_S, "fetch": workers / POLL_S}
    found["cores"] = sum(
        per_s[kind] * (found[kind]["api_cpu_ms"] + found[kind]["postgres_cpu_ms"]) / 1000 for kind in per_s
    )
    return found


def _figures(took: list[float], used: dict[str, float], wall_s: float) -> dict[str, float]:
    if not took:
        return {"requests": 0, "api_cpu_ms": 0.0, "postgres_cpu_ms": 0.0}
    cuts = statistics.quantiles(took, n=20) if len(took) > 1 else [took[0]] * 19
    return {
        "requests": len(took),
        "per_s": len(took) / wall_s,
        "p50_ms": 1000 * cuts[9],
        "p95_ms": 1000 * cuts[18],
        "api_cpu_ms": 1000 * used["api"] / len(took),
        "postgres_cpu_ms": 1000 * used["postgres"] / len(took),
    }
