"""Every five minutes: tell people what began to be wrong, and what is over.

One message when something begins, one when it ends, and a digest for each site once a day; never one for each file.
Who is told, and when not: `alerts` in sites.yaml. A red run means that a target could not be reached; its messages are
kept and tried again. By hand: `vms alerts`.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from vms_airflow.alerts import tell
from vms_airflow.timetable import SiteTimetable

with DAG(
    dag_id="alerts",
    dag_display_name="Alerts",
    description="Tell people what is wrong, and when it is over",
    doc_md=__doc__,
    schedule=SiteTimetable(timedelta(minutes=5), timedelta(seconds=30)),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    dagrun_timeout=timedelta(minutes=30),
    default_args={
        "owner": "vms",
        "retries": 1,
        "retry_delay": timedelta(minutes=1),
        "execution_timeout": timedelta(minutes=15),
        "weight_rule": "absolute",
        "priority_weight": 1,
        "max_active_tis_per_dag": 1,
    },
    tags={"alerts"},
):
    tell.override(doc_md=tell.function.__doc__)()
