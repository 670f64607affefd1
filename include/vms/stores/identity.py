"""What a store's identity file says: which store this is, so that a wrong or empty place is not taken for it."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Protocol

from vms.errors import WrongStore

IDENTITY_FILE = ".vms-store.json"


class Place(Protocol):
    """Where a store lies, or is to lie."""

    def read_identity(self) -> str | None:
        """What its identity file says; None when there is none. WrongStore when it says nothing that can be read."""

    def must_be_new(self) -> None:
        """Raises StoreUnreachable when it holds other things already."""

    def make_identity(self) -> str | None:
        """Give it an identity; when two do so at the same time, both get the identity of the first."""

    def wrong(self, why: str) -> WrongStore:
        """The error of a place that is another store."""


def identity_of(place: Place, expected: str | None) -> str:
    """See `vms.stores.base.Store.identify`: the identity of the place, given to it now where it is new and may be."""
    found = place.read_identity()
    if found is None and expected is None:
        place.must_be_new()
        found = place.make_identity()
    return must_be(place, found, expected)


def must_be(place: Place, found: str | None, expected: str | None) -> str:
    """The identity that was found there. WrongStore when it is none, or not the expected one."""
    if found is None:
        raise place.wrong(f"it has no {IDENTITY_FILE}")
    if expected is not None and found != expected:
        raise place.wrong(f"its identity is {found}, expected was {expected}")
    return found


def new_identity() -> tuple[str, bytes]:
    """A fresh identity and the content of its file."""
    identity = str(uuid.uuid4())
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    return identity, (json.dumps({"identity": identity, "made_at": made_at}, indent=1) + "\n").encode()


def parse_identity(place: Place, raw: bytes) -> str:
    """The identity in the content of the file. WrongStore when there is none."""
    try:
        data = json.loads(raw)
    except ValueError as error:
        raise place.wrong(f"its {IDENTITY_FILE} can't be read ({error})") from error
    identity = data.get("identity") if isinstance(data, dict) else None
    if not isinstance(identity, str) or not identity:
        raise place.wrong(f"its {IDENTITY_FILE} can't be read (no identity in it)")
    return identity
