"""Whether a part does its work: `python -m vms.stack.health PART` says so by its exit status.

A container's engine asks each part twice a minute, for years, so what nobody needs for the answer is not read in.
"""

from __future__ import annotations

import json
import ssl
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime
from typing import Any

from vms import pulse
from vms.branches import turn
from vms.home import Home, from_environment
from vms.stack.addresses import airflow_url, viewer_url

PROBE_S = 5.0
KEPT_S = 0.5

_OWN = ssl.create_default_context()
"""Only ever asks this machine whether its pages are there, by an address that their certificate need not name."""
_OWN.check_hostname, _OWN.verify_mode = False, ssl.CERT_NONE


def is_well(home: Home, part: str) -> bool:
    """part: as a container is called."""
    if part == "viewer":
        return viewer_answers(home)
    if part == "worker":
        from vms.stack import container_worker  # Celery with it

        return container_worker.answers(home)
    if part == "branch":
        return turn.is_at_work(home)
    if part in pulse.PARTS:
        return pulse.beats(home, part)
    return AirflowHealth(home, since=0.0).is_well(part.replace("-", "_"))


def viewer_answers(home: Home) -> bool:
    return answer(f"{viewer_url(home)}/_stcore/health") is not None


class AirflowHealth:
    """What Airflow says about its parts, asked once for all of them. A heartbeat from before `since` does not count."""

    def __init__(self, home: Home, since: float | None = None) -> None:
        self._url = f"{airflow_url(home)}/api/v2/monitor/health"
        self._since = time.time() if since is None else since
        self._asked = 0.0
        self._answer: dict[str, Any] = {}

    def is_well(self, part: str) -> bool:
        """part: api_server, scheduler, dag_processor or triggerer."""
        if time.monotonic() - self._asked > KEPT_S:
            self._answer = _object(answer(self._url))
            self._asked = time.monotonic()
        if part == "api_server":
            return bool((self._answer.get("metadatabase") or {}).get("status") == "healthy")
        about = self._answer.get(part) or {}
        beat = about.get(f"latest_{part}_heartbeat")
        if about.get("status") != "healthy" or not beat:
            return False
        return datetime.fromisoformat(str(beat)).timestamp() > self._since


def _object(said: bytes | None) -> dict[str, Any]:
    """Empty when there is no answer, or it is one of another program on that port."""
    try:
        found = json.loads(said or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def answer(url: str, host: str = "") -> bytes | None:
    """The body of a page of ours that answers with 200, else None. host: as which it is asked, "": as in the URL."""
    try:
        asked = urllib.request.Request(url, headers={"Host": host} if host else {})  # noqa: S310 - a page of our own
        with urllib.request.urlopen(asked, timeout=PROBE_S, context=_OWN) as said:  # noqa: S310 - a page of our own
            body: bytes = said.read()
            return body if said.status == 200 else None
    except (OSError, urllib.error.URLError, ValueError):
        return None


if __name__ == "__main__":
    sys.exit(0 if is_well(from_environment(), sys.argv[1]) else 1)
