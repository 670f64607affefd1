"""The first administrator of an installation, and where passwords lie that were made up."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from vms import passwords
from vms.catalogue import users
from vms.catalogue.connection import connect
from vms.home import Home

FIRST = "admin"
_FIRST_PASSWORD = "viewer_admin"  # noqa: S105 - the name of a secret, not the secret


def first_password_file(home: Home) -> Path:
    """Where the password of the first administrator lies, until it is changed; then there is no such file."""
    return home.secrets / _FIRST_PASSWORD


def made_up_password_file(home: Home, name: str) -> Path:
    """Where a password that was made up for this user lies, until they have another one."""
    return first_password_file(home) if name == FIRST else home.secrets / f"viewer_user_{name}"


def ensure_administrator(home: Home, owner_url: str) -> None:
    """Make the first administrator, with a password made up for them, where there is no user at all."""
    with closing(connect(owner_url)) as conn:
        if not users.list_users(conn):
            made_up = home.secret(_FIRST_PASSWORD, 12)
            users.add_user(
                conn, FIRST, "administrator", passwords.hashed(made_up), "vms up", datetime.now(UTC), everywhere=True
            )
