"""The administrator's password of our own server, which is whatever the secrets hold.

They may be lost, or changed on purpose; any command then makes up new ones. A hash beside the data tells which password
the server knows. Another one it is given before it starts, without a question: whoever owns the data may do so anyway.
"""

from __future__ import annotations

import hashlib
import logging
import time
from pathlib import Path

from vms.errors import StackError
from vms.home import Home
from vms.stack.postgres_place import Place, run_program

log = logging.getLogger(__name__)

ADMIN = "vms_admin"
SECRET = "postgres_admin"  # noqa: S105 - the name of a secret, not the secret
RETRY_S = 20.0
_QUIET = ("-c", "exit_on_error=on", "-c", "log_min_error_statement=panic")  # what fails is not quoted in the log


def is_known(home: Home, place: Place) -> bool:
    """Whether the server was last given this very password."""
    try:
        return _mark(place).read_text() == _digest(home)
    except OSError:
        return False


def tell(home: Home, place: Place, program: Path) -> None:
    """Give it to the server, which does not run. program: the server's own. Raises StackError."""
    password = home.secret(SECRET).replace("'", "''")
    give_up = time.monotonic() + RETRY_S
    while True:
        argv = (str(program), "--single", "-D", str(place.data), *_QUIET, "postgres")
        done = run_program(place, argv, f"ALTER ROLE {ADMIN} PASSWORD '{password}'\n")
        if done.returncode == 0:
            break
        locked = any(one in done.stderr for one in ("postmaster.pid", "still in use"))
        if not locked or time.monotonic() > give_up:
            said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise StackError(
                f"The database in {place.data} can't be given its administrator's password: {said[0]}",
                "Check free disk space and the rights of that folder, and that no server runs on it.",
            )
        time.sleep(0.3)  # it was killed a moment ago
    note(home, place)
    log.info("The database was given the administrator's password that the secrets hold.")


def note(home: Home, place: Place) -> None:
    """Note that the server has this password."""
    mark = _mark(place)
    mark.touch(mode=0o600)
    mark.write_text(_digest(home))


def _mark(place: Place) -> Path:
    return place.folder / "password.sha256"


def _digest(home: Home) -> str:
    return hashlib.sha256(home.secret(SECRET).encode()).hexdigest()
