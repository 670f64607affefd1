"""What a task on the site's machine reports about files: what it made of them, what stores proved, what it removed.

See `vms.model` for what holds of times, durations, sizes, sums and paths here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from vms.sightings import Fault, SourceSeen


@dataclass(frozen=True)
class Rendition:
    """What will be stored. kind: encoded (by FFmpeg), remuxed (stream copy) or original (byte copy of the source).

    file: its name in the staging folder. suffix: ".mp4", or the source's own for an original.
    why_kept: why it is not encoded ("" when it is). damaged: what is wrong with the footage itself ("" when nothing).
    """

    kind: Literal["encoded", "remuxed", "original"]
    file: str
    suffix: str
    size_bytes: int
    sha256: str
    codec: str
    audio_codec: str | None
    width: int
    height: int
    fps: float | None
    duration_s: float
    frames: int
    profile: str
    why_kept: str
    damaged: str
    argv: tuple[str, ...]
    ffmpeg: str
    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class Preview:
    """Poster or sprite sheet. Sprite: `tiles` pictures of tile_width x tile_height, row by row, one per interval_s."""

    kind: Literal["poster", "sprite"]
    file: str
    suffix: str
    media_type: str
    size_bytes: int
    sha256: str
    tile_width: int = 0
    tile_height: int = 0
    columns: int = 0
    tiles: int = 0
    interval_s: float = 0.0


@dataclass(frozen=True)
class CopyReceipt:
    """One object that a store itself confirmed. part: rendition, poster or sprite. checksum: e.g. "sha256:<hex>"."""

    store_id: int
    part: Literal["rendition", "poster", "sprite"]
    key: str
    size_bytes: int
    sha256: str
    checksum: str
    verified_at: datetime
    bytes_sent: int


@dataclass(frozen=True)
class Unproven:
    """An object that a branch has put into a store that it can't look into: no copy before the centre has proven it.

    checksum: of the file that was sent, in the store's own kind; "" when nothing had to be sent. batch_id: of the batch
    for which it was put.
    """

    store_id: int
    part: Literal["rendition", "poster", "sprite"]
    key: str
    size_bytes: int
    sha256: str
    checksum: str
    batch_id: int
    bytes_sent: int


@dataclass(frozen=True)
class InTheWay:
    """What lies under the key of a rendition and is not it, as the store describes it; the rendition goes beside it."""

    store_id: int
    key: str
    size_bytes: int
    sha256: str | None
    message: str


@dataclass(frozen=True)
class Receipt:
    """What a task on the site's machine reports about one file of its batch.

    fault is set when the file got no further; then rendition/copies hold what was done before.
    source is the name that was really read, with the size and mtime found; source_sha256 is over all its bytes.
    store_faults: by store name. store_identities: what each store's identity file said, by store_id as text.
    unproven: what a branch has put where it can't look; the centre makes copies of it. in_the_way: what it found there.
    """

    recording_id: int
    start_utc: datetime
    source: SourceSeen
    host: str
    started_at: datetime
    finished_at: datetime
    source_sha256: str = ""
    rendition: Rendition | None = None
    previews: tuple[Preview, ...] = ()
    copies: tuple[CopyReceipt, ...] = ()
    store_faults: dict[str, Fault] = field(default_factory=dict)
    store_identities: dict[str, str] = field(default_factory=dict)
    fault: Fault | None = None
    unproven: tuple[Unproven, ...] = ()
    in_the_way: tuple[InTheWay, ...] = ()


@dataclass(frozen=True)
class DamagedCopy:
    """A copy that the catalogue knows as proven, found gone or with other bytes. message: what was found, and where."""

    store_id: int
    part: Literal["rendition", "poster", "sprite"]
    key: str
    message: str


@dataclass(frozen=True)
class Copied:
    """What became of one copy order: the copies that the store has proven, or the fault that kept them from it.

    identity: what the store's identity file says; "" when it could not be asked. damaged: copies in other stores that
    were to be read and are no good, also when a further store had a good one.
    """

    recording_id: int
    start_utc: datetime
    store_id: int
    identity: str
    copies: tuple[CopyReceipt, ...] = ()
    damaged: tuple[DamagedCopy, ...] = ()
    fault: Fault | None = None


@dataclass(frozen=True)
class ReleaseReceipt:
    """What release did: paths removed, and for each path kept the reason. done: no source of it is left on site."""

    recording_id: int
    start_utc: datetime
    removed: tuple[str, ...]
    kept: dict[str, str]
    done: bool
