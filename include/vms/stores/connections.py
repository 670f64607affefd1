"""How a store is reached and who may: one definition by `conn_id` for tasks, command line and viewer alike.

It is an Airflow Connection, written in the environment variable AIRFLOW_CONN_<ID> (JSON or URI), which wins, or in
secrets/connections.json of the state folder. Airflow's own pages and hooks know the same one: the file reaches them
through vms_airflow.connections_file. Secrets are kept there and nowhere else: a Connection shows none of them when it
is printed, and no message of this module repeats what variable or file hold.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from vms.errors import StoreDenied
from vms.home import Home, from_environment

Scheme = Literal["s3", "gs"]

ClientMaker = Callable[[str], Any]
"""Makes the client library's client for a conn_id ("" means the machine's own rights)."""

_SHAPE = '{"conn_type": "aws", "login": ..., "password": ..., "extra": {...}}'

_OTHERS = stat.S_IRWXG | stat.S_IRWXO

_makers: dict[Scheme, ClientMaker] = {}


@dataclass(frozen=True)
class Connection:
    """What it takes to reach a store. id "": no connection, the machine's own rights (instance role, profile) count."""

    id: str
    kind: str = ""
    host: str = ""
    port: int | None = None
    schema: str = ""
    login: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


def variable(conn_id: str) -> str:
    """The name of the environment variable that holds this connection."""
    return f"AIRFLOW_CONN_{conn_id.upper()}"


def connection(conn_id: str) -> Connection:
    """The connection as environment or file define it. Raises StoreDenied when it is not there or can't be read."""
    if not conn_id:
        return Connection("")
    text = definition(conn_id)
    if not text:
        raise StoreDenied(f"The connection {conn_id} is not defined here.", how_to_define(conn_id))
    try:
        return _from_json(conn_id, text) if text.startswith("{") else _from_uri(conn_id, text)
    except (ValueError, TypeError, AttributeError):
        pass  # what the parsers say may quote the secret
    raise StoreDenied(
        f"The connection {conn_id} can't be read.",
        f"Write it as JSON ({_SHAPE}) or as a URI. {how_to_define(conn_id)}",
    )


def how_to_define(conn_id: str) -> str:
    """Both ways to define this connection, as the remedy of an error."""
    return (
        f"Define {conn_id} in {_file()}, or set {variable(conn_id)} in the environment of `vms up` and of the command"
        " line."
    )


def definition(conn_id: str) -> str:
    """What defines this connection, JSON or URI; "" when nothing does. Raises StoreDenied as `in_file` does."""
    return os.environ.get(variable(conn_id), "").strip() or in_file(conn_id)


def in_file(conn_id: str) -> str:
    """What connections.json says of this connection, JSON or URI; "" without file or entry.

    Raises StoreDenied when the file can't be read, is open to other users, or is no JSON object.
    """
    file = _file()
    entry = _entries(file).get(conn_id, "")
    if isinstance(entry, dict):
        return json.dumps(entry)
    if isinstance(entry, str):
        return entry.strip()
    raise StoreDenied(f"The connection {conn_id} in {file} is neither an object nor a URI.", f"Write it as {_SHAPE}.")


def fingerprint(conn_id: str) -> int:
    """Another number as soon as the definition of this connection may be another one. Never raises."""
    if not conn_id:
        return 0
    text = os.environ.get(variable(conn_id), "")
    if text.strip():
        return hash(text)
    try:
        return hash(_file().read_bytes())
    except OSError:
        return 0


def keep_in_file(home: Home, conn_id: str, fields: Mapping[str, Any]) -> None:
    """Write this connection into the home's connections.json; the others stay. Raises StoreDenied as `in_file` does."""
    file = home.connections
    entries = _entries(file)
    if entries.get(conn_id) == fields:
        return
    fresh = file.with_suffix(f".{os.getpid()}.new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps({**entries, conn_id: fields}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    fresh.replace(file)


def use_clients(scheme: Scheme, make: ClientMaker | None) -> None:
    """From now on let `make` build the clients of this process (None: ours again), as tasks do with Airflow's hooks."""
    if make is None:
        _makers.pop(scheme, None)
    else:
        _makers[scheme] = make


def client_maker(scheme: Scheme, ours: ClientMaker) -> ClientMaker:
    """Who builds the clients of this process: what `use_clients` set, else `ours`."""
    return _makers.get(scheme, ours)


def _file() -> Path:
    return from_environment().connections


def _entries(file: Path) -> dict[str, Any]:
    """All that the file holds; nothing without it.

    One that others can read is refused, as ssh does with a key: a warning would be seen by nobody, and copies of the
    file, as in a backup, carry its mode out of the closed folder that it lies in.
    """
    unreadable = None
    try:
        with file.open(encoding="utf-8") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            text = opened.read() if not mode & _OTHERS else None
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        unreadable = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
    if unreadable:
        raise StoreDenied(
            f"The connections in {file} can't be read: {unreadable}.",
            "Give the file to the user that runs the program, or write it anew as UTF-8 text.",
        )
    if text is None:
        raise StoreDenied(
            f"The connections in {file} are open to other users (mode {mode:04o}) and are not used.",
            f"chmod 600 {file}",
        )
    fault = "holds no object of connections by name"
    try:
        entries = json.loads(text) if text.strip() else {}
        if isinstance(entries, dict):
            return entries
    except json.JSONDecodeError as error:
        fault = f"is no JSON at line {error.lineno}, column {error.colno}"
    except RecursionError:
        fault = "is nested too deep"
    # outside of the handler: the parser's error holds the whole text
    raise StoreDenied(f"{file} {fault}.", f'Correct it there: {{"company_s3": {_SHAPE}}}')


def _from_json(conn_id: str, text: str) -> Connection:
    data = json.loads(text)
    extra = data.get("extra") or {}
    if isinstance(extra, str):
        extra = json.loads(extra)
    if not isinstance(extra, dict):
        raise TypeError
    port = data.get("port")
    return Connection(
        id=conn_id,
        kind=str(data.get("conn_type") or ""),
        host=str(data.get("host") or ""),
        port=None if port in (None, "") else int(port),
        schema=str(data.get("schema") or ""),
        login=str(data.get("login") or ""),
        password=str(data.get("password") or ""),
        extra=extra,
    )


def _from_uri(conn_id: str, text: str) -> Connection:
    kind, _, rest = text.partition("://")
    protocol = ""
    if "://" in rest.partition("?")[0]:  # Airflow's way to write a host with a protocol of its own
        protocol, _, rest = rest.partition("://")
    parts = urlsplit(f"//{rest}")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    extra = json.loads(query["__extra__"]) if "__extra__" in query else query
    if not isinstance(extra, dict):
        raise TypeError
    host = unquote(parts.hostname or "")
    return Connection(
        id=conn_id,
        kind=kind.replace("-", "_"),
        host=f"{protocol}://{host}" if protocol else host,
        port=parts.port,
        schema=unquote(parts.path.removeprefix("/")),
        login=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        extra=extra,
    )
