"""Links to one finished export for whoever has them, without an account. All of it works with the viewer's role.

A link holds a random token, of which only the SHA-256 is stored. It ends at its time, when it is revoked, when the
export goes, when who ordered the export is disabled, and after MOST_WRONG wrong PINs.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from vms.catalogue.connection import Connection, fetch_all, fetch_one
from vms.catalogue.sessions import hash_of
from vms.rights import RIGHTS

MOST_WRONG = 30


@dataclass(frozen=True)
class ShareRow:
    """A link, as who made it sees it. Times are UTC."""

    share_id: int
    export_id: int
    made_at: datetime
    made_by: str
    expires_at: datetime
    revoked_at: datetime | None
    has_pin: bool
    opened: int
    taken: int
    wrong: int

    @property
    def is_locked(self) -> bool:
        return self.wrong >= MOST_WRONG


@dataclass(frozen=True)
class Shared:
    """What an open link gives. pin: as it is kept, None: none is asked for. locked: the ZIP, with the PIN.
    until: when the link or the export ends.

    time_zone: of the first of its sites. cameras: their names.
    """

    share_id: int
    export_id: int
    pin: str | None
    locked: bool
    until: datetime
    from_utc: datetime
    to_utc: datetime
    size_bytes: int
    evidence: bool
    time_zone: str
    cameras: tuple[str, ...]


def add_share(
    conn: Connection, export_id: int, made_by: str, expires_at: datetime, pin: str | None, *, locked: bool = False
) -> str:
    """Make a link; returns its token, which is kept nowhere. pin: as vms.passwords.hashed gives it. locked: the ZIP is
    encrypted with it."""
    token = secrets.token_urlsafe(32)
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "INSERT INTO export_share (export_id, token_hash, pin, locked, made_by, expires_at)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            (export_id, hash_of(token), pin, locked, made_by, expires_at),
        )
    return token


def list_shares(conn: Connection, export_ids: Sequence[int]) -> list[ShareRow]:
    """The links to these exports, newest first."""
    found = fetch_all(
        conn,
        "SELECT share_id, export_id, made_at, made_by, expires_at, revoked_at, pin IS NOT NULL, opened, taken, wrong"
        " FROM export_share WHERE export_id = ANY(%s) ORDER BY share_id DESC",
        [list(export_ids)],
    )
    return [ShareRow(*row) for row in found]


def revoke_share(conn: Connection, export_id: int, share_id: int) -> bool:
    """End a link of this export now. Returns whether it was open."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "UPDATE export_share SET revoked_at = now() WHERE share_id = %s AND export_id = %s AND revoked_at IS NULL",
            (share_id, export_id),
        )
        return cursor.rowcount == 1


def find_share(conn: Connection, token: str) -> Shared | None:
    """What the link with this token gives now; None when it is none or has ended, also by the rights of whoever ordered
    its export."""
    found = fetch_one(
        conn,
        """
        SELECT h.share_id, h.export_id, h.pin, h.locked, least(h.expires_at, e.kept_until), e.from_at, e.to_at,
               e.size_bytes, e.evidence, (SELECT min(s.tz) FROM export_camera x JOIN camera c USING (camera_id)
                            JOIN site s USING (site_id) WHERE x.export_id = e.export_id),
               ARRAY(SELECT s.name || ' - ' || c.name FROM export_camera x JOIN camera c USING (camera_id)
                     JOIN site s USING (site_id) WHERE x.export_id = e.export_id ORDER BY 1)
        FROM export_share h JOIN export_order e USING (export_id) JOIN viewer_user u USING (user_id)
        WHERE h.token_hash = %s AND h.revoked_at IS NULL AND h.expires_at > now() AND h.wrong < %s
          AND e.state = 'done' AND e.kept_until > now() AND u.disabled_at IS NULL AND u.role = ANY(%s)
          AND orderer_sees_all(e.export_id)
        """,
        [hash_of(token), MOST_WRONG, [role for role, rights in RIGHTS.items() if "export" in rights]],
    )
    if found is None:
        return None
    values: list[Any] = [*found[:-1], tuple(found[-1])]
    return Shared(*values)


def count_share(conn: Connection, share_id: int, what: Literal["opened", "taken", "wrong"]) -> None:
    """Once more its page was looked at, the export was taken, or a wrong PIN was given."""
    changes = {
        "opened": "UPDATE export_share SET opened = opened + 1 WHERE share_id = %s",
        "taken": "UPDATE export_share SET taken = taken + 1 WHERE share_id = %s",
        "wrong": "UPDATE export_share SET wrong = wrong + 1 WHERE share_id = %s",
    }
    with conn, conn.cursor() as cursor:
        cursor.execute(changes[what], (share_id,))
