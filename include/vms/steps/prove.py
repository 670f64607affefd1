"""Prove: fetch a sample of a store's copies, hash and decode them, so that "can be restored" is known and not hoped.

Each night as many as it takes to have proven every copy once within the retention time: the never proven first, then
those whose proof is oldest. Runs at the centre, with catalogue and store at hand. Deletes nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal

from vms import coldness
from vms.catalogue import integrity, reads, restores
from vms.catalogue.connection import Connection
from vms.catalogue.events import Actor
from vms.catalogue.losing import StoredCopy, lose
from vms.catalogue.partitions import ensure_partitions, months_ahead
from vms.errors import CopyDamaged, RestoreNeeded, StoreError, VmsError
from vms.home import Home
from vms.logs import of_recording
from vms.model import RunRef, StoreTarget
from vms.steps.emptied import refuse_empty, refuse_losses
from vms.steps.inspecting import inspected, play_through, sweep
from vms.steps.meeting import meet
from vms.stores import ObjectMissing, Store
from vms.stores.cold import Cold

LEAST = 20
_SPARE = 1.2  # nights on which nothing runs, and footage that comes in meanwhile


@dataclass(frozen=True)
class Proven:
    """What a call found. checked: renditions looked at, of `asked`; cold: in a class that has to be restored first.

    unplayable: the very bytes that were archived, and yet they do not decode now; no other copy would be better.
    """

    store: str
    asked: int = 0
    checked: int = 0
    bytes: int = 0
    damaged: int = 0
    lost: int = 0
    cold: int = 0
    unplayable: int = 0
    error: str = ""
    remedy: str = ""


def sample_size(recordings: int, retention: timedelta) -> int:
    """How many copies of a store have to be proven each night, if it holds all these recordings."""
    return max(LEAST, math.ceil(_SPARE * recordings / max(1.0, retention / timedelta(days=1))))


def prove(
    conn: Connection,
    target: StoreTarget,
    home: Home,
    run: RunRef,
    *,
    sample: int,
    budget_s: float,
    report: Callable[[str], None],
    moved: Callable[[Proven], None] = lambda _: None,
) -> Proven:
    """Check so many renditions with their previews, within the time. Never raises for a store or a copy."""
    ensure_partitions(conn, months_ahead(datetime.now(UTC)))
    found = Proven(target.name)
    try:
        store, _ = meet(target)
    except VmsError as error:
        return replace(found, error=error.message, remedy=error.remedy)
    folder = home.staging / ".integrity"
    sweep(folder)
    deadline = time.monotonic() + budget_s
    due = integrity.due_for_proof(conn, target.store_id, sample)
    found = replace(found, asked=len(due))
    looked = 0
    for rendition in due:
        for copy in integrity.parts_of(conn, rendition):
            looked += 1
            try:
                believe = partial(looks_emptied, target, store, found.lost, looked)
                look = of_recording(copy.recording_id, look_at)(conn, store, copy, home, run, believe)
            except StoreError as error:
                return replace(found, error=error.message, remedy=error.remedy)
            if look.outcome == "cold":
                found = replace(found, cold=found.cold + 1)
                break
            if look.outcome == "proven":
                found = replace(found, bytes=found.bytes + copy.size_bytes)
            elif look.outcome != "known":
                found = replace(found, **{look.outcome: getattr(found, look.outcome) + 1})
                of_recording(copy.recording_id, report)(look.message)
        found = replace(found, checked=found.checked + 1)
        moved(found)
        if time.monotonic() > deadline:
            break
    return found


def looks_emptied(target: StoreTarget, store: Store, lost: int, looked: int) -> StoreError | None:
    """Why one more loss is not believed, when it is not. lost: of those looked at before."""
    try:
        if lost == 0:
            refuse_empty(target, store)
        refuse_losses(target, lost + 1, looked, marked=lost > 0)
    except StoreError as refusal:
        return refusal
    return None


THEN = {
    "wanted": "It is made good from another copy.",
    "replanned": "It is archived again from its source on site.",
    "lost": "No other copy is known: this footage is lost unless its source can be exported again.",
}


@dataclass(frozen=True)
class Look:
    """What one copy was found to be. known: lost or damaged, which is in the catalogue already. message: "" when it is
    proven."""

    outcome: Literal["proven", "damaged", "lost", "unplayable", "cold", "known"]
    message: str = ""


def look_at(
    conn: Connection,
    store: Store,
    copy: StoredCopy,
    home: Home,
    run: RunRef,
    believe: Callable[[], StoreError | None],
) -> Look:
    """Fetch one copy, hash and decode it, and write down what it is. Raises StoreError when the store can't be read.

    believe: asked before a copy counts as lost; what it answers is raised instead.
    """
    try:
        _check(conn, store, copy, home)
    except _Unplayable as error:
        return Look("unplayable", f"{store.name}: {error.message}")
    except RestoreNeeded as error:
        _note_cold(conn, copy)
        return Look("cold", f"{store.name}: {error.message} {error.remedy}")
    except (ObjectMissing, CopyDamaged) as error:
        kind: Literal["lost", "damaged"] = "lost" if isinstance(error, ObjectMissing) else "damaged"
        if kind == "lost" and (refusal := believe()):
            raise refusal from error
        message = f"{store.name}: {error.message}"
        outcome = lose(conn, Actor(run, datetime.now(UTC)), copy, kind, message)
        return Look("known", message) if outcome == "known" else Look(kind, f"{message} {THEN[outcome]}")
    integrity.save_proof(conn, copy, datetime.now(UTC))
    return Look("proven")


def _note_cold(conn: Connection, copy: StoredCopy) -> None:
    """The pages show a recording as cold that no store gives at once; a copy elsewhere may still be read."""
    place = (copy.recording_id, copy.start_utc)
    if copy.part == "rendition" and isinstance(coldness.of(reads.locate(conn, *place, "rendition")), Cold):
        restores.note_cold(conn, [place])


class _Unplayable(VmsError):
    """The right bytes, which do not decode."""


def _check(conn: Connection, store: Store, copy: StoredCopy, home: Home) -> None:
    """Return when all is well. Wrong bytes are fetched twice before they count: a line may err, too.

    Raises CopyDamaged, ObjectMissing, _Unplayable, or what the store raises.
    """
    whole_of = partial(inspected, store, copy.key, home.staging / ".integrity", lambda _: None)
    with whole_of() as whole:
        good = whole.sha256 == copy.sha256
        if good and copy.part == "rendition" and integrity.must_decode(conn, copy):
            try:
                play_through(whole.path, copy.key, home)
            except CopyDamaged as error:
                raise _Unplayable(error.message, error.remedy) from error
    if not good:
        with whole_of() as whole:
            if whole.sha256 != copy.sha256:
                raise CopyDamaged(
                    f"{copy.key} has SHA-256 {whole.sha256} and {whole.size_bytes} bytes instead of {copy.sha256} and"
                    f" {copy.size_bytes}.",
                    "Check the disks of the store.",
                )
