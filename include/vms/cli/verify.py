"""`vms verify`: are the archived copies still there and still good? The nightly checks, run by hand with progress."""

from __future__ import annotations

import getpass
import json
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from vms.catalogue.connection import Connection, connect, url
from vms.catalogue.integrity import list_strays, stores_in_use
from vms.cli.selection import nearest
from vms.cli.wording import new_console, plain, size_text, utc_text
from vms.errors import CatalogueError
from vms.home import Home, from_environment
from vms.model import RunRef, StoreTarget
from vms.steps.prove import Proven, prove
from vms.steps.reconcile import Reconciled, reconcile
from vms.steps.repair import Repaired, repair

_SAMPLE = 20
_NO_LIMIT_S = 30 * 24 * 3600.0


def register(app: typer.Typer) -> None:
    """Mount `verify`."""
    app.command("verify")(verify)


def verify(
    store: Annotated[str, typer.Option(help="Only this store.")] = "",
    sample: Annotated[
        int, typer.Option(min=0, help="So many copies of each store are fetched, hashed and decoded; 0 for none.")
    ] = _SAMPLE,
    mend: Annotated[bool, typer.Option("--repair/--no-repair", help="Make good what is lost or damaged.")] = True,
    accept_losses: Annotated[
        bool, typer.Option("--accept-losses", help="Mark as lost although the store looks emptied.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Compare each store with the catalogue, prove a sample restorable, and repair. Deletes nothing.

    Exit status 1 if a store can't be checked, or a copy is lost or damaged and could not be made good.
    """
    home = from_environment()
    run = RunRef("", "", "vms verify", host=f"{getpass.getuser()}@{socket.gethostname()}")
    with closing(connect(url(home, "owner"))) as conn:
        known = stores_in_use(conn)
        chosen = _chosen(known, store)
        compared: list[Reconciled] = []
        proven: list[Proven] = []
        with _progress(quiet=as_json) as (tell, report):
            for target in chosen:
                compared.append(_reconcile(conn, target, home, run, tell, report, accept_losses))
                if sample and not compared[-1].error:
                    proven.append(_prove(conn, target, home, run, tell, report, sample))
            mended = _repair(conn, known, home, run, tell, report) if mend else Repaired()
        strays = list_strays(conn, store)
    checks: list[Reconciled | Proven] = [*compared, *proven]
    left = mended.without + mended.failed if mend else sum(one.lost + one.damaged for one in checks)
    ok = not (left or any(one.unplayable for one in proven) or any(one.error for one in checks))
    if as_json:
        times = [asdict(one) | {"first_at": utc_text(one.first_at), "last_at": utc_text(one.last_at)} for one in strays]
        answer: dict[str, Any] = {
            "ok": ok,
            "compared": [asdict(one) for one in compared],
            "proven": [asdict(one) for one in proven],
            "repair": asdict(mended),
            "strays": times,
        }
        sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
    else:
        _show(new_console(soft_wrap=True), compared, proven, mended, len(strays))
    raise typer.Exit(0 if ok else 1)


def _chosen(known: dict[str, StoreTarget], store: str) -> list[StoreTarget]:
    if store and store not in known:
        listed = ", ".join(sorted(known))
        raise CatalogueError(
            f'Nothing was ever put into a store "{store}".{nearest(store, known)}',
            f"Stores in use: {listed}." if listed else "No store is in use yet.",
        )
    return [target for name, target in sorted(known.items()) if store in ("", name)]


Tell = Callable[[str], None]


@contextmanager
def _progress(*, quiet: bool) -> Iterator[tuple[Tell, Tell]]:
    """tell: what is being done now. report: a finding, on a line of its own."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("")

        def report(line: str) -> None:
            if not quiet:
                bar.console.print(f"[yellow]•[/] {plain(line)}", soft_wrap=True)

        yield (lambda text: bar.update(task, description=plain(text))), report


def _reconcile(
    conn: Connection, target: StoreTarget, home: Home, run: RunRef, tell: Tell, report: Tell, accept_losses: bool
) -> Reconciled:
    tell(f"{target.name}: comparing")

    def moved(found: Reconciled) -> None:
        tell(f"{target.name}: {found.objects} objects compared")

    return reconcile(
        conn, target, home, run, budget_s=_NO_LIMIT_S, report=report, moved=moved, accept_losses=accept_losses
    )


def _prove(
    conn: Connection, target: StoreTarget, home: Home, run: RunRef, tell: Tell, report: Tell, sample: int
) -> Proven:
    tell(f"{target.name}: proving {sample} copies restorable")

    def moved(found: Proven) -> None:
        tell(f"{target.name}: {found.checked} of {found.asked} copies proven, {size_text(found.bytes)}")

    return prove(conn, target, home, run, sample=sample, budget_s=_NO_LIMIT_S, report=report, moved=moved)


def _repair(
    conn: Connection, known: dict[str, StoreTarget], home: Home, run: RunRef, tell: Tell, report: Tell
) -> Repaired:
    tell("repairing")
    targets = {one.store_id: one for one in known.values()}

    def moved(done: Repaired) -> None:
        tell(f"{done.repaired} of {done.broken} broken copies repaired")

    return repair(conn, targets, home, run, budget_s=_NO_LIMIT_S, report=report, moved=moved)


def _show(console: Console, compared: list[Reconciled], proven: list[Proven], mended: Repaired, strays: int) -> None:
    checks = {one.store: one for one in proven}
    for one in compared:
        check = checks.get(one.store)
        error, remedy = one.error, one.remedy
        if not error and check is not None:
            error, remedy = check.error, check.remedy
        good = not (error or one.lost or one.damaged or (check and (check.lost or check.damaged or check.unplayable)))
        console.print(f"{'[green]✓[/]' if good else '[red]✗[/]'} [bold]{plain(one.store)}[/]")
        console.print(
            f"  {one.objects} objects against {one.rows} rows: {one.lost} gone, {one.damaged} of another size,"
            f" {one.adopted} adopted, {one.foreign} foreign" + (f", {one.young} too new to tell" if one.young else "")
        )
        if check is not None:
            console.print(
                f"  {check.checked} copies proven restorable ({size_text(check.bytes)}): {check.lost} gone,"
                f" {check.damaged} damaged, {check.unplayable} not playable, {check.cold} in cold storage"
            )
        if error:
            console.print(f"  [red]{plain(error)}[/]\n    [yellow]→[/] {plain(remedy)}")
    if mended.broken:
        console.print(
            f"{mended.repaired} of {mended.broken} broken copies repaired, {mended.without} without another copy,"
            f" {mended.failed} to be tried again"
        )
    if mended.from_source:
        console.print(
            f"{mended.from_source} recordings without any good copy are archived again from their source by the next"
            " run of their site (now: `vms run SITE`)."
        )
    if strays:
        console.print(
            f"[dim]{strays} objects that no recording claims; --json lists them. They are left as they are.[/]"
        )
    if not compared:
        console.print("No store is in use yet: `vms run SITE` archives footage.")
