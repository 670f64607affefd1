"""How cold a recording is that lies in one or several stores, and asking for its restore."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Literal

from vms.errors import ConfigError, StoreError
from vms.stores import open_store
from vms.stores.cold import Cold, Sleeps

log = logging.getLogger(__name__)

_BEST_FIRST = ("ready", "waking", "asleep")


def of(places: Sequence[Any]) -> Cold | Literal["readable", "unknown"]:
    """How cold it is; readable when one of its copies can be read at once, unknown when no store says anything."""
    found: list[Cold] = []
    for place in places:
        try:
            store = _store(place)
            cold: Cold | None = store.coldness(place.key) if isinstance(store, Sleeps) else None
        except (StoreError, ConfigError, OSError) as error:
            log.warning("Store %s does not say how cold %s is: %s", place.store_name, place.key, error)
            continue
        if cold is None:
            return "readable"
        found.append(cold)
    if not found:
        return "unknown"
    best: Cold = min(found, key=lambda one: (_BEST_FIRST.index(one.state), one.hours))
    return best


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


def _store(place: Any) -> Any:
    store = open_store(place.store_name, place.store_url, conn_id=place.store_conn_id)
    if place.store_identity:
        store.identify(place.store_identity)
    return store
