"""Every night: is what was archived still there, and can it be restored?

    stores ─┬─ reconcile[store] ── prove[store] ─┬─ repair
            └─ ...                               ┘

`reconcile` compares each store with the catalogue, `prove` fetches, hashes and decodes a sample, `repair` makes good
what is lost or damaged. None of them ever deletes anything. By hand: `vms verify`.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, TriggerRule

from vms_airflow.integrity import prove, reconcile, repair, stores
from vms_airflow.timetable import SiteTimetable

with DAG(
    dag_id="integrity",
    dag_display_name="Integrity of the archive",
    description="Compare stores and catalogue, prove copies restorable, repair",
    doc_md=__doc__,
    # 18:00 UTC is between one and three at night in Indonesia, when lines and disks have least to do.
    schedule=SiteTimetable(timedelta(days=1), timedelta(hours=18)),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    dagrun_timeout=timedelta(hours=12),
    default_args={
        "owner": "vms",
        "retries": 1,
        "retry_delay": timedelta(minutes=1),
        "execution_timeout": timedelta(hours=4),
        "weight_rule": "absolute",
        "priority_weight": 1,
        "max_active_tis_per_dag": 1,
    },
    tags={"integrity"},
):
    names = stores()
    compared = reconcile.override(doc_md=reconcile.function.__doc__).expand(store=names)
    proven = prove.override(doc_md=prove.function.__doc__, trigger_rule=TriggerRule.ALL_DONE).expand(store=names)
    names >> compared >> proven >> repair.override(trigger_rule=TriggerRule.ALL_DONE)()
