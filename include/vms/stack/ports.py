"""Whether the ports of the stack can be had, and who has them if not."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from vms.errors import StackError
from vms.stack import postgres


def require_free(port: int, what: str, setting: str) -> None:
    if postgres.is_free(port):
        return
    who = port_holder(port)
    if not who and port < _first_free_for_all() and os.geteuid() != 0:
        raise StackError(
            f"Port {port} for the {what} is one that only root may use.",
            f"Choose another port: {setting}={postgres.free_port()} ./vms up",
        )
    raise StackError(
        f"Port {port} for the {what} is taken{f' by {who}' if who else ''}.",
        f"Stop that program, or choose another port: {setting}={postgres.free_port()} ./vms up",
    )


def _first_free_for_all() -> int:
    """The lowest port that an ordinary user may use here."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    except (OSError, ValueError):
        return 1024


def port_holder(port: int) -> str:
    """Who listens on this port, as far as this user may see it; else an empty text."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == "LISTEN" and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:
        return ""
    return ""
