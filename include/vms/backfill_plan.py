"""What a backfill would do at a site, from catalogue and disk: files, bytes, about how long. Nothing is changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from vms import footage
from vms.backfill import Order, Reason, Subject, is_work, reason_of
from vms.catalogue.backfill_period import Rates, rates_of, subjects, unknown_sources
from vms.catalogue.backfills import site_stores
from vms.catalogue.connection import Connection
from vms.config import Config, Site
from vms.errors import FootageUnreachable
from vms.examine import Judged, judge, why_waits
from vms.home import Home
from vms.ledger import FILE, Ledger

_AT_ONCE = 5000


@dataclass(frozen=True)
class OnDisk:
    """The files that lie in a site's footage folder. error: why it could not be looked at from here, "" when it was."""

    files: tuple[Judged, ...]
    error: str = ""

    @property
    def cameras(self) -> set[str]:
        return {one.camera for one in self.files}


@dataclass(frozen=True)
class File:
    """One recording or file of the period, and what is to be done about it or why nothing is. start_utc: as its name
    tells while it is not known. name: of a file that is not known, "" else. recording_id: 0 for such a file."""

    recording_id: int
    camera: str
    start_utc: datetime
    reason: Reason
    size_bytes: int
    seconds: float
    name: str = ""


@dataclass(frozen=True)
class PlanLine:
    """So many files of a camera for one reason."""

    camera: str
    reason: Reason
    files: int
    size_bytes: int

    @property
    def work(self) -> bool:
        return is_work(self.reason)


@dataclass(frozen=True)
class SitePlan:
    """What there is to do at a site, and why the rest is left alone. disk: why its footage folder could not be looked
    at, "" when it could. estimate_s: about how long it takes, None when no rate was measured yet."""

    order: Order
    lines: tuple[PlanLine, ...]
    disk: str
    estimate_s: float | None
    files: tuple[File, ...] = ()

    @property
    def work_files(self) -> int:
        return sum(line.files for line in self.lines if line.work)

    @property
    def work_bytes(self) -> int:
        return sum(line.size_bytes for line in self.lines if line.work)


def look_at_disk(site: Site, config: Config, now: datetime) -> OnDisk:
    """What lies in the footage folder, by names alone; a folder that can't be looked at is an answer, too."""
    try:
        listing = footage.list_footage(site.footage, site.id)
    except FootageUnreachable as error:
        return OnDisk((), error.message)
    found = [one for one in listing.found if one.kind == "file" and one.likely and not one.temporary]
    return OnDisk(tuple(judge(found, site, config, {}, now, now.timestamp())))


def survey(
    conn: Connection, home: Home, site: Site, disk: OnDisk, order: Order, now: datetime, *, keep_files: bool = False
) -> SitePlan:
    """The plan of an order at its site. now: UTC. keep_files: with each file, for the list of them."""
    sums: dict[tuple[str, Reason], list[int]] = defaultdict(lambda: [0, 0])
    kept: list[File] = []
    work: list[File] = []
    wanted = site_stores(conn, site.stores)
    known = _known(subjects(conn, order, now), order, site, wanted, now)
    looked = order.mode in ("missing", "reupload")
    strange = list(_on_disk(conn, site, disk, order)) if looked else []
    for file in (*known, *strange):
        total = sums[file.camera, file.reason]
        total[0] += 1
        total[1] += file.size_bytes
        if is_work(file.reason):
            work.append(file)
        if keep_files:
            kept.append(file)
    lines = [PlanLine(camera, reason, *total) for (camera, reason), total in sorted(sums.items())]
    thorough = _settled_too_soon(site, home, [one.name for one in strange if one.reason == "on_disk"])
    rates = rates_of(conn, order.site, order.mode, now)
    kept.sort(key=lambda file: file.start_utc, reverse=True)
    return SitePlan(
        order=replace(order, thorough=thorough),
        lines=tuple(lines),
        disk=disk.error if looked else "",
        estimate_s=estimate(work, rates, order, len(wanted)),
        files=tuple(kept),
    )


def estimate(work: Sequence[File], rates: Rates, order: Order, stores: int) -> float | None:
    """Seconds that the work takes about, at the rates that were measured; None when they were not."""
    if not work:
        return 0.0
    if order.mode in ("verify", "reupload"):
        looked_at = [file for file in work if file.reason in ("unproven", "to_look_at", "broken")]
        if looked_at and not rates.looking:
            return None
        looking = sum(file.size_bytes for file in looked_at) / (rates.looking or 1.0)
    else:
        looking = 0.0
    making = [file for file in work if file.reason in ("on_disk", "waiting", "quarantined", "other_profile")]
    seconds = sum(file.seconds or file.size_bytes * (rates.seconds_per_byte or 0.0) for file in making)
    if making and (rates.pace is None or not seconds):
        return None
    encoding = seconds / (rates.pace or 1.0)
    sending = 0.0
    if order.cap is not None:
        made = sum(file.size_bytes for file in making) * (1.0 if rates.shrink is None else rates.shrink) * stores
        sending = (made + sum(file.size_bytes for file in work if file.reason == "too_few_copies")) / order.cap
    return looking + max(encoding, sending)


def _known(found: Iterable[Subject], order: Order, site: Site, wanted: set[int], now: datetime) -> Iterator[File]:
    for one in found:
        if order.covers(one.camera, one.start_utc):
            reason = reason_of(one, order.mode, order.profile or site.profile.name, wanted, now)
            of_source = one.rendition_bytes is None or reason in ("waiting", "quarantined")
            size = one.source_bytes if of_source else (one.rendition_bytes or 0) * _times(one, reason, wanted)
            yield File(one.recording_id, one.camera, one.start_utc, reason, size, one.duration_s)


def _times(subject: Subject, reason: Reason, wanted: set[int]) -> int:
    """How many copies of it are meant."""
    if reason == "too_few_copies":
        return len(subject.lacking(wanted))
    if reason in ("unproven", "to_look_at"):
        return len(subject.live)
    return 1


def _on_disk(conn: Connection, site: Site, disk: OnDisk, order: Order) -> Iterator[File]:
    """Files of the period that no recording was made of."""
    meant = [one for one in disk.files if order.covers(one.camera, _start(one))]
    for at in range(0, len(meant), _AT_ONCE):
        part = meant[at : at + _AT_ONCE]
        asked = [(one.found.path, one.found.size_bytes, one.found.mtime_ns) for one in part]
        unknown = unknown_sources(conn, site.id, asked)
        for one in part:
            if one.found.path in unknown:
                reason: Reason = "still_written" if why_waits(one) else "on_disk"
                yield File(0, one.camera, _start(one), reason, one.found.size_bytes, 0.0, one.found.path)


def _start(one: Judged) -> datetime:
    return datetime.fromtimestamp(one.order, UTC)


def _settled_too_soon(site: Site, home: Home, unknown: Sequence[str]) -> bool:
    """Whether the ledger calls a file settled that the catalogue does not know, as after an old backup was restored."""
    staging: Path = site.staging or home.site_staging(site.id)
    if not unknown or not (staging / FILE).exists():
        return False
    return not set(unknown).isdisjoint(Ledger(staging).settled())


def reasons(plans: Iterable[SitePlan]) -> Mapping[Reason, int]:
    """How many files there are for each reason, over all sites."""
    found: dict[Reason, int] = defaultdict(int)
    for plan in plans:
        for line in plan.lines:
            found[line.reason] += line.files
    return found
