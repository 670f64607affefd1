"""`vms recordings`: what the catalogue has, as a table for people or one JSON object a line for scripts."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from vms.catalogue.connection import connect, url
from vms.catalogue.reads import get_recording, lineage_of
from vms.catalogue.rows import STATES, LineageRow, RecordingRow
from vms.cli.recording_report import show_one, show_table
from vms.cli.selection import filters, known_sites, moment_of, stream
from vms.cli.wording import new_console, utc_text
from vms.errors import CatalogueError
from vms.home import from_environment
from vms.model import State

_SHOWN = 50


def register(app: typer.Typer) -> None:
    """Mount `recordings`."""
    app.command("recordings")(recordings)


def recordings(
    site: Annotated[list[str] | None, typer.Option(help="Only this site (its id); may be repeated.")] = None,
    camera: Annotated[list[str] | None, typer.Option(help="Only this camera (its id); may be repeated.")] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TIME",
            help="Footage from this time on: 2026-11-24 or 2026-11-24T08:00, on the clock of each site; with an"
            " offset, such as 2026-11-24T08:00+07:00 or ...T01:00Z, one instant for all sites.",
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME", help="Footage before this time; a date alone includes that whole day."),
    ] = None,
    state: Annotated[
        list[str] | None, typer.Option(help="planned, archived, released, purged or quarantined; may be repeated.")
    ] = None,
    one: Annotated[int | None, typer.Option("--id", min=1, help="All about this recording.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help=f"At most so many, the newest first (else {_SHOWN}; with --json all).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, all times UTC.")] = False,
) -> None:
    """Recordings that the catalogue knows, the newest first; with --id all about one, its chain of custody included."""
    if one is not None and any((site, camera, from_, to, state, limit)):
        raise typer.BadParameter("It names one recording; leave the other filters out.", param_hint="--id")
    begin, end = moment_of(from_, "--from"), moment_of(to, "--to")
    states = [_state(one) for one in state or []]
    home = from_environment()
    console = new_console()
    conn = connect(url(home, "viewer"))
    try:
        if one is not None:
            row = get_recording(conn, one)
            if row is None:
                raise CatalogueError(f"The catalogue has no recording {one}.", "`vms recordings` shows the ids.")
            lineage = lineage_of(conn, row.id, row.start_utc)
            if as_json:
                sys.stdout.write(json.dumps(as_object(row) | {"lineage": _events(lineage)}, ensure_ascii=False) + "\n")
            else:
                show_one(console, row, lineage)
            return
        wanted = filters(
            known_sites(conn, home), sites=site or [], cameras=camera or [], begin=begin, end=end, states=states
        )
        if any(one.from_utc and one.to_utc and one.from_utc >= one.to_utc for one in wanted):
            raise typer.BadParameter("--to is not later than --from.")
        if as_json:
            for row in stream(conn, wanted, limit):
                sys.stdout.write(json.dumps(as_object(row), ensure_ascii=False) + "\n")
            return
        most = limit or _SHOWN
        rows = list(stream(conn, wanted, most + 1))
    finally:
        conn.close()
    if not rows:
        console.print("No recording fits. `vms status` shows what each site has.")
        return
    show_table(console, rows[:most])
    if len(rows) > most:
        console.print(f"[dim]The newest {most}; there are more: narrow it down, or --limit N, or --json for all.[/]")


def as_object(row: RecordingRow) -> dict[str, Any]:
    """The row as scripts get it: times as ISO 8601 in UTC with Z, null for what is not known."""
    return {
        "id": row.id,
        "site": row.site,
        "camera": row.camera,
        "start_utc": utc_text(row.start_utc),
        "end_utc": utc_text(row.end_utc),
        "duration_s": row.duration_s,
        "state": row.state,
        "reason": row.reason or None,
        "message": row.message or None,
        "remedy": row.remedy or None,
        "source_name": row.source_name,
        "source_bytes": row.source_bytes,
        "source_sha256": row.source_sha256 or None,
        "rendition_bytes": row.rendition_bytes,
        "codec": row.codec or None,
        "profile": row.profile or None,
        "time_basis": row.time_basis,
        "copies": [
            {
                "store": copy.store,
                "key": copy.key,
                "size_bytes": copy.size_bytes,
                "checksum": copy.checksum,
                "verified_at": utc_text(copy.verified_at),
            }
            for copy in row.copies
        ],
    }


def _events(lineage: list[LineageRow]) -> list[dict[str, Any]]:
    return [asdict(event) | {"at": utc_text(event.at)} for event in lineage]


def _state(text: str) -> State:
    for one in STATES.values():
        if one == text:
            return one
    raise typer.BadParameter(f"{text!r}; allowed: {', '.join(STATES.values())}.", param_hint="--state")
