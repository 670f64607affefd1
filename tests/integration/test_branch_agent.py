"""The agent of a branch against a centre's port of real TLS: as whom it comes, by whose clock, and how it ends."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from vms.branches import agent, authority, membership, turn
from vms.home import PROJECT_ROOT, Home, from_environment
from vms.stack import processes

AHEAD = timedelta(minutes=10)
SECRET = "told-to-every-branch-" * 4


class Centre(ThreadingHTTPServer):
    """Answers at the branches' port as a centre whose Airflow is just being restarted, and keeps what was asked."""

    daemon_threads = True
    refuses = False
    told: dict[str, Any] | None = None

    def __init__(self, own: Home) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.heard: list[tuple[str, str, str]] = []  # the certificate's name, method and path, the token
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=own.branches / "authority.pem")
        context.load_cert_chain(own.branches / "server.pem", own.branches / "server.key")
        context.verify_mode = ssl.CERT_REQUIRED
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: Any) -> None:
        """Whoever hangs up in the middle is heard no more of."""


class Asked(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Centre

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        (name,) = (value for part in self.connection.getpeercert()["subject"] for _, value in part)  # type: ignore[attr-defined]
        self.server.heard.append((name, f"{self.command} {self.path}", self.headers.get("Authorization", "")))
        told: dict[str, Any] = {"error": "It starts.", "detail": "It starts."}
        status = 503
        if self.path.startswith("/branch/"):
            config = self.path.endswith("config")
            status = 403 if self.server.refuses else 304 if config and self.server.told is None else 200
            told = {"time": datetime.now(UTC).isoformat()} if status == 200 else {"error": "You are out."}
            if config and status == 200:
                told = self.server.told or {}
        body = b"" if status == 304 else json.dumps(told).encode()
        self.send_response_only(status)
        self.send_header("Date", format_datetime(datetime.now(UTC) + AHEAD, usegmt=True))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PATCH = answer  # noqa: N815 - the library's names

    def log_message(self, *_: Any) -> None:
        """Nothing to say."""


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[Centre]:
    own = from_environment({"VMS_HOME": str(tmp_path / "centre")})
    now = datetime.now(UTC)
    authority.prepare_port(own, authority.authority(own, now), ["127.0.0.1"], now)
    made = Centre(own)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def branch(tmp_path: Path, centre: Centre) -> Home:
    """A machine that has joined."""
    home = from_environment({"VMS_HOME": str(tmp_path / "branch")})
    own = authority.authority(from_environment({"VMS_HOME": str(tmp_path / "centre")}), datetime.now(UTC))
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    home.prepare()
    folder = membership.folder(home)
    folder.mkdir(mode=0o700)
    known = {
        "url": centre.url, "site": "mks", "worker": "branch-mks", "queue": "site-mks", "edge_secret": SECRET,
        "version": "0.0.9", "joined_at": "2026-11-01T00:00:00+00:00",
    }  # fmt: skip
    for name, text in (
        ("key.pem", authority.private_pem(key)),
        ("certificate.pem", authority.issue(own, request, "mks", datetime.now(UTC)).pem),
        ("authority.pem", own.pem),
        ("branch.json", json.dumps(known)),
        ("sites.yaml", f"sites:\n- {{id: mks, footage: {tmp_path}, time_zone: WITA, runs_on: edge}}\n"),
    ):
        authority.put(folder / name, text)
    return home


def environment(home: Home) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VMS_", "AIRFLOW"))}
    return kept | {
        "VMS_HOME": str(home.root),
        "PYTHONPATH": os.pathsep.join((str(PROJECT_ROOT / "include"), str(PROJECT_ROOT / "plugins"))),
    }


@pytest.mark.slow
def test_the_agent_keeps_a_worker_that_shows_the_branch_and_ends_it_with_all_that_it_began(
    centre: Centre, branch: Home
) -> None:
    start = (sys.executable, "-m", "vms.stack.container", "branch")
    log = branch.logs / "agent.log"
    with log.open("wb") as output:
        running = subprocess.Popen(start, cwd=PROJECT_ROOT, env=environment(branch), stdout=output, stderr=output)
    try:
        give_up = time.monotonic() + 240  # an Airflow has to be read first
        while len([one for one in list(centre.heard) if one[1].startswith("PATCH /edge_worker/v1/worker/")]) < 2:
            assert time.monotonic() < give_up, log.read_text()
            assert running.poll() is None, log.read_text()
            time.sleep(0.1)
        assert {name for name, _, _ in centre.heard} == {"mks"}, "nobody asks without the branch's certificate"
        *_, (_, path, token) = (one for one in list(centre.heard) if "/edge_worker/" in one[1])
        said = jwt.decode(token, SECRET, algorithms=["HS512"], audience="api", leeway=AHEAD + timedelta(minutes=1))
        assert said["method"] == path.removeprefix("PATCH /edge_worker/v1/") == "worker/branch-mks"
        by_the_centre = datetime.now(UTC) + AHEAD
        assert abs(datetime.fromtimestamp(said["iat"], UTC) - by_the_centre) < timedelta(minutes=4)

        assert turn.is_running(branch)
        assert "0.0.9" in agent.other_version(membership.load(branch))
        second = subprocess.run(start, cwd=PROJECT_ROOT, env=environment(branch), capture_output=True, text=True)
        assert second.returncode == 1
        assert "runs already" in second.stderr
        begun = psutil.Process(running.pid).children(recursive=True)
        assert begun
        running.terminate()
        assert running.wait(120) == 0
        assert [one for one in begun if processes.alive(one)] == []
        assert not turn.is_running(branch)
    finally:
        running.kill()


@pytest.mark.slow
def test_it_is_airflows_file_in_which_the_number_of_a_worker_stays(branch: Home) -> None:
    write = "from airflow.providers.edge3.cli import signalling as s; s.write_pid_to_pidfile(s.pid_file_path(None))"
    known = membership.load(branch)

    def written() -> int:
        environment = agent.worker_environment(branch, known)
        return subprocess.run(
            (sys.executable, "-c", write), env=environment, capture_output=True, check=False
        ).returncode

    branch.airflow.mkdir()
    (branch.airflow / agent.PID_FILE).write_text(str(os.getpid()))
    assert written() == 1, "another program has the number: a worker would not begin"
    agent._forget_ended(branch, known.worker)
    assert written() == 0


def test_a_branch_goes_along_when_the_centre_moves(centre: Centre, branch: Home) -> None:
    """By its own word, over the old address, and not before it answers at the new one."""
    new = "https://127.0.0.2:1"
    known = membership.load(branch)
    told = {"site": "mks", "worker": "branch-mks", "queue": "site-mks", "edge_secret": SECRET, "version": "0.0.9"}
    told["sites"] = (membership.folder(branch) / "sites.yaml").read_text()

    def hears(url: str) -> membership.Membership:
        centre.told = told | {"url": url}
        membership.fetch_sites(branch)
        return membership.load(branch)

    assert hears(new).moves_to == "", "who joined by another address was given it on purpose"
    assert hears(centre.url).moves_to == "", "that is where it is"
    assert hears(new).moves_to == new
    assert membership.load(branch).move_note in agent._warnings(branch)
    centre.told = None
    membership.fetch_sites(branch)
    assert membership.load(branch).url == known.url, "nobody answers there yet"
    there = centre.url.replace("127.0.0.1", "localhost")
    assert hears(there).moves_to == there
    centre.told = None
    membership.fetch_sites(branch)
    moved = membership.load(branch)
    assert (moved.url, moved.moves_to) == (there, "")
    assert agent._told_to_worker(branch) == (SECRET, there), "by which its worker is started anew"


def test_what_the_centre_refuses_is_told_apart_from_a_line_that_is_down(centre: Centre, branch: Home) -> None:
    assert agent.have_a_word(branch, datetime.now(UTC)).problem == ""
    (membership.folder(branch) / f".branch.json.{os.getpid()}.new").mkdir()  # as on a full disk, nothing can be kept
    full = agent.have_a_word(branch, datetime.now(UTC))
    assert "can't be kept" in full.problem
    assert not full.refused
    (membership.folder(branch) / f".branch.json.{os.getpid()}.new").rmdir()
    centre.refuses = True
    refused = agent.have_a_word(branch, datetime.now(UTC))
    assert refused.refused
    assert "You are out." in refused.problem
    centre.shutdown()
    centre.socket.close()
    down = agent.have_a_word(branch, datetime.now(UTC))
    assert down.problem
    assert not down.refused
