"""The services of the product: what to run and how each shows that it is ready."""

from __future__ import annotations

import signal
import sys

from vms.catalogue.connection import connect, url
from vms.errors import VmsError
from vms.home import PROJECT_ROOT, Home
from vms.pulse import EXPORTS, beats
from vms.stack.addresses import viewer_url
from vms.stack.airflow_env import airflow_environment, base_environment, owner_url, viewer_environment
from vms.stack.container_worker import some_answer
from vms.stack.fleet_settings import note_start
from vms.stack.health import AirflowHealth, answer, viewer_answers
from vms.stack.postgres import is_ready, prepare_server
from vms.stack.state import ServiceState, StackState
from vms.stack.supervisor import Command, Service

AIRFLOW_PARTS = ("api-server", "scheduler", "dag-processor", "triggerer")
"""Those of the containers that Airflow knows of itself."""


def postgres_service(home: Home) -> Service:
    def prepare() -> Command:
        server = prepare_server(home)
        return Command(server.argv, server.environment, server.folder, server.account)

    return Service("postgres", prepare, lambda: is_ready(home), stop_rank=2, stop_signal=signal.SIGINT)


def viewer_service(home: Home) -> Service:
    def prepare() -> Command:
        return Command((sys.executable, "-m", "viewer.serve"), viewer_environment(home), PROJECT_ROOT)

    return Service("viewer", prepare, lambda: viewer_answers(home))


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
            environment = airflow_environment(home)
            note_start(home, arguments[0], environment)
            return Command(argv, environment, PROJECT_ROOT)

        part = arguments[0].replace("-", "_")
        return Service(name, prepare, lambda: health.is_well(part), stop_rank=stop_rank)

    return (
        service("airflow-api", "api-server", stop_rank=1),
        # It runs the tasks, each forked from it.
        service("airflow-scheduler", "scheduler", "--skip-serve-logs", module="vms_airflow.preload"),
        service("airflow-dag-processor", "dag-processor"),
    )


def containers_now(home: Home) -> StackState:
    """The parts in containers, as far as they can be asked from another one. Workers and their broker: from one that
    has the broker's password."""
    health = AirflowHealth(home, since=0.0)
    well = {part: health.is_well(part.replace("-", "_")) for part in AIRFLOW_PARTS}
    inside = home.parts.viewer_inside if home.parts else viewer_url(home)
    # The viewer answers under the names of VMS_VIEWER_NAMES and this one, and not under that of its container.
    pages = answer(f"{inside}/_stcore/health", host="localhost")
    well |= {"viewer": pages is not None, "exports": beats(home, EXPORTS), "postgres": _catalogue_answers(home)}
    if home.parts and home.parts.broker:
        workers = some_answer(home.parts.broker)
        well |= {"redis": workers is not None, "worker": bool(workers)}
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
