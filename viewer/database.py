"""The viewer's connections to the catalogue: few, shared by all pages, renewed by themselves after an outage.

Only the role `viewer` is used, which can read and add to the log of views, nothing else.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
import psycopg2.errors
import psycopg2.extensions

from vms.catalogue import connection
from vms.catalogue.connection import Connection
from vms.errors import CatalogueError
from vms.home import Home, from_environment

__all__ = ["AWAY", "NOBODY", "Connection", "Pool", "pool"]

AWAY = (CatalogueError, psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.errors.UndefinedTable)
"""What a catalogue that can't be reached, or is not set up yet, raises; pages wait for it and come back themselves."""

NOBODY = ""
"""The scope of what is nobody's business: sessions, tries to sign in. No footage is seen with it."""

_PATIENCE_S = 10.0


class Pool:
    """At most `most` open connections; a broken one is dropped, and the next user gets a fresh one."""

    def __init__(self, home: Home, most: int = 8) -> None:
        self._home = home
        self._free: queue.LifoQueue[Connection] = queue.LifoQueue()
        self._slots = threading.BoundedSemaphore(most)

    @contextmanager
    def connection(self, scope: str) -> Iterator[Connection]:
        """A psycopg2 connection in autocommit mode that shows what this scope (of a visitor) allows and nothing else.

        Raises one of AWAY when the catalogue does not answer.
        """
        if not self._slots.acquire(timeout=_PATIENCE_S):
            raise CatalogueError("All connections of the viewer to the catalogue are busy.", "Try again in a moment.")
        try:
            conn = self._alive(scope.partition(".")[0])
            try:
                yield conn
            finally:
                if conn.closed:
                    pass
                elif conn.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_IDLE:
                    self._free.put(conn)
                else:
                    conn.close()
        finally:
            self._slots.release()

    def ping(self) -> None:
        """Raises one of AWAY when the catalogue does not answer or is not set up yet."""
        with self.connection(NOBODY) as conn, conn.cursor() as cursor:
            cursor.execute("SELECT FROM site LIMIT 1")

    def _alive(self, asking: str) -> Connection:
        while True:
            try:
                conn = self._free.get_nowait()
            except queue.Empty:
                return connection.connect(connection.url(self._home, "viewer"), asking=asking)
            try:
                connection.ask_for(conn, asking)
            except psycopg2.Error:
                conn.close()
            else:
                return conn

    def close(self) -> None:
        """Close the idle connections."""
        while not self._free.empty():
            self._free.get_nowait().close()


_pools: dict[Home, Pool] = {}
_lock = threading.Lock()


def pool(home: Home | None = None) -> Pool:
    """The pool of this installation (of the environment's, unless another is given)."""
    home = home or from_environment()
    with _lock:
        if home not in _pools:
            _pools[home] = Pool(home)
        return _pools[home]
