"""How the command line writes: how wide, and times, sizes and names in it."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.markup import escape

from vms.wording import size_text, utc_text

__all__ = ["WIDTH_ELSEWHERE", "clock_text", "new_console", "plain", "size_text", "utc_text"]

WIDTH_ELSEWHERE = 140
"""Columns of what goes to a file or a pipe, where rich would squeeze tables into 80."""


def new_console(*, stderr: bool = False, soft_wrap: bool = False, highlight: bool = False) -> Console:
    """Where a command writes for people: as wide as the terminal, elsewhere wide enough for our tables."""
    made = Console(stderr=stderr, soft_wrap=soft_wrap, highlight=highlight)
    if not made.is_terminal:
        made.width = max(made.width, WIDTH_ELSEWHERE)
    return made


def clock_text(at: datetime, time_zone: str) -> str:
    """For people: 2026-11-24 08:00:00 WIB, on the clock of that zone; UTC-03 where a zone has no name but a number."""
    local = at.astimezone(ZoneInfo(time_zone))
    name = local.tzname() or ""
    return f"{local:%Y-%m-%d %H:%M:%S} {'UTC' if name[:1] in ('+', '-') else ''}{name}"


def plain(text: str) -> str:
    """A name from disk or a form as text for a rich console: no markup, no control characters."""
    return escape("".join(char if char.isprintable() else "?" for char in text))
