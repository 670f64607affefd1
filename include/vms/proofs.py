"""Gathers the facts for the retention proof and the forecast, from catalogue and stores."""

from __future__ import annotations

from datetime import UTC, datetime

from vms.catalogue import purge_facts
from vms.catalogue.connection import Connection
from vms.catalogue.reads_retention import camera_facts, store_rates
from vms.config import Config
from vms.errors import VmsError
from vms.model import StoreTarget
from vms.retention import Rules, rules_of
from vms.retention_proof import Forecast, Proof, StoreFacts, forecast, prove_camera
from vms.stores import open_store


def gather(conn: Connection, config: Config) -> tuple[list[Proof], list[Forecast]]:
    """What can be said now, of each camera whose site is in sites.yaml and of each store in use."""
    now = datetime.now(UTC)
    rules = rules_of(config)
    proofs = []
    for facts in camera_facts(conn, rules, now):
        promised = rules.keep(facts.site, facts.camera)
        if promised is not None:
            proofs.append(prove_camera(facts, promised))
    return proofs, forecasts(conn, config, now)


def forecasts(conn: Connection, config: Config, now: datetime) -> list[Forecast]:
    """When each store in use will be full. Asks the stores for their room."""
    rules = rules_of(config)
    return [_forecast(conn, config, rules, store, now) for store in purge_facts.stores_in_use(conn)]


def _forecast(conn: Connection, config: Config, rules: Rules, store: StoreTarget, now: datetime) -> Forecast:
    sites = [site for site in config.sites if any(one.name == store.name for one in site.stores)]
    keeps = [rules.keep_in(site.id, "", store.name) for site in sites]
    cameras = [min(keep, rules.stores.get(store.name, keep)) for keep in rules.cameras.values()]
    longest = max([keep for keep in (*keeps, *cameras) if keep is not None], default=now - now)
    held, added, leaving = store_rates(conn, store, longest, now)
    size = next((one.size_bytes for one in config.stores if one.name == store.name), None)
    try:
        free = open_store(store.name, store.url, conn_id=store.conn_id, options=store.options).free_bytes()
    except VmsError:
        free = None
    rooms = [one for one in (free, None if size is None else max(size - held, 0)) if one is not None]
    return forecast(StoreFacts(store.name, held, added, leaving, min(rooms, default=None), longest), now)
