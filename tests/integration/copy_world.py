"""Archived recordings that really lie in stores, and a batch that shall copy them to a further one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from catalogue_world import a_site
from vms.config import Profile, Site
from vms.home import Home, from_environment
from vms.model import Batch, CopyOrder, StoreTarget
from vms.receipts import Copied, CopyReceipt
from vms.steps.replicate import copy_batch
from vms.stores import open_store

START = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)
PARTS = (("rendition", ".mp4", 300_000), ("poster", ".poster.jpg", 900), ("sprite", ".sprite.jpg", 1_700))


@dataclass
class Ground:
    """Archived recordings in nas (and in san where a test says so), to be copied to cloud."""

    root: Path
    site: Site
    home: Home
    batch: Batch
    said: list[str] = field(default_factory=list)

    @property
    def staging(self) -> Path:
        return self.home.site_staging("ho")

    @property
    def lines(self) -> str:
        return "\n".join(self.said)

    def copy(self, orders: tuple[CopyOrder, ...] | None = None) -> tuple[Copied, ...]:
        self.said.clear()
        batch = self.batch if orders is None else replace(self.batch, orders=orders)
        return copy_batch(batch, self.site, self.home, report=self.said.append)

    def objects(self, store: str) -> dict[str, str]:
        root = self.root / store
        files = (path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".vms"))
        return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def left(self) -> list[str]:
        return sorted(path.name for path in self.staging.glob("*"))

    def damage(self, store: str, number: int = 0, ending: str = ".mp4") -> None:
        (path,) = (
            path
            for path in (self.root / store).rglob(f"*{ending}")
            if path.name.startswith(key_stem(number).rpartition("/")[2])
        )
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)


def key_stem(number: int) -> str:
    at = START + timedelta(minutes=number)
    return f"ho/lobby/{at:%Y/%m/%d}/{at:%Y%m%dT%H%M%SZ}_{number:012x}"


def _bytes(number: int, part: str, size: int) -> bytes:
    return hashlib.shake_128(f"{number} {part}".encode()).digest(size)


def an_order(root: Path, number: int, holders: tuple[StoreTarget, ...], size: int = 300_000) -> CopyOrder:
    """A recording that really lies in these stores."""
    held = []
    for holder in holders:
        store = open_store(holder.name, holder.url, conn_id=holder.conn_id)
        store.identify(None)
        for part, ending, usual in PARTS:
            data = _bytes(number, part, size if part == "rendition" else usual)
            sha256, key = hashlib.sha256(data).hexdigest(), key_stem(number) + ending
            (root / "one").write_bytes(data)
            there = store.put(root / "one", key, sha256=sha256, size_bytes=len(data))
            held.append(CopyReceipt(holder.store_id, part, key, len(data), sha256, there.checksum, START, len(data)))
    start = START + timedelta(minutes=number)
    stem = f"lobby_{start:%Y%m%dT%H%M%SZ}_{number:012x}"
    return CopyOrder(number + 1, start, "ho", "lobby", stem, tuple(held))


def a_target(root: Path, number: int, name: str) -> StoreTarget:
    url = f"file://{root}/{name}"
    return StoreTarget(number, name, url, open_store(name, url).identify(None))


def a_ground(tmp_path: Path) -> Ground:
    home = from_environment({"VMS_HOME": str(tmp_path / "home")})
    home.prepare()
    nas, san, cloud = (a_target(tmp_path, number, name) for number, name in enumerate(("nas", "san", "cloud"), 1))
    orders = tuple(an_order(tmp_path, number, (nas,)) for number in range(6))
    site = a_site(
        footage=tmp_path / "footage",
        cameras=(),
        stores=(),
        profile=Profile("h264-test", "h264", "ultrafast", 40, 2.0, "yuv420p"),
        keep_source=None,
    )
    batch = Batch(7, "ho", "", "6 copies to cloud", (cloud,), (), orders=orders, holders=(nas, san))
    return Ground(tmp_path, site, home, batch)


def assert_whole(ground: Ground, done: tuple[Copied, ...]) -> None:
    """The target holds exactly what the answers say, and they say it of every order."""
    assert [one.fault for one in done] == [None] * len(done)
    assert [one.recording_id for one in done] == [order.recording_id for order in ground.batch.orders]
    assert {copy.key: copy.sha256 for one in done for copy in one.copies} == ground.objects("cloud")
    wanted = {copy.key: copy.sha256 for order in ground.batch.orders for copy in order.held}
    assert ground.objects("cloud") == wanted
    assert {copy.store_id for one in done for copy in one.copies} == {3}
    assert {one.identity for one in done} == {ground.batch.stores[0].identity}
