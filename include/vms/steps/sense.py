"""Sense: look at a site's footage folder and report what is closed and new, what waits, and what can't be footage.

The look costs little however much lies there: names that the catalogue knows are skipped by the ledger, and a file is
opened once for each size and mtime. Everything that is found has an outcome; nothing that is found can stop the rest.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from vms import footage, names
from vms.config import Config, NamePattern, Site
from vms.errors import FootageUnreachable, SourceRejected
from vms.footage import Found, Look
from vms.home import Home
from vms.ledger import Ledger, Seen
from vms.model import Fault, Rejection, Sensed, Sighting, SourceSeen, Waiting
from vms.names import NameReading
from vms.paths import from_text
from vms.time_limit import Hung, each_within
from vms.video.probe import Probe, probe

log = logging.getLogger(__name__)

EXAMINE_AGAIN_S = 3600.0
"""A refused file is looked into again this often: a corrected permission changes neither size nor mtime."""

EXAMINE_STALL_S = 90.0
"""Longer than one probe may take; when no file at all gets done in this time, the share hangs."""

_ODD: dict[str, tuple[str, str, str]] = {
    "directory": (
        "directory",
        "it is a folder named like a video",
        "Nothing to do: the files in it are looked at as usual. Rename the folder if this note disturbs.",
    ),
    "link_outside": (
        "link_outside",
        "it is a link that leads out of the footage folder and is not followed",
        "Mount or copy the footage into the folder, or add the place it points to as a site of its own.",
    ),
    "broken_link": (
        "not_a_file",
        "it is a link to a file that does not exist",
        "Remove the link, or put the file where it points.",
    ),
    "not_a_file": (
        "not_a_file",
        "it is a pipe, socket or device named like a video",
        "Remove it, or leave it: it is never opened.",
    ),
    "unreadable": (
        "unreadable",
        "it can't be read: permission is missing, or the disk has an error",
        "Give the user that runs this the right to read it. It is looked at again within the hour.",
    ),
}


@dataclass(frozen=True)
class _Judged:
    """A found file with what its name tells and whether it is closed."""

    found: Found
    reading: NameReading | None
    camera: str
    order: float  # named start, else mtime; epoch seconds
    look: Look


@dataclass(frozen=True)
class _Unfit:
    """Examined, and not (yet) a sighting: why it waits, or that it is no footage at all."""

    found: Found
    wait: str


def sense(site: Site, config: Config, home: Home, *, now: datetime, limit: int = 500) -> Sensed:
    """One look at the site's footage folder: the newest `limit` closed files first, and all that waits.

    A file is reported at each look until the ledger is told that it is settled. Raises FootageUnreachable when the
    folder is missing, does not answer in time, or lost its mount.
    """
    listing = footage.list_footage(site.footage, site.id)
    ledger = Ledger(site.staging or home.site_staging(site.id))
    _refuse_lost_mount(site, listing, ledger)
    seen = ledger.look(listing.found, now.timestamp())
    open_files = [one for one in listing.found if _needs_look(seen[one.path], now)]
    judged = judge(open_files, site, config, seen, now, footage.share_clock(site.footage) if open_files else None)
    judged = _second_look(judged, site)

    waiting = [Waiting(one.found.path, why) for one in judged if (why := _why_waits(one))]
    closed = sorted((one for one in judged if not _why_waits(one)), key=lambda one: one.order, reverse=True)
    sightings, rejections, unfit, left = _examine(closed, site, seen, now, limit)
    ledger.keep([*sightings, *rejections], now.timestamp())
    ledger.ignore([_source(one.found) for one in unfit if not one.wait], now.timestamp())
    waiting.extend(Waiting(one.found.path, one.wait) for one in unfit if one.wait)
    no_footage = sum(1 for one in unfit if not one.wait) + sum(1 for one in seen.values() if one.ignored)
    again = {one.found.path for one in closed if seen[one.found.path].settled}
    reported = [one for one in rejections if one.source.path not in again or _is_news(one, seen[one.source.path])]
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


def judge(
    found: Sequence[Found], site: Site, config: Config, seen: dict[str, Seen], now: datetime, clock: float | None
) -> list[_Judged]:
    """What each name tells, and what two looks tell about whether it is closed. Touches nothing.

    clock: the share's own time in epoch seconds, None when it could not be asked.
    """
    patterns = names.patterns_for(site.pattern, config.patterns)
    read = [(one, *_read(one, site, patterns, now)) for one in found]
    followed = footage.with_newer_sibling(
        (one.path, _stream(one.path, camera), order, one.mtime_ns)
        for one, _, camera, order in read
        if one.kind == "file" and not one.temporary
    )
    share_now = clock if clock is not None else now.timestamp()
    judged = []
    for one, reading, camera, order in read:
        before = seen.get(one.path)
        unchanged = now.timestamp() - before.first_look if before and before.first_look < now.timestamp() else None
        look = Look(
            age_s=share_now - one.mtime_ns / 1e9,
            unchanged_s=unchanged,
            changed=before is not None and before.changed,
            newer_sibling=one.path in followed,
            clock_known=clock is not None,
            temporary=one.temporary,
        )
        judged.append(_Judged(one, reading, camera, order, look))
    return judged


def examine(one: _Judged, site: Site, now: datetime) -> Sighting | Rejection | _Unfit:
    """Open a closed file: a sighting, or why it can't become a recording, or why it waits after all."""
    found = one.found
    if found.kind != "file":
        reason, message, remedy = _ODD[found.kind]
        return _rejection(one, site, now, reason, message, remedy)
    path = site.footage / from_text(found.path)
    try:
        if not found.likely and (found.size_bytes == 0 or not footage.looks_like_video(path)):
            return _Unfit(found, "")
        if found.size_bytes == 0:
            probed = None
        else:
            mark = footage.fingerprint(path)
            probed = probe(path)
    except FileNotFoundError:
        return _Unfit(found, "it went away while it was looked at")
    except OSError:
        return _rejection(one, site, now, *_ODD["unreadable"])
    except SourceRejected as refusal:
        if refusal.reason == "missing":
            return _Unfit(found, "it went away while it was looked at")
        if _is_young(one.look):
            return _Unfit(found, f"it does not open yet ({refusal.reason})")
        message = refusal.message.partition(": ")[2] or refusal.message
        return _rejection(one, site, now, refusal.reason, message.rstrip("."), refusal.remedy)
    if footage.look_again(site.footage, found.path) != (found.size_bytes, found.mtime_ns):
        return _Unfit(found, "it changed while it was looked at")
    if probed is None:
        if _is_young(one.look):
            return _Unfit(found, "it is still empty")
        return _rejection(
            one,
            site,
            now,
            "zero_bytes",
            "it is empty (0 bytes); the recorder opened it and never wrote to it",
            "Export it again from the recorder if footage is expected there, else remove it.",
        )
    return _sighting(one, site, now, mark, probed)


def _examine(
    closed: Sequence[_Judged], site: Site, seen: dict[str, Seen], now: datetime, limit: int
) -> tuple[list[Sighting], list[Rejection], list[_Unfit], int]:
    """Sightings, rejections and the rest of the newest `limit` closed files, and how many are left for the next run."""
    sightings: list[Sighting] = []
    rejections: list[Rejection] = []
    unfit: list[_Unfit] = []
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


def _results(
    part: Sequence[_Judged], site: Site, seen: dict[str, Seen], now: datetime
) -> list[Sighting | Rejection | _Unfit]:
    results: list[Sighting | Rejection | _Unfit] = []
    to_open = []
    for one in part:
        known = seen[one.found.path]
        fresh = isinstance(known.result, Sighting) or now.timestamp() - known.examined < EXAMINE_AGAIN_S
        if known.result is not None and fresh:
            results.append(known.result)
        else:
            to_open.append(one)
    work: Callable[[_Judged], Sighting | Rejection | _Unfit] = lambda one: examine(one, site, now)  # noqa: E731
    try:
        results.extend(each_within(EXAMINE_STALL_S, os.cpu_count() or 1, to_open, work))
    except Hung:
        raise FootageUnreachable(
            f"Site {site.id}: files in {site.footage} could not be read for {EXAMINE_STALL_S:.0f} s.",
            "The share or disk hangs: check the network and the recorder, then mount it again. Other sites go on.",
        ) from None
    return results


def _read(
    one: Found, site: Site, patterns: Sequence[NamePattern], now: datetime
) -> tuple[NameReading | None, str, float]:
    reading = names.read_name(one.path, patterns, site.cameras)
    camera = reading.camera if reading else names.camera_without_pattern(one.path, site.cameras)
    start = names.settle_start(reading, site.zone, duration_s=0, mtime=_mtime(one, now), container_time=None, now=now)
    return reading, camera, start.utc.timestamp()


def _second_look(judged: list[_Judged], site: Site) -> list[_Judged]:
    """Look again a few seconds later at what only lacks a second look, so that it need not wait for the next run."""
    unsure = [one for one in judged if footage.second_look_helps(one.look)]
    if not unsure:
        return judged
    time.sleep(footage.SECOND_LOOK_S)
    steady = {
        one.found.path
        for one in unsure
        if footage.look_again(site.footage, one.found.path) == (one.found.size_bytes, one.found.mtime_ns)
    }
    return [_steady(one) if one.found.path in steady else one for one in judged]


def _steady(one: _Judged) -> _Judged:
    look = one.look
    again = Look(look.age_s, footage.SECOND_LOOK_S, look.changed, look.newer_sibling, look.clock_known, look.temporary)
    return _Judged(one.found, one.reading, one.camera, one.order, again)


def _why_waits(one: _Judged) -> str:
    return footage.decide(one.look) if one.found.kind == "file" else ""


def _needs_look(seen: Seen, now: datetime) -> bool:
    if seen.ignored:
        return False
    if not seen.settled:
        return True
    return isinstance(seen.result, Rejection) and now.timestamp() - seen.examined >= EXAMINE_AGAIN_S


def _is_news(rejection: Rejection, before: Seen) -> bool:
    """Whether a settled file that was examined again is refused for another reason than before."""
    return not isinstance(before.result, Rejection) or before.result.fault.reason != rejection.fault.reason


def _is_young(look: Look) -> bool:
    return look.age_s < footage.YOUNG_S and (look.unchanged_s is None or look.unchanged_s < footage.YOUNG_S)


def _sighting(one: _Judged, site: Site, now: datetime, mark: str, probed: Probe) -> Sighting:
    start = names.settle_start(
        one.reading,
        site.zone,
        duration_s=probed.duration_s,
        mtime=_mtime(one.found, now),
        container_time=probed.creation_time,
        now=now,
    )
    return Sighting(
        source=_source(one.found),
        camera=one.camera,
        fingerprint=mark,
        start_utc=start.utc,
        duration_s=probed.duration_s,
        time_basis=start.basis,
        time_marks=start.marks,
        pattern=one.reading.pattern if one.reading else "",
        codec=probed.video.codec,
        width=probed.video.width,
        height=probed.video.height,
        fps=probed.video.fps,
        audio_codec=probed.audio.codec if probed.audio else None,
    )


def _rejection(one: _Judged, site: Site, now: datetime, reason: str, message: str, remedy: str) -> Rejection:
    found = one.found
    start = names.settle_start(
        one.reading, site.zone, duration_s=0, mtime=_mtime(found, now), container_time=None, now=now
    )
    try:
        mark = footage.fingerprint(site.footage / from_text(found.path)) if found.kind == "file" else ""
    except OSError:
        mark = ""
    if not mark or found.size_bytes == 0:  # there are no bytes to tell it from others, so its name must do
        mark = sha256(f"{found.path}\n{found.size_bytes}\n{found.mtime_ns}".encode()).hexdigest()[:32]
    text = f"{site.id}/{one.camera}: {found.path}: {message}. It stays where it is."
    return Rejection(
        _source(found), one.camera, mark, start.utc, start.basis, Fault(reason, text, remedy, permanent=True)
    )


def _source(found: Found) -> SourceSeen:
    return SourceSeen(found.path, found.size_bytes, found.mtime_ns)


def _mtime(found: Found, now: datetime) -> datetime:
    """The file's mtime; for names without one (folders, links) the moment of the look."""
    try:
        return datetime.fromtimestamp(found.mtime_ns // 10**9, UTC) if found.mtime_ns else now
    except (ValueError, OverflowError, OSError):
        return now


def _stream(path: str, camera: str) -> str:
    """What writes one file after the other: a camera's main and sub stream differ in folder or ending."""
    return f"{camera}\n{Path(path).suffix.lower()}"


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
