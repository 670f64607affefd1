"""`vms stores lifecycle`: rules by which a bucket clears up by itself, printed or written."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing

from rich.console import Console

from vms.catalogue.connection import connect, url
from vms.catalogue.holds import list_holds
from vms.cli.wording import plain
from vms.config import Config, StoreConfig
from vms.config_retention import longest_of
from vms.errors import StoreError, VmsError
from vms.home import Home
from vms.stores import open_store
from vms.stores.lifecycle import MARGIN, HasLifecycle, Lifecycle


def lifecycles(
    home: Home, config: Config, stores: Sequence[StoreConfig], console: Console, *, write: bool, as_json: bool
) -> bool:
    """Print, and write when asked to, the rules of these stores; True when nothing was refused."""
    unheld = _not_held(home)
    well = True
    for store in stores:
        try:
            found = _one(config, store, unheld, write=write)
        except VmsError as error:
            well = False
            if as_json:
                sys.stdout.write(json.dumps({"store": store.name, "error": str(error)}, ensure_ascii=False) + "\n")
            else:
                console.print(f"[bold]{plain(store.name)}[/] [red]{plain(error.message)}[/] {plain(error.remedy)}")
            continue
        if found is None:
            if not as_json:
                console.print(f"[bold]{plain(store.name)}[/] is a folder and follows no rules of its own.")
            continue
        well = well and not found.refused
        if as_json:
            told = {"store": store.name, "rules": found.rules, "refused": found.refused or None, "written": write}
            sys.stdout.write(json.dumps(told, ensure_ascii=False) + "\n")
            continue
        console.print(f"[bold]{plain(store.name)}[/] {plain(store.url)} {'[green]written[/]' if write else ''}")
        if found.refused:
            console.print(f"  [yellow]{plain(found.refused)}[/]")
        console.print_json(json.dumps(found.rules))
    return well


def _one(config: Config, store: StoreConfig, unheld: int, *, write: bool) -> Lifecycle | None:
    opened = open_store(store.name, store.url, conn_id=store.conn_id, options=store.options)
    if not isinstance(opened, HasLifecycle):
        return None
    found = opened.lifecycle(_expiry(config, store), config.retention_policy.undo.days)
    if found.expire and unheld:
        raise StoreError(
            f"{unheld} copies are under holds that their bucket did not take; its own expiry could delete them.",
            "`vms hold list` shows them. Give the account the right to put holds, run the DAG retention, try again.",
        )
    if write:
        opened.write_lifecycle(found)
    return found


def _expiry(config: Config, store: StoreConfig) -> Mapping[str, int]:
    """Days by site: the longest that it keeps anything, and a margin; sites with mistakes are left out."""
    return {
        site.id: (longest_of(site) + max(MARGIN, config.retention_policy.late)).days
        for site in config.sites
        if any(one.name == store.name for one in site.stores)
    }


def _not_held(home: Home) -> int:
    with closing(connect(url(home, "viewer"))) as conn:
        return sum(hold.not_in_stores for hold in list_holds(conn))
