"""What a store must do, whatever it is made of: the protocol that NAS/SAN, S3 and Google Cloud Storage fulfil alike.

A store holds objects under keys and never overwrites one: footage is evidence. Everything that knows more about a store
than this protocol says lies in that store's own file; tests/integration/stores runs one suite over all of them.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

from vms.errors import StoreError
from vms.model import NO_OPTIONS, StoreOptions

_KEY_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}\Z")
_KEY_LIMIT = 800

CHUNK_BYTES = 4 << 20
"""How much of an object is read, hashed and written at a time."""

Progress = Callable[[int], None]
"""Told during a put how many bytes of the object have been sent so far."""

Pace = Callable[[int], int]
"""Asked before bytes go out over a line: told how many are at hand, it waits for their turn and says how many of them
may go now, at least 1. What it raises ends the put."""

Tell = Callable[[str], None]
"""Told during a check what is tried next, for whoever waits for it."""


class ObjectMissing(StoreError):
    """The store was reached and has no object of this key."""


class FileRotted(StoreError):
    """The local file that was to be put is gone, unreadable or not of the size and hash it should have."""


@dataclass(frozen=True)
class StoredObject:
    """One object as the store itself describes it.

    sha256: None when the store does not know it. checksum: what the store vouches for, as "<algorithm>:<value>", or "".
    modified_at: UTC, by the store's clock. bytes_sent: by the put that returned this; 0 when it was there already.
    """

    key: str
    size_bytes: int
    sha256: str | None
    checksum: str
    modified_at: datetime
    bytes_sent: int = 0


@dataclass(frozen=True)
class Finding:
    """One thing that `check` looked at. remedy: what to do next, "" when ok. numbers: what was measured, with units in
    their names, for programs."""

    ok: bool
    what: str
    remedy: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)


class Store(Protocol):
    """A place for objects. Safe to use from several threads and from several processes at the same time.

    Any method raises StoreUnreachable when the store is away or is another store than the one identified, StoreFull
    when it has no space left, and StoreError for anything else it refuses (also for what `is_key` says is no key).
    """

    @property
    def name(self) -> str:
        """Its name in sites.yaml, for messages."""

    @property
    def url(self) -> str:
        """Where it is, without secrets."""

    def identify(self, expected: str | None) -> str:
        """The identity that the store carries; put, list and delete are refused before this has been called.

        expected: what the catalogue knows it by; a store that carries none or another is StoreUnreachable and is not
        written to. None (first contact): a store that carries an identity is taken as it is; a new or empty one gets
        one; one that holds other things without an identity is StoreUnreachable. Idempotent.
        """

    def put(
        self,
        file: Path,
        key: str,
        *,
        sha256: str,
        size_bytes: int,
        progress: Progress | None = None,
        preview: bool = False,
    ) -> StoredObject:
        """Put the file under the key, once, and return when the store has proven that it holds these very bytes.

        sha256 and size_bytes are what the file must have; FileRotted when it has not, and nothing is left under the
        key. An equal object under the key is proven anew and no byte is sent (bytes_sent 0, the file is not read and
        may be gone); a different one is StoreConflict and stays untouched. Idempotent; killed at any instruction, the
        key has the whole object or none. preview: it gets of the store's options only the encryption, so that it can
        be read at once and taken away again.
        """

    def head(self, key: str) -> StoredObject | None:
        """The object as the store describes it now; None only when the store was reached and has no such object."""

    def open_range(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The object's bytes from offset `start` (0 is the first byte), `length` of them or all to its end.

        Fewer where the object ends; none when start is at or past its end. ObjectMissing at the call when there is no
        such object. Chunks are at most CHUNK_BYTES long. ValueError for a negative start or length.
        """

    def list(self, prefix: str = "", after: str = "") -> Iterator[StoredObject]:
        """Every object whose key begins with the text `prefix` and sorts behind `after`, in key order, lazily.

        Keys sort by their bytes. Unfinished puts are not listed.

        Never ends early in silence: a store that goes away before all is read raises StoreUnreachable.
        """

    def delete(self, keys: Iterable[str]) -> builtins.list[str]:
        """Delete these objects; returns the keys that are confirmed gone, also those that were not there. Idempotent.

        One key that can't be deleted does not keep the others from it; it is missing in the result.
        """

    def check(self, tell: Tell | None = None) -> builtins.list[Finding]:
        """What works and what does not, found by really doing it with a small probe object that is removed again.

        Never raises: an unreachable store is a finding. Call `identify` first where the store's identity is known;
        without, a new store gets its identity here.
        """

    def free_bytes(self) -> int | None:
        """Space left for objects; None when the store does not know (object stores have no limit)."""


def preview_options(options: StoreOptions) -> StoreOptions:
    """Of a store's options, those that hold for previews, for the store's own identity file and for probes."""
    return replace(NO_OPTIONS, encryption=options.encryption, read_back=options.read_back)


def lies_behind(name: str, after: str) -> bool:
    """Whether a listing that goes on behind `after` has to look at this key, or (with its slash) into this folder."""
    return name > after or (name.endswith("/") and after.startswith(name))


def is_key(key: str) -> bool:
    """Whether it is parts of letters, digits, `.`, `_`, `-` that do not begin with a dot, joined by single slashes."""
    return len(key) <= _KEY_LIMIT and all(_KEY_PART.match(part) for part in key.split("/"))


def valid_key(key: str) -> str:
    """The key itself; StoreError when it is none, so that no key leaves the store's root or meets its own files."""
    if not is_key(key):
        raise StoreError(
            f"{key[:200]!r} is no key of a store.",
            "Keys are made of site, camera, date and fingerprint; check the ids in sites.yaml: a-z, 0-9 and '-' only.",
        )
    return key


def valid_range(start: int, length: int | None) -> None:
    """Raises ValueError for what no range of an object can be."""
    if start < 0 or (length is not None and length < 0):
        raise ValueError("start and length of a range can't be negative")
