"""What this product adds to Airflow itself: the one module that Airflow loads on its own (see .airflowignore).

Airflow's parts read it once at their start, so they have to be restarted after a change here.
"""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from vms_airflow.branch_gate import BranchGate
from vms_airflow.links import RecordingsLink, viewer_pages
from vms_airflow.timetable import SiteTimetable
from vms_airflow.turns import Turns


async def branch_app(scope: Any, receive: Any, send: Any) -> None:
    """What the centre answers to branches; loaded when the first one asks, as every process of Airflow reads this."""
    from vms_airflow.branch_api import app

    await app()(scope, receive, send)


class VmsPlugin(AirflowPlugin):
    """Registers the sites' timetable, the link from a task, the viewer's pages in the menu and on every run, and the
    gate that branches come through with what they ask of us."""

    name = "vms"
    timetables = [SiteTimetable]  # noqa: RUF012 - Airflow's own form
    operator_extra_links = [RecordingsLink()]  # noqa: RUF012
    external_views: list[dict[str, Any]] = viewer_pages()
    fastapi_apps = [{"name": "Branches", "app": branch_app, "url_prefix": "/branch"}]  # noqa: RUF012
    # The last one is asked first.
    fastapi_root_middlewares = [  # noqa: RUF012
        {"name": "turns", "middleware": Turns},
        {"name": "branches", "middleware": BranchGate},
    ]
