"""Rules that a bucket follows by itself: a backstop outside our own code, for when nothing of ours runs any more.

Objects expire a good while after the longest retention of their site; uploads in parts that were never finished are
aborted; old versions behind deletions are removed after the undo window. Expiry is by site, so that the store's own
identity file never expires. It is refused where the bucket could delete what is under a hold here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol, runtime_checkable

MARGIN = timedelta(days=30)
"""So long after the longest retention, counted from when the object was stored, the bucket itself deletes."""

PARTS = timedelta(days=7)
"""How long an upload in parts may stay unfinished."""

OURS = "vms-"
"""Rules whose name begins so are ours; all others of the bucket stay as they are."""


@dataclass(frozen=True)
class Lifecycle:
    """What a bucket is to do. expire: days by site; {} when refused says why not. old_versions: days.

    rules: as the bucket's own API writes them.
    """

    expire: Mapping[str, int]
    refused: str
    old_versions: int
    rules: tuple[dict[str, Any], ...]


@runtime_checkable
class HasLifecycle(Protocol):
    """A bucket that can follow rules."""

    def lifecycle(self, expire: Mapping[str, int], old_versions: int) -> Lifecycle:
        """The rules for these sites, without writing them."""

    def write_lifecycle(self, wanted: Lifecycle) -> None:
        """Put them into the bucket in place of our earlier ones; rules of others stay."""
