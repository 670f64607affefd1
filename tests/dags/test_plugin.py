"""What Airflow loads from plugins/: the registration module, and nothing else by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from vms_airflow.links import RecordingsLink, run_address, viewer_pages

ROOT = Path(__file__).resolve().parents[2]

LOADED = """
import sys
from airflow import plugins_manager
plugins, errors = plugins_manager._get_plugins()
print(sorted(str(one.name) for one in plugins if "FOLDER" in str(one.source)), errors)
own = {path.stem for path in __import__("pathlib").Path(sys.argv[1]).rglob("*.py")}
print(sorted(name for name in own if name in sys.modules))
"""


def test_only_the_registration_module_is_auto_loaded_and_without_error() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(ROOT / "plugins")], capture_output=True, text=True, env=os.environ
        | {"PYTHONPATH": f"{ROOT}/include"}, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-2:] == ["['vms'] {}", "['vms_plugin']"]


def test_the_link_names_the_run_in_one_quoted_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMS_VIEWER_PORT", "5123")
    key = SimpleNamespace(dag_id="footage_ho", run_id="manual__2026-01-31T10:00:00+00:00")
    link = RecordingsLink().get_link(None, ti_key=key)  # type: ignore[arg-type]
    assert link == "http://127.0.0.1:5123/?run=footage_ho%2Fmanual__2026-01-31T10%3A00%3A00%2B00%3A00"


def test_the_tab_on_a_run_leads_where_the_link_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMS_VIEWER_PORT", "5123")
    (page,) = [one for one in viewer_pages() if one["destination"] == "dag_run"]
    filled = page["href"].replace("{DAG_ID}", "footage_ho").replace("{RUN_ID}", "scheduled__20260131T100000Z")
    assert filled == run_address("footage_ho", "scheduled__20260131T100000Z")


def test_airflow_tells_the_pages_apart() -> None:
    """It finds a page by its route, and by its name where it has none."""
    pages = viewer_pages()
    assert len({page["name"] for page in pages}) == len(pages)
    assert all("url_route" in page for page in pages if page["destination"] != "nav")


def test_where_the_viewer_has_a_name_of_its_own_there_are_links_and_no_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Browsers keep the viewer's cookie from a frame within a page of another host."""
    assert {page.get("url_route") for page in viewer_pages()} == {None, "operations", "dag-operations", "recordings"}
    monkeypatch.setenv("VMS_VIEWER_NAMES", "cctv.example.co.id")
    pages = viewer_pages()
    assert {page["name"] for page in pages} == {"Viewer", "Operations"}
    assert not any("url_route" in page for page in pages)
    assert all(page["href"].startswith("http://cctv.example.co.id:") for page in pages)
