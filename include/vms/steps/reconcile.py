"""Reconcile: what a store holds against what the catalogue says it holds, both ways. Deletes nothing, ever.

Runs at the centre, with catalogue and store at hand. Both are walked in key order, a page at a time; after each page
the key it ended with is kept, so that a round may take many nights and may be killed anywhere. A row whose object is
gone is looked for once more by name before it counts as lost; an object without a row is adopted when it tells what it
is, else reported. A store that is away, is another one, or looks emptied is an error to show and marks nothing.
"""

from __future__ import annotations

import contextlib
import re
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Literal

from vms.backups import is_backup_key
from vms.catalogue import adopting, integrity
from vms.catalogue.connection import Connection
from vms.catalogue.events import Actor
from vms.catalogue.losing import LIVE, StoredCopy, lose
from vms.catalogue.partitions import ensure_partitions, months_ahead
from vms.config import load_config
from vms.errors import ConfigError, CopyDamaged, StagingFull, StoreError, VmsError
from vms.home import Home
from vms.logs import about, of_recording
from vms.model import RunRef, StoreTarget
from vms.receipts import CopyReceipt
from vms.steps.copying import repair_of
from vms.steps.emptied import nothing_there, refuse_losses
from vms.steps.inspecting import inspected, play_through, sweep
from vms.steps.meeting import meet
from vms.steps.staged import jpeg_size
from vms.steps.telling import found_by, found_original, read_told, sheet_of
from vms.stores import ObjectMissing, Store, StoredObject
from vms.stores.narrow import PROBE
from vms.video.identity import HEAD_BYTES

PAGE = 1000
_YOUNG = timedelta(hours=24)  # an object that is younger may be on its way into the catalogue
_PREVIEW = re.compile(r"\.(poster|sprite)\.[^/]*\Z")


@dataclass(frozen=True)
class Reconciled:
    """What a call found. rows, objects: compared. finished: the round has reached the end of the store.

    lost, damaged: live rows whose object is gone, or has another size. young: objects without a row that are younger
    than a day, so on their way into the catalogue, maybe. error, remedy: why it ended early ("" if not).
    """

    store: str
    rows: int = 0
    objects: int = 0
    lost: int = 0
    damaged: int = 0
    adopted: int = 0
    foreign: int = 0
    young: int = 0
    finished: bool = False
    error: str = ""
    remedy: str = ""


@dataclass
class _Round:
    conn: Connection
    target: StoreTarget
    store: Store
    home: Home
    run: RunRef
    report: Callable[[str], None]
    accept_losses: bool
    profiles: Mapping[str, str]
    found: Reconciled

    def count(
        self, what: Literal["rows", "objects", "lost", "damaged", "adopted", "foreign", "young"], by: int = 1
    ) -> None:
        self.found = replace(self.found, **{what: getattr(self.found, what) + by})

    @property
    def actor(self) -> Actor:
        return Actor(self.run, datetime.now(UTC))


def reconcile(
    conn: Connection,
    target: StoreTarget,
    home: Home,
    run: RunRef,
    *,
    budget_s: float,
    report: Callable[[str], None],
    moved: Callable[[Reconciled], None] = lambda _: None,
    accept_losses: bool = False,
) -> Reconciled:
    """Compare from where the last call stopped, until the end of the store or of the budget.

    report: gets one line for each finding. moved: told after each page. accept_losses: go on though so much is gone
    that the store looks emptied. Never raises for a store; psycopg2.Error when the catalogue is away.
    """
    ensure_partitions(conn, months_ahead(datetime.now(UTC)))
    began = Reconciled(target.name)
    try:
        store, _ = meet(target)
    except VmsError as error:
        return replace(began, error=error.message, remedy=error.remedy)
    sweep(_folder(home))
    work = _Round(conn, target, store, home, run, report, accept_losses, _profiles(home), began)
    try:
        _walk(work, time.monotonic() + budget_s, moved)
    except StoreError as error:
        return replace(work.found, error=error.message, remedy=error.remedy)
    return work.found


def _walk(work: _Round, deadline: float, moved: Callable[[Reconciled], None]) -> None:
    number = work.target.store_id
    after = integrity.begin_round(work.conn, number, datetime.now(UTC))
    fresh = after == ""
    objects = work.store.list(after=after)
    while True:
        listed_at = datetime.now(UTC)
        listed = list(islice(objects, PAGE))
        upto = listed[-1].key if len(listed) == PAGE else None
        page = [one for one in listed if not is_backup_key(one.key)]
        if fresh and not page and integrity.has_copies(work.conn, number) and not work.accept_losses:
            raise nothing_there(work.target)
        fresh = False
        _compare(work, after, upto, page, listed_at)
        integrity.save_round(work.conn, number, upto, datetime.now(UTC))
        moved(work.found)
        if upto is None:
            work.found = replace(work.found, finished=True)
            return
        after = upto
        if time.monotonic() > deadline:
            return


def _compare(work: _Round, after: str, upto: str | None, page: Sequence[StoredObject], listed_at: datetime) -> None:
    there = {one.key: one for one in page}
    known: set[str] = set()
    missing: list[StoredCopy] = []
    odd: list[StoredCopy] = []
    for row in integrity.copies_between(work.conn, work.target.store_id, after, upto):
        known.add(row.key)
        if row.state != LIVE:
            continue
        work.count("rows")
        if row.key not in there:
            if row.stored_at < listed_at:  # else it was put while the page was read
                missing.append(row)
        elif there[row.key].size_bytes != row.size_bytes:
            odd.append(row)
    _check_losses(work, len(missing))
    for row in missing:
        if work.store.head(row.key) is None:
            message = f"{work.target.name} has no object {row.key} any more"
            of_recording(row.recording_id, _lose)(work, row, "lost", message)
    for row in odd:
        size = there[row.key].size_bytes
        message = f"{row.key} in {work.target.name} has {size} bytes instead of {row.size_bytes}"
        of_recording(row.recording_id, _lose)(work, row, "damaged", message)
    work.count("objects", len(page))
    unknown = [one for one in page if one.key not in known and not one.key.endswith(f"/{PROBE}")]
    settled = integrity.strays_among(work.conn, work.target.store_id, [one.key for one in unknown])
    # renditions first, as previews are adopted along with their recording; before that what took a damaged one's place
    for one in sorted(unknown, key=lambda each: (_is_preview(each.key), -repair_of(each.key), each.key)):
        if listed_at - one.modified_at <= _YOUNG:
            work.count("young")
        elif one.key not in settled:
            _take_in(work, one)


def _check_losses(work: _Round, more: int) -> None:
    if not work.accept_losses:
        refuse_losses(work.target, work.found.lost + more, work.found.rows, marked=work.found.lost > 0)


def _lose(work: _Round, row: StoredCopy, kind: Literal["lost", "damaged"], message: str) -> None:
    outcome = lose(work.conn, work.actor, row, kind, message)
    if outcome == "known":
        return
    work.count(kind)
    then = {
        "wanted": "it is made good from another copy",
        "replanned": "it is archived again from its source on site",
        "lost": "no other copy is known and no source is left on site: this footage is lost",
    }[outcome]
    work.report(f"{message}; {then if row.part == 'rendition' else 'a preview, made good where another copy is'}")


def _take_in(work: _Round, one: StoredObject) -> None:
    """Adopt the object, or report it as foreign with the reason."""
    parts = adopting.read_key(one.key)
    owner = None if parts is None else adopting.owner_of(work.conn, parts)
    with contextlib.nullcontext() if owner is None else about(recording=owner.known.recording_id):
        _settle(work, one, parts, owner)


def _settle(work: _Round, one: StoredObject, parts: adopting.KeyParts | None, owner: adopting.Owner | None) -> None:
    try:
        said = _adopt(work, one, parts, owner)
    except ObjectMissing:
        return  # removed since it was listed
    except StagingFull as error:
        work.report(f"{one.key} in {work.target.name} had no row, and can't be looked at now: {error}")
        return
    except CopyDamaged as error:
        said = error.message
    except adopting.Unrecordable as error:
        said = str(error)
    if said == "":
        integrity.forget_stray(work.conn, work.target.store_id, one.key)
        work.count("adopted")
        work.report(f"{one.key} in {work.target.name} had no row: adopted")
    elif said != _NOT_YET:
        if integrity.note_stray(work.conn, work.target.store_id, one.key, one.size_bytes, said, datetime.now(UTC)):
            work.report(f"{one.key} in {work.target.name} is foreign: {said}. It is left as it is")
        work.count("foreign")


_NOT_YET = "not yet"


def _adopt(work: _Round, one: StoredObject, parts: adopting.KeyParts | None, owner: adopting.Owner | None) -> str:
    """Nothing when it was adopted, _NOT_YET when it will be by another way, else why it can't be."""
    if parts is None:
        return "its key is none of ours"
    preview = next((kind for kind in ("poster", "sprite") if parts.ending.startswith(f".{kind}.")), None)
    if owner is None and preview:
        return "a preview of a recording that the catalogue does not have"
    if owner is not None and owner.known.custody in (0, 4):
        return _NOT_YET  # its next run finds the object and takes it over
    if owner is not None and owner.known.custody == 3:
        return "left over from a recording that has been purged"
    if owner is None and not adopting.site_known(work.conn, parts.site):
        return f"of a site {parts.site} that the catalogue does not know"
    shown = work.store.head(one.key)
    if shown is None:
        raise ObjectMissing(f"Store {work.target.name} has no object {one.key} any more.", "")
    with inspected(work.store, one.key, _folder(work.home), lambda _: None) as whole:
        copy = CopyReceipt(
            store_id=work.target.store_id,
            part="rendition" if preview is None else "poster" if preview == "poster" else "sprite",
            key=one.key,
            size_bytes=whole.size_bytes,
            sha256=whole.sha256,
            checksum=shown.checksum or f"sha256:{whole.sha256}",
            verified_at=datetime.now(UTC),
            bytes_sent=0,
        )
        if owner is not None:
            if preview is None and whole.sha256 != owner.rendition_sha256:
                return f"another rendition of recording {owner.known.recording_id}, which is archived"
            adopting.add_copy(work.conn, work.actor, owner, copy)
            if preview == "sprite" and not owner.has_sheet:
                _keep_sheet(work, owner, whole.path)
            return ""
        try:
            told = read_told(_head(whole.path), parts)
        except ValueError as error:
            found = found_original(whole, one, parts)  # the source itself carries no words of ours
            if found is None:
                return str(error)
        else:
            found = found_by(told, play_through(whole.path, one.key, work.home), profiles=work.profiles)
        adopting.add_recording(work.conn, work.actor, found, copy)
    return ""


def _is_preview(key: str) -> bool:
    return _PREVIEW.search(key) is not None


def _keep_sheet(work: _Round, owner: adopting.Owner, path: Path) -> None:
    with contextlib.suppress(ValueError, struct.error):  # no picture: then the viewer has none to show
        adopting.keep_sheet(work.conn, owner, sheet_of(jpeg_size(path), owner.duration_s))


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _profiles(home: Home) -> Mapping[str, str]:
    """The codecs of the profiles, to tell what was remuxed; none while sites.yaml can't be read."""
    try:
        return {one.name: one.codec for one in load_config(home.sites_file).profiles}
    except ConfigError:
        return {}


def _folder(home: Home) -> Path:
    return home.staging / ".integrity"
