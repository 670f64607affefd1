"""A small world for catalogue tests: one site, files seen in it, and receipts as honest tasks would report them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from vms.catalogue.connection import Connection, connect
from vms.catalogue.custody import record_receipts
from vms.catalogue.planning import plan_run
from vms.catalogue.reads import RecordingRow, get_recording
from vms.config import CameraConfig, Profile, Site, StoreConfig
from vms.model import Batch, BatchItem, Plan, Recorded, RunRef
from vms.receipts import CopyReceipt, Preview, Receipt, Rendition
from vms.sightings import Fault, Rejection, Sensed, Sighting, SourceSeen, TimeBasis

NOW = datetime(2026, 2, 1, 3, 0, tzinfo=UTC)
START = datetime(2026, 1, 31, 1, 0, tzinfo=UTC)
"""08:00 in Jakarta."""
KEEP = timedelta(days=1)
LATER = NOW + timedelta(days=2)

BROKEN = Fault("no_video_stream", "There is no picture in it.", "Export it from the recorder again.", permanent=True)


def a_site(**changes: Any) -> Site:
    site = Site(
        id="ho",
        name="Head office",
        time_zone="Asia/Jakarta",
        footage=Path("/footage"),
        cameras=(CameraConfig("lobby", "Lobby", "lobby"),),
        pattern="auto",
        stores=(StoreConfig("nas", "file:///nas"),),
        profile=Profile("av1", "av1", "8", 35, 2.0, "yuv420p"),
        keep_source=timedelta(days=1),
        retention=timedelta(days=180),
        every=timedelta(minutes=10),
        enabled=True,
        staging=None,
    )
    return replace(site, **changes)


def a_run(number: int = 1, **changes: Any) -> RunRef:
    return replace(RunRef("footage_ho", f"run {number}", "plan", -1, 1, "centre"), **changes)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def seen(
    path: str,
    *,
    start: datetime = START,
    content: str | None = None,
    camera: str = "lobby",
    basis: TimeBasis = "name",
    duration_s: float = 300.0,
    size_bytes: int = 50_000_000,
    mtime_ns: int = 1,
) -> Sighting:
    """content: files with the same text have the same bytes; by default every path has its own."""
    return Sighting(
        source=SourceSeen(path, size_bytes, mtime_ns),
        camera=camera,
        fingerprint=sha(content or path)[:32],
        start_utc=start,
        duration_s=duration_s,
        time_basis=basis,
        time_marks=(),
        pattern="test",
        codec="h264",
        width=1920,
        height=1080,
        fps=15.0,
        audio_codec=None,
    )


def refused(path: str, **changes: Any) -> Rejection:
    like = seen(path, **changes)
    return Rejection(like.source, like.camera, like.fingerprint, like.start_utc, like.time_basis, BROKEN)


def sensed(*files: Sighting | Rejection, site: str = "ho", at: datetime = NOW) -> Sensed:
    sightings = tuple(each for each in files if isinstance(each, Sighting))
    rejections = tuple(each for each in files if isinstance(each, Rejection))
    return Sensed(site, at, len(files), 0, 0, 0, (), sightings, rejections)


def five_minute_files(count: int, camera: str = "lobby", start: datetime = START) -> list[Sighting]:
    return [
        seen(f"{camera}/{number:03}.mp4", start=start + number * timedelta(minutes=5), camera=camera)
        for number in range(count)
    ]


def receipt_for(item: BatchItem, batch: Batch, *, fault: Fault | None = None, **changes: Any) -> Receipt:
    """What honest compress and upload tasks report: everything proven in all stores, or the fault."""
    rendition = Rendition(
        kind="encoded",
        file=f"{item.staging_stem}.mp4",
        suffix=".mp4",
        size_bytes=9_000_000,
        sha256=sha("rendition " + item.fingerprint),
        codec="av1",
        audio_codec=None,
        width=1920,
        height=1080,
        fps=15.0,
        duration_s=299.5,
        frames=4492,
        profile="av1",
        why_kept="",
        damaged="",
        argv=("ffmpeg", "-i", "file:/x"),
        ffmpeg="7.1",
        wall_s=30.0,
        cpu_s=55.0,
    )
    poster = Preview("poster", "p.jpg", ".jpg", "image/jpeg", 20_000, sha("poster" + item.fingerprint))
    sprite = Preview(
        "sprite", "s.jpg", ".jpg", "image/jpeg", 90_000, sha("sprite" + item.fingerprint), 160, 90, 6, 30, 10
    )
    receipt = Receipt(
        recording_id=item.recording_id,
        start_utc=item.start_utc,
        source=item.sources[0],
        host="branch",
        started_at=NOW,
        finished_at=NOW + timedelta(seconds=30),
        source_sha256=sha("source " + item.fingerprint),
        rendition=None if fault else rendition,
        previews=() if fault else (poster, sprite),
        copies=() if fault else copies_of(item, batch, rendition, (poster, sprite)),
        store_identities={} if fault else {str(store.store_id): f"identity of {store.name}" for store in batch.stores},
        fault=fault,
    )
    return replace(receipt, **changes)


def copies_of(
    item: BatchItem, batch: Batch, rendition: Rendition, previews: Sequence[Preview]
) -> tuple[CopyReceipt, ...]:
    copies = []
    for store in batch.stores:
        for part, suffix, size, digest in (
            ("rendition", ".mp4", rendition.size_bytes, rendition.sha256),
            *((one.kind, f".{one.kind}.jpg", one.size_bytes, one.sha256) for one in previews),
        ):
            key = item.key_stem + suffix
            copies.append(CopyReceipt(store.store_id, part, key, size, digest, f"sha256:{digest}", NOW, size))
    return tuple(copies)


def receipts_for(batch: Batch) -> list[Receipt]:
    return [receipt_for(item, batch) for item in batch.items]


@contextmanager
def opened(url: str) -> Iterator[Connection]:
    with closing(connect(url)) as conn:
        yield conn


def ask(conn: Connection, sql: str, *params: Any) -> list[tuple[Any, ...]]:
    with conn.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


@dataclass(frozen=True)
class Picture:
    """Everything that must be the same after a rerun."""

    recordings: list[tuple[Any, ...]]
    sources: list[tuple[Any, ...]]
    copies: list[tuple[Any, ...]]
    quarantine: list[tuple[Any, ...]]
    items: list[tuple[Any, ...]]
    days: list[tuple[Any, ...]]
    lineage: list[tuple[Any, ...]]


def picture(conn: Connection) -> Picture:
    return Picture(
        ask(conn, "SELECT r::text FROM recording r ORDER BY recording_id"),
        ask(conn, "SELECT n::text FROM recording_source n ORDER BY recording_id, path"),
        ask(conn, "SELECT k::text FROM copy k ORDER BY recording_id, store_id, part"),
        ask(conn, "SELECT q::text FROM quarantine q ORDER BY recording_id"),
        ask(conn, "SELECT i::text FROM batch_item i ORDER BY batch_id, position"),
        ask(conn, "SELECT d::text FROM camera_day d ORDER BY camera_id, day"),
        ask(conn, "SELECT l::text FROM lineage l ORDER BY lineage_id"),
    )


def events(conn: Connection, recording_id: int) -> list[str]:
    return [
        row[0]
        for row in ask(conn, "SELECT event FROM lineage WHERE recording_id = %s ORDER BY lineage_id", recording_id)
    ]


def planned(conn: Connection, *files: Sighting | Rejection, run: int = 1, now: datetime = NOW, **site: Any) -> Plan:
    return plan_run(conn, a_site(**site), sensed(*files), a_run(run), now)


def archived(conn: Connection, batch: Batch, now: datetime = NOW) -> Recorded:
    return record_receipts(conn, batch, receipts_for(batch), a_run(task_id="record"), now, KEEP)


def the_recording(conn: Connection, batch: Batch) -> RecordingRow:
    row = get_recording(conn, batch.items[0].recording_id, batch.items[0].start_utc)
    assert row is not None
    return row


def recordings(conn: Connection) -> int:
    return int(ask(conn, "SELECT count(*) FROM recording")[0][0])


def archive_all(conn: Connection, plan: Plan, now: datetime = NOW) -> None:
    for batch in plan.batches:
        record_receipts(conn, batch, receipts_for(batch), a_run(), now, KEEP)
