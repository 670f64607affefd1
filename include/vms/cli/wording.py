"""How the command line writes times, sizes and names."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from rich.markup import escape


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
