"""Replicate: put archived recordings into a further store, from staging or from a store that holds them already.

Only what has the SHA-256 of the catalogue's proof is copied. A store that holds a part under its key is asked to prove
it anew and is sent nothing, so all of this may be repeated, stopped anywhere, and done by two at the same time.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace

from vms.config import Site
from vms.errors import VmsError
from vms.home import Home
from vms.line import Cap
from vms.logs import of_recording
from vms.model import Batch, CopyOrder, StoreTarget
from vms.receipts import Copied
from vms.sightings import Fault
from vms.steps.copies_in_flight import InFlight, Moved, Replication, SitePlace, meet_store
from vms.steps.copy_parts import copies_of
from vms.steps.meeting import fault_of

logger = logging.getLogger(__name__)

FILES_IN_FLIGHT = 4
BATCH_S = 900.0
"""How long a batch begins further copies: what waits longer is the next run's, so that new footage is not held up."""


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
    work = Replication(places, target.store_id, report, moved)
    for store in (target, *holders):
        meet_store(work, store)
    of_all = "" if total is None else f" of {total}"
    files = (InFlight(work, order, f"{number}{of_all}: ") for number, order in enumerate(orders, 1))
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


def _copy(file: InFlight) -> Copied:
    work, order = file.work, file.order
    copied = Copied(order.recording_id, order.start_utc, work.target_id, work.identity)
    if work.target_id in work.out:
        return replace(copied, fault=fault_of(work.out[work.target_id]))
    try:
        work.prepare(file.staging)
        copies = copies_of(file)
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
