"""Release: remove source and staging files of recordings that the catalogue has committed as archived.

This is the only place that deletes footage. A source file goes only when its time to stay has passed, its bytes still
are the bytes that were archived, and every store of its recording still holds the rendition. Everything else stays,
with the reason in words.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import logging
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from vms import line
from vms.config import Site
from vms.errors import VmsError
from vms.home import Home
from vms.ledger import Ledger
from vms.logs import of_recording
from vms.model import ReleaseOrder
from vms.paths import from_text
from vms.receipts import ReleaseReceipt
from vms.sightings import SourceSeen
from vms.steps.standing import VOUCHED_FOR, looks_for, unseen_in
from vms.stores import Store
from vms.stores.base import CHUNK_BYTES

logger = logging.getLogger(__name__)

ORPHAN_AGE = timedelta(days=7)


class _Kept(Exception):
    """A source file stays; the text says why."""


class _Changed(_Kept):
    """It stays because it holds something else now, which has to be archived in its turn."""


@dataclass
class _Release:
    """What the orders of one call share. stores: by store id, the store or why it can't vouch for anything now.

    changed: paths that hold other footage than was archived. may_look: see `release`.
    """

    site: Site
    staging: Path
    now: datetime
    report: Callable[[str], None]
    may_look: bool = True
    stores: dict[int, Store | str] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)


def release(
    site: Site,
    home: Home,
    orders: Sequence[ReleaseOrder],
    settled: Sequence[SourceSeen],
    *,
    now: datetime,
    report: Callable[[str], None],
    may_look: bool = True,
) -> tuple[ReleaseReceipt, ...]:
    """One receipt per order, in order. settled: further names that need no look again. now: UTC, aware. may_look: False
    at a branch whose keys may only write: the centre has looked into the buckets in its place.

    Never raises for one file or one store. A source that is gone already is neither removed nor kept.
    """
    work = _Release(site, site.staging or home.site_staging(site.id), now, report, may_look)
    receipts = tuple(of_recording(order.recording_id, _release)(work, order) for order in orders)
    _note_settled(work, orders, settled, receipts)
    _report_orphans(work, orders)
    removed = sum(len(receipt.removed) for receipt in receipts)
    kept = sum(len(receipt.kept) for receipt in receipts)
    report(f"{len(orders)} archived recordings: {removed} source files removed, {kept} stay")
    return receipts


def _release(work: _Release, order: ReleaseOrder) -> ReleaseReceipt:
    removed: list[str] = []
    kept: dict[str, str] = {}
    early = _not_yet(work, order)
    refusal = early or _unproven(work, order)
    for source in order.sources:
        try:
            if refusal:
                if _look(work.site.footage, source):
                    kept[source.path] = refusal
            elif _remove(work.site.footage, source, order.source_sha256):
                removed.append(source.path)
                work.report(f"{source.path}: removed, {source.size_bytes / 1e6:.1f} MB")
        except _Kept as why:
            kept[source.path] = str(why)
            if isinstance(why, _Changed):
                work.changed.add(source.path)
        except OSError as error:
            kept[source.path] = f"it can't be looked at or removed ({error.strerror or error})"
    for path, reason in kept.items():
        if reason != early:
            work.report(f"{path}: stays, {reason}")
    if early or not refusal:
        _clear_staging(work, order)
    return ReleaseReceipt(order.recording_id, order.start_utc, tuple(removed), kept, done=not kept)


def _not_yet(work: _Release, order: ReleaseOrder) -> str:
    if order.keep_until is None or work.site.keep_source is None:  # sites.yaml may have changed since the order
        return "this site keeps its source files"
    if work.now < order.keep_until:
        return f"it is kept until {order.keep_until.astimezone(work.site.zone):%Y-%m-%d %H:%M %Z}"
    return ""


def _unproven(work: _Release, order: ReleaseOrder) -> str:
    """Why the stores do not vouch for the recording now; "" when every one of them holds its rendition."""
    if not order.stores:
        return "no store is named that holds it"
    if len(order.source_sha256) != 64:
        return "its SHA-256 is not known"
    for target in order.stores:
        if not work.may_look and looks_for(target):
            if order.vouched_at is None or work.now - order.vouched_at > VOUCHED_FOR:
                return f"the centre has not seen it on {target.name} lately"
        elif why := unseen_in(work.stores, order, target):
            return why
    return ""


# --- one source file ---


@contextlib.contextmanager
def _parent(footage: Path, path: str) -> Iterator[tuple[int, str]]:
    """The descriptor of the folder that the source lies in, and its name there; no link is followed on the way."""
    *folders, name = path.split("/")
    if path.startswith("/") or name in ("", ".", "..") or any(part in ("", ".", "..") for part in folders):
        raise _Kept("its name leads out of the footage folder")
    here = os.open(footage, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in folders:
            if stat.S_ISLNK(os.stat(part, dir_fd=here, follow_symlinks=False).st_mode):
                raise _Kept("it is reached through a link")
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = below
        yield here, name
    finally:
        os.close(here)


def _look(footage: Path, source: SourceSeen) -> bool:
    """Whether the source is there. Raises _Kept when the footage folder looks unmounted, so that nothing is known."""
    try:
        with _parent(footage, from_text(source.path)) as (folder, name):
            os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        with os.scandir(footage) as entries:
            if next(entries, None) is None:
                raise _Kept("the footage folder is empty; it may not be mounted") from None
        return False
    return True


def _remove(footage: Path, source: SourceSeen, sha256: str) -> bool:
    """Remove the source if it still is what was archived; False when it is gone already. Raises _Kept, OSError."""
    if not _look(footage, source):
        return False
    with _parent(footage, from_text(source.path)) as (folder, name):
        named = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISREG(named.st_mode):
            raise _Kept("it is no file but a link, a folder or a device")
        if named.st_size != source.size_bytes:
            raise _Changed(f"it has changed since: {named.st_size} bytes instead of {source.size_bytes}")
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        with os.fdopen(handle, "rb", buffering=0) as file:
            digest = hashlib.sha256()
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
            if digest.hexdigest() != sha256:
                raise _Changed("it has changed since: its bytes are not the ones that were archived")
            read = os.fstat(file.fileno())
            now = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if _state(named) != _state(read) or _state(read) != _state(now):
                raise _Changed("it changed while it was looked at")
            os.unlink(name, dir_fd=folder)
    return True


def _state(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


# --- staging and the ledger ---


def _clear_staging(work: _Release, order: ReleaseOrder) -> None:
    for path in work.staging.glob(f"{glob.escape(order.staging_stem)}.*"):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            work.report(f"{path.name} can't be removed from staging ({error.strerror})")


def _note_settled(
    work: _Release, orders: Sequence[ReleaseOrder], settled: Sequence[SourceSeen], receipts: Sequence[ReleaseReceipt]
) -> None:
    """Tell the ledger what needs no further look: only what lies there unchanged, as a share that is away for a moment
    must find its files looked at when it is back. The ledger only saves work, so its failure is none of the release."""
    stay: list[SourceSeen] = []
    anew: list[str] = []
    for order, receipt in zip(orders, receipts, strict=True):
        for source in order.sources:
            if source.path in receipt.kept and source.path not in work.changed:
                stay.append(source)
            else:
                anew.append(source.path)
    known = [source for source in settled if os.path.lexists(work.site.footage / from_text(source.path))]
    try:
        ledger = Ledger(work.staging)
        ledger.settle(known, "known")
        ledger.settle(stay, "archived")
        ledger.forget(anew)
    except (OSError, sqlite3.Error, VmsError):
        logger.exception("The ledger of %s could not be written; files are looked at again", work.site.id)


def _report_orphans(work: _Release, orders: Sequence[ReleaseOrder]) -> None:
    """Staged files that are old and belong to no order of this run stay, and are named."""
    stems = {order.staging_stem for order in orders}
    oldest = (work.now - ORPHAN_AGE).timestamp()
    orphans: list[tuple[str, int]] = []
    with contextlib.suppress(OSError), os.scandir(work.staging) as entries:
        for entry in entries:
            if entry.name.startswith(("seen.sqlite3", line.FILE)) or entry.name.split(".")[0] in stems:
                continue
            found = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(found.st_mode) and found.st_mtime < oldest:
                orphans.append((entry.name, found.st_size))
    if orphans:
        size = sum(size for _, size in orphans) / 1e6
        work.report(
            f"{len(orphans)} files ({size:.1f} MB) in {work.staging} are older than {ORPHAN_AGE.days} days and belong "
            f"to no recording of this run, such as {min(orphans)[0]}; they stay, as their upload may still be due"
        )
