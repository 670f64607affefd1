"""Backups put back: all or nothing, checked first; and what a catalogue of yesterday means for the footage of today."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backup_world import NOW, build, facts, still, write_sites
from backup_world import address as address  # fixtures
from backup_world import home as home
from backup_world import no_urls as no_urls
from catalogue_world import START, a_run, ask, events, five_minute_files, opened, sensed
from integrity_world import RUN, age, an_archive
from source_world import a_source_site, put
from vms import restoring
from vms.backups import local_backups, make_backup, put_into_store
from vms.catalogue import branches, migrate, users, whole
from vms.catalogue.planning import plan_run
from vms.catalogue.rows import CUSTODY
from vms.catalogue.sessions import begin_session
from vms.cli.app import main
from vms.config import Config, StoreConfig
from vms.errors import CatalogueError, StackError
from vms.home import Home, from_environment
from vms.purge import apply_in_store, make_plan
from vms.restoring import restore
from vms.stack import migrating
from vms.stack import postgres as server
from vms.users import ensure_administrator


def test_a_backup_put_back_over_a_changed_catalogue_is_the_same_to_the_row(
    home: Home, address: str, tmp_path: Path
) -> None:
    build(address, home, tmp_path)
    with opened(address) as conn:
        users.add_user(conn, "sari", "viewer", "", "test", NOW)
        begin_session(conn, ask(conn, "SELECT user_id FROM viewer_user")[0][0], "192.0.2.1")
    before = facts(address)
    made = make_backup(home, address, NOW)
    assert len(before["viewer_session"]) == 1
    assert made.rows == {name: len(rows) for name, rows in before.items()}
    assert sum(made.rows.values()) > 20
    assert [one.name for one in local_backups(home)] == [made.name]
    with opened(address) as conn:
        ask(conn, "UPDATE recording SET profile = 'changed' RETURNING 1")
    changed = facts(address)
    dump = home.backups / made.dump_name
    with pytest.raises(CatalogueError, match="not empty"):
        restore(home, dump, NOW, still, replace=False)
    assert facts(address) == changed
    done = restore(home, dump, NOW + timedelta(hours=1), still, replace=True)
    assert facts(address) == before | {"viewer_session": []}, "a session of the dump may have been ended since"
    assert done.before is not None
    assert done.migrated == ""
    again = restore(home, home.backups / done.before.dump_name, NOW + timedelta(hours=2), still, replace=True)
    assert facts(address) == changed | {"viewer_session": []}, "what was replaced was backed up"
    assert again.before is not None
    with opened(address) as conn:  # what refuses to be changed still refuses
        with pytest.raises(Exception, match="append-only"):
            ask(conn, "DELETE FROM lineage RETURNING 1")
        assert ask(conn, "SELECT has_table_privilege('vms_viewer', 'recording', 'SELECT')") == [(True,)]


@pytest.mark.parametrize("what", ["account", "branch"])
def test_people_and_branches_are_backed_up_before_a_migration_without_any_footage(
    home: Home, address: str, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(migrating, "owner_url", lambda _home: address)
    monkeypatch.setattr(migrate, "upgrade", lambda _address: None)  # all that it would make is there
    ensure_administrator(home, address)
    with opened(address) as conn:
        assert whole.is_empty(conn), "its first administrator is made with it"
        if what == "account":
            users.add_user(conn, "sari", "viewer", "", "test", NOW)
        else:
            branches.invite(conn, "jkt", b"x" * 32, NOW + timedelta(days=1), "test", NOW)
        ask(conn, "UPDATE alembic_version SET version_num = %s RETURNING 1", migrate.revisions()[1])
    migrating.bring_forward(home, NOW, lambda _line: None)
    (dump,) = local_backups(home)
    assert dump.rows["viewer_user"] + dump.rows["branch"] == 2


def test_a_dump_of_an_older_schema_is_brought_up_to_date_and_a_newer_one_refused(
    home: Home, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(address, home, tmp_path)
    made = make_backup(home, address, NOW)
    with monkeypatch.context() as older:
        older.setattr(migrate, "revisions", lambda: ("0000",))
        with pytest.raises(CatalogueError, match="newer version"):
            restore(home, home.backups / made.dump_name, NOW, still, replace=True)
    with opened(address) as conn, conn.cursor() as cursor:
        cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    monkeypatch.setattr(migrate.alembic.command, "upgrade", _upgrade_to("0004"))
    migrate._migrate(address)  # rights are given for today's tables only
    monkeypatch.undo()
    old = make_backup(home, address, NOW + timedelta(hours=1))
    assert old.revision == "0004"
    done = restore(home, home.backups / old.dump_name, NOW + timedelta(hours=2), still, replace=False)
    with opened(address) as conn:
        assert whole.revision(conn) == migrate.newest() != "0004"
    assert (done.migrated, done.before) == ("0004", None)


def test_a_program_older_than_the_catalogue_changes_nothing_in_it(address: str) -> None:
    with opened(address) as conn:
        ask(conn, "UPDATE alembic_version SET version_num = '9999' RETURNING 1")
    before = facts(address)
    with pytest.raises(CatalogueError, match="newer") as refused:
        migrate.upgrade(address)
    assert "backup" in refused.value.remedy
    assert facts(address) == before


def _upgrade_to(revision: str):
    upgrade = migrate.alembic.command.upgrade
    return lambda config, _target: upgrade(config, revision)


def test_a_restore_that_fails_in_the_middle_leaves_the_catalogue_as_it_was(
    home: Home, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(address, home, tmp_path)
    made = make_backup(home, address, NOW)
    before = facts(address)
    dump = home.backups / made.dump_name
    with monkeypatch.context() as broken:
        broken.setattr(restoring, "count_dump", lambda *_: {"recording": 10_000})
        with pytest.raises(CatalogueError, match="Not every row"):
            restore(home, dump, NOW + timedelta(minutes=1), still, replace=True)
    assert facts(address) == before
    assert len(local_backups(home)) == 2, "what is in use was backed up"
    assert not list(home.backups.glob("*.replaced")), "and is not put aside"
    with opened(address) as conn:  # killed between the two: the former one is put back by the next call
        whole.set_aside(conn)
    restore(home, dump, NOW + timedelta(hours=1), still, replace=True)
    assert facts(address) == before


def test_what_is_rotten_cut_short_or_no_dump_is_refused(home: Home, address: str, tmp_path: Path) -> None:
    build(address, home, tmp_path)
    made = make_backup(home, address, NOW)
    dump = home.backups / made.dump_name
    data = dump.read_bytes()
    rotten, cut, other = (tmp_path / name for name in ("rotten.dump", "cut.dump", "other.dump"))
    cut.write_bytes(data[: len(data) * 2 // 3])
    other.write_text("nothing")
    rotten.write_bytes(bytes([*data[:-200], data[-200] ^ 1, *data[-199:]]))
    rotten.with_suffix(".json").write_bytes((home.backups / made.manifest_name).read_bytes())
    before = facts(address)
    for bad, why in ((rotten, "other bytes"), (cut, "pg_restore"), (other, "pg_restore"), (tmp_path / "no", "no file")):
        with pytest.raises(CatalogueError, match=why):
            restore(home, bad, NOW, still, replace=True)
    assert facts(address) == before


def test_somebody_else_in_the_catalogue_is_named_and_nothing_done(home: Home, address: str, tmp_path: Path) -> None:
    build(address, home, tmp_path)
    made = make_backup(home, address, NOW)
    with opened(address), pytest.raises(StackError, match="Others use the catalogue: vms"):
        restore(home, home.backups / made.dump_name, NOW, still, replace=True)


def test_who_has_just_hung_up_is_not_in_the_way(
    home: Home, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(address, home, tmp_path)
    made = make_backup(home, address, NOW)
    listed = iter([["vms"], ["vms"]])
    monkeypatch.setattr(whole, "others_connected", lambda _conn: next(listed, []))
    restore(home, home.backups / made.dump_name, NOW, still, replace=True)
    assert list(listed) == []


def test_a_catalogue_of_yesterday_heals_and_nothing_is_deleted(home: Home, address: str, tmp_path: Path) -> None:
    build(address, home, tmp_path, 3)
    made = make_backup(home, address, NOW)
    with opened(address) as conn:
        later = an_archive(conn, home, tmp_path, 8, run=2)
        keys = set(ask(conn, "SELECT key, encode(sha256, 'hex') FROM copy"))
    restore(home, home.backups / made.dump_name, NOW, still, replace=True)
    with opened(address) as conn:
        assert ask(conn, "SELECT count(*) FROM recording") == [(3,)]
        later = replace(later, conn=conn)
        for path in later.files():
            age(path)
        files = {path: path.read_bytes() for path in later.files()}
        found = later.reconcile()
        assert (found.adopted, found.foreign, found.lost) == (5, 0, 0)
        assert set(ask(conn, "SELECT key, encode(sha256, 'hex') FROM copy")) == keys
        # the sources that still lie on site are seen again: they are these very recordings
        again = [replace(one, duration_s=4.0) for one in five_minute_files(8)]
        plan = plan_run(conn, later.site, sensed(*again, at=datetime.now(UTC)), a_run(9), datetime.now(UTC))
        assert plan.batches == ()
        assert ask(conn, "SELECT count(*), count(DISTINCT start_at) FROM recording") == [(8, 8)]
        assert ask(conn, "SELECT min(start_at) FROM recording") == [(START,)]
        assert files == {path: path.read_bytes() for path in later.files()}


def test_a_file_uploaded_after_the_dump_runs_to_its_end_without_doubles(
    home: Home, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The site's own ledger says that the file is done, the store holds it, and the catalogue never heard of it; nor
    of another file that can't be used."""
    with opened(address) as conn:
        site = a_source_site(conn, home, tmp_path, monkeypatch)
    made = make_backup(home, address, NOW)
    with opened(address) as conn:
        site = replace(site, conn=conn)
        put(tmp_path / "footage" / "lobby" / "20260131_080500.mp4", 4)
        assert site.run() == 1
        unfit = tmp_path / "footage" / "lobby" / "20260131_081000.mp4"
        unfit.write_bytes(b"no footage" * 100)
        os.utime(unfit, (time.time() - 3600,) * 2)
        assert site.run() == 0
        quarantined = ask(conn, "SELECT reason FROM quarantine")
        assert len(quarantined) == 1
        site.settle()
        assert not site.look().sightings
        assert not site.look().rejections
        rows = ask(conn, "SELECT key, encode(sha256, 'hex') FROM copy ORDER BY key")
        files = {path: path.read_bytes() for path in (tmp_path / "nas").rglob("ho/lobby/**/*.*")}
        assert len(files) == 6
    restore(home, home.backups / made.dump_name, NOW, still, replace=True)
    with opened(address) as conn:
        site = replace(site, conn=conn)
        assert ask(conn, "SELECT count(*) FROM recording") == [(1,)]
        assert site.run() == 1
        assert ask(conn, "SELECT key, encode(sha256, 'hex') FROM copy WHERE state = 0 ORDER BY key") == rows
        assert {path: path.read_bytes() for path in (tmp_path / "nas").rglob("ho/lobby/**/*.*")} == files
        custody = ask(conn, "SELECT custody, lost_at FROM recording ORDER BY start_at")
        assert custody == [(1, None), (1, None), (CUSTODY["quarantined"], None)]
        assert ask(conn, "SELECT reason FROM quarantine") == quarantined
        ((number,),) = ask(conn, "SELECT max(recording_id) FROM recording WHERE custody = 1")
        assert events(conn, number) == ["planned", "copied", "copied", "copied", "compressed", "archived"]
        assert ask(conn, "SELECT DISTINCT (detail->>'bytes_sent')::int FROM lineage WHERE event = 'copied'"
                         " AND recording_id = %s", number) == [(0,)]  # fmt: skip
        assert (site.run(), site.reconcile().foreign, site.prove().damaged) == (0, 0, 0)


def test_retention_sees_that_the_catalogue_is_older_than_its_objects_and_purges_nothing(
    home: Home, address: str, tmp_path: Path
) -> None:
    build(address, home, tmp_path, 3)
    made = make_backup(home, address, NOW)
    with opened(address) as conn:
        later = an_archive(conn, home, tmp_path, 12, run=2)
    restore(home, home.backups / made.dump_name, NOW, still, replace=True)
    site = replace(later.site, retention=timedelta(days=1))
    config = Config("", (site,), site.stores, (), (), ())
    with opened(address) as conn:
        at, written = START + timedelta(days=1.2), (START + timedelta(hours=2)).timestamp()
        for path in later.files():
            os.utime(path, (written, written))
        plan = make_plan(conn, config, "retention", at, late=True)
        assert plan.copies == 3, "they would be due"
        assert "catalogue_old" in [alarm.kind for alarm in plan.alarms]
        assert plan.state == "waiting"
        target = replace(later, conn=conn).target()
        with pytest.raises(CatalogueError):
            apply_in_store(conn, config, plan.plan_id, target, RUN, at)
        assert len(later.files()) == 12


def test_on_a_new_machine_a_store_and_sites_yaml_are_enough(
    home: Home, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build(address, home, tmp_path)
    before = facts(address)
    made = make_backup(home, address, NOW)
    with opened(address) as conn:
        ((identity,),) = ask(conn, "SELECT identity FROM store")
    put_into_store(home, made, StoreConfig("nas", f"file://{tmp_path}/nas"), identity)
    write_sites(home, tmp_path)
    folder = Path(tempfile.mkdtemp(prefix="vms-test-"))
    folder.chmod(0o755)  # the account that the server drops to must get through
    try:
        monkeypatch.setenv("VMS_HOME", str(folder / "home"))
        monkeypatch.setenv("VMS_SITES", str(home.sites_file))
        assert main(["restore", "--store", "nas"]) == 0, capsys.readouterr().err
        fresh = from_environment({"VMS_HOME": str(folder / "home")})
        assert not server.is_ready(fresh), "the server that was started for it was stopped again"
        child = server.start(fresh)
        try:
            assert facts(server.role_url(fresh, "vms_owner", "catalogue")) == before
        finally:
            server.stop(child)
        _moves_to_a_server_of_ones_own_and_back(fresh, before, monkeypatch)
    finally:
        shutil.rmtree(folder)


def _moves_to_a_server_of_ones_own_and_back(home: Home, before: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the operator's book has it, "Moving the database"."""
    companys = from_environment({"VMS_HOME": str(home.root.with_name("company"))})
    assert main(["backup", "--here-only"]) == 0
    child = server.start(companys)
    try:
        monkeypatch.setenv("VMS_POSTGRES_URL", server.admin_url(companys))
        assert main(["restore"]) == 0
        assert server.read_address(home) == server.read_address(companys)
        assert facts(server.role_url(home, "vms_owner", "catalogue")) == before
        monkeypatch.delenv("VMS_POSTGRES_URL")
        assert main(["backup", "--here-only"]) == 0, "while it answers nothing has to be started"
    finally:
        server.stop(child)
    assert main(["backup", "--here-only"]) == 1, "nothing is begun beside it"
    (home.run / "postgres.json").unlink()
    assert main(["restore", "--replace"]) == 0
