"""The tasks that back up the catalogue. They run at the centre; each can be killed, retried and cleared.

`dump` again makes another backup; `stores` again sends no byte that a store has already.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from airflow.sdk import task
from airflow.sdk.exceptions import AirflowFailException

from vms.config import BackupPolicy, load_config
from vms.errors import CatalogueError, ConfigError, VmsError
from vms.home import from_environment
from vms_airflow.stop import stoppable
from vms_airflow.surroundings import catalogue

log = logging.getLogger(__name__)


def policy() -> BackupPolicy:
    """What sites.yaml says; its defaults while the file can't be read."""
    try:
        return load_config(from_environment().sites_file).backup
    except ConfigError:
        return BackupPolicy()


@task
@stoppable
def dump() -> str:
    """Dump the catalogue into the home and read every row back. Its answer is the name of the backup."""
    from vms.backups import make_backup
    from vms.catalogue.connection import url

    home = from_environment()
    made = make_backup(home, url(home, "owner"), datetime.now(UTC))
    log.info("%s: %d bytes, %d rows", home.backups / made.dump_name, made.size_bytes, sum(made.rows.values()))
    return made.name


@task
@stoppable
def stores(name: str) -> None:
    """Put the backup into every store that holds footage. Red when one did not take it."""
    from vms.backups import local_backups, put_into_store
    from vms.catalogue.reads_sites import store_identities
    from vms_airflow.store_clients import use_hooks

    use_hooks()
    home = from_environment()
    made = next((one for one in local_backups(home) if one.name == name), None)
    if made is None:
        raise CatalogueError(f"The backup {name} is no longer in {home.backups}.", "Clear the task `dump`, too.")
    with catalogue(home) as conn:
        identities = store_identities(conn)
    wrong = []
    for store in load_config(home.sites_file).stores:
        if store.name in identities:
            try:
                put_into_store(home, made, store, identities[store.name])
                log.info("Store %s has it", store.name)
            except VmsError as error:
                wrong.append(str(error))
    if wrong:
        raise VmsError(" ".join(wrong), "It is tried again; the backup in the home is good.")


@task
@stoppable
def clear() -> None:
    """Remove backups that were kept for long enough, here and in the stores; the three newest stay."""
    from vms.backups import clear_old
    from vms.catalogue.reads_sites import store_identities
    from vms_airflow.store_clients import use_hooks

    use_hooks()
    home = from_environment()
    with catalogue(home) as conn:
        identities = store_identities(conn)
    wrong = clear_old(home, load_config(home.sites_file), identities, datetime.now(UTC))
    if wrong:
        raise AirflowFailException(" ".join(wrong))
