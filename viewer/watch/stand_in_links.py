"""Signed links to the stand-ins of one recording, for one session: `/api/watch/piece/<token>/<number>.ts`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from itsdangerous import BadData, URLSafeSerializer

from viewer import tokens
from viewer.watch.stand_ins import QUALITIES, Quality
from vms.home import Home


@dataclass(frozen=True)
class Grant:
    """What a link allows, to the session of this mark."""

    recording_id: int
    start_utc: datetime
    quality: Quality
    mark: str


def issue(
    home: Home, mark: str, recording_id: int, start_utc: datetime, quality: Quality, prefix: str
) -> tuple[str, int]:
    """(path of the link without a number, its expiry in seconds since 1970): good for a quarter of an hour at least."""
    expires = tokens.expiry(tokens.LIFETIME_S)
    said = [recording_id, tokens.microseconds(start_utc), QUALITIES.index(quality), expires, mark]
    return f"{prefix}/piece/{_signer(home).dumps(said)}", expires


def check(home: Home, token: str) -> Grant:
    """What this token allows. Raises tokens.Forged or tokens.Expired."""
    try:
        recording_id, start, quality, expires, mark = _signer(home).loads(token[:1000])
    except (BadData, ValueError, TypeError) as error:
        raise tokens.Forged from error
    if time.time() > expires:
        raise tokens.Expired
    return Grant(recording_id, tokens.EPOCH + timedelta(microseconds=start), QUALITIES[quality], mark)


@lru_cache(maxsize=8)
def _signer(home: Home) -> URLSafeSerializer:
    return URLSafeSerializer(home.secret("viewer_media"), salt="stand-in")
