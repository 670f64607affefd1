"""`stores check`: what a store can do, found by doing it with a small object that is removed again."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vms.errors import StoreConflict, StoreError, VmsError
from vms.stores.base import Finding, Store, Tell

_PROBE_BYTES = 256 * 1024
_SPEED_BYTES = 32_000_000
_SPEED_S = 2.0
_CLOCK_S = 30
_LITTLE_FREE = 20 << 30
_FOLDER = "vms-check/"


@dataclass(frozen=True)
class _Probe:
    """One check under way. folder: for the files of its probes, on this machine."""

    store: Store
    folder: Path
    key: str
    data: bytes

    def put(self, data: bytes, key: str = "") -> int:
        """How many bytes went out. A probe is put as a preview is: never locked, and readable at once."""
        file = self.folder / "probe"
        file.write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        return self.store.put(file, key or self.key, sha256=digest, size_bytes=len(data), preview=True).bytes_sent


def probe_findings(store: Store, identity: str | None = None, tell: Tell | None = None) -> list[Finding]:
    """Each step's finding in order; only the first, whether it is the store at all, keeps the others from it.

    identity: what the catalogue knows it by. Never raises; leaves no object behind where the store lets it delete.
    """
    findings: list[Finding] = []

    def step(what: str, doing: Callable[[], Finding]) -> bool:
        if tell is not None:
            tell(what)
        try:
            findings.append(doing())
        except VmsError as error:
            findings.append(Finding(False, error.message, error.remedy))
        except OSError as error:
            findings.append(Finding(False, f"{error}", "Check the temporary folder of this machine."))
        return findings[-1].ok

    if not step("asking who it is", lambda: _identifies(store, identity)):
        return findings
    key = f"{_FOLDER}{secrets.token_hex(8)}.bin"
    with tempfile.TemporaryDirectory(prefix="vms-check-") as folder:
        probe = _Probe(store, Path(folder), key, secrets.token_bytes(_PROBE_BYTES))
        began = datetime.now(UTC)
        try:
            written = step("writing a probe", lambda: _writes(probe))
            if written:
                ended = datetime.now(UTC)
                step("overwriting it", lambda: _keeps(probe))
                step("reading it", lambda: _reads(probe))
                step("comparing clocks", lambda: _clock(probe, began, ended))
            step("listing", lambda: _lists(probe, written))
        finally:
            with contextlib.suppress(StoreError):
                store.delete([key])
        deleted = step("deleting it", lambda: _deletes(probe))
        if written and deleted:
            step("measuring its speed", lambda: _speed(probe))
    step("asking for its free space", lambda: _space(store.free_bytes()))
    return findings


def _identifies(store: Store, identity: str | None) -> Finding:
    return Finding(True, f"is reached and identifies itself as {store.identify(identity)}")


def _writes(probe: _Probe) -> Finding:
    probe.put(probe.data)
    if probe.put(probe.data) != 0:
        raise StoreError("writes the same object twice", "Use a store that keeps what was written once.")
    return Finding(True, "writes an object and proves its bytes")


def _keeps(probe: _Probe) -> Finding:
    try:
        probe.put(secrets.token_bytes(_PROBE_BYTES))
    except StoreConflict:
        return Finding(True, "refuses to overwrite an object")
    raise StoreError("lets an object be overwritten", "Footage would not be safe there; use another store.")


def _reads(probe: _Probe) -> Finding:
    found = probe.store.head(probe.key)
    if found is None or found.size_bytes != len(probe.data):
        raise StoreError("does not find the object that was just written", "Check its caches and its replication.")
    if b"".join(probe.store.open_range(probe.key, 1000, 2000)) != probe.data[1000:3000]:
        raise StoreError("returns other bytes than were written for a range", "Use another store; this one is broken.")
    return Finding(True, "reads whole objects and ranges")


def _lists(probe: _Probe, written: bool) -> Finding:
    listed = [one.key for one in probe.store.list(_FOLDER)]
    if written and probe.key not in listed:
        raise StoreError("does not list the object that was just written", "Check its caches and its replication.")
    return Finding(True, "lists objects")


def _deletes(probe: _Probe) -> Finding:
    if probe.store.delete([probe.key]) != [probe.key] or probe.store.head(probe.key) is not None:
        raise StoreError(
            "does not let a probe be deleted",
            f"Give this user the right to delete below {_FOLDER} (s3:DeleteObject, storage.objects.delete); what runs"
            " retention needs it everywhere.",
        )
    return Finding(True, "deletes objects")


def _clock(probe: _Probe, began: datetime, ended: datetime) -> Finding:
    """The time that the store gave the object must lie where this machine saw the writing."""
    found = probe.store.head(probe.key)
    at = ended if found is None else found.modified_at
    apart = max((began - at).total_seconds(), 0.0) - max((at - ended).total_seconds(), 0.0)
    numbers = {"object_clock_apart_s": round(apart, 1)}
    if abs(apart) <= _CLOCK_S:
        return Finding(True, "its clock agrees with this machine's", numbers=numbers)
    direction = "behind" if apart > 0 else "ahead of"
    return Finding(
        False,
        f"its clock is {abs(apart):.0f} s {direction} this machine's",
        "Set both clocks by NTP; times in reports are wrong until then, no footage is lost.",
        numbers,
    )


def _speed(probe: _Probe) -> Finding:
    """With a probe that takes about two seconds: it grows until it does, or is large enough."""
    size = _PROBE_BYTES
    while True:
        key = f"{_FOLDER}{secrets.token_hex(8)}.bin"
        data = secrets.token_bytes(size)
        try:
            began = time.monotonic()
            probe.put(data, key)
            written = time.monotonic()
            received = sum(len(chunk) for chunk in probe.store.open_range(key))
            read = time.monotonic()
        finally:
            with contextlib.suppress(StoreError):
                probe.store.delete([key])
        up_s, down_s = max(written - began, 1e-6), max(read - written, 1e-6)
        if size >= _SPEED_BYTES or up_s + down_s >= _SPEED_S / 2:
            break
        size = min(_SPEED_BYTES, int(size * min(8.0, _SPEED_S / (up_s + down_s))))
    up, down = size * 8e-6 / up_s, received * 8e-6 / down_s
    numbers = {"up_mbit_s": round(up, 2), "probe_bytes": float(size)}
    what = f"takes {_rate(up)} Mbit/s"
    if not probe.store.url.startswith("file:"):  # there this machine's memory answers, at a speed of its own
        numbers["down_mbit_s"] = round(down, 2)
        what += f" and gives {_rate(down)} Mbit/s"
    return Finding(True, f"{what}, with one object of {size / 1e6:.1f} MB", numbers=numbers)


def _rate(mbit_s: float) -> str:
    return f"{mbit_s:.1f}" if mbit_s < 10 else f"{mbit_s:,.0f}"


def _space(free: int | None) -> Finding:
    if free is None:
        return Finding(True, "does not say how much space is free")
    numbers = {"free_bytes": float(free)}
    if free >= _LITTLE_FREE:
        return Finding(True, f"has {free / 1e9:,.0f} GB free", numbers=numbers)
    remedy = "Free space on it or enlarge it before it is full."
    return Finding(False, f"has only {free / 1e9:,.1f} GB free", remedy, numbers)
