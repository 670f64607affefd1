"""The line to a bucket: used to the full where it loses packets, and known by how fast requests have gone over it."""

from __future__ import annotations

import logging
import socket
import threading
from typing import Any

logger = logging.getLogger(__name__)

_BBR = (socket.IPPROTO_TCP, getattr(socket, "TCP_CONGESTION", 13), b"bbr")
_LEAST_BYTES = 1 << 20  # what is smaller is sent before it can be timed

_bytes_per_s: dict[str, float] = {}
_noting = threading.Lock()


def keep_pace_at_loss(client: Any) -> None:
    """Let the connections that the client will make use TCP's BBR where this machine's kernel lets this process.

    The usual CUBIC takes every lost packet for a full line: at 1 % loss and 80 ms it leaves 19 of 20 Mbit/s unused.
    """
    with socket.socket() as probe:
        try:
            probe.setsockopt(*_BBR)
        except OSError:
            return
    try:
        client._endpoint.http_session._socket_options.append(_BBR)  # botocore has no other way to say so
    except AttributeError:
        logger.warning("This botocore does not let its connections use BBR; a line that loses packets will be slow")


def note(endpoint: str, sent_bytes: int, seconds: float) -> None:
    """Remember, in this process, how fast a request to this server got its body through."""
    if sent_bytes < _LEAST_BYTES or seconds <= 0:
        return
    with _noting:
        rate = sent_bytes / seconds
        _bytes_per_s[endpoint] = (_bytes_per_s.get(endpoint, rate) + rate) / 2


def bytes_per_s(endpoint: str) -> float | None:
    """What one request of those that were under way lately got of the line; None before there was one."""
    return _bytes_per_s.get(endpoint)
