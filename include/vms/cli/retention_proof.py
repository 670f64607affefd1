"""`vms retention proof`: promised against achieved days, and when a store is full."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table

from vms.cli.wording import new_console, plain, size_text
from vms.retention_proof import Forecast, Proof

_STATES = {
    "met": "[green]met[/]",
    "filling": "[cyan]met so far[/]",
    "broken": "[red]broken[/]",
    "nothing": "[dim]no footage[/]",
}


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
