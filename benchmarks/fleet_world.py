"""An installation of a whole fleet for benchmarks/fleet.py: a generated sites.yaml, the product's own Postgres and its
own Airflow, started and stopped part by part, and what each part has used of the processors."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg2

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "include"), str(ROOT / "plugins")]

from vms.catalogue import migrate  # noqa: E402
from vms.home import Home, from_environment  # noqa: E402
from vms.stack import launch, postgres, processes  # noqa: E402
from vms.stack.airflow_env import airflow_environment, owner_url  # noqa: E402
from vms.stack.services import AirflowHealth, airflow_services  # noqa: E402

CAMERAS = 16
GIVE_UP_S = 900


def site_id(number: int) -> str:
    return f"branch-{number:04d}"


@dataclass
class World:
    """One installation. batches: how many batches each run gets."""

    home: Home
    folder: Path
    batches: int
    sites: int = 0
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def write_sites(self, count: int, every: str) -> None:
        """sites.yaml of so many sites of 16 cameras; their footage folders are there, and empty."""
        lines = ["company: Fleet", "stores:", "  nas:", f"    url: file://{self.folder}/nas", "sites:"]
        for number in range(count):
            footage = self.folder / "footage" / site_id(number)
            footage.mkdir(parents=True, exist_ok=True)
            lines += [f"  - id: {site_id(number)}", f"    name: Branch {number}", "    time_zone: WIB"]
            lines += [f"    footage: {footage}", f"    every: {every}", "    cameras:"]
            for camera in range(1, CAMERAS + 1):
                lines += [f"      - id: cam-{camera:02d}", f"        name: Camera {camera}"]
        self.home.sites_file.write_text("\n".join(lines) + "\n")
        self.sites = count

    def environment(self, **settings: str) -> dict[str, str]:
        """Of an Airflow process. settings: more of Airflow's, such as CORE__PARALLELISM."""
        own = airflow_environment(self.home)
        own["PYTHONPATH"] = os.pathsep.join((own["PYTHONPATH"], str(ROOT / "benchmarks")))
        own |= {"AIRFLOW__CORE__DAGS_FOLDER": str(self.folder / "dags"), "VMS_FLEET_BATCHES": str(self.batches)}
        return own | {f"AIRFLOW__{name}": value for name, value in settings.items()}

    def start(self, part: str, **settings: str) -> None:
        """part: api, scheduler or dag-processor."""
        (service,) = [one for one in airflow_services(self.home) if one.name == f"airflow-{part}"]
        self.spawn(part, service.prepare().argv, **settings)

    def spawn(self, part: str, argv: tuple[str, ...], **settings: str) -> subprocess.Popen[bytes]:
        with (self.home.logs / f"{part}.log").open("ab") as log:
            child = subprocess.Popen(
                argv, cwd=ROOT, env=self.environment(**settings), stdout=log, stderr=log, start_new_session=True
            )
        self.running[part] = child
        return child

    def wait_well(self, *parts: str) -> None:
        """Until Airflow says that these parts are well: api_server, scheduler, dag_processor."""
        health = AirflowHealth(self.home, since=0.0)
        wait(lambda: all(health.is_well(part) for part in parts), f"{', '.join(parts)} to be well")

    def stop(self, *parts: str) -> None:
        for part in parts or [one for one in self.running if one != "postgres"]:
            child = self.running.pop(part)
            processes.end(processes.tree(child.pid), patience_s=10.0)
            child.wait()

    def airflow(self, *arguments: str, **settings: str) -> float:
        """Run a command of Airflow's to its end: CPU seconds of it and its children."""
        child = self.spawn(arguments[0], (sys.executable, "-m", "airflow", *arguments), **settings)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        self.running.pop(arguments[0])
        if child.returncode:
            raise SystemExit(f"airflow {' '.join(arguments)} failed; see {self.home.logs / arguments[0]}.log")
        return used.ru_utime + used.ru_stime

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far of each part; of the scheduler's executor apart: supervisors and tasks."""
        used: dict[str, float] = {}
        for part, child in self.running.items():
            tree = processes.tree(child.pid)
            if part == "scheduler":
                workers = {one.pid for one in _children(child.pid)}  # each is the supervisor of one task after another
                used["scheduler"] = _own(tree[0])
                used["supervisors"] = sum(_own(one) for one in tree if one.pid in workers)
                used["tasks"] = sum(_waited(one) for one in tree if one.pid in workers)
                used["tasks"] += sum(_own(one) for one in tree[1:] if one.pid not in workers)
            else:
                used[part] = sum(_own(one) + _waited(one) for one in tree)
        return used

    def memory_mb(self, part: str) -> float:
        return processes.memory_bytes([psutil.Process(self.running[part].pid)]) / 1e6

    def ask(self, question: str, *values: Any) -> list[tuple[Any, ...]]:
        """Of Airflow's own database; what changes something is committed."""
        conn = psycopg2.connect(postgres.role_url(self.home, "airflow", "airflow"))
        try:
            with conn, conn.cursor() as cursor:
                cursor.execute(question, values or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            conn.close()

    def maintain(self, statement: str) -> None:
        """A statement that can't be in a transaction, such as VACUUM."""
        conn = psycopg2.connect(postgres.role_url(self.home, "airflow", "airflow"))
        conn.autocommit = True
        try:
            with conn.cursor() as cursor:
                cursor.execute(statement)
        finally:
            conn.close()


@contextmanager
def world(folder: Path, batches: int) -> Iterator[World]:
    """Postgres is running, both databases are at their version, nothing else runs."""
    folder.chmod(0o755)
    own = {
        "VMS_HOME": str(folder / "home"),
        "VMS_SITES": str(folder / "sites.yaml"),
        "VMS_AIRFLOW_PORT": str(postgres.free_port()),
    }
    home = from_environment(own)
    home.prepare()
    made = World(home, folder, batches)
    made.write_sites(1, "15m")
    _copy_dags(folder / "dags")
    made.running["postgres"] = postgres.start(home)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        postgres.prepare_databases(home)
        migrate.upgrade(owner_url(home))
        launch.migrate_airflow(home)
        yield made
    finally:
        made.stop()
        postgres.stop(made.running["postgres"])


def wait(ready: Callable[[], bool], what: str, seconds: float = GIVE_UP_S) -> None:
    give_up = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > give_up:
            raise SystemExit(f"Waited {seconds:.0f} s in vain for {what}.")
        time.sleep(0.5)


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {part: after[part] - before.get(part, 0.0) for part in after}


def _copy_dags(folder: Path) -> None:
    """The product's site DAGs and no others; their tasks find no footage (fleet_fakes.py)."""
    (folder / "footage_shards").mkdir(parents=True)
    for name in ("footage.py", ".airflowignore"):
        shutil.copy(ROOT / "dags" / name, folder / name)
    for shard in (ROOT / "dags" / "footage_shards").glob("*.py"):
        text = shard.read_text() + "\nimport fleet_fakes\n\nfleet_fakes.install()\n"
        (folder / "footage_shards" / shard.name).write_text(text)


def _own(process: psutil.Process) -> float:
    try:
        used = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(used.user + used.system)


def _waited(process: psutil.Process) -> float:
    """Of children that have ended."""
    try:
        used = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(used.children_user + used.children_system)


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children()
    except psutil.Error:
        return []
