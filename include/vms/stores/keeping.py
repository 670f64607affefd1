"""What some stores can do beyond `base.Store` to keep an object, or to bring it back.

A store that can has the methods of the protocol; nothing else says so. None of this replaces the catalogue's own holds
and marks, which count whatever a store can.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Protection:
    """Why the store itself refuses to delete an object. until: UTC; None: until somebody lifts it."""

    why: str
    until: datetime | None


@runtime_checkable
class SetsAside(Protocol):
    """Can delete so that it can be undone, until it is cleared."""

    def set_aside(self, keys: Iterable[str]) -> list[str]:
        """As `delete`: the keys confirmed to have no object any more; but they can be brought back."""

    def clear_aside(self, before: date) -> int:
        """Remove for good what was set aside before this day (UTC); how many bytes that freed."""


@runtime_checkable
class BringsBack(Protocol):
    """Can undo a deletion, for as long as it has what was deleted."""

    def bring_back(self, keys: Iterable[str]) -> list[str]:
        """The keys under which the deleted object lies again, or still. Idempotent."""


@runtime_checkable
class Holds(Protocol):
    """Has holds of its own on objects, where the bucket was made for them."""

    def hold(self, keys: Iterable[str], *, on: bool) -> dict[str, str]:
        """Put a hold on each object, or take it off. By key why it was not done, "" where it was."""


@runtime_checkable
class Protects(Protocol):
    """May refuse to delete an object for a time."""

    def protection(self, key: str) -> Protection | None:
        """What keeps this object from being deleted; None when nothing does, or it is not there."""
