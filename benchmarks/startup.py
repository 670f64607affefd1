"""How long until the system is usable, and what it costs when nothing happens.

    .venv/bin/python benchmarks/startup.py [--clone] [--json]

Cold: an empty home, with everything installed. Warm: the same home again. Usable viewer: its page answers and the
catalogue behind it is there. First recording: from `./vms up --demo` on an empty home until the catalogue has the first
archived recording. Idle memory: PSS of all processes (shared pages counted once), half a minute after the start without
footage. --clone: also from `git clone` of the last commit, packages installed from this machine's package cache.
Everything runs in a temporary folder on free ports and is removed again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "include"))

from vms.catalogue.connection import connect, url  # noqa: E402
from vms.catalogue.reads import count_recordings  # noqa: E402
from vms.catalogue.rows import RecordingFilter  # noqa: E402
from vms.errors import VmsError  # noqa: E402
from vms.home import Home, from_environment  # noqa: E402
from vms.stack import processes  # noqa: E402
from vms.stack.addresses import viewer_url  # noqa: E402
from vms.stack.postgres import free_port  # noqa: E402
from vms.stack.state import read_state  # noqa: E402

TARGETS = {
    "cold start, usable viewer (s)": 60,
    "warm start, usable viewer (s)": 40,
    "first demo recording archived (s)": 120,
    "idle memory (MB)": 1600,
    "clone to usable, warm package cache (s)": 300,
}
GIVE_UP_S = 900
IDLE_S = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clone", action="store_true", help="also measure from git clone")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    figures: dict[str, float] = {}
    with _folder() as folder:
        figures |= plain_starts(folder)
    with _folder() as folder:
        figures |= demo_start(folder)
    if options.clone:
        with _folder() as folder:
            figures |= clone_start(folder)
    if options.json:
        print(json.dumps({"cores": os.cpu_count(), "load": os.getloadavg()[0], **figures}))
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for name, value in figures.items():
        print(f"{name:<45}{value:>9.1f}   {f'target {TARGETS[name]}' if name in TARGETS else ''}")


def plain_starts(folder: Path) -> dict[str, float]:
    """Cold and warm without footage, and the memory in between."""
    environment, home = _setting(folder)
    figures = {}
    with _up(ROOT, environment, home) as began:
        figures["cold start, usable viewer (s)"] = _wait(began, lambda: _viewer_answers(home))
        figures["cold start, all ready (s)"] = _wait(began, lambda: _phase(home) == "usable")
        time.sleep(IDLE_S)
        state = read_state(home)
        assert state
        everyone = processes.members(state.mark, state.since, state.sessions)
        launcher = processes.tree(state.pid)[:1]
        figures["idle memory (MB)"] = processes.memory_bytes([*everyone, *launcher]) / 1e6
        figures["processes"] = len(everyone) + 1
    with _up(ROOT, environment, home) as began:
        figures["warm start, usable viewer (s)"] = _wait(began, lambda: _viewer_answers(home))
        figures["warm start, all ready (s)"] = _wait(began, lambda: _phase(home) == "usable")
        down = time.monotonic()
    figures["stop (s)"] = time.monotonic() - down
    return figures


def demo_start(folder: Path) -> dict[str, float]:
    """From nothing to the first recording of the demonstration."""
    environment, home = _setting(folder)
    with _up(ROOT, environment, home, "--demo") as began:
        return {"first demo recording archived (s)": _wait(began, lambda: _archived(home) > 0)}


def clone_start(folder: Path) -> dict[str, float]:
    """From the repository to all ready, nothing installed yet."""
    environment, home = _setting(folder)
    environment["VMS_VENV"] = str(folder / "venv")
    began = time.monotonic()
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder / "clone")], check=True)
    with _up(folder / "clone", environment, home, "--demo"):
        return {"clone to usable, warm package cache (s)": _wait(began, lambda: _phase(home) == "usable")}


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="vms-startup-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _setting(folder: Path) -> tuple[dict[str, str], Home]:
    own = {
        "VMS_HOME": str(folder / "home"),
        "VMS_SITES": "",
        "VMS_VIEWER_PORT": str(free_port()),
        "VMS_AIRFLOW_PORT": str(free_port()),
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VMS_")} | own
    environment["VMS_VENV"] = str(Path(sys.prefix))
    return environment, from_environment(own)


@contextmanager
def _up(checkout: Path, environment: dict[str, str], home: Home, *words: str) -> Iterator[float]:
    """`./vms up`, and `./vms down` at the end. Yields when it was called."""
    if "--demo" not in words:
        environment = environment | {"VMS_SITES": str(home.root.parent / "sites.yaml")}
    began = time.monotonic()
    log = (home.root.parent / "up.log").open("ab")
    launcher = subprocess.Popen([checkout / "vms", "up", *words], env=environment, stdout=log, stderr=log)
    try:
        yield began
    finally:
        subprocess.run([checkout / "vms", "down"], env=environment, stdout=log, stderr=log, check=False)
        launcher.wait(60)


def _wait(began: float, ready: Callable[[], bool]) -> float:
    while not ready():
        if time.monotonic() - began > GIVE_UP_S:
            raise SystemExit(f"It did not come up in {GIVE_UP_S} s.")
        time.sleep(0.1)
    return time.monotonic() - began


def _viewer_answers(home: Home) -> bool:
    try:
        asked = urllib.request.Request(f"{viewer_url(home)}/", headers={"Accept": "text/html"})  # noqa: S310 - loopback
        with urllib.request.urlopen(asked, timeout=5) as answer:  # noqa: S310 - http on loopback: the page to sign in
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _phase(home: Home) -> str:
    state = read_state(home)
    return state.phase if state and state.launcher_lives else ""


def _archived(home: Home) -> int:
    try:
        conn = connect(url(home, "viewer"))
        try:
            return count_recordings(conn, RecordingFilter(states=("archived", "released"))).count
        finally:
            conn.close()
    except (VmsError, psycopg2.Error):  # not there yet: the server, the tables or the right to read them
        return 0


if __name__ == "__main__":
    main()
