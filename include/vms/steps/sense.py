"""Sense: look at a site's footage folder and report what is closed and new, what waits, and what can't be footage.

The look costs little however much lies there: names that the catalogue knows are skipped by the ledger, and a file is
opened once for each size and mtime. Everything that is found has an outcome; nothing that is found can stop the rest.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from vms import footage
from vms.config import Config, Site
from vms.errors import FootageUnreachable
from vms.examine import Judged, Unfit, examine, judge, reads_the_same, second_look, source_of, why_waits
from vms.home import Home
from vms.ledger import Ledger, Seen
from vms.model import Rejection, Sensed, Sighting, Waiting
from vms.time_limit import Hung, each_within

log = logging.getLogger(__name__)

EXAMINE_AGAIN_S = 3600.0
"""A refused file is looked into again this often: a corrected permission changes neither size nor mtime."""

EXAMINE_STALL_S = 90.0
"""Longer than one probe of a usual file may take; when no file at all gets done in this time, the share hangs."""

SLOWEST_READ = 10_000_000
"""Bytes a second. Raw streams tell no length and are read whole, so the largest file adds its size over this."""


def sense(site: Site, config: Config, home: Home, *, now: datetime, limit: int = 500) -> Sensed:
    """One look at the site's footage folder: `limit` closed files, the newest first, and all that waits.

    A file is reported at each look until the ledger is told that it is settled. Raises FootageUnreachable when the
    folder is missing, does not answer in time, or lost its mount.
    """
    listing = footage.list_footage(site.footage, site.id)
    ledger = Ledger(site.staging or home.site_staging(site.id))
    _refuse_lost_mount(site, listing, ledger)
    seen = ledger.look(listing.found, now.timestamp())
    open_files = [one for one in listing.found if _needs_look(seen[one.path], now)]
    judged = judge(open_files, site, config, seen, now, footage.share_clock(site.footage) if open_files else None)
    judged = second_look(judged, site)

    waiting = [Waiting(one.found.path, why) for one in judged if (why := why_waits(one))]
    closed = sorted((one for one in judged if not why_waits(one)), key=lambda one: one.order, reverse=True)
    sightings, rejections, unfit, left = _examine(closed, site, seen, now, limit)
    ledger.keep([*sightings, *rejections], now.timestamp())
    ledger.ignore([source_of(one.found) for one in unfit if not one.wait], now.timestamp())
    waiting.extend(Waiting(one.found.path, one.wait) for one in unfit if one.wait)
    no_footage = sum(1 for one in unfit if not one.wait) + sum(1 for one in seen.values() if one.ignored)
    again = {one.found.path for one in closed if seen[one.found.path].settled}
    reported = [one for one in rejections if one.source.path not in again or _is_news(one, seen[one.source.path])]
    _tell_strangers(site, sightings)
    return Sensed(
        site=site.id,
        looked_at=now,
        files=len(listing.found) + listing.ignored,
        settled=sum(1 for one in seen.values() if one.settled),
        ignored=listing.ignored + no_footage,
        more=left,
        waiting=tuple(sorted(waiting, key=lambda one: one.path)),
        sightings=tuple(sightings),
        rejections=tuple(reported),
    )


def _examine(
    closed: Sequence[Judged], site: Site, seen: Mapping[str, Seen], now: datetime, limit: int
) -> tuple[list[Sighting], list[Rejection], list[Unfit], int]:
    """Sightings, rejections and the rest of `limit` closed files, and how many are left for the next run."""
    sightings: list[Sighting] = []
    rejections: list[Rejection] = []
    unfit: list[Unfit] = []
    closed = _in_turn(closed, seen, limit)
    position = 0
    while position < len(closed) and len(sightings) + len(rejections) < limit:
        room = limit - len(sightings) - len(rejections)
        part = closed[position : position + room]
        position += len(part)
        for result in _results(part, site, seen, now):
            if isinstance(result, Sighting):
                sightings.append(result)
            elif isinstance(result, Rejection):
                rejections.append(result)
            else:
                unfit.append(result)
    sightings.sort(key=lambda one: one.start_utc, reverse=True)
    rejections.sort(key=lambda one: one.start_utc, reverse=True)
    return sightings, rejections, unfit, len(closed) - position


def _in_turn(closed: Sequence[Judged], seen: Mapping[str, Seen], limit: int) -> list[Judged]:
    """What was never looked into comes newest first. What was reported before takes at most half of the look from it,
    the longest ago first: however much keeps failing or stays refused, everything has its turn."""
    new: list[Judged] = []
    again: list[Judged] = []
    for one in closed:
        known = seen[one.found.path]
        (again if known.result is not None or known.settled else new).append(one)
    again.sort(key=lambda one: seen[one.found.path].examined)
    return [*again[: limit // 2], *new, *again[limit // 2 :]]


def _results(
    part: Sequence[Judged], site: Site, seen: Mapping[str, Seen], now: datetime
) -> list[Sighting | Rejection | Unfit]:
    results: list[Sighting | Rejection | Unfit] = []
    to_open = []
    for one in part:
        known = seen[one.found.path]
        if isinstance(known.result, Sighting):
            fresh = reads_the_same(one, known.result, site, now)
        else:
            fresh = now.timestamp() - known.examined < EXAMINE_AGAIN_S
        if known.result is not None and fresh:
            results.append(known.result)
        else:
            to_open.append(one)
    work: Callable[[Judged], Sighting | Rejection | Unfit] = lambda one: examine(one, site, now)  # noqa: E731
    try:
        stall_s = EXAMINE_STALL_S + max((one.found.size_bytes for one in to_open), default=0) / SLOWEST_READ
        results.extend(each_within(stall_s, os.cpu_count() or 1, to_open, work))
    except Hung:
        raise FootageUnreachable(
            f"Site {site.id}: files in {site.footage} could not be read for minutes.",
            "The share or disk hangs: check the network and the recorder, then mount it again. Other sites go on.",
        ) from None
    return results


def _tell_strangers(site: Site, sightings: Sequence[Sighting]) -> None:
    listed = {camera.id for camera in site.cameras}
    strangers = sorted({one.camera for one in sightings} - listed) if listed else []
    if strangers:
        log.warning(
            "%s: footage of cameras that sites.yaml does not list is archived under its own name: %s",
            site.id,
            ", ".join(strangers),
        )


def _needs_look(seen: Seen, now: datetime) -> bool:
    if seen.ignored:
        return False
    if not seen.settled:
        return True
    return isinstance(seen.result, Rejection) and now.timestamp() - seen.examined >= EXAMINE_AGAIN_S


def _is_news(rejection: Rejection, before: Seen) -> bool:
    """Whether a settled file that was examined again is refused for another reason than before."""
    return not isinstance(before.result, Rejection) or before.result.fault.reason != rejection.fault.reason


def _refuse_lost_mount(site: Site, listing: footage.Listing, ledger: Ledger) -> None:
    """A mount point without its mount is an empty folder on another device; it must not pass for an empty share."""
    if listing.found:
        if ledger.device() != listing.device:
            ledger.remember_device(listing.device)
        return
    before = ledger.device()
    if before is not None and before != listing.device and not listing.ignored:
        raise FootageUnreachable(
            f"Site {site.id}: the footage folder {site.footage} is empty and lies on another disk than before.",
            "Mount the share again. If the move is meant, put any file into the folder once.",
        )
