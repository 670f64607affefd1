"""The supervisor with real processes: restarts, no orphans, recovery from the launcher's death, taken ports."""

from __future__ import annotations

import contextlib
import errno
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from vms.errors import StackError
from vms.home import PROJECT_ROOT, Home, from_environment
from vms.stack import launch, postgres, processes
from vms.stack.health import AirflowHealth
from vms.stack.state import ServiceState, StackState, as_seen_now, read_state
from vms.stack.supervisor import Command, Service, Supervisor, rotate

T = TypeVar("T")
TINY = Path(__file__).with_name("tiny_stack.py")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    ports = (postgres.free_port(), postgres.free_port())
    home = from_environment(
        {"VMS_HOME": str(tmp_path / "home"), "VMS_VIEWER_PORT": str(ports[0]), "VMS_AIRFLOW_PORT": str(ports[1])}
    )
    yield home
    state = read_state(home)
    if state and state.launcher_lives:
        os.kill(state.pid, signal.SIGKILL)
        _until(lambda: not state.launcher_lives)
    launch.end_leftovers(home)


def test_a_crashing_service_is_restarted_later_each_time_and_says_why(home: Home) -> None:
    _start(home)
    state = _until(lambda: _seen(home, lambda state: _service(state, "crashing").restarts >= 2))

    assert state
    crashing = _service(state, "crashing")
    assert "no room in here" in crashing.detail
    assert _service(state, "parent").state == "ready"
    assert _service(state, "parent").restarts == 0


def test_what_cant_be_prepared_anew_is_tried_again_and_nothing_else_stops(tmp_path: Path) -> None:
    """A disk that is full when a service has ended has room later."""
    home = from_environment({"VMS_HOME": str(tmp_path / "own")})  # the fixture's launcher is killed, and here it is us
    home.prepare()
    command = Command((sys.executable, "-c", "import time; time.sleep(600)"), dict(os.environ), home.root)
    prepared: list[int] = []

    def prepare() -> Command:
        prepared.append(1)
        if len(prepared) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return command

    supervisor = Supervisor(home, "full")
    try:
        supervisor.start_service(Service("needs room", prepare, lambda: True))
        os.kill(supervisor.state.services[0].pid, signal.SIGKILL)
        _until(lambda: "No space left" in supervisor.state.services[0].detail)
        _until(lambda: len(prepared) == 3 and supervisor.state.services[0].state == "ready")
    finally:
        supervisor.stop_all()


def test_who_a_killed_service_has_begun_ends_before_it_is_started_anew(tmp_path: Path) -> None:
    """They have inherited its connections, and hold its locks in the database for as long as they live."""
    home = from_environment({"VMS_HOME": str(tmp_path / "own")})  # the fixture's launcher is killed, and here it is us
    home.prepare()
    works = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    begins = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {works!r}]); time.sleep(600)"
    command = Command((sys.executable, "-c", begins), dict(os.environ), home.root)
    supervisor = Supervisor(home, "killed")
    try:
        supervisor.start_service(Service("scheduler", lambda: command, lambda: True))
        first = supervisor.state.services[0].pid
        worker = _until(lambda: next(iter(processes.tree(first)[1:]), None))
        assert worker
        os.kill(first, signal.SIGKILL)
        _until(lambda: supervisor.state.services[0].restarts == 1)
        assert processes.wait_gone([worker], 0) == []
        _until(lambda: supervisor.state.services[0].state == "ready")
    finally:
        supervisor.stop_all()


def test_another_program_on_airflows_port_is_not_airflow(home: Home) -> None:
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"[]" if lists else b"<html>")

        def log_message(self, *_: object) -> None:
            pass

    lists: list[int] = []
    with http.server.HTTPServer(("127.0.0.1", home.airflow_port), Page) as page:
        threading.Thread(target=page.serve_forever, daemon=True).start()
        assert not AirflowHealth(home).is_well("api_server")
        lists.append(1)
        assert not AirflowHealth(home).is_well("scheduler")
        page.shutdown()


def test_stopping_leaves_no_process_not_even_one_that_ignores_it_in_its_own_session(home: Home) -> None:
    _start(home)
    everyone = _until(lambda: _everyone(home, at_least=2))
    assert everyone

    assert launch.stop(home)

    assert processes.wait_gone(everyone, 0) == []
    state = read_state(home)
    assert state
    assert state.phase == "stopped"


def test_a_launcher_that_does_not_answer_is_killed_and_its_services_end_too(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "DOWN_S", 0.5)
    launcher = _start(home)
    everyone = _until(lambda: _everyone(home, at_least=2))
    assert everyone
    launcher.send_signal(signal.SIGSTOP)

    assert launch.stop(home)

    assert processes.wait_gone(everyone, 0) == []
    state = read_state(home)
    assert state
    assert state.phase == "stopped"


def test_stopping_never_says_that_all_is_stopped_while_something_runs_on(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = _start(home)
    everyone = _until(lambda: _everyone(home, at_least=2))
    launcher.kill()
    launcher.wait()
    with monkeypatch.context() as patched:
        patched.setattr(processes, "end", lambda *_args, **_more: None)  # as a process that waits for a dead mount
        with pytest.raises(StackError, match=rf"can't be ended.*process {everyone[0].pid}") as refused:
            launch.stop(home)
    assert "./vms down" in refused.value.remedy
    state = read_state(home)
    assert state
    assert state.phase == "usable"
    assert launch.stop(home)


def test_after_kill_9_of_the_launcher_the_next_start_ends_what_was_left(home: Home) -> None:
    launcher = _start(home)
    everyone = _until(lambda: _everyone(home, at_least=2))
    assert everyone
    launcher.kill()
    launcher.wait()
    assert processes.wait_gone(everyone, 0), "the services must outlive a killed launcher for this test"
    seen = read_state(home)
    assert seen
    assert as_seen_now(seen).phase == "failed"

    launch.claim(home).release()

    assert processes.wait_gone(everyone, 0) == []


def test_a_second_start_on_a_running_home_is_refused(home: Home) -> None:
    launcher = _start(home)
    with pytest.raises(StackError, match=rf"already runs.*process {launcher.pid}"):
        launch.claim(home)


def test_a_taken_port_is_named_with_its_holder_and_the_setting(home: Home) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", home.airflow_port))
        taken.listen()
        with pytest.raises(StackError, match=rf"Port {home.airflow_port} .*{os.getpid()}") as refused:
            launch.claim(home)
    assert "VMS_AIRFLOW_PORT=" in refused.value.remedy
    launch.claim(home).release()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become an ordinary user")
def test_a_port_that_only_root_may_use_is_not_called_taken(tmp_path: Path) -> None:
    program = (
        "import os; from vms.stack.ports import require_free; os.setgid(65534); os.setuid(65534)\n"
        "require_free(9, 'viewer', 'VMS_VIEWER_PORT')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(PROJECT_ROOT / "include"), "VMS_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Port 9 for the viewer is one that only root may use." in done.stderr


def test_stopping_what_does_not_run_says_so(home: Home) -> None:
    assert launch.stop(home) is False


def test_a_start_that_fails_keeps_saying_why(home: Home, tmp_path: Path) -> None:
    environment = os.environ | {
        "PYTHONPATH": str(PROJECT_ROOT / "include"),
        "VMS_HOME": str(home.root),
        "VMS_SITES": str(tmp_path / "sites.yaml"),
        "VMS_VIEWER_PORT": str(home.viewer_port),
        "VMS_AIRFLOW_PORT": str(home.airflow_port),
        "VMS_POSTGRES_URL": f"postgresql://nobody@127.0.0.1:{postgres.free_port()}/postgres",
    }
    done = subprocess.run([sys.executable, "-m", "vms.stack.launch"], env=environment, check=False)

    state = read_state(home)
    assert done.returncode == 1
    assert state
    assert state.phase == "failed"
    assert "Connection refused" in state.error
    assert "VMS_POSTGRES_URL" in state.remedy


def test_large_logs_are_moved_aside_and_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vms.stack.supervisor.LOG_LIMIT_BYTES", 10)
    log = tmp_path / "viewer.log"
    for number in range(6):
        log.write_text(f"log number {number}")
        rotate(log)
    log.write_text("small")
    rotate(log)

    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert kept == {
        "viewer.log": "small",
        "viewer.log.1": "log number 5",
        "viewer.log.2": "log number 4",
        "viewer.log.3": "log number 3",
    }


def test_a_log_that_is_being_written_turns_over_too_and_its_writer_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = from_environment({"VMS_HOME": str(tmp_path / "own")})  # the fixture's launcher is killed, and here it is us
    monkeypatch.setattr("vms.stack.supervisor.LOG_LIMIT_BYTES", 1000)
    monkeypatch.setattr("vms.stack.supervisor.LOGS_LOOK_S", 0.0)
    home.prepare()
    talks = "import itertools, time\nfor n in itertools.count(): print('line', n, flush=True); time.sleep(0.001)"
    command = Command((sys.executable, "-c", talks), dict(os.environ), home.root)
    supervisor = Supervisor(home, "talks")
    try:
        supervisor.start_service(Service("talks", lambda: command, lambda: True))
        older = [home.logs / f"talks.log.{number}" for number in (1, 2, 3)]

        def kept() -> bool:
            with contextlib.suppress(FileNotFoundError):  # while it turns over, a name leads nowhere for a moment
                return all(one.read_text().startswith("line ") or one.stat().st_size >= 1000 for one in older)
            return False

        _until(kept)
        assert not (home.logs / "talks.log.4").exists()
        _until(lambda: (home.logs / "talks.log").stat().st_size > 0)
        assert b"\0" not in (home.logs / "talks.log").read_bytes(), "it goes on at the beginning, without a hole"
        assert supervisor.state.services[0].restarts == 0
    finally:
        supervisor.stop_all()


def _start(home: Home) -> subprocess.Popen[bytes]:
    home.prepare()
    environment = os.environ | {"PYTHONPATH": str(PROJECT_ROOT / "include")}
    argv = [sys.executable, str(TINY), str(home.root), str(home.viewer_port), str(home.airflow_port)]
    launcher = subprocess.Popen(argv, env=environment)
    _until(lambda: _seen(home, lambda state: state.pid == launcher.pid and state.phase == "usable"))
    return launcher


def _everyone(home: Home, at_least: int) -> list[psutil.Process]:
    """The service `parent` and its child, once both are there."""
    state = read_state(home)
    if not state:
        return []
    found = processes.tree(_service(state, "parent").pid)
    return found if len(found) >= at_least else []


def _seen(home: Home, fits: Callable[[StackState], bool]) -> StackState | None:
    state = read_state(home)
    return state if state and fits(state) else None


def _service(state: StackState, name: str) -> ServiceState:
    return next(one for one in state.services if one.name == name)


def _until(ask: Callable[[], T]) -> T:
    """Ask until the answer is true; a test that waits longer than this is stuck."""
    give_up = time.monotonic() + 60
    while not (answer := ask()):
        assert time.monotonic() < give_up, "it never came"
        time.sleep(0.05)
    return answer
