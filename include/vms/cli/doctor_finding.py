"""What `vms doctor` says of one thing that it looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. group: the trouble that it explains. remedy: what to do next, "" when ok."""

    group: str
    ok: bool
    what: str
    remedy: str = ""
