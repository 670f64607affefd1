"""Tell a lineage service what was archived, batch by batch, after the fact.

    tell

There is this DAG only where `openlineage` in sites.yaml, or the variable OPENLINEAGE_URL, names a service. It reads the
custody ledger from where it stopped the last time; while the service is away it is red, and nothing else is.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from vms_airflow.openlineage import is_wanted, tell
from vms_airflow.timetable import SiteTimetable

if is_wanted():
    with DAG(
        dag_id="openlineage",
        dag_display_name="OpenLineage",
        description="Tell a lineage service what was archived",
        doc_md=__doc__,
        schedule=SiteTimetable(timedelta(minutes=10), timedelta(minutes=7)),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        dagrun_timeout=timedelta(hours=1),
        default_args={
            "owner": "vms",
            "retries": 0,  # the next run goes on from there
            "execution_timeout": timedelta(minutes=30),
            "weight_rule": "absolute",
            "priority_weight": 1,
        },
        tags={"openlineage"},
    ):
        tell()
