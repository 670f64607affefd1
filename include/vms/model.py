"""The data that flows: source file → sighting → batch → rendition → receipt → copy.

Each is made in one place and passed on whole. All are frozen and cross process borders as plain JSON (`dump`, `load`).
Times are time-zone-aware UTC datetimes, durations are seconds, sizes are bytes, SHA-256 sums are 64 lowercase hex
digits, fingerprints are 32. Paths of source files are texts as made by `vms.paths.to_text`, relative to the site's
footage folder, so that any name a disk can hold travels through JSON and Postgres and back unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter

from vms.errors import Reason

TimeBasis = Literal["name", "name_end", "container", "mtime"]
TimeMark = Literal["dst_repeated", "dst_skipped", "future", "before_2000"]
State = Literal["planned", "archived", "released", "purged", "quarantined"]


@dataclass(frozen=True)
class RunRef:
    """Who acts: the DAG run, task and try (or the CLI), for lineage."""

    dag_id: str
    run_id: str
    task_id: str = ""
    map_index: int = -1
    try_number: int = 0
    host: str = ""


@dataclass(frozen=True)
class Fault:
    """Why a file did not get further. permanent: trying again unchanged can't help (quarantine it)."""

    reason: Reason
    message: str
    remedy: str
    permanent: bool


@dataclass(frozen=True)
class SourceSeen:
    """One source file by its path and the size and mtime that it had when it was looked at."""

    path: str
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Sighting:
    """A closed source file that can become a recording, as `sense` read it."""

    source: SourceSeen
    camera: str
    fingerprint: str
    start_utc: datetime
    duration_s: float
    time_basis: TimeBasis
    time_marks: tuple[TimeMark, ...]
    pattern: str
    codec: str
    width: int
    height: int
    fps: float | None
    audio_codec: str | None


@dataclass(frozen=True)
class Rejection:
    """A source file that can't become a recording; it stays where it is. start_utc is the best guess there is."""

    source: SourceSeen
    camera: str
    fingerprint: str
    start_utc: datetime
    time_basis: TimeBasis
    fault: Fault


@dataclass(frozen=True)
class Waiting:
    """A source file that is not closed yet, and why."""

    path: str
    why: str


@dataclass(frozen=True)
class Sensed:
    """What one look at a site's footage folder found. `more`: closed files left for the next run by the limit."""

    site: str
    looked_at: datetime
    files: int
    settled: int
    ignored: int
    more: int
    waiting: tuple[Waiting, ...]
    sightings: tuple[Sighting, ...]
    rejections: tuple[Rejection, ...]


@dataclass(frozen=True)
class StoreOptions:
    """What a store's new objects get and how they are proven.

    storage_class, of footage only (previews stay readable at once): the store's own word; "": the bucket's default.
    encryption: "AES256", "aws:kms" or "aws:kms:<key>" at S3, the KMS key's resource name at Google; "": the bucket's.
    tags: names and values, S3 only. lock_days: for how long the bucket itself refuses to delete or change an object
    (0: not at all), lock_mode: whether somebody with a right of its own may end that early (governance) or nobody
    (compliance). read_back: proof by reading every object back, for a server that checks no checksum itself.
    """

    storage_class: str = ""
    encryption: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    lock_days: int = 0
    lock_mode: Literal["governance", "compliance"] = "governance"
    read_back: bool = False


NO_OPTIONS = StoreOptions()


@dataclass(frozen=True)
class StoreTarget:
    """A store as a task needs it. identity: what its identity file must say; None before the first contact.

    conn_id: the connection by which it is reached ("" for none).
    """

    store_id: int
    name: str
    url: str
    identity: str | None
    conn_id: str = ""
    options: StoreOptions = NO_OPTIONS


@dataclass(frozen=True)
class EarlierCopy:
    """An object of a recording that decides where a new one of it goes: broken, or beside a broken one (….r1.mp4)."""

    store_id: int
    part: Literal["rendition", "poster", "sprite"]
    key: str
    broken: bool


@dataclass(frozen=True)
class SeenObject:
    """What the centre saw in a store, for a branch whose keys may only write there. size_bytes None: no object."""

    store_id: int
    key: str
    size_bytes: int | None
    sha256: str | None = None


@dataclass(frozen=True)
class BatchItem:
    """One planned recording. sources: every name under which this content was seen, the first is read. earlier: where
    stores have or had copies of it under other keys than usual. seen: where the centre has looked for its rendition."""

    recording_id: int
    site: str
    camera: str
    start_utc: datetime
    fingerprint: str
    duration_s: float
    time_basis: TimeBasis
    sources: tuple[SourceSeen, ...]
    earlier: tuple[EarlierCopy, ...] = ()
    seen: tuple[SeenObject, ...] = ()

    @property
    def key_stem(self) -> str:
        """The store key without its ending, from identity alone: site/camera/2026/01/31/20260131T235959Z_<fp12>."""
        at = self.start_utc
        return f"{self.site}/{self.camera}/{at:%Y/%m/%d}/{at:%Y%m%dT%H%M%SZ}_{self.fingerprint[:12]}"

    @property
    def staging_stem(self) -> str:
        """The name in the site's staging folder without its ending."""
        return f"{self.camera}_{self.start_utc:%Y%m%dT%H%M%SZ}_{self.fingerprint[:12]}"


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
class CopyOrder:
    """An archived recording that shall lie in one more store. held: its proven copies, all parts, in whatever store."""

    recording_id: int
    start_utc: datetime
    site: str
    camera: str
    staging_stem: str
    held: tuple[CopyReceipt, ...]


@dataclass(frozen=True)
class Batch:
    """What one task handles; its membership never changes once planned.

    Either files of one camera (items), to be archived in `stores`: archived when min_copies of them have proven theirs.
    Or archived recordings of a site (orders) that a store still lacks: `stores` is that one store, and `holders` are
    those that they can be read from; camera is "" then.
    """

    batch_id: int
    site: str
    camera: str
    title: str
    stores: tuple[StoreTarget, ...]
    items: tuple[BatchItem, ...]
    min_copies: int = 1
    orders: tuple[CopyOrder, ...] = ()
    holders: tuple[StoreTarget, ...] = ()

    @property
    def is_copies(self) -> bool:
        """Whether it is of orders, also when none of them is left."""
        return self.camera == ""


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
class ReleaseOrder:
    """The catalogue has committed this recording as archived; remove its sources once keep_until has passed.

    sources: every name under which it was seen; a file is removed only if its bytes still give source_sha256.
    keep_until None: the source is never removed, only noted as settled. vouched_at: when the centre last saw it in all
    its buckets, for a branch that can't look for itself.
    """

    recording_id: int
    start_utc: datetime
    source_sha256: str
    staging_stem: str
    keep_until: datetime | None
    sources: tuple[SourceSeen, ...]
    copies: tuple[CopyReceipt, ...]
    stores: tuple[StoreTarget, ...]
    vouched_at: datetime | None = None


@dataclass(frozen=True)
class ReleaseReceipt:
    """What release did: paths removed, and for each path kept the reason. done: no source of it is left on site."""

    recording_id: int
    start_utc: datetime
    removed: tuple[str, ...]
    kept: dict[str, str]
    done: bool


@dataclass(frozen=True)
class Plan:
    """What one run will do. due: archived earlier and to be released now. settled: names that need no further look."""

    site: str
    batches: tuple[Batch, ...]
    due: tuple[ReleaseOrder, ...]
    settled: tuple[SourceSeen, ...]


@dataclass(frozen=True)
class Recorded:
    """What the catalogue committed for one batch."""

    batch_id: int
    archived: tuple[ReleaseOrder, ...]
    quarantined: tuple[SourceSeen, ...]
    unfinished: tuple[int, ...]


T = TypeVar("T")


_adapters: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def dump(value: Any) -> Any:
    """Plain JSON data (dict, list, str, int, float, None) for any value of this module, or a list of them."""
    if isinstance(value, (list, tuple)):
        return [dump(one) for one in value]
    return _adapter(type(value)).dump_python(value, mode="json")


def load(kind: type[T], data: Any) -> T:
    """The value that `dump` made `data` from. Raises pydantic.ValidationError when it does not fit."""
    value: T = _adapter(kind).validate_python(data)
    return value
