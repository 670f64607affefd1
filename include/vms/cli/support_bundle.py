"""`vms support-bundle`: what somebody who helps from afar needs to see, in one ZIP, without a secret in it.

Every part is gathered by itself: what can't be had says why, and the others are there all the same. All text goes
through `vms.masking` on its way into the ZIP.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer

import vms
from vms.airflow_api import AirflowApi
from vms.branches import unit
from vms.catalogue import alerts, migrate, whole
from vms.catalogue.connection import connect, url
from vms.cli import doctor_checks
from vms.cli.branch_run import as_object as as_branch
from vms.cli.status import Overview, as_object, look
from vms.cli.wording import new_console, plain, size_text
from vms.errors import StackError, VmsError
from vms.home import Home, from_environment
from vms.masking import Masker, settings, shape
from vms.stack import postgres
from vms.video.binaries import binaries, version

LOG_BYTES = 1_000_000
"""So much of the end of each log."""

TASK_LOGS, TASK_LOG_BYTES = 30, 200_000
"""So many logs of tasks, the newest, and so much of the end of each."""

JOURNAL_S = 20.0
RUNS = 100
_SETTINGS = ("VMS_", "AIRFLOW", "TZ", "LANG", "LC_", "PATH")

Part = Callable[[], str]


def register(app: typer.Typer) -> None:
    """Mount `support-bundle`."""
    app.command("support-bundle")(support_bundle)


def support_bundle(
    to: Annotated[
        Path | None,
        typer.Option(help="The ZIP to write (default: here, in a container in the state folder, named by the time)."),
    ] = None,
    *,
    doctor: Annotated[bool, typer.Option(help="Also ask the doctor, which tries every store.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: file, size_bytes, not_in_it.")] = False,
) -> None:
    """Collect versions, configuration, state and recent logs in a ZIP for whoever helps you. Secrets are taken out."""
    home = from_environment()
    now = datetime.now(UTC)
    path = to or _default_folder(home) / f"vms-support-{now:%Y%m%d-%H%M%S}.zip"
    console = new_console(stderr=True, soft_wrap=True)
    if path.exists():
        raise StackError(f"{path} is there already.", "Give another name with --to.")
    try:
        faults = write_bundle(home, path, now, with_doctor=doctor, tell=lambda name: console.print(f"  {name}"))
    except OSError as error:
        raise StackError(
            f"{path} can't be written ({error.strerror or error}).",
            "Give a place with free space that this user may write to: --to /tmp/vms-support.zip",
        ) from error
    if as_json:
        told = {"file": str(path.absolute()), "size_bytes": path.stat().st_size, "not_in_it": faults}
        sys.stdout.write(json.dumps(told, ensure_ascii=False) + "\n")
        return
    console.print(f"[bold]{plain(str(path))}[/] ({size_text(path.stat().st_size)}) holds no passwords, keys or tokens.")
    console.print("It names sites, cameras, files and people's names in logs: look into it before you pass it on.")
    for line in (*_fetch(home, path), *_elsewhere(home)):
        console.print(plain(line))
    for name, why in faults.items():
        console.print(f"[yellow]Not in it: {name}.[/] {plain(why)}")


def _is_container() -> bool:
    return any(Path(one).exists() for one in ("/.dockerenv", "/run/.containerenv"))


def _default_folder(home: Home) -> Path:
    """Here; in a container, where here is the program's own folder, the state folder, which outlives it."""
    here = Path.cwd()
    return home.root if home.parts or not os.access(here, os.W_OK) else Path()


def _fetch(home: Home, path: Path) -> list[str]:
    """How it gets out of a container."""
    if not home.parts and not (home.branch and _is_container()):
        return []
    whose = "-f docker-compose.branch.yaml cp branch" if home.branch else "cp worker"
    return [f"Out of the container, from outside: docker compose {whose}:{path.absolute()} ."]


def _elsewhere(home: Home) -> list[str]:
    """Which logs are not in the state folder, and how they are had."""
    if home.parts:
        return ["The logs of the parts, from outside: docker compose logs --no-color --since 48h > logs.txt"]
    if home.branch and _is_container():
        compose = "docker compose -f docker-compose.branch.yaml"
        return [f"The agent's log, from outside: {compose} logs --no-color --since 48h > logs.txt"]
    if home.branch:
        both = " or, for the whole machine, ".join(unit.log_command(system=one) for one in (False, True))
        return [f"The agent's log, where it is not in here: {both}"]
    return []


def write_bundle(
    home: Home, path: Path, now: datetime, *, with_doctor: bool, tell: Callable[[str], None]
) -> dict[str, str]:
    """Write the ZIP, for this user's eyes only; returns what could not be gathered, by its name, and why."""
    masker = Masker(home)
    faults: dict[str, str] = {}
    partial = path.with_name(f".{path.name}.new")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
            for name, part in _parts(home, with_doctor=with_doctor):
                tell(name)
                try:
                    text = part()
                except Exception as error:  # noqa: BLE001  # whatever is broken is why this is asked for
                    faults[name] = text = f"{type(error).__name__}: {error}"
                bundle.writestr(name, masker.masked(text))
            bundle.writestr("README.txt", masker.masked(_about(home, now, faults)))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return {name: masker.masked(why) for name, why in faults.items()}


def _about(home: Home, now: datetime, faults: Mapping[str, str]) -> str:
    lines = [
        f"Video backup {vms.__version__} on {socket.gethostname()}, {now:%Y-%m-%d %H:%M:%S} UTC, state in {home.root}",
        "What is secret reads [secret]. Logs are the end of each, at most 1 MB.",
        *_elsewhere(home),
        *(f"Not gathered: {name}: {why}" for name, why in faults.items()),
    ]
    return "\n".join(lines) + "\n"


def _parts(home: Home, *, with_doctor: bool) -> Iterator[tuple[str, Part]]:
    seen: list[Overview] = []

    def overview() -> Overview:
        if not seen:
            seen.append(look(home))
        return seen[0]

    yield "versions.json", lambda: _json(_versions(home))
    yield "machine.json", lambda: _json(_machine(home))
    yield "settings.json", lambda: _json(settings(os.environ, _SETTINGS))
    yield "sites.yaml", lambda: home.sites_file.read_text(errors="replace")
    yield "connections.json", lambda: _json(shape(json.loads(home.connections.read_text())))
    yield "status.json", lambda: _json(as_object(overview()))
    if home.branch:
        yield "branch.json", lambda: _json(as_branch(home))
        if not _is_container():
            yield "logs/agent.log", _agent_log
        for log in _newest_task_logs(home):
            yield f"logs/airflow/{log.relative_to(home.logs / 'airflow')}", partial(_tail, log, TASK_LOG_BYTES)
    else:
        yield "catalogue.json", lambda: _json(_catalogue(home))
        yield "airflow.json", lambda: _json(_airflow(home))
    if with_doctor:
        yield "doctor.json", lambda: _json([asdict(one) for one in doctor_checks.examine(home, overview())])
    for log in sorted(path for path in home.logs.glob("*.log*") if path.is_file()) if home.logs.is_dir() else ():
        yield f"logs/{log.name}", partial(_tail, log)


def _json(data: Any) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False, default=str) + "\n"


def _versions(home: Home) -> dict[str, Any]:
    found: dict[str, Any] = {"vms": vms.__version__, "python": sys.version, "newest_schema": migrate.newest()}
    try:
        programs = binaries(home)
        found |= {"ffmpeg": version(programs.ffmpeg), "ffprobe": version(programs.ffprobe)}
    except VmsError as error:
        found["ffmpeg"] = str(error)
    found["packages"] = {one.name: one.version for one in sorted(metadata.distributions(), key=lambda each: each.name)}
    return found


def _machine(home: Home) -> dict[str, Any]:
    """Disks are asked one by one and only those that answer at once: a mount that hangs must not hang this."""
    memory = psutil.virtual_memory()
    folders = {"state": home.root, "logs": home.logs, "staging": home.staging, "nas": home.nas}
    there = {name: folder for name, folder in folders.items() if folder.exists()}
    return {
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "memory": {"total": memory.total, "available": memory.available},
        "booted": datetime.fromtimestamp(psutil.boot_time(), UTC),
        "mounts": [[one.device, one.mountpoint, one.fstype] for one in psutil.disk_partitions()],
        "disks": {name: shutil.disk_usage(folder)._asdict() for name, folder in there.items()},
        "files": dict(_sizes(home)),
    }


def _sizes(home: Home) -> Iterator[tuple[str, int]]:
    for path in sorted([*home.run.glob("*"), *home.backups.glob("*")]):
        with contextlib.suppress(FileNotFoundError):  # one that was replaced or is over since it was listed
            yield str(path.relative_to(home.root)), path.stat().st_size


def _catalogue(home: Home) -> dict[str, Any]:
    conn = connect(url(home, "viewer"))
    try:
        return {
            "schema": whole.revision(conn),
            "schema_of_program": migrate.newest(),
            "server_major": whole.server_major(conn),
            "alerts": [asdict(one) for one in alerts.list_alerts(conn)],
            "broken_copies": alerts.broken_by_store(conn),
        }
    finally:
        conn.close()


def _airflow(home: Home) -> dict[str, Any]:
    postgres.read_address(home)
    with AirflowApi(home) as airflow:
        runs = airflow.recent_runs(RUNS)
        failed = [one for one in runs if one.state == "failed"][:10]
        return {
            "dags": [asdict(one) for one in airflow.dags()],
            "not_parsed": airflow.import_errors(),
            "runs": [asdict(one) for one in runs],
            "failed": [
                {
                    "dag": run.dag_id,
                    "run": run.run_id,
                    "tasks": [
                        asdict(task) | {"log": airflow.failure(run.dag_id, run.run_id, task)}
                        for task in airflow.tasks(run.dag_id, run.run_id)
                        if task.state == "failed"
                    ][:5],
                }
                for run in failed
            ],
        }


def _agent_log() -> str:
    """What systemd has of the agent, whichever of the two runs it."""
    said = []
    for system in (False, True):
        words = [*unit.log_command(system=system).removesuffix(" -f").split(), "--no-pager", "-n", "5000"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=JOURNAL_S, check=False)
        said.append(f"$ {' '.join(words)}\n{done.stdout}{done.stderr}")
    return "\n".join(said)


def _newest_task_logs(home: Home) -> list[Path]:
    """At a branch nobody else has them: what the centre shows of a task is what was sent there."""
    found = []
    for path in (home.logs / "airflow").rglob("*.log"):
        with contextlib.suppress(FileNotFoundError):  # old ones are being cleared
            if path.is_file():
                found.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(found, reverse=True)[:TASK_LOGS]]


def _tail(path: Path, most: int = LOG_BYTES) -> str:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - most))
        text = file.read().decode(errors="replace")
    if size <= most:
        return text
    return f"[about {size - most} bytes before this are left out]\n{text.partition(chr(10))[2]}"
