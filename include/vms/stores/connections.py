"""How a store is reached and who may: one definition by `conn_id` for tasks, command line and viewer alike.

It is written as an Airflow Connection in the environment variable AIRFLOW_CONN_<ID>, as JSON or as a URI, so that
Airflow's own pages and hooks know the same one. Secrets are kept there and nowhere else: a Connection shows none of
them when it is printed, and no message of this module repeats what the variable holds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from vms.errors import StoreDenied

Scheme = Literal["s3", "gs"]

ClientMaker = Callable[[str], Any]
"""Makes the client library's client for a conn_id ("" means the machine's own rights)."""

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
    """The connection as the environment defines it. Raises StoreDenied when it is not there or can't be read."""
    if not conn_id:
        return Connection("")
    name = variable(conn_id)
    text = os.environ.get(name, "").strip()
    if not text:
        raise StoreDenied(
            f"The connection {conn_id} is not defined here.",
            f"Set {name} in the environment of `vms up` and of the command line, as JSON or as a URI.",
        )
    try:
        return _from_json(conn_id, text) if text.startswith("{") else _from_uri(conn_id, text)
    except (ValueError, TypeError, AttributeError):
        pass  # what the parsers say may quote the secret
    raise StoreDenied(
        f"The connection {conn_id} can't be read.",
        f'Write {name} as JSON ({{"conn_type": "aws", "login": ..., "password": ..., "extra": {{...}}}}) or as a URI.',
    )


def use_clients(scheme: Scheme, make: ClientMaker | None) -> None:
    """From now on let `make` build the clients of this process (None: ours again), as tasks do with Airflow's hooks."""
    if make is None:
        _makers.pop(scheme, None)
    else:
        _makers[scheme] = make


def client_maker(scheme: Scheme, ours: ClientMaker) -> ClientMaker:
    """Who builds the clients of this process: what `use_clients` set, else `ours`."""
    return _makers.get(scheme, ours)


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
