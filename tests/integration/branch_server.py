"""Airflow's real API server with the edge provider and our plugin, as one process on a port of loopback:
`branch_server.py PORT`, with the environment of `environment_of`. Its database is SQLite with the few rows of TASKS."""

from __future__ import annotations

import os
import sqlite3
import sys
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECRET = "the-secret-that-branches-get-and-that-nobody-else-takes-in-the-world"
RUN = "scheduled__2026-02-01T03:00:00+00:00"
TASKS = {
    "mine": ("footage_jkt", "batch.upload", 0, "site-jkt"),
    "mine-sense": ("footage_jkt", "sense", -1, "site-jkt"),
    "centre-record": ("footage_jkt", "batch.record", 0, "centre"),
    "other": ("footage_mks", "batch.upload", 0, "site-mks"),
}


def task_id(name: str) -> str:
    """The id of this task instance."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def environment_of(folder: Path, **more: str) -> dict[str, str]:
    """Of the server whose files lie in this folder."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "VMS_"))}
    return clean | {
        "PYTHONPATH": os.pathsep.join((str(ROOT / "include"), str(ROOT / "plugins"))),
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "no-dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "airflow.providers.edge3.executors.EdgeExecutor",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / "passwords.json"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/airflow.db",
        "AIRFLOW__DATABASE__EXTERNAL_DB_MANAGERS": "airflow.providers.edge3.models.db.EdgeDBManager",
        "AIRFLOW__EDGE__API_ENABLED": "True",
        "AIRFLOW__EDGE__API_URL": "https://centre:8444/edge_worker/v1/",
        "AIRFLOW__API_AUTH__JWT_SECRET": SECRET,
        "AIRFLOW__API__SECRET_KEY": "nobody",
        **more,
    }


def main(port: int) -> None:
    sys.argv = ["airflow", "api-server"]  # by which the edge provider knows where it is
    import uvicorn
    from airflow import models
    from airflow.models.base import Base
    from airflow.settings import engine

    models.import_all_models()
    Base.metadata.create_all(engine)
    _fill(Path(os.environ["AIRFLOW_HOME"]) / "airflow.db")
    from airflow.api_fastapi.app import cached_app

    uvicorn.run(cached_app(), host="127.0.0.1", port=port, proxy_headers=True, log_level="warning")


def _fill(database: Path) -> None:
    """As few columns as the tables take."""
    with sqlite3.connect(database) as db:
        for name, (dag, task, index, queue) in TASKS.items():
            wanted = {row[1]: "" for row in db.execute("pragma table_info(task_instance)") if row[3] and row[4] is None}
            numbers = {"try_number": 1, "max_tries": 2, "pool_slots": 1}
            known = {"id": task_id(name).replace("-", ""), "dag_id": dag, "task_id": task, "run_id": RUN}
            known |= {"map_index": index, "queue": queue, "state": "running", "pool": "default_pool"}
            row = wanted | numbers | known
            marks = ", ".join("?" * len(row))
            db.execute(
                f"insert or replace into task_instance ({', '.join(row)}) values ({marks})",  # noqa: S608
                list(row.values()),
            )


if __name__ == "__main__":
    main(int(sys.argv[1]))
