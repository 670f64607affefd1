"""Bringing the catalogue to this version's schema, with a backup first where footage is known to it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import datetime

from vms import users
from vms.backups import make_backup
from vms.catalogue import migrate, whole
from vms.catalogue.connection import connect
from vms.home import Home
from vms.stack.airflow_env import owner_url

Tell = Callable[[str], None]


def bring_forward(home: Home, now: datetime, tell: Tell, *, backed_up: bool = False) -> str:
    """Migrate, and make the first user. Returns the revision from before, "" for none. The server runs. Idempotent.

    backed_up: it was done already. Raises VmsError; when the backup failed, nothing was changed.
    """
    with closing(connect(owner_url(home))) as conn:
        before = whole.revision(conn)
        migrate.require_known(before)
        old = before not in ("", migrate.newest())
        in_danger = old and not backed_up and not whole.is_empty(conn)
    if in_danger:
        made = make_backup(home, owner_url(home), now)
        tell(f"The catalogue is backed up: {home.backups / made.dump_name}")
    if old:
        tell(f"The catalogue goes from {before} to {migrate.newest()}.")
    migrate.upgrade(owner_url(home))
    users.ensure_administrator(home, owner_url(home))
    return before
