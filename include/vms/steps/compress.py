"""Compress: make and check a rendition with previews for each file of a batch, and keep it in staging with a receipt.

What lies in staging under its name is complete and checked. A rerun takes what is there; one bad file never keeps the
others from being made. Nothing here touches the source, the catalogue or a store.
"""

from __future__ import annotations

import json
import logging
import math
import os
import socket
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from vms.config import Site
from vms.errors import ConfigError, FootageUnreachable, Reason, SourceChanged, SourceRejected, StagingFull, VmsError
from vms.footage import mtime_ns
from vms.home import Home
from vms.ledger import FILE as LEDGER_FILE
from vms.ledger import Ledger
from vms.logs import of_recording
from vms.machine import cores
from vms.model import Batch, BatchItem, dump, load
from vms.receipts import Preview, Receipt, Rendition
from vms.sightings import Fault
from vms.steps.source import find_source, path_of, refuse_changed
from vms.steps.space import wait_for_space
from vms.steps.staged import copy_file, durable, durable_folder, jpeg_size, sha256_of, sweep, work_folder
from vms.video.binaries import binaries
from vms.video.commands import sheet_for
from vms.video.identity import Identity
from vms.video.probe import Probe, probe
from vms.video.rendition import Made, make
from vms.video.slots import encode_slot

logger = logging.getLogger(__name__)

_PASSING = ("unreadable", "missing")  # a share that hangs or goes away says nothing about the file


def compress_batch(
    batch: Batch, site: Site, home: Home, *, report: Callable[[str], None], gives_way: bool = False
) -> tuple[Receipt, ...]:
    """The receipts of all files of the batch, in its order; a file that got no further has a fault in its receipt.

    gives_way: lets others have the encoders first, see `encode_slot`.

    Raises ConfigError when this machine has no usable FFmpeg. When the caller is interrupted, all children are ended.
    """
    binaries(home)
    stop, telling = threading.Event(), threading.Lock()
    total = len(batch.items)

    def tell(line: str) -> None:
        with telling:
            report(line)

    with ThreadPoolExecutor(max_workers=max(1, min(cores(), total)), thread_name_prefix="compress") as pool:
        try:
            jobs = [
                pool.submit(
                    of_recording(item.recording_id, compress_item),
                    item,
                    site,
                    home,
                    report=tell,
                    place=f"{number} of {total}: ",
                    stop=stop,
                    gives_way=gives_way,
                )
                for number, item in enumerate(batch.items, 1)
            ]
            return tuple(job.result() for job in jobs)
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def compress_item(
    item: BatchItem,
    site: Site,
    home: Home,
    *,
    report: Callable[[str], None],
    place: str = "",
    stop: threading.Event | None = None,
    gives_way: bool = False,
) -> Receipt:
    """The receipt of one file: what lies in staging already, or made now. place goes in front of what is reported.

    Raises Stopped when `stop` is set and ConfigError when FFmpeg can't be used; everything else is a fault.
    """
    staging = site.staging or home.site_staging(site.id)
    label = f"{place}{item.camera} {item.start_utc.astimezone(site.zone):%Y-%m-%d %H:%M:%S %Z}"
    begun = Receipt(
        recording_id=item.recording_id,
        start_utc=item.start_utc,
        source=item.sources[0],
        host=socket.gethostname(),
        started_at=datetime.now(UTC),
        finished_at=datetime.now(UTC),
    )
    try:
        staging.mkdir(parents=True, exist_ok=True)
        sweep(staging)
        kept = _staged_receipt(item, site, staging)
        if kept is not None:
            report(f"{label}  is staged already ({_mb(kept.rendition.size_bytes if kept.rendition else 0)})")
            return kept
        source, path = find_source(item, site)
        begun = replace(begun, source=source)
        return _compress(item, site, home, staging, begun, path, label, report, stop, gives_way)
    except ConfigError:
        raise
    except VmsError as error:
        fault = _fault(error)
        if isinstance(error, SourceChanged):
            _look_anew(item, staging)
    except OSError as error:
        logger.exception("%s failed", label)
        fault = Fault("disk", f"{site.id}/{item.camera}: {error}.", "Check the disks and shares.", permanent=False)
    except Exception as error:
        logger.exception("%s failed", label)
        fault = Fault("unexpected", f"{site.id}/{item.camera}: {error!r}", "See the log of this task.", permanent=False)
    report(f"{label}  {'refused' if fault.permanent else 'not made'}: {fault.message} {fault.remedy}".rstrip())
    return replace(begun, fault=fault, finished_at=datetime.now(UTC))


def _compress(
    item: BatchItem,
    site: Site,
    home: Home,
    staging: Path,
    begun: Receipt,
    path: Path,
    label: str,
    report: Callable[[str], None],
    stop: threading.Event | None,
    gives_way: bool,
) -> Receipt:
    found = probe(path, home=home)
    wait_for_space(staging, begun.source.size_bytes, site, home, report, stop)
    with encode_slot(home, found.pixels, stop, gives_way=gives_way), work_folder(staging, item.staging_stem) as folder:
        source_sha256 = sha256_of(path)  # also brings the file into memory, so that it is read from the disk once
        identity = Identity(item, begun.source, source_sha256, site.profile)
        tick = _Ticker(label, found, report)
        made = make(path, found, identity, site.profile, folder, binaries(home), stop=stop, told=tick)
        refuse_changed(path, begun.source)
        rendition = _settle(made, item, site, staging, folder, found, source_sha256)
        previews = _settle_previews(made, found, item, staging)
        receipt = replace(
            begun,
            source_sha256=source_sha256,
            rendition=rendition,
            previews=previews,
            finished_at=datetime.now(UTC),
        )
        _write_receipt(receipt, item, staging)
    report(f"{label}  {_outcome(begun.source.size_bytes, rendition, found)}")
    return receipt


class _Ticker:
    """Says every tenth part of a long file, so that a log shows that it is alive."""

    _LONG_S = 120.0

    def __init__(self, label: str, found: Probe, report: Callable[[str], None]) -> None:
        self.label, self.report, self.said = label, report, 0
        self.long = found.duration_s >= self._LONG_S

    def __call__(self, part: float) -> None:
        tenths = int(part * 10)
        if self.long and self.said < tenths < 10:
            self.said = tenths
            self.report(f"{self.label}  {tenths * 10} %")


def _settle(
    made: Made, item: BatchItem, site: Site, staging: Path, folder: Path, found: Probe, source_sha256: str
) -> Rendition:
    name = f"{item.staging_stem}{made.suffix}"
    path = made.path
    if made.kind == "original":
        path = folder / "original"
        sha256 = copy_file(made.path, path)
        if sha256 != source_sha256:
            raise SourceChanged(
                f"{site.id}/{item.camera}: {item.sources[0].path} gave other bytes when it was read a second time.",
                "It is tried again. If it repeats, the disk or share that it lies on is failing.",
            )
    else:
        durable(path)
        sha256 = sha256_of(path)
    return rendition_of(made, found, site, path.replace(staging / name), sha256)


def rendition_of(made: Made, found: Probe, site: Site, file: Path, sha256: str) -> Rendition:
    """What is told of a rendition that lies in this file. found: in its source."""
    return Rendition(
        kind=made.kind,
        file=file.name,
        suffix=made.suffix,
        size_bytes=file.stat().st_size,
        sha256=sha256,
        codec=made.codec,
        audio_codec=made.audio_codec,
        width=made.width,
        height=made.height,
        fps=found.video.fps,
        duration_s=made.duration_s,
        frames=made.frames,
        profile=site.profile.name,
        why_kept=made.why_kept,
        damaged=made.damaged,
        argv=made.argv,
        ffmpeg=made.ffmpeg,
        wall_s=made.wall_s,
        cpu_s=made.cpu_s,
    )


def _settle_previews(made: Made, found: Probe, item: BatchItem, staging: Path) -> tuple[Preview, ...]:
    previews: list[Preview] = []
    for kind, path in (("poster", made.poster), ("sprite", made.sprite)):
        if path is None:
            continue
        durable(path)
        width, height = jpeg_size(path)
        name, size_bytes, sha256 = f"{item.staging_stem}.{kind}.jpg", path.stat().st_size, sha256_of(path)
        path.replace(staging / name)
        if kind == "poster":
            previews.append(Preview("poster", name, ".poster.jpg", "image/jpeg", size_bytes, sha256))
            continue
        sheet = sheet_for(found.duration_s)
        previews.append(
            Preview(
                kind="sprite",
                file=name,
                suffix=".sprite.jpg",
                media_type="image/jpeg",
                size_bytes=size_bytes,
                sha256=sha256,
                tile_width=width // sheet.columns,
                tile_height=height // sheet.rows,
                columns=sheet.columns,
                tiles=max(1, min(sheet.tiles, math.ceil(made.duration_s / sheet.interval_s))),
                interval_s=sheet.interval_s,
            )
        )
    return tuple(previews)


def _write_receipt(receipt: Receipt, item: BatchItem, staging: Path) -> None:
    final = staging / f"{item.staging_stem}.receipt.json"
    fresh = final.with_name(f".{final.name}.{os.getpid()}.{threading.get_ident()}.new")
    fresh.write_text(json.dumps(dump(receipt), indent=1))
    durable(fresh)
    fresh.replace(final)
    durable_folder(staging)


def _staged_receipt(item: BatchItem, site: Site, staging: Path) -> Receipt | None:
    """The receipt of what lies complete in staging and was made from the source as it is; a source that is gone
    meanwhile is no reason to throw its rendition away."""
    sidecar = staging / f"{item.staging_stem}.receipt.json"
    try:
        receipt = load(Receipt, json.loads(sidecar.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, ValidationError):
        logger.warning("%s can't be read; the rendition is made again", sidecar)
        return None
    rendition = receipt.rendition
    if receipt.recording_id != item.recording_id or receipt.fault is not None or rendition is None:
        return None
    files = [(rendition.file, rendition.size_bytes, rendition.sha256)]
    files += [(preview.file, preview.size_bytes, preview.sha256) for preview in receipt.previews]
    for name, size_bytes, sha256 in files:
        path = staging / name
        if not path.is_file() or path.stat().st_size != size_bytes or sha256_of(path) != sha256:
            return None
    try:
        status = path_of(site, receipt.source).stat()
    except FileNotFoundError:
        return receipt
    same = (status.st_size, mtime_ns(status)) == (receipt.source.size_bytes, receipt.source.mtime_ns)
    return receipt if same else None


def _look_anew(item: BatchItem, staging: Path) -> None:
    """Let the next look examine the files again, also those whose size and time do not show that they have changed."""
    try:
        if (staging / LEDGER_FILE).exists():
            Ledger(staging).forget(source.path for source in item.sources)
    except (OSError, sqlite3.Error):
        logger.exception("The ledger in %s could not be written", staging)


def _fault(error: VmsError) -> Fault:
    if isinstance(error, SourceRejected):
        return Fault(error.reason, error.message, error.remedy, permanent=error.reason not in _PASSING)
    codes: dict[type[VmsError], Reason] = {
        SourceChanged: "source_changed",
        StagingFull: "staging_full",
        FootageUnreachable: "footage_unreachable",
    }
    reason: Reason = next((code for kind, code in codes.items() if isinstance(error, kind)), "compress_failed")
    return Fault(reason, error.message, error.remedy, permanent=False)


def _outcome(source_bytes: int, rendition: Rendition, found: Probe) -> str:
    """Such as: 84.1 MB -> 31.2 MB (37 %) in 21.4 s, 14.0x real time."""
    speed = found.duration_s / rendition.wall_s if rendition.wall_s else 0.0
    line = (
        f"{_mb(source_bytes)} -> {_mb(rendition.size_bytes)} ({rendition.size_bytes / max(1, source_bytes):.0%}) "
        f"in {rendition.wall_s:.1f} s, {speed:.1f}x real time"
    ).replace("%)", " %)")
    notes = [f"{rendition.kind}: {rendition.why_kept}"] if rendition.kind != "encoded" else []
    notes += [rendition.damaged] if rendition.damaged else []
    return "; ".join([line, *notes])


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 100_000 else f"{size_bytes / 1e3:.1f} kB"
