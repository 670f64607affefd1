"""The database server of a home: made, started, stopped and given its roles and databases.

A server named by VMS_POSTGRES_URL is used as it is. Otherwise our own runs as a child process on the loopback
interface, with passwords only, tuned to leave memory to encoding. Databases: `airflow` (role airflow) and `catalogue`
(owner vms_owner; the role vms_viewer may connect, what it may read is granted by the migrations).
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote, urlsplit

import psutil
import psycopg2
from psycopg2 import sql

from vms.errors import StackError
from vms.home import Home
from vms.stack import postgres_password
from vms.stack.addresses import HOST
from vms.stack.postgres_place import Account, Place, environment, find_place, find_programs, run_program

log = logging.getLogger(__name__)

ADMIN = postgres_password.ADMIN
ROLES = {"airflow": "airflow_db", "vms_owner": "catalogue_owner", "vms_viewer": "catalogue_viewer"}
_OF_SESSIONS = {"tcp_keepalives_idle": "60", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "6"}
"""A worker whose machine or line has gone says no goodbye: its locks are given up after two minutes, not two hours."""
_OF_ROLES = {"airflow": {"idle_in_transaction_session_timeout": "10min"}}
"""Airflow locks the runs that it looks at, for seconds. Who keeps them for minutes has lost its mind or its process,
and the others pass over what is locked. The catalogue's tasks may wait for a store between two words."""
DATABASES = {"airflow": "airflow", "catalogue": "vms_owner"}
STOP_S = 10.0
READY_S = 60.0
RETRY_S = 20.0
LONGEST_SOCKET_FOLDER = 80

MIB = 1 << 20
_MEMORY_MIB = psutil.virtual_memory().total // MIB

SETTINGS = {
    # A sixteenth, not the usual quarter: encoding needs the rest. With less, a year's catalogue is read anew, page by
    # page, at each question.
    "shared_buffers": f"{min(max(64, _MEMORY_MIB // 16), 1024)}MB",
    "max_connections": "60",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "effective_cache_size": f"{_MEMORY_MIB // 4}MB",
    "max_wal_size": "512MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "logging_collector": "off",
    "log_destination": "stderr",
}


@dataclass(frozen=True)
class Server:
    """How to start our own server: pass argv, cwd, environment and account to `spawn`."""

    argv: tuple[str, ...]
    folder: Path
    environment: dict[str, str]
    account: Account | None
    port: int


def prepare_server(home: Home) -> Server:
    """Make the data folder if it is new, choose the port (kept between starts while it is free), write postgres.json.

    Raises StackError when no server program fits, initdb fails, or the catalogue is in a server of your own.
    """
    home.prepare()
    _refuse_a_second(home)
    place = find_place(home)
    programs = find_programs(place)
    if place.data_major is None:
        _initdb(home, place, programs.folder / "initdb")
    elif not postgres_password.is_known(home, place):
        postgres_password.tell(home, place, programs.folder / "postgres")
    port = _kept_port(home)
    here = {"listen_addresses": HOST, "port": str(port), "unix_socket_directories": _socket_folder(place)}
    options = [word for name, value in (SETTINGS | here).items() for word in ("-c", f"{name}={value}")]
    write_address(home, HOST, port, ours=True)
    return Server(
        argv=(str(programs.folder / "postgres"), "-D", str(place.data), *options),
        folder=place.folder,
        environment=environment(place),
        account=place.account,
        port=port,
    )


def spawn(server: Server, output: IO[bytes], marks: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start the server as a direct child in a session of its own. marks: more environment, to find it again by."""
    account = server.account
    return subprocess.Popen(
        server.argv,
        cwd=server.folder,
        env=server.environment | dict(marks or {}),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


def start(home: Home, marks: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Prepare, start and wait until it answers; a server killed a moment ago may take some tries. For use by itself:
    the whole stack is started by the supervisor. Raises StackError when it does not come up."""
    server = prepare_server(home)
    log_file = home.logs / "postgres.log"
    give_up = time.monotonic() + RETRY_S
    while True:
        with log_file.open("ab") as output:
            child = spawn(server, output, marks)
        try:
            wait_ready(home, child)
        except StackError:
            stop(child)
            if time.monotonic() > give_up:
                raise
            time.sleep(0.3)
        else:
            return child


def stop(child: subprocess.Popen[bytes]) -> None:
    """End the server and its sessions at once, data intact (a fast shutdown); kill it if it does not obey."""
    if child.poll() is None:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGQUIT)  # immediate shutdown: its children go too, the next start recovers
            try:
                child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def is_ready(home: Home) -> bool:
    """Whether the server answers and lets its administrator in."""
    try:
        psycopg2.connect(admin_url(home), connect_timeout=3).close()
    except psycopg2.OperationalError:
        return False
    return True


def wait_ready(home: Home, child: subprocess.Popen[bytes] | None = None, timeout_s: float = READY_S) -> None:
    """Wait until the server answers. Raises StackError when the child ends, or at the time-out."""
    give_up = time.monotonic() + timeout_s
    while True:
        try:
            psycopg2.connect(admin_url(home), connect_timeout=3).close()
        except psycopg2.OperationalError as error:
            said = str(error).strip().splitlines()[0]
        else:
            return
        if child is not None and child.poll() is not None:
            raise StackError(
                f"PostgreSQL ended at its start with exit code {child.returncode}: {_last_words(home)}",
                f"The whole log is in {home.logs / 'postgres.log'}.",
            )
        if time.monotonic() > give_up:
            raise StackError(
                f"PostgreSQL does not answer after {timeout_s:.0f} s: {said}",
                f"Look into {home.logs / 'postgres.log'}; check VMS_POSTGRES_URL if you set it.",
            )
        time.sleep(0.05)


def prepare_databases(home: Home) -> None:
    """Make roles and databases that are missing and set the roles' passwords. Raises StackError when refused."""
    if home.postgres_url:
        _note_server(home)
    try:
        conn = psycopg2.connect(admin_url(home), connect_timeout=10)
        try:
            conn.autocommit = True
            with conn.cursor() as cursor:
                for role, secret in ROLES.items():
                    _prepare_role(cursor, role, home.secret(secret))
                    for name, value in (_OF_SESSIONS | _OF_ROLES.get(role, {})).items():
                        setting = sql.SQL("ALTER ROLE {} SET {} = {}")
                        words = (sql.Identifier(role), sql.Identifier(name), sql.Literal(value))
                        cursor.execute(setting.format(*words))
                for database, owner in DATABASES.items():
                    _prepare_database(cursor, database, owner)
        finally:
            conn.close()
    except psycopg2.Error as error:
        raise StackError(
            f"The databases can't be prepared: {str(error).strip()}",
            "The administrator's URL in VMS_POSTGRES_URL must be allowed to create roles and databases."
            if home.postgres_url
            else f"Look into {home.logs / 'postgres.log'}.",
        ) from error


def _note_server(home: Home) -> None:
    """Remember the server of VMS_POSTGRES_URL for this home's other processes, or see that they are told the same."""
    parts = urlsplit(home.postgres_url)
    host, port = parts.hostname or HOST, parts.port or 5432
    told = home.parts.postgres if home.parts else None
    if told is None:
        write_address(home, host, port)
    elif (told[0].strip("[]").lower(), told[1]) != (host, port):
        raise StackError(
            f"VMS_POSTGRES_URL names the server {host}:{port}, the other parts are told {told[0]}:{told[1]}.",
            f"Write VMS_PARTS_POSTGRES={host}:{port} into .env.",
        )


def admin_url(home: Home) -> str:
    """The administrator's URL: VMS_POSTGRES_URL, else our own server's. Raises StackError before the first start."""
    if home.postgres_url:
        return home.postgres_url
    host, port = read_address(home)
    return f"postgresql://{ADMIN}:{quote(home.secret('postgres_admin'), safe='')}@{host}:{port}/postgres"


def role_url(home: Home, role: str, database: str) -> str:
    """The URL by which one of our roles reaches one of our databases."""
    host, port = read_address(home)
    return f"postgresql://{role}:{quote(home.secret(ROLES[role]), safe='')}@{host}:{port}/{database}"


def read_address(home: Home) -> tuple[str, int]:
    """Host and port of the home's server. Raises StackError when it was never started."""
    if home.parts and home.parts.postgres:
        return home.parts.postgres
    try:
        said = json.loads(_address_file(home).read_text())
        return str(said["host"]), int(said["port"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StackError(f"No database is known in {home.root}.", "Start the system first: ./vms up") from error


def write_address(home: Home, host: str, port: int, *, ours: bool = False) -> None:
    """Note where the home's server is. ours: it is the one that we run, whose port is kept between starts."""
    home.prepare()
    fresh = home.run / f"postgres.json.{os.getpid()}.new"
    fresh.write_text(json.dumps({"host": host, "port": port, "ours": ours}))
    fresh.replace(_address_file(home))


def free_port() -> int:
    """A TCP port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _address_file(home: Home) -> Path:
    return home.run / "postgres.json"


def _kept_port(home: Home) -> int:
    try:
        said = json.loads(_address_file(home).read_text())
        port = int(said["port"]) if said["ours"] else 0
    except (OSError, ValueError, KeyError, TypeError):
        port = 0
    return port if port and is_free(port) else free_port()


def _initdb(home: Home, place: Place, program: Path) -> None:
    """Make the data folder in one step: an interrupted initdb leaves nothing that looks finished."""
    fresh = place.folder / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    password = place.folder / "password"
    password.touch(mode=0o600)
    password.write_text(home.secret("postgres_admin"))
    account = place.account
    if account:
        os.chown(password, account.uid, account.gid)
    options = ("-U", ADMIN, "-A", "scram-sha-256", "--pwfile", str(password), "-E", "UTF8", "--no-locale")
    try:
        made = run_program(place, (str(program), "-D", str(fresh), *options))
    finally:
        password.unlink()
    if made.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        said = made.stderr.strip().splitlines() or [f"exit code {made.returncode}"]
        raise StackError(
            f"The database could not be made in {place.data}: {said[-1]}",
            "Give this user an entry in /etc/passwd, or set VMS_POSTGRES_URL."
            if "look up effective user" in made.stderr
            else "Check free disk space and the rights of that folder.",
        )
    postgres_password.note(home, place)
    fresh.rename(place.data)


def _refuse_a_second(home: Home) -> None:
    """Raises StackError where the catalogue was in a server of VMS_POSTGRES_URL: whoever forgot that setting would get
    an empty one here, and all footage be archived anew."""
    try:
        said = json.loads(_address_file(home).read_text())
        host, port, ours = said["host"], said["port"], said["ours"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if not ours and not home.postgres_url:
        raise StackError(
            f"The catalogue is in the server {host}:{port}, and VMS_POSTGRES_URL is not set here.",
            "Set it as it was at the last start, in the service's environment, too. To have a server of this machine's"
            f" own instead, which begins empty: delete {_address_file(home)}.",
        )


def _socket_folder(place: Place) -> str:
    """A Unix socket beside the data for psql, unless its path is longer than a socket's may be."""
    return str(place.folder) if len(os.fsencode(place.folder)) <= LONGEST_SOCKET_FOLDER else ""


def _prepare_role(cursor: psycopg2.extensions.cursor, role: str, password: str) -> None:
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
    verb = "ALTER" if cursor.fetchone() else "CREATE"
    cursor.execute(
        sql.SQL("{verb} ROLE {role} LOGIN PASSWORD {password}").format(
            verb=sql.SQL(verb), role=sql.Identifier(role), password=sql.Literal(password)
        )
    )


def _prepare_database(cursor: psycopg2.extensions.cursor, database: str, owner: str) -> None:
    cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,))
    if cursor.fetchone() is None:
        # An administrator who is no superuser may only give a database to a role that he is a member of.
        cursor.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(owner)))
        cursor.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0").format(
                sql.Identifier(database), sql.Identifier(owner)
            )
        )
    cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database)))
    if database == "catalogue":
        cursor.execute("GRANT CONNECT ON DATABASE catalogue TO vms_viewer")


def _last_words(home: Home) -> str:
    try:
        with (home.logs / "postgres.log").open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 4000))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return "no log was written"
    worth = [line for line in lines if "FATAL" in line or "PANIC" in line or "could not" in line]
    return (worth or lines or ["no log was written"])[-1]
