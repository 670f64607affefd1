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


class Installation:
    """A clean clone with its .env, and the containers that compose makes of it."""

    def __init__(self, folder: Path, project: str, profiles: tuple[str, ...]) -> None:
        self.folder, self.project, self.profiles = folder, project, profiles

    def compose(self, *words: str) -> None:
        profiles = [word for one in self.profiles for word in ("--profile", one)]
        said = subprocess.run(
            [*COMPOSE, "-p", self.project, *profiles, *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert said.returncode == 0, f"{words}: {said.stdout[-2000:]}{said.stderr[-4000:]}"

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


@contextmanager
def installation(folder: Path, *options: str) -> Iterator[Installation]:
    """Cloned from what is committed, with fresh secrets, on ports that nobody uses. Its volumes go at the end."""
    clone = folder / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
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
