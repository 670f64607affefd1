"""`vms hold`: keep footage until somebody releases it, whatever its retention says."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from vms.catalogue.connection import connect, url
from vms.catalogue.holds import HoldRow, add_hold, list_holds, release_hold
from vms.cli.retention import who
from vms.cli.selection import filters, known_sites, moment
from vms.cli.wording import new_console, plain, size_text, utc_text
from vms.errors import CatalogueError
from vms.hold_stores import HeldInStores, hold_in_stores
from vms.home import from_environment

app = typer.Typer(help="Keep footage until it is released.", no_args_is_help=True)

_Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, times UTC.")]
_TIME = "2026-11-24T08:00:30, on the site's clock, or with an offset such as ...+07:00 or ...Z; a date is a whole day."


@app.command()
def add(
    site: Annotated[list[str], typer.Option(help="Site (its id); may be repeated.")],
    from_: Annotated[str, typer.Option("--from", metavar="TIME", help=f"From this second on: {_TIME}")],
    to: Annotated[str, typer.Option("--to", metavar="TIME", help="Up to this second; a date includes that day.")],
    reason: Annotated[str, typer.Option(help="Why it is kept.")],
    camera: Annotated[
        list[str] | None, typer.Option(help="Only this camera (its id); may be repeated. Default: the whole site.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Keep what these cameras recorded in this time, also what arrives later."""
    try:
        begin, end = moment(from_), moment(to)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    home = from_environment()
    with closing(connect(url(home, "owner"))) as conn:
        known = known_sites(conn, home)
        wanted = filters(known, sites=site, cameras=camera or [], begin=begin, end=end, states=[])
        if len({(one.from_utc, one.to_utc) for one in wanted}) != 1:
            raise CatalogueError(
                "These sites lie in different time zones, so the same words mean different times.",
                "Give --from and --to with an offset (2026-11-24T08:00:00+07:00), or make a hold for each site.",
            )
        scope = [pair for one in wanted for pair in one.cameras] or [(one, "") for one in site]
        from_utc, to_utc = wanted[0].from_utc, wanted[0].to_utc
        if from_utc is None or to_utc is None or from_utc >= to_utc:
            raise typer.BadParameter("--to is not later than --from.")
        hold_id = add_hold(conn, scope, from_utc, to_utc, reason, who(), datetime.now(UTC))
        stores = hold_in_stores(conn, datetime.now(UTC), lambda _text: None)
        (row,) = [one for one in list_holds(conn) if one.hold_id == hold_id]
    if as_json:
        _write(row)
        return
    console = new_console()
    kept = "1 recording" if row.recordings == 1 else f"{row.recordings:,} recordings"
    console.print(f"Hold {hold_id} keeps {kept} ({size_text(row.bytes)}) and what arrives later.")
    _tell_stores(stores)


@app.command("list")
def list_all(
    also_released: Annotated[bool, typer.Option("--all", help="Also those that were released.")] = False,
    as_json: _Json = False,
) -> None:
    """Holds, the newest first, and what each keeps now."""
    with closing(connect(url(from_environment(), "viewer"))) as conn:
        rows = list_holds(conn, also_released=also_released)
    if as_json:
        for row in rows:
            _write(row)
        return
    if not rows:
        new_console().print("There is no hold. `vms hold add` makes one.")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("hold", "cameras", "from (UTC)", "to (UTC)", "recordings", "size", "reason", "by", "released"):
        table.add_column(title, justify="right" if title in ("hold", "recordings", "size") else "left", overflow="fold")
    for row in rows:
        cameras = ", ".join(f"{site}/{camera}" if camera else site for site, camera in row.cameras)
        at = row.released_at
        released = "" if at is None else f"{at:%Y-%m-%d}, {row.released_by}: {row.release_reason}"
        table.add_row(
            *(str(row.hold_id), plain(cameras), f"{row.from_utc:%Y-%m-%d %H:%M:%S}", f"{row.to_utc:%Y-%m-%d %H:%M:%S}"),
            *(f"{row.recordings:,}", size_text(row.bytes), plain(row.reason), plain(row.who), plain(released)),
        )
    new_console().print(table)


@app.command()
def release(
    hold: Annotated[int, typer.Argument(metavar="HOLD", min=1, help="Number of the hold.", show_default=False)],
    reason: Annotated[str, typer.Option(help="Why it may go, and on whose decision.")],
    as_json: _Json = False,
) -> None:
    """End a hold: what no other hold keeps follows its retention again. Needs the catalogue's owner, and a reason."""
    with closing(connect(url(from_environment(), "owner"))) as conn:
        release_hold(conn, hold, who(), reason, datetime.now(UTC))
        stores = hold_in_stores(conn, datetime.now(UTC), lambda _text: None)
        (row,) = [one for one in list_holds(conn, also_released=True) if one.hold_id == hold]
    if as_json:
        _write(row)
        return
    new_console().print(f"Hold {hold} is released. What no other hold keeps follows its retention from now on.")
    _tell_stores(stores)


def _tell_stores(done: HeldInStores) -> None:
    console = new_console()
    if done.on or done.off:
        console.print(f"[dim]In buckets: {done.on} copies got the bucket's own hold, {done.off} lost it.[/]")
    for text in done.why:
        console.print(f"[yellow]{plain(text.removesuffix('.'))}.[/] [dim]The hold counts all the same.[/]")


def _write(row: HoldRow) -> None:
    times = {
        name: utc_text(at) if at else None
        for name, at in (
            *(("from_utc", row.from_utc), ("to_utc", row.to_utc)),
            *(("made_at", row.made_at), ("released_at", row.released_at)),
        )
    }
    sys.stdout.write(json.dumps(asdict(row) | times, ensure_ascii=False) + "\n")
