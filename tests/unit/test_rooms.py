"""Who may know whom: dags → plugins → include/vms ← viewer. Read from the code itself, without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DRIVERS = {"psycopg2", "psycopg", "sqlalchemy", "boto3", "botocore", "google", "ffmpeg", "imageio_ffmpeg"}
OUTSIDE = {"airflow", "streamlit", "dags", "footage", "plugins", "vms_airflow", "vms_plugin", "viewer"}
FORBIDDEN = {
    "include/vms": OUTSIDE,
    "dags": DRIVERS | {"streamlit", "viewer"},
    "plugins": DRIVERS | {"streamlit", "viewer", "dags", "footage"},
    "viewer": {"airflow", "dags", "footage", "plugins", "vms_airflow", "vms_plugin", "ffmpeg"},
}


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute module name of each import of the file, at the top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, node.module or ""


def violations(folder: Path, forbidden: set[str]) -> list[str]:
    return [
        f"{path.relative_to(folder)}:{line} imports {name}"
        for path in sorted(folder.rglob("*.py"))
        for line, name in imports(path)
        if name.split(".")[0] in forbidden
    ]


@pytest.mark.parametrize("room", FORBIDDEN)
def test_a_room_knows_only_whom_it_may(room: str) -> None:
    if not (ROOT / room).is_dir():
        pytest.skip(f"{room}/ is not there")
    assert violations(ROOT / room, FORBIDDEN[room]) == []


def test_the_rule_sees_a_violation(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("def late():\n    from airflow.sdk import DAG\n    import boto3.session\n")
    assert violations(tmp_path, OUTSIDE | DRIVERS) == ["bad.py:2 imports airflow.sdk", "bad.py:3 imports boto3.session"]
