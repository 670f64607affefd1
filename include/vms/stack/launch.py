"""Bringing the whole stack up and down: the order of things, one home at a time, recovering from any earlier end."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import IO

import psutil

from vms import config, logs
from vms import home as homes
from vms.errors import EncodeFailed, StackError, VmsError
from vms.home import PROJECT_ROOT, Home
from vms.stack import airflow_tables, demo_s3, postgres, processes, upgrade_journal
from vms.stack.alone import require_alone
from vms.stack.ports import require_free
from vms.stack.services import (
    airflow_services,
    exports_service,
    postgres_service,
    recorder_service,
    viewer_service,
)
from vms.stack.state import StackState, as_seen_now, read_state, write_state
from vms.stack.supervisor import Supervisor, last_line, rotate

log = logging.getLogger(__name__)

DATABASE_S = 90.0
VIEWER_S = 120.0
AIRFLOW_S = 180.0
DEMO_S3_S = 90.0
DOWN_S = 20.0
KILLED_S = 10.0


@dataclass(frozen=True)
class Claim:
    """This process is the launcher of the home, until it ends or `release` is called."""

    file: IO[str]

    def release(self) -> None:
        self.file.close()


def claim(home: Home) -> Claim:
    """Become the launcher of this home; what an earlier one left running is ended.

    Raises StackError when another launcher runs, a port is taken, or this is no place to start anything.
    """
    require_alone(home)
    home.prepare()
    file = (home.run / "launcher.lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        state = read_state(home)
        who = f"process {state.pid}" if state else "another process"
        raise StackError(
            f"The system already runs on {home.root} ({who}).", "See ./vms status; stop it with ./vms down."
        ) from None
    try:
        end_leftovers(home)
        for port, what, setting in (
            (home.viewer_port, "viewer", "VMS_VIEWER_PORT"),
            (home.airflow_port, "Airflow", "VMS_AIRFLOW_PORT"),
        ):
            require_free(port, what, setting)
    except VmsError:
        file.close()
        raise
    return Claim(file)


def start(home: Home, supervisor: Supervisor) -> None:
    """Start everything and wait until it is usable. Raises VmsError naming what failed; then call stop_all.

    The steps and their times are in the supervisor's state.
    """
    if home.with_s3:
        demo_s3.find_program()  # before anything is made that would need it
    homes.remember_mode(home)
    with _step(supervisor, "Sites"):
        if not home.demo:
            config.ensure_sites_file(home)
    footage = _Footage(home, supervisor) if home.demo else None
    if home.with_s3:
        supervisor.start_service(demo_s3.service(home))
    with _step(supervisor, "Database"):
        if not home.postgres_url:
            supervisor.start_service(postgres_service(home))
            supervisor.wait_ready("postgres", DATABASE_S)
        postgres.prepare_databases(home)
    with _step(supervisor, "Catalogue"):
        from vms.stack.migrating import bring_forward  # brings Alembic: only needed here

        bring_forward(home, datetime.now(UTC), log.info)
    supervisor.start_service(viewer_service(home))
    if airflow_tables.are_old(home):
        with _step(supervisor, "Airflow's database"):
            airflow_tables.migrate(home)
    if footage:
        footage.wait_sites()
    api, scheduler, dag_processor = airflow_services(home)
    supervisor.start_service(api)
    supervisor.start_service(dag_processor)
    if home.with_s3:
        with _step(supervisor, "S3 server"):
            supervisor.wait_ready(demo_s3.NAME, DEMO_S3_S)
    with _step(supervisor, "Viewer"):
        supervisor.wait_ready("viewer", VIEWER_S)
    with _step(supervisor, "Airflow"):
        # Tasks can't run without the API server, and their encodes would only slow its start down.
        supervisor.wait_ready(api.name, AIRFLOW_S)
        supervisor.start_service(scheduler)
        for part in (scheduler, dag_processor):
            supervisor.wait_ready(part.name, AIRFLOW_S)
    supervisor.start_service(exports_service(home))
    if footage:
        footage.wait()
        supervisor.start_service(recorder_service(home))
    upgrade_journal.end(home)
    supervisor.phase("usable")


def run(home: Home, *, changed: Callable[[StackState], None]) -> int:
    """Start, keep running until SIGINT, SIGTERM or SIGHUP, stop. Returns the exit status.

    changed is called with the state about twice a second. Raises StackError before anything was started.
    """
    held = claim(home)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: stop.set())
    mark = secrets.token_hex(8)
    os.environ[processes.MARK] = mark  # what the steps of the start run themselves is found by it, too
    supervisor = Supervisor(home, mark)
    failure: list[VmsError] = []

    def begin() -> None:
        try:
            start(home, supervisor)
        except VmsError as error:
            failure.append(error)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, nothing may stay half started
            failure.append(StackError(f"The start failed: {error!r}.", "This is a fault of the product: report it."))

    starter = threading.Thread(target=begin, daemon=True)
    starter.start()
    while not stop.wait(0.3) and not failure:
        changed(supervisor.state)
    if failure and not stop.is_set():
        supervisor.phase("failed", failure[0].message, failure[0].remedy)
    began = time.monotonic()
    supervisor.stop_all()
    if home.with_s3:
        demo_s3.clean_up(home)
    log.info("All is stopped after %.1f s.", time.monotonic() - began)
    changed(supervisor.state)
    held.release()
    return 1 if supervisor.state.phase == "failed" else 0


def start_detached(home: Home, *, changed: Callable[[StackState], None]) -> StackState:
    """Start the launcher in the background and wait until all is usable. Raises StackError when it fails."""
    claim(home).release()
    log_file = home.logs / "launcher.log"
    rotate(log_file)
    environment = os.environ | {"VMS_DEMO": "1" if home.demo else "0", "VMS_DEMO_S3": "1" if home.with_s3 else "0"}
    with log_file.open("ab") as output:
        launcher = subprocess.Popen(
            (sys.executable, "-m", "vms.stack.launch"),
            cwd=PROJECT_ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    while True:
        ended = launcher.poll() is not None
        state = read_state(home)
        if state and state.pid == launcher.pid:
            changed(state)
            if state.phase == "usable":
                return state
            if state.phase == "failed" and ended:
                raise StackError(state.error, state.remedy)
        if ended:
            raise StackError(f"The launcher ended: {last_line(log_file)}", f"The whole log is in {log_file}.")
        time.sleep(0.3)


def stop(home: Home) -> bool:
    """Stop the stack of this home from outside. Returns whether anything ran. Nothing runs any more afterwards.

    Raises StackError if we may not, or something can't be ended.
    """
    state = read_state(home)
    if state is None:
        return False
    if not state.launcher_lives:
        return end_leftovers(home)
    try:
        os.kill(state.pid, signal.SIGTERM)
    except PermissionError as error:
        raise StackError(
            f"The system was started by another user (process {state.pid}).", "Stop it as that user, or as root."
        ) from error
    if not _ends(state, DOWN_S):
        with contextlib.suppress(ProcessLookupError):
            os.kill(state.pid, signal.SIGKILL)
        # While it lives it looks after its services; only once it is gone are they leftovers that can be ended.
        if not _ends(state, KILLED_S):
            raise StackError(
                f"The launcher (process {state.pid}) does not end: a disk or mount that it waits for hangs.",
                "Mend that disk or mount, or restart the machine; then: ./vms down",
            )
    end_leftovers(home)
    return True


def _ends(state: StackState, patience_s: float) -> bool:
    """Whether the launcher is gone within this time."""
    give_up = time.monotonic() + patience_s
    while state.launcher_lives:
        if time.monotonic() > give_up:
            return False
        time.sleep(0.1)
    return True


def end_leftovers(home: Home) -> bool:
    """End what a killed launcher left running. Returns whether there was anything. Raises StackError when some of it
    can't be ended."""
    state = read_state(home)
    if state is None or state.launcher_lives or state.since < psutil.boot_time():
        return False
    left = processes.members(state.mark, state.since, state.sessions)
    if left:
        processes.send(processes.running_tasks(left), signal.SIGTERM)
        processes.end(left, patience_s=5.0)
        processes.end(processes.members(state.mark, state.since, state.sessions), patience_s=0.5)
        if alive := processes.members(state.mark, state.since, state.sessions):
            raise StackError(
                f"These run on and can't be ended: {', '.join(processes.called(one) for one in alive[:5])}.",
                "Those of another user end as that user, or as root; what waits for a disk or mount that hangs, once"
                " that is mended. Then: ./vms down",
            )
    if state.phase not in ("stopped", "failed"):
        write_state(home, replace(as_seen_now(state), phase="stopped", error="", remedy=""))
    return bool(left)


@contextmanager
def _step(supervisor: Supervisor, title: str) -> Iterator[None]:
    began = time.monotonic()
    supervisor.step(title)
    yield
    supervisor.step(title, time.monotonic() - began)


class _Footage:
    """The demonstration's first footage, made beside the other steps."""

    def __init__(self, home: Home, supervisor: Supervisor) -> None:
        self._home = home
        self._error: VmsError | None = None
        self._thread = threading.Thread(target=self._make, args=(supervisor,), daemon=True)
        self._thread.start()

    def wait_sites(self) -> None:
        """Return when the sites file is there, which comes first."""
        while self._thread.is_alive() and not self._home.sites_file.exists():
            time.sleep(0.05)
        if self._error:
            raise self._error

    def wait(self) -> None:
        """Return when all of it is there."""
        self._thread.join()
        if self._error:
            raise self._error

    def _make(self, supervisor: Supervisor) -> None:
        from vms import demo

        try:
            with _step(supervisor, "Demo footage"):
                try:
                    demo.prepare(self._home)
                except EncodeFailed as error:  # the system is as good without, and the recorder makes up for it
                    log.warning("There is no first footage yet: %s The recorder makes it later.", error.message)
        except VmsError as error:
            self._error = error
        except OSError as error:
            self._error = StackError(f"The demo footage can't be made: {error}.", "Check free disk space.")


def main() -> int:
    """The background launcher of `up --detach`: what happens is in run/services.json."""
    logs.set_up()
    try:
        return run(homes.from_environment(), changed=lambda _state: None)
    except VmsError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
