"""Sense: look at a site's footage folder and report what is closed and new, what waits, and what can't be footage.

The look costs little however much lies there: names that the catalogue knows are skipped by the ledger, and a file is
opened once for each size and mtime. Everything that is found has an outcome; nothing that is found can stop the rest.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from vms import footage
from vms.backfill import Order
from vms.config import Config, Site
from vms.errors import FootageUnreachable
from vms.examine import Judged, Unfit, examine, judge, reads_the_same, second_look, source_of, why_waits
from vms.footage import Found
from vms.home import Home
from vms.ledger import Ledger, Seen
from vms.sightings import Rejection, Sensed, Sighting, Waiting
from vms.time_limit import Hung, each_within

log = logging.getLogger(__name__)

EXAMINE_AGAIN_S = 3600.0
"""A refused file is looked into again this often: a corrected permission changes neither size nor mtime."""

KNOWN_AGAIN_S = 7 * 24 * 3600.0
"""What is settled is examined and reported again this often, a few files each look: a catalogue that was restored from
an older backup must learn of it, and so must content that was replaced without a trace in size and time."""

KNOWN_FILES = 50
"""Most settled files that one look reports again."""

FILES_PER_LOOK_BACK = 1500
"""Most files of a past period that one look reports."""

LOOK_S = 240.0
"""After this time a look reports what it has, and leaves the rest for the next one."""

FILES_AT_ONCE = 2 * (os.cpu_count() or 1)
"""Files examined before the time is looked at and what they are is written down."""

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
    open_files += _known_too_long(listing.found, seen, now)
    judged = judge(open_files, site, config, seen, now, footage.share_clock(site.footage) if open_files else None)
    judged = second_look(judged, site)

    waiting = [Waiting(one.found.path, why) for one in judged if (why := why_waits(one))]
    closed = sorted((one for one in judged if not why_waits(one)), key=lambda one: one.order, reverse=True)
    sightings, rejections, unfit, left = _examine(closed, site, ledger, seen, now, limit)
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


def look_back(
    site: Site, config: Config, home: Home, order: Order, *, now: datetime, limit: int = FILES_PER_LOOK_BACK
) -> Sensed:
    """One look at the files of a past period and of some cameras only, as their names tell them.

    What the ledger calls settled is looked into again when the order says so: a catalogue that was restored from an
    older backup may not know of it. Raises FootageUnreachable.
    """
    listing = footage.list_footage(site.footage, site.id)
    ledger = Ledger(site.staging or home.site_staging(site.id))
    _refuse_lost_mount(site, listing, ledger)
    seen = ledger.look(listing.found, now.timestamp())
    open_files = [
        one for one in listing.found if not seen[one.path].ignored and (order.thorough or not seen[one.path].settled)
    ]
    judged = judge(open_files, site, config, seen, now, footage.share_clock(site.footage) if open_files else None)
    meant = [one for one in judged if order.covers(one.camera, datetime.fromtimestamp(one.order, UTC))]
    meant = second_look(meant, site)
    waiting = [Waiting(one.found.path, why) for one in meant if (why := why_waits(one))]
    closed = sorted((one for one in meant if not why_waits(one)), key=lambda one: one.order, reverse=True)
    sightings, rejections, unfit, left = _examine(closed, site, ledger, seen, now, limit)
    waiting.extend(Waiting(one.found.path, one.wait) for one in unfit if one.wait)
    return Sensed(
        site=site.id,
        looked_at=now,
        files=len(meant),
        settled=sum(1 for one in seen.values() if one.settled),
        ignored=listing.ignored,
        more=left,
        waiting=tuple(sorted(waiting, key=lambda one: one.path)),
        sightings=tuple(sightings),
        rejections=tuple(rejections),
    )


def _examine(
    closed: Sequence[Judged], site: Site, ledger: Ledger, seen: Mapping[str, Seen], now: datetime, limit: int
) -> tuple[list[Sighting], list[Rejection], list[Unfit], int]:
    """Sightings, rejections and the rest of `limit` closed files, and how many are left for the next run."""
    sightings: list[Sighting] = []
    rejections: list[Rejection] = []
    unfit: list[Unfit] = []
    closed = _in_turn(closed, seen, limit)
    position = 0
    ends = time.monotonic() + LOOK_S
    while position < len(closed) and len(sightings) + len(rejections) < limit:
        room = min(limit - len(sightings) - len(rejections), FILES_AT_ONCE)
        part = closed[position : position + room]
        position += len(part)
        results = _results(part, site, seen, now)
        sightings += [one for one in results if isinstance(one, Sighting)]
        rejections += [one for one in results if isinstance(one, Rejection)]
        unfit += [one for one in results if isinstance(one, Unfit)]
        ledger.keep([one for one in results if not isinstance(one, Unfit)], now.timestamp())
        strange = [one for one in results if isinstance(one, Unfit) and not one.wait]
        ledger.ignore([source_of(one.found) for one in strange], now.timestamp())
        if time.monotonic() > ends:
            log.warning("%s: files open slowly; %d are left for the next look", site.id, len(closed) - position)
            break
    sightings.sort(key=lambda one: one.start_utc, reverse=True)
    rejections.sort(key=lambda one: one.start_utc, reverse=True)
    return sightings, rejections, unfit, len(closed) - position


def _in_turn(closed: Sequence[Judged], seen: Mapping[str, Seen], limit: int) -> list[Judged]:
    """What was never looked into comes newest first. What was reported before takes at most half of the look from it,
    the longest ago first: however much keeps failing or stays refused, everything has its turn. What the catalogue has
    comes last."""
    new: list[Judged] = []
    again: list[Judged] = []
    done: list[Judged] = []
    for one in closed:
        known = seen[one.found.path]
        (again if known.result is not None else done if known.settled else new).append(one)
    again.sort(key=lambda one: seen[one.found.path].examined)
    half = limit // 2
    return [*new[:half], *again[:half], *new[half:], *again[half:], *done]


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


def _known_too_long(found: Sequence[Found], seen: Mapping[str, Seen], now: datetime) -> list[Found]:
    before = now.timestamp() - KNOWN_AGAIN_S
    long_ago = [
        one
        for one in found
        if (known := seen[one.path]).settled and not isinstance(known.result, Rejection) and known.examined < before
    ]
    return sorted(long_ago, key=lambda one: seen[one.path].examined)[:KNOWN_FILES]


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
