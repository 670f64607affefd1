"""Branches: who was invited, who joined with which certificates, and who was shut out. Only for the owner's role.

Every change is written into the log of who did what in the transaction that makes it. All times are UTC.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg2.extensions import cursor as Cursor  # noqa: N812 (psycopg2 names its class in lower case)
from psycopg2.extras import Json

from vms.branches.authority import Issued
from vms.catalogue.connection import Connection, fetch_all
from vms.errors import BranchError, BranchUnreachable

MOST_CERTIFICATES = 8
"""That a branch may have at a time: it renews once in two months, and a stolen one must not fill the catalogue."""

ASK_FOR_TOKEN = "Ask the centre for a new one: `vms branch invite {site}`."  # noqa: S105 - a sentence
_LONGEST = 200


@dataclass(frozen=True)
class BranchRow:
    """One branch. state: invited, joined, revoked, or expired (nobody came, or its certificate is over).

    until: when its last certificate ends, or ended.
    """

    site: str
    state: str
    invited_at: datetime
    invited_by: str
    token_until: datetime
    joined_at: datetime | None
    machine: str
    version: str
    until: datetime | None
    seen_at: datetime | None
    seen_from: str
    revoked_at: datetime | None
    revoked_by: str | None


@dataclass(frozen=True)
class Asker:
    """The machine that asks: from where, and what it says of itself. key: SHA-256 of its public key."""

    address: str
    machine: str
    version: str
    key: bytes


def invite(conn: Connection, site: str, token: bytes, until: datetime, who: str, now: datetime) -> None:
    """Let a machine join for this site with the secret that has this hash; an older invitation ends."""
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "INSERT INTO branch (site, invited_at, invited_by, token, token_until) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT (site) DO UPDATE SET invited_at = excluded.invited_at, invited_by = excluded.invited_by,"
            " token = excluded.token, token_until = excluded.token_until, token_used_at = NULL, key = NULL",
            (site, now, who, token, until),
        )
        _log(cursor, who, "branch_invited", {"site": site})


def join(
    conn: Connection, site: str, token: bytes, asker: Asker, issue: Callable[[], Issued], now: datetime
) -> tuple[Issued, bool]:
    """Use up the invitation and keep the certificate that issue makes; what the site had before ends. The same machine
    may ask again until the invitation is over. Returns the certificate, and whether it was the first time.

    Raises BranchError when the token is not the site's newest, was used by another machine, or is over.
    """
    with conn, conn.cursor() as cursor:
        cursor.execute("SELECT token, token_until, token_used_at, key FROM branch WHERE site = %s FOR UPDATE", (site,))
        row = cursor.fetchone()
        kept, until, used_at, key = row or (bytes(32), now, None, None)
        if not hmac.compare_digest(bytes(kept), token) or row is None:
            raise BranchError(
                f"This token lets nobody join for the site {site}: it is mistyped, or a newer one was made since.",
                ASK_FOR_TOKEN.format(site=site),
            )
        again = used_at is not None and hmac.compare_digest(bytes(key or b""), asker.key)
        if used_at is not None and not again:
            raise BranchError(
                f"This token was used already, on {used_at:%Y-%m-%d at %H:%M} UTC, by another machine.",
                "If that was not you: `vms branch revoke` at the centre, now. " + ASK_FOR_TOKEN.format(site=site),
            )
        if now > until:
            raise BranchError(f"This token ended on {until:%Y-%m-%d at %H:%M} UTC.", ASK_FOR_TOKEN.format(site=site))
        issued = issue()
        cursor.execute(
            "UPDATE branch_certificate SET revoked_at = %s WHERE site = %s AND revoked_at IS NULL", (now, site)
        )
        _keep(cursor, site, issued, now)
        cursor.execute(
            "UPDATE branch SET token_used_at = coalesce(token_used_at, %s), key = %s, joined_at = %s, machine = %s,"
            " version = %s, seen_at = %s, seen_from = %s, revoked_at = NULL, revoked_by = NULL WHERE site = %s",
            (now, asker.key, now, _short(asker.machine), _short(asker.version), now, asker.address, site),
        )
        detail = {"site": site, "machine": _short(asker.machine), "version": _short(asker.version)}
        _log(cursor, f"branch-{site}", "branch_joined", detail, asker.address)
    return issued, not again


def renew(conn: Connection, site: str, asker: Asker, issue: Callable[[], Issued], now: datetime) -> Issued:
    """Another certificate for a branch that has proven itself by one that counts; the older ones come to their end.

    Raises BranchError when it was revoked meanwhile, BranchUnreachable when it has too many.
    """
    with conn, conn.cursor() as cursor:
        cursor.execute("SELECT revoked_at FROM branch WHERE site = %s FOR UPDATE", (site,))
        row = cursor.fetchone()
        cursor.execute(
            "SELECT count(*) FROM branch_certificate WHERE site = %s AND revoked_at IS NULL AND not_after > %s",
            (site, now),
        )
        (count,) = cursor.fetchone() or (0,)
        if row is None or row[0] is not None or not count:
            raise BranchError(f"The branch {site} was shut out.", ASK_FOR_TOKEN.format(site=site))
        if count >= MOST_CERTIFICATES:
            raise BranchUnreachable(
                f"The branch {site} has {count} certificates already.",
                "It asks far too often. Look at the machine; if it is stolen: `vms branch revoke` at the centre.",
            )
        issued = issue()
        _keep(cursor, site, issued, now)
        cursor.execute(
            "UPDATE branch SET machine = %s, version = %s WHERE site = %s",
            (_short(asker.machine), _short(asker.version), site),
        )
        _log(cursor, f"branch-{site}", "branch_renewed", {"site": site}, asker.address)
    return issued


def revoke(conn: Connection, site: str, who: str, now: datetime) -> None:
    """Shut the branch out: no certificate and no invitation of it counts any more.

    Raises BranchError when there is none of this site.
    """
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "UPDATE branch SET revoked_at = coalesce(revoked_at, %s), revoked_by = coalesce(revoked_by, %s),"
            " token_until = least(token_until, %s) WHERE site = %s",
            (now, who, now, site),
        )
        if not cursor.rowcount:
            raise BranchError(f"No branch was ever invited for the site {site}.", "`vms branch list` shows them.")
        cursor.execute(
            "UPDATE branch_certificate SET revoked_at = %s WHERE site = %s AND revoked_at IS NULL", (now, site)
        )
        _log(cursor, who, "branch_revoked", {"site": site})


def list_branches(conn: Connection, now: datetime) -> list[BranchRow]:
    """All that were ever invited, by site."""
    found = fetch_all(
        conn,
        """
        SELECT b.site,
               CASE WHEN b.revoked_at IS NOT NULL AND b.invited_at <= b.revoked_at THEN 'revoked'
                    WHEN c.until > %(now)s THEN 'joined'
                    WHEN b.token_used_at IS NULL AND b.token_until > %(now)s THEN 'invited' ELSE 'expired' END,
               b.invited_at, b.invited_by, b.token_until, b.joined_at, b.machine, b.version, c.until, b.seen_at,
               b.seen_from, b.revoked_at, b.revoked_by
        FROM branch b LEFT JOIN LATERAL (
            SELECT max(not_after) FROM branch_certificate
            WHERE branch_certificate.site = b.site AND revoked_at IS NULL
        ) AS c (until) ON true
        ORDER BY b.site
        """,
        {"now": now},
    )
    return [BranchRow(*row) for row in found]


def counting_certificates(conn: Connection, now: datetime) -> dict[str, str]:
    """The site of each certificate that counts now, by its serial."""
    found = fetch_all(
        conn, "SELECT serial, site FROM branch_certificate WHERE revoked_at IS NULL AND not_after > %s", [now]
    )
    return dict(found)


def note_seen(conn: Connection, seen: Mapping[str, tuple[datetime, str]]) -> None:
    """When, and from which address, these sites' branches last asked for something."""
    if not seen:
        return
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "UPDATE branch SET seen_at = s.at, seen_from = s.address"
            " FROM unnest(%s, %s::timestamptz[], %s) AS s (site, at, address) WHERE branch.site = s.site",
            (list(seen), [at for at, _ in seen.values()], [address for _, address in seen.values()]),
        )


def log_refused(conn: Connection, who: str, why: str, address: str) -> None:
    """Somebody with a branch's certificate, or who passes for the proxy, asked for what is not theirs."""
    with conn, conn.cursor() as cursor:
        _log(cursor, who, "branch_refused", {"why": _short(why)}, address)


def _keep(cursor: Cursor, site: str, issued: Issued, now: datetime) -> None:
    cursor.execute(
        "INSERT INTO branch_certificate (serial, site, issued_at, not_after) VALUES (%s, %s, %s, %s)",
        (issued.serial, site, now, issued.not_after),
    )


def _log(cursor: Cursor, who: str, action: str, detail: dict[str, Any], address: str = "") -> None:
    cursor.execute(
        "INSERT INTO view_log (who, action, detail, address) VALUES (%s, %s, %s, %s)",
        (who, action, Json(detail), address),
    )


def _short(text: str) -> str:
    """What a branch says of itself, as it may be kept and shown."""
    return "".join(char for char in text if char.isprintable())[:_LONGEST]
