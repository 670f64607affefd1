"""What `vms recordings` shows for people: the table, why something was not archived, and all of one recording."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from rich.console import Console
from rich.table import Table

from vms.catalogue.rows import LineageRow, RecordingRow
from vms.cli.wording import clock_text, plain, size_text

_COLORS = {"planned": "yellow", "archived": "green", "released": "cyan", "purged": "dim", "quarantined": "red"}
_COLUMNS = (
    "id",
    "site",
    "camera",
    "start (the site's clock)",
    "length",
    "state",
    "copies",
    "source",
    "before",
    "after",
)


def show_table(console: Console, rows: Sequence[RecordingRow]) -> None:
    """A line for each, and below them why what is not archived is not, and what to do."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in _COLUMNS:
        right = title in ("id", "length", "before", "after")
        table.add_column(title, justify="right" if right else "left", overflow="fold", no_wrap=title != "source")
    for row in rows:
        table.add_row(
            str(row.id),
            plain(row.site_name),
            plain(row.camera_name),
            clock_text(row.start_utc, row.time_zone),
            _length(row),
            _state(row),
            plain(", ".join(copy.store for copy in row.copies)),
            plain(row.source_name),
            size_text(row.source_bytes),
            size_text(row.rendition_bytes),
        )
    console.print(table)
    for row in rows:
        if row.message:
            console.print(f"\n[bold]{row.id}[/] {plain(row.source_name)}")
            _show_reason(console, row)


def show_one(console: Console, row: RecordingRow, lineage: Sequence[LineageRow]) -> None:
    """Facts, copies and chain of custody of one recording."""
    console.print(f"[bold]Recording {row.id}[/]  {_state(row)}")
    _show_reason(console, row)
    picture = f"{row.width} x {row.height}" if row.width and row.height else ""
    rate = f"{row.fps:.4g} fps" if row.fps else ""
    doubts = f" ({', '.join(row.time_marks)})" if row.time_marks else ""
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    for label, text in (
        ("site", f"{row.site_name} ({row.site})"),
        ("camera", f"{row.camera_name} ({row.camera})"),
        ("start", clock_text(row.start_utc, row.time_zone)),
        ("end", clock_text(row.end_utc, row.time_zone)),
        ("length", _length(row)),
        ("start is taken from", f"{row.time_basis}{doubts}"),
        ("source", row.source_name),
        ("source size", size_text(row.source_bytes)),
        ("source SHA-256", row.source_sha256),
        ("rendition", "  ".join(one for one in (size_text(row.rendition_bytes), row.codec, picture, rate) if one)),
        ("profile", row.profile),
        ("damaged", row.damaged),
    ):
        if text:
            facts.add_row(label, plain(text))
    console.print(facts)
    for copy in row.copies:
        proven = clock_text(copy.verified_at, row.time_zone)
        console.print(f"[green]proven copy[/] in {plain(copy.store)}: {plain(copy.key)}", soft_wrap=True)
        console.print(f"  {size_text(copy.size_bytes)}, {plain(copy.checksum)}, {proven}", soft_wrap=True)
    events = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("when", "what", "by", "detail"):
        events.add_column(title, overflow="fold", no_wrap=title in ("when", "what"))
    for one in lineage:
        by = one.task_id if one.map_index < 0 else f"{one.task_id}[{one.map_index}]"
        told = "  ".join(
            f"{name} {value}" for name, value in one.detail.items() if isinstance(value, str | int) and value != ""
        )
        run = f"{one.run_id}, try {one.try_number}" if one.run_id else ""
        events.add_row(
            clock_text(one.at, row.time_zone),
            one.event.replace("_", " "),
            plain(" ".join(part for part in (by, run, f"on {one.host}" if one.host else "") if part)),
            plain(told),
        )
    console.print(events)


def _show_reason(console: Console, row: RecordingRow) -> None:
    if row.message:
        console.print(f"  {plain(row.message)}", soft_wrap=True)
    if row.remedy:
        console.print(f"  [dim]What to do:[/] {plain(row.remedy)}", soft_wrap=True)


def _state(row: RecordingRow) -> str:
    reason = f" [dim]({plain(row.reason)})[/]" if row.reason else ""
    return f"[{_COLORS[row.state]}]{row.state}[/]{reason}"


def _length(row: RecordingRow) -> str:
    return str(timedelta(seconds=round(row.duration_s)))
