"""`vms coverage` over a real catalogue: the map, the gaps, notes, and what scripts get."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from test_catalogue_coverage import archive, hour_files
from vms.catalogue.connection import Connection
from vms.cli import coverage, coverage_map
from vms.errors import CatalogueError
from vms.home import Home

DAY = ("--from", "2026-01-31", "--to", "2026-01-31")

Vms = Callable[..., Result]


@pytest.fixture
def vms(catalogue: tuple[Home, str], monkeypatch: pytest.MonkeyPatch) -> Vms:
    monkeypatch.setenv("VMS_HOME", str(catalogue[0].root))
    monkeypatch.setenv("VMS_SITES", str(catalogue[0].sites_file))
    app = typer.Typer()
    app.add_typer(coverage.app, name="coverage")
    app.command("other")(lambda: None)
    return lambda *words: CliRunner().invoke(app, ["coverage", *words], env={"COLUMNS": "160"})


def test_the_map_and_its_gaps(conn: Connection, vms: Vms) -> None:
    archive(conn, *hour_files(0, 1, *range(4, 16)), *hour_files(*range(16), camera="gate"))
    shown = vms("ho", *DAY)
    assert shown.exit_code == 0, shown.output
    assert "Head office (ho) 2026-01-31 to 2026-01-31, days in WIB" in shown.output
    lines = [line.split() for line in shown.output.splitlines()]
    assert ["Lobby", "▒", "87.5", "%", "2", "h", "00", "min"] in lines
    assert ["gate", "█", "100", "%"] in lines
    assert "2026-01-31 10:00:00 WIB" in shown.output
    assert "camera silent" in shown.output
    assert "Check the camera" in shown.output
    assert vms(*DAY).output == shown.output, "all sites, without naming one"
    assert "Check the camera" not in vms("ho", "--camera", "gate", *DAY).output
    whole = vms("ho", "--from", "2026-01-31T08:00", "--to", "2026-01-31T09:30").output
    assert "No gap from 2026-01-31 08:00:00 WIB to 2026-01-31 09:30:00 WIB; the map shows whole days." in whole


def test_scripts_get_days_and_gaps(conn: Connection, vms: Vms) -> None:
    archive(conn, *hour_files(0, 1, *range(4, 16)))
    (day,) = (json.loads(line) for line in vms("ho", "--json", *DAY).output.splitlines())
    assert day == {
        "site": "ho", "camera": "lobby", "day": "2026-01-31", "time_zone": "Asia/Jakarta", "expected_s": 57600,
        "present_s": 50400, "percent": 87.5, "missing_s": {"camera_silent": 7200}, "reason": "camera_silent",
    }  # fmt: skip
    (gap,) = (json.loads(line) for line in vms("ho", "--json", "--gaps", *DAY).output.splitlines())
    assert (gap["start_utc"], gap["end_utc"]) == ("2026-01-31T03:00:00Z", "2026-01-31T05:00:00Z")
    assert (gap["seconds"], gap["reason"], gap["needs_person"]) == (7200, "camera_silent", True)
    cut = vms("ho", "--json", "--gaps", "--from", "2026-01-31T11:00", "--to", "2026-01-31T11:30")
    assert json.loads(cut.output)["seconds"] == 1800


def test_strict_fails_until_somebody_has_explained_it(conn: Connection, vms: Vms) -> None:
    archive(conn, *hour_files(0, 1, *range(4, 16)))
    assert vms("--strict", *DAY).exit_code == 1
    times = ("--from", "2026-01-31T10:00", "--to", "2026-01-31T12:00")
    noted = vms("note", "ho", "lobby", "camera [b]replaced", *times, "--by", "Sari")
    assert noted.exit_code == 0, noted.output
    assert vms("--strict", *DAY).exit_code == 0
    assert "acknowledged (Sari: camera [b]replaced)" in vms("--gaps", *DAY).output
    assert "camera [b]replaced" in vms("notes").output
    (note,) = (json.loads(line) for line in vms("notes", "ho", "--json").output.splitlines())
    assert (note["who"], note["from_utc"]) == ("Sari", "2026-01-31T03:00:00Z")
    again = json.loads(vms("note", "ho", "lobby", "seen", *times, "--by", "Sari", "--json").output)
    assert again in [json.loads(line) for line in vms("notes", "--json").output.splitlines()]
    withdrawn = json.loads(vms("withdraw", str(again["id"]), "--by", "Ani", "--json").output)
    assert withdrawn == {"id": again["id"], "withdrawn": True, "who": "Ani"}
    assert vms("withdraw", str(note["id"])).exit_code == 0
    assert vms("--strict", *DAY).exit_code == 1


def test_wrong_words_are_refused_with_the_nearest(conn: Connection, vms: Vms) -> None:
    archive(conn, *hour_files(0))
    for words, said in (
        (("hq",), 'no site "hq"'),
        (("ho", "--camera", "lobbi"), 'Did you mean "lobby"?'),
        (("note", "ho", "loby", "text", *DAY), 'Did you mean "lobby"?'),
        (("withdraw", "7"), "no note 7"),
    ):
        with pytest.raises(CatalogueError, match=said.replace("?", r"\?")):
            raise vms(*words).exception or AssertionError("it was not refused")
    for words in (
        ("--from", "soon"),
        ("--from", "2026-02-01", "--to", "2026-01-01"),
        ("--from", "2020-01-01"),
        ("note", "ho", "lobby", "text"),
        ("note", "ho", "lobby", " ", *DAY),
    ):
        assert vms(*words).exit_code == 2, words


def test_an_empty_catalogue_says_what_to_do(vms: Vms) -> None:
    assert "vms run SITE" in vms().output
    assert vms("--json").output == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(47, "47 s"), (59.6, "1 min"), (720, "12 min"), (3 * 3600 + 300, "3 h 05 min"), (187_200, "2 d 4 h")],
)
def test_lengths(seconds: float, text: str) -> None:
    assert coverage_map.length_text(seconds) == text


def test_a_hundred_percent_is_only_what_is_whole() -> None:
    assert [coverage_map.percent_text(one) for one in (100.0, 99.999, 0.0, None)] == ["100 %", "99.9 %", "0.0 %", ""]
