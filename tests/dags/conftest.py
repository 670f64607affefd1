"""Airflow for tests that need no database: settled before the first test module imports it, because it reads its
settings once per process."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vms.stores.connections import use_clients

ROOT = Path(__file__).resolve().parents[2]

if "airflow" not in sys.modules:
    _home = Path(tempfile.mkdtemp(prefix="vms-airflow-"))
    os.environ |= {
        "AIRFLOW_HOME": str(_home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_home}/airflow.db",
    }


@pytest.fixture(autouse=True)
def our_clients() -> Iterator[None]:
    """A task that is run here lets Airflow's hooks build the clients of stores, as it does in a process of its own; the
    next test of this process is to have ours again."""
    yield
    use_clients("s3", None)
    use_clients("gs", None)


SITE = """
  - id: {id}
    name: {name}
    time_zone: WIB
    footage: {folder}/{id}
    stores: [nas]
    every: {every}
    enabled: {enabled}
"""


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Call it with the text below `sites:` or with site ids: it writes sites.yaml and points the environment at it."""

    def write(*ids: str, extra: str = "", every: str = "10m", enabled: str = "true") -> Path:
        sites = "".join(
            SITE.format(id=one, name=one.title(), zone="WIB", folder=tmp_path, every=every, enabled=enabled)
            for one in ids
        )
        path = tmp_path / "sites.yaml"
        path.write_text(f"stores:\n  nas:\n    url: file://{tmp_path}/nas\nsites:\n{sites}{extra}")
        monkeypatch.setenv("VMS_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("VMS_SITES", str(path))
        monkeypatch.delenv("VMS_VIEWER_PORT", raising=False)
        return path

    return write
