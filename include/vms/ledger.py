"""What earlier looks at a footage folder saw, so that a look costs little: one SQLite file in the site's staging.

It only saves work. Lost, everything is looked at and reported once more, and the catalogue subtracts what it knows.
A row counts only while the file has the size and mtime of the row.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vms import model
from vms.footage import Found
from vms.sightings import Rejection, Sighting, SourceSeen

log = logging.getLogger(__name__)

FILE = "seen.sqlite3"

_SCHEMA = """
create table if not exists seen (
    path       text primary key,
    size_bytes integer not null,
    mtime_ns   integer not null,
    first_look real not null,           -- when it was first seen with this size and mtime, epoch seconds
    changed    integer not null,        -- 1: an earlier look saw another size or mtime
    settled    text not null default '', -- why it needs no further look; '' while it does
    result     text not null default '', -- {"sighting": ...}, {"rejection": ...} or {"ignored": true}; a settled
                                         -- file keeps only a rejection, to be examined again from time to time
    examined   real not null default 0  -- when that was found out
) without rowid;
create table if not exists folder (device integer not null);
"""


@dataclass(frozen=True)
class Seen:
    """What the ledger knows of one file, by size and mtime as they are now. Times are epoch seconds."""

    first_look: float
    changed: bool
    settled: str
    result: Sighting | Rejection | None
    ignored: bool
    examined: float


class Ledger:
    """The memory of one site's looks. folder: the site's staging folder, made when it is missing.

    Two runs may use it at once. A damaged file is replaced; where none can be written it lives in memory only.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._memory: sqlite3.Connection | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._prepare()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                self._forget_at_end(error)
            else:
                log.warning("%s is damaged and is made anew: %s", self.path, error)
                self._start_anew()
        except OSError as error:
            self._forget_at_end(error)

    def look(self, found: Iterable[Found], now: float) -> dict[str, Seen]:
        """Note what was found at this moment, forget what is gone, and tell what is known of each path."""
        present = list(found)
        with self._connection() as db:
            db.execute("create temp table now (path text primary key, size_bytes integer, mtime_ns integer)")
            db.executemany(
                "insert or replace into now values (?, ?, ?)",
                ((one.path, one.size_bytes, one.mtime_ns) for one in present),
            )
            db.execute("delete from seen where path not in (select path from now)")
            db.execute(
                """insert into seen (path, size_bytes, mtime_ns, first_look, changed)
                   select path, size_bytes, mtime_ns, ?, 0 from now where true
                   on conflict (path) do update set
                       size_bytes = excluded.size_bytes, mtime_ns = excluded.mtime_ns,
                       first_look = excluded.first_look, changed = 1, settled = '', result = '', examined = 0
                   where seen.size_bytes <> excluded.size_bytes or seen.mtime_ns <> excluded.mtime_ns""",
                (now,),
            )
            db.execute("drop table now")
            rows = db.execute("select path, first_look, changed, settled, result, examined from seen").fetchall()
        return {path: _seen(*rest) for path, *rest in rows}

    def keep(self, results: Iterable[Sighting | Rejection], now: float) -> None:
        """Remember what examining files gave, so that it is done once for each size and mtime."""
        rows = []
        for one in results:
            kind = "sighting" if isinstance(one, Sighting) else "rejection"
            rows.append((json.dumps({kind: model.dump(one)}), one.source))
        self._set_results(rows, now)

    def ignore(self, sources: Iterable[SourceSeen], now: float) -> None:
        """Remember that these files are no footage."""
        self._set_results([(json.dumps({"ignored": True}), source) for source in sources], now)

    def settle(self, sources: Iterable[SourceSeen], why: str) -> None:
        """These files, as they were with this size and mtime, need no further look."""
        with self._connection() as db:
            db.executemany(
                """insert into seen (path, size_bytes, mtime_ns, first_look, changed, settled) values (?, ?, ?, 0, 0, ?)
                   on conflict (path) do update set settled = excluded.settled,
                       result = case when result like '{"rejection"%' then result else '' end
                   where seen.size_bytes = excluded.size_bytes and seen.mtime_ns = excluded.mtime_ns""",
                ((one.path, one.size_bytes, one.mtime_ns, why) for one in sources),
            )

    def settled(self) -> set[str]:
        """The names that need no further look."""
        with self._connection() as db:
            return {path for (path,) in db.execute("select path from seen where settled <> ''")}

    def unsettle(self) -> None:
        """Report all of it again: who settled it may not know of it any more."""
        with self._connection() as db:
            db.execute("update seen set settled = '' where settled <> ''")

    def forget(self, paths: Iterable[str]) -> None:
        """Look at these names again as if for the first time."""
        with self._connection() as db:
            db.executemany("delete from seen where path = ?", ((path,) for path in paths))

    def device(self) -> int | None:
        """The device number of the footage folder when it last held files."""
        with self._connection() as db:
            row = db.execute("select device from folder").fetchone()
        return int(row[0]) if row else None

    def remember_device(self, device: int) -> None:
        with self._connection() as db:
            db.execute("delete from folder")
            db.execute("insert into folder values (?)", (device,))

    def _set_results(self, rows: list[tuple[str, SourceSeen]], now: float) -> None:
        with self._connection() as db:
            db.executemany(
                "update seen set result = ?, examined = ? where path = ? and size_bytes = ? and mtime_ns = ?",
                ((text, now, source.path, source.size_bytes, source.mtime_ns) for text, source in rows),
            )

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """One transaction. A connection each: threads and forked task processes must not share one."""
        if self._memory is not None:
            with self._memory:
                yield self._memory
            return
        db = sqlite3.connect(self.path, timeout=30, isolation_level="IMMEDIATE")
        try:
            with db:
                yield db
        finally:
            db.close()

    def _prepare(self) -> None:
        with self._connection() as db:
            with contextlib.suppress(sqlite3.OperationalError):  # another look is just switching; that never waits
                db.execute("pragma journal_mode = wal")  # stays as it is where the file system can't
            db.execute("pragma synchronous = normal")
            db.executescript(_SCHEMA)

    def _start_anew(self) -> None:
        for suffix in ("", "-wal", "-shm", "-journal"):
            self.path.with_name(FILE + suffix).unlink(missing_ok=True)
        self._prepare()

    def _forget_at_end(self, error: Exception) -> None:
        log.warning("%s can't be written (%s): what this look sees is forgotten at its end.", self.path, error)
        self._memory = sqlite3.connect(":memory:", check_same_thread=False)
        self._memory.executescript(_SCHEMA)


def _seen(first_look: float, changed: int, settled: str, result: str, examined: float) -> Seen:
    data = json.loads(result) if result else {}
    value: Sighting | Rejection | None = None
    if "sighting" in data:
        value = model.load(Sighting, data["sighting"])
    elif "rejection" in data:
        value = model.load(Rejection, data["rejection"])
    return Seen(first_look, bool(changed), settled, value, "ignored" in data, examined)
