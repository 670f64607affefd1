"""Keep Airflow's own history short, so that its pages stay quick for years.

    runs
    logs

`runs` deletes finished runs from Airflow's own database, `logs` the files of their logs. For how long they are kept:
`history` in sites.yaml, 90 days unless it says otherwise. The last run of each DAG stays. Neither touches the
catalogue, which keeps what became of every recording.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from vms_airflow.history import logs, runs
from vms_airflow.timetable import SiteTimetable

with DAG(
    dag_id="history",
    dag_display_name="History of Airflow",
    description="Delete old runs from Airflow's own database, and their logs",
    doc_md=__doc__,
    # 20:30 UTC is after backup, retention and checks have begun, and before offices in Indonesia open.
    schedule=SiteTimetable(timedelta(days=1), timedelta(hours=20, minutes=30)),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    dagrun_timeout=timedelta(hours=6),
    default_args={
        "owner": "vms",
        "retries": 2,
        "retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(hours=2),
        "weight_rule": "absolute",
        "priority_weight": 1,
    },
    tags={"history"},
):
    runs()
    logs()
