"""The data that flows: source file → sighting → batch → rendition → receipt → copy.

Here is what tasks are asked to do; what they find and what they report is in `vms.sightings` and `vms.receipts`. Each
is made in one place and passed on whole. All are frozen and cross process borders as plain JSON (`dump`, `load`).
Times are time-zone-aware UTC datetimes, durations are seconds, sizes are bytes, SHA-256 sums are 64 lowercase hex
digits, fingerprints are 32. Paths of source files are texts as made by `vms.paths.to_text`, relative to the site's
footage folder, so that any name a disk can hold travels through JSON and Postgres and back unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter

from vms.receipts import CopyReceipt
from vms.sightings import SourceSeen, TimeBasis

Cut = Literal["exact", "fast"]
"""exact: to the very frame, encoded anew. fast: as stored, from where the first picture can be begun with."""

Gaps = Literal["short", "black", "separate"]
"""short: holes of up to a minute are black, a longer one begins a new clip. black: all are, so it is one clip.
separate: each begins a new clip."""

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
