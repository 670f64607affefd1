"""Put a backup in the place of the catalogue: all of it or nothing, and never over something that is not backed up.

The former catalogue stays in the same database until every row of the other one has been counted; a restore that is
killed leaves one of the two, and giving the command again ends it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from vms.backups import make_backup, stays
from vms.catalogue import migrate, whole
from vms.catalogue.connection import Connection, connect, url
from vms.catalogue.users import end_all_sessions
from vms.config import load_config
from vms.dumps import Manifest, Moved, count_dump, dump_revision, hashed, read_manifest, steps
from vms.errors import CatalogueError, StackError, VmsError
from vms.home import Home
from vms.ledger import FILE, Ledger
from vms.stack import postgres
from vms.stack.alone import require_alone
from vms.stack.postgres_tools import Tools, find_tools, run_tool
from vms.stack.state import as_seen_now, read_state

LEAVING_S = 3.0


@dataclass(frozen=True)
class Restored:
    """What a restore did. before: the backup of what was replaced, None when nothing was there. migrated: from the
    schema's revision of the dump ("" when it was the newest already). rows: in the catalogue now."""

    file: Path
    before: Manifest | None
    migrated: str
    rows: int


@contextmanager
def running_server(home: Home) -> Iterator[None]:
    """The database server: as it runs, or started for as long as this lasts. Raises StackError."""
    if home.postgres_url or postgres_answers(home) or _server_runs(home):
        yield
        return
    require_alone(home)
    child = postgres.start(home)
    try:
        yield
    finally:
        postgres.stop(child)


def postgres_answers(home: Home) -> bool:
    """Whether the catalogue's server runs."""
    try:
        connect(url(home, "owner")).close()
    except VmsError:
        return False
    return True


def _server_runs(home: Home) -> bool:
    """Whether our own server runs, though there may be no catalogue in it."""
    try:
        return postgres.is_ready(home)
    except StackError:
        return False  # it was never started


def make_database(home: Home) -> None:
    """The database with its roles, where there is none yet. Raises StackError."""
    if not postgres_answers(home):
        postgres.prepare_databases(home)


def refuse_while_running(home: Home) -> None:
    """Raises StackError while the system of this home runs: its tasks would go on in the wrong catalogue."""
    written = read_state(home)
    stack = as_seen_now(written) if written else None
    if stack is not None and any(one.pid for one in stack.services):
        raise StackError(
            "The system runs: Airflow, the viewer and the tasks use the catalogue that is to be replaced.",
            "Stop it with ./vms down, give this command again, then ./vms up.",
        )


def restore(home: Home, file: Path, now: datetime, moved: Moved, *, replace: bool) -> Restored:
    """Replace the catalogue by this dump and bring it to the newest schema. The server runs, nobody else uses it.

    replace: also when it holds something, which is backed up first. Raises CatalogueError or StackError; then the
    catalogue is what it was.
    """
    make_database(home)
    address = url(home, "owner")
    with closing(connect(address)) as conn:
        whole.check_rights(conn)
        _require_left(conn)
        tools = find_tools(whole.server_major(conn))
        moved("looking at the dump", 0.0)
        revision = _checked(tools, file)
        empty = whole.is_empty(conn)
    if not empty and not replace:
        raise CatalogueError(
            "The catalogue is not empty.", "Give --replace to put the backup in its place; it is backed up first."
        )
    expected = count_dump(tools, file, lambda table: moved(f"reading the dump: {table}", 0.0))
    before = None if empty else make_backup(home, address, now, moved, replaced=True)
    with closing(connect(address)) as conn:
        whole.set_aside(conn)
        kept = False
        try:
            options = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", "--verbose")
            name = f"--dbname={conn.info.dbname}"
            listener = steps(len(expected), "restoring", moved)
            run_tool(tools, "pg_restore", [*options, "--schema=public", name, str(file)], address, listener)
            kept = whole.count_rows(conn) == expected
            if not kept:
                raise CatalogueError("Not every row of the dump arrived.", "The former catalogue stays; try again.")
        finally:
            whole.settle(conn, kept=kept)
            if before is not None and not kept:
                stays(home, before)
    moved("bringing it to the newest schema", 1.0)
    migrate.upgrade(address)
    with closing(connect(address)) as conn:
        end_all_sessions(conn)  # those of the dump may have been ended since for good reason
    _look_again(home)
    return Restored(file, before, "" if revision == migrate.newest() else revision, sum(expected.values()))


def _require_left(conn: Connection) -> None:
    """Raises StackError while others use the catalogue; who has just hung up is still listed for a moment."""
    give_up = time.monotonic() + LEAVING_S
    while others := whole.others_connected(conn):
        if time.monotonic() > give_up:
            raise StackError(
                f"Others use the catalogue: {', '.join(others)}.",
                "Stop every part of the system that is connected to it (also on other machines), then try again.",
            )
        time.sleep(0.1)


def _look_again(home: Home) -> None:
    """Have what lies on site reported once more by the next runs. A branch's own ledger does that after a week."""
    folders = {path.parent for path in home.staging.glob(f"*/{FILE}")}
    with contextlib.suppress(VmsError):  # there may be no sites.yaml yet
        folders |= {site.staging for site in load_config(home.sites_file).sites if site.staging}
    for folder in folders:
        with contextlib.suppress(OSError, sqlite3.Error):
            if (folder / FILE).exists():
                Ledger(folder).unsettle()


def _checked(tools: Tools, file: Path) -> str:
    """The dump's revision. Raises CatalogueError when it is not to be restored."""
    if not file.is_file():
        raise CatalogueError(f"There is no file {file}.", "`vms backup list` shows the backups.")
    manifest = file.with_suffix(".json")
    if manifest.exists() and read_manifest(manifest.read_bytes()).sha256 != hashed(file)[0]:
        raise CatalogueError(
            f"{file} has other bytes than when it was made.", "Take another backup, or a store's copy."
        )
    revision = dump_revision(tools, file)
    if not revision:
        raise CatalogueError(f"{file} is a dump, but not of a catalogue.", "`vms backup list` shows the backups.")
    if revision not in migrate.revisions():
        raise CatalogueError(
            f"{file} was made by a newer version of the program (its schema is {revision}, ours {migrate.newest()}).",
            "Update the program (git pull), then restore.",
        )
    return revision
