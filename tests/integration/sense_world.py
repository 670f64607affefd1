"""A footage folder to look at: clips, files put there some time ago, and what a look at it finds."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from vms import footage
from vms.config import load_config
from vms.home import Home, from_environment
from vms.ledger import Ledger
from vms.sightings import Sensed
from vms.steps.sense import sense
from vms.video.binaries import binaries

LONG_AGO = 3600.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real H.264 MP4 of 2 s."""
    return _make(tmp_path_factory.mktemp("clip") / "clip.mp4", "-c:v", "libx264", "-preset", "ultrafast")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("VMS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VMS_SITES", str(tmp_path / "sites.yaml"))
    monkeypatch.setattr(footage, "SECOND_LOOK_S", 1.0)
    (tmp_path / "footage").mkdir()
    (tmp_path / "sites.yaml").write_text(
        f"sites:\n- {{id: ho, name: Head Office, footage: {tmp_path}/footage, time_zone: WIB}}\n"
    )
    return from_environment()


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    def put(name: str | bytes, content: bytes | Path, age_s: float = LONG_AGO) -> Path:
        path = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path / "footage"), os.fsencode(name))))  # noqa: PTH118
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copyfile(content, path)
        else:
            path.write_bytes(content)
        at = time.time() - age_s
        os.utime(path, (at, at))
        return path

    return put


def look(home: Home, now: datetime | None = None, limit: int = 500) -> Sensed:
    config = load_config(home.sites_file)
    return sense(config.site("ho"), config, home, now=now or datetime.now(UTC), limit=limit)


def names(sensed: Sensed) -> set[str]:
    return {one.source.path for one in sensed.sightings}


def reasons(sensed: Sensed) -> dict[str, str]:
    return {one.source.path: one.fault.reason for one in sensed.rejections}


def ledger(home: Home) -> Ledger:
    return Ledger(home.site_staging("ho"))


def _make(path: Path, *options: str) -> Path:
    source = ["-f", "lavfi", "-i", "testsrc=size=320x240:rate=10:duration=2"]
    argv = [binaries(None).ffmpeg, "-v", "error", "-y", *source, "-pix_fmt", "yuv420p", *options, str(path)]
    subprocess.run(argv, check=True, capture_output=True)
    return path
