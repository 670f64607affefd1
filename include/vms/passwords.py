"""Passwords of the viewer's users: how they are kept (argon2id), checked, and made up."""

from __future__ import annotations

import os
import secrets
import threading
from functools import lru_cache

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from vms.errors import UserError

SHORTEST = 10
LONGEST = 200

_PASSES, _LANES, _KIB, _SALT, _LENGTH = 3, 1, 64 * 1024, 16, 32
"""About 0.2 s and 64 MiB a try: little for a person, much for somebody who tries millions."""


def check_new(password: str, name: str) -> None:
    """Raises UserError when this will not do as the password of the user of this name."""
    if len(password) < SHORTEST or len(password) > LONGEST or len(set(password)) < 5:
        raise UserError(
            f"The password must have {SHORTEST} to {LONGEST} characters, at least five of them different.",
            "A few words in a row are easy to remember and hard to guess.",
        )
    if name in password.lower():
        raise UserError("The password contains the name of the user.", "Choose one that says nothing about them.")


def made_up() -> str:
    """A password that nobody can guess."""
    return secrets.token_urlsafe(15)


def hashed(password: str) -> str:
    """As it is kept: argon2id with its costs and a salt of its own, in the usual text form."""
    kdf = Argon2id(salt=os.urandom(_SALT), length=_LENGTH, iterations=_PASSES, lanes=_LANES, memory_cost=_KIB)
    return kdf.derive_phc_encoded(password.encode())


def is_right(password: str, kept: str | None) -> bool:
    """Whether this is the password that is kept. kept None: of nobody; it takes as long, and the answer is no."""
    try:
        Argon2id.verify_phc_encoded(password.encode(), kept or _of_nobody())
    except InvalidKey:
        return False
    return kept is not None


_at_once = threading.BoundedSemaphore(2)


def is_right_now(password: str, kept: str | None) -> bool:
    """As is_right, where many may ask at once: at most two are looked at at a time, each of which takes 64 MiB."""
    with _at_once:
        return is_right(password, kept)


@lru_cache(maxsize=1)
def _of_nobody() -> str:
    return hashed(secrets.token_urlsafe())
