"""`stores check`: what a store can do, found by doing it with a small object that is removed again."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from vms.errors import StoreConflict, StoreError, VmsError
from vms.stores.base import Finding, Store

_PROBE_BYTES = 256 * 1024
_CLOCK_S = 30
_LITTLE_FREE = 20 << 30


def probe_findings(store: Store, identity: str | None = None) -> list[Finding]:
    """Each step's finding in order, ended by the first one that fails. identity: what the catalogue knows it by.

    Never raises; leaves no object behind where the store lets it delete.
    """
    findings: list[Finding] = []

    def step(doing: Callable[[], str]) -> bool:
        try:
            findings.append(Finding(True, doing()))
        except VmsError as error:
            findings.append(Finding(False, error.message, error.remedy))
        except OSError as error:
            findings.append(Finding(False, f"{error}", "Check the temporary folder of this machine."))
        return findings[-1].ok

    if not step(lambda: f"is reached and identifies itself as {store.identify(identity)}"):
        return findings
    data = secrets.token_bytes(_PROBE_BYTES)
    other = secrets.token_bytes(_PROBE_BYTES)
    key = f"vms-check/{secrets.token_hex(8)}.bin"
    with tempfile.TemporaryDirectory(prefix="vms-check-") as folder:
        try:
            if step(lambda: _writes(store, key, Path(folder) / "one", data)):
                step(lambda: _keeps(store, key, Path(folder) / "other", other))
                step(lambda: _reads(store, key, data))
                findings.append(_clock(store, key))
        finally:
            with contextlib.suppress(StoreError):
                store.delete([key])
    if findings[1].ok:
        step(lambda: _deletes(store, key))
    with contextlib.suppress(StoreError):
        findings.append(_space(store.free_bytes()))
    return findings


def _put(store: Store, key: str, file: Path, data: bytes) -> int:
    file.write_bytes(data)
    return store.put(file, key, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data)).bytes_sent


def _writes(store: Store, key: str, file: Path, data: bytes) -> str:
    _put(store, key, file, data)
    if _put(store, key, file, data) != 0:
        raise StoreError("writes the same object twice", "Use a store that keeps what was written once.")
    return "writes an object and proves its bytes"


def _keeps(store: Store, key: str, file: Path, data: bytes) -> str:
    try:
        _put(store, key, file, data)
    except StoreConflict:
        return "refuses to overwrite an object"
    raise StoreError("lets an object be overwritten", "Footage would not be safe there; use another store.")


def _reads(store: Store, key: str, data: bytes) -> str:
    found = store.head(key)
    if found is None or found.size_bytes != len(data):
        raise StoreError("does not find the object that was just written", "Check its caches and its replication.")
    if b"".join(store.open_range(key, 1000, 2000)) != data[1000:3000]:
        raise StoreError("returns other bytes than were written for a range", "Use another store; this one is broken.")
    return "reads whole objects and ranges"


def _deletes(store: Store, key: str) -> str:
    if store.delete([key]) != [key] or store.head(key) is not None:
        raise StoreError("does not let an object be deleted", "Give this user the right to delete, retention needs it.")
    return "deletes objects"


def _clock(store: Store, key: str) -> Finding:
    found = store.head(key)
    apart = 0.0 if found is None else (datetime.now(UTC) - found.modified_at).total_seconds()
    if abs(apart) <= _CLOCK_S:
        return Finding(True, "its clock agrees with this machine's")
    direction = "behind" if apart > 0 else "ahead of"
    return Finding(
        False,
        f"its clock is {abs(apart):.0f} s {direction} this machine's",
        "Set both clocks by NTP; times in reports are wrong until then, no footage is lost.",
    )


def _space(free: int | None) -> Finding:
    if free is None:
        return Finding(True, "does not say how much space is free")
    if free >= _LITTLE_FREE:
        return Finding(True, f"has {free / 1e9:,.0f} GB free")
    return Finding(False, f"has only {free / 1e9:,.1f} GB free", "Free space on it or enlarge it before it is full.")
