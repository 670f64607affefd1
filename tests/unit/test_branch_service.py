"""How systemd runs a branch: what its unit says, and how it reaches the centre."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from branch_here_world import home as home  # a fixture

from vms.branches import unit
from vms.cli.app import main
from vms.home import Home


def test_systemd_starts_it_again_and_lets_tasks_report(home: Home, tmp_path: Path) -> None:
    for user in ("", "cctv"):
        text = unit.text(home, user, {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": 'a, "b"'})
        assert f'Environment="VMS_HOME={home.root}"\n' in text
        assert "VMS_SITES" not in text
        assert ("User=cctv" in text) == bool(user)
        assert "Restart=always" in text
        if verify := shutil.which("systemd-analyze"):
            (tmp_path / unit.NAME).write_text(text.replace("User=cctv\n", ""))
            said = subprocess.run(
                [verify, "verify", *(() if user else ("--user",)), str(tmp_path / unit.NAME)],
                capture_output=True,
                text=True,
                check=False,
            )
            assert unit.NAME not in said.stderr, said.stderr


def test_the_service_reaches_the_centre_as_the_commands_do(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As systemd itself was seen to read it (`systemd --test`)."""
    for name, value in (
        ("https_proxy", ""),
        ("HTTP_PROXY", ""),
        ("http_proxy", ""),
        ("no_proxy", ""),
        ("HTTPS_PROXY", "http://pro%20xy:3128"),
        ("NO_PROXY", '10.0.0.1, "b" \\c $d'),
        ("VMS_LOG_FORMAT", "json"),
        ("VMS_SECRET_OF_MINE", "secret-1"),
        ("AIRFLOW_CONN_BUCKET", "s3://key:secret-2@"),
    ):
        monkeypatch.setenv(name, value)
    assert main(["branch", "install", "--print"]) == 0
    text = capsys.readouterr().out
    assert r'''Environment="HTTPS_PROXY=http://pro%%20xy:3128"
Environment="NO_PROXY=10.0.0.1, \"b\" \\c $d"
Environment="VMS_LOG_FORMAT=json"
''' in text  # fmt: skip
    assert "secret-" not in text
    kept = home.secrets / "branch.env"
    assert f"EnvironmentFile=-{kept}\n" in text

    for proxy in (
        "http://ani:secret-3@proxy:3128",
        "ani:secret-3@proxy:3128",
        "http://ani:#secret-3@proxy:3128",
        "http://ani:[secret-3@proxy:3128",
        "http://secret-3@proxy:3128",
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        for of_another in ("", "# HTTPS_PROXY=one\nHTTP_PROXY=http://proxy\nHTTPS_PROXY=\n"):
            kept.write_text(of_another)
            assert main(["branch", "install", "--print"]) == 1
            said = capsys.readouterr()
            assert "secret-3" not in said.out + said.err
            assert "branch.env" in said.err
    kept.write_text("HTTPS_PROXY=http://ani:secret-3@proxy:3128\n")
    assert main(["branch", "install", "--print"]) == 0
    text = capsys.readouterr().out
    assert "HTTPS_PROXY" not in text
    assert "NO_PROXY" in text

    monkeypatch.setattr(unit, "PROJECT_ROOT", tmp_path / "a b%c")
    text = unit.text(home, "", {})
    assert f"WorkingDirectory={tmp_path}/a b%%c\n" in text, "a path to the line's end is read as it is"
    assert f"ExecStart={tmp_path}/a\\x20b%%c/vms branch run\n" in text


def test_given_again_it_takes_nothing_from_the_service_that_it_was_told(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / unit.NAME
    monkeypatch.setattr(unit, "path", lambda **_: path)
    monkeypatch.setattr(unit, "commands", lambda **_: ())
    for name in (*unit._PROXIES, *unit._NO_PROXIES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "10.0.0.1")
    capsys.readouterr()
    assert main(["branch", "install", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["unit"], told["settings"]) == (str(path), ["HTTPS_PROXY", "NO_PROXY"])
    told = path.read_text()
    assert main(["branch", "install"]) == 0, "nothing differs"
    monkeypatch.delenv("HTTPS_PROXY")
    monkeypatch.delenv("NO_PROXY")
    capsys.readouterr()
    assert main(["branch", "install"]) == 1, "as under sudo"
    said = capsys.readouterr().err
    assert "has HTTPS_PROXY and NO_PROXY, which are not set here" in said
    assert "--preserve-env=HTTPS_PROXY,NO_PROXY" in said
    assert path.read_text() == told
    (home.secrets / "branch.env").write_text("HTTPS_PROXY=http://ani:secret@proxy:3128\n")
    monkeypatch.setenv("no_proxy", "10.0.0.1")
    assert main(["branch", "install"]) == 0, "the one is in the service's own file, the other is spelt otherwise"
    assert "HTTPS_PROXY" not in path.read_text()
    monkeypatch.delenv("no_proxy")
    path.unlink()
    assert main(["branch", "install"]) == 0, "to do without"
