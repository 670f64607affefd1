"""Ways from Airflow to the viewer: from a run to the recordings that it archived."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.types import TaskInstanceKey

from vms.home import from_environment
from vms.stack.addresses import airflow_pages


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
    """The viewer in Airflow's menu, and tabs on DAGs and runs. Airflow itself quotes what it puts into the braces.

    Airflow shows what has a url_route in a frame, and makes no tab without one. Browsers give the viewer its cookie in
    a frame of the same host alone; where it is reached at another, there are links instead.
    """
    address = viewer_address()
    links = [{"name": "Viewer", "href": address, "destination": "nav", "category": "browse"}]
    if urlsplit(address).hostname != urlsplit(airflow_pages(from_environment())).hostname:
        return [*links, {**links[0], "name": "Operations", "href": f"{address}/operations"}]
    operations = f"{address}/operations?embed=true"
    tabs = [
        ("Operations", "nav", "operations", operations),
        ("Status", "dag", "dag-operations", f"{operations}&dag={{DAG_ID}}"),
        ("Recordings", "dag_run", "recordings", f"{address}/?run={{DAG_ID}}%2F{{RUN_ID}}"),
    ]
    return [
        *links,
        *({"name": name, "destination": where, "url_route": route, "href": href} for name, where, route, href in tabs),
    ]
