"""What an object in a store tells of the recording that it belongs to, without any help of the catalogue.

A rendition tells it by its own metadata, in its first 64 KiB. An original has none: it is the source byte by byte, so
its fingerprint is computed anew, and must be the one in its key; the rest of the key tells site, camera and time.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import struct
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vms.catalogue.adopting import Found, KeyParts
from vms.errors import VmsError
from vms.footage import fingerprint
from vms.steps.inspecting import Inspected, inspected
from vms.steps.staged import jpeg_size
from vms.stores import ObjectMissing, Store, StoredObject
from vms.video.commands import TILE_WIDTH, sheet_for
from vms.video.identity import HEAD_BYTES, read_identity
from vms.video.probe import Probe, probe

_APART_S = (0.0, -0.2, 0.2, -0.5, 0.5, -1.0, 1.0)
"""By how much the length of a source may differ from that of its rendition, the likeliest first."""


@dataclass(frozen=True)
class Told:
    """A rendition's own words, checked against its key. start_utc to the microsecond."""

    parts: KeyParts
    start_utc: datetime
    fingerprint: str
    time_basis: str
    source_name: str
    source_bytes: int
    source_sha256: str
    profile: str


@dataclass(frozen=True)
class Looked:
    """An object after a look. found: of a rendition that tells what it is; why: why one does not. size: of a picture.

    bytes_read: how much had to be fetched.
    """

    sha256: str
    checksum: str
    found: Found | None = None
    why: str = ""
    size: tuple[int, int] | None = None
    bytes_read: int = 0


def read_told(head: bytes, parts: KeyParts) -> Told:
    """What the first 64 KiB of a rendition tell. ValueError, with the reason, when they don't or tell another thing."""
    try:
        said = read_identity(head)
        told = Told(
            parts=parts,
            start_utc=datetime.fromisoformat(str(said["start_utc"])).astimezone(UTC),
            fingerprint=str(said["fingerprint"]),
            time_basis=str(said["time_basis"]),
            source_name=str(said["source_name"]),
            source_bytes=int(said["source_bytes"]),
            source_sha256=str(said["source_sha256"]),
            profile=str(said["profile"]),
        )
    except (ValueError, OverflowError, KeyError, TypeError, struct.error):
        raise ValueError("it does not say which recording it is") from None
    theirs = (str(said["site"]), str(said["camera"]), told.fingerprint[:12], told.start_utc.replace(microsecond=0))
    if theirs != (parts.site, parts.camera, parts.fingerprint, parts.start_utc):
        raise ValueError("it says that it is another recording than its key does")
    return told


def found_by(
    told: Told, plays: Probe, *, profiles: Mapping[str, str] | None = None, archived_at: datetime | None = None
) -> Found:
    """The recording, as its rendition tells of it. profiles: the codecs of the known ones; a rendition of another codec
    than its profile makes was remuxed."""
    makes = (profiles or {}).get(told.profile, "")
    remuxed = "copy" in (told.profile, makes) or (makes != "" and makes != plays.video.codec)
    return Found(
        site=told.parts.site,
        camera=told.parts.camera,
        start_utc=told.start_utc,
        fingerprint=told.fingerprint,
        time_basis=told.time_basis,
        source_name=told.source_name,
        source_bytes=told.source_bytes,
        source_sha256=told.source_sha256,
        kind="remuxed" if remuxed else "encoded",
        profile=told.profile,
        duration_s=plays.duration_s,
        codec=plays.video.codec,
        audio_codec=plays.audio.codec if plays.audio else None,
        width=plays.video.width,
        height=plays.video.height,
        fps=plays.video.fps,
        archived_at=archived_at,
    )


def look_at_rendition(
    store: Store, one: StoredObject, parts: KeyParts, folder: Path, profiles: Mapping[str, str]
) -> Looked:
    """Its identity and shape from its head; all of it is read only where the store does not know its SHA-256, and of
    an original. Raises StoreError."""
    shown = store.head(one.key)
    if shown is None:
        raise ObjectMissing(f"Store {store.name} has no object {one.key} any more.", "")
    head = b"".join(store.open_range(one.key, 0, HEAD_BYTES))
    try:
        told = read_told(head, parts)
    except ValueError as error:
        return _look_at_original(store, one, shown, parts, folder, str(error))
    sha256, read = (shown.sha256, len(head)) if shown.sha256 else _hashed(store, one.key)
    try:
        with _as_file(head, folder, ".mp4") as path:
            found = found_by(told, probe(path), profiles=profiles, archived_at=one.modified_at)
    except VmsError as error:
        return Looked(sha256, _checksum(shown, sha256), why=f"its head can't be read: {error.message}")
    return Looked(sha256, _checksum(shown, sha256), found, bytes_read=read)


def look_at_preview(store: Store, one: StoredObject, folder: Path) -> Looked:
    """A picture; read whole only where the store does not know its SHA-256. Raises StoreError."""
    shown = store.head(one.key)
    if shown is None:
        raise ObjectMissing(f"Store {store.name} has no object {one.key} any more.", "")
    data = b"".join(store.open_range(one.key, 0, HEAD_BYTES if shown.sha256 else None))
    sha256 = shown.sha256 or hashlib.sha256(data).hexdigest()
    size = None
    with _as_file(data, folder, ".jpg") as path, contextlib.suppress(ValueError, struct.error):
        size = jpeg_size(path)
    return Looked(sha256, _checksum(shown, sha256), size=size, bytes_read=len(data))


def sheet_of(size: tuple[int, int], duration_s: float) -> dict[str, float]:
    """How a sprite sheet of this size is laid out: as it was made for a source about as long as its rendition."""
    sheets = [sheet_for(max(0.0, duration_s + apart_s)) for apart_s in _APART_S]
    fitting = [one for one in sheets if one.columns * TILE_WIDTH == size[0] and size[1] % one.rows == 0]
    sheet = (fitting or sheets)[0]
    return {
        "tile_width": size[0] // sheet.columns,
        "tile_height": size[1] // sheet.rows,
        "columns": sheet.columns,
        "tiles": max(1, min(sheet.tiles, math.ceil(duration_s / sheet.interval_s))),
        "interval_s": sheet.interval_s,
    }


def _look_at_original(
    store: Store, one: StoredObject, shown: StoredObject, parts: KeyParts, folder: Path, why: str
) -> Looked:
    with inspected(store, one.key, folder, lambda _: None) as whole:
        checksum, found = _checksum(shown, whole.sha256), found_original(whole, one, parts)
    return Looked(whole.sha256, checksum, found, why="" if found else why, bytes_read=whole.size_bytes)


def found_original(whole: Inspected, one: StoredObject, parts: KeyParts) -> Found | None:
    """The recording whose source, byte by byte, this object is; None when its content is not that of its key."""
    print_ = fingerprint(whole.path)
    if print_[:12] != parts.fingerprint:
        return None
    try:
        plays, damaged = probe(whole.path), None
    except VmsError as error:
        plays, damaged = None, error.message
    return Found(
        site=parts.site,
        camera=parts.camera,
        start_utc=parts.start_utc,
        fingerprint=print_,
        time_basis="mtime",  # the weakest: what only a key tells is kept the longest
        source_name=one.key.rpartition("/")[2],
        source_bytes=whole.size_bytes,
        source_sha256=whole.sha256,
        kind="original",
        profile=None,
        duration_s=plays.duration_s if plays else 0.0,
        codec=plays.video.codec if plays else None,
        audio_codec=plays.audio.codec if plays and plays.audio else None,
        width=plays.video.width if plays else -1,
        height=plays.video.height if plays else -1,
        fps=plays.video.fps if plays else None,
        archived_at=one.modified_at,
        damaged=damaged,
    )


def _hashed(store: Store, key: str) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    for chunk in store.open_range(key):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


def _checksum(one: StoredObject, sha256: str) -> str:
    return one.checksum or f"sha256:{sha256}"


@contextlib.contextmanager
def _as_file(data: bytes, folder: Path, suffix: str) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=suffix) as file:
        file.write(data)
        file.flush()
        yield Path(file.name)
