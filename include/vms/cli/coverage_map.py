"""How `vms coverage` shows itself to people: the heat map of a site, its gaps, the legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vms.catalogue.reads import SiteRow
from vms.cli.wording import clock_text, plain
from vms.coverage import OPEN, REASONS, REMEDIES, CameraFacts, DayCoverage, Gap

_FEW = 10
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# by shape as well as by colour: in a log file and to many eyes there is only the shape
_LEVELS = (
    (100.0, "█", "green"),
    (95.0, "▓", "green"),
    (50.0, "▒", "yellow"),
    (0.001, "░", "red"),
    (0.0, "!", "bold red"),
)
_SETTLED = {"waiting": ("~", "blue"), "purged": ("-", "dim"), "acknowledged": ("n", "cyan")}


@dataclass(frozen=True)
class Asked:
    """What of a site is asked for: whole days for the map, and the exact stretch for the gaps."""

    first: date
    last: date
    begin: datetime
    end: datetime


def show_site(
    console: Console,
    site: SiteRow,
    asked: Asked,
    facts: Sequence[CameraFacts],
    mapped: Sequence[Sequence[DayCoverage]],
    found: Sequence[tuple[CameraFacts, Gap]],
    every_gap: bool,
) -> None:
    zone = datetime.now(ZoneInfo(site.time_zone)).tzname() or site.time_zone
    span = f"{asked.first} to {asked.last}"
    console.print(f"\n[bold]{plain(site.name)}[/] [dim]({plain(site.id)}) {span}, days in {plain(zone)}[/]")
    if not facts:
        console.print("  None of its cameras has had footage yet.")
        return
    table = Table(box=None, header_style="dim", pad_edge=True, show_header=True)
    table.add_column("camera", max_width=28, no_wrap=True)
    table.add_column(_ruler(asked.first, asked.last), no_wrap=True)
    for title in ("there", "missing"):
        table.add_column(title, justify="right", no_wrap=True)
    for each, days in zip(facts, mapped, strict=True):
        expected, missing = sum(day.expected_s for day in days), sum(day.open_s for day in days)
        percent = 100 * sum(day.present_s for day in days) / expected if expected else None
        cells = Text.assemble(*(_cell(day) for day in days))
        table.add_row(plain(each.camera_name), cells, percent_text(percent), length_text(missing) if missing else "")
    console.print(table)
    shown = [one for one in found if every_gap or one[1].reason in OPEN]
    if not every_gap:
        shown = sorted(shown, key=lambda one: -one[1].seconds)[:_FEW]
    if shown:
        _show_gaps(console, shown)
    elif not found:
        begin, end = clock_text(asked.begin, site.time_zone), clock_text(asked.end, site.time_zone)
        console.print(f"  No gap from {begin} to {end}; the map shows whole days.")
    left = sum(gap.reason in OPEN for _, gap in found) - len(shown)
    if left > 0 and not every_gap:
        console.print(f"  [dim]The {_FEW} longest; --gaps lists {left} more.[/]")


def _show_gaps(console: Console, found: Sequence[tuple[CameraFacts, Gap]]) -> None:
    table = Table(box=None, header_style="dim")
    for title in ("camera", "from", "to", "length", "reason"):
        table.add_column(title, no_wrap=title != "reason", overflow="fold")
    for facts, gap in found:
        begin, end = clock_text(gap.start, facts.time_zone), clock_text(gap.end, facts.time_zone)
        reason = f"[{_tone(gap)}]{reason_text(gap)}[/]"
        table.add_row(plain(facts.camera_name), begin, end, length_text(gap.seconds), reason)
    console.print(table)
    for code in sorted({gap.reason for _, gap in found}, key=REASONS.index):
        console.print(f"  [yellow]→[/] {code.replace('_', ' ')}: {REMEDIES[code]}")


def percent_text(percent: float | None) -> str:
    """100 %, 99.9 % (never rounded up to 100), "" when nothing was expected."""
    if percent is None:
        return ""
    return "100 %" if percent >= 100 else f"{int(percent * 10) / 10:.1f} %"


def length_text(seconds: float) -> str:
    """47 s, 12 min, 3 h 05 min, 2 d 4 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def reason_text(gap: Gap) -> str:
    """The reason in words, with what is known of it."""
    words = gap.reason.replace("_", " ")
    return f"{words} ({plain(gap.detail)})" if gap.detail else words


def _tone(gap: Gap) -> str:
    return _SETTLED[gap.reason][1] if gap.reason in _SETTLED else "red"


def _cell(day: DayCoverage) -> tuple[str, str]:
    if day.percent is None:
        return " ", ""
    if day.reason in _SETTLED:  # the worst reason is one that settles by itself
        return _SETTLED[day.reason]
    return next((shape, color) for least, shape, color in _LEVELS if day.percent >= least)


def _ruler(first: date, last: date) -> str:
    """A month's name where it begins, and the day of each Monday, above the cells."""
    line = [" "] * ((last - first).days + 1)
    for step in range(len(line)):
        day = first + timedelta(days=step)
        label = _MONTHS[day.month - 1] if day.day == 1 or step == 0 else str(day.day) if day.weekday() == 0 else ""
        free = all(char == " " for char in line[max(0, step - 1) : step + len(label)])
        if label and free and step + len(label) <= len(line):
            line[step : step + len(label)] = label
    return "".join(line).rstrip()


def legend() -> Text:
    parts: list[tuple[str, str] | str] = ["\n"]
    for (shape, color), words in zip(
        [*((shape, color) for _, shape, color in _LEVELS), *_SETTLED.values()],
        ("all there", "95 %", "half", "less", "nothing", "waiting", "purged", "noted"),
        strict=True,
    ):
        parts += [(shape, color), f" {words}   "]
    return Text.assemble(*parts)
