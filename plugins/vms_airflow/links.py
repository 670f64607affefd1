"""Ways from Airflow to the viewer: from a run to the recordings that it archived."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.types import TaskInstanceKey

from vms.home import from_environment


def viewer_address() -> str:
    """The viewer as a browser on this machine reaches it; with parts in containers as people do."""
    home = from_environment()
    if home.parts:
        return home.parts.viewer
    name = home.place.names[0] if home.place.names else "127.0.0.1"
    return f"{home.place.scheme}://{name}:{home.viewer_port}"


def run_address(dag_id: str, run_id: str) -> str:
    """The viewer's page with the recordings of one run."""
    return f"{viewer_address()}/?run={quote(f'{dag_id}/{run_id}', safe='')}"


class RecordingsLink(BaseOperatorLink):
    """A button on a task: the recordings of its run."""

    name = "Recordings in the viewer"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002 - Airflow's form
        return run_address(ti_key.dag_id, ti_key.run_id)


def viewer_pages() -> list[dict[str, Any]]:
    """The viewer in Airflow's menu, and a tab on every run. Airflow itself quotes what it puts into the braces."""
    address = viewer_address()
    return [
        {"name": "Viewer", "href": address, "destination": "nav", "category": "browse"},
        {
            "name": "Recordings",
            "href": f"{address}/?run={{DAG_ID}}%2F{{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "recordings",  # Airflow makes no tab without one, and takes a page of the same name instead
        },
    ]
