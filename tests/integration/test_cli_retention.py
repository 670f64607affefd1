"""`vms retention` and `vms hold` over a real catalogue and a real folder store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from catalogue_world import opened
from purge_world import PurgeWorld, a_world
from vms.cli import app as application
from vms.config import StoreConfig
from vms.errors import CatalogueError
from vms.home import Home

Vms = Callable[..., Result]

SITES = """
stores:
  nas: {{url: 'file://{folder}/nas'}}
sites:
  - {{id: ho, footage: {folder}/nvr, time_zone: WIB, stores: [nas]}}
"""


@pytest.fixture
def world(catalogue: tuple[Home, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PurgeWorld]:
    monkeypatch.setenv("VMS_HOME", str(catalogue[0].root))
    monkeypatch.setenv("VMS_SITES", str(tmp_path / "sites.yaml"))
    monkeypatch.setenv("VMS_AIRFLOW_PORT", "9")
    (tmp_path / "sites.yaml").write_text(SITES.format(folder=tmp_path))
    with opened(catalogue[1]) as conn:
        made = a_world(conn, tmp_path, [StoreConfig("nas", f"file://{tmp_path}/nas")])
        made.steady()
        yield made


def vms(*arguments: str) -> Result:
    return CliRunner().invoke(application.build(arguments), arguments)


def lines(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_plan_apply_history_undo(world: PurgeWorld) -> None:
    ids = world.archive(3, 210)
    (planned,) = lines(vms("retention", "plan", "--json"))
    assert (planned["state"], planned["copies"], planned["recordings"]) == ("ready", 3, 3)
    assert "vms retention apply" in vms("retention", "plan").stdout
    applied = vms("retention", "apply")
    assert applied.exit_code == 0, applied.output
    assert "3 gone" in applied.stdout
    assert world.custody(*ids) == [3, 3, 3]
    newest, older = lines(vms("retention", "history", "--json"))
    assert (newest["state"], older["state"]) == ("done", "superseded")
    assert "done" in vms("retention", "history").stdout
    assert isinstance(vms("retention", "apply").exception, CatalogueError)
    (undone,) = lines(vms("retention", "undo", "--recording", str(ids[0]), "--json"))
    assert (undone["back"], undone["lost"]) == (1, 0)
    assert world.custody(*ids) == [1, 3, 3]


def test_an_unusual_plan_needs_approval(world: PurgeWorld) -> None:
    ids = world.archive(25, 190)
    planned = vms("retention", "plan")
    assert "UNUSUAL" in planned.stdout
    (found,) = lines(vms("retention", "history", "--limit", "1", "--json"))
    number = str(found["plan_id"])
    refused = vms("retention", "apply", number)
    assert isinstance(refused.exception, CatalogueError)
    assert world.custody(*ids) == [1] * 25
    assert f"vms retention apply {number}" in vms("retention", "approve", number).stdout
    assert vms("retention", "apply", number).exit_code == 0
    assert world.custody(*ids) == [3] * 25


def test_holds_to_the_second_on_the_site_s_clock(world: PurgeWorld) -> None:
    ids = world.archive(2, 210)
    first = world.now - timedelta(days=210)
    begin = f"{first - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    end = f"{first + timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}"
    told = vms("hold", "add", "--site", "ho", "--camera", "lobby", "--from", begin, "--to", end, "--reason", "theft")
    assert "keeps 1 recording (" in told.stdout, told.output
    listed = vms("hold", "list", "--json")
    assert listed.exit_code == 0, listed.exception
    (row,) = lines(listed)
    assert (row["recordings"], row["reason"], row["cameras"]) == (1, "theft", [["ho", "lobby"]])
    assert "theft" in vms("hold", "list").stdout
    vms("retention", "plan")
    assert vms("retention", "apply").exit_code == 0
    assert world.custody(*ids) == [1, 3]
    assert vms("hold", "release", "1").exit_code == 2  # a reason is needed
    assert "is released" in vms("hold", "release", "1", "--reason", "case closed").stdout
    assert vms("hold", "list").stdout.startswith("There is no hold")
    (row,) = lines(vms("hold", "list", "--all", "--json"))
    assert row["release_reason"] == "case closed"
    unknown = vms("hold", "add", "--site", "hq", "--from", begin, "--to", end, "--reason", "x")
    assert "hq" in str(unknown.exception)


def test_proof_and_bucket_rules_are_told(world: PurgeWorld) -> None:
    world.archive(2, 20)
    told = vms("retention", "proof")
    assert told.exit_code == 0, told.output
    assert "met so far" in told.stdout
    rows = lines(vms("retention", "proof", "--json"))
    assert [row["kind"] for row in rows] == ["camera", "camera", "store"]
    assert "follows no rules" in vms("stores", "lifecycle").stdout
