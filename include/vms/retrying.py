"""Having quarantined files tried again, after their cause was mended: the one way of the command and of the viewer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from vms.catalogue.connection import Connection
from vms.catalogue.retries import ask_retry, quarantined_names
from vms.config import Site, load_config
from vms.errors import ConfigError
from vms.home import Home
from vms.ledger import FILE, Ledger


@dataclass(frozen=True)
class Asked:
    """quarantined: how many there are. asked: how many of them were asked for now and not before."""

    quarantined: int
    asked: int


def retry(
    conn: Connection, home: Home, site: str, camera: str | None, recording_id: int | None, who: str, now: datetime
) -> Asked:
    """Ask that the quarantined files of a site, a camera of it, or one recording are tried again by its next run.

    who: the person, for lineage; now: UTC. With a connection of the viewer only what its person sees is found.
    """
    names = quarantined_names(conn, site, camera, recording_id)
    if not names:
        return Asked(0, 0)
    _look_again(home, site, names)
    return Asked(len(names), ask_retry(conn, site, camera, recording_id, who, now))


def _look_again(home: Home, site: str, names: list[str]) -> None:
    """Where this machine looks into the site's folder itself, its ledger must not take the files for settled."""
    try:
        place: Site = load_config(home.sites_file).site(site)
    except ConfigError:
        return
    staging = place.staging or home.site_staging(site)
    if (staging / FILE).exists():
        Ledger(staging).forget(names)
