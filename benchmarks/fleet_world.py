"""An installation of a whole fleet for benchmarks/fleet.py: a generated sites.yaml, the product's own Postgres and its
own Airflow, started and stopped part by part, and what each part has used of the processors.

It can hand out tasks in two ways, over the same databases: as `./vms up` does (LocalExecutor), and as
docker-compose.yaml does (CeleryExecutor with a Redis and one worker, each with the environment that its container has).
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import psycopg2

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "include"), str(ROOT / "plugins")]

from vms.catalogue import migrate  # noqa: E402
from vms.home import Home, Parts, from_environment  # noqa: E402
from vms.stack import airflow_tables, container, postgres, processes, signing  # noqa: E402
from vms.stack.addresses import HOST  # noqa: E402
from vms.stack.airflow_env import airflow_environment, owner_url  # noqa: E402
from vms.stack.health import AirflowHealth  # noqa: E402
from vms.stack.services import airflow_services  # noqa: E402

CAMERAS = 16
GIVE_UP_S = 900
LOCAL, CELERY = "local", "celery"
NO_DISK_GB = 15
"""What is left free of the disk that everything lies on; below it the benchmark ends."""


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
    has_passwords: bool = False
    enrolled: int = 0
    """How many branches the catalogue knows."""

    @property
    def executor(self) -> str:
        return CELERY if self.home.parts else LOCAL

    def use(self, executor: str) -> None:
        """From now on tasks are handed out so; nothing of Airflow runs."""
        if executor == LOCAL:
            self.home = replace(self.home, parts=None)
            return
        airflow = f"http://{HOST}:{self.home.airflow_port}"
        broker = f"redis://:{self.home.secret('broker')}@{HOST}:{self._redis()}/0"
        self.home = replace(self.home, parts=Parts(airflow, airflow, "", broker))
        if not self.has_passwords:
            airflow_tables.migrate(self.home)  # kept passwords have tables of their own
            airflow_tables.keep_accounts(self.home)
            self.has_passwords = True

    def _redis(self) -> int:
        """Started at first use, as docker-compose.yaml starts it; its port."""
        port_file = self.folder / "redis.port"
        if "redis" not in self.running:
            if (program := shutil.which("redis-server")) is None:
                raise SystemExit("This needs redis-server: apt install redis-server")
            (self.folder / "redis").mkdir()
            port_file.write_text(str(postgres.free_port()))
            words = (
                "--port",
                port_file.read_text(),
                "--bind",
                HOST,
                "--requirepass",
                self.home.secret("broker"),
            )
            words += ("--appendonly", "yes", "--save", "", "--maxmemory", "400mb", "--maxmemory-policy", "noeviction")
            self.spawn("redis", (program, *words, "--dir", str(self.folder / "redis")), os.environ)
        return int(port_file.read_text())

    def write_sites(self, count: int, every: str, branches: int = 0) -> None:
        """sites.yaml of so many sites of 16 cameras; their footage folders are there, and empty. branches: how many,
        the first ones, have a machine of their own."""
        lines = ["company: Fleet", "stores:", "  nas:", f"    url: file://{self.folder}/nas", "sites:"]
        for number in range(count):
            footage = self.folder / "footage" / site_id(number)
            footage.mkdir(parents=True, exist_ok=True)
            lines += [f"  - id: {site_id(number)}", f"    name: Branch {number}", "    time_zone: WIB"]
            lines += [f"    runs_on: {'edge' if number < branches else 'centre'}"]
            lines += [f"    footage: {footage}", f"    every: {every}", "    cameras:"]
            for camera in range(1, CAMERAS + 1):
                lines += [f"      - id: cam-{camera:02d}", f"        name: Camera {camera}"]
        self.home.sites_file.write_text("\n".join(lines) + "\n")
        self.sites = count

    def environment(self, **settings: str) -> dict[str, str]:
        """Of an Airflow process. settings: more of Airflow's, such as CORE__PARALLELISM."""
        own = airflow_environment(self.home)
        if parts := self.home.parts:
            own |= {f"VMS_PARTS_{name.upper()}": str(value) for name, value in asdict(parts).items() if value}
            own |= {"AIRFLOW__API__HOST": HOST, "VMS_SECRET_BROKER": self.home.secret("broker")}
        return own | self.of_benchmark() | {f"AIRFLOW__{name}": value for name, value in settings.items()}

    def of_benchmark(self) -> dict[str, str]:
        """What every process has beside the product's own environment."""
        path = os.pathsep.join(str(ROOT / one) for one in ("include", "plugins", "benchmarks"))
        own = {"PYTHONPATH": path, "VMS_FLEET_BATCHES": str(self.batches)}
        return own | {"AIRFLOW__CORE__DAGS_FOLDER": str(self.folder / "dags")}

    def start(self, part: str, name: str = "", **settings: str) -> None:
        """part: api, scheduler, dag-processor, or with Celery worker. name: of a second one."""
        if part == "worker":
            argv: tuple[str, ...] = (sys.executable, str(Path(__file__).with_name("fleet_worker.py")))
        elif self.executor == CELERY:
            argv = (sys.executable, "-m", "airflow", *container.AIRFLOW[part.replace("api", "api-server")])
            if part != "dag-processor":
                settings["API_AUTH__JWT_PRIVATE_KEY_PATH"] = self._signing_key()
        else:
            (service,) = [one for one in airflow_services(self.home) if one.name == f"airflow-{part}"]
            argv = service.prepare().argv
        self.spawn(name or part, argv, **settings)

    def _signing_key(self) -> str:
        path = self.folder / "airflow-signing-key.pem"
        return str(path if path.exists() else signing.key_file(self.home, self.folder))

    def spawn(
        self, part: str, argv: tuple[str, ...], environment: Mapping[str, str] | None = None, **settings: str
    ) -> subprocess.Popen[bytes]:
        """environment: another one than that of Airflow's parts."""
        if shutil.disk_usage(self.folder).free < NO_DISK_GB * 1e9:
            raise SystemExit(f"Less than {NO_DISK_GB} GB are free where {self.folder} lies.")
        environment = environment or self.environment(**settings)
        with (self.home.logs / f"{part}.log").open("ab") as log:
            child = subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
        self.running[part] = child
        return child

    def wait_well(self, *parts: str) -> None:
        """Until Airflow says that these parts are well: api_server, scheduler, dag_processor."""
        health = AirflowHealth(self.home, since=0.0)
        wait(lambda: all(health.is_well(part) for part in parts), f"{', '.join(parts)} to be well")

    def stop(self, *parts: str) -> None:
        for part in parts or [one for one in self.running if one not in ("postgres", "redis")]:
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
        """CPU seconds so far of each part; of whoever runs tasks apart: supervisors and tasks."""
        used: dict[str, float] = {}
        for name, child in self.running.items():
            part = name.rstrip("-0123456789")  # several schedulers are one part
            tree = [used_by(one) for one in processes.tree(child.pid)]
            level = _SUPERVISORS.get((self.executor, part))
            shares = by_level(tree, child.pid, level) if level else {"": sum(one.all for one in tree)}
            for share, seconds in shares.items():
                used[share or part] = used.get(share or part, 0.0) + seconds
        return used

    def memory_mb(self, part: str) -> float:
        """Of a part with all its processes, shared pages once."""
        return processes.memory_bytes(processes.tree(self.running[part].pid)) / 1e6

    def process_count(self, part: str) -> int:
        return len(processes.tree(self.running[part].pid))

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
    copy_dags(folder / "dags")
    made.running["postgres"] = postgres.start(home)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        postgres.prepare_databases(home)
        migrate.upgrade(owner_url(home))
        airflow_tables.migrate(home)
        yield made
    finally:
        made.stop()
        if "redis" in made.running:
            made.stop("redis")
        postgres.stop(made.running["postgres"])


def wait(ready: Callable[[], bool], what: str, seconds: float = GIVE_UP_S) -> None:
    give_up = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > give_up:
            raise SystemExit(f"Waited {seconds:.0f} s in vain for {what}.")
        time.sleep(0.5)


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {part: after[part] - before.get(part, 0.0) for part in after}


def copy_dags(folder: Path, shards: int = 0) -> None:
    """The product's site DAGs and no others; their tasks find no footage (fleet_fakes.py). shards: how many files
    share the sites, if not as many as the product has."""
    (folder / "footage_shards").mkdir(parents=True)
    shutil.copy(ROOT / "dags" / ".airflowignore", folder / ".airflowignore")
    files = ROOT / "dags" / "footage_shards"
    count = shards or len(list(files.glob("*.py")))
    text, found = re.subn(r"(?m)^SHARDS = \d+$", f"SHARDS = {count}", (ROOT / "dags" / "footage.py").read_text())
    assert found == 1
    (folder / "footage.py").write_text(text)
    first = (files / "shard_0.py").read_text()
    for number in range(count):
        own = first.replace("shard=0", f"shard={number}") + "\nimport fleet_fakes\n\nfleet_fakes.install()\n"
        (folder / "footage_shards" / f"shard_{number}.py").write_text(own)


@dataclass(frozen=True)
class Used:
    """CPU seconds of one process, and of its children that have ended."""

    pid: int
    parent: int
    own: float
    ended: float

    @property
    def all(self) -> float:
        return self.own + self.ended


_SUPERVISORS = {(LOCAL, "scheduler"): 1, (CELERY, "worker"): 2}
"""How far below a part those are that each watch over one task after another: LocalExecutor's workers are children of
the scheduler; the worker in its container has two halves, and each half its pool."""


def by_level(tree: Iterable[Used], root: int, level: int) -> dict[str, float]:
    """CPU seconds of a tree of processes: "" above the supervisors, "supervisors", and below them "tasks", those
    that have ended included. What has ended above the supervisors were supervisors."""
    known = {one.pid: one for one in tree}
    shares = {"": 0.0, "supervisors": 0.0, "tasks": 0.0}
    for one in known.values():
        depth, above = 0, one
        while above.pid != root and above.parent in known:
            depth, above = depth + 1, known[above.parent]
        shares["" if depth < level else "supervisors" if depth == level else "tasks"] += one.own
        shares["supervisors" if depth < level else "tasks"] += one.ended
    return shares


def used_by(process: psutil.Process) -> Used:
    try:
        parent, used = process.ppid(), process.cpu_times()
    except psutil.Error:
        return Used(process.pid, 0, 0.0, 0.0)
    return Used(process.pid, parent, float(used.user + used.system), float(used.children_user + used.children_system))
