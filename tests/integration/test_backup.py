"""The catalogue dumped, lost, restored: every row, or what was there before; and what was archived since comes back."""

from __future__ import annotations

import json
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airflow_runs import AirflowRuns
from airflow_runs import migrate as airflow_tables
from backup_world import NOW, build, facts, still, write_sites
from backup_world import address as address  # fixtures
from backup_world import home as home
from backup_world import no_urls as no_urls
from catalogue_world import ask, opened
from integrity_world import Archive, age
from vms import backups, dumps
from vms.backups import PREFIX, is_backup_key, local_backups, make_backup, outlived, overdue, put_into_store
from vms.catalogue.connection import Connection, connect
from vms.catalogue.integrity import list_strays
from vms.cli import doctor_stores
from vms.cli.app import main
from vms.cli.status import as_object, look
from vms.cli.wording import utc_text
from vms.config import Config, StoreConfig
from vms.errors import StackError
from vms.home import Home
from vms.stack.airflow_env import airflow_environment
from vms.stack.postgres_tools import find_tools
from vms.stores import open_store


def test_stores_hold_backups_that_no_check_takes_for_footage(home: Home, address: str, tmp_path: Path) -> None:
    build(address, home, tmp_path)
    made = make_backup(home, address, NOW)
    config = StoreConfig("nas", f"file://{tmp_path}/nas")
    with opened(address) as conn:
        ((identity,),) = ask(conn, "SELECT identity FROM store")
        for _ in range(2):
            put_into_store(home, made, config, identity)
        for path in (tmp_path / "nas" / PREFIX).iterdir():
            age(path)
        archive = Archive(conn, home, tmp_path, None)  # type: ignore[arg-type]
        found = archive.reconcile()
        assert (found.objects, found.foreign, found.error) == (4, 0, "")
        assert list_strays(conn) == []
        for path in archive.files():
            path.unlink()
        assert "shows no object" in archive.reconcile().error, "a backup alone is no footage"
    store = open_store("nas", config.url)
    store.identify(identity)
    assert backups.list_store(store) == [made]
    for path in home.backups.iterdir():
        path.unlink()
    fetched = backups.fetch(store, made, home, still)
    assert dumps.hashed(fetched)[0] == made.sha256
    assert local_backups(home) == [made]


def test_old_backups_go_and_the_newest_three_stay() -> None:
    def made(days: int) -> dumps.Manifest:
        at = NOW - timedelta(days=days)
        return dumps.Manifest(f"{at:%Y%m%dT%H%M%SZ}_{days:012x}", at, 1, "", "0005", 18, {}, "")

    ages = [made(days) for days in range(20)]
    assert [one.made_at for one in outlived(ages, NOW - timedelta(days=14))] == [
        NOW - timedelta(days=days) for days in range(15, 20)
    ]
    stale = [made(days) for days in (100, 101, 102, 103)]
    assert [one.made_at for one in outlived(stale, NOW)] == [NOW - timedelta(days=103)]
    assert not is_backup_key("catalogue-backups/lobby/2026/01/31/20260131T010000Z_0123456789ab.mp4")


def test_a_backup_that_is_late_is_seen(home: Home, address: str) -> None:
    assert overdue(home, datetime.now(UTC)) == ""
    assert "never backed up" in overdue(home, datetime.now(UTC) + timedelta(days=3))
    make_backup(home, address, NOW)
    assert overdue(home, NOW + timedelta(days=1)) == ""
    assert "2026-11-24" in overdue(home, NOW + timedelta(days=2, hours=1))


def test_the_commands(home: Home, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    build(address, home, tmp_path)
    write_sites(home, tmp_path)
    monkeypatch.setenv("VMS_HOME", str(home.root))
    monkeypatch.setenv("VMS_SITES", str(home.sites_file))
    before = facts(address)
    assert main(["backup", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["stores"], told["problems"]) == (["nas"], [])
    assert main(["backup", "list", "--store", "nas"]) == 0
    assert told["name"] in capsys.readouterr().out
    assert main(["restore"]) == 1
    assert "--replace" in capsys.readouterr().err
    for path in home.backups.iterdir():
        path.unlink()
    with closing(connect(address)) as conn:
        _empty(conn)
    assert main(["restore", "--store", "nas"]) == 0
    assert "rows restored" in capsys.readouterr().out
    assert facts(address) == before
    assert main(["restore", "--store", "sans"]) == 1
    assert main(["restore", str(tmp_path / "none.dump")]) == 1


def test_the_newest_is_never_what_a_restore_put_aside_or_what_only_a_newer_program_knows(
    home: Home, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    build(address, home, tmp_path)
    monkeypatch.setenv("VMS_HOME", str(home.root))
    made = make_backup(home, address, NOW)
    good = facts(address)
    with opened(address) as conn:
        ask(conn, "UPDATE recording SET profile = 'spoilt' RETURNING 1")
        ask(conn, "UPDATE alembic_version SET version_num = '9999' RETURNING 1")
    newer = make_backup(home, address, NOW + timedelta(days=1))
    assert local_backups(home)[0] == newer
    for _ in range(2):  # given again, to be sure
        assert main(["restore", "--replace"]) == 0, capsys.readouterr().err
        assert made.dump_name in capsys.readouterr().out
        assert facts(address) == good
    assert main(["backup", "list"]) == 0
    told = capsys.readouterr().out
    assert told.count("what a restore replaced") == 2, told
    (home.backups / made.manifest_name).unlink()
    assert main(["restore", "--replace"]) == 1
    assert "vms backup list" in capsys.readouterr().err
    assert facts(address) == good
    for later in (30, 31):
        make_backup(home, address, NOW + timedelta(days=later))
    backups.clear_old(home, Config("", (), (), (), (), ()), {}, NOW + timedelta(days=400))
    assert len(local_backups(home)) == 3
    assert [path.stem for path in home.backups.glob("*.replaced")] == [local_backups(home)[2].name]


def _empty(conn: Connection) -> None:
    with conn.cursor() as cursor:
        cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")


def test_doctor_and_status_tell_of_a_late_backup(home: Home, address: str) -> None:
    made = make_backup(home, address, datetime.now(UTC) - timedelta(days=3))
    seen = look(home)
    assert seen.backup == made
    assert as_object(seen)["backup"] == {"last": utc_text(made.made_at), "overdue": True}
    (finding,) = doctor_stores.backup(seen)
    assert not finding.ok
    assert f"{made.made_at:%Y-%m-%d}" in finding.what
    make_backup(home, address, datetime.now(UTC))
    assert [one.ok for one in doctor_stores.backup(look(home))] == [True]


@pytest.mark.slow
def test_the_dag_backs_up_here_and_into_the_store(home: Home, address: str, tmp_path: Path) -> None:
    build(address, home, tmp_path)
    write_sites(home, tmp_path)
    environment = airflow_environment(home) | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/air.db"}
    airflow_tables(environment)
    airflow = AirflowRuns(environment)
    try:
        done = airflow.run("backup", NOW)
    finally:
        airflow.close()
    assert done.state == "success", done.log[-6000:]
    (made,) = local_backups(home)
    assert (tmp_path / "nas" / PREFIX / made.dump_name).stat().st_size == made.size_bytes


def test_tools_older_than_the_server_are_not_taken() -> None:
    assert find_tools(13).major >= 13
    with pytest.raises(StackError, match="PostgreSQL 99"):
        find_tools(99)
    tools = find_tools(14)
    said = subprocess.run([tools.folder / "pg_restore", "-V"], capture_output=True, text=True, check=True)
    assert str(tools.major) in said.stdout
