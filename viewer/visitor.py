"""Who is at the other end: the open session behind a request or a script run, and what it may do.

A session is asked of the catalogue again every FRESH_S, so that what ends it is felt at once on every page, websocket
and media link. While the catalogue is away, those known lately stay known: all they then get is the page that says so.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import streamlit as st

from viewer import database
from viewer.database import AWAY, NOBODY, Pool
from vms.catalogue import sessions
from vms.rights import RIGHTS, Right

HEADER = "x-vms-session"
"""Set by the gate and by nobody else (see viewer.gate): the hash of the session, in hex, and from where it comes."""

FRESH_S = 2.0
_TOUCH_S = 30.0
_REMEMBERED_S = 600.0
_MOST = 5000


@dataclass(frozen=True)
class Visitor:
    """Somebody who has signed in. mark: of their session, for links that are good for it alone.

    scope: what they see, for the catalogue and as a key of what is cached: "*" for everything, else their number and
    what changes with their grants. lang: the language that they chose, None for none.
    """

    user_id: int
    name: str
    role: str
    scope: str
    mark: str
    address: str = ""
    lang: str | None = None

    @property
    def sees_everything(self) -> bool:
        return self.scope == "*"

    def may(self, right: Right) -> bool:
        return right in RIGHTS.get(self.role, frozenset())


@dataclass
class _Known:
    row: sessions.SessionRow
    asked: float
    touched: float = 0.0


class Sessions:
    """The sessions that this process has seen, and what the catalogue last said of them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: dict[bytes, _Known] = {}
        self._lock = threading.Lock()

    def find(self, token_hash: bytes, address: str = "", *, afresh: bool = False) -> Visitor | None:
        """Whose session it is, None when it is not open. afresh: whatever was known a moment ago.

        Raises one of AWAY when that can't be known.
        """
        now = time.monotonic()
        with self._lock:
            known = self._known.get(token_hash)
        if known is None or afresh or now - known.asked >= FRESH_S:
            try:
                with self._pool.connection(NOBODY) as conn:
                    row = sessions.open_session(conn, token_hash)
            except AWAY:
                if known is None or now - known.asked > _REMEMBERED_S:
                    raise
                row = known.row
            else:
                known = self._remember(token_hash, row, now)
            if row is None or known is None:
                return None
        return _visitor(known.row, token_hash, address)

    def fresh(self, token_hash: bytes, address: str = "") -> Visitor | None:
        """As `find` where the catalogue was asked just now, else None; this never waits."""
        known = self._known.get(token_hash)
        if known is None or time.monotonic() - known.asked >= FRESH_S:
            return None
        return _visitor(known.row, token_hash, address)

    def touched_lately(self, token_hash: bytes) -> bool:
        """Whether `touch` has nothing to do."""
        known = self._known.get(token_hash)
        return known is not None and time.monotonic() - known.touched < _TOUCH_S

    def touch(self, token_hash: bytes) -> None:
        """The person has done something. Told to the catalogue now and then; while it is away, not at all."""
        now = time.monotonic()
        with self._lock:
            known = self._known.get(token_hash)
            if known is None or now - known.touched < _TOUCH_S:
                return
            known.touched = now
        try:
            with self._pool.connection(NOBODY) as conn:
                sessions.touch_session(conn, token_hash)
        except AWAY:
            known.touched = 0.0

    def forget(self, token_hash: bytes) -> None:
        """Ask the catalogue at the next look."""
        with self._lock:
            self._known.pop(token_hash, None)

    def _remember(self, token_hash: bytes, row: sessions.SessionRow | None, now: float) -> _Known | None:
        with self._lock:
            before = self._known.pop(token_hash, None)
            if row is None:
                return None
            if len(self._known) >= _MOST:
                self._known = {key: one for key, one in self._known.items() if now - one.asked < _REMEMBERED_S}
            made = _Known(row, now, before.touched if before else 0.0)
            self._known[token_hash] = made
            return made


def _visitor(row: sessions.SessionRow, token_hash: bytes, address: str) -> Visitor:
    return Visitor(row.user_id, row.name, row.role, row.scope, token_hash.hex()[:16], address, row.lang)


_by_pool: dict[Pool, Sessions] = {}
_lock = threading.Lock()


def of(pool: Pool) -> Sessions:
    """The sessions of this pool's installation."""
    with _lock:
        return _by_pool.setdefault(pool, Sessions(pool))


def current() -> Visitor | None:
    """Who looks at the page that the running script draws. Raises one of AWAY when that can't be known."""
    session, _, address = _session_of_request().partition(" ")
    return of(database.pool()).find(bytes.fromhex(session), address) if session else None


def current_session() -> bytes:
    """The hash of the session in which the running script draws; empty outside one."""
    return bytes.fromhex(_session_of_request().partition(" ")[0])


def _session_of_request() -> str:
    return st.context.headers.get(HEADER, "")
