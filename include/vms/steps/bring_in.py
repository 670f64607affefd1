"""Bring in: put existing footage from any folder into a site's footage folder, where it is archived like all else.

The folder it comes from is only read. A file appears in the footage folder whole, under a name that reads there as the
camera and start that were found for it; nothing there is ever overwritten. What was brought in once is remembered, so
that it does not come again after its archived file has been released.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Literal

from vms import footage, names
from vms.config import Config, NamePattern, Site
from vms.errors import StagingFull, VmsError
from vms.examine import Judged, judge, second_look, why_waits
from vms.footage import Found
from vms.home import Home
from vms.names import NameReading, Start
from vms.paths import from_text
from vms.steps.space import floor_bytes
from vms.telegram import Message


@dataclass(frozen=True)
class Incoming:
    """A closed file of the folder and where it goes. target: text below the footage folder.

    start: as its name tells, or the message's or the file's own time; mtime: what the brought file's is set to (None:
    left as it is).
    """

    found: Found
    camera: str
    start: Start
    target: str
    mtime: datetime | None = None


@dataclass(frozen=True)
class Folder:
    """What lies in a folder. waiting: name and why, for files that somebody may still be writing. ignored: no video.

    unreadable: files that no name of the site's pattern could be found for.
    """

    incoming: tuple[Incoming, ...]
    waiting: tuple[tuple[str, str], ...]
    unreadable: tuple[str, ...]
    ignored: int


def look(
    folder: Path, site: Site, config: Config, camera: str, messages: Mapping[str, Message], *, now: datetime
) -> Folder:
    """What would come in, the newest first. camera: "" to read it from names. messages: by path below the folder.

    Raises FootageUnreachable when the folder can't be listed.
    """
    listing = footage.list_footage(folder, site.id)
    there = replace(site, footage=folder)
    judged = second_look(judge(listing.found, there, config, {}, now, now.timestamp()), there)
    patterns = names.patterns_for(site.pattern, config.patterns)
    incoming, waiting, unreadable = [], [], []
    taken: set[str] = set()
    for one in sorted(judged, key=lambda each: each.order, reverse=True):
        if one.found.kind != "file":
            unreadable.append(one.found.path)
        elif why := why_waits(one):
            waiting.append((one.found.path, why))
        else:
            made = _incoming(one, site, patterns, camera, messages.get(one.found.path), taken, now)
            if made is None:
                unreadable.append(one.found.path)
            else:
                incoming.append(made)
                taken.add(made.target)
    return Folder(tuple(incoming), tuple(waiting), tuple(unreadable), listing.ignored)


def bring(one: Incoming, folder: Path, site: Site) -> Literal["linked", "copied", "there"]:
    """Return when the file lies in the site's footage folder. On one disk it is linked, which takes no room.

    Raises VmsError when another file has its name, StagingFull when the disk has too little room, OSError.
    """
    source, target = folder / from_text(one.found.path), site.footage / from_text(one.target)
    fingerprint = footage.fingerprint(source)
    if target.exists():
        if footage.fingerprint(target) == fingerprint:
            return "there"
        raise VmsError(f"{target} is another file; it was not overwritten.", "Import that folder with --camera NAME.")
    target.parent.mkdir(parents=True, exist_ok=True)
    if one.mtime is None:
        try:
            os.link(source, target, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError:  # another disk, or a file system without links
            pass
        else:
            return "linked"
    free = shutil.disk_usage(target.parent).free
    if free < one.found.size_bytes + floor_bytes(target.parent):
        raise StagingFull(
            f"{site.id}: the disk of {site.footage} has {free / 1e9:.1f} GB free, too little for the next file.",
            "Give the same command again when what came in is archived and released: it goes on from there.",
        )
    begun = target.with_name(f".{target.name}.part")
    shutil.copyfile(source, begun)
    before = source.stat()
    at = before.st_mtime_ns if one.mtime is None else int(one.mtime.timestamp() * 1e9)
    os.utime(begun, ns=(at, at))
    with begun.open("rb") as file:
        os.fsync(file.fileno())
    if footage.fingerprint(begun) != fingerprint or begun.stat().st_size != one.found.size_bytes:
        begun.unlink()
        raise VmsError(f"{source} changed while it was being copied.", "Give the command again when it is closed.")
    os.link(begun, target)  # unlike a rename it never replaces
    begun.unlink()
    return "copied"


class Brought:
    """What was brought into a site before, one JSON object a line: by path, size and mtime, wherever it went."""

    def __init__(self, home: Home, site: Site) -> None:
        self._file = home.root / "imports" / f"{site.id}.jsonl"
        self._known = {(line["from"], line["size_bytes"], line["mtime_ns"], line["camera"]) for line in self._lines()}

    def has(self, one: Incoming, folder: Path) -> bool:
        return self._key(one, folder) in self._known

    def add(self, one: Incoming, folder: Path, by: str) -> None:
        """Write it down. A kill between bringing and this costs a comparison the next time and no second file."""
        path, size_bytes, mtime_ns, camera = key = self._key(one, folder)
        line = {
            "from": path,
            "size_bytes": size_bytes,
            "mtime_ns": mtime_ns,
            "camera": camera,
            "to": one.target,
            "at": datetime.now(UTC).isoformat(),
            "by": by,
        }
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._known.add(key)

    def _lines(self) -> Iterator[dict[str, str | int]]:
        if self._file.exists():
            for line in self._file.read_text(encoding="utf-8").splitlines():
                try:
                    yield json.loads(line)
                except ValueError:  # the last line of a process that was killed
                    continue

    @staticmethod
    def _key(one: Incoming, folder: Path) -> tuple[str, int, int, str]:
        return f"{folder.resolve()}/{one.found.path}", one.found.size_bytes, one.found.mtime_ns, one.camera


def _incoming(
    one: Judged,
    site: Site,
    patterns: Sequence[NamePattern],
    camera: str,
    message: Message | None,
    taken: Collection[str],
    now: datetime,
) -> Incoming | None:
    """Where it goes: under its own path where that reads as it should, else under a name that tells camera and time.

    Never where another file of the folder goes (taken). None when the site's pattern reads none of the names right.
    """
    own = PurePosixPath(one.found.path)
    named = one.reading if one.reading and (one.reading.local or one.reading.utc) else None
    if message is not None and own.name.rpartition("@")[2] == message.stamp(own.suffix):
        named = None  # Telegram made the name up from the message's time, on the clock of whoever exported
    wanted = camera or (names.slug(message.chat) if message else one.camera)
    mtime = datetime.fromtimestamp(one.found.mtime_ns / 1e9, UTC)
    sent = message.at if message and named is None else None
    start = _start(named, site, sent or mtime, now)
    paths = [one.found.path, f"{wanted}/{one.found.path}", f"{wanted}/{own.name}"]
    if message is not None and named is None:
        file = f"message {message.number}{own.suffix}"
        paths = [f"{wanted}/{file}", f"{wanted}/{own.parent}/{file}"]
    elif message is not None:
        del paths[0]  # the folders of an export name no camera
    if named is not None:
        at = start.utc.astimezone(site.zone)
        paths.append(f"{wanted}/{wanted}_{at:%Y%m%d}_{at:%H%M%S}{own.suffix}")
    for path in (each for each in paths if each not in taken):
        reading = names.read_name(path, patterns, site.cameras)
        read = reading.camera if reading else names.camera_without_pattern(path, site.cameras)
        timed = reading if reading and (reading.local or reading.utc) else None
        if read == wanted and _start(timed, site, sent or mtime, now) == start:
            return Incoming(one.found, wanted, start, path, sent)
    return None


def _start(reading: NameReading | None, site: Site, mtime: datetime, now: datetime) -> Start:
    return names.settle_start(reading, site.zone, duration_s=0, mtime=mtime, container_time=None, now=now)
