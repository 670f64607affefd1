"""Making an export: recordings out of the stores into its folder, clips of them, what is missing, the seal.

The command and the worker of orders both do it with this; they differ in who watches (Observer) and in who stops it.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Literal, Protocol

from vms.catalogue.connection import Connection
from vms.catalogue.copying import held_of, known_stores
from vms.catalogue.coverage import load_facts
from vms.catalogue.reads import RecordingFilter, RecordingRow, count_recordings, find_recordings, log_view
from vms.config import load_config
from vms.coverage import find_gaps
from vms.errors import ConfigError, StoreFull, VmsError
from vms.evidence.package import add_custody, furnish, unseal
from vms.evidence.signing import key_fingerprint, sign
from vms.exports.clips import What, forget_notes, write_clips
from vms.exports.folder import Folder, gap_object
from vms.home import Home
from vms.logs import about, of_recording
from vms.model import State, StoreTarget
from vms.steps.export import Exported, Exporter
from vms.video.ffmpeg import Stopped

Step = Literal["files", "clips", "stills"]

KEPT: tuple[State, ...] = ("archived", "released")
SPARE_BYTES = 50_000_000
CLIP_BYTES_PER_S = 400_000
"""What a second of a clip takes at most, as a rule: 1080p of a busy place. Often it is a third of that."""

_PAGE = 500


class Observer(Protocol):
    """Who is told how far it is."""

    def begins(self, step: Step, total: float, files: int) -> None:
        """total: bytes of the files, seconds of the clips, or recordings that get stills; files: how many it makes."""

    def moved(self, done: float, files: int) -> None:
        """So much of the step's total, and so many files of it, are done."""

    def written(self, row: RecordingRow, done: Exported) -> None:
        """A recording lies in the folder, proven."""


def clips_bytes(duration_s: float, cameras: int, asked_for: timedelta) -> int:
    """About how much the clips will be. duration_s: of the recordings, which may be longer than what is cut of them."""
    return round(min(duration_s, cameras * asked_for.total_seconds()) * CLIP_BYTES_PER_S)


def make(
    home: Home,
    conn: Connection,
    folder: Folder,
    wanted: Sequence[RecordingFilter],
    what: What,
    observer: Observer,
    stop: threading.Event | None = None,
) -> bool:
    """Make the export, or go on with it where it was left. Returns whether it came to its end: Ctrl-C and `stop` end
    it earlier, with a manifest that says so. What could not be written is in folder.failures.

    wanted: the recordings, in UTC. conn: with the viewer's role. Raises StoreFull when the disk takes no more.
    """
    stop = stop or threading.Event()
    unseal(folder.root)
    try:
        _write(home, conn, folder, wanted, observer, stop)
        if what.clip:
            _clips(home, folder, wanted, what, observer, stop)
        if what.only_clips:
            folder.mark_left_out()
        folder.gaps = _gaps(conn, wanted, folder)
        attached: tuple[str, ...] = ()
        if what.reason:
            attached = _furnish(home, conn, folder, what.reason, observer, stop)
        folder.remove_left_out()
    except (KeyboardInterrupt, Stopped):
        folder.gaps = []
        folder.close(complete=False)
        return False
    forget_notes(folder.root)
    folder.close(complete=not folder.failures, attached=attached)
    if what.reason:
        sign(home, folder.root)
        detail = {**folder.label, "reason": what.reason, **folder.counts()}
        log_view(conn, folder.by, "evidence", None, None, detail)
    return True


def _write(
    home: Home,
    conn: Connection,
    folder: Folder,
    wanted: Sequence[RecordingFilter],
    observer: Observer,
    stop: threading.Event,
) -> None:
    totals = [count_recordings(conn, replace(one, states=KEPT)) for one in wanted]
    observer.begins("files", sum(one.rendition_bytes for one in totals), sum(one.count for one in totals))
    exporter = Exporter(_stores(conn, home), stop)
    size_bytes = files = 0
    for page in (page for one in wanted for page in _pages(conn, one)):
        held = held_of(conn, [(row.id, row.start_utc) for row in page if row.state in KEPT])
        for row in page:
            if stop.is_set():
                raise Stopped
            order = held.get(row.id)
            if order is None:
                folder.lacks(row)
                continue
            path = folder.path_of(row, order)
            before, count = size_bytes, files
            try:
                with about(recording=row.id):
                    done = exporter.export(order, path, lambda moved: observer.moved(before + moved, count))  # noqa: B023
            except VmsError as error:
                folder.failed(row, error)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
                    raise StoreFull(
                        f"{path} can't be written ({error.strerror}).",
                        "Make room on the disk, then give the same command again: it goes on from there.",
                    ) from error
                folder.failed(row, VmsError(f"{path} can't be written ({error.strerror}).", "See to that folder."))
            else:
                folder.has(row, path, done)
                file = path.relative_to(folder.root).as_posix()
                detail = {**folder.label, "file": file, "sha256": done.copy.sha256}
                detail |= {"only_clips": True} if folder.asked.only_clips else {}
                log_view(conn, folder.by, "export", row.id, row.start_utc, detail)
                of_recording(row.id, observer.written)(row, done)
            size_bytes, files = size_bytes + (row.rendition_bytes or 0), files + 1
            observer.moved(size_bytes, files)


def _clips(
    home: Home,
    folder: Folder,
    wanted: Sequence[RecordingFilter],
    what: What,
    observer: Observer,
    stop: threading.Event,
) -> None:
    def begins(seconds: float, clips: int) -> None:
        observer.begins("clips", seconds, clips)

    write_clips(
        home,
        folder,
        wanted,
        begins,
        lambda seconds: observer.moved(seconds, len(folder.clips)),
        stop,
        what,
    )


def _furnish(
    home: Home, conn: Connection, folder: Folder, reason: str, observer: Observer, stop: threading.Event
) -> tuple[str, ...]:
    """Put into the folder what makes an evidence package of it; returns the names."""
    mark = key_fingerprint(home)
    folder.evidence = {"reason": reason, "fingerprint": mark}
    add_custody(conn, folder.recordings)
    told = folder.as_manifest(complete=not folder.failures)

    def moved(done: int) -> None:
        if stop.is_set():
            raise Stopped
        observer.moved(done, done)

    observer.begins("stills", len(folder.recordings), len(folder.recordings))
    return furnish(home, folder.root, told, mark, moved)


def _stores(conn: Connection, home: Home) -> dict[int, StoreTarget]:
    """Every store by number, as sites.yaml describes it now; one that is no longer in it as it was known."""
    known = known_stores(conn)
    try:
        for now in load_config(home.sites_file).stores:
            if now.name in known:
                known[now.name] = replace(known[now.name], url=now.url, conn_id=now.conn_id, options=now.options)
    except ConfigError:  # what is archived can be taken out while sites.yaml is being mended
        pass
    return {target.store_id: target for target in known.values()}


def _pages(conn: Connection, wanted: RecordingFilter) -> Iterator[list[RecordingRow]]:
    after: tuple[datetime, int] | None = None
    while page := find_recordings(conn, wanted, limit=_PAGE, after=after, newest_first=False):
        yield page
        after = (page[-1].start_utc, page[-1].id)


def _gaps(conn: Connection, wanted: Sequence[RecordingFilter], folder: Folder) -> list[dict[str, object]]:
    """Where footage was expected and is missing, for each camera meant; an open end is that of the footage found."""
    found = []
    for one in wanted:
        begin, end = one.from_utc or folder.first, one.to_utc or folder.last
        if begin is None or end is None:
            continue
        days: tuple[date, date] = (begin.date(), end.date())
        for facts in load_facts(conn, *days, sites=one.sites, cameras=one.cameras):
            found += [gap_object(facts, gap) for gap in find_gaps(facts, begin, end)]
    return found
