"""boto3 clients for S3 and for servers that speak its protocol, from a connection of `vms.stores.connections`.

One client per connection and process: making one takes a tenth of a second, and it keeps its connections open.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config

from vms.errors import StoreDenied
from vms.stores.connections import Connection, client_maker, connection, fingerprint
from vms.stores.s3_line import keep_pace_at_loss
from vms.stores.staged import Slice

CONNECT_S = 5
READ_S = 30
ATTEMPTS = 4
"""A client bridges a short cut of the line only; a long one is the caller's business, which queues the file."""

_CONNECTIONS = 32
_NEEDS_AIRFLOW = ("role_arn", "assume_role_method", "s3_config_file")

_clients: dict[tuple[int, str, int, object], Any] = {}
_making = threading.Lock()


def client(conn_id: str) -> Any:
    """The client of this process for this connection. Raises StoreDenied when the connection is not usable here."""
    make = client_maker("s3", make_client)
    held = (os.getpid(), conn_id, fingerprint(conn_id), make)
    with _making:
        if held not in _clients:
            made = make(conn_id)
            keep_pace_at_loss(made)
            made.meta.events.register("before-send.s3", _goes_out)
            _clients[held] = made
        return _clients[held]


def link_client(conn_id: str, address: str = "") -> Any:
    """A client for signing links that browsers follow; address: of the server as browsers reach it, when it differs.

    The region's own address is named on purpose: with none named, boto3 signs for the one of all regions, which the
    newer regions (Jakarta's, too) refuse.
    """
    held = (os.getpid(), f"{conn_id} {address}", fingerprint(conn_id), link_client)
    with _making:
        if held in _clients:
            return _clients[held]
    own = endpoint(connection(conn_id)) is not None or bool(address)
    made = make_client(conn_id, address or client(conn_id).meta.endpoint_url, "path" if own else "virtual")
    with _making:
        return _clients.setdefault(held, made)


def _goes_out(request: Any, **_: object) -> None:
    """A request is signed and sent now; a body that keeps to a pace must know, as signing may read it as well."""
    if isinstance(request.body, Slice):
        request.body.goes_out()


def make_client(conn_id: str, address: str = "", style: str = "") -> Any:
    """A new client, without Airflow. Raises StoreDenied.

    address: of the server, instead of the connection's. style: how the bucket is named in addresses, path or virtual.
    """
    known = connection(conn_id)
    extra = known.extra
    for key in _NEEDS_AIRFLOW:
        if extra.get(key):
            raise StoreDenied(
                f"The connection {conn_id} uses {key}, which works in tasks only and not here.",
                "Give it an access key, or leave the connection out and let the machine's own profile assume the role.",
            )
    try:
        session = boto3.session.Session(
            aws_access_key_id=known.login or extra.get("aws_access_key_id"),
            aws_secret_access_key=known.password or extra.get("aws_secret_access_key"),
            aws_session_token=extra.get("aws_session_token"),
            region_name=extra.get("region_name"),
            profile_name=extra.get("profile_name"),
        )
        server = address or endpoint(known)
        region = session.region_name or "us-east-1"
        return session.client(
            "s3",
            region_name=region,
            endpoint_url=server,
            verify=extra.get("verify"),
            config=client_config(extra.get("config_kwargs") or {}, own_server=server is not None, style=style),
        )
    except Exception as error:  # what boto3 says of a malformed key or profile may quote it
        if isinstance(error, StoreDenied):
            raise
        name = type(error).__name__
    raise StoreDenied(
        f"The connection {conn_id or 'of the machine itself'} does not make an S3 client ({name}).",
        "Check its login (access key), password (secret key) and extra: region_name, endpoint_url, config_kwargs.",
    )


def client_config(given: Mapping[str, Any], *, own_server: bool, style: str = "") -> Config:
    """How every client of ours behaves; `given` (config_kwargs of the connection) is the operator's and wins."""
    s3 = {
        "addressing_style": style or ("path" if own_server else "auto"),
        # Every body carries a CRC32 that the server checks and that is signed; hashing it once more costs a reading.
        "payload_signing_enabled": False,
    }
    ours = {
        "connect_timeout": CONNECT_S,
        "read_timeout": READ_S,
        "tcp_keepalive": True,
        "max_pool_connections": _CONNECTIONS,
        "retries": {"mode": "standard", "total_max_attempts": ATTEMPTS},
        "signature_version": "s3v4",
    }
    return Config(**{**ours, **given, "s3": {**s3, **(given.get("s3") or {})}})


def endpoint(known: Connection) -> str | None:
    """The server of its own that the connection names, None for Amazon's. Raises StoreDenied."""
    service = (known.extra.get("service_config") or {}).get("s3") or {}
    url = service.get("endpoint_url") or known.extra.get("endpoint_url")
    if url is not None and "@" in str(url):
        raise StoreDenied(
            f"The endpoint_url of connection {known.id} holds a password.", "Give the keys as login and password."
        )
    return None if url is None else str(url)
