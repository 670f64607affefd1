"""A home as a part in a container has it, and docker-compose.yaml, for tests of the parts in containers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from vms.home import PROJECT_ROOT, Home, from_environment
from vms.stack import (
    postgres,
)

GIVEN = {
    "VMS_PARTS_AIRFLOW": "http://api-server:8080",
    "VMS_PARTS_PAGES": "https://cctv.example.co.id:8443",
    "VMS_PARTS_VIEWER": "https://cctv.example.co.id",
    "VMS_PARTS_BROKER": "redis://:broker-word@redis:6379/0",
    "VMS_SECRET_AIRFLOW_DB": "airflow-word",
    "VMS_SECRET_CATALOGUE_OWNER": "owner-word",
    "VMS_SECRET_CATALOGUE_VIEWER": "viewer-word",
    "VMS_SECRET_AIRFLOW_ADMIN": "admin-word",
    "VMS_SECRET_AIRFLOW_VIEWER": "starter-word",
    "VMS_SECRET_AIRFLOW_COMMANDS": "commands-word",
}


SITES = """
stores: {{ nas: {{ url: "file://{root}/nas" }} }}
defaults: {{ stores: [nas], time_zone: WIB }}
sites:
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home as a part in a container has it, once init was there."""
    sites = tmp_path / "sites.yaml"
    sites.write_text(
        SITES.format(root=tmp_path)
        + "".join(f"  - {{ id: {one}, footage: {tmp_path}/{one} }}\n" for one in ("jkt", "mks"))
    )
    made = from_environment({"VMS_HOME": str(tmp_path / "home"), "VMS_SITES": str(sites), **GIVEN})
    postgres.write_address(made, "postgres", 5432)
    return made


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((PROJECT_ROOT / "docker-compose.yaml").read_text())
    return found
