"""What `vms doctor` finds where each part runs in a container of its own: parts that do not answer, queues that no
worker serves, and branches that were not seen for long. Containers are looked into from outside, so it says how."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import datetime, timedelta

from vms import queues
from vms.catalogue.branches import list_branches
from vms.catalogue.connection import connect, url
from vms.cli.doctor_finding import Finding
from vms.config import Config
from vms.errors import VmsError
from vms.home import Home
from vms.stack.container_worker import served_now
from vms.stack.state import StackState

BRANCH_LATE = timedelta(minutes=15)
"""A branch has a word with the centre every minute; a line that is away for less is no trouble yet."""


def parts(group: str, home: Home, stack: StackState) -> Iterator[Finding]:
    """Each part that can be asked."""
    for part in stack.services:
        well = part.state == "ready"
        words = f"{part.name} {'answers' if well else 'does not answer, or gives no sign of life'}."
        yield Finding(group, well, words, "" if well else _look_into(part.name))
    if home.parts:
        words = f"The pages are {home.parts.viewer} and {home.parts.pages}, as .env says."
        yield Finding(group, True, words)


def workers(group: str, home: Home, config: Config | None) -> Iterator[Finding]:
    """Whether somebody serves each queue. Only a part that knows the broker can ask; that it, or any worker, is away
    is told among the parts."""
    served = served_now(home.parts.broker) if home.parts and home.parts.broker else None
    if not served:
        return
    sites = [site for site in (config.sites if config else ()) if site.enabled and site.runs_on != "edge"]
    wanted = {queues.ENCODE, queues.CENTRE, *(queues.site_queue(site.id) for site in sites)}
    if missing := sorted(wanted - served):
        remedy = f"{_look_into('worker')}. VMS_WORKER_QUEUES says what each worker serves; a new site takes a minute."
        yield Finding(group, False, f"No worker answers that serves {_some(missing)}: its tasks wait.", remedy)
    else:
        yield Finding(group, True, f"Workers answer for all of {len(wanted)} queues.")


def branches(group: str, home: Home, config: Config | None, now: datetime) -> Iterator[Finding]:
    """Those whose sites are in use, and that were let in; nothing while the catalogue can't be asked."""
    wanted = {site.id for site in (config.sites if config else ()) if site.enabled and site.runs_on == "edge"}
    if not wanted:
        return
    try:
        with closing(connect(url(home, "owner"))) as conn:
            known = {one.site: one for one in list_branches(conn, now)}
    except VmsError:
        return
    well = 0
    for site in sorted(wanted):
        row = known.get(site)
        if row is None or row.state != "joined":
            state = "was never invited" if row is None else f"is {row.state}"
            remedy = f"vms branch invite {site}, and join there; or take runs_on: edge out of sites.yaml."
            yield Finding(group, False, f"{site}: its branch {state}, so nobody does its tasks.", remedy)
        elif row.seen_at is None or now - row.seen_at > BRANCH_LATE:
            last = f"last seen {row.seen_at:%Y-%m-%d %H:%M} UTC" if row.seen_at else "not seen since it joined"
            remedy = "There: ./vms branch status. Is its line up, its machine on, port 8444 open (profile tls)?"
            yield Finding(group, False, f"{site}: its branch was {last}.", remedy)
        else:
            well += 1
    if well:
        yield Finding(group, True, f"Branches seen lately: {well} of {len(wanted)}.")


def _look_into(part: str) -> str:
    return f"Outside: docker compose logs {part}; docker compose up -d starts what does not run"


def _some(names: Iterable[str], most: int = 5) -> str:
    chosen = list(names)
    more = f" and {len(chosen) - most} more" if len(chosen) > most else ""
    return ", ".join(chosen[:most]) + more
