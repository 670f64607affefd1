"""Proof by reading: an object's bytes are fetched again and hashed, for servers that check no checksum themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from vms.errors import StoreUnreachable

_TRIES = 3


def hash_of(open_range: Callable[[str, int], Iterator[bytes]], key: str, size_bytes: int) -> str:
    """The SHA-256 (hex) of an object of this size as its store returns it now; of fewer bytes when it ends early.

    After a break it goes on where it was. Raises StoreUnreachable when three tries in a row bring nothing.
    """
    digest = hashlib.sha256()
    at = tries = 0
    while at < size_bytes:
        before = at
        try:
            for chunk in open_range(key, at):
                digest.update(chunk)
                at += len(chunk)
            break
        except StoreUnreachable:
            tries = 1 if at > before else tries + 1
            if tries == _TRIES:
                raise
    return digest.hexdigest()
