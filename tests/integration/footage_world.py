"""A site with a footage folder, a store, a catalogue and an Airflow, whose DAGs are run for real."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import weed
from airflow_runs import AirflowRuns, DagRunResult, migrate
from vms.catalogue.connection import connect
from vms.catalogue.reads import RecordingFilter, RecordingRow, find_recordings
from vms.home import Home
from vms.stack.airflow_env import airflow_environment
from vms.video.binaries import binaries

SITES = """
stores:
  nas:
    url: file://{nas}
profiles:
  quick:
    codec: h264
    preset: ultrafast
    crf: 30
defaults:
  time_zone: WIB
  stores: [nas]
  profile: quick
sites:
  - id: ho
    name: Head Office
    footage: {footage}
    keep_source: {keep}
"""


@dataclass
class Place:
    """A site with a footage folder, a store, a catalogue and an Airflow."""

    home: Home
    owner_url: str
    footage: Path
    nas: Path
    airflow: AirflowRuns
    runs: int = 0

    def run(self) -> DagRunResult:
        """One run of the site's DAG, ten minutes after the last."""
        self.runs += 1
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=10 * self.runs)
        return self.airflow.run("footage_ho", at)

    def configure(self, keep: str) -> None:
        self.home.sites_file.write_text(SITES.format(nas=self.nas, footage=self.footage, keep=keep))

    def recordings(self) -> dict[str, RecordingRow]:
        with closing(connect(self.owner_url)) as conn:
            return {row.source_name: row for row in find_recordings(conn, RecordingFilter())}

    def states(self) -> dict[str, str]:
        return {name: row.state for name, row in self.recordings().items()}

    def objects(self) -> dict[str, int]:
        return {
            str(path.relative_to(self.nas)): path.stat().st_size
            for path in sorted(self.nas.rglob("*"))
            if path.is_file() and not any(part.startswith(".") for part in path.relative_to(self.nas).parts)
        }

    def leave(self, name: str, source: Path | bytes) -> Path:
        """Put a file into the footage folder as a recorder would have an hour ago."""
        path = self.footage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, bytes):
            path.write_bytes(source)
        else:
            shutil.copy(source, path)
        hour_ago = time.time() - 3600
        os.utime(path, (hour_ago, hour_ago))
        return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Short clips whose pictures differ by number."""
    folder = tmp_path_factory.mktemp("clips")

    def make(number: int) -> Path:
        path = folder / f"{number}.mp4"
        if not path.exists():
            source = f"testsrc2=size=320x240:rate=10:duration=5,hue=h={number * 40}"
            how = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "10", "-pix_fmt", "yuv420p"]
            subprocess.run(
                [binaries().ffmpeg, "-v", "error", "-f", "lavfi", "-i", source, *how, str(path)], check=True, timeout=60
            )
        return path

    return make


@pytest.fixture(scope="session")
def airflow_tables(postgres: Home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Airflow's own tables, empty, in a file that each test takes a copy of: making them takes seconds."""
    path = tmp_path_factory.mktemp("airflow") / "airflow.db"
    migrate(airflow_environment(postgres) | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{path}"})
    return path


@pytest.fixture
def place(catalogue: tuple[Home, str], airflow_tables: Path, tmp_path: Path) -> Iterator[Place]:
    home, owner_url = catalogue
    tables = shutil.copy(airflow_tables, tmp_path)
    environment = airflow_environment(home) | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tables}"}
    footage, nas = tmp_path / "nvr", tmp_path / "nas"
    footage.mkdir()
    nas.mkdir()
    airflow = AirflowRuns(environment)
    made = Place(home, owner_url, footage, nas, airflow)
    made.configure("keep")
    try:
        yield made
    finally:
        airflow.close()


@pytest.fixture
def bucket(s3_server: weed.S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a new store in a bucket; the tasks' environment holds the connection to it."""
    monkeypatch.setenv("AIRFLOW_CONN_OFFICE_S3", weed.connection_text(s3_server.endpoint))
    return f"s3://{weed.BUCKET}/{secrets.token_hex(8)}"
