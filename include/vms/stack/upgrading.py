"""The steps of going to another version on one machine; `vms.cli.upgrade` says their order."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

from vms.backups import make_backup
from vms.catalogue import migrate, whole
from vms.catalogue.connection import connect
from vms.dumps import Manifest, Moved
from vms.errors import CatalogueError, StackError
from vms.home import Home
from vms.restoring import running_server
from vms.stack import airflow_tables, postgres
from vms.stack.airflow_env import owner_url
from vms.stack.migrating import Tell, bring_forward
from vms.stack.program import Program, Version
from vms.stack.state import as_seen_now, changed_since, read_state


@dataclass(frozen=True)
class Migrated:
    """before: the schema's revision, "" without a catalogue. airflow: whether its tables were brought forward."""

    before: str
    airflow: bool


def is_there_already(home: Home, program: Program, target: Version | None) -> bool:
    """Whether the system runs, and all of it is the wanted version."""
    written = read_state(home)
    stack = as_seen_now(written) if written else None
    if stack is None or stack.phase != "usable" or changed_since(stack.loaded):
        return False
    if (program.root / "requirements.txt").stat().st_mtime > stack.loaded:
        return False
    return target is None or target.commit == program.here()


def has_catalogue(home: Home) -> bool:
    """Whether the system was ever started here."""
    try:
        postgres.read_address(home)
    except StackError:
        return False
    return True


def revision_of(home: Home) -> str:
    """Of the catalogue's schema, "" when there is none. The server runs."""
    with closing(connect(owner_url(home))) as conn:
        return whole.revision(conn)


def refuse_newer_catalogue(found: str, target: Version | None) -> None:
    """Raises CatalogueError when the catalogue is newer than where the upgrade would lead."""
    if target is None:
        migrate.require_known(found)
    elif found and found not in target.revisions:
        raise CatalogueError(
            f"The catalogue is newer ({found}) than {target.label}, which does not know it.",
            "Name a newer version. To go back to where the last upgrade began: ./vms upgrade --back",
        )


def back_up(home: Home, now: datetime, moved: Moved) -> Manifest | None:
    """A backup of the catalogue, unless it knows of nothing. The server runs."""
    with closing(connect(owner_url(home))) as conn:
        if whole.is_empty(conn):
            return None
    return make_backup(home, owner_url(home), now, moved)


def migrate_all(home: Home, now: datetime, tell: Tell, *, backed_up: bool) -> Migrated:
    """Both databases to what the installed version needs. Raises VmsError; what was done by then stays."""
    if not has_catalogue(home):
        return Migrated("", airflow=False)  # the first start makes everything
    with running_server(home):
        postgres.prepare_databases(home)
        before = bring_forward(home, now, tell, backed_up=backed_up)
        old = airflow_tables.are_old(home)
        if old:
            tell("Airflow's own database is brought to its version; a minute or two.")
            airflow_tables.migrate(home)
    return Migrated(before, old)
