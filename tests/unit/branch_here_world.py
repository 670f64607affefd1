"""A machine that has joined as a branch."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from vms.home import Home, from_environment

JOINED = {
    "url": "https://cctv.example.co.id:8444",
    "site": "mks",
    "worker": "branch-mks",
    "queue": "site-mks",
    "edge_secret": "the-word-of-branches",
    "version": "0.1.0",
    "joined_at": "2026-11-01T00:00:00+00:00",
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A machine that has joined as the branch mks."""
    root = tmp_path / "home"
    (root / "branch").mkdir(parents=True)
    (root / "branch" / "branch.json").write_text(json.dumps(JOINED))
    (root / "branch" / "sites.yaml").write_text(
        f"stores: {{nas: {{url: 'file://{tmp_path}/nas'}}}}\n"
        f"sites:\n- {{id: mks, footage: {tmp_path}/footage, time_zone: WITA, stores: [nas], runs_on: edge}}\n"
    )
    for name in [one for one in os.environ if one.startswith(("VMS_", "AIRFLOW"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("VMS_HOME", str(root))
    made = from_environment()
    made.prepare()
    return made
