"""The running installation that all end-to-end tests share, and what must be true once it has stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser_world import Viewer, launched, served
from installation import Stack, free_port, wait_for
from vms.home import Home


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """`./vms up --demo --detach`; afterwards `./vms down`, and no process of it may be left."""
    home: Path = tmp_path_factory.mktemp("installation") / "home"
    running = Stack(home, viewer_port=free_port(), airflow_port=free_port())
    running.skip_the_past()
    try:
        running.vms("up", "--demo", "--detach", timeout_s=300)
        yield running
    finally:
        running.vms("down", check=False)
        wait_for("the end of every process of the stopped stack", lambda: not list(running.processes()), 60)


@pytest.fixture
def viewer(catalogue: tuple[Home, str], tmp_path: Path) -> Iterator[Viewer]:
    """A served viewer over a world of footage, and somebody who has signed in."""
    with served(catalogue[0], tmp_path) as made:
        yield made


@pytest.fixture
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        running = launched(playwright)
        yield running
        running.close()
