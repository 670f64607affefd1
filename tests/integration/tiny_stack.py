"""A launcher with tiny services instead of Postgres and Airflow: `python tiny_stack.py HOME`, until SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from vms.home import from_environment
from vms.stack import launch, processes
from vms.stack.supervisor import Command, Service, Supervisor

# A service with a child in a session of its own that ignores SIGTERM, as an FFmpeg of a running task could be.
PARENT = """
import subprocess, sys, time
child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
time.sleep(600)
"""
CRASHES = "import sys; sys.exit('no room in here')"


def service(name: str, program: str) -> Service:
    command = Command((sys.executable, "-c", program), dict(os.environ), Path.cwd())
    return Service(name, lambda: command, lambda: True)


def main() -> None:
    home = from_environment({"VMS_HOME": sys.argv[1], "VMS_VIEWER_PORT": sys.argv[2], "VMS_AIRFLOW_PORT": sys.argv[3]})
    held = launch.claim(home)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    mark = f"tiny-{os.getpid()}"
    os.environ[processes.MARK] = mark
    supervisor = Supervisor(home, mark)
    supervisor.start_service(service("parent", PARENT))
    supervisor.start_service(service("crashing", CRASHES))
    supervisor.phase("usable")
    stop.wait()
    supervisor.stop_all()
    held.release()


if __name__ == "__main__":
    main()
