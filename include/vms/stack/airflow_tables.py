"""Airflow's own tables: whether they are those of the installed version, bringing them there, and its accounts."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import psycopg2

from vms.errors import StackError
from vms.home import PROJECT_ROOT, Home
from vms.stack import airflow_accounts, postgres
from vms.stack.airflow_env import airflow_environment
from vms.stack.supervisor import last_line


def are_old(home: Home) -> bool:
    """Whether they are not those of the installed version: asking Airflow itself takes seconds."""
    try:
        return bool(json.loads(_stamp(home).read_text()) != _version(home))
    except (OSError, ValueError, psycopg2.Error):
        return True


def _version(home: Home) -> list[str]:
    """The installed version and the revision of the tables that are there. Raises psycopg2.Error without tables."""
    conn = psycopg2.connect(postgres.role_url(home, "airflow", "airflow"), connect_timeout=10)
    try:
        with conn.cursor() as cursor:
            cursor.execute("SELECT version_num FROM alembic_version")
            packages = ("apache-airflow-core", *(("apache-airflow-providers-edge3",) if home.parts else ()))
            return [*map(importlib.metadata.version, packages), *(str(row[0]) for row in cursor.fetchall())]
    finally:
        conn.close()


def _stamp(home: Home) -> Path:
    return home.airflow / "migrated.json"


def migrate(home: Home) -> None:
    """Bring them to the installed version. Raises StackError."""
    home.airflow.mkdir(parents=True, exist_ok=True)
    _run(home, "airflow", "db", "migrate")
    if home.parts:
        # How much is done at once is for the workers to say; what waits for branches that are away must fill nothing.
        _run(home, "airflow", "pools", "set", "default_pool", "--", "-1", "Without a limit")
    _stamp(home).write_text(json.dumps(_version(home)))


def keep_accounts(home: Home) -> None:
    """In containers: the accounts that are wanted, with the passwords that the parts know. Raises StackError."""
    _run(home, "vms_airflow.accounts", told=airflow_accounts.wanted(home))


def _run(home: Home, module: str, *arguments: str, told: str = "") -> None:
    """told: on its standard input, so that no password is in the list of processes."""
    log_file = home.logs / "airflow-migrate.log"
    with log_file.open("ab") as output:
        done = subprocess.run(
            (sys.executable, "-m", module, *arguments),
            cwd=PROJECT_ROOT,
            env=airflow_environment(home),
            input=told,
            text=True,
            stdout=output,
            stderr=output,
            start_new_session=True,  # without a terminal that it could ask something
            check=False,
        )
    if done.returncode != 0:
        raise StackError(
            f"Airflow's database can't be prepared: {last_line(log_file)}", f"The whole log is in {log_file}."
        )
