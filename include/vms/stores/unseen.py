"""Putting into a store without looking into it: all that a branch's keys may do, so that stolen ones open nothing.

The store itself checks the bytes while it takes them, and refuses to overwrite; that it really holds them is proven by
the centre, whose keys can read, before anything counts as archived.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from vms.stores.base import Progress


@dataclass(frozen=True)
class Unseen:
    """The end of a put: the object is there now, this one or another that was there before. checksum: of the file, in
    the store's own kind ("crc32:..."), to be compared with what the store shows to who may look. bytes_sent: also of a
    file that was refused in the end, as there was an object."""

    checksum: str
    bytes_sent: int


@runtime_checkable
class PutsUnseen(Protocol):
    """A store that can be filled by who may not read, list or delete there, nor see whose store it is."""

    def put_unseen(
        self,
        file: Path,
        key: str,
        *,
        sha256: str,
        size_bytes: int,
        progress: Progress | None = None,
        preview: bool = False,
    ) -> Unseen:
        """Put the file under the key, once; an object that is there is left as it is, whatever it is.

        Like `vms.stores.base.Store.put`, but nothing is proven by it. FileRotted when the file is not as told.
        """
