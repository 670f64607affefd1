"""What every test may ask for: a real private PostgreSQL server, a fresh migrated catalogue in it, a real S3 server."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2
import pytest
from hypothesis import settings

from vms.home import Home, from_environment
from vms.stack import postgres as server

if TYPE_CHECKING:
    import weed

NewCatalogue = Callable[[Path], tuple[Home, str]]

settings.register_profile("untimed", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many seeds the fault suite takes, or which one: see docs/operations.md."""
    group = parser.getgroup("faults")
    group.addoption("--fault-seeds", type=int, default=10, metavar="N", help="kill with the seeds 0 to N-1 (10)")
    group.addoption("--fault-seed", type=int, metavar="N", help="kill with this one seed, as a failure named it")


@pytest.fixture(scope="session")
def _server() -> Iterator[tuple[Home, list[subprocess.Popen[bytes]]]]:
    folder = Path(tempfile.mkdtemp(prefix="vms-test-"))
    folder.chmod(0o755)  # the account that the server drops to must get through
    home = from_environment({"VMS_HOME": str(folder / "home")})
    running = [server.start(home)]
    try:
        server.prepare_databases(home)
        yield home, running
    finally:
        server.stop(running[0])
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres(_server: tuple[Home, list[subprocess.Popen[bytes]]]) -> Home:
    """A home with a running server, its roles and its (empty) databases, for the whole session."""
    return _server[0]


@pytest.fixture(scope="session")
def crash_postgres(_server: tuple[Home, list[subprocess.Popen[bytes]]]) -> Callable[[], None]:
    """Ends the server at once, without a word to those who are connected, and starts it again at the same address."""

    def restart() -> None:
        home, running = _server
        running[0].send_signal(signal.SIGQUIT)
        running[0].wait(30)
        running[0] = server.start(home)

    return restart


@pytest.fixture(scope="session")
def _migrated(postgres: Home) -> Home:
    """The server with the template that each test's catalogue is copied from: migrating once is enough."""
    from vms.catalogue import migrate  # only tests with a catalogue pay for importing Alembic

    migrate.upgrade(server.role_url(postgres, "vms_owner", "catalogue"))
    # nothing here has to survive a power cut: a test's catalogue is made in a tenth of the time
    _as_admin(postgres, "ALTER DATABASE catalogue RENAME TO catalogue_template", "ALTER SYSTEM SET fsync = off")
    _as_admin(postgres, "SELECT pg_reload_conf()")
    return postgres


@pytest.fixture(scope="session")
def new_catalogue(_migrated: Home) -> NewCatalogue:
    """Makes a home in a folder, over a fresh migrated catalogue; the one before it is dropped, whoever uses it."""

    def make(folder: Path) -> tuple[Home, str]:
        home = from_environment({"VMS_HOME": str(folder / "home"), "VMS_SITES": str(folder / "sites.yaml")})
        home.prepare()
        shutil.copytree(_migrated.secrets, home.secrets, dirs_exist_ok=True)
        shutil.copy(_migrated.run / "postgres.json", home.run)
        _as_admin(
            home,
            "DROP DATABASE IF EXISTS catalogue WITH (FORCE)",
            "CREATE DATABASE catalogue OWNER vms_owner TEMPLATE catalogue_template",
        )
        server.prepare_databases(home)
        return home, server.role_url(home, "vms_owner", "catalogue")

    return make


@pytest.fixture
def catalogue(new_catalogue: NewCatalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Home, str]:
    """A home of its own over a fresh migrated catalogue, and the owner's URL of it."""
    for name in ("VMS_CATALOGUE_URL", "VMS_VIEWER_CATALOGUE_URL"):
        monkeypatch.delenv(name, raising=False)
    return new_catalogue(tmp_path)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[weed.S3Server]:
    """A real S3 server for every test that stores in a bucket, one for the whole session."""
    import weed  # only tests with a bucket pay for importing boto3

    program = weed.binary()
    if program is None:
        pytest.fail("there is no weed (SeaweedFS) here: install requirements-dev.txt")
    with weed.run_weed(program) as server:
        yield server


def _as_admin(home: Home, *statements: str) -> None:
    conn = psycopg2.connect(server.admin_url(home))
    conn.autocommit = True
    with conn.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    conn.close()
