"""Makes the exports that people order in the viewer, one after the other: `python -m vms.exports.worker`.

A part of the stack, kept alive by it, at the lowest priority. Killed at any point it goes on where it was: what is
running in the catalogue is taken up first, and files that lie there whole are not fetched again.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import psycopg2

from vms import logs, pulse
from vms.catalogue import exports, reads_sites
from vms.catalogue.connection import Connection, connect, url
from vms.catalogue.exports import ExportRow
from vms.catalogue.reads import RecordingFilter, RecordingRow, count_recordings
from vms.config_model import ExportPolicy
from vms.errors import CatalogueError, StoreFull, VmsError
from vms.exports import archive
from vms.exports.clips import What
from vms.exports.folder import Asked, Folder
from vms.exports.making import KEPT, SPARE_BYTES, clips_bytes, make
from vms.exports.policy import policy_of
from vms.home import Home, from_environment
from vms.rights import RIGHTS
from vms.steps.export import Exported
from vms.video.ffmpeg import Stopped
from vms.wording import size_text, utc_text

log = logging.getLogger(__name__)

POLL_S = 1.0
AWAY_S = 3.0
_MOST_TRIES = 10
"""An order that was taken up so often and never came to its end fails, so that it does not keep out the others."""


class Refused(VmsError):
    """An order that can't be made. fault: why, as a word that the viewer has words for."""

    def __init__(self, fault: str, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.args = (fault, message, remedy)
        self.fault = fault


@dataclass
class Watch:
    """Told how far an export is; a thread beside it writes that down, and sees whether it shall end.

    why: why it is to end: "" while nobody wants that, "cancelled", "not_granted", or "stopped" (the worker shall end).
    """

    home: Home
    order: ExportRow
    ending: threading.Event
    stop: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    why: str = ""
    alive: pulse.Pulse = field(init=False)
    now: tuple[str, float, float, int, int] = ("", 0.0, 0.0, 0, 0)

    def __post_init__(self) -> None:
        self.alive = pulse.Pulse(self.home, pulse.EXPORTS)

    def begins(self, step: str, total: float, files: int) -> None:
        self.alive.beat()
        self.now = (step, 0.0, total, 0, files)

    def moved(self, done: float, files: int) -> None:
        self.alive.beat()
        step, _, total, _, of = self.now
        self.now = (step, done, total, files, of)

    def written(self, row: RecordingRow, done: Exported) -> None:
        log.info("Export %s: %s/%s %s %s", self.order.export_id, row.site, row.camera, row.start_utc, done.how)

    def end(self, why: str) -> None:
        self.why = self.why or why
        self.stop.set()

    def look_after(self) -> None:
        """Until the export is over. While the catalogue is away, it goes on unwatched."""
        while not self.over.is_set():
            try:
                with closing(connect(url(self.home, "owner"))) as conn:
                    while not self.over.wait(POLL_S):
                        self._once(conn)
            except (psycopg2.Error, CatalogueError):
                self.over.wait(AWAY_S)
            finally:
                if self.ending.is_set():
                    self.end("stopped")

    def _once(self, conn: Connection) -> None:
        if self.ending.is_set():
            self.end("stopped")
        step, done, total, files_done, files = self.now
        if exports.save_progress(conn, self.order.export_id, step, done, total, files_done, files):
            self.end("cancelled")
        try:
            _asking(self.home, conn, self.order)
        except Refused:
            self.end("not_granted")


def work(home: Home, ending: threading.Event) -> None:
    """Take up orders until `ending` is set. While the catalogue is away, wait for it."""
    alive = pulse.Pulse(home, pulse.EXPORTS)
    with _alone(home, ending) as is_alone:
        while is_alone and not ending.is_set():
            try:
                with closing(connect(url(home, "owner"))) as conn:
                    _sweep(home, conn)
                    while not ending.is_set():
                        clear(home, conn)
                        order = exports.next_export(conn)
                        alive.beat()
                        if order is None:
                            ending.wait(POLL_S)
                        else:
                            take(home, conn, order, ending)
            except (psycopg2.Error, CatalogueError) as error:
                log.warning("The catalogue does not answer: %s", error)
                ending.wait(AWAY_S)


def take(home: Home, conn: Connection, order: ExportRow, ending: threading.Event) -> None:
    """Make this export, or say in the catalogue why not. conn: of the owner. When `ending` is set meanwhile, it stays
    what it is, running, and is gone on with by the next worker. Raises psycopg2.Error when the catalogue goes away."""
    watch = Watch(home, order, ending)
    if order.cancel_at is not None:
        _end(home, conn, order, "cancelled")
        return
    beside = threading.Thread(target=watch.look_after, daemon=True)
    try:
        beside.start()
        _make(home, conn, order, watch)
    except Stopped:
        if watch.why == "stopped":
            log.info("Export %s is left for the next start.", order.export_id)
            return
        _end(home, conn, order, watch.why or "cancelled")
    except Refused as error:
        _end(home, conn, order, error.fault, error)
    except StoreFull as error:
        _end(home, conn, order, "disk_full", error)
    except CatalogueError:
        raise
    except (VmsError, OSError) as error:
        log.exception("Export %s failed", order.export_id)
        _end(home, conn, order, "failed", error if isinstance(error, VmsError) else VmsError(f"{error}."))
    finally:
        watch.over.set()
        beside.join()


def clear(home: Home, conn: Connection) -> None:
    """Remove the files of what has expired or was deleted."""
    for export_id in exports.expired_exports(conn):
        try:
            archive.remove(home, export_id)
        except OSError:
            log.exception("Export %s can't be removed", export_id)
        else:
            exports.note_expired(conn, export_id)


def _make(home: Home, conn: Connection, order: ExportRow, watch: Watch) -> None:
    if order.tries > _MOST_TRIES:
        raise Refused("too_many_tries", f"It was begun {order.tries - 1} times and never came to its end.")
    asking = _asking(home, conn, order)
    policy = policy_of(home)
    wanted = RecordingFilter(cameras=order.cameras, from_utc=order.from_utc, to_utc=order.to_utc)
    with closing(connect(url(home, "viewer"), asking=asking)) as theirs:
        totals = count_recordings(theirs, replace(wanted, states=KEPT))
        if totals.count == 0:
            raise Refused("nothing_there", "No store has footage of these cameras and this time.")
        root = archive.folder_of(home, order.export_id)
        root.mkdir(parents=True, exist_ok=True)
        _leave_no_scratch(root)
        asked_for = order.to_utc - order.from_utc
        clips = clips_bytes(totals.duration_s, len(order.cameras), asked_for) if order.clip else 0
        _require_room(root, totals.rendition_bytes + clips, totals.rendition_bytes, policy)
        words = f"{utc_text(order.from_utc)}..{utc_text(order.to_utc)}"
        asked = Asked(words, (), tuple(map("/".join, order.cameras)), only_clips=order.only_clips)
        folder = Folder.opened(
            root, asked, order.who, datetime.now(UTC).replace(microsecond=0), {"export": order.export_id}
        )
        reason = order.reason if order.evidence else ""
        what = What(order.clip, order.burn_in, order.cut, order.gaps, order.only_clips, reason)
        if not make(home, theirs, folder, [wanted], what, watch, watch.stop):
            raise Stopped
    if folder.failures and not folder.recordings:
        first = folder.failures[0]
        raise Refused("unreadable", first["message"], first["remedy"])
    size_bytes = archive.pack(
        home, order.export_id, lambda total, files: watch.begins("packing", total, files), watch.moved, watch.stop
    )
    watch.over.set()
    fault = "incomplete" if folder.failures else ""
    message, remedy = (folder.failures[0]["message"], folder.failures[0]["remedy"]) if fault else ("", "")
    kept_until = datetime.now(UTC) + policy.keep
    exports.finish_export(
        conn,
        order.export_id,
        "done",
        size_bytes=size_bytes,
        kept_until=kept_until,
        fault=fault,
        message=message,
        remedy=remedy,
    )
    log.info("Export %s is done: %s", order.export_id, size_text(size_bytes))


def _asking(home: Home, conn: Connection, order: ExportRow) -> str:
    """For whom to look for its footage. Raises Refused when who ordered it may not take it any more."""
    asker = exports.asker_of(conn, order.user_id)
    if asker.is_disabled or "export" not in RIGHTS.get(asker.role, frozenset()):
        raise Refused("not_granted", f"{asker.name} may not take out footage any more.")
    if asker.asking != "*":
        with closing(connect(url(home, "viewer"), asking=asker.asking)) as theirs:
            seen = {(site.id, camera.id) for site in reads_sites.list_sites(theirs) for camera in site.cameras}
        if not set(order.cameras) <= seen:
            raise Refused("not_granted", f"{asker.name} does not see all of these cameras any more.")
    return asker.asking


def _require_room(root: Path, needed: int, footage: int, policy: ExportPolicy) -> None:
    if footage > policy.largest:
        raise Refused(
            "too_large",
            f"It would have {size_text(footage)}; allowed are {size_text(policy.largest)}.",
            "Order a shorter range or fewer cameras, or set exports: largest in sites.yaml.",
        )
    there = sum(one.stat().st_size for one in root.rglob("*") if one.is_file())
    free = shutil.disk_usage(root).free
    if needed - there + SPARE_BYTES > free:
        raise StoreFull(
            f"The disk of the state folder has {size_text(free)} free; the export needs {size_text(needed)}.",
            "Delete exports that are not needed any more, or make room there. Then order it again.",
        )


def _end(home: Home, conn: Connection, order: ExportRow, why: str, error: VmsError | None = None) -> None:
    """Nothing stays of an export that did not come to its end."""
    archive.remove(home, order.export_id)
    log.info("Export %s ended: %s %s", order.export_id, why, error or "")
    exports.finish_export(
        conn,
        order.export_id,
        "cancelled" if why == "cancelled" else "failed",
        fault="" if why == "cancelled" else why,
        message=error.message if error else "",
        remedy=error.remedy if error else "",
    )


def _sweep(home: Home, conn: Connection) -> None:
    """Remove what no order knows (a catalogue that was put back from a backup, a removal that was killed)."""
    numbers = {int(one.stem) for one in home.exports.glob("*") if one.stem.isdecimal()}
    for export_id in numbers - exports.kept_exports(conn, sorted(numbers)):
        archive.remove(home, export_id)


def _leave_no_scratch(root: Path) -> None:
    """What a killed worker left in the middle of a clip."""
    for one in root.rglob(".clip-*"):
        shutil.rmtree(one, ignore_errors=True)


@contextmanager
def _alone(home: Home, ending: threading.Event) -> Iterator[bool]:
    """One worker at a time; another waits for its end."""
    home.exports.mkdir(parents=True, exist_ok=True)
    with (home.run / "exports.lock").open("a") as file:
        while not ending.is_set():
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                ending.wait(POLL_S)
            else:
                yield True
                return
        yield False


def main() -> int:
    """Work until SIGTERM or Ctrl-C. Returns the exit status."""
    logs.set_up()
    ending = threading.Event()

    def ask_to_end(_signal: int, _frame: FrameType | None) -> None:
        ending.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_end)
    os.nice(15)
    try:
        home = from_environment()
        home.prepare()
        work(home, ending)
    except VmsError:
        log.exception("The worker of exports can't go on")
        time.sleep(AWAY_S)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
