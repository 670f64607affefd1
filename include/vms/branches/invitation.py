"""The token by which a branch joins: `SITE.SECRET.PIN`, of which the catalogue keeps but a hash of the secret.

PIN is the SHA-256 of the authority's public key, so that the branch knows the centre before it says anything.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from datetime import timedelta

from vms.errors import BranchError

VALID_FOR = timedelta(hours=24)
_TOKEN = re.compile(r"([a-z0-9-]{1,64})\.([A-Za-z0-9_-]{43})\.([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True)
class Invitation:
    """secret: whoever has it may join for the site, once."""

    site: str
    secret: str = field(repr=False)
    pin: str

    @property
    def text(self) -> str:
        return f"{self.site}.{self.secret}.{self.pin}"

    @property
    def hashed(self) -> bytes:
        return hashlib.sha256(self.secret.encode()).digest()


def invite(site: str, pin: str) -> Invitation:
    """A new one; pin: of the authority."""
    return Invitation(site, secrets.token_urlsafe(32), pin)


def read_token(text: str) -> Invitation:
    """Raises BranchError when it is no token, or only a part of one."""
    found = _TOKEN.fullmatch(text.strip())
    if found is None:
        raise BranchError(
            "This is not a whole token: it has three parts with dots between them, and no blanks.",
            "Copy all of the line that `vms branch invite` printed at the centre.",
        )
    return Invitation(*found.groups())
