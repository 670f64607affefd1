"""Airflow's history is kept short in its real database and on disk, and the catalogue is not touched."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
import pytest

from airflow_runs import AirflowRuns
from airflow_runs import migrate as airflow_tables
from catalogue_world import ask, opened
from vms.airflow_history import clean_logs, log_folders
from vms.catalogue import whole
from vms.home import Home
from vms.stack import postgres as server
from vms.stack.airflow_env import airflow_environment

NOW = datetime.now(UTC)


def aged(file: Path, days: float) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("log")
    for path in (file, file.parent):
        os.utime(path, ((NOW - timedelta(days=days)).timestamp(),) * 2)
    return file


def test_logs_go_by_their_age_with_the_folders_that_they_leave(catalogue: tuple[Home, str], tmp_path: Path) -> None:
    home = catalogue[0]
    tasks, parsed = log_folders(home)
    old = aged(tasks / "dag_id=footage_ho" / "run_id=a" / "task_id=sense" / "attempt=1.log", 100)
    other = aged(parsed / "2026-01-01" / "footage.log", 100)
    young = aged(tasks / "dag_id=footage_ho" / "run_id=b" / "task_id=sense" / "attempt=1.log", 80)
    about_to = tasks / "dag_id=footage_ho" / "run_id=c"
    about_to.mkdir()
    elsewhere = aged(tmp_path / "elsewhere" / "kept.log", 100)
    (tasks / "link").symlink_to(elsewhere.parent)
    service = aged(home.logs / "launcher.log", 400)

    gone = clean_logs((tasks, parsed), NOW - timedelta(days=90))

    assert (gone.files, gone.size_bytes) == (2, 6)
    assert not old.parents[1].exists()
    assert not other.parent.exists()
    assert all(path.exists() for path in (young, about_to, elsewhere, service, tasks, parsed))
    assert clean_logs((tasks, parsed, tmp_path / "none"), NOW - timedelta(days=90)).files == 0


@pytest.mark.slow
def test_old_runs_go_from_airflows_database_and_nothing_from_the_catalogue(catalogue: tuple[Home, str]) -> None:
    home, address = catalogue
    home.sites_file.write_text("history: {keep: 30d}\nstores: {}\nsites: []\n")
    environment = airflow_environment(home)
    airflow_tables(environment)
    with opened(address) as conn:
        known = whole.count_rows(conn)
    airflow = AirflowRuns(environment)
    try:
        first = airflow.run("history", NOW - timedelta(days=1))
        assert first.state == "success", first.log[-6000:]
        with closing(_airflow_database(home)) as conn:
            for table in ("dag_run", "task_instance"):
                ask(conn, f"UPDATE {table} SET start_date = start_date - interval '100 days' RETURNING 1")  # noqa: S608
            with conn.cursor() as cursor:
                cursor.execute("CREATE TABLE _airflow_deleted__dag_run__20260101000000__b1 AS SELECT 1 AS left_by_kill")
        done = airflow.run("history", NOW)
    finally:
        airflow.close()

    assert done.state == "success", done.log[-6000:]
    assert "rows of Airflow's own database were older" in done.log
    with closing(_airflow_database(home)) as conn:
        assert ask(conn, "SELECT count(*), min(logical_date) FROM dag_run WHERE dag_id = 'history'") == [(1, NOW)]
        assert ask(conn, "SELECT count(*) FROM task_instance WHERE dag_id = 'history'") == [(2,)]
        assert ask(conn, "SELECT relname FROM pg_class WHERE starts_with(relname, '_airflow_deleted')") == []
    with opened(address) as conn:
        assert whole.count_rows(conn) == known
    with pytest.raises(psycopg2.OperationalError, match="permission denied"):
        psycopg2.connect(server.role_url(home, "airflow", "catalogue"))


def _airflow_database(home: Home) -> psycopg2.extensions.connection:
    conn = psycopg2.connect(server.role_url(home, "airflow", "airflow"))
    conn.autocommit = True
    return conn
