"""The running installation that all end-to-end tests share, and what must be true once it has stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from installation import Stack, free_port, wait_for


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """`./vms up --demo --detach`; afterwards `./vms down`, and no process of it may be left."""
    home: Path = tmp_path_factory.mktemp("installation") / "home"
    running = Stack(home, viewer_port=free_port(), airflow_port=free_port())
    try:
        running.vms("up", "--demo", "--detach", timeout_s=300)
        yield running
    finally:
        running.vms("down", check=False, timeout_s=60)
        wait_for("the end of every process of the stopped stack", lambda: not list(running.processes()), 20)
