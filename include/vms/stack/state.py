"""What the launcher writes down about the running stack, for `status`, `down` and the next start: run/services.json."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from vms.home import PROJECT_ROOT, Home
from vms.stack.processes import is_same

ServiceCondition = Literal["waiting", "starting", "ready", "unwell", "restarting", "stopped"]
Phase = Literal["starting", "usable", "stopping", "failed", "stopped"]


@dataclass(frozen=True)
class ServiceState:
    """One service. pid 0: it does not run. since: when the state changed (epoch). detail: why, for people."""

    name: str
    state: ServiceCondition = "waiting"
    pid: int = 0
    started: float = 0.0
    since: float = 0.0
    restarts: int = 0
    detail: str = ""


@dataclass(frozen=True)
class Step:
    """One step of the start. seconds: how long it took, None while it goes on."""

    title: str
    seconds: float | None = None


@dataclass(frozen=True)
class StackState:
    """The whole stack. mark: what all its processes carry. sessions: of every service process it ever started.

    started: of the launcher's process, which tells it from another one of the same number; loaded: when it had read the
    program, which at the first start is minutes later (epoch both).
    """

    mark: str
    pid: int
    started: float
    since: float
    demo: bool
    phase: Phase = "starting"
    error: str = ""
    remedy: str = ""
    steps: tuple[Step, ...] = ()
    services: tuple[ServiceState, ...] = ()
    sessions: tuple[int, ...] = field(default=())
    loaded: float = 0.0

    @property
    def launcher_lives(self) -> bool:
        return is_same(self.pid, self.started)


def state_file(home: Home) -> Path:
    return home.run / "services.json"


def write_state(home: Home, state: StackState) -> None:
    """Replace the file as a whole: a reader never sees half of it."""
    fresh = state_file(home).with_suffix(f".{os.getpid()}.new")
    fresh.write_text(json.dumps(asdict(state), indent=1))
    fresh.replace(state_file(home))


def read_state(home: Home) -> StackState | None:
    """The last state written, None when there is none. Whether its launcher still lives: `launcher_lives`."""
    try:
        said: dict[str, Any] = json.loads(state_file(home).read_text())
        return StackState(
            **{
                **said,
                "steps": tuple(Step(**one) for one in said["steps"]),
                "services": tuple(ServiceState(**one) for one in said["services"]),
                "sessions": tuple(said["sessions"]),
            }
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def changed_since(epoch: float, root: Path = PROJECT_ROOT) -> bool:
    """Whether a program file is newer than this moment: parts that run keep the old code in memory, while each task
    reads the new, and the two need not fit each other."""
    files = (path for room in ("include", "plugins", "dags", "viewer") for path in (root / room).rglob("*.py"))
    return any(path.stat().st_mtime > epoch for path in files)


def as_seen_now(state: StackState) -> StackState:
    """The state with what is no longer true taken out: a launcher that was killed can't have written its end."""
    if state.launcher_lives or state.phase in ("stopped", "failed"):
        return state
    services = tuple(
        one
        if is_same(one.pid, one.started)
        else replace(one, state="stopped", pid=0, detail="it ended with the launcher")
        for one in state.services
    )
    if any(one.pid for one in services):
        error, remedy = "The launcher was killed; what it had started runs on unwatched.", "./vms up or ./vms down"
        return replace(state, phase="failed", error=error, remedy=remedy, services=services)
    return replace(state, phase="stopped", error="", remedy="", services=services)
