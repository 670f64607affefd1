"""What a store's identity file says: which store this is, so that a wrong or empty place is not taken for it."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime

IDENTITY_FILE = ".vms-store.json"


def new_identity() -> tuple[str, bytes]:
    """A fresh identity and the content of its file."""
    identity = str(uuid.uuid4())
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    return identity, (json.dumps({"identity": identity, "made_at": made_at}, indent=1) + "\n").encode()


def parse_identity(raw: bytes) -> str:
    """The identity in the content of the file. Raises ValueError when there is none."""
    data = json.loads(raw)
    identity = data.get("identity") if isinstance(data, dict) else None
    if not isinstance(identity, str) or not identity:
        raise ValueError("no identity in it")
    return identity
