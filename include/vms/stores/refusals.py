"""What a store of any kind says when it will not go on, in the same words whatever the store is made of."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from vms.errors import StoreConflict, StoreError, StoreUnreachable
from vms.stores.base import FileRotted, ObjectMissing


def not_identified(store: str) -> StoreError:
    return StoreError(f"Store {store} was not identified before it was used.", "Call identify first.")


def holds_other_things(store: str, place: str, remedy: str) -> StoreUnreachable:
    """A place that is to become a store is in use for something else. place: its URL or folder."""
    return StoreUnreachable(f"Store {store}: {place} holds other things and is no store yet.", remedy)


def no_object(store: str, key: str, where: str) -> ObjectMissing:
    """where: how somebody else may have removed it, such as "in the bucket"."""
    return ObjectMissing(f"Store {store} has no object {key}.", f"It was purged, or removed {where} by hand.")


def unreadable(file: Path, error: OSError) -> FileRotted:
    return FileRotted(f"{file} can't be read ({error.strerror}).", "It is made again from its source.")


def must_be_as_told(file: Path, found_sha256: str, found_bytes: int, *, sha256: str, size_bytes: int) -> None:
    """Raises FileRotted when the file that was read is not of the size and hash it should have."""
    if found_bytes != size_bytes or found_sha256 != sha256:
        raise FileRotted(
            f"{file} is not what its receipt says: {found_bytes} bytes of {size_bytes}, SHA-256 {found_sha256} "
            f"instead of {sha256}.",
            "It is made again from its source; if this comes back, check the staging disk.",
        )


def another_object(
    store: str, key: str, held: str, made_at: datetime, *, file: Path | None = None, sha256: str, size_bytes: int
) -> StoreConflict:
    """held: what the object under the key is found to be. file, sha256, size_bytes: what was to be put there."""
    ours = "ours" if file is None else f"ours ({file.name})"
    return StoreConflict(
        f"Store {store} holds another object under {key}: {held}, of {made_at:%Y-%m-%d %H:%M:%S} UTC; "
        f"{ours} has {size_bytes} bytes, SHA-256 {sha256}.",
        "Nothing was overwritten. Compare the two; move the wrong one away from the store by hand.",
    )
