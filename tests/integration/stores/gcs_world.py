"""A store in the Google Cloud Storage server that can be made to go wrong, and files to put there."""

from __future__ import annotations

import base64
import hashlib
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import pytest
from gcs_server import BUCKET, Answer, GcsServer, Seen

from vms.model import StoreOptions
from vms.stores import Store, StoredObject, gcs_errors, gcs_upload, open_store

KEY = "ho/lobby/2026/01/31/20260131T235959Z_0123456789ab.mp4"
URL = f"gs://{BUCKET}/archive"
PART = gcs_upload.PART_BYTES


def opened(storage_class: str = "") -> Store:
    return open_store("cloud", URL, conn_id="test_gs", options=StoreOptions(storage_class=storage_class))


@pytest.fixture
def store(gcs: GcsServer) -> Store:
    store = opened()
    store.identify(None)
    gcs.seen.clear()
    return store


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not answer is given up soon."""
    monkeypatch.setattr(gcs_errors, "PATIENCE_S", 0.5)


@dataclass(frozen=True)
class Staged:
    path: Path
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def crc32c(self) -> str:
        return base64.b64encode(google_crc32c.Checksum(self.data).digest()).decode()

    @property
    def states(self) -> list[Path]:
        return sorted(self.path.parent.glob(f"{self.path.name}.*"))

    def put(self, store: Store, progress: Callable[[int], None] | None = None) -> StoredObject:
        return store.put(self.path, KEY, sha256=self.sha256, size_bytes=len(self.data), progress=progress)


def staged(folder: Path, size: int, seed: int = 1) -> Staged:
    folder.mkdir(exist_ok=True)
    file = Staged(folder / f"{size}.mp4", random.Random(seed).randbytes(size))
    file.path.write_bytes(file.data)
    return file


@pytest.fixture
def small(tmp_path: Path) -> Staged:
    return staged(tmp_path / "staging", 200_000)


@pytest.fixture
def large(tmp_path: Path) -> Staged:
    """Two whole parts and a bit."""
    return staged(tmp_path / "staging", 2 * PART + 100_000)


def content(store: Store, key: str = KEY) -> bytes:
    return b"".join(store.open_range(key))


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def times(number: int, wanted: Callable[[Seen], bool], answer: Answer) -> Callable[[Seen], Answer | None]:
    """That answer to the first so many of the requests that are wanted."""
    left = itertools.count(number, -1)
    return lambda seen: answer if wanted(seen) and next(left) > 0 else None
