"""Go through a past period of one site again: archive what is missing, copy what stores lack, prove, put again.

    choose ─ look[n] ─┬─ plan ─┬─ batch[0]: compress ─ upload ─ record ─┬─ release ─┬─ verdict
    sense ────────────┘        └─ batch[n]: ...                         ┘           └─ onward

`look` goes over the copies of some recordings, with the modes verify and reupload only.

Started by `vms backfill`, which shows first what there is to do; the runs go on whatever becomes of that command. One
run is one site's share, the newest footage first; a period that is too long for one run goes on in the next, which
`onward` starts. What is new has precedence: one batch of all backfills is at work at a time, and its files let those
of the sites' own runs have the encoders first, each for five minutes at most, so that it comes to its end in any case.

*A red run* loses nothing. `vms backfill list` says how far it is, `vms backfill resume N` goes on, and clearing any
task is safe.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, ExceptionRetryPolicy, Param, RetryAction, RetryRule, TriggerRule, task_group

from vms.backfill import DAG_ID
from vms.errors import CatalogueError, ConfigError
from vms.queues import ENCODE
from vms_airflow.backfill import Onward, choose, compress, look, plan, sense, upload, verdict
from vms_airflow.tasks import record, release

STOPPED = "vms.video.ffmpeg.Stopped"  # by name: reading this file needs nothing of FFmpeg
SITES_AT_ONCE = 2
BATCH_TITLE = "{{ task.op_kwargs['batch']['title'] }}"
SITE = "{{ params.order.site }}"

with DAG(
    dag_id=DAG_ID,
    dag_display_name="Backfill",
    description="Go through a past period again: `vms backfill`",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=SITES_AT_ONCE,
    is_paused_upon_creation=False,
    dagrun_timeout=timedelta(hours=24),
    default_args={
        "owner": "vms",
        "retries": 2,
        "retry_delay": timedelta(seconds=15),
        "retry_policy": ExceptionRetryPolicy(
            [
                RetryRule(ConfigError, RetryAction.FAIL, reason="sites.yaml has to be corrected first"),
                RetryRule(CatalogueError, RetryAction.FAIL, reason="the backfill was cancelled"),
                RetryRule(STOPPED, RetryAction.RETRY, timedelta(seconds=5), reason="it was asked to stop and goes on"),
            ]
        ),
        "execution_timeout": timedelta(minutes=30),
        # Below the looks and uploads of the sites' own runs, above their batches: as one batch is at work at a time,
        # the others have all other places, and this one is not kept waiting for ever.
        "weight_rule": "absolute",
        "priority_weight": 2,
    },
    params={
        "order": Param({}, type="object", description="What to do (vms.backfill.Order); `vms backfill` fills it in."),
        "again": Param(False, type="boolean", description="Also what an earlier run of it could not do."),
    },
    tags={"backfill"},
):
    looking = look.override(
        doc_md=look.function.__doc__, execution_timeout=timedelta(hours=6), max_active_tis_per_dag=1
    )
    looked = looking.expand(places=choose())
    batches = plan.override(trigger_rule=TriggerRule.ALL_DONE)(sensed=sense())
    looked >> batches

    @task_group
    def batch(batch):
        made = compress.override(
            queue=ENCODE, execution_timeout=timedelta(hours=6), max_active_tis_per_dag=1, map_index_template=BATCH_TITLE
        )(batch=batch)
        sent = upload.override(
            execution_timeout=timedelta(hours=12),
            retry_delay=timedelta(minutes=1),
            max_active_tis_per_dag=1,
            map_index_template=BATCH_TITLE,
        )(batch=batch, receipts=made)
        record.override(trigger_rule=TriggerRule.ALL_DONE, map_index_template=BATCH_TITLE)(
            site=SITE, batch=batch, receipts=sent
        )

    released = release.override(trigger_rule=TriggerRule.ALL_DONE, execution_timeout=timedelta(hours=2))(site=SITE)
    batch.expand(batch=batches) >> released
    released >> verdict.override(trigger_rule=TriggerRule.ALL_DONE)()
    released >> Onward(
        task_id="onward",
        trigger_dag_id=DAG_ID,
        skip_when_already_exists=True,
        trigger_rule=TriggerRule.ALL_DONE,
        doc_md=Onward.__doc__,
    )
