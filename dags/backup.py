"""Back up the catalogue itself: dump it, read every row back, put it into every store, clear what was kept long enough.

    dump ── stores ── clear

How often, and for how long each is kept: `backup` in sites.yaml. By hand: `vms backup`; back again: `vms restore`.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, TriggerRule

from vms_airflow.backup import clear, dump, policy, stores
from vms_airflow.timetable import SiteTimetable

with DAG(
    dag_id="backup",
    dag_display_name="Backup of the catalogue",
    description="Dump the catalogue, prove the dump, keep it here and in the stores",
    doc_md=__doc__,
    # 17:00 UTC is midnight in western Indonesia, an hour before retention and the checks begin.
    schedule=SiteTimetable(policy().every, timedelta(hours=17) % policy().every),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    dagrun_timeout=timedelta(hours=12),
    default_args={
        "owner": "vms",
        "retries": 3,
        "retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(hours=4),
        "weight_rule": "absolute",
        "priority_weight": 1,
    },
    tags={"backup"},
):
    dumped = dump()
    put = stores(dumped)
    # a store that is away must not keep old backups from being cleared elsewhere
    put >> clear.override(trigger_rule=TriggerRule.ALL_DONE)()
