"""One DAG per site of sites.yaml: from the recorder's folder to a proven, findable copy.

    sense ─ plan ─┬─ batch[0]: compress ─ upload ─ record ─┬─ release ─ verdict
                  └─ batch[n]: ...                         ┘

A batch holds files of one camera; batches fail, retry and are cleared one by one. The DAG says only what runs when and
in what order: what the tasks do lies in `vms` (include/), their Airflow side in `vms_airflow` (plugins/), and what
differs from site to site is read by the tasks from sites.yaml, so that editing it makes no new version of a thousand
DAGs. The files in footage_shards/ share the sites among them, and a running task builds only its own site's DAG.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import timedelta

from airflow.sdk import (
    DAG,
    ExceptionRetryPolicy,
    RetryAction,
    RetryRule,
    TriggerRule,
    get_parsing_context,
    task,
    task_group,
)
from airflow.sdk.exceptions import AirflowFailException

from vms.config import Config, Site, SiteError, load_config
from vms.errors import ConfigError
from vms.home import from_environment
from vms.queues import CENTRE, EDGE, ENCODE, has_own_machine, not_reachable, site_queue
from vms_airflow.links import viewer_address
from vms_airflow.sensor import FootageSensor
from vms_airflow.tasks import compress, plan, record, release, upload
from vms_airflow.timetable import SiteTimetable, stagger_of
from vms_airflow.verdict import VerdictOperator

PREFIX = "footage_"
SHARDS = 8
SPREAD = 16
STOPPED = "vms.video.ffmpeg.Stopped"  # by name: reading this file needs nothing of FFmpeg

DEFAULTS = {
    "owner": "vms",
    "queue": CENTRE,
    "retries": 2,
    "retry_delay": timedelta(seconds=15),
    "retry_policy": ExceptionRetryPolicy(
        [
            RetryRule(ConfigError, RetryAction.FAIL, reason="sites.yaml has to be corrected first"),
            RetryRule(STOPPED, RetryAction.RETRY, timedelta(seconds=5), reason="it was asked to stop and goes on"),
        ]
    ),
    "execution_timeout": timedelta(minutes=30),
    # Short tasks first, so that a site with a day's backlog to compress does not hold up the looks of the others.
    "weight_rule": "absolute",
    "priority_weight": 10,
}

OVER_A_LINE = {"executor": EDGE, "retries": 5}
"""Of tasks at a branch: what comes to its end while the line is away has to be asked for again, and finds it done."""

OFFLINE_MOST = timedelta(days=14)
"""How long a run waits for a branch that is away. Then it fails, and the next one takes up what is left."""

ABOUT_SITE = """
### Footage of {name}

Looks into the site's footage folder every {every} and archives what is closed and new.

| task | what it does |
| --- | --- |
| `sense` | looks for closed files; what is still being written waits |
| `plan` | leaves out what the catalogue knows and cuts the rest into batches |
| `batch` | per batch: `compress`, `upload` (the store itself confirms size and checksum), `record` in the catalogue |
| `release` | removes source files that are archived and whose keep time is over |
| `verdict` | **red if one planned file is neither archived nor quarantined**; its log names the files |

*A red run* loses nothing: the next run takes up what is left. Once the cause is mended, clear the failed tasks to go
on at once. Clearing any task is safe: what is done already is found and not done twice.

How the site is getting on: the tab **Status**, or [the viewer]({viewer}/operations?dag=footage_{id}).
The recordings of a run: its tab **Recordings**, or [the viewer]({viewer}/). Settings: `sites.yaml`; a change counts
from the next run on.
"""

ABOUT_ERROR = """
### Correct sites.yaml

What is named here is not archived until this is corrected; everything else runs on.

```
{message}
```
"""

BATCH_TITLE = "{{ task.op_kwargs['batch']['title'] }}"


def footage_dag(site: Site, sites: int = 1) -> DAG:
    """The DAG of one site. sites: how many there are; only its schedule depends on it."""
    home = from_environment()
    if why := not_reachable(site, in_containers=home.parts is not None, at_branch=bool(home.branch)):
        return broken_site_dag(SiteError(site.id, why), PREFIX + site.id)
    near = {"queue": site_queue(site.id), **(OVER_A_LINE if site.runs_on == "edge" else {})}
    timetable = SiteTimetable(site.every, stagger_of(site.id, site.every, sites))
    with DAG(
        dag_id=PREFIX + site.id,
        dag_display_name=f"Footage: {site.name}",
        description=f"Archive the footage of {site.name}",
        doc_md=ABOUT_SITE.format(
            id=site.id, name=site.name, every=timetable.summary.removeprefix("every "), viewer=viewer_address()
        ),
        schedule=timetable if site.enabled else None,
        catchup=False,
        max_active_runs=1,
        # A disabled site has no schedule. Were it paused instead, enabling it in sites.yaml would not start it again.
        is_paused_upon_creation=False,
        dagrun_timeout=OFFLINE_MOST if site.runs_on == "edge" else timedelta(hours=24),
        default_args=DEFAULTS,
        tags=_tags(site),
    ) as dag:
        sensed = FootageSensor(
            task_id="sense",
            site=site.id,
            **near,
            execution_timeout=timedelta(minutes=10),
            doc_md=FootageSensor.__doc__,
        )
        batches = plan(site=site.id, sensed=sensed.output)

        @task_group
        def batch(batch):
            # A batch fills all cores by itself and a second its tail; more would only be in the way of others, unless
            # there are workers that each take no more than two by themselves.
            made = compress.override(
                **(near if has_own_machine(site) else {"queue": ENCODE}),
                execution_timeout=timedelta(hours=6),
                priority_weight=1,
                max_active_tis_per_dag=2 if home.parts is None or has_own_machine(site) else SPREAD,
                map_index_template=BATCH_TITLE,
            )(site=site.id, batch=batch)
            # A batch sends several files at once; more than two batches of a site would only share its uplink.
            sent = upload.override(
                **near,
                execution_timeout=timedelta(hours=12),
                priority_weight=5,
                retry_delay=timedelta(minutes=1),
                max_active_tis_per_dag=2,
                map_index_template=BATCH_TITLE,
            )(site=site.id, batch=batch, receipts=made)
            # Also after a failed upload: what a store has confirmed is committed, whatever became of the rest.
            record.override(
                trigger_rule=TriggerRule.ALL_DONE,
                execution_timeout=timedelta(hours=2),
                map_index_template=BATCH_TITLE,
            )(site=site.id, batch=batch, receipts=sent)

        (
            batch.expand(batch=batches)
            >> release.override(trigger_rule=TriggerRule.ALL_DONE, execution_timeout=timedelta(hours=2), **near)(
                site=site.id
            )
            >> VerdictOperator(task_id="verdict", trigger_rule=TriggerRule.ALL_DONE)
        )
    return dag


def _tags(site: Site) -> set[str]:
    """By what the list of DAGs can be narrowed; with a thousand sites above all by region and tier."""
    told = {"footage", site.id, site.time_zone}
    told |= {f"{what}:{value}" for what, value in (("region", site.region), ("tier", site.tier)) if value}
    return told if site.enabled else told | {"disabled"}


def broken_site_dag(error: SiteError, dag_id: str) -> DAG:
    """In place of a site's DAG when its part of sites.yaml is wrong: red, and saying what to correct."""
    with DAG(
        dag_id=dag_id,
        description="sites.yaml has to be corrected",
        doc_md=ABOUT_ERROR.format(message=error.message),
        schedule=SiteTimetable(timedelta(hours=1)),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        default_args={**DEFAULTS, "retries": 0},
        tags={"footage", "config-error"},
    ) as dag:

        @task
        def correct_sites_yaml() -> None:
            raise AirflowFailException(error.message)

        correct_sites_yaml()
    return dag


def footage_dags(shard: int) -> list[DAG]:
    """The DAGs of one shard's sites; only the asked one when Airflow reads the file to run a task of it.

    Raises ConfigError, which Airflow shows as an import error, when sites.yaml as a whole can't be read.
    """
    wanted = get_parsing_context().dag_id
    sites_file = from_environment().sites_file
    entries = dict(_entries(load_config(sites_file, wanted and wanted.removeprefix(PREFIX))))
    if wanted and wanted not in entries:
        entries = dict(_entries(load_config(sites_file)))
    return [
        footage_dag(entry, len(entries)) if isinstance(entry, Site) else broken_site_dag(entry, dag_id)
        for dag_id, entry in entries.items()
        if shard_of(dag_id) == shard and wanted in (None, dag_id)
    ]


def shard_of(dag_id: str) -> int:
    """The shard that holds this DAG, always the same."""
    return zlib.crc32(dag_id.encode()) % SHARDS


def _entries(config: Config) -> Iterator[tuple[str, Site | SiteError]]:
    """Each site and each error with its DAG id. An error beside the sites has no id of its own."""
    for site in config.sites:
        yield PREFIX + site.id, site
    for error in config.errors:
        yield PREFIX + error.id if error.id else "sites_yaml", error
