"""`./vms up --demo --with-s3`: two proven copies of each recording, also after the S3 server was killed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from installation import Stack, free_port, sha256, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    running = Stack(tmp_path / "home", viewer_port=free_port(), airflow_port=free_port())
    running.skip_the_past()
    try:
        running.vms("up", "--demo", "--with-s3", "--detach", timeout_s=300)
        yield running
    finally:
        running.vms("down", check=False, timeout_s=60)


def in_both(stack: Stack, since: datetime) -> list[dict[str, Any]]:
    """Recordings that both stores have proven since then."""
    rows = stack.recordings("--state", "archived")
    proven = [
        (row, {one["store"]: datetime.fromisoformat(one["verified_at"]) for one in row["copies"]}) for row in rows
    ]
    return [row for row, at in proven if at.keys() == {"nas", "cloud"} and min(at.values()) > since]


def test_two_proven_copies_also_after_the_server_was_killed(stack: Stack) -> None:
    first = wait_for(
        "a recording in both stores", lambda: in_both(stack, datetime.min.replace(tzinfo=UTC)), 240, every_s=2
    )
    same_bytes_in_both(stack, first[0])

    def server() -> dict[str, Any]:
        return next(one for one in stack.status()["services"] if one["name"] == "demo-s3")

    os.kill(server()["pid"], signal.SIGKILL)
    killed = datetime.now(UTC)
    wait_for("the S3 server to be back", lambda: server()["restarts"] == 1 and server()["state"] == "ready", 60)
    later = wait_for("a recording in both stores after that", lambda: in_both(stack, killed), 240, every_s=2)
    same_bytes_in_both(stack, later[0])
    same_bytes_in_both(stack, first[0])

    held = {row["name"]: row for row in map(json.loads, stack.vms("stores", "list", "--json").stdout.splitlines())}
    assert held.keys() == {"nas", "cloud"}
    assert all(row["copies"] >= len(later) and row["configured"] for row in held.values())
    assert json.loads(stack.vms("stores", "check", "--json").stdout)["ok"]
    assert "nas, cloud" in stack.vms("recordings", "--state", "archived", "--limit", "1").stdout

    ports = json.loads((stack.home / "run" / "demo-s3.json").read_text())
    stack.vms("down", timeout_s=60)
    wait_for("the end of every process of the stopped stack", lambda: not list(stack.processes()), 20)
    left = [path for port in ports.values() for path in Path(tempfile.gettempdir()).glob(f"*grpc-{port + 10_000}.sock")]
    assert left == []


def same_bytes_in_both(stack: Stack, row: dict[str, Any]) -> None:
    known = json.loads((stack.home / "secrets" / "connections.json").read_text())["demo_s3"]
    session = boto3.session.Session(known["login"], known["password"], region_name=known["extra"]["region_name"])
    client = session.client("s3", endpoint_url=known["extra"]["endpoint_url"])
    keys = {copy["store"]: copy["key"] for copy in row["copies"]}
    content = client.get_object(Bucket="cctv-demo", Key=f"archive/{keys['cloud']}")["Body"].read()
    assert hashlib.sha256(content).hexdigest() == sha256(stack.home / "nas" / keys["nas"])
