"""Replicate: put archived recordings into a further store, from staging or from a store that holds them already.

Only what has the SHA-256 of the catalogue's proof is copied. A store that holds a part under its key is asked to prove
it anew and is sent nothing, so all of this may be repeated, stopped anywhere, and done by two at the same time.
"""

from __future__ import annotations

import errno
import logging
import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from zoneinfo import ZoneInfo

from vms.config import Site
from vms.errors import CopyDamaged, CopyUnreachable, RestoreNeeded, StagingFull, StoreError, VmsError
from vms.home import Home
from vms.line import Cap, paces_of
from vms.logs import of_recording
from vms.model import Batch, CopyOrder, StoreTarget
from vms.receipts import Copied, CopyReceipt, DamagedCopy
from vms.sightings import Fault
from vms.steps.copying import Piece, put, put_preview
from vms.steps.fetching import discard, discard_left, fetched_file, fill, owned, staged_file, sweep_fetched
from vms.steps.meeting import OUT, fault_of, meet
from vms.steps.space import floor_bytes
from vms.steps.staged import sha256_of
from vms.stores import Store
from vms.uplink import UNLIMITED, Uplink
from vms.video.ffmpeg import Stopped

logger = logging.getLogger(__name__)

FILES_IN_FLIGHT = 4
BATCH_S = 900.0
"""How long a batch begins further copies: what waits longer is the next run's, so that new footage is not held up."""

_POLL_S = 1.0
_PATIENCE_S = 600.0

Moved = Callable[[CopyOrder, int, int], None]
"""Told of an order on its way: how many bytes of its rendition are on this machine, and how many were sent on."""


@dataclass(frozen=True)
class SitePlace:
    """What is local to a site: its clock, the staging folder used for its files, and what of its line sending
    them may take: by its timetable, and by a cap of their own."""

    zone: ZoneInfo
    staging: Path
    uplink: Uplink = UNLIMITED
    cap: Cap | None = None


@dataclass
class _Replication:
    """What the orders in flight share. out: stores that give or take no more, by number, and why.

    paced: the target as it is opened for the files of sites whose line has a cap, by site.
    promised: bytes of staging that files in flight may still need, guarded by `room`. prepared: folders seen to.
    """

    places: Mapping[str, SitePlace]
    target_id: int
    report: Callable[[str], None]
    moved: Moved
    stores: dict[int, Store] = field(default_factory=dict)
    paced: dict[str, Store] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    identity: str = ""
    out: dict[int, VmsError] = field(default_factory=dict)
    promised: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    room: threading.Condition = field(default_factory=threading.Condition)
    telling: threading.Lock = field(default_factory=threading.Lock)
    prepared: set[Path] = field(default_factory=set)

    def prepare(self, staging: Path) -> None:
        """Make the folder when it is first needed, and clear it of what others have left."""
        with self.telling:
            if staging not in self.prepared:
                staging.mkdir(parents=True, exist_ok=True)
                sweep_fetched(staging)
                self.prepared.add(staging)

    def tell(self, line: str) -> None:
        with self.telling:
            self.report(line)


@dataclass(frozen=True)
class _File:
    """One order on its way. place goes in front of its lines, such as "5 of 12: "."""

    work: _Replication
    order: CopyOrder
    place: str
    damaged: list[DamagedCopy] = field(default_factory=list)

    @property
    def staging(self) -> Path:
        return self.work.places[self.order.site].staging

    @property
    def target(self) -> Store:
        return self.work.paced.get(self.order.site) or self.work.stores[self.work.target_id]

    def tell(self, words: str) -> None:
        start = self.order.start_utc.astimezone(self.work.places[self.order.site].zone)
        self.work.tell(f"{self.place}{self.order.camera} {start:%Y-%m-%d %H:%M:%S %Z}  {words}")


def copy_batch(
    batch: Batch,
    site: Site,
    home: Home,
    *,
    report: Callable[[str], None],
    cap: Cap | None = None,
    seconds: float = BATCH_S,
) -> tuple[Copied, ...]:
    """What became of the orders of the batch, in their order; those that `seconds` left no time for are left out.

    Never raises for a store or a file: see `unsent`.
    """
    place = SitePlace(site.zone, site.staging or home.site_staging(site.id), site.uplink, cap)
    (target,) = batch.stores
    orders = batch.orders
    begun = _in_time(orders, time.monotonic() + seconds)
    done = copy_each(begun, batch.holders, target, {site.id: place}, total=len(orders), report=report)
    found = {(one.recording_id, one.start_utc): one for one in done}
    if len(found) < len(orders):
        report(f"{len(orders) - len(found)} recordings are left to the next run, as new footage waits for this one")
    places = [(order.recording_id, order.start_utc) for order in orders]
    return tuple(found[place] for place in places if place in found)


def _in_time(orders: Sequence[CopyOrder], until: float) -> Iterator[CopyOrder]:
    """The first, and the others as long as it is not later than `until` when they are asked for."""
    for number, order in enumerate(orders):
        if number and time.monotonic() > until:
            return
        yield order


def copy_each(
    orders: Iterable[CopyOrder],
    holders: Sequence[StoreTarget],
    target: StoreTarget,
    places: Mapping[str, SitePlace],
    *,
    report: Callable[[str], None],
    moved: Moved = lambda *_: None,
    total: int | None = None,
) -> Generator[Copied, None, None]:
    """What became of each order, as soon as it is known. orders: read as they can be worked on, never all at once.

    holders: read from in this order. places: of every site that the orders name. Once the target is out, all further
    orders get its fault at once. When this is closed or interrupted, what is in flight is given up and goes on from
    there the next time.
    """
    work = _Replication(places, target.store_id, report, moved)
    for store in (target, *holders):
        _meet(work, store)
    of_all = "" if total is None else f" of {total}"
    files = (_File(work, order, f"{number}{of_all}: ") for number, order in enumerate(orders, 1))
    with ThreadPoolExecutor(max_workers=FILES_IN_FLIGHT, thread_name_prefix="copy") as pool:
        running: set[Future[Copied]] = set()
        try:
            while True:
                while len(running) < FILES_IN_FLIGHT and (file := next(files, None)) is not None:
                    running.add(pool.submit(of_recording(file.order.recording_id, _copy), file))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for job in done:
                    yield job.result()
        finally:
            work.stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


def unsent(copied: Iterable[Copied], target: str) -> list[str]:
    """One line for each cause that kept recordings from the store, and one for each damaged copy, for the operator."""
    causes: dict[tuple[str, str], int] = {}
    lines = []
    for one in copied:
        if one.fault is not None:
            cause = (one.fault.message, one.fault.remedy)
            causes[cause] = causes.get(cause, 0) + 1
        else:
            lines += [damage.message for damage in one.damaged]
    return [
        f"{target}: {count} file{'' if count == 1 else 's'} not there. {message} {remedy}".strip()
        for (message, remedy), count in causes.items()
    ] + lines


def _meet(work: _Replication, target: StoreTarget) -> None:
    work.names[target.store_id] = target.name
    try:
        work.stores[target.store_id], identity = meet(target)
        if target.store_id == work.target_id:
            work.identity = identity
            for site, place in work.places.items():
                pace = paces_of(place.uplink, place.zone, place.staging, work.stop, place.cap)
                if pace is not None:
                    work.paced[site], _ = meet(target, pace)
    except VmsError as error:
        work.out[target.store_id] = error
        work.tell(f"{target.name} can't be used now: {error}")


def _copy(file: _File) -> Copied:
    work, order = file.work, file.order
    copied = Copied(order.recording_id, order.start_utc, work.target_id, work.identity)
    if work.target_id in work.out:
        return replace(copied, fault=fault_of(work.out[work.target_id]))
    try:
        work.prepare(file.staging)
        copies = _copies(file)
    except VmsError as error:
        fault = fault_of(error)
    except OSError as error:
        logger.exception("%s %s can't be copied", order.camera, order.start_utc)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        fault = Fault(
            "staging_full" if full else "staging_failed",
            f"{file.staging}: {error}.",
            "Free space there; it is tried again." if full else "Check the disk of the staging folder.",
            permanent=False,
        )
    else:
        return replace(copied, copies=copies, damaged=tuple(file.damaged))
    file.tell(f"not copied to {work.names[work.target_id]}: {fault.message} {fault.remedy}".rstrip())
    return replace(copied, damaged=tuple(file.damaged), fault=fault)


def _copies(file: _File) -> tuple[CopyReceipt, ...]:
    """The copies in the target, all proven: the rendition, and each preview that can be had.

    Raises VmsError when the rendition can't be copied, or the target is out meanwhile; the next try finds what it got.
    """
    parts: dict[str, list[CopyReceipt]] = {}
    readable = sorted(file.order.held, key=lambda copy: (copy.part != "rendition", copy.part))
    order_of = {store_id: number for number, store_id in enumerate(file.work.names)}
    for copy in readable:
        if copy.store_id in order_of and copy.store_id != file.work.target_id:
            parts.setdefault(copy.part, []).append(copy)
    if "rendition" not in parts:
        raise CopyUnreachable(
            f"Recording {file.order.recording_id} has no proven copy in a store that can be read from here.",
            "Give this machine access to a store that holds it.",
        )
    made: list[CopyReceipt] = []
    for part, held in parts.items():
        held.sort(key=lambda copy: order_of[copy.store_id])
        try:
            made += _copy_part(file, held)
        except StoreError as error:
            if part == "rendition" or file.work.target_id in file.work.out:
                raise
            file.tell(f"{part} is left out: {error.message}")
    return tuple(made)


def _copy_part(file: _File, held: list[CopyReceipt]) -> list[CopyReceipt]:
    """This part in the target: nothing sent when it has it, from staging when it lies there, else from a holder."""
    first = held[0]
    staged = staged_file(file.order, first, file.staging)
    if _is_there(file, first) or _is(staged, first):
        made = _put(file, first, staged)
        for copy in held:
            discard_left(fetched_file(file.order, copy, file.staging))
        return made
    faults: list[VmsError] = []
    for copy in held:
        path = fetched_file(file.order, copy, file.staging)
        with owned(path, file.work.stop, lambda: file.tell("another process is fetching it; waiting for that")):
            if _is_there(file, copy) or _fetch(file, copy, path, faults):
                return _put_away(file, copy, path)
            if path.stat().st_size == 0:
                discard(path)
    raise _worst(faults)


def _is_there(file: _File, copy: CopyReceipt) -> bool:
    """Whether the target has an object under the key; an empty one is a name that a writer has claimed."""
    with _asking_target(file):
        there = file.target.head(copy.key)
    return there is not None and there.size_bytes > 0


def _is(path: Path, copy: CopyReceipt) -> bool:
    try:
        return path.stat().st_size == copy.size_bytes and sha256_of(path) == copy.sha256
    except FileNotFoundError:
        return False


def _fetch(file: _File, copy: CopyReceipt, path: Path, faults: list[VmsError]) -> bool:
    """Whether the file is this copy now; else `faults` has one more."""
    work, name = file.work, file.work.names[copy.store_id]
    if copy.store_id in work.out:
        faults.append(work.out[copy.store_id])
        return False
    try:
        with _room(file, max(0, copy.size_bytes - path.stat().st_size)):
            fill(path, work.stores[copy.store_id], copy, lambda count: _moved(file, copy, count, 0), work.stop)
    except CopyDamaged as damage:
        file.damaged.append(DamagedCopy(copy.store_id, copy.part, copy.key, damage.message))
        file.tell(damage.message)
        faults.append(damage)
    except StoreError as error:
        if isinstance(error, OUT):
            work.out[copy.store_id] = error
        file.tell(f"not from {name}: {error.message}")
        faults.append(error)
    else:
        return True
    return False


def _put(file: _File, copy: CopyReceipt, path: Path) -> list[CopyReceipt]:
    piece = Piece(copy.part, path, copy.key, copy.size_bytes, copy.sha256)

    def sent(count: int) -> None:
        if file.work.stop.is_set():
            raise Stopped
        _moved(file, copy, copy.size_bytes, count)

    with _asking_target(file):
        if copy.part != "rendition":
            return put_preview(file.target, file.work.target_id, piece, file.tell, sent)
        return [put(file.target, file.work.target_id, piece, file.tell, sent)]


def _put_away(file: _File, copy: CopyReceipt, path: Path) -> list[CopyReceipt]:
    """Put a fetched file and remove it; it is kept for the next try when the target is out or the caller stops."""
    try:
        made = _put(file, copy, path)
    except OUT:
        raise
    except StoreError:
        discard(path)
        raise
    discard(path)
    return made


def _moved(file: _File, copy: CopyReceipt, fetched: int, sent: int) -> None:
    if copy.part == "rendition":
        file.work.moved(file.order, fetched, sent)


@contextmanager
def _asking_target(file: _File) -> Iterator[None]:
    """Remember a target that is out, so that the orders behind this one are not tried one by one."""
    try:
        yield
    except OUT as error:
        file.work.out.setdefault(file.work.target_id, error)
        raise


@contextmanager
def _room(file: _File, needed: int) -> Iterator[None]:
    """Space in staging for so many bytes more, beside what the other files in flight still need.

    Waits for those, however long a slow line takes; with none in flight for _PATIENCE_S, then raises StagingFull.
    """
    work, staging = file.work, file.staging
    deadline: float | None = None
    with work.room:
        while needed and shutil.disk_usage(staging).free < (wanted := work.promised + needed + floor_bytes(staging)):
            if work.stop.is_set():
                raise Stopped
            if deadline is None and not work.promised:
                deadline = time.monotonic() + _PATIENCE_S
                file.tell(f"waiting for {wanted / 1e9:.1f} GB of space in {staging}")
            if deadline is not None and time.monotonic() > deadline:
                raise StagingFull(
                    f"The staging disk at {staging} has too little space to fetch {needed / 1e9:.1f} GB to it.",
                    "Free space there, or give the site another `staging` folder in sites.yaml; it is tried again.",
                )
            work.room.wait(_POLL_S)
        work.promised += needed
    try:
        yield
    finally:
        with work.room:
            work.promised -= needed
            work.room.notify_all()


def _worst(faults: list[VmsError]) -> VmsError:
    """Why no holder gave it, as one error of the kind that most needs somebody to act."""
    first = min(faults, key=lambda one: (not isinstance(one, CopyDamaged), not isinstance(one, RestoreNeeded)))
    message = " ".join([first.message, *(one.message for one in faults if one is not first)])
    # a holder that is out must not pass for a target that is out
    kind = CopyUnreachable if isinstance(first, OUT) else type(first)
    return kind(message, first.remedy)
