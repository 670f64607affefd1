"""Points at which a process may be killed: before and after everything that somebody else can see of its work.

Counted are: names made, renamed and removed on disk, files opened for writing, bytes forced to disk, programs started,
requests sent to a store and their answers read, statements and commits sent to the catalogue and confirmed. At the
chosen one the process ends itself with SIGKILL: nothing is flushed, closed, rolled back or said.
"""

from __future__ import annotations

import http.client
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_ON_DISK = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"}
_ELSEWHERE = {"subprocess.Popen", "http.client.connect", "http.client.send", "sqlite3.connect"}


class Points:
    """Counts them, and kills the process at one. kill_at: from 1 on; None: never. where: what is being done, in a word,
    set by whoever does it. names: each point as "where: what". wait_at: before points of such a name it waits as `wait`
    says, so that something can happen meanwhile; "": before none."""

    def __init__(
        self,
        kill_at: int | None,
        last_words: Callable[[str], None],
        wait_at: str = "",
        wait: Callable[[], None] = lambda: None,
    ) -> None:
        self.kill_at = kill_at
        self.wait_at = wait_at
        self.wait = wait
        self.where = ""
        self.names: list[str] = []
        self._last_words = last_words
        self._lock = threading.Lock()

    def reach(self, what: str) -> None:
        with self._lock:
            self.names.append(f"{self.where}: {what}")
            if len(self.names) == self.kill_at:
                self._last_words(self.names[-1])
                os.kill(os.getpid(), signal.SIGKILL)
            waits = self.names[-1] == self.wait_at
        if waits:
            self.wait()

    def watch(self) -> None:
        """Count in this process from now on, in all its threads. There is no way back."""
        self._watch_calls()
        self._watch_catalogue()
        sys.addaudithook(self._hear)

    def _hear(self, event: str, given: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = given
            if flags & _WRITES and not str(path).startswith(("/proc", "/dev", "/sys")):
                self.reach("open for writing")
        elif event in _ON_DISK or event in _ELSEWHERE:
            self.reach(event)

    def _watch_calls(self) -> None:
        points = self

        def counted(call: Callable[..., Any], before: str, after: str) -> Callable[..., Any]:
            def replaced(*given: Any, **named: Any) -> Any:
                if before:
                    points.reach(before)
                result = call(*given, **named)
                if after:
                    points.reach(after)
                return result

            return replaced

        os.fsync = counted(os.fsync, "", "fsync done")
        # by then the request has gone out whole: what the store makes of it, nobody hears
        http.client.HTTPConnection.getresponse = counted(  # type: ignore[method-assign]
            http.client.HTTPConnection.getresponse, "request sent", "answer read"
        )

    def _watch_catalogue(self) -> None:
        points = self

        class WatchedCursor(Cursor):
            def execute(self, query: Any, params: Any = None) -> None:
                words = str(query).split()
                points.reach(f"sql {' '.join(words[:3])}"[:60])
                super().execute(query, params)

        class WatchedConnection(Connection):
            def __init__(self, *given: Any, **named: Any) -> None:
                super().__init__(*given, **named)
                self.cursor_factory = WatchedCursor

            def __exit__(self, *given: Any) -> None:
                points.reach("before commit")
                super().__exit__(*given)
                points.reach("committed")

        connect = psycopg2.connect

        def watched(*given: Any, **named: Any) -> Any:
            points.reach("connect to the catalogue")
            return connect(*given, **{"connection_factory": WatchedConnection, **named})

        psycopg2.connect = watched
