"""What a branch knows by itself, without the line: what waits here, what was sent, what the centre has proven.

`sent.sqlite3` in the state folder, filled by the branch's own tasks. It is for people only: nothing is decided by it,
and lost, it begins anew.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from vms import footage
from vms.config import Site
from vms.errors import ConfigError
from vms.home import Home
from vms.ledger import Ledger
from vms.model import ReleaseOrder
from vms.receipts import Receipt

log = logging.getLogger(__name__)

KEPT = timedelta(days=365)

_SCHEMA = """
create table if not exists sent (
    recording_id integer primary key,
    start_utc    text not null,
    size_bytes   integer not null,
    sent_at      text not null default '',  -- when the last of its stores took it here
    proven_at    text not null default ''   -- when the centre had committed it as archived
) without rowid;
create index if not exists sent_by_time on sent (sent_at);
"""


@dataclass(frozen=True)
class Heap:
    """Some files: how many, their bytes, the oldest and the newest of them (as recorded, UTC; None without any)."""

    count: int = 0
    size_bytes: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None


@dataclass(frozen=True)
class View:
    """waiting: source files that nobody has settled yet; unreadable: why the folder can't be looked at, or "".

    unproven: sent, but not yet committed by the centre. proven: of the last year.
    """

    waiting: Heap
    unproven: Heap
    proven: Heap
    last_sent: datetime | None
    unreadable: str = ""


def note_sent(home: Home, receipts: Sequence[Receipt], now: datetime) -> None:
    """After an upload: what every one of its stores has taken. Never raises."""
    rows = [
        (one.recording_id, one.start_utc.isoformat(), one.rendition.size_bytes, now.isoformat())
        for one in receipts
        if one.rendition is not None and one.fault is None and (one.copies or one.unproven) and not one.store_faults
    ]

    def work(db: sqlite3.Connection) -> None:
        db.executemany(
            "insert into sent (recording_id, start_utc, size_bytes, sent_at) values (?, ?, ?, ?)"
            " on conflict (recording_id) do update set sent_at = excluded.sent_at, size_bytes = excluded.size_bytes",
            rows,
        )
        db.execute("delete from sent where sent_at < ?", ((now - KEPT).isoformat(),))

    _write(home, work)


def note_proven(home: Home, orders: Sequence[ReleaseOrder], now: datetime) -> None:
    """Before a release: what the centre has committed as archived. Never raises."""

    def work(db: sqlite3.Connection) -> None:
        db.executemany(
            "update sent set proven_at = ? where recording_id = ? and proven_at = ''",
            [(now.isoformat(), order.recording_id) for order in orders],
        )

    _write(home, work)


def look(home: Home, site: Site | ConfigError) -> View:
    """Everything as it is now. Looks into the footage folder, changes nothing. site: or why it can't be read what the
    centre says of it."""
    waiting, unreadable = (Heap(), str(site)) if isinstance(site, ConfigError) else _waiting(home, site)
    unproven, proven, last = Heap(), Heap(), None
    book = f"file:{quote(str(_file(home)))}?mode=ro"
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(book, uri=True)) as db:
        unproven, proven = (_heap(db, f"proven_at {which} ''") for which in ("=", "<>"))
        (text,) = db.execute("select max(sent_at) from sent").fetchone()
        last = datetime.fromisoformat(text) if text else None
    return View(waiting, unproven, proven, last, unreadable)


def _waiting(home: Home, site: Site) -> tuple[Heap, str]:
    waiting, unreadable = Heap(), ""
    try:
        settled = Ledger(site.staging or home.site_staging(site.id)).settled()
        files = [one for one in footage.list_footage(site.footage, site.id).found if one.path not in settled]
        times = [datetime.fromtimestamp(one.mtime_ns / 1e9, UTC) for one in files]
        if files:
            waiting = Heap(len(files), sum(one.size_bytes for one in files), min(times), max(times))
    except Exception as error:  # noqa: BLE001 - whatever it is, the rest is still worth telling
        unreadable = str(error)
    return waiting, unreadable


def _heap(db: sqlite3.Connection, which: str) -> Heap:
    said = f"select count(*), coalesce(sum(size_bytes), 0), min(start_utc), max(start_utc) from sent where {which}"  # noqa: S608
    count, size, oldest, newest = db.execute(said).fetchone()
    return Heap(count, size, *(datetime.fromisoformat(one) if one else None for one in (oldest, newest)))


def _file(home: Home) -> Path:
    return home.root / "sent.sqlite3"


def _write(home: Home, work: Callable[[sqlite3.Connection], None]) -> None:
    """A book that can't be written must never stand in the way of an upload."""
    try:
        with contextlib.closing(sqlite3.connect(_file(home), timeout=10.0)) as db:
            db.executescript(_SCHEMA)
            with db:
                work(db)
    except sqlite3.Error as error:
        log.warning("%s can't be written (%s); ./vms branch status will lack something.", _file(home), error)
