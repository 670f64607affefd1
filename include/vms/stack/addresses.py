"""Where the pages are, as parts reach them and as people's browsers do."""

from __future__ import annotations

from vms.home import Home

HOST = "127.0.0.1"


def airflow_url(home: Home) -> str:
    """Where Airflow's pages and API are, as seen from here."""
    return home.parts.airflow if home.parts else f"http://{HOST}:{home.airflow_port}"


def airflow_pages(home: Home) -> str:
    """Where Airflow's pages are, as people's browsers reach them."""
    return home.parts.pages if home.parts else airflow_url(home)


def viewer_url(home: Home) -> str:
    return f"{home.place.scheme}://{home.place.reached_at}:{home.viewer_port}"


def viewer_pages(home: Home) -> str:
    """Where people find the viewer."""
    return home.parts.viewer if home.parts else viewer_url(home)
