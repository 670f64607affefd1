"""What will run out: certificates of stores' own servers, and credentials whose end somebody wrote down.

No store tells when a key ends, so the end stands in the connection: "extra": {"expires": "2027-03-31"}. A certificate
tells by itself: it is asked of each server that a connection names (endpoint_url), not of Amazon or Google, who renew
theirs. Nothing but the TLS greeting is exchanged, without trusting the server, so that one that has ended is read, too.
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from urllib.parse import urlsplit

from cryptography import x509

from vms.errors import VmsError
from vms.stores.connections import Connection, connection
from vms.stores.s3_client import endpoint

log = logging.getLogger(__name__)

CONNECT_S = 5.0
_HTTPS = 443


@dataclass(frozen=True)
class Expiry:
    """what ends when (UTC); name: the server as host:port, or the connection."""

    what: Literal["certificate", "credential"]
    name: str
    until: datetime


@dataclass(frozen=True)
class Expiries:
    """All that is known to end. unread: servers that did not show their certificate, and why."""

    found: tuple[Expiry, ...]
    unread: dict[str, str]


def expiries(conn_ids: Iterable[str]) -> Expiries:
    """What these connections say and their servers show. A connection that can't be read is left out here: whoever uses
    it tells of it. Takes CONNECT_S for a server that is away."""
    found: list[Expiry] = []
    servers: set[tuple[str, int]] = set()
    for conn_id in sorted(set(conn_ids) - {""}):
        try:
            known = connection(conn_id)
            server = _server(known)
        except VmsError as error:
            log.warning("When connection %s ends is not known: %s", conn_id, error)
            continue
        ends = stated_end(known)
        if ends is not None:
            found.append(Expiry("credential", conn_id, ends))
        if server is not None:
            servers.add(server)
    unread = {}
    for host, port in sorted(servers):
        try:
            found.append(Expiry("certificate", f"{host}:{port}", certificate_end(host, port)))
        except (OSError, ValueError) as error:
            unread[f"{host}:{port}"] = str(error)
    return Expiries(tuple(found), unread)


def stated_end(known: Connection) -> datetime | None:
    """When this connection's credential ends, as its extra says; a date means the end of that day, in UTC.

    None when it says nothing. What is no date is logged and counts as nothing.
    """
    said = known.extra.get("expires")
    if not said:
        return None
    try:
        if len(str(said)) <= len("2027-03-31"):
            return datetime.combine(date.fromisoformat(str(said)) + timedelta(days=1), time(), UTC)
        at = datetime.fromisoformat(str(said))
    except ValueError:
        log.warning('Connection %s: its "expires" is no date such as 2027-03-31.', known.id)
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def certificate_end(host: str, port: int) -> datetime:
    """When the certificate that this server shows ends. Raises OSError without an answer, ValueError without one."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((host, port), timeout=CONNECT_S) as line,
        context.wrap_socket(line, server_hostname=host) as secured,
    ):
        shown = secured.getpeercert(binary_form=True)
    if not shown:
        raise ValueError("it showed no certificate")
    return x509.load_der_x509_certificate(shown).not_valid_after_utc


def _server(known: Connection) -> tuple[str, int] | None:
    """The server of its own that this connection names, when it is reached by TLS."""
    parts = urlsplit(endpoint(known) or "")
    return (parts.hostname, parts.port or _HTTPS) if parts.scheme == "https" and parts.hostname else None
