"""Parts of Airflow that fork a process for each task, begun with what every task needs in memory:
`python -m vms_airflow.preload WORDS`, where WORDS are those of Airflow's own command.

What is not there by then each task reads in for itself: Airflow's runner, all plugins of all providers, the product's
steps, the store's client (docs/benchmarks.md, "The fleet", says what it costs). Started so are the scheduler where it
runs tasks itself (LocalExecutor) and the Celery workers; a branch's edge worker calls `preload` by itself.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Iterable
from importlib import import_module
from urllib.parse import urlsplit

from vms.config import load_config
from vms.errors import ConfigError
from vms.home import from_environment

log = logging.getLogger(__name__)

MODULES = (
    "airflow.dag_processing.bundles.local",
    "airflow.dag_processing.dagbag",
    "airflow.sdk.definitions.asset.metadata",
    "airflow.sdk.definitions.retry_policy",
    "airflow.sdk.execution_time.cache",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_mapping",
    "airflow.sdk.execution_time.timeout",
    "airflow.version",
    "imageio_ffmpeg.binaries",
    "jinja2.ext",
    "vms.catalogue.copying",
    "vms.catalogue.custody",
    "vms.catalogue.planning",
    "vms.steps.compress",
    "vms.steps.look_ahead",
    "vms.steps.release",
    "vms.steps.replicate",
    "vms.steps.sense",
    "vms.steps.standing",
    "vms.steps.upload",
    "vms.steps.vouch",
    "vms_airflow.sensor",
    "vms_airflow.store_clients",
    "vms_airflow.tasks",
    "vms_airflow.verdict",
)
"""What a site's tasks and reading its DAG need. None may begin threads or connections: what is forked has none of
them."""

OF_STORES = {
    "file": (),
    "gs": ("vms.stores.gcs", "airflow.providers.google.cloud.hooks.gcs"),
    "s3": ("vms.stores.s3", "airflow.providers.amazon.aws.hooks.s3", "boto3.s3.inject"),
}
"""What reaching a store of this kind (the scheme of its URL) needs. Only of the kinds in sites.yaml: Google's takes
40 MB and a second to read in."""


def preload(kinds: Iterable[str]) -> None:
    """kinds: of stores, as in OF_STORES."""
    for name in (*MODULES, *(name for kind in kinds for name in OF_STORES[kind])):
        try:
            import_module(name)
        except ImportError:  # it is for the tasks that need it to fail
            log.warning("Not read in before tasks are forked: %s", name, exc_info=True)
    from airflow.sdk.plugins_manager import integrate_macros_plugins

    integrate_macros_plugins()  # every task asks for it, and it reads in the plugins of all providers
    gc.collect()
    gc.freeze()  # else collecting in a task touches, and so copies, all that it shares


def kinds_of_stores() -> frozenset[str]:
    """Those in sites.yaml; none while it can't be read, which others say."""
    try:
        return frozenset(
            urlsplit(store.url).scheme for store in load_config(from_environment(os.environ).sites_file).stores
        )
    except ConfigError:
        log.debug("Stores are not known yet", exc_info=True)
        return frozenset()


def main(words: list[str]) -> None:
    preload(kinds_of_stores())
    sys.argv = ["airflow", *words]
    from airflow.__main__ import main as airflow

    airflow()


if __name__ == "__main__":
    main(sys.argv[1:])
