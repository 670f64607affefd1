"""Sessions of the viewer's users, and the tries to begin one. All of it works with the viewer's role.

A session is known by the SHA-256 of a token that only the browser has. It ends when nothing was done for IDLE, after
LONGEST whatever was done, and when its row is deleted: by signing out, or by a change of its user.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg2.extras import Json

from vms.catalogue.connection import Connection, fetch_all, fetch_one

IDLE = timedelta(hours=2)
LONGEST = timedelta(hours=12)

WINDOW = timedelta(minutes=15)
MOST_FROM_ONE_PLACE = 5
MOST_FOR_ONE_NAME = 30
MOST_FROM_ONE_ADDRESS = 60
"""Failures within WINDOW after which it is to be waited: of a name from one address (so that a stranger elsewhere does
not lock a person out), of a name from anywhere, of an address (an office may share one) whatever the names."""

LONGEST_DEVICE = 300

_LATELY = "at > now() - %s"


@dataclass(frozen=True)
class SessionRow:
    """An open session and whose it is. scope: what they see, see Visitor in viewer.visitor.

    lang: the language that they chose for themselves, None for none.
    """

    user_id: int
    name: str
    role: str
    scope: str
    lang: str | None


@dataclass(frozen=True)
class OwnSession:
    """An open session as its owner sees it. mark: by which it is named. device: what its browser said of itself.

    Times are UTC.
    """

    mark: str
    made_at: datetime
    seen_at: datetime
    address: str
    device: str


@dataclass(frozen=True)
class Try:
    """A try to sign in that has been counted. wait_s: seconds to wait before it may be made, 0: go on.

    is_last: another failure means waiting.
    """

    try_id: int
    wait_s: int
    is_last: bool


@dataclass(frozen=True)
class Secret:
    """Who has this name, and the password as it is kept; user_id None: nobody who may sign in."""

    user_id: int | None
    name: str
    password: str | None


@dataclass(frozen=True)
class Entered:
    """Whom the provider let in: user_id, and the name here. how: "in", else why not (see v0020_identities.sql)."""

    user_id: int | None
    name: str | None
    how: str


def hash_of(token: str) -> bytes:
    """By which a session is known."""
    return hashlib.sha256(token.encode()).digest()


def begin_session(conn: Connection, user_id: int, address: str, device: str = "") -> str:
    """Open a session; returns its token, which is kept nowhere. Sessions that are over are swept away."""
    token = secrets.token_urlsafe(32)
    with conn, conn.cursor() as cursor:
        cursor.execute("DELETE FROM viewer_session WHERE seen_at < now() - %s OR made_at < now() - %s", (IDLE, LONGEST))
        cursor.execute(
            "INSERT INTO viewer_session (token_hash, user_id, made_at, seen_at, address, device)"
            " VALUES (%s, %s, now(), now(), %s, %s)",
            (hash_of(token), user_id, address, device[:LONGEST_DEVICE].replace("\0", "")),
        )
    return token


def open_session(conn: Connection, token_hash: bytes) -> SessionRow | None:
    """The session of this token, when it is open and its user may sign in."""
    found = fetch_one(
        conn,
        "SELECT u.user_id, u.name, u.role, CASE WHEN u.everywhere THEN '*' ELSE u.user_id || '.' || coalesce(("
        "   SELECT left(md5(string_agg(g.site_id || '/' || coalesce(g.camera_id, 0), ','"
        "                              ORDER BY g.site_id, g.camera_id)), 8)"
        "   FROM viewer_grant g WHERE g.user_id = u.user_id), '') END, u.lang"
        " FROM viewer_session s JOIN viewer_user u USING (user_id)"
        " WHERE s.token_hash = %s AND u.disabled_at IS NULL AND s.seen_at > now() - %s AND s.made_at > now() - %s",
        [token_hash, IDLE, LONGEST],
    )
    return SessionRow(*found) if found else None


def touch_session(conn: Connection, token_hash: bytes) -> None:
    """The person has just done something."""
    with conn, conn.cursor() as cursor:
        cursor.execute("UPDATE viewer_session SET seen_at = now() WHERE token_hash = %s", (token_hash,))


def end_session(conn: Connection, token_hash: bytes) -> None:
    """Sign out."""
    with conn, conn.cursor() as cursor:
        cursor.execute("DELETE FROM viewer_session WHERE token_hash = %s", (token_hash,))


def own_sessions(conn: Connection, user_id: int) -> list[OwnSession]:
    """The open sessions of a user, the one that did something last first."""
    found = fetch_all(
        conn,
        "SELECT left(encode(token_hash, 'hex'), 16), made_at, seen_at, address, device FROM viewer_session"
        " WHERE user_id = %s AND seen_at > now() - %s AND made_at > now() - %s ORDER BY seen_at DESC, made_at DESC",
        [user_id, IDLE, LONGEST],
    )
    return [OwnSession(*row) for row in found]


def end_own_sessions(conn: Connection, user_id: int, name: str, address: str, mark: str = "") -> int:
    """End the sessions of a user, or the one of this mark; returns how many there were. Written into the log."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "DELETE FROM viewer_session WHERE user_id = %s AND (%s = '' OR left(encode(token_hash, 'hex'), 16) = %s)",
            (user_id, mark, mark),
        )
        ended = cursor.rowcount
        if ended:
            cursor.execute(
                "INSERT INTO view_log (who, action, detail, address) VALUES (%s, 'sessions_ended', %s, %s)",
                (name, Json({"sessions": ended}), address),
            )
    return ended


def change_own_password(conn: Connection, token_hash: bytes, was: str, is_now: str, address: str) -> bool:
    """Another password for whose session it is; their other sessions end. was, is_now: as passwords are kept.

    False: nothing was changed, as the session has ended or somebody else changed it meanwhile.
    """
    return _ask(conn, "SELECT change_own_password(%s, %s, %s, %s)", token_hash, was, is_now, address)


def change_own_language(conn: Connection, token_hash: bytes, lang: str | None, address: str) -> bool:
    """The language of the pages for whose session it is, None: as the browser wants. False: the session has ended."""
    return _ask(conn, "SELECT change_own_language(%s, %s, %s)", token_hash, lang, address)


def _ask(conn: Connection, sql: str, *values: object) -> bool:
    with conn, conn.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchone() == (True,)


def secret_of(conn: Connection, name: str) -> Secret:
    """What is needed to check a password."""
    found = fetch_one(conn, "SELECT user_id, name, password, disabled_at FROM viewer_user WHERE name = %s", [name])
    if found is None:
        return Secret(None, "", None)
    return Secret(found[0] if found[3] is None else None, found[1], found[2])


def enter_by_provider(
    conn: Connection,
    issuer: str,
    subject: str,
    name: str,
    role: str,
    address: str,
    *,
    may_make: bool = False,
    everywhere: bool = False,
    sees: Sequence[tuple[str, str]] = (),
) -> Entered:
    """Who it is that the provider vouches for, as its subject, under this name, with this role ("" for none).

    may_make: make an account for who has none, which sees everywhere or these (site, camera) ids. Written into the log.
    """
    places = [f"{site}/{camera}" if camera else site for site, camera in sees]
    values = (issuer, subject, name, role or None, may_make, everywhere, places, address)
    with conn, conn.cursor() as cursor:
        cursor.execute("SELECT * FROM enter_by_provider(%s, %s, %s, %s, %s, %s, %s, %s)", values)
        return Entered(*(cursor.fetchone() or (None, None, "")))


def begin_try(conn: Connection, name: str, address: str) -> Try:
    """Count a try before its password is looked at. One that has to wait is not counted, so that waiting ends."""
    named = hashlib.sha256(name.encode()).digest()
    with conn, conn.cursor() as cursor:
        cursor.execute("DELETE FROM sign_in_try WHERE at < now() - interval '1 day'")
        cursor.execute(
            "INSERT INTO sign_in_try (at, name_hash, address) VALUES (clock_timestamp(), %s, %s) RETURNING try_id",
            (named, address),
        )
        (try_id,) = cursor.fetchone() or (0,)
    # after the commit, so that of many at once each sees all the others
    counted = fetch_one(
        conn,
        f"""
        SELECT p.many, n.many, a.many,
               ceil(extract(epoch FROM %s - (now() - least(p.oldest, n.oldest, a.oldest))))::int
        FROM (SELECT count(*), min(at) FROM sign_in_try WHERE name_hash = %s AND address = %s AND {_LATELY})
             AS p (many, oldest),
             (SELECT count(*), min(at) FROM sign_in_try WHERE name_hash = %s AND {_LATELY}) AS n (many, oldest),
             (SELECT count(*), min(at) FROM sign_in_try WHERE address = %s AND {_LATELY}) AS a (many, oldest)
        """,  # noqa: S608 (a constant)
        [WINDOW, named, address, WINDOW, named, WINDOW, address, WINDOW],
    ) or (0, 0, 0, 0)
    limits = (MOST_FROM_ONE_PLACE, MOST_FOR_ONE_NAME, MOST_FROM_ONE_ADDRESS)
    if any(many > most for many, most in zip(counted[:3], limits, strict=True)):
        forget_try(conn, try_id)
        return Try(try_id, max(1, counted[3]), is_last=True)
    return Try(try_id, 0, is_last=counted[0] == MOST_FROM_ONE_PLACE)


def forget_try(conn: Connection, try_id: int) -> None:
    """It was no failure."""
    with conn, conn.cursor() as cursor:
        cursor.execute("DELETE FROM sign_in_try WHERE try_id = %s", (try_id,))


def forgive(conn: Connection, name: str, address: str) -> None:
    """Somebody has signed in: earlier failures of this name from this address do not count any more."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "DELETE FROM sign_in_try WHERE name_hash = %s AND address = %s",
            (hashlib.sha256(name.encode()).digest(), address),
        )
