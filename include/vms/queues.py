"""Which queue a task waits in, so that a worker can be had for what it is near: a site's folders, cores, the catalogue.

One machine has one queue for everything and takes no notice. With workers in containers each says which it serves.
"""

from __future__ import annotations

from collections.abc import Iterable

CENTRE = "centre"
"""What needs the catalogue."""

ENCODE = "encode"
"""What fills cores."""


def site_queue(site: str) -> str:
    """What needs the footage folder of this site, or its line."""
    return f"site-{site}"


def all_queues(sites: Iterable[str]) -> tuple[str, ...]:
    """Every queue of an installation with these sites, but ENCODE, which is served for itself."""
    return (CENTRE, *sorted(map(site_queue, sites)))
