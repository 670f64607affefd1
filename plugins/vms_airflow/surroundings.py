"""What a task needs to know before it can work: its installation, its site, who it is, the catalogue.

Parts of `vms` that are slow to import (database, stores, FFmpeg) are imported where they are used, because Airflow
reads the DAG files again and again and needs none of them for that.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from airflow.sdk import Context

from vms.config import Config, Site, load_config
from vms.home import Home, from_environment
from vms.model import RunRef


def installation(site_id: str) -> tuple[Home, Config, Site]:
    """Read anew at each task's start, so that a change of sites.yaml takes effect without a restart. Of its sites the
    `Config` holds this one alone: a task of one of a thousand has nothing to do with the others.

    Raises ConfigError when the file or this site's part of it can't be used.
    """
    home = from_environment()
    config = load_config(home.sites_file, site_id)
    return home, config, config.site(site_id)


def at_a_branch(site: Site) -> bool:
    """Whether the site's own tasks run on a machine whose keys to the buckets may only write."""
    return site.runs_on == "edge"


def run_ref(context: Context) -> RunRef:
    """Who acts, for lineage."""
    ti = context["ti"]
    index = ti.map_index if ti.map_index is not None else -1
    return RunRef(ti.dag_id, ti.run_id, ti.task_id, index, ti.try_number, socket.gethostname())


@contextmanager
def catalogue(home: Home) -> Iterator[Any]:
    """A connection to the catalogue as its owner. Raises CatalogueError when it is away."""
    from vms.catalogue.connection import connect, url

    with closing(connect(url(home, "owner"))) as conn:
        yield conn


def outcomes(context: Context, task_id: str, key: str = "return_value") -> list[Any]:
    """What a task of this run handed on: one value, or one for each batch, without those that did not get so far."""
    # A list of task ids, because for a bare id Airflow gives a bare value as soon as there is only one batch.
    found = context["ti"].xcom_pull(task_ids=[task_id], key=key)
    return [value for value in found if value is not None]


def outcome(context: Context, task_id: str, key: str = "return_value") -> Any:
    """What a task that exists once in this run handed on, or None."""
    return next(iter(outcomes(context, task_id, key)), None)
