"""Users of the viewer. Only the catalogue's owner changes them; whatever takes rights away ends the user's sessions.

Every change is written into the log of views in the transaction that makes it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg2.errors import UniqueViolation
from psycopg2.extensions import cursor as Cursor  # noqa: N812 (psycopg2 names its class in lower case)
from psycopg2.extras import Json

from vms.catalogue.connection import Connection, fetch_all
from vms.errors import UserError

_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}\Z")


@dataclass(frozen=True)
class UserRow:
    """One user. sessions: how many are open. last_seen: when one of them last did something. Times are UTC.

    everywhere: sees every site; else sees grants: (site, camera) ids, camera "" for all of the site.
    has_password: and may sign in with it. provider: whether the identity provider may let them in: "" no, "awaited" as
    soon as somebody comes under this name, else the issuer that knows them.
    """

    user_id: int
    name: str
    role: str
    made_at: datetime
    made_by: str
    disabled_at: datetime | None
    sessions: int
    last_seen: datetime | None
    everywhere: bool
    has_password: bool
    provider: str
    grants: tuple[tuple[str, str], ...]


def list_users(conn: Connection) -> list[UserRow]:
    """All users, by name."""
    found = fetch_all(
        conn,
        "SELECT u.user_id, u.name, u.role, u.made_at, u.made_by, u.disabled_at, count(s.user_id), max(s.seen_at),"
        " u.everywhere, u.password IS NOT NULL,"
        " CASE WHEN i.user_id IS NULL THEN '' ELSE coalesce(i.issuer, 'awaited') END"
        " FROM viewer_user u LEFT JOIN viewer_session s USING (user_id) LEFT JOIN viewer_identity i USING (user_id)"
        " GROUP BY u.user_id, i.user_id ORDER BY u.name",
        [],
    )
    granted = fetch_all(
        conn,
        "SELECT g.user_id, s.slug, coalesce(c.slug, '') FROM viewer_grant g JOIN site s USING (site_id)"
        " LEFT JOIN camera c USING (camera_id) ORDER BY s.slug, c.slug",
        [],
    )
    rows = []
    for row in found:
        grants = tuple((site, camera) for user_id, site, camera in granted if user_id == row[0])
        values: list[Any] = [*row, grants]
        rows.append(UserRow(*values))
    return rows


def add_user(
    conn: Connection,
    name: str,
    role: str,
    password: str | None,
    who: str,
    now: datetime,
    *,
    everywhere: bool = False,
    sees: Sequence[tuple[str, str]] = (),
) -> None:
    """Make a user. password: as vms.passwords.hashed gives it; None: the provider lets them in. sees: as of `grant`.

    Raises UserError for a name that is none or is taken, and as `grant` does.
    """
    if not _NAME.match(name):
        raise UserError(
            f"{name!r} is no name for a user.",
            "Up to 64 small letters, digits, dots, dashes, underscores and @, a letter or digit first.",
        )
    try:
        with conn, conn.cursor() as cursor:
            cursor.execute(
                "INSERT INTO viewer_user (name, role, password, made_at, made_by, everywhere)"
                " VALUES (%s, %s, %s, %s, %s, %s) RETURNING user_id",
                (name, role, password, now, who, everywhere),
            )
            (user_id,) = cursor.fetchone() or (0,)
            _log(cursor, who, "user_added", {"user": name, "role": role, "everywhere": everywhere})
            _add_grants(cursor, user_id, name, sees, who)
            if password is None:
                _await(cursor, user_id, name, who)
    except UniqueViolation:
        raise UserError(f"There is a user {name} already.", "`vms users list` shows them.") from None


def set_password(conn: Connection, name: str, password: str, who: str) -> None:
    """Give a user another password and end their sessions. Raises UserError when there is no such user."""
    with conn, conn.cursor() as cursor:
        user_id = _lock(cursor, name)
        cursor.execute("UPDATE viewer_user SET password = %s WHERE user_id = %s", (password, user_id))
        _end_sessions(cursor, user_id)
        _log(cursor, who, "user_password", {"user": name})


def set_role(conn: Connection, name: str, role: str, who: str, *, everywhere: bool) -> None:
    """Give a user another role and end their sessions; everywhere: whether that role sees everything by itself.

    Raises UserError when there is no such user, or when nobody would be left to administer.
    """
    with conn, conn.cursor() as cursor:
        user_id = _lock(cursor, name)
        cursor.execute(
            "UPDATE viewer_user SET role = %s, everywhere = %s WHERE user_id = %s", (role, everywhere, user_id)
        )
        _require_administrator(cursor)
        _end_sessions(cursor, user_id)
        _log(cursor, who, "user_role", {"user": name, "role": role})


def set_disabled(conn: Connection, name: str, disabled_at: datetime | None, who: str) -> None:
    """Shut a user out from now on, or (None) let them in again. Raises UserError as set_role does."""
    with conn, conn.cursor() as cursor:
        user_id = _lock(cursor, name)
        cursor.execute("UPDATE viewer_user SET disabled_at = %s WHERE user_id = %s", (disabled_at, user_id))
        _require_administrator(cursor)
        _end_sessions(cursor, user_id)
        _log(cursor, who, "user_disabled" if disabled_at else "user_enabled", {"user": name})


def link(conn: Connection, name: str, who: str) -> None:
    """Let the identity provider vouch for a user: who comes next under this name is meant, for ever. What they have
    open ends. Raises UserError when there is no such user."""
    with conn, conn.cursor() as cursor:
        user_id = _lock(cursor, name)
        _await(cursor, user_id, name, who)
        _end_sessions(cursor, user_id)


def unlink(conn: Connection, name: str, who: str) -> None:
    """The provider does not vouch for this user any more; what they have open ends. Raises UserError when it never
    did, or when there is no such user."""
    with conn, conn.cursor() as cursor:
        user_id = _lock(cursor, name)
        cursor.execute("DELETE FROM viewer_identity WHERE user_id = %s", (user_id,))
        if not cursor.rowcount:
            raise UserError(f"{name} does not sign in by the provider.", "`vms users list` shows who does.")
        _end_sessions(cursor, user_id)
        _log(cursor, who, "user_unlinked", {"user": name})


def _await(cursor: Cursor, user_id: int, name: str, who: str) -> None:
    cursor.execute("DELETE FROM viewer_identity WHERE user_id = %s", (user_id,))
    cursor.execute("INSERT INTO viewer_identity (user_id, made) VALUES (%s, false)", (user_id,))
    _log(cursor, who, "user_linked", {"user": name})


def grant(conn: Connection, name: str, sites: Sequence[tuple[str, str]], who: str, *, everywhere: bool = False) -> None:
    """Let a user see more: (site, camera) ids, camera "" for all of the site; or everything. Raises UserError for a
    user, site or camera that the catalogue does not know; then nothing is changed."""
    with conn, conn.cursor() as cursor:
        user_id = _lock(cursor, name)
        if everywhere:
            cursor.execute("UPDATE viewer_user SET everywhere = true WHERE user_id = %s", (user_id,))
            _log(cursor, who, "user_granted", {"user": name, "what": "*"})
        _add_grants(cursor, user_id, name, sites, who)


def revoke(
    conn: Connection, name: str, sites: Sequence[tuple[str, str]], who: str, *, everywhere: bool = False
) -> None:
    """Let a user see less, and end their sessions. Raises UserError as grant does, and for what was not granted."""
    with conn, conn.cursor() as cursor:
        user_id = _lock(cursor, name)
        if everywhere:
            cursor.execute(
                "UPDATE viewer_user SET everywhere = false WHERE user_id = %s AND role IN ('investigator', 'viewer')",
                (user_id,),
            )
            if not cursor.rowcount:
                raise UserError(f"The role of {name} sees everything.", "Give them another one: `vms users role`.")
            _log(cursor, who, "user_revoked", {"user": name, "what": "*"})
        for site, camera in sites:
            cursor.execute(
                "DELETE FROM viewer_grant WHERE user_id = %s AND site_id = %s AND camera_id IS NOT DISTINCT FROM %s",
                (user_id, *_place(cursor, site, camera)),
            )
            what = f"{site}/{camera}" if camera else site
            if not cursor.rowcount:
                raise UserError(
                    f"{name} was never granted {what} as such.", "`vms users list` shows what was; nothing was changed."
                )
            _log(cursor, who, "user_revoked", {"user": name, "what": what})
        _end_sessions(cursor, user_id)


def _add_grants(cursor: Cursor, user_id: int, name: str, sites: Sequence[tuple[str, str]], who: str) -> None:
    for site, camera in sites:
        cursor.execute(
            "INSERT INTO viewer_grant VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (user_id, *_place(cursor, site, camera)),
        )
        _log(cursor, who, "user_granted", {"user": name, "what": f"{site}/{camera}" if camera else site})


def end_all_sessions(conn: Connection) -> None:
    """Everybody has to sign in again."""
    with conn, conn.cursor() as cursor:
        cursor.execute("DELETE FROM viewer_session")


def _place(cursor: Cursor, site: str, camera: str) -> tuple[int, int | None]:
    cursor.execute(
        "SELECT s.site_id, c.camera_id FROM site s LEFT JOIN camera c ON c.site_id = s.site_id AND c.slug = %s"
        " WHERE s.slug = %s",
        (camera, site),
    )
    found = cursor.fetchone()
    if found is None or (camera and found[1] is None):
        raise UserError(
            f"The catalogue knows no {f'camera {camera} of site {site}' if camera else f'site {site}'}.",
            "It knows one from the first run of its site on; `vms recordings` shows what it knows.",
        )
    return int(found[0]), found[1]


def _lock(cursor: Cursor, name: str) -> int:
    cursor.execute("SELECT user_id FROM viewer_user WHERE name = %s FOR UPDATE", (name,))
    found = cursor.fetchone()
    if found is None:
        raise UserError(f"There is no user {name}.", "`vms users list` shows them, `vms users add` makes one.")
    return int(found[0])


def _require_administrator(cursor: Cursor) -> None:
    cursor.execute("SELECT FROM viewer_user WHERE role = 'administrator' AND disabled_at IS NULL LIMIT 1")
    if cursor.fetchone() is None:
        raise UserError(
            "That would leave no administrator who can sign in; nothing was changed.", "Make another one first."
        )


def _end_sessions(cursor: Cursor, user_id: int) -> None:
    cursor.execute("DELETE FROM viewer_session WHERE user_id = %s", (user_id,))


def _log(cursor: Cursor, who: str, action: str, detail: dict[str, Any]) -> None:
    cursor.execute("INSERT INTO view_log (who, action, detail) VALUES (%s, %s, %s)", (who, action, Json(detail)))
