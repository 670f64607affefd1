"""One part of the product in a container: `python -m vms.stack.container PART`, where the image begins.

A part waits until `init` has brought both databases to its own version, then becomes its program. `init` ends when it
is done; run again it finds everything done. Whether a part does its work: vms.stack.health.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlsplit

from vms import backups, demo, logs
from vms.branches import authority
from vms.catalogue import migrate, whole
from vms.catalogue.connection import connect, url
from vms.errors import CatalogueError, EncodeFailed, StackError, VmsError
from vms.home import PROJECT_ROOT, Home, Parts, from_environment
from vms.stack import airflow_tables, container_worker, demo_s3, postgres, signing
from vms.stack.airflow_env import airflow_environment, base_environment, owner_url, viewer_environment
from vms.stack.fleet_settings import note_start
from vms.stack.migrating import bring_forward

log = logging.getLogger(__name__)

AIRFLOW = {
    "api-server": ("api-server", "--proxy-headers"),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
ASK_S = 1.0
PATIENCE_S = 300.0


def init(home: Home) -> None:
    """Databases, roles, tables, first users; the demonstration's sites and footage. Raises VmsError."""
    home.prepare()
    if taken := backups.take_over(home):
        log.info("%d backups of the catalogue lie in %s now, where the viewer can't read them.", taken, home.backups)
    backups.note_last(home, datetime.now(UTC))
    postgres.wait_ready(home, timeout_s=PATIENCE_S)
    postgres.prepare_databases(home)
    log.info("Databases and roles are there.")
    bring_forward(home, datetime.now(UTC), log.info)
    log.info("The catalogue is at %s.", migrate.newest())
    if airflow_tables.are_old(home):
        log.info("Airflow's tables are brought to this version; a minute or two.")
        airflow_tables.migrate(home)
    if home.parts:
        airflow_tables.keep_accounts(home)
        log.info("Airflow's accounts are as they should be.")
        _prepare_branches(home, home.parts)
    if home.parts and home.parts.s3:
        demo_s3.use_server(home, home.parts.s3)
    if home.demo:
        try:
            demo.prepare(home, report=log.info)
        except EncodeFailed as error:
            log.warning("There is no first footage yet: %s The part demo-recorder makes it later.", error.message)
    log.info("All is prepared.")


def _prepare_branches(home: Home, parts: Parts) -> None:
    """What the proxy needs for branches, made before the first one is invited: it does not begin without it."""
    now = datetime.now(UTC)
    own = authority.authority(home, now, make=True)
    names = (urlsplit(parts.branch_address).hostname or "localhost",)
    if authority.prepare_port(home, own, names, now):
        log.info("Branches reach this centre as %s; `docker compose restart tls` if it runs.", parts.branch_address)


def run_airflow(home: Home, part: str) -> None:
    """Become this part of Airflow."""
    wait_prepared(home, "owner")
    while airflow_tables.are_old(home):
        time.sleep(ASK_S)
    environment = part_environment(home, part)
    note_start(home, part, environment)
    _become(("airflow", *AIRFLOW[part]), environment)


def part_environment(home: Home, part: str) -> dict[str, str]:
    """Of a part of Airflow; those that sign are told where the key is."""
    environment = airflow_environment(home)
    if part in signing.SIGNERS:
        environment["AIRFLOW__API_AUTH__JWT_PRIVATE_KEY_PATH"] = str(signing.key_file(home))
    return environment


def run_viewer(home: Home) -> None:
    wait_prepared(home, "viewer")
    _become(("viewer.serve",), viewer_environment(home))


def run_exports(home: Home) -> None:
    wait_prepared(home, "owner")
    _become(("vms.exports.worker",), viewer_environment(home) | {"VMS_CATALOGUE_URL": owner_url(home)})


def run_recorder(home: Home) -> None:
    wait_prepared(home, "viewer")
    _become(("vms.demo.recorder",), base_environment(home))


def run_worker(home: Home) -> None:
    """Work until told to stop; ends with an error when one of its two halves did."""
    wait_prepared(home, "owner")
    while airflow_tables.are_old(home):
        time.sleep(ASK_S)
    sys.exit(container_worker.work(home, airflow_environment(home)))


def run_branch(home: Home) -> None:
    """Work for the centre, which is elsewhere."""
    from vms.branches import agent  # of no use to the other parts

    sys.exit(agent.run(home))


def wait_prepared(home: Home, role: str) -> None:
    """Until the catalogue is at this program's version. Raises CatalogueError when it is newer."""
    said = ""
    while True:
        try:
            with closing(connect(url(home, "owner" if role == "owner" else "viewer"))) as conn:
                found = whole.revision(conn)
        except CatalogueError as error:
            found, why = "", str(error)
        else:
            if found == migrate.newest():
                return
            migrate.require_known(found)
            why = f"the catalogue is at {found or 'no version'}, not yet at {migrate.newest()}"
        if why != said:
            log.info("Waiting for init: %s", why)
            said = why
        time.sleep(ASK_S)


def _become(module: tuple[str, ...], environment: dict[str, str]) -> None:
    os.chdir(PROJECT_ROOT)
    os.execve(sys.executable, (sys.executable, "-m", *module), environment)  # noqa: S606 - our own programs


PARTS: dict[str, Callable[[Home], None]] = {
    "init": init,
    "worker": run_worker,
    "viewer": run_viewer,
    "exports": run_exports,
    "demo-recorder": run_recorder,
    "branch": run_branch,
    **{part: partial(run_airflow, part=part) for part in AIRFLOW},
}


def main(arguments: list[str]) -> int:
    logs.set_up()
    try:
        home = from_environment()
        if len(arguments) != 1 or arguments[0] not in PARTS:
            raise StackError(f"There is no part {' '.join(arguments) or '(none)'}.", f"One of: {', '.join(PARTS)}")
        PARTS[arguments[0]](home)
    except VmsError as error:
        log.error("%s", error)  # noqa: TRY400  # the message says it all
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
