"""The server of `branch_server.py` as a test meets it: with branches that joined and a proxy's words."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jwt

import branch_server
from branch_server import task_id
from catalogue_world import opened
from vms.branches.authority import Issued, authority
from vms.catalogue import branches
from vms.catalogue.branches import Asker
from vms.home import Home

NOW = datetime.now(UTC)
SERIALS = {"jkt": 0xA1, "mks": 0xB2}


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any

    @property
    def detail(self) -> str:
        return str(self.body.get("detail", "")) if isinstance(self.body, dict) else ""


@dataclass(frozen=True)
class Server:
    """The server, and the world that it lives in."""

    port: int
    proxy: str
    address: str

    def ask(
        self,
        target: str,
        *,
        said: Any = None,
        token: str = "",
        body: Any = None,
        raw: bytes | None = None,
        **headers: str,
    ) -> Answer:
        """target: METHOD and path as they go over the line. said: what the proxy says; None: nothing."""
        method, path = target.split(" ", 1)
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        sent = json.dumps(body).encode() if body is not None else raw
        conn.putrequest(method, path, skip_accept_encoding=True)
        pairs = said if isinstance(said, list) else list((said or {}).items())
        for name, value in (*pairs, *((one.replace("_", "-"), text) for one, text in headers.items())):
            conn.putheader(name, value)
        if token:
            conn.putheader("Authorization", token)
        if sent is not None:
            conn.putheader("Content-Type", "application/json")
            conn.putheader("Content-Length", str(len(sent)))
        conn.endheaders(sent)
        answer = conn.getresponse()
        text = answer.read()
        conn.close()
        try:
            return Answer(answer.status, json.loads(text) if text else None)
        except ValueError:
            return Answer(answer.status, text)

    def says(self, site: str = "jkt", **changes: str) -> dict[str, str]:
        """What the proxy says of this site's branch."""
        said = {"Proxy": self.proxy, "Verify": "SUCCESS", "Serial": format(SERIALS[site], "X"), "Name": site} | changes
        return {f"X-VMS-Branch-{name}": value for name, value in said.items() if value}

    def worker(self, target: str, body: Any = None, **more: Any) -> Answer:
        """As the edge provider's worker of jkt asks."""
        path = target.split(" ", 1)[1].partition("?")[0].removeprefix("/edge_worker/v1/")
        return self.ask(target, said=more.pop("said", self.says()), token=edge_token(unquote(path)), body=body, **more)

    def task(self, target: str, name: str = "mine", body: Any = None, **more: Any) -> Answer:
        """As a task asks that runs at jkt."""
        token = f"Bearer {task_token(name)}"
        return self.ask(target, said=more.pop("said", self.says()), token=token, body=body, **more)


def edge_token(method: str) -> str:
    now = datetime.now(UTC)
    claims = {"method": method, "aud": "api", "iat": now, "nbf": now, "exp": now + timedelta(minutes=10)}
    return jwt.encode(claims, branch_server.SECRET, "HS512")


def task_token(name: str) -> str:
    now = datetime.now(UTC)
    claims = {"sub": task_id(name) if name in branch_server.TASKS else name, "aud": "urn:airflow.apache.org:task"}
    return jwt.encode(claims | {"iat": now, "nbf": now, "exp": now + timedelta(hours=1)}, branch_server.SECRET, "HS512")


@contextmanager
def serving(folder: Path, home: Home, address: str, **more: str) -> Iterator[Server]:
    """The server, until the end of the block. more: of its environment."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = branch_server.environment_of(folder, VMS_HOME=str(home.root), VMS_CATALOGUE_URL=address, **more)
    with (folder / "server.log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, branch_server.__file__, str(port)], env=environment, stdout=log, stderr=log
        )
    try:
        server = Server(port, authority(home, NOW).proxy, address)

        def up() -> bool:
            assert child.poll() is None, (folder / "server.log").read_text()[-3000:]
            try:
                return server.ask("GET /execution/health").status == 200
            except OSError:
                return False

        end = time.monotonic() + 300  # only ends a hang: Airflow takes its time
        while not up():
            assert time.monotonic() < end, "the API server does not answer"
            time.sleep(0.2)
        yield server
    finally:
        child.terminate()
        child.wait(60)


def let_join(address: str, site: str, serial: int, until: datetime = NOW + timedelta(days=90)) -> None:
    with opened(address) as conn:
        branches.invite(conn, site, bytes(32), NOW + timedelta(days=1), "ani", NOW)
        who = Asker("192.0.2.7", "nvr", "1", bytes(32))
        branches.join(conn, site, bytes(32), who, lambda: Issued("", format(serial, "x"), until), NOW)
