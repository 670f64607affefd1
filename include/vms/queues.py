"""Which queue a task waits in, so that a worker can be had for what it is near: a site's folders, cores, the catalogue.

One machine has one queue for everything and takes no notice. With workers in containers each says which it serves.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vms.config_model import Site

CENTRE = "centre"
"""What needs the catalogue."""

ENCODE = "encode"
"""What fills cores."""

EDGE = "edge"
"""As which the DAGs name the executor that hands tasks to branches (vms_airflow.branch_executor)."""


def site_queue(site: str) -> str:
    """What needs the footage folder of this site, or its line."""
    return f"site-{site}"


def all_queues(sites: Iterable[Site]) -> tuple[str, ...]:
    """What a worker serves that was not told otherwise: all but ENCODE, which is served for itself, and but the queues
    of sites that have a machine of their own."""
    return (CENTRE, *sorted(site_queue(site.id) for site in sites if site.runs_on == "centre"))


def has_own_machine(site: Site) -> bool:
    """Whether all that is near this site is done by one machine: what one made there, no other can take up."""
    return site.runs_on != "centre"


def not_reachable(site: Site, *, in_containers: bool, at_branch: bool) -> str:
    """Why this installation can't hand tasks to the site's machine; "" if it can, or need not."""
    if site.runs_on == "centre" or in_containers or at_branch:
        return ""
    return (
        f"Site {site.id!r} has runs_on: {site.runs_on}, but all of this installation runs on one machine, so there is "
        f"nobody who could hand its tasks to another one. Run the parts in containers (docs/operations.md, Branches), "
        f"or set runs_on: centre and mount the site's footage folder here."
    )
