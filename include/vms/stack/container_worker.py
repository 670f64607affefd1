"""A worker in its container: Airflow tasks taken from the broker, in two halves that are not in each other's way.

One half encodes, as many batches at a time as fill the container's cores. The other does everything else, so that a
backlog of footage never keeps a look at a folder or an upload waiting. Which sites it serves follows sites.yaml within
a minute, without a restart.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import psutil

from vms import queues
from vms.errors import ConfigError
from vms.home import PROJECT_ROOT, Home
from vms.machine import cores
from vms.stack import processes

log = logging.getLogger(__name__)

ENCODER = "encode"
REST = "main"
BATCHES_AT_ONCE = 2
"""A batch fills all cores by itself and a second its tail."""

LOOK_S = 30.0
STOP_S = 20.0
PING_S = 8.0


def work(home: Home, environment: Mapping[str, str]) -> int:
    """Serve the queues that VMS_WORKER_QUEUES names (all of them without it) until SIGTERM. Returns the exit status."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    processes.adopt_orphans()
    served = served_by(home)
    running = {half: _start(half, names, environment) for half, names in served.items()}
    look_next = time.monotonic() + LOOK_S
    status = 0
    while not stop.wait(1.0):
        processes.reap_adopted((os.getsid(0),), [one.pid for one in running.values()])
        ended = [half for half, one in running.items() if one.poll() is not None]
        if ended:
            log.error("The half %s of the worker has ended; the container ends, to be started anew.", ended[0])
            status = 1
            break
        if home.parts and time.monotonic() > look_next and not _asked():
            look_next = time.monotonic() + LOOK_S
            follow(home, home.parts.broker, stop)
    _end(running.values())
    return status


def answers(home: Home) -> bool:
    """Whether the halves that run in this container answer over the broker."""
    if home.parts is None:
        return False
    from celery import Celery  # quick to import, unlike Airflow

    names = [_name(half) for half in halves()]
    said = Celery(broker=home.parts.broker).control.ping(destination=names, timeout=PING_S, limit=len(names))
    return len(said) == len(names)


def served_now(broker: str) -> frozenset[str] | None:
    """The queues that the workers who answer over the broker serve; None when the broker itself does not answer."""
    said = _over(broker, lambda app, line: app.control.inspect(timeout=PING_S / 2, connection=line).active_queues())
    if said is None:
        return None
    return frozenset(str(queue["name"]) for served in (said[0] or {}).values() for queue in served)


def some_answer(broker: str) -> bool | None:
    """Whether a worker answers over the broker; None when the broker itself does not. Ends with the first answer."""
    said = _over(broker, lambda app, line: app.control.ping(timeout=PING_S / 2, connection=line, limit=1))
    return None if said is None else bool(said[0])


def _over(broker: str, ask: Callable[[Any, Any], Any]) -> tuple[Any] | None:
    """What comes back when this is asked over the broker; None when the broker does not answer."""
    from celery import Celery

    app = Celery(broker=broker)
    try:
        with app.connection_for_read() as line:
            line.ensure_connection(max_retries=1, timeout=PING_S)
            return (ask(app, line),)
    except Exception:  # the broker's client has errors of its own, and more beneath it
        log.debug("The broker does not answer", exc_info=True)
        return None


def _asked() -> tuple[str, ...]:
    return tuple(one.strip() for one in os.environ.get("VMS_WORKER_QUEUES", "").split(",") if one.strip())


def halves() -> tuple[str, ...]:
    """Which of its two halves this container has."""
    asked = _asked()
    encodes, rests = queues.ENCODE in asked or not asked, asked != (queues.ENCODE,)
    return (ENCODER,) * encodes + (REST,) * rests


def served_by(home: Home) -> dict[str, tuple[str, ...]]:
    """Which half of the worker serves which queues."""
    asked = _asked()
    rest = (
        tuple(one for one in asked if one != queues.ENCODE) if asked else (every_queue(home) or queues.all_queues(()))
    )
    both = {ENCODER: (queues.ENCODE,), REST: rest}
    return {half: both[half] for half in halves()}


def every_queue(home: Home) -> tuple[str, ...]:
    """Of a worker that was not told otherwise; none of them while sites.yaml can't be read."""
    from vms.config import load_config  # takes long to read in, and who asks how the worker is does not need it

    try:
        return queues.all_queues(load_config(home.sites_file).sites)
    except ConfigError as error:
        log.warning("%s", error)
        return ()


def follow(home: Home, broker: str, stop: threading.Event) -> None:
    """Tell the running worker of sites that are new, gone, or have a machine of their own now, whose tasks it would do
    where their folders are not. It is asked each time what it serves, as it may have lost that with its line to the
    broker; what it did not hear it is told at the next look. A slip in a site's part of the file changes nothing."""
    from vms.config import load_config

    try:
        config = load_config(home.sites_file)
    except ConfigError as error:
        log.warning("%s", error)
        return
    name = _name(REST)
    said = _over(broker, partial(_asked_one, name=name))
    serves = {str(queue["name"]) for queue in ((said and said[0]) or {}).get(name, ())}
    unclear = {queues.site_queue(error.id) for error in config.errors if error.id}
    for queue in sorted(serves.symmetric_difference(queues.all_queues(config.sites)) - unclear if serves else ()):
        verb = "cancel_consumer" if queue in serves else "add_consumer"
        heard = _over(broker, partial(_told_one, name=name, verb=verb, queue=queue))
        if stop.is_set() or not (heard and heard[0]):
            return
        log.info("From now on %s is %s.", queue, "left to others" if queue in serves else "served, too")


def _asked_one(app: Any, line: Any, name: str) -> Any:
    return app.control.inspect(destination=[name], timeout=PING_S, connection=line).active_queues()


def _told_one(app: Any, line: Any, name: str, verb: str, queue: str) -> bool:
    """Whether the worker of this name has done so."""
    said = getattr(app.control, verb)(queue, destination=[name], reply=True, timeout=PING_S, connection=line)
    return any("ok" in answer for one in said or () for answer in one.values())


def _start(half: str, served: tuple[str, ...], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    at_once = BATCHES_AT_ONCE if half == ENCODER else cores() + 2
    log.info("The half %s serves %s, %d at a time.", half, ", ".join(served), at_once)
    words = ("celery", "worker", "-q", ",".join(served), "-c", str(at_once), "-H", _name(half), "--skip-serve-logs")
    argv = (sys.executable, "-m", "vms_airflow.preload", *words)
    return subprocess.Popen(argv, cwd=PROJECT_ROOT, env=dict(environment), stdin=subprocess.DEVNULL)


def _name(half: str) -> str:
    return f"{half}@{socket.gethostname()}"


def _end(running: Iterable[subprocess.Popen[bytes]]) -> None:
    """Take no new tasks; those that run are told to stop, which they report, so that others go on in seconds."""
    ours = psutil.Process().children(recursive=True)
    for one in running:
        one.terminate()
    processes.send(processes.running_tasks(ours), signal.SIGTERM)
    left = processes.wait_gone([one for one in ours if one.is_running()], STOP_S)
    processes.end(left, patience_s=1.0)
