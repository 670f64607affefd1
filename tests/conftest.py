"""What every test may ask for: a real private PostgreSQL server, and a fresh migrated catalogue in it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from hypothesis import settings

from vms.home import Home, from_environment
from vms.stack import postgres as server

settings.register_profile("untimed", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Home]:
    """A home with a running server, its roles and its (empty) databases, for the whole session."""
    folder = Path(tempfile.mkdtemp(prefix="vms-test-"))
    folder.chmod(0o755)  # the account that the server drops to must get through
    home = from_environment({"VMS_HOME": str(folder / "home")})
    child = server.start(home)
    try:
        server.prepare_databases(home)
        yield home
    finally:
        server.stop(child)
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def _migrated(postgres: Home) -> Home:
    """The server with the template that each test's catalogue is copied from: migrating once is enough."""
    from vms.catalogue import migrate  # only tests with a catalogue pay for importing Alembic

    migrate.upgrade(server.role_url(postgres, "vms_owner", "catalogue"))
    # nothing here has to survive a power cut: a test's catalogue is made in a tenth of the time
    _as_admin(postgres, "ALTER DATABASE catalogue RENAME TO catalogue_template", "ALTER SYSTEM SET fsync = off")
    _as_admin(postgres, "SELECT pg_reload_conf()")
    return postgres


@pytest.fixture
def catalogue(_migrated: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Home, str]:
    """A home of its own over a fresh migrated catalogue, and the owner's URL of it."""
    for name in ("VMS_CATALOGUE_URL", "VMS_VIEWER_CATALOGUE_URL"):
        monkeypatch.delenv(name, raising=False)
    home = from_environment({"VMS_HOME": str(tmp_path / "home"), "VMS_SITES": str(tmp_path / "sites.yaml")})
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


def _as_admin(home: Home, *statements: str) -> None:
    conn = psycopg2.connect(server.admin_url(home))
    conn.autocommit = True
    with conn.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    conn.close()
