"""A store in a real S3 server behind a line that can be cut, slowed and lied on, and files to put there."""

from __future__ import annotations

import hashlib
import random
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from proxy import Line, line_to

import weed
from vms.stores import Store, open_store
from vms.stores.s3 import S3Store
from vms.stores.s3_put import PART_BYTES, WHOLE_BYTES

KEY = "ho/lobby/2026/01/31/20260131T235959Z_0123456789ab.mp4"
SMALL = 300_000
LARGE = WHOLE_BYTES + PART_BYTES + 1_000_000
Connect = Callable[..., None]


@dataclass(frozen=True)
class Staged:
    file: Path
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def put(self, store: Store, **more: object):
        return store.put(self.file, KEY, sha256=self.sha256, size_bytes=len(self.data), **more)


@pytest.fixture
def line(s3_server: weed.S3Server) -> Iterator[Line]:
    with line_to(s3_server.port) as made:
        yield made


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Says how the connection of these tests reaches its server; few tries, so that faults show soon."""

    def define(endpoint: str, **more: str) -> None:
        retries = {"mode": "standard", "total_max_attempts": 2}
        text = weed.connection_text(endpoint, **more, retries=retries, connect_timeout=2, read_timeout=20)
        monkeypatch.setenv("AIRFLOW_CONN_FAULTS", text)

    return define


@pytest.fixture
def store(line: Line, connect: Connect) -> S3Store:
    connect(line.endpoint)
    store = open_store("cloud", f"s3://{weed.BUCKET}/{secrets.token_hex(8)}", conn_id="faults")
    store.identify(None)
    assert isinstance(store, S3Store)
    return store


@pytest.fixture
def small(tmp_path: Path) -> Staged:
    return staged(tmp_path / "small.mp4", SMALL)


@pytest.fixture
def large(tmp_path: Path) -> Staged:
    return staged(tmp_path / "large.mp4", LARGE)


def staged(file: Path, size: int, seed: int = 1) -> Staged:
    data = random.Random(seed).randbytes(size)
    file.write_bytes(data)
    return Staged(file, data)


def content(store: Store) -> bytes:
    return b"".join(store.open_range(KEY))


def nothing_is_left(store: S3Store, one: Staged) -> bool:
    left = [file for file in one.file.parent.iterdir() if "upload" in file.name]
    return list(store.list()) == [] and store.unfinished() == [] and left == []
