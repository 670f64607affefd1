"""`vms retention proof`: promised against achieved days, and when a store is full."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from rich.table import Table

from vms.catalogue import purge_facts
from vms.catalogue.connection import Connection
from vms.catalogue.reads_retention import camera_facts, store_rates
from vms.cli.wording import new_console, plain, size_text
from vms.config import Config
from vms.errors import VmsError
from vms.model import StoreTarget
from vms.retention import Rules, rules_of
from vms.retention_proof import Forecast, Proof, StoreFacts, forecast, prove_camera
from vms.stores import open_store

_STATES = {
    "met": "[green]met[/]",
    "filling": "[cyan]met so far[/]",
    "broken": "[red]broken[/]",
    "nothing": "[dim]no footage[/]",
}


def gather(conn: Connection, config: Config) -> tuple[list[Proof], list[Forecast]]:
    """What can be said now, of each camera whose site is in sites.yaml and of each store in use."""
    now = datetime.now(UTC)
    rules = rules_of(config)
    proofs = []
    for facts in camera_facts(conn, rules, now):
        promised = rules.keep(facts.site, facts.camera)
        if promised is not None:
            proofs.append(prove_camera(facts, promised))
    stores = purge_facts.stores_in_use(conn)
    return proofs, [_forecast(conn, config, rules, store, now) for store in stores]


def show(proofs: Sequence[Proof], forecasts: Sequence[Forecast], *, as_json: bool) -> None:
    """As two tables, or as JSON lines with kind camera or store."""
    if as_json:
        for kind, rows in (("camera", proofs), ("store", forecasts)):
            for row in rows:
                told = {"kind": kind} | asdict(row)
                sys.stdout.write(json.dumps(told, default=str, ensure_ascii=False) + "\n")
        return
    console = new_console()
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("site", "camera", "promised", "achieved", "promise", "holds since"):
        table.add_column(title, justify="right" if title in ("promised", "achieved") else "left")
    for one in proofs:
        days = (f"{one.promised_days} days", f"{one.achieved_days} days")
        table.add_row(plain(one.site), plain(one.camera), *days, _STATES[one.state], _since(one))
    console.print(table)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("store", "holds", "room", "grows a day", "will need", "full on", ""):
        table.add_column(title, justify="right" if title not in ("store", "") else "left", overflow="fold")
    for store in forecasts:
        room = size_text(store.room) if store.room is not None else "not known"
        sizes = (size_text(store.held), room, size_text(max(store.per_day, 0)), size_text(store.needed))
        full = f"[red]{store.full_on}[/]" if store.full_on else "not at this rate" if store.room is not None else ""
        table.add_row(plain(store.store), *sizes, full, plain(store.advice))
    console.print(table)


def _since(one: Proof) -> str:
    if one.since is None:
        return ""
    word = {"filling": "proven from ", "broken": "holds again from "}.get(one.state, "")
    return f"{word}{one.since}"


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
