"""What the copy orders that are under way at once share: their stores, what is out, the line, the room in staging."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from vms.errors import StagingFull, VmsError
from vms.line import Cap, paces_of
from vms.model import CopyOrder, StoreTarget
from vms.receipts import DamagedCopy
from vms.steps.fetching import sweep_fetched
from vms.steps.meeting import OUT, meet
from vms.steps.space import floor_bytes
from vms.stores import Store
from vms.uplink import UNLIMITED, Uplink
from vms.video.ffmpeg import Stopped

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
class Replication:
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
class InFlight:
    """One order on its way. place goes in front of its lines, such as "5 of 12: "."""

    work: Replication
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


def meet_store(work: Replication, target: StoreTarget) -> None:
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


@contextmanager
def asking_target(file: InFlight) -> Iterator[None]:
    """Remember a target that is out, so that the orders behind this one are not tried one by one."""
    try:
        yield
    except OUT as error:
        file.work.out.setdefault(file.work.target_id, error)
        raise


@contextmanager
def room_for(file: InFlight, needed: int) -> Iterator[None]:
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
