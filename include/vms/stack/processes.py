"""Finding and ending every process of a stack, whoever started it and whatever it has forked since.

Each service gets a session of its own and a mark in its environment. A descendant is recognised by any of: it descends
from a service, it is in a service's session, it carries the mark. After the launcher was killed the last two remain.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

MARK = "VMS_STACK"
_PR_SET_CHILD_SUBREAPER = 36
_TASK_TITLES = ("airflow supervisor:", "airflow worker -- LocalExecutor:")
_IDLE = "<idle>"


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose parent dies, so that they stay findable (Linux only)."""
    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):
        return


def started_at(pid: int) -> float:
    """When this process started (epoch seconds), 0.0 if there is none: pid and start together name a process."""
    try:
        process = psutil.Process(pid)
        return 0.0 if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return 0.0


def is_same(pid: int, started: float) -> bool:
    """Whether the process of this pid is still the one that started then."""
    found = started_at(pid)
    return found > 0 and abs(found - started) < 1.0


def members(mark: str, since: float, sessions: Iterable[int] = ()) -> list[psutil.Process]:
    """All living processes of the stack with this mark, ourselves left out.

    since: when the stack was started (epoch seconds); older processes are none of it, whatever their session number.
    """
    wanted = f"{MARK}={mark}".encode()
    known_sessions = set(sessions)
    ours = {os.getpid()}
    found: dict[int, psutil.Process] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) in ours:
            continue
        pid = int(entry.name)
        if _session(pid) in known_sessions or wanted in _environment(entry):
            _remember(found, pid)
    for process in tuple(found.values()):
        for one in tree(process.pid):
            found.setdefault(one.pid, one)
    return [one for pid, one in found.items() if pid not in ours and alive(one) and one.create_time() > since - 2]


def tree(pid: int) -> list[psutil.Process]:
    """A process and all that descend from it; nothing when it has gone."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return []


def alive(process: psutil.Process) -> bool:
    """Whether it still runs: what has ended and waits to be reaped does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def end_session(session: int, *, patience_s: float) -> None:
    """End all that are still in the session of a process that has ended, and what they have begun. Tasks first, while
    they can report."""
    found: dict[int, psutil.Process] = {}
    for pid in psutil.pids():
        if _session(pid) == session:
            found.update({one.pid: one for one in tree(pid)})
    left = list(found.values())
    tasks = running_tasks(left)
    send(tasks, signal.SIGTERM)
    wait_gone(tasks, patience_s)
    end(left, patience_s=0.3)


def reap_adopted(sessions: Iterable[int], own: Iterable[int]) -> None:
    """Collect ended orphans of these sessions that came to us; `own` children are waited for by who started them."""
    wanted, ours = set(sessions), set(own)
    try:
        children = psutil.Process().children()
    except psutil.Error:  # a /proc that does not show what others run
        return
    for child in children:
        try:
            if child.pid not in ours and child.status() == psutil.STATUS_ZOMBIE and _session(child.pid) in wanted:
                os.waitpid(child.pid, os.WNOHANG)
        except (psutil.Error, ChildProcessError):
            continue


def running_tasks(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that watch over a running Airflow task: on SIGTERM they end the task, which reports before it goes."""
    titled = ((process, _title(process)) for process in processes)
    return [process for process, title in titled if title.startswith(_TASK_TITLES) and _IDLE not in title]


def send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue


def end(processes: Iterable[psutil.Process], *, patience_s: float) -> None:
    """SIGTERM (to a database server SIGINT, its orderly fast stop), and SIGKILL after patience_s seconds.

    Those that work for others go last, so that nobody takes the death of its FFmpeg for a fault of the footage.
    """
    left = sorted(processes, key=lambda process: process.pid)
    for process in left:
        send([process], signal.SIGINT if _is_database(process) else signal.SIGTERM)
    left = wait_gone(left, patience_s)
    database = [process for process in left if _is_database(process)]
    send([process for process in left if process not in database], signal.SIGKILL)
    send(database, signal.SIGQUIT)
    left = wait_gone(left, 5.0)
    send(left, signal.SIGKILL)
    wait_gone(left, 2.0)


def wait_gone(processes: Iterable[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Wait until they have ended; those that are still there at the time-out."""
    left = list(processes)
    give_up = time.monotonic() + timeout_s
    while (left := [process for process in left if alive(process)]) and time.monotonic() < give_up:
        time.sleep(0.05)
    return left


def called(process: psutil.Process) -> str:
    """How to name it to people."""
    try:
        return f"{process.name()} (process {process.pid})"
    except psutil.Error:
        return f"process {process.pid}"


def memory_bytes(processes: Iterable[psutil.Process]) -> int:
    """Their memory, pages shared between them counted once (PSS); resident size where that is not to be had."""
    total = 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except (psutil.Error, AttributeError):
            try:
                total += process.memory_info().rss
            except psutil.Error:
                continue
    return total


def _remember(found: dict[int, psutil.Process], pid: int) -> None:
    try:
        found.setdefault(pid, psutil.Process(pid))
    except psutil.Error:
        return


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1


def _environment(entry: Path) -> list[bytes]:
    try:
        return (entry / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _is_database(process: psutil.Process) -> bool:
    try:
        return process.name() == "postgres"
    except psutil.Error:
        return False
