"""Adopt: take over a rendition that an earlier try has stored though its receipt was lost.

Encoders do not give the same bytes twice. So a try that died between "stored" and "recorded" leaves an object under the
key that differs from what the next try makes. It says itself what it is: when it names the same recording and the same
source bytes, and passes the checks that every rendition passes, it is as good as ours, and nothing is stored twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from vms.config import Site
from vms.errors import StoreConflict, VmsError
from vms.home import Home
from vms.model import BatchItem
from vms.receipts import Receipt, Rendition
from vms.steps.space import with_room
from vms.stores import Store
from vms.video import commands
from vms.video.binaries import binaries
from vms.video.ffmpeg import run, wall_limit_s
from vms.video.identity import HEAD_BYTES, read_identity
from vms.video.probe import Probe, probe

_SLACK_S = 0.5
_SLACK_BYTES = 1 << 20


@dataclass(frozen=True)
class _Fetched:
    path: Path
    size_bytes: int
    sha256: str


def adopt_rendition(store: Store, key: str, item: BatchItem, receipt: Receipt, site: Site, home: Home) -> Receipt:
    """The receipt with the store's object as its rendition; the object is staged in place of the rendition made now.

    Raises StoreConflict, naming what differs, when the object is not this recording made from the same source bytes or
    does not check out; then nothing has changed. Raises StagingFull when there is no room to look at it.
    """
    if receipt.rendition is None:
        raise _refused(key, "there is no rendition to compare it with")
    name = receipt.rendition.file  # by a branch's word
    if name != Path(name).name or name in ("", "..") or "\0" in name:
        raise _refused(key, "its place in staging is told as one outside of it")
    staging = site.staging or home.site_staging(site.id)
    with _fetched(store, key, staging, _largest(item)) as fetched:
        if fetched.sha256 == receipt.source_sha256:
            taken = _as_original(receipt.rendition, fetched)
        else:
            said = _told_identity(fetched.path, key, item, receipt)
            taken = _as_made(receipt.rendition, fetched, key, item, str(said.get("profile", "")), home)
        fetched.path.replace(staging / name)
    return replace(receipt, rendition=taken)


@contextlib.contextmanager
def _fetched(store: Store, key: str, staging: Path, largest: int) -> Iterator[_Fetched]:
    """The object as a local file, for as long as it is looked at; no more of it than could be a rendition."""
    path = staging / f".adopt.{os.getpid()}.{threading.get_ident()}{Path(key).suffix}"
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("wb") as file:
            for chunk in with_room(store.open_range(key), staging, key):
                digest.update(chunk)
                size += file.write(chunk)
                if size > largest:
                    raise _refused(
                        key, f"it is larger than {largest} bytes, and nothing stored is larger than its source"
                    )
            file.flush()
            os.fsync(file.fileno())
        yield _Fetched(path, size, digest.hexdigest())
    finally:
        path.unlink(missing_ok=True)


def _largest(item: BatchItem) -> int:
    return max((source.size_bytes for source in item.sources), default=0) + _SLACK_BYTES


def _told_identity(path: Path, key: str, item: BatchItem, receipt: Receipt) -> dict[str, Any]:
    """What the object says of itself, when that is this recording and these source bytes."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    try:
        said = read_identity(head)
        start = datetime.fromisoformat(str(said.get("start_utc")))
    except (ValueError, OverflowError, struct.error) as error:
        raise _refused(key, "it does not say which recording it is") from error
    ours: dict[str, object] = {
        "site": item.site,
        "camera": item.camera,
        "fingerprint": item.fingerprint,
        "source_sha256": receipt.source_sha256,
    }
    for name, value in ours.items():
        if said.get(name) != value:
            raise _refused(key, f"its {name} is {said.get(name)!r}, ours {value!r}")
    if start != item.start_utc:
        raise _refused(key, f"it starts at {start}, ours at {item.start_utc}")
    return said


def _as_original(rendition: Rendition, fetched: _Fetched) -> Rendition:
    return replace(
        rendition,
        kind="original",
        size_bytes=fetched.size_bytes,
        sha256=fetched.sha256,
        why_kept=rendition.why_kept or "an earlier try stored the source itself",
        argv=(),
        wall_s=0.0,
        cpu_s=0.0,
    )


def _as_made(rendition: Rendition, fetched: _Fetched, key: str, item: BatchItem, profile: str, home: Home) -> Rendition:
    try:
        found = probe(fetched.path)
        frames = _decoded_frames(fetched.path, found, key, home)
    except StoreConflict:
        raise
    except VmsError as error:
        raise _refused(key, f"it does not play ({error.message})") from error
    apart_s = abs(found.duration_s - item.duration_s)
    if frames != rendition.frames and apart_s > _SLACK_S + 1 / (found.video.fps or 1.0):
        raise _refused(key, f"it is {found.duration_s:.2f} s long, the source {item.duration_s:.2f} s")
    same = found.video.codec == rendition.codec and rendition.kind != "original"
    return replace(
        rendition,
        kind=rendition.kind if same else "encoded",
        size_bytes=fetched.size_bytes,
        sha256=fetched.sha256,
        codec=found.video.codec,
        audio_codec=found.audio.codec if found.audio else None,
        width=found.video.width,
        height=found.video.height,
        fps=found.video.fps,
        duration_s=found.duration_s,
        frames=frames,
        profile=profile or rendition.profile,
        why_kept=rendition.why_kept if same else "",
        argv=(),
        wall_s=0.0,
        cpu_s=0.0,
    )


def _decoded_frames(path: Path, found: Probe, key: str, home: Home) -> int:
    """How many frames of it decode; all of them must."""
    argv = commands.decode_all(binaries(home).ffmpeg, path)
    done = run(argv, wall_limit_s=wall_limit_s(found.duration_s, found.pixels))
    if done.returncode != 0 or done.stderr:
        raise _refused(key, f"it does not decode ({done.last_words})")
    return done.progress.frame


def _refused(key: str, why: str) -> StoreConflict:
    return StoreConflict(f"The object under {key} can't be taken over: {why}.", "Compare the two by hand.")
