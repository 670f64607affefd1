"""What the launcher's notes say about a stack that runs on while its program is changed."""

from __future__ import annotations

import os
from pathlib import Path

from vms.stack.state import changed_since


def test_a_program_file_newer_than_the_start_is_seen_and_nothing_else_is(tmp_path: Path) -> None:
    code = tmp_path / "plugins" / "vms_airflow" / "tasks.py"
    code.parent.mkdir(parents=True)
    code.touch()
    os.utime(code, (1_000, 1_000))
    (tmp_path / "plugins" / "notes.txt").touch()
    assert not changed_since(2_000, tmp_path)
    assert changed_since(999, tmp_path)
