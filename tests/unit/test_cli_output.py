"""What commands write when a script or a pipe reads it: whole lines, and one JSON object with --json."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
import typer
from rich.table import Table

from vms.cli.app import build, main
from vms.cli.wording import new_console
from vms.errors import StackError
from vms.home import Home, from_environment
from vms.stack import launch, postgres
from vms.stack.state import StackState, Step

Changed = Callable[[StackState], None]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VMS_SITES", str(tmp_path / "sites.yaml"))
    monkeypatch.setenv("VMS_DEMO", "0")
    monkeypatch.setenv("VMS_VIEWER_PORT", "5001")
    monkeypatch.delenv("COLUMNS", raising=False)


def test_a_table_is_not_squeezed_into_80_columns_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(box=None)
    table.add_row("a" * 60, "b" * 60)
    new_console().print(table)
    assert "a" * 60 + "  " + "b" * 60 in capsys.readouterr().out.replace("   ", "  ")


def test_a_wide_screen_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert new_console().width == 200


def test_up_says_at_the_end_where_all_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def started(_home: Home, *, changed: Changed) -> StackState:
        state = StackState("mark", 1, 1.0, 1.0, False, "usable", steps=(Step("Database", 1.5),))
        changed(state)
        return state

    monkeypatch.setattr(launch, "start_detached", started)
    assert main(["up", "--detach", "--json"]) == 0
    told = capsys.readouterr()
    answer = json.loads(told.out)
    assert "Database" in told.err
    assert answer["state"] == "usable"
    assert answer["demo"] is False
    assert answer["viewer_url"] == "http://127.0.0.1:5001"
    assert answer["airflow_url"] == "http://127.0.0.1:8080"
    assert answer["sites_file"] == str(tmp_path / "sites.yaml")
    assert answer["user"] == "admin"
    assert Path(answer["password_file"]).stat().st_mode & 0o777 == 0o600
    assert answer["seconds"] >= 0


def test_a_start_that_fails_is_an_object_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_home: Home, **_: object) -> StackState:
        raise StackError("Port 5001 for the viewer is taken.", "Stop that program.")

    monkeypatch.setattr(launch, "start_detached", refused)
    assert main(["up", "--detach", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "error": "Port 5001 for the viewer is taken.",
        "remedy": "Stop that program.",
    }


def test_down_tells_whether_anything_ran(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"stopped": False}


def test_wrong_usage_is_2_and_a_refusal_1() -> None:
    assert main(["down", "--jsno"]) == 2
    assert main(["nonsense"]) == 2
    assert main(["sites", "check"]) == 1
    assert main(["recordings"]) == 1


def test_help_says_how_many_recordings_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recordings", "--help"]) == 0
    assert "50" in capsys.readouterr().out


def test_the_check_of_sites_tells_the_cap_of_a_line_and_what_goes_now(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = "footage: /mnt/f, time_zone: WIB"
    (tmp_path / "sites.yaml").write_text(
        f"sites:\n- {{id: ho, {site}}}\n- {{id: branch, {site}, uplink: 2 Mbit/s}}\n", encoding="utf-8"
    )
    assert main(["sites", "check"]) == 0
    said = capsys.readouterr().out
    assert said.count("uplink") == 1
    assert "  uplink: 2 Mbit/s (now 2 Mbit/s)" in said.splitlines()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_who_may_not_read_the_secrets_is_told_whose_command_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VMS_POSTGRES_URL", "postgresql://admin@127.0.0.1:9/postgres")
    with tempfile.TemporaryDirectory(prefix="vms-test-") as folder:  # pytest's own are closed to others
        Path(folder).chmod(0o755)
        monkeypatch.setenv("VMS_HOME", f"{folder}/home")
        postgres.write_address(from_environment(), "127.0.0.1", 9)
        os.seteuid(65534)
        try:
            assert main(["status"]) == 1
        finally:
            os.seteuid(0)
    said = capsys.readouterr().err
    assert "secrets/catalogue_viewer: Permission denied." in said
    assert "as the user who runs the system" in said


def test_a_full_disk_is_no_fault_of_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    closing_fails_too = contextlib.suppress(OSError)
    with closing_fails_too, Path("/dev/full").open("w", buffering=1) as full, contextlib.redirect_stdout(full):
        status = main(["down"])
    assert status == 1
    assert "Free some space" in capsys.readouterr().err


_FOR_PEOPLE = {"vms test", "vms branch run"}
"""They work until they are ended, and show what is going on."""


def test_every_command_speaks_to_scripts_too() -> None:
    def leaves(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
        inner = getattr(command, "commands", {})  # Typer has a Group of its own
        if not inner or len(command.params) > 1:
            yield name, command
        for word, one in inner.items():
            yield from leaves(one, f"{name} {word}")

    found = dict(leaves(typer.main.get_command(build([])), "vms"))
    without = {name for name, one in found.items() if not any("--json" in each.opts for each in one.params)}
    assert without == _FOR_PEOPLE
