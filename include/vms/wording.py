"""Times, sizes and numbers of things as text, for programs and for messages of every room."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_text(at: datetime) -> str:
    """For scripts: 2026-11-24T01:00:00Z."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


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


def counted(many: int, one: str, several: str = "") -> str:
    """1 copy, 1,200 copies. several: where an s at the end is not enough."""
    return f"{many:,} {one if many == 1 else several or one + 's'}"
