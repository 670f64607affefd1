"""One copy order on its way: each part found in the target, in staging or in a store that holds it, and put.

A part that the target has under its key is proven there anew and not sent. What was fetched for a put that failed is
kept where the next try can go on from it.
"""

from __future__ import annotations

from pathlib import Path

from vms.errors import CopyDamaged, CopyUnreachable, RestoreNeeded, StoreError, VmsError
from vms.receipts import CopyReceipt, DamagedCopy
from vms.steps.copies_in_flight import InFlight, asking_target, room_for
from vms.steps.copying import Piece, put, put_preview
from vms.steps.fetching import discard, discard_left, fetched_file, fill, owned, staged_file
from vms.steps.meeting import OUT
from vms.steps.staged import sha256_of
from vms.video.ffmpeg import Stopped


def copies_of(file: InFlight) -> tuple[CopyReceipt, ...]:
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


def _copy_part(file: InFlight, held: list[CopyReceipt]) -> list[CopyReceipt]:
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


def _is_there(file: InFlight, copy: CopyReceipt) -> bool:
    """Whether the target has an object under the key; an empty one is a name that a writer has claimed."""
    with asking_target(file):
        there = file.target.head(copy.key)
    return there is not None and there.size_bytes > 0


def _is(path: Path, copy: CopyReceipt) -> bool:
    try:
        return path.stat().st_size == copy.size_bytes and sha256_of(path) == copy.sha256
    except FileNotFoundError:
        return False


def _fetch(file: InFlight, copy: CopyReceipt, path: Path, faults: list[VmsError]) -> bool:
    """Whether the file is this copy now; else `faults` has one more."""
    work, name = file.work, file.work.names[copy.store_id]
    if copy.store_id in work.out:
        faults.append(work.out[copy.store_id])
        return False
    try:
        with room_for(file, max(0, copy.size_bytes - path.stat().st_size)):
            fill(path, work.stores[copy.store_id], copy, lambda count: moved(file, copy, count, 0), work.stop)
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


def _put(file: InFlight, copy: CopyReceipt, path: Path) -> list[CopyReceipt]:
    piece = Piece(copy.part, path, copy.key, copy.size_bytes, copy.sha256)

    def sent(count: int) -> None:
        if file.work.stop.is_set():
            raise Stopped
        moved(file, copy, copy.size_bytes, count)

    with asking_target(file):
        if copy.part != "rendition":
            return put_preview(file.target, file.work.target_id, piece, file.tell, sent)
        return [put(file.target, file.work.target_id, piece, file.tell, sent)]


def _put_away(file: InFlight, copy: CopyReceipt, path: Path) -> list[CopyReceipt]:
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


def moved(file: InFlight, copy: CopyReceipt, fetched: int, sent: int) -> None:
    if copy.part == "rendition":
        file.work.moved(file.order, fetched, sent)


def _worst(faults: list[VmsError]) -> VmsError:
    """Why no holder gave it, as one error of the kind that most needs somebody to act."""
    first = min(faults, key=lambda one: (not isinstance(one, CopyDamaged), not isinstance(one, RestoreNeeded)))
    message = " ".join([first.message, *(one.message for one in faults if one is not first)])
    # a holder that is out must not pass for a target that is out
    kind = CopyUnreachable if isinstance(first, OUT) else type(first)
    return kind(message, first.remedy)
