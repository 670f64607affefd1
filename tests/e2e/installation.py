"""A real installation for the end-to-end tests: `./vms up --demo` on free ports in a temporary home."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Stack:
    """One running installation and how a user speaks to it. more: further variables of its environment."""

    home: Path
    viewer_port: int
    airflow_port: int
    more: dict[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("VMS_", "AIRFLOW"))}
        return keep | {
            "VMS_HOME": str(self.home),
            "VMS_VIEWER_PORT": str(self.viewer_port),
            "VMS_AIRFLOW_PORT": str(self.airflow_port),
            **self.more,
        }

    def skip_the_past(self) -> None:
        """The demonstration makes no footage of the days before: the machine of a test has other things to do."""
        self.home.joinpath("demo").mkdir(parents=True)
        (self.home / "demo" / "past.json").write_text('{"until": "2026-01-01T00:00:00+00:00", "made": 1000000}')

    @property
    def viewer_url(self) -> str:
        return f"http://127.0.0.1:{self.viewer_port}"

    def sign_in(self, page: Any) -> None:
        """Sign in as the first administrator, by the form."""
        page.goto(f"{self.viewer_url}/sign-in")
        page.locator("#name").fill("admin")
        page.locator("#password").fill((self.home / "secrets" / "viewer_admin").read_text().strip())
        page.locator("button").click()
        page.wait_for_url(f"{self.viewer_url}/")

    def vms(self, *args: str, check: bool = True, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [ROOT / "vms", *args],
            cwd=ROOT,
            env=self.environ,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"vms {' '.join(args)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def recordings(self, *args: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.vms("recordings", "--json", *args).stdout.splitlines()]

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.vms("status", "--json", check=False).stdout)
        return answer

    def airflow(self, method: str, path: str, content: dict[str, Any] | None = None) -> dict[str, Any]:
        """What Airflow's REST API answers to its admin."""
        password = (self.home / "secrets" / "airflow_admin").read_text().strip()
        with httpx.Client(base_url=f"http://127.0.0.1:{self.airflow_port}", timeout=30, trust_env=False) as client:
            token = client.post("/auth/token", json={"username": "admin", "password": password}).json()["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            answer = client.request(method, f"/api/v2{path}", json=content, headers=headers)
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()
        return told

    def processes(self) -> Iterator[int]:
        """Every process whose environment says that it belongs to this home."""
        marker = f"VMS_HOME={self.home}".encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and int(entry.name) != os.getpid():
                try:
                    variables = (entry / "environ").read_bytes().split(b"\0")
                except OSError:
                    continue
                if marker in variables:
                    yield int(entry.name)


def wait_for(what: str, ready: Callable[[], Any], timeout_s: float, every_s: float = 1.0) -> Any:
    """The first true answer of `ready`, or an assertion that says what did not come."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        answer = ready()
        if answer:
            return answer
        time.sleep(every_s)
    raise AssertionError(f"{what} did not come within {timeout_s:.0f} s")


def worker_of(stack: Stack, dag_id: str, task_id: str) -> int:
    """The process that works on the mapped task of this site that is running now.

    A process that gives itself a title writes over its environment, so it is looked for by the title alone.
    """

    def running() -> str | None:
        path = f"/dags/{dag_id}/dagRuns/~/taskInstances?task_id={task_id}&state=running&order_by=-run_after&limit=20"
        return next((task["id"] for task in stack.airflow("GET", path)["task_instances"]), None)

    title = f"airflow worker -- {wait_for(f'a running {task_id} of {dag_id}', running, 120, every_s=0.5)}"

    def at_work() -> int | None:
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    words = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if words.replace(b"\0", b" ").decode(errors="replace").strip() == title:
                    return int(entry.name)
        return None

    pid: int = wait_for("its process", at_work, 60, every_s=0.05)
    return pid
