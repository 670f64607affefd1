"""A container engine and its compose, as the tests beside this file use them.

VMS_COMPOSE (default `docker compose`) and VMS_CONTAINERS (default `docker`) say which.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = shlex.split(os.environ.get("VMS_COMPOSE", "docker compose"))
ENGINE = shlex.split(os.environ.get("VMS_CONTAINERS", "docker"))
PATIENCE_S = 900.0

TYPED = """
docker() {{
    shift; word=$1; shift
    case $word in exec | run) set -- -T "$@" ;; esac
    command {compose} -p {project} {profiles} "$word" "$@"
}}
"""
"""`docker compose` where there is no terminal, and of the test's own project."""

MADE_AT = ("ho", "makassar", "jayapura")
"""The sites of the demonstration."""

NO_PAST = """mkdir -p /var/lib/vms/demo &&
echo '{"until": "2026-01-01T00:00:00+00:00", "made": 1000000}' > /var/lib/vms/demo/past.json"""
"""The demonstration makes no footage of the days before: half an hour of encoding that teaches nothing here."""


class Installation:
    """A clean clone with its .env, and the containers that compose makes of it."""

    def __init__(self, folder: Path, project: str, profiles: tuple[str, ...]) -> None:
        self.folder, self.project, self.profiles = folder, project, profiles

    def compose(self, *words: str, check: bool = True) -> str:
        profiles = [word for one in self.profiles for word in ("--profile", one)]
        return self._said([*COMPOSE, "-p", self.project, *profiles, *words], check=check)

    def typed(self, commands: str) -> str:
        """What a person types in the clone, line by line, as the book has it."""
        profiles = " ".join(f"--profile {one}" for one in self.profiles)
        as_here = TYPED.format(compose=shlex.join(COMPOSE), project=self.project, profiles=profiles)
        return self._said(["sh", "-exc", as_here + commands], check=True)

    def _said(self, command: list[str], *, check: bool) -> str:
        said = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert not check or said.returncode == 0, f"{command}: {said.stdout[-2000:]}{said.stderr[-4000:]}"
        return said.stdout + said.stderr

    def settings(self, **values: str | int) -> None:
        """Into .env; they count from the next `up` on."""
        with (self.folder / ".env").open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in values.items())

    def containers(self, service: str) -> list[str]:
        """The names of those that run, in order."""
        labels = (f"com.docker.compose.project={self.project}", f"com.docker.compose.service={service}")
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        return sorted(_engine("ps", *filters, "--format", "{{.Names}}").split())

    def remove_workers(self) -> None:
        """Not every compose takes away at its end all that it had started of one service."""
        workers = [f"label=com.docker.compose.{name}" for name in (f"project={self.project}", "service=worker")]
        filters = [word for label in workers for word in ("--filter", label)]
        for one in _engine("ps", "-a", *filters, "--format", "{{.Names}}").split():
            _engine("rm", "-f", one)

    def inside(self, container: str, *words: str) -> str:
        return _engine("exec", container, *words)

    def vms(self, *words: str) -> Any:
        """What a command of the product says with --json, whether or not it finds all of it well."""
        command = [*ENGINE, "exec", self.containers("worker")[0], "vms", *words, "--json"]
        said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        lines = [json.loads(line) for line in said.stdout.splitlines() if line.strip()]
        if said.returncode and not lines:
            raise Failed(said.returncode, command, said.stdout, said.stderr)
        return lines

    def kill(self, container: str) -> None:
        _engine("kill", "--signal", "KILL", container)

    def start_demonstration(self) -> None:
        """From nothing until footage of each of its sites is archived."""
        self.compose("build")
        self.compose("run", "--rm", "-T", "--no-deps", "--entrypoint", "sh", "init", "-c", NO_PAST)
        self.compose("up", "-d")
        eventually("the first footage is archived", self._first_set_is_in)

    def _first_set_is_in(self) -> bool:
        (seen,) = self.vms("status")
        return all(site["counts"]["archived"] > 0 for site in seen["sites"] if site["id"] in MADE_AT)


@contextmanager
def installation(folder: Path, *options: str, source: Path = ROOT) -> Iterator[Installation]:
    """Cloned from what is committed, with fresh secrets, on ports that nobody uses. Its volumes go at the end."""
    clone = folder / "clone"
    subprocess.run(["git", "clone", "-q", str(source), str(clone)], check=True)
    subprocess.run([str(clone / "vms"), "compose", "init", *options], check=True, capture_output=True)
    made = Installation(clone, "vmstest", tuple(option.removeprefix("--") for option in options))
    made.settings(VMS_VIEWER_PORT=5971, VMS_AIRFLOW_PORT=8971)
    try:
        yield made
    finally:
        made.remove_workers()
        made.compose("down", "-v", "-t", "5")


def eventually(what: str, seen: Callable[[], bool]) -> None:
    """Wait until it is so; what the containers say meanwhile may be nothing at all."""
    give_up = time.monotonic() + PATIENCE_S
    last = ""
    while time.monotonic() < give_up:
        try:
            if seen():
                return
        except (subprocess.CalledProcessError, IndexError, ValueError, KeyError) as error:
            last = f"{error} {getattr(error, 'stderr', '')}"
        time.sleep(2.0)
    raise AssertionError(f"It never came about that {what}. {last}")


def _engine(*words: str) -> str:
    said = subprocess.run([*ENGINE, *words], capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    if said.returncode:
        raise Failed(said.returncode, [*ENGINE, *words], said.stdout, said.stderr)
    return said.stdout


class Failed(subprocess.CalledProcessError):
    """Says what the program said, too."""

    def __str__(self) -> str:
        return f"{super().__str__()} {(self.stderr or '')[-2000:]}"
