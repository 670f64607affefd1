"""What a site waits for, in a small file of the home's run folder, so that `vms status` can tell while a task waits."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vms.home import Home


def now_waiting(home: Home, site: str, what: str, why: str, *, until: datetime) -> None:
    """Tell that the site waits. what: a word for the thing, such as "upload"; why: for people.

    until: when it looks again at the latest (UTC); told longer than that, nobody waits any more.
    """
    path = _path(home, site, what)
    before = _read(path)
    now = datetime.now(UTC).isoformat()
    since = before.get("since", now) if before.get("why") == why else now
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}.new")
    fresh.write_text(json.dumps({"site": site, "since": since, "why": why, "until": until.isoformat()}))
    fresh.replace(path)


def no_longer_waiting(home: Home, site: str, what: str) -> None:
    """The site goes on."""
    _path(home, site, what).unlink(missing_ok=True)


def waiting_now(home: Home) -> Iterator[Mapping[str, Any]]:
    """Everything that is waited for at this moment: objects with site, since, why, until."""
    now = datetime.now(UTC)
    for path in sorted(home.run.glob("waiting-*.json")):
        found = _read(path)
        if found and datetime.fromisoformat(str(found.get("until", now.isoformat()))) >= now:
            yield found


def _path(home: Home, site: str, what: str) -> Path:
    return home.run / f"waiting-{site}-{what}.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
