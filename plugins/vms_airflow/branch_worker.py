"""Airflow's edge worker at a branch: `python -m vms_airflow.branch_worker QUEUE NAME PLACES`, started by the agent.

Airflow's own client can't show a certificate, takes the machine's clock for the centre's, and gives up when an answer
stalls. Here it shows the branch's certificate, reckons by the centre's clock (which each answer tells), and waits for
as long as the line is away.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from airflow.configuration import conf
from airflow.providers.edge3.cli import api_client
from airflow.providers.edge3.models.edge_worker import EdgeWorkerState

from vms_airflow.preload import kinds_of_stores, preload

CONNECT_S, READ_S = 20.0, 60.0
VALID_S = 300
"""How long a signed request is good for: slow lines, and what is left of clocks that differ."""


class CentresClock:
    """What time it is at the centre, as its last answer said; until then, what this machine's clock says."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def hear(self, date: str | None) -> None:
        with suppress(TypeError, ValueError):
            self.ahead = parsedate_to_datetime(date or "") - datetime.now(UTC)

    def now(self) -> float:
        return (datetime.now(UTC) + self.ahead).timestamp()


clock = CentresClock()


class Signer:
    """Signs the requests of the edge worker as Airflow's own generator does, but by the centre's clock."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def generate(self, extras: dict[str, Any]) -> str:
        import jwt

        now = int(clock.now())
        claims = extras | {"aud": "api", "iat": now, "nbf": now, "exp": now + VALID_S}
        return jwt.encode(claims, self._secret, algorithm="HS512", headers={"kid": "not-used"})


@lru_cache(maxsize=1)
def _context(changed_at: float) -> ssl.SSLContext:  # noqa: ARG001 - a renewed certificate is read anew
    context = ssl.create_default_context(cafile=conf.get("api", "ssl_ca_file"))
    context.load_cert_chain(conf.get("api", "client_ssl_cert"), conf.get("api", "client_ssl_key"))
    return context


def proxy_to(url: str) -> str | None:
    """The proxy that the way to this address goes by, as HTTPS_PROXY and NO_PROXY say."""
    return None if proxy_bypass(urlsplit(url).netloc) else getproxies().get("https")


def _shown(url: str) -> dict[str, Any]:
    certificate = conf.get("api", "client_ssl_cert", fallback="")
    if not certificate:
        return {}
    return {"ssl": _context(Path(certificate).stat().st_mtime), "proxy": proxy_to(url)}


@asynccontextmanager
async def request(method: str, url: str, **kwargs: Any) -> AsyncIterator[aiohttp.ClientResponse]:
    """In place of aiohttp's `request` in Airflow's client."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=READ_S)
    try:
        async with aiohttp.request(method, url, timeout=timeout, **_shown(url), **kwargs) as answer:
            clock.hear(answer.headers.get("Date"))
            yield answer
    except aiohttp.ClientPayloadError as error:
        # The line broke in the middle of an answer. Airflow's client asks again only when it got none at all, and its
        # worker would end over this.
        raise aiohttp.ClientConnectionError(str(error)) from error


async def say_ended(name: str, queue: str) -> None:
    """A worker that was killed is still taken for one that works; its successor would be refused for minutes."""
    from airflow import __version__ as airflow_version
    from airflow.providers.edge3 import __version__ as edge_version

    about = {"airflow_version": airflow_version, "edge_provider_version": edge_version}
    for _ in range(2):  # where this machine's clock is off, the first answer is a refusal that tells the centre's time
        with suppress(aiohttp.ClientResponseError):  # it was never there
            await api_client.worker_set_state(name, EdgeWorkerState.OFFLINE, 0, [queue], about)
            return


def main(queue: str, name: str, places: str) -> None:
    signer = Signer(conf.get("api_auth", "jwt_secret"))
    api_client.request = request
    api_client.jwt_generator = lambda: signer
    asyncio.run(say_ended(name, queue))
    preload(kinds_of_stores())
    sys.argv = ["airflow", "edge", "worker", "-q", queue, "-H", name, "-c", places]
    from airflow.__main__ import main as airflow

    airflow()


if __name__ == "__main__":
    main(*sys.argv[1:4])
