"""The database server of a home: made, killed, recovered, refused, as root and as an ordinary user."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest

from vms.errors import StackError
from vms.home import PROJECT_ROOT, Home, from_environment
from vms.stack import postgres as server
from vms.stack import postgres_password, postgres_place

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop to another account")


@pytest.fixture
def home() -> Iterator[Home]:
    """A home that every account can reach (the temporary folders of pytest are closed to others)."""
    folder = Path(tempfile.mkdtemp(prefix="vms-test-"))
    folder.chmod(0o755)
    yield from_environment({"VMS_HOME": str(folder / "home with space")})
    shutil.rmtree(folder)


def test_roles_reach_their_own_database_only(postgres: Home) -> None:
    home = postgres
    assert _ask(home, "airflow", "airflow", "SELECT current_user, current_setting('TimeZone')") == ("airflow", "UTC")
    assert _ask(
        home,
        "vms_owner",
        "catalogue",
        "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()",
    ) == ("vms_owner",)
    with pytest.raises(psycopg2.OperationalError, match="permission denied"):
        _ask(home, "airflow", "catalogue", "SELECT 1")
    with pytest.raises(psycopg2.OperationalError, match="permission denied"):
        _ask(home, "vms_viewer", "airflow", "SELECT 1")


def test_preparing_the_databases_twice_changes_nothing(postgres: Home) -> None:
    server.prepare_databases(postgres)
    server.prepare_databases(postgres)


def test_who_is_gone_without_a_word_holds_no_locks_for_long(postgres: Home) -> None:
    idle, alive = "idle_in_transaction_session_timeout", "tcp_keepalives_idle"
    question = f"SELECT current_setting('{idle}'), current_setting('{alive}')"
    assert _ask(postgres, "airflow", "airflow", question) == ("10min", "60")
    assert _ask(postgres, "vms_owner", "catalogue", question) == ("0", "60")


def test_committed_rows_survive_kill_9_and_the_port_stays(home: Home) -> None:
    child = _with_a_row(home)
    port = server.read_address(home)[1]
    child.kill()
    child.wait()

    again = server.start(home)
    try:
        assert _ask(home, "vms_owner", "catalogue", "SELECT answer FROM kept") == (42,)
        assert server.read_address(home)[1] == port
    finally:
        server.stop(again)
    assert again.returncode == 0


@pytest.mark.parametrize("lost", ["all secrets", "what the server was told"])
def test_with_other_secrets_the_same_catalogue_starts(home: Home, lost: str) -> None:
    """Lost, or deleted so that new ones are made; and an installation from before this was noted."""
    server.stop(_with_a_row(home))
    if lost == "all secrets":
        shutil.rmtree(home.secrets)
        assert not server.is_ready(home)  # any command makes up new ones before the next start
    else:
        (postgres_place.find_place(home).folder / "password.sha256").unlink()
    again = server.start(home)
    try:
        server.prepare_databases(home)
        assert _ask(home, "vms_owner", "catalogue", "SELECT answer FROM kept") == (42,)
        assert home.secret("postgres_admin") not in _logs(home)
    finally:
        server.stop(again)
    place = postgres_place.find_place(home)
    assert postgres_password.is_known(home, place)
    assert (place.folder / "password.sha256").stat().st_mode & 0o777 == 0o600


def test_data_of_another_major_version_is_refused_with_a_remedy(home: Home) -> None:
    place = postgres_place.find_place(home)
    place.data.mkdir()
    (place.data / "PG_VERSION").write_text("9\n")

    with pytest.raises(StackError, match="made by PostgreSQL 9, but only version") as refused:
        postgres_place.find_programs(place)
    assert "Install PostgreSQL 9" in refused.value.remedy


def test_the_packaged_server_runs_where_the_system_has_none(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_place, "SYSTEM_PROGRAMS", home.root / "nothing")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    child = server.start(home)
    try:
        assert postgres_place.find_programs(postgres_place.find_place(home)).packaged
        assert server.is_ready(home)
    finally:
        server.stop(child)


def test_no_server_at_all_names_what_to_install(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_place, "_installed", list)
    with pytest.raises(StackError) as refused:
        server.prepare_server(home)
    assert "VMS_POSTGRES_URL" in refused.value.remedy


def test_a_configured_server_gets_the_roles_and_databases(postgres: Home, home: Home) -> None:
    """The session's server stands in for the company's; the second home's passwords replace the first's for a while."""
    theirs = replace(home, postgres_url=server.admin_url(postgres))
    shutil.copytree(postgres.secrets, home.secrets)
    server.prepare_databases(theirs)
    assert server.read_address(theirs) == server.read_address(postgres)
    assert _ask(theirs, "vms_owner", "catalogue", "SELECT 1") == (1,)
    with pytest.raises(StackError, match="VMS_POSTGRES_URL is not set here") as forgotten:
        server.prepare_server(home)
    assert not (home.postgres / "data").exists(), "no second, empty catalogue"
    assert str(home.run / "postgres.json") in forgotten.value.remedy


@needs_root
def test_root_under_a_closed_folder_keeps_the_data_elsewhere_and_forgets_it_with_the_home(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_place, "SHARED_STATE", home.root.parent / "shared")
    postgres_place.SHARED_STATE.mkdir()
    closed = home.root.parent / "closed"
    closed.mkdir(mode=0o700)
    inside = from_environment({"VMS_HOME": str(closed / "home")})

    server.stop(server.start(inside))
    place = postgres_place.find_place(inside)
    assert place.folder.parent == postgres_place.SHARED_STATE
    assert place.data.stat().st_uid == place.account.uid if place.account else False
    assert closed.stat().st_mode & 0o777 == 0o700

    (place.folder / "data" / "of the first home").touch()
    shutil.rmtree(inside.root)
    fresh = postgres_place.find_place(inside)
    assert fresh.data_major is None, "a deleted home must begin anew"
    pointer = json.loads((inside.postgres / "elsewhere.json").read_text())
    assert Path(pointer["folder"]) == fresh.folder


@needs_root
def test_programs_in_a_closed_folder_are_copied_for_the_account(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_place, "SYSTEM_PROGRAMS", home.root / "nothing")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(postgres_place, "may_reach", lambda _account, folder: "pginstall" not in str(folder))
    child = server.start(home)
    try:
        assert Path(_program_of(child.pid)).is_relative_to(home.postgres)
    finally:
        server.stop(child)


@needs_root
def test_an_ordinary_user_runs_it_as_himself(home: Home) -> None:
    user = pwd.getpwnam("nobody")
    home.root.mkdir()
    os.chown(home.root, user.pw_uid, user.pw_gid)
    program = (
        "from vms.home import from_environment; from vms.stack import postgres as server\n"
        "home = from_environment(); child = server.start(home); server.prepare_databases(home); server.stop(child)"
    )
    account = postgres_place.Account(user.pw_name, user.pw_uid, user.pw_gid)
    reachable = (one for one in (sys.executable, "/usr/bin/python3.11") if Path(one).exists())
    python = next((one for one in reachable if postgres_place.may_reach(account, Path(one).resolve().parent)), None)
    packages = sysconfig.get_path("purelib")
    if python is None or not postgres_place.may_reach(account, Path(packages)):
        pytest.skip("other accounts may enter neither this Python's folder nor that of /usr/bin/python3.11")
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": f"{PROJECT_ROOT / 'include'}:{packages}",
        "VMS_HOME": str(home.root),
    }
    done = subprocess.run(
        [python, "-c", program],
        env=environment,
        cwd="/",
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (home.postgres / "data").stat().st_uid == user.pw_uid


def _program_of(pid: int) -> str:
    return str(Path(f"/proc/{pid}/exe").readlink())


def _with_a_row(home: Home) -> subprocess.Popen[bytes]:
    child = server.start(home)
    server.prepare_databases(home)
    _ask(home, "vms_owner", "catalogue", "CREATE TABLE kept AS SELECT 42 AS answer; SELECT 1")
    return child


def _logs(home: Home) -> str:
    return "".join(path.read_text(errors="replace") for path in home.logs.glob("*.log"))


def _ask(home: Home, role: str, database: str, statement: str) -> tuple[object, ...]:
    conn = psycopg2.connect(server.role_url(home, role, database))
    try:
        with conn, conn.cursor() as cursor:
            cursor.execute(statement)
            row: tuple[object, ...] = cursor.fetchone()
            return row
    finally:
        conn.close()
