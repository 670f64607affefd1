"""How the command line writes: how wide, and times, sizes and names in it."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.markup import escape

WIDTH_ELSEWHERE = 140
"""Columns of what goes to a file or a pipe, where rich would squeeze tables into 80."""


def new_console(*, stderr: bool = False, soft_wrap: bool = False, highlight: bool = False) -> Console:
    """Where a command writes for people: as wide as the terminal, elsewhere wide enough for our tables."""
    made = Console(stderr=stderr, soft_wrap=soft_wrap, highlight=highlight)
    if not made.is_terminal:
        made.width = max(made.width, WIDTH_ELSEWHERE)
    return made


def utc_text(at: datetime) -> str:
    """For scripts: 2026-11-24T01:00:00Z."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def clock_text(at: datetime, time_zone: str) -> str:
    """For people: 2026-11-24 08:00:00 WIB, on the clock of that zone; UTC-03 where a zone has no name but a number."""
    local = at.astimezone(ZoneInfo(time_zone))
    name = local.tzname() or ""
    return f"{local:%Y-%m-%d %H:%M:%S} {'UTC' if name[:1] in ('+', '-') else ''}{name}"


def size_text(size_bytes: int | None) -> str:
    """12.3 MB (10^6 bytes); "" when it is not known."""
    if size_bytes is None:
        return ""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    amount = float(size_bytes)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 1000:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1000:.1f} TB"


def plain(text: str) -> str:
    """A name from disk or a form as text for a rich console: no markup, no control characters."""
    return escape("".join(char if char.isprintable() else "?" for char in text))
