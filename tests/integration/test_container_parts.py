"""What a part in a container does with real databases before it begins."""

from __future__ import annotations

import logging
import threading
from contextlib import closing
from dataclasses import replace

import psycopg2
import pytest

from catalogue_world import ask, opened
from vms.catalogue import migrate
from vms.errors import CatalogueError
from vms.home import Home, Parts
from vms.stack import airflow_tables, container
from vms.stack import postgres as server
from vms.stack.airflow_env import airflow_environment


def at(address: str, revision: str) -> None:
    with opened(address) as conn:
        ask(conn, "UPDATE alembic_version SET version_num = %s RETURNING 1", revision)


def test_a_part_waits_for_an_older_catalogue_and_never_begins_on_a_newer_one(
    catalogue: tuple[Home, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    home, address = catalogue
    monkeypatch.setenv("VMS_CATALOGUE_URL", address)
    monkeypatch.setattr(container, "ASK_S", 0.05)
    caplog.set_level(logging.INFO)
    at(address, migrate.revisions()[1])
    part = threading.Thread(target=container.wait_prepared, args=(home, "owner"), daemon=True)
    part.start()
    while "not yet at" not in caplog.text:
        assert part.is_alive()
        part.join(0.05)
    at(address, migrate.newest())
    part.join(60)
    assert not part.is_alive(), "init is done"

    at(address, "9999")
    with pytest.raises(CatalogueError, match="newer") as refused:
        container.wait_prepared(home, "owner")
    assert "backup" in refused.value.remedy


def test_what_waits_for_branches_that_are_away_fills_no_pool_in_containers(
    catalogue: tuple[Home, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, _ = catalogue
    told = airflow_environment(home)  # of one machine, as the tests have no Celery
    monkeypatch.setattr(airflow_tables, "airflow_environment", lambda _home: told)
    parts = replace(home, parts=Parts("", "", "", ""))
    airflow_tables.migrate(parts)
    with closing(psycopg2.connect(server.role_url(home, "airflow", "airflow"))) as conn:
        assert ask(conn, "SELECT pool, slots FROM slot_pool") == [("default_pool", -1)]
    assert not airflow_tables.are_old(parts)
