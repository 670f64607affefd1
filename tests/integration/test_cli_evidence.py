"""Evidence packages over a real catalogue and store: whole ones hold anywhere, and every change of a byte is told."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import Result
from typer import Typer
from typer.testing import CliRunner

from catalogue_world import ask
from test_cli_copy import archive, sites_yaml
from video_clips import camera
from vms.catalogue.connection import Connection
from vms.cli import evidence, export
from vms.errors import ConfigError
from vms.evidence.signing import key_fingerprint, sign
from vms.home import Home, from_environment

Vms = Callable[..., Result]
RANGE = "2026-01-31T08:05..2026-01-31T08:15"
WHY = ("--evidence", "--reason", "Laporan polisi 12/2026")


@pytest.fixture
def vms(catalogue: tuple[Home, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vms:
    monkeypatch.setenv("VMS_HOME", str(catalogue[0].root))
    monkeypatch.setenv("VMS_SITES", str(tmp_path / "sites.yaml"))
    sites_yaml(tmp_path)
    app = Typer()
    app.callback()(lambda: None)
    export.register(app)
    app.add_typer(evidence.app, name="evidence")
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


@pytest.fixture
def package(vms: Vms, conn: Connection, tmp_path: Path) -> Path:
    """Of two recordings, each of which is five seconds of real video."""
    archive(conn, tmp_path, video=camera(tmp_path / "clip.mp4").read_bytes())
    ask_nothing(conn, "UPDATE recording SET duration_s = 5")
    to = tmp_path / "out"
    done = vms("export", RANGE, "--to", str(to), *WHY)
    assert done.exit_code == 0, done.output
    assert "python3 verify.py" in done.output
    return to


def ask_nothing(conn: Connection, sql: str) -> None:
    with conn, conn.cursor() as cursor:
        cursor.execute(sql)


def verify(folder: Path, *words: str) -> tuple[int, str]:
    """What the package's own verifier says, run as somebody else would: without this program and its packages."""
    argv = [sys.executable, "-I", "-S", str(folder / "verify.py"), *words]
    done = subprocess.run(argv, cwd="/", capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_a_package_says_where_it_is_from_and_holds_anywhere(package: Path, conn: Connection, tmp_path: Path) -> None:
    elsewhere = tmp_path / "usb stick"
    shutil.copytree(package, elsewhere)
    status, said = verify(elsewhere)
    assert status == 0, said
    mark = key_fingerprint(from_environment())
    assert "WHOLE: all 5 files" in said
    assert mark in said
    assert verify(elsewhere, "--key", mark)[0] == 0

    told = json.loads((package / "manifest.json").read_text())
    assert told["evidence"] == {"reason": "Laporan polisi 12/2026", "fingerprint": mark}
    custody = told["recordings"][0]["custody"]
    assert {one["event"] for one in custody} == {"planned", "compressed", "copied", "archived"}
    assert custody[0]["by"].startswith("footage_ho ")
    sheet = (package / "report.html").read_text()
    assert sheet.count("src='data:image/jpeg;base64,") == 6
    assert "2026-01-31 08:05:02 WIB" in sheet
    assert "Laporan polisi 12/2026" in sheet
    assert ask(conn, "SELECT detail ->> 'reason' FROM view_log WHERE action = 'evidence'") == [
        ("Laporan polisi 12/2026",)
    ]


def test_every_change_is_told(package: Path, tmp_path: Path) -> None:
    names = [one.relative_to(package) for one in sorted(package.rglob("*")) if one.is_file()]
    assert len(names) == 7
    for name in names:
        changed = tmp_path / "changed"
        shutil.copytree(package, changed)
        data = bytearray((changed / name).read_bytes())
        data[len(data) // 2] ^= 1
        (changed / name).write_bytes(data)
        original = [sys.executable, "-I", "-S", str(package / "verify.py"), str(changed)]
        done = subprocess.run(original, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode in (1, 2), f"{name}: {done.stdout}"
        assert "WHOLE" not in done.stdout, name
        shutil.rmtree(changed)


def test_what_is_missing_or_added_is_told(package: Path) -> None:
    video = next(package.rglob("*.mp4"))
    video.rename(video.with_name("other.mp4"))
    status, said = verify(package)
    assert status == 1
    assert f"{video.name} is missing" in said
    assert "other.mp4 was added" in said


def test_a_package_that_another_key_signed_is_not_taken_for_ours(package: Path, vms: Vms, tmp_path: Path) -> None:
    ours = key_fingerprint(from_environment())
    assert vms("evidence", "check", str(package)).exit_code == 0
    whole = json.loads(vms("evidence", "check", str(package), "--json").output)
    assert (whole["whole"], whole["faults"], whole["facts"]["fingerprint"]) == (True, [], ours)
    manifest = package / "manifest.json"
    was = manifest.read_text()
    manifest.write_text(was.replace("Laporan polisi", "Something else"))
    sums = package / "SHA256SUMS"
    old, new = (sha256(text.encode()).hexdigest() for text in (was, manifest.read_text()))
    sums.write_text(sums.read_text().replace(old, new))
    forger = replace(from_environment(), root=tmp_path / "forger")
    sign(forger, package)
    assert verify(package)[0] == 0
    status, said = verify(package, "--key", ours)
    assert status == 1
    assert "another key" in said
    assert vms("evidence", "check", str(package)).exit_code == 1
    told = vms("evidence", "check", str(package), "--json")
    assert told.exit_code == 1
    assert json.loads(told.output)["faults"]


def test_a_list_that_names_files_outside_is_refused(package: Path) -> None:
    (package.parent / "secret").write_text("x")
    with (package / "SHA256SUMS").open("a") as file:
        file.write(f"{'0' * 64}  ../secret\n")
    sign(from_environment(), package)
    status, said = verify(package)
    assert status == 1
    assert "outside" in said


def test_a_package_that_is_changed_by_us_is_not_signed_until_it_is_whole_again(package: Path, vms: Vms) -> None:
    assert vms("export", RANGE, "--to", str(package)).exit_code == 0
    assert verify(package)[0] == 2
    assert vms("export", RANGE, "--to", str(package), *WHY).exit_code == 0
    assert verify(package)[0] == 0


def test_a_recording_that_does_not_decode_has_no_still_and_the_package_is_made(
    vms: Vms, conn: Connection, tmp_path: Path
) -> None:
    archive(conn, tmp_path)
    to = tmp_path / "out"
    assert vms("export", RANGE, "--to", str(to), *WHY).exit_code == 0
    assert "<img" not in (to / "report.html").read_text()
    assert verify(to)[0] == 0


def test_it_needs_a_reason_and_says_so(vms: Vms, conn: Connection, tmp_path: Path) -> None:
    archive(conn, tmp_path, count=1)
    for words in (("--evidence",), ("--reason", "why"), ("--evidence", "--reason", "  ")):
        refused = vms("export", RANGE, "--to", str(tmp_path / "out"), *words)
        assert refused.exit_code == 2, words
        assert "reason" in refused.output
    assert not (tmp_path / "out").exists()


def test_a_key_that_was_cut_off_is_told_and_no_other_is_made(vms: Vms) -> None:
    home = from_environment()
    shown = json.loads(vms("evidence", "key", "--json").stdout)
    assert shown["fingerprint"] == key_fingerprint(home)
    key = home.secrets / "evidence_key"
    assert key.stat().st_mode & 0o777 == 0o600
    key.write_text(key.read_text()[:20])
    refused = vms("evidence", "key")
    assert isinstance(refused.exception, ConfigError)
    assert "no signing key" in refused.exception.message
