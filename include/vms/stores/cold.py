"""Objects in classes from which they can't be read before the store has restored them for some days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

COLD_CLASSES: dict[str, int] = {"GLACIER": 5, "DEEP_ARCHIVE": 12}
"""By class, in how many hours its store restores as a rule. Google's classes can all be read at once."""

KEPT_DAYS = 7
"""For how long what was restored can be read, unless it is asked for again."""


@dataclass(frozen=True)
class Cold:
    """An object in such a class. until: to when it can be read, when it is ready (UTC; None when that is not told)."""

    storage_class: str
    state: Literal["asleep", "waking", "ready"]
    until: datetime | None = None

    @property
    def hours(self) -> int:
        """How long a restore takes as a rule."""
        return COLD_CLASSES.get(self.storage_class, max(COLD_CLASSES.values()))


@runtime_checkable
class Sleeps(Protocol):
    """May have objects in such classes."""

    def coldness(self, key: str) -> Cold | None:
        """How cold the object is; None when it can be read at once. ObjectMissing when there is none."""

    def wake(self, key: str) -> None:
        """Ask for the restore; the same again changes nothing. It costs what the store takes for it."""
