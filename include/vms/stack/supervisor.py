"""Keeps services running: starts them, asks whether they are ready, restarts what crashed, and stops all of it.

One thread supervises; the readiness questions, which may take seconds, are asked by another. Every change is written
to run/services.json at once.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from vms.errors import StackError, VmsError
from vms.home import Home
from vms.stack import processes
from vms.stack.postgres_place import Account
from vms.stack.state import Phase, ServiceState, StackState, Step, write_state

log = logging.getLogger(__name__)

FIRST_BACK_OFF_S = 1.0
LONGEST_BACK_OFF_S = 60.0
STEADY_S = 120.0
ASK_STARTING_S = 0.3
ASK_READY_S = 5.0
UNWELL_AFTER = 3
STOP_PATIENCE_S = (5.0, 2.0, 3.0)
TASKS_PATIENCE_S = 2.0
REAP_S = 5.0
LOG_LIMIT_BYTES = 10 * 1024 * 1024
LOGS_KEPT = 3
LOGS_LOOK_S = 30.0


@dataclass(frozen=True)
class Command:
    """What to run. account: whom to become (only root can)."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    account: Account | None = None


@dataclass(frozen=True)
class Service:
    """A program that must run. prepare is asked before each start; ready may block for seconds and must not raise.

    stop_rank: those of rank 0 are stopped first, then 1, then 2 (what they need goes after them).
    """

    name: str
    prepare: Callable[[], Command]
    ready: Callable[[], bool]
    stop_rank: int = 0
    stop_signal: signal.Signals = signal.SIGTERM


@dataclass
class _Running:
    service: Service
    state: ServiceState
    child: subprocess.Popen[bytes] | None = None
    wanted: bool = False
    not_before: float = 0.0
    back_off_s: float = FIRST_BACK_OFF_S
    ask_next: float = 0.0
    unanswered: int = 0
    spawned: float = field(default=0.0)


class Supervisor:
    """The services of one home. Use: start_service for each, run until told to stop, then stop_all."""

    def __init__(self, home: Home, mark: str) -> None:
        self._home = home
        self._lock = threading.RLock()
        self._services: dict[str, _Running] = {}
        self._ending = threading.Event()
        now = time.time()
        self._state = StackState(*(mark, os.getpid(), processes.started_at(os.getpid()), now, home.demo), loaded=now)
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        processes.adopt_orphans()
        self._write()
        self._watcher.start()
        threading.Thread(target=self._ask, daemon=True).start()

    @property
    def state(self) -> StackState:
        with self._lock:
            return self._state

    def step(self, title: str, seconds: float | None = None) -> None:
        """Note a step of the start: without seconds it begins, with seconds it is done."""
        with self._lock:
            others = tuple(one for one in self._state.steps if one.title != title)
            self._state = replace(self._state, steps=(*others, Step(title, seconds)))
            self._write()

    def phase(self, phase: Phase, error: str = "", remedy: str = "") -> None:
        with self._lock:
            self._state = replace(self._state, phase=phase, error=error, remedy=remedy)
            self._write()

    def start_service(self, service: Service) -> None:
        """Start it now, and again whenever it ends. Raises StackError when it can't be started at all."""
        with self._lock:
            running = _Running(service, ServiceState(service.name), wanted=True)
            self._services[service.name] = running
            rotate(self._log_file(service.name))
            self._spawn(running)

    def wait_ready(self, name: str, timeout_s: float) -> None:
        """Wait until a service is ready. Raises StackError at the time-out, with the last words of its log."""
        give_up = time.monotonic() + timeout_s
        while True:
            with self._lock:
                state = self._services[name].state
            if state.state == "ready":
                return
            if time.monotonic() > give_up or state.restarts > 3:
                raise StackError(
                    f"{name} is not ready after {timeout_s:.0f} s{f' ({state.detail})' if state.detail else ''}: "
                    f"{last_line(self._log_file(name))}",
                    f"The whole log is in {self._log_file(name)}.",
                )
            if self._ending.wait(0.05):
                raise StackError("The start was stopped.", "Start again: ./vms up")

    def stop_all(self) -> None:
        """Stop everything within 15 seconds, running tasks first while they can still report."""
        self.phase("stopping", self._state.error, self._state.remedy)
        self._ending.set()
        self._watcher.join(5.0)
        with self._lock:
            for running in self._services.values():
                running.wanted = False
        for rank, patience_s in enumerate(STOP_PATIENCE_S):
            if rank == 0:
                processes.send(processes.running_tasks(self._members()), signal.SIGTERM)
            services = [one for one in self._services.values() if one.service.stop_rank == rank and one.child]
            trees = [process for one in services if one.child for process in processes.tree(one.child.pid)]
            for one in services:
                if one.child and one.child.poll() is None:
                    one.child.send_signal(one.service.stop_signal)
            self._reap(services, patience_s)
            processes.end(trees, patience_s=0.3)
        processes.end(self._members(), patience_s=0.3)
        self._reap(list(self._services.values()), 1.0)
        with self._lock:
            for one in self._services.values():
                one.state = replace(one.state, state="stopped", pid=0, since=time.time(), detail="")
            self.phase("failed" if self._state.error else "stopped", self._state.error, self._state.remedy)

    def _members(self) -> list[psutil.Process]:
        return processes.members(self._state.mark, self._state.since, self._state.sessions)

    def _reap(self, services: list[_Running], timeout_s: float) -> None:
        give_up = time.monotonic() + timeout_s
        for one in services:
            if one.child:
                try:
                    one.child.wait(max(0.0, give_up - time.monotonic()))
                except subprocess.TimeoutExpired:
                    log.info("%s does not end in time", one.service.name)

    def _watch(self) -> None:
        reap_next = logs_next = 0.0
        while not self._ending.wait(0.2):
            if time.monotonic() > logs_next:  # outside of the lock: a copy takes its time
                logs_next = time.monotonic() + LOGS_LOOK_S
                for file in self._home.logs.glob("*.log"):
                    turn_over(file)
            with self._lock:
                for running in self._services.values():
                    if running.wanted:
                        self._look_after(running)
                if time.monotonic() > reap_next:
                    reap_next = time.monotonic() + REAP_S
                    own = [one.child.pid for one in self._services.values() if one.child]
                    processes.reap_adopted(self._state.sessions, own)

    def _look_after(self, running: _Running) -> None:
        now = time.monotonic()
        if running.child is None:
            if now >= running.not_before:
                try:
                    self._spawn(running)
                except (VmsError, OSError) as error:  # on a full disk not even its settings can be written
                    self._plan_restart(running, str(error))
            return
        code = running.child.poll()
        if code is not None:
            if now - running.spawned > STEADY_S:
                running.back_off_s = FIRST_BACK_OFF_S
            # A scheduler that was killed leaves workers that hold its connections, and with them its locks in the
            # database, for ever: the next one would pass these sites over without a word.
            processes.end_session(running.child.pid, patience_s=TASKS_PATIENCE_S)
            running.child = None
            why = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            self._plan_restart(running, f"it ended with {why}: {last_line(self._log_file(running.service.name))}")

    def _plan_restart(self, running: _Running, why: str) -> None:
        log.info("%s: %s. Starting it again in %.0f s.", running.service.name, why, running.back_off_s)
        running.not_before = time.monotonic() + running.back_off_s
        running.back_off_s = min(running.back_off_s * 2, LONGEST_BACK_OFF_S)
        restarts = running.state.restarts + 1
        self._change(running, state="restarting", pid=0, started=0.0, restarts=restarts, detail=why)

    def _spawn(self, running: _Running) -> None:
        service = running.service
        command = service.prepare()
        account = command.account
        try:
            with self._log_file(service.name).open("ab") as output:
                child = subprocess.Popen(
                    command.argv,
                    cwd=command.folder,
                    env={**command.environment, processes.MARK: self._state.mark},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    user=account.uid if account else None,
                    group=account.gid if account else None,
                    extra_groups=[] if account else None,
                )
        except OSError as error:
            raise StackError(
                f"{service.name} can't be started: {command.argv[0]}: {error.strerror}.",
                "Check that the program exists and that there is free disk space and memory.",
            ) from error
        running.child = child
        running.spawned = time.monotonic()
        running.ask_next = 0.0
        running.unanswered = 0
        self._state = replace(self._state, sessions=(*self._state.sessions[-200:], child.pid))
        self._change(running, state="starting", pid=child.pid, started=processes.started_at(child.pid))

    def _ask(self) -> None:
        while not self._ending.wait(0.1):
            now = time.monotonic()
            with self._lock:
                due = [one for one in self._services.values() if one.child and now >= one.ask_next]
            for running in due:
                self._ask_one(running)

    def _ask_one(self, running: _Running) -> None:
        child = running.child
        answer = running.service.ready()
        with self._lock:
            if running.child is not child or child is None or child.poll() is not None or self._ending.is_set():
                return
            if answer:
                running.unanswered = 0
                if running.state.state != "ready":
                    self._change(running, state="ready", detail="")
            else:
                running.unanswered += 1
                if running.state.state == "ready" and running.unanswered >= UNWELL_AFTER:
                    self._change(running, state="unwell", detail="it runs but does not answer")
            waiting = running.state.state != "ready"
            running.ask_next = time.monotonic() + (ASK_STARTING_S if waiting else ASK_READY_S)

    def _change(self, running: _Running, **changes: Any) -> None:
        running.state = replace(running.state, since=time.time(), **changes)
        self._write()

    def _write(self) -> None:
        self._state = replace(self._state, services=tuple(one.state for one in self._services.values()))
        try:
            write_state(self._home, self._state)
        except OSError:
            log.exception("The state of the services can't be written to %s", self._home.run)

    def _log_file(self, name: str) -> Path:
        return self._home.logs / f"{name}.log"


def rotate(file: Path) -> None:
    """Move a log that has grown large aside (name.log.1, .2, .3; the oldest goes)."""
    try:
        if file.stat().st_size < LOG_LIMIT_BYTES:
            return
    except OSError:
        return
    _make_room(file)
    file.replace(_older(file, 1))


def turn_over(file: Path) -> None:
    """The same for a log that is being written: its content is copied aside and it begins anew. A line that is written
    at that very moment may be lost; a disk without room for the copy loses the content."""
    try:
        if file.stat().st_size < LOG_LIMIT_BYTES:
            return
        _make_room(file)
        try:
            shutil.copyfile(file, _older(file, 1))
        except OSError as error:
            log.warning("%s can't be kept (%s) and begins anew.", file, error.strerror)
            _older(file, 1).unlink(missing_ok=True)
        os.truncate(file, 0)  # all who write to it append
    except OSError as error:
        log.warning("%s grows: it can't be turned over (%s).", file, error.strerror)


def _make_room(file: Path) -> None:
    for number in range(LOGS_KEPT, 1, -1):
        if _older(file, number - 1).exists():
            _older(file, number - 1).replace(_older(file, number))


def _older(file: Path, number: int) -> Path:
    return file.with_name(f"{file.name}.{number}")


def last_line(file: Path) -> str:
    """The last line of a log that says something, at most 300 characters."""
    try:
        with file.open("rb") as log_file:
            log_file.seek(max(0, file.stat().st_size - 4000))
            lines = [line.strip() for line in log_file.read().decode("utf-8", "replace").splitlines()]
    except OSError:
        return "no log was written"
    said = [line for line in lines if any(char.isalpha() for char in line)]
    telling = [line for line in said[-6:] if "FATAL" in line]  # Postgres says after it that it is shut down
    return (telling or said or ["it wrote nothing"])[-1][:300]
