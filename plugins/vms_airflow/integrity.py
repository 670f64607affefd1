"""The tasks of the nightly checks. They run at the centre, where catalogue and stores are at hand.

What they find is committed as they go, so that a task that is killed or cleared goes on where it stopped.
"""

from __future__ import annotations

import logging
from typing import Any

from airflow.sdk import get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from vms.config import load_config
from vms.home import Home, from_environment
from vms_airflow.stop import stoppable
from vms_airflow.surroundings import catalogue, run_ref

log = logging.getLogger(__name__)

BUDGET_S = 2 * 3600.0
"""For one task and night; the rest is next night's."""


@task(show_return_value_in_logs=False)
@stoppable
def stores() -> list[str]:
    """The stores that hold something."""
    from vms.catalogue.integrity import stores_in_use

    with catalogue(from_environment()) as conn:
        return sorted(stores_in_use(conn))


@task
@stoppable
def reconcile(store: str) -> None:
    """Compare the store with the catalogue, both ways. Red when the store can't be compared."""
    from vms.catalogue.integrity import stores_in_use
    from vms.steps.reconcile import reconcile as reconcile_store
    from vms_airflow.store_clients import use_hooks

    use_hooks()
    home, run = from_environment(), run_ref(get_current_context())
    with catalogue(home) as conn:
        target = stores_in_use(conn)[store]
        found = reconcile_store(conn, target, home, run, budget_s=BUDGET_S, report=log.warning)
    log.info("%s", found)
    if found.error:
        raise AirflowFailException(f"{found.error} {found.remedy}")


@task
@stoppable
def prove(store: str) -> None:
    """Fetch, hash and decode as many copies as it takes to have proven all of them within the retention time."""
    from vms.catalogue.integrity import recordings_kept, stores_in_use
    from vms.steps.prove import prove as prove_store
    from vms.steps.prove import sample_size
    from vms_airflow.store_clients import use_hooks

    use_hooks()
    home, run = from_environment(), run_ref(get_current_context())
    with catalogue(home) as conn:
        target = stores_in_use(conn)[store]
        sample = sample_size(recordings_kept(conn), _retention(home))
        found = prove_store(conn, target, home, run, sample=sample, budget_s=BUDGET_S, report=log.warning)
    log.info("%s", found)
    if found.error:
        raise AirflowFailException(f"{found.error} {found.remedy}")
    if found.unplayable:
        raise AirflowFailException(f"{found.unplayable} archived recordings do not decode; they are named above.")


@task
@stoppable
def repair() -> None:
    """Make lost and damaged copies good. Red when footage is broken of which no store has a good copy."""
    from vms.catalogue.integrity import stores_in_use
    from vms.steps.repair import repair as repair_copies
    from vms_airflow.store_clients import use_hooks

    use_hooks()
    home, run = from_environment(), run_ref(get_current_context())
    with catalogue(home) as conn:
        targets: dict[int, Any] = {one.store_id: one for one in stores_in_use(conn).values()}
        done = repair_copies(conn, targets, home, run, budget_s=BUDGET_S, report=log.warning)
    log.info("%s", done)
    if done.without or done.failed:
        raise AirflowFailException(
            f"{done.without} broken copies have no good one in another store, {done.failed} could not be repaired now."
            " Their recordings are named above and by `vms coverage --gaps`."
        )


def _retention(home: Home) -> Any:
    """The shortest of all sites: within it, every copy is to be proven once. Raises ConfigError."""
    from vms.config_model import RETENTION

    return min((site.retention for site in load_config(home.sites_file).sites), default=RETENTION)
