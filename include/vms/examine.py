"""From a name in the footage folder to an outcome: when is it from, is it closed, and what is in it?

`judge` reads names and applies the closed rule to all files at once and touches nothing; `examine` opens one file and
gives a sighting, a rejection, or the reason why it waits. `vms.steps.sense` and `vms sites try` are built on both.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from vms import footage, names
from vms.config import Config, NamePattern, Site
from vms.errors import Reason, SourceRejected, VmsError
from vms.footage import Found, Look
from vms.ledger import Seen
from vms.names import NameReading
from vms.paths import from_text
from vms.sightings import Fault, Rejection, Sighting, SourceSeen
from vms.video.probe import Probe, probe

log = logging.getLogger(__name__)

_ODD: dict[str, tuple[Reason, str, str]] = {
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
class Judged:
    """A found file with what its name tells and whether it is closed."""

    found: Found
    reading: NameReading | None
    camera: str
    order: float  # named start, else mtime; epoch seconds
    look: Look


@dataclass(frozen=True)
class Unfit:
    """Examined, and not (yet) a sighting: why it waits, or that it is no footage at all."""

    found: Found
    wait: str


def judge(
    found: Sequence[Found], site: Site, config: Config, seen: Mapping[str, Seen], now: datetime, clock: float | None
) -> list[Judged]:
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
        judged.append(Judged(one, reading, camera, order, look))
    return judged


def examine(one: Judged, site: Site, now: datetime) -> Sighting | Rejection | Unfit:
    """Open a closed file: a sighting, or why it can't become a recording, or why it waits after all.

    Raises VmsError only for what concerns all files, such as a missing ffprobe.
    """
    try:
        return _open(one, site, now)
    except VmsError:
        raise
    except Exception as error:
        log.exception("%s: %s could not be looked into", site.id, one.found.path)
        return Unfit(one.found, f"it could not be looked into ({type(error).__name__}); the log says more")


def _open(one: Judged, site: Site, now: datetime) -> Sighting | Rejection | Unfit:
    found = one.found
    if found.kind != "file":
        reason, message, remedy = _ODD[found.kind]
        return _rejection(one, site, now, reason, message, remedy)
    path = site.footage / from_text(found.path)
    try:
        if not found.likely and (found.size_bytes == 0 or not footage.looks_like_video(path)):
            return Unfit(found, "")
        if found.size_bytes == 0:
            probed = None
        else:
            mark = footage.fingerprint(path)
            probed = probe(path)
    except FileNotFoundError:
        return Unfit(found, "it went away while it was looked at")
    except OSError:
        return _rejection(one, site, now, *_ODD["unreadable"])
    except SourceRejected as refusal:
        if refusal.reason == "missing":
            return Unfit(found, "it went away while it was looked at")
        if _is_young(one.look):
            return Unfit(found, f"it does not open yet ({refusal.reason})")
        message = refusal.message.partition(": ")[2] or refusal.message
        return _rejection(one, site, now, refusal.reason, message.rstrip("."), refusal.remedy)
    if footage.look_again(site.footage, found.path) != (found.size_bytes, found.mtime_ns):
        return Unfit(found, "it changed while it was looked at")
    if probed is None:
        if _is_young(one.look):
            return Unfit(found, "it is still empty")
        return _rejection(
            one,
            site,
            now,
            "zero_bytes",
            "it is empty (0 bytes); the recorder opened it and never wrote to it",
            "Export it again from the recorder if footage is expected there, else remove it.",
        )
    return _sighting(one, site, now, mark, probed)


def reads_the_same(one: Judged, before: Sighting, site: Site, now: datetime) -> bool:
    """Whether the name still tells what it told then: sites.yaml may have got another zone, camera or pattern since."""
    reading = one.reading
    if (one.camera, reading.pattern if reading else "") != (before.camera, before.pattern):
        return False
    if reading is None or not (reading.utc or reading.local):
        return before.time_basis in ("container", "mtime")
    mtime = mtime_of(one.found, now)
    start = names.settle_start(
        reading, site.zone, duration_s=before.duration_s, mtime=mtime, container_time=None, now=now
    )
    return (start.utc, start.basis) == (before.start_utc, before.time_basis)


def second_look(judged: list[Judged], site: Site) -> list[Judged]:
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
    return [
        replace(one, look=replace(one.look, unchanged_s=footage.SECOND_LOOK_S)) if one.found.path in steady else one
        for one in judged
    ]


def why_waits(one: Judged) -> str:
    return footage.decide(one.look) if one.found.kind == "file" else ""


def _read(
    one: Found, site: Site, patterns: Sequence[NamePattern], now: datetime
) -> tuple[NameReading | None, str, float]:
    reading = names.read_name(one.path, patterns, site.cameras)
    camera = reading.camera if reading else names.camera_without_pattern(one.path, site.cameras)
    start = names.settle_start(reading, site.zone, duration_s=0, mtime=mtime_of(one, now), container_time=None, now=now)
    return reading, camera, start.utc.timestamp()


def _is_young(look: Look) -> bool:
    return look.age_s < footage.YOUNG_S and (look.unchanged_s is None or look.unchanged_s < footage.YOUNG_S)


def _sighting(one: Judged, site: Site, now: datetime, mark: str, probed: Probe) -> Sighting:
    start = names.settle_start(
        one.reading,
        site.zone,
        duration_s=probed.duration_s,
        mtime=mtime_of(one.found, now),
        container_time=probed.creation_time,
        now=now,
    )
    return Sighting(
        source=source_of(one.found),
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


def _rejection(one: Judged, site: Site, now: datetime, reason: Reason, message: str, remedy: str) -> Rejection:
    found = one.found
    start = names.settle_start(
        one.reading, site.zone, duration_s=0, mtime=mtime_of(found, now), container_time=None, now=now
    )
    try:
        mark = footage.fingerprint(site.footage / from_text(found.path)) if found.kind == "file" else ""
    except OSError:
        mark = ""
    if not mark or found.size_bytes == 0:  # there are no bytes to tell it from others, so its name must do
        mark = sha256(f"{found.path}\n{found.size_bytes}\n{found.mtime_ns}".encode()).hexdigest()[:32]
    text = f"{site.id}/{one.camera}: {found.path}: {message}. It stays where it is."
    return Rejection(
        source_of(found), one.camera, mark, start.utc, start.basis, Fault(reason, text, remedy, permanent=True)
    )


def source_of(found: Found) -> SourceSeen:
    return SourceSeen(found.path, found.size_bytes, found.mtime_ns)


def mtime_of(found: Found, now: datetime) -> datetime:
    """The file's mtime; for names without one (folders, links) the moment of the look."""
    try:
        return datetime.fromtimestamp(found.mtime_ns // 10**9, UTC) if found.mtime_ns or found.kind == "file" else now
    except (ValueError, OverflowError, OSError):
        return now


def _stream(path: str, camera: str) -> str:
    """What writes one file after the other: recorders give a camera's second kind of file another ending."""
    return f"{camera}\n{Path(path).suffix.lower()}"
