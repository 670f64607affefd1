"""The services of the product: what to run and how each shows that it is ready."""

from __future__ import annotations

import json
import signal
import ssl
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime
from typing import Any

from vms.catalogue.connection import connect, url
from vms.errors import VmsError
from vms.home import PROJECT_ROOT, Home
from vms.stack.airflow_env import (
    airflow_environment,
    airflow_url,
    base_environment,
    owner_url,
    viewer_environment,
)
from vms.stack.postgres import is_ready, prepare_server
from vms.stack.state import ServiceState, StackState
from vms.stack.supervisor import Command, Service

PROBE_S = 5.0
HEALTH_KEPT_S = 0.5
AIRFLOW_PARTS = ("api-server", "scheduler", "dag-processor", "triggerer")
"""Those of the containers that Airflow knows of itself."""

_OWN = ssl.create_default_context()
"""Only ever asks this machine whether its pages are there, by an address that their certificate need not name."""
_OWN.check_hostname, _OWN.verify_mode = False, ssl.CERT_NONE


def viewer_url(home: Home) -> str:
    return f"{home.place.scheme}://{home.place.reached_at}:{home.viewer_port}"


def viewer_pages(home: Home) -> str:
    """Where people find the viewer."""
    return home.parts.viewer if home.parts else viewer_url(home)


def postgres_service(home: Home) -> Service:
    def prepare() -> Command:
        server = prepare_server(home)
        return Command(server.argv, server.environment, server.folder, server.account)

    return Service("postgres", prepare, lambda: is_ready(home), stop_rank=2, stop_signal=signal.SIGINT)


def viewer_service(home: Home) -> Service:
    def prepare() -> Command:
        return Command((sys.executable, "-m", "viewer.serve"), viewer_environment(home), PROJECT_ROOT)

    return Service("viewer", prepare, lambda: viewer_answers(home))


def viewer_answers(home: Home) -> bool:
    return _get(f"{viewer_url(home)}/_stcore/health") is not None


def exports_service(home: Home) -> Service:
    """Makes what people order in the viewer. It writes down how far it is as owner and looks for footage as viewer."""

    def prepare() -> Command:
        environment = viewer_environment(home) | {"VMS_CATALOGUE_URL": owner_url(home)}
        return Command((sys.executable, "-m", "vms.exports.worker"), environment, PROJECT_ROOT)

    return Service("exports", prepare, lambda: True)


def recorder_service(home: Home) -> Service:
    """The demonstration's cameras: a new clip each minute."""

    def prepare() -> Command:
        return Command((sys.executable, "-m", "vms.demo.recorder"), base_environment(home), PROJECT_ROOT)

    return Service("demo-recorder", prepare, lambda: True)


def airflow_services(home: Home) -> tuple[Service, Service, Service]:
    """API server, scheduler and DAG processor. Nothing defers, so there is no triggerer."""
    health = AirflowHealth(home)

    def service(name: str, *arguments: str, module: str = "airflow", stop_rank: int = 0) -> Service:
        def prepare() -> Command:
            argv = (sys.executable, "-m", module, *arguments)
            return Command(argv, airflow_environment(home), PROJECT_ROOT)

        part = arguments[0].replace("-", "_")
        return Service(name, prepare, lambda: health.is_well(part), stop_rank=stop_rank)

    return (
        service("airflow-api", "api-server", stop_rank=1),
        # It runs the tasks, each forked from it.
        service("airflow-scheduler", "scheduler", "--skip-serve-logs", module="vms_airflow.preload"),
        service("airflow-dag-processor", "dag-processor"),
    )


def containers_now(home: Home) -> StackState:
    """The parts in containers, as far as they can be asked from another one."""
    health = AirflowHealth(home, since=0.0)
    well = {part: health.is_well(part.replace("-", "_")) for part in AIRFLOW_PARTS}
    inside = home.parts.viewer_inside if home.parts else viewer_url(home)
    # The viewer answers under the names of VMS_VIEWER_NAMES and this one, and not under that of its container.
    pages = _get(f"{inside}/_stcore/health", host="localhost")
    well |= {"viewer": pages is not None, "postgres": _catalogue_answers(home)}
    services = tuple(ServiceState(part, "ready" if answers else "unwell") for part, answers in well.items())
    all_well = all(one.state == "ready" for one in services)
    return StackState("", 0, 0.0, 0.0, home.demo, phase="usable" if all_well else "failed", services=services)


def _catalogue_answers(home: Home) -> bool:
    """By the role that may read, which every part has."""
    try:
        connect(url(home, "viewer")).close()
    except VmsError:
        return False
    return True


class AirflowHealth:
    """What Airflow says about its parts, asked once for all of them. A heartbeat from before `since` does not count."""

    def __init__(self, home: Home, since: float | None = None) -> None:
        self._url = f"{airflow_url(home)}/api/v2/monitor/health"
        self._since = time.time() if since is None else since
        self._asked = 0.0
        self._answer: dict[str, Any] | None = None

    def is_well(self, part: str) -> bool:
        """part: api_server, scheduler, dag_processor or triggerer."""
        if time.monotonic() - self._asked > HEALTH_KEPT_S:
            said = _get(self._url)
            self._answer = json.loads(said) if said else None
            self._asked = time.monotonic()
        if self._answer is None:
            return False
        if part == "api_server":
            return bool(self._answer["metadatabase"]["status"] == "healthy")
        about = self._answer.get(part) or {}
        beat = about.get(f"latest_{part}_heartbeat")
        if about.get("status") != "healthy" or not beat:
            return False
        return datetime.fromisoformat(str(beat)).timestamp() > self._since


def _get(url: str, host: str = "") -> bytes | None:
    """The body of a page of ours that answers with 200, else None. host: as which it is asked, "": as in the URL."""
    try:
        asked = urllib.request.Request(url, headers={"Host": host} if host else {})  # noqa: S310 - a page of our own
        with urllib.request.urlopen(asked, timeout=PROBE_S, context=_OWN) as answer:  # noqa: S310 - a page of our own
            body: bytes = answer.read()
            return body if answer.status == 200 else None
    except (OSError, urllib.error.URLError, ValueError):
        return None
