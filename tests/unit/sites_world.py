"""A sites.yaml to be written and read."""

from __future__ import annotations

from pathlib import Path

import pytest

from vms.config import load_config

SITE = "- {id: ho, footage: /mnt/ho, time_zone: WIB}\n"


@pytest.fixture(autouse=True)
def vms_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMS_HOME", str(tmp_path / "home"))


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str | bytes) -> Path:
        path = tmp_path / "sites.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def messages(path: Path) -> dict[str, list[str]]:
    prefix = f"{path}:"
    return {
        error.id: [line.removeprefix(prefix) for line in error.message.splitlines()]
        for error in load_config(path).errors
    }
