"""The edge worker's client at a branch, against a server of its own: whose clock is off, and whose line breaks."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest
from airflow.providers.edge3.cli import api_client
from airflow.providers.edge3.models.edge_worker import EdgeWorkerState

from vms_airflow import branch_worker

SECRET = "what-every-branch-is-told-" * 3
OFF_S = 600


class Centre(ThreadingHTTPServer):
    """Takes tokens by its own clock, as Airflow does. ahead_s: of this machine's. breaks: how many of its answers end
    in the middle."""

    daemon_threads = True
    ahead_s = 0
    breaks = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.answers: list[int] = []


class Asked(BaseHTTPRequestHandler):
    server: Centre

    def do_PATCH(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        now = time.time() + self.server.ahead_s
        claims = jwt.decode(
            self.headers["Authorization"],
            SECRET,
            algorithms=["HS512"],
            audience="api",
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
        )
        status = 200 if claims["iat"] - 30 <= now <= claims["exp"] + 30 else 403
        body = json.dumps({"state": "offline", "queues": None}).encode()
        self.server.answers.append(status)
        self.send_response_only(status)
        self.send_header("Date", formatdate(now, usegmt=True))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.breaks:
            self.server.breaks -= 1
            body = body[:-5]
            self.close_connection = True
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing to say."""


@pytest.fixture
def centre(monkeypatch: pytest.MonkeyPatch) -> Iterator[Centre]:
    made = Centre()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    monkeypatch.setenv("AIRFLOW__EDGE__API_URL", f"http://127.0.0.1:{made.server_port}/edge_worker/v1/")
    monkeypatch.delenv("AIRFLOW__API__CLIENT_SSL_CERT", raising=False)
    monkeypatch.setattr(branch_worker, "clock", branch_worker.CentresClock())
    monkeypatch.setattr(api_client, "request", branch_worker.request)
    monkeypatch.setattr(api_client, "jwt_generator", lambda: branch_worker.Signer(SECRET))
    yield made
    made.shutdown()
    made.server_close()


@pytest.mark.parametrize("ahead_s", [OFF_S, -OFF_S])
def test_a_worker_whose_clock_is_off_takes_the_place_of_the_one_that_was_killed(centre: Centre, ahead_s: int) -> None:
    """Its first request is refused; that answer tells the time. Not said, its successor would have to wait minutes."""
    centre.ahead_s = ahead_s
    asyncio.run(branch_worker.say_ended("branch-mks", "site-mks"))
    assert centre.answers == [403, 200]


def test_a_line_that_breaks_within_an_answer_is_asked_again(centre: Centre) -> None:
    centre.breaks = 1
    told = asyncio.run(api_client.worker_set_state("branch-mks", EdgeWorkerState.IDLE, 0, ["site-mks"], {}))
    assert told.state == EdgeWorkerState.OFFLINE
    assert centre.answers == [200, 200]


def test_the_worker_goes_by_the_proxy_unless_the_centre_is_one_of_those_that_need_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As everything else at the branch does."""
    for name in ("HTTPS_PROXY", "NO_PROXY", "no_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    centre = "https://cctv.example.co.id:8444/edge_worker/v1/"
    assert branch_worker.proxy_to(centre) == "http://proxy:3128"
    monkeypatch.setenv("no_proxy", "localhost,.example.co.id")
    assert branch_worker.proxy_to(centre) is None
    assert branch_worker.proxy_to("https://bucket.example.com") == "http://proxy:3128"
