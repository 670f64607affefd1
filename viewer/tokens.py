"""Signed links to one part of one recording for one session: what `/m/<token>` accepts.

A token says which recording, which part (rendition, poster, sprite), whether it is shown or saved, in whose session,
and until when. The expiry is rounded, so that a page that is drawn again soon gives the same links and the browser
keeps what it has already loaded.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal

from itsdangerous import BadData, URLSafeSerializer

from vms.home import Home

Part = Literal["rendition", "poster", "sprite"]
Disposition = Literal["inline", "attachment"]

LIFETIME_S = 900
"""Of links to footage, at least; pages that play it ask for new ones in time."""
LONGER_S = 3600
"""Of links to what is taken away, which may break off and be gone on with, and to posters and sprite sheets, which a
page that is left open loads when they are scrolled to."""

_PARTS: dict[str, Part] = {"r": "rendition", "p": "poster", "s": "sprite"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Forged(Exception):
    """The token was not made by this installation, or was changed."""


class Expired(Exception):
    """The token was good once."""


def expiry(lifetime_s: int) -> int:
    """Seconds since 1970: so long from now at least, and up to a quarter of an hour or a third of it more."""
    step = min(900, lifetime_s // 3)
    return (int(time.time()) // step + 1) * step + lifetime_s


@dataclass(frozen=True)
class Grant:
    """What a token allows, to the session of this mark. expires: seconds since 1970."""

    recording_id: int
    start_utc: datetime
    part: Part
    disposition: Disposition
    expires: int
    mark: str


def issue(
    home: Home, mark: str, recording_id: int, start_utc: datetime, part: Part, disposition: Disposition = "inline"
) -> tuple[str, int]:
    """(path of the link, its expiry in seconds since 1970): good for at least a quarter of an hour, in the session of
    this mark."""
    expires = expiry(LIFETIME_S if part == "rendition" and disposition == "inline" else LONGER_S)
    said = [recording_id, microseconds(start_utc), part[0], disposition == "attachment", expires, mark]
    token = _signer(home).dumps(said)
    return f"/m/{token}", expires


def check(home: Home, token: str) -> Grant:
    """What this token allows. Raises Forged or Expired."""
    try:
        recording_id, start, part, attachment, expires, mark = _signer(home).loads(token[:1000])
    except (BadData, ValueError, TypeError) as error:
        raise Forged from error
    if time.time() > expires:
        raise Expired
    return Grant(
        recording_id,
        EPOCH + timedelta(microseconds=start),
        _PARTS[part],
        "attachment" if attachment else "inline",
        expires,
        mark,
    )


def issue_export(home: Home, mark: str, export_id: int) -> str:
    """The path of the link to an export's ZIP: good for at least an hour, in the session of this mark."""
    return f"/m/export/{_export_signer(home).dumps([export_id, expiry(LONGER_S), mark])}"


def check_export(home: Home, token: str, mark: str) -> int:
    """Which export this token allows to the session of this mark. Raises Forged or Expired."""
    try:
        export_id, expires, whose = _export_signer(home).loads(token[:1000])
    except (BadData, ValueError, TypeError) as error:
        raise Forged from error
    if whose != mark:
        raise Forged
    if time.time() > expires:
        raise Expired
    return int(export_id)


def microseconds(at: datetime) -> int:
    """Whole microseconds since 1970, exact (a float of seconds would not be)."""
    return (at - EPOCH) // timedelta(microseconds=1)


@lru_cache(maxsize=8)
def _signer(home: Home) -> URLSafeSerializer:
    return URLSafeSerializer(home.secret("viewer_media"), salt="media")


@lru_cache(maxsize=8)
def _export_signer(home: Home) -> URLSafeSerializer:
    return URLSafeSerializer(home.secret("viewer_media"), salt="export")
