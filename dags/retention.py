"""Delete what has outlived its retention: first a plan, then, when it is unusual, a person, then store by store.

    plan ─ approval ─┬─ apply[nas] ───┬─ prove ─ verdict
                     └─ apply[cloud] ─┘

The plan is written down before anything goes. What is under a hold stays. When more would go than usual, when the clock
has jumped, when a store looks empty or is another one, or when the catalogue is older than its objects, the run waits
under Required Actions for an answer; silence means no. How often it runs, and what is unusual: `retention_policy` in
sites.yaml.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, ExceptionRetryPolicy, Param, RetryAction, RetryRule, TriggerRule

from vms.config import RetentionPolicy, load_config
from vms.errors import CatalogueError, ConfigError, WrongStore
from vms.home import from_environment
from vms.retention_breaker import APPROVAL
from vms_airflow.retention import PurgeApproval, apply, plan, prove, verdict
from vms_airflow.timetable import SiteTimetable

DEFAULTS = {
    "owner": "vms",
    "retries": 2,
    "retry_delay": timedelta(minutes=1),
    "retry_policy": ExceptionRetryPolicy(
        [
            RetryRule(ConfigError, RetryAction.FAIL, reason="sites.yaml has to be corrected first"),
            RetryRule(WrongStore, RetryAction.FAIL, reason="somebody has to look at the store"),
            RetryRule(CatalogueError, RetryAction.FAIL, reason="the plan may not be applied"),
        ]
    ),
    "execution_timeout": timedelta(hours=12),
    "weight_rule": "absolute",
    "priority_weight": 1,
}


def policy() -> RetentionPolicy:
    """What sites.yaml says; its defaults while the file can't be read, so that the task can say what is wrong."""
    try:
        return load_config(from_environment().sites_file).retention_policy
    except ConfigError:
        return RetentionPolicy()


with DAG(
    dag_id="retention",
    dag_display_name="Retention",
    description="Delete what has outlived its retention",
    doc_md=__doc__,
    # 18:00 UTC is one o'clock at night in western Indonesia
    schedule=SiteTimetable(policy().every, timedelta(hours=18)),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    dagrun_timeout=APPROVAL + timedelta(days=2),
    default_args=DEFAULTS,
    params={
        "late": Param(
            False, type="boolean", description="Also delete footage that was too old already when it arrived."
        )
    },
    tags={"retention"},
) as dag:
    planned = plan()
    approval = PurgeApproval(
        task_id="approval",
        subject="Delete what this plan says?",
        body="{{ ti.xcom_pull(task_ids='plan', key='question') }}",
        defaults=PurgeApproval.REJECT,
        response_timeout=APPROVAL,
        execution_timeout=None,
        doc_md=PurgeApproval.__doc__,
    )
    applied = apply.override(map_index_template="{{ task.op_kwargs['store']['name'] }}").expand(store=planned)
    proved = prove.override(trigger_rule=TriggerRule.ALL_DONE, execution_timeout=timedelta(hours=1))()
    planned >> approval >> applied >> proved >> verdict.override(trigger_rule=TriggerRule.ALL_DONE)()
