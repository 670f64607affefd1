"""What tasks and branches ask of Airflow's API server is answered a few at a time; the others wait their turn.

Airflow answers each request in one of 40 threads, with a connection of its own to the database, and gives the
connection back in a further step that needs a thread again. When more are asked for at once than there are connections,
as when all branches are back after an outage, every thread waits for a connection, nobody can give one back, and half a
minute later all of them fail. Waiting here costs neither: a process answers no faster by doing more at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

AT_ONCE = 8
"""Fewer than connections (airflow_env.py), so that pages find one, too."""

PATHS = ("/execution/", "/edge_worker/")

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]


class Turns:
    """The middleware. It stands behind the gate for branches, which has read what they send: a slow line holds up no
    turn."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        from starlette.routing import get_route_path  # every process of Airflow reads this file

        if scope["type"] != "http" or not get_route_path(scope).startswith(PATHS):
            await self._app(scope, receive, send)
            return
        async with self._turns:
            await self._app(scope, receive, send)
