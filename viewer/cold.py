"""Recordings whose copies all lie in cold storage: whether one can be read, and asking for a restore."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from viewer import formats
from viewer.i18n import Words
from vms.errors import ConfigError, StoreError
from vms.stores import open_store
from vms.stores.cold import COLD_CLASSES, Cold, Sleeps

log = logging.getLogger(__name__)

_BEST_FIRST = ("ready", "waking", "asleep")


def may_be(places: Sequence[Any]) -> bool:
    """Whether it looks so from what the stores give new objects, without asking them."""
    return bool(places) and all(one.storage_class in COLD_CLASSES for one in places)


def of(places: Sequence[Any]) -> Cold | None:
    """How cold the recording is; None when one of its copies can be read at once, or no store says anything."""
    found = []
    for place in places:
        try:
            store = _store(place)
            cold = store.coldness(place.key) if isinstance(store, Sleeps) else None
        except (StoreError, ConfigError, OSError) as error:
            log.warning("Store %s does not say how cold %s is: %s", place.store_name, place.key, error)
            continue
        if cold is None:
            return None
        found.append(cold)
    return min(found, key=lambda one: (_BEST_FIRST.index(one.state), one.hours)) if found else None


def wake(places: Sequence[Any]) -> None:
    """Ask for the restore of the copy that is restored soonest. Raises StoreError, ConfigError."""
    asked = []
    for place in places:
        store = _store(place)
        cold = store.coldness(place.key) if isinstance(store, Sleeps) else None
        if isinstance(store, Sleeps) and cold is not None:
            asked.append((cold.hours, place.key, store))
    if asked:
        _, key, store = min(asked, key=lambda one: one[:2])
        store.wake(key)


def told(words: Words, cold: Cold | None, zone: str) -> dict[str, Any] | None:
    """As the page of a recording shows it."""
    if cold is None:
        return None
    if cold.state == "asleep":
        text = words("cold.asleep", hours=cold.hours, store_class=cold.storage_class)
    elif cold.state == "waking":
        text = words("cold.waking", hours=cold.hours)
    elif cold.until is not None:
        text = words("cold.ready", until=formats.moment(words, cold.until, zone))
    else:
        text = words("cold.ready.open")
    return {"state": cold.state, "text": text, "ask": words("cold.ask") if cold.state == "asleep" else ""}


def _store(place: Any) -> Any:
    store = open_store(place.store_name, place.store_url, conn_id=place.store_conn_id)
    if place.store_identity:
        store.identify(place.store_identity)
    return store
