"""Footage that browsers fetch from its bucket themselves: the viewer answers with the address of a signed link.

What is played, from buckets at Amazon and Google that answer; downloads, too, where sites.yaml asks for it, store by
store (`viewer: redirect`). After everything has been checked as for bytes that pass through. Whoever has such a link
can use it for LASTS_S seconds, whatever happens to the session meanwhile.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from viewer import tokens
from vms.config import load_config
from vms.errors import ConfigError, RestoreNeeded, VmsError
from vms.home import Home
from vms.stores import ObjectMissing, Store, open_store
from vms.stores.cold import Sleeps
from vms.stores.identity import IDENTITY_FILE
from vms.stores.links import CanNotSign, GivesLinks, is_answered, is_public, origin

log = logging.getLogger(__name__)

LASTS_S = 300
_LOOKED_S = 60.0
"""How long an object counts as there after the store has shown it: a player asks every few seconds."""

_FRESH_S = 60.0
_FIRST_S = 3.0
"""How long the very first page waits for it."""

_MOST = 4096


class Direct:
    """Knows which stores browsers may go to, and signs the links."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._read_of: int | None = None
        self._reader: threading.Thread | None = None
        self._stores: dict[tuple[str, str], str] = {}
        self._origins: tuple[str, ...] = ()
        self._looked: dict[tuple[str, str], float] = {}

    def origins(self) -> tuple[str, ...]:
        """Where pages must be allowed to read footage from. Empty when all passes through the viewer."""
        self._read()
        return self._origins

    def goes(self, place: Any, disposition: tokens.Disposition = "inline") -> bool:
        """Whether browsers shall fetch from this place themselves. Downloads only where sites.yaml asks for it: a
        player comes back when nothing answers there, a download does not."""
        self._read()
        said = self._stores.get((place.store_name, place.store_url))
        return bool(said) if disposition == "attachment" else said is not None

    def link(self, place: Any, media_type: str, disposition: str, scheme: str) -> str | None:
        """The address of the object; None when its bytes have to pass through after all.

        scheme: of the viewer's page, from which a browser does not go to a store without TLS when it has come by TLS.
        Raises StoreError or ConfigError when the store is away, has no such object or must restore it first.
        """
        store = open_store(place.store_name, place.store_url, conn_id=place.store_conn_id)
        if not isinstance(store, GivesLinks):
            return None
        at = (place.store_url, place.key)
        if time.monotonic() - self._looked.get(at, -_LOOKED_S) >= _LOOKED_S:
            if place.store_identity:
                store.identify(place.store_identity)
            _must_be_readable(store, place)
            self._remember(at)
        try:
            made = store.link(place.key, LASTS_S, media_type, disposition, self._address(place))
        except CanNotSign as error:
            log.info("Footage of store %s passes through the viewer: %s", place.store_name, error)
            return None
        return None if scheme == "https" and urlsplit(made).scheme != "https" else made

    def _remember(self, at: tuple[str, str]) -> None:
        with self._lock:
            if len(self._looked) >= _MOST:
                self._looked.clear()
            self._looked[at] = time.monotonic()

    def _address(self, place: Any) -> str:
        text = self._stores.get((place.store_name, place.store_url), "")
        return "" if text == "redirect" else text

    def _read(self) -> None:
        """What sites.yaml says, read again every minute beside the answers: a cloud may take its time to sign."""
        mark = int(time.monotonic() // _FRESH_S)
        with self._lock:
            if mark == self._read_of or (self._reader and self._reader.is_alive()):
                return
            is_first, self._read_of = self._read_of is None, mark
            self._reader = threading.Thread(target=self._read_now, daemon=True)
            self._reader.start()
        if is_first:
            self._reader.join(_FIRST_S)

    def _read_now(self) -> None:
        stores: dict[tuple[str, str], str] = {}
        origins = []
        try:
            known = load_config(self._home.sites_file).stores
        except ConfigError:
            known = ()  # every page says so
        for one in known:
            if one.browsers == "through" or one.url.startswith("file:"):
                continue
            try:
                store = open_store(one.name, one.url, conn_id=one.conn_id)
                if not isinstance(store, GivesLinks):
                    continue
                address = "" if one.browsers == "redirect" else one.browsers
                link = store.link(IDENTITY_FILE, 60, "text/plain", "inline", address)
                if one.browsers or (is_public(link, one.url) and is_answered(link)):
                    origins.append(origin(link))
                    stores[one.name, one.url] = one.browsers
            except VmsError as error:
                level = logging.WARNING if one.browsers else logging.INFO
                log.log(level, "Footage of store %s passes through the viewer: %s", one.name, error)
        self._stores, self._origins = stores, tuple(dict.fromkeys(origins))


def _must_be_readable(store: Store, place: Any) -> None:
    if isinstance(store, Sleeps):
        cold = store.coldness(place.key)
        if cold is not None and cold.state != "ready":
            raise RestoreNeeded(f"Store {place.store_name} has to restore {place.key} first.", "Ask for it.")
    elif store.head(place.key) is None:
        raise ObjectMissing(f"Store {place.store_name} has no object {place.key}.", "It was purged.")
