"""The viewer served over a world of footage, and a Chromium to look at it."""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from installation import free_port
from viewer_world import SignedIn, World, build, make_clip, sign_in
from vms.home import PROJECT_ROOT, Home

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NEEDS_BROWSER = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: apt-get install chromium")
WAIT_MS = 120_000
"""Only ends a hang: a machine that runs other tests beside takes its time for everything."""

PLAYED = """video => {
  video.muted = true;
  if (video.paused && !video.ended) video.play().catch(() => {});  // the page may just be drawn anew
  return video.currentTime;
}"""
"""Have it played, and see how far it is."""


@dataclass(frozen=True)
class Viewer:
    """A served viewer over a world."""

    world: World
    url: str
    person: SignedIn


@contextmanager
def served(
    home: Home,
    folder: Path,
    more: dict[str, str] | None = None,
    scheme: str = "http",
    change: Callable[[World], None] = lambda _: None,
    rate: int = 10,
) -> Iterator[Viewer]:
    """Serve a world that is built in this home. more: further variables of its environment. change: of the world.
    rate: pictures a second of its footage."""
    world = build(home, make_clip(folder, home, rate))
    change(world)
    port = free_port()
    environment = os.environ | {
        "VMS_HOME": str(home.root),
        "VMS_SITES": str(home.sites_file),
        "VMS_VIEWER_PORT": str(port),
        "PYTHONPATH": f"{PROJECT_ROOT / 'include'}{os.pathsep}{PROJECT_ROOT / 'plugins'}",
        **(more or {}),
    }
    log = folder / "viewer.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "viewer.serve"], cwd=PROJECT_ROOT, env=environment, stdout=file, stderr=file
        )
    try:
        _wait_until_served(process, f"{scheme}://127.0.0.1:{port}/_stcore/health", log)
        yield Viewer(world, f"{scheme}://127.0.0.1:{port}", sign_in(home))
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) in (0, -signal.SIGTERM), log.read_text()


def launched(playwright: Any) -> Any:
    """A Chromium."""
    return playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"], timeout=WAIT_MS)


def new_page(
    browser: Any,
    viewer: Viewer,
    width: int = 1280,
    person: SignedIn | None = None,
    *,
    signed_in: bool = True,
    **options: Any,
) -> Any:
    """A page of somebody who has signed in; it fails the test on any script error or dialog."""
    context = browser.new_context(viewport={"width": width, "height": 900}, **options)
    if signed_in:
        token = (person or viewer.person).token
        name = f"vms_{viewer.url.rpartition(':')[2]}"
        context.add_cookies([{"name": name, "value": token, "url": viewer.url, "httpOnly": True}])
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("dialog", lambda dialog: page.errors.append(f"dialog: {dialog.message}"))
    return page


def _wait_until_served(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + 120
    context = ssl._create_unverified_context()  # noqa: S323  # a certificate of the test's own
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5, context=context) as answer:  # noqa: S310  # our own loopback address
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
