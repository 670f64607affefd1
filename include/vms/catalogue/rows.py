"""What the catalogue answers: frozen rows for the viewer and the command line.

All times are UTC, sizes bytes, durations seconds. A text that is not known is "", a number that is not known is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from vms.model import State, StoreOptions

CUSTODY: dict[State, int] = {"planned": 0, "archived": 1, "released": 2, "purged": 3, "quarantined": 4}
"""How recording.custody spells a state."""

STATES: dict[int, State] = {number: state for state, number in CUSTODY.items()}

Part = Literal["rendition", "poster", "sprite"]

PARTS: dict[Part, int] = {"rendition": 0, "poster": 1, "sprite": 2}
"""How copy.part spells what an object is."""


@dataclass(frozen=True)
class CopyRow:
    """One proven copy of the rendition. checksum: what the store itself confirmed, e.g. "sha256:<hex>"."""

    store: str
    key: str
    size_bytes: int
    checksum: str
    verified_at: datetime


@dataclass(frozen=True)
class SpriteInfo:
    """A sprite sheet: `tiles` pictures of tile_width x tile_height, `columns` a row, one per interval_s seconds."""

    tile_width: int
    tile_height: int
    columns: int
    tiles: int
    interval_s: float


@dataclass(frozen=True)
class RecordingRow:
    """A recording as people see it.

    reason, message, remedy: why it is quarantined, or why the last try to archive it failed while it is planned.
    end_utc is at most 25 h after start_utc; duration_s is the truth. source_name as `vms.paths.to_text` writes it.
    """

    id: int
    site: str
    site_name: str
    camera: str
    camera_name: str
    time_zone: str
    start_utc: datetime
    end_utc: datetime
    duration_s: float
    state: State
    reason: str
    message: str
    remedy: str
    source_name: str
    source_bytes: int
    source_sha256: str
    rendition_bytes: int | None
    kind: str
    codec: str
    audio_codec: str
    profile: str
    width: int | None
    height: int | None
    fps: float | None
    time_basis: str
    time_marks: tuple[str, ...]
    damaged: str
    copies: tuple[CopyRow, ...]
    has_poster: bool
    sprite: SpriteInfo | None


@dataclass(frozen=True)
class RecordingFilter:
    """What to look for; what is empty or None does not restrict.

    cameras: (site id, camera id) pairs, within `sites` when those are given too. from_utc, to_utc: recordings that
    overlap [from_utc, to_utc). run: (dag id, run id), recordings that were in a batch of that run.
    """

    sites: tuple[str, ...] = ()
    cameras: tuple[tuple[str, str], ...] = ()
    from_utc: datetime | None = None
    to_utc: datetime | None = None
    states: tuple[State, ...] = ()
    run: tuple[str, str] | None = None


@dataclass(frozen=True)
class Totals:
    """Sums over a filter. rendition_bytes counts what has been archived.

    more: there are more than `count`, and nothing was summed up.
    """

    count: int
    duration_s: float
    source_bytes: int
    rendition_bytes: int
    more: bool = False


@dataclass(frozen=True)
class Located:
    """Where the bytes of a part of a recording lie, and how to hand them out.

    storage_class: what the store gives new footage, "" for its default.
    """

    store_name: str
    store_url: str
    store_identity: str | None
    key: str
    size_bytes: int
    media_type: str
    download_name: str
    store_conn_id: str = ""
    storage_class: str = ""


@dataclass(frozen=True)
class StoreOverview:
    """A store and the proven copies in it. copies: of recordings; size_bytes: with posters and sprite sheets.

    oldest, newest: where the oldest and the newest footage in it starts (UTC), None when it holds none.
    """

    name: str
    url: str
    conn_id: str
    options: StoreOptions
    identity: str | None
    copies: int
    size_bytes: int
    oldest: datetime | None
    newest: datetime | None


@dataclass(frozen=True)
class StoreStateRow:
    """How a store last answered to a site. state: ok, unreachable, full or denied; message and remedy when not ok.

    since: when it began to be ok, or to be out; seen_at: when that was last seen. Both UTC.
    """

    site: str
    store: str
    state: str
    message: str
    remedy: str
    since: datetime
    seen_at: datetime


@dataclass(frozen=True)
class CameraRow:
    """A camera of a site."""

    id: str
    name: str


@dataclass(frozen=True)
class SiteRow:
    """A site that the catalogue knows, with its cameras by name."""

    id: str
    name: str
    time_zone: str
    cameras: tuple[CameraRow, ...]


@dataclass(frozen=True)
class SiteOverview:
    """The state of a site. bytes_in, bytes_out: sources and renditions of all that was ever archived.

    newest_archived: end of the newest archived footage. oldest_waiting: start of the oldest planned recording.
    last_footage: end of the newest footage known, archived or not. last_sensed: when its folder was last looked at.
    cameras, silent: how many it has, and of how many nothing of the last day has been archived.
    awaited_since: since when its first look is waited for, None once there was one. every_s: how often it is looked at.
    """

    site: str
    name: str
    time_zone: str
    counts: dict[State, int]
    bytes_in: int
    bytes_out: int
    newest_archived: datetime | None
    oldest_waiting: datetime | None
    last_footage: datetime | None
    last_sensed: datetime | None
    cameras: int = 0
    silent: int = 0
    awaited_since: datetime | None = None
    every_s: float = 600.0


@dataclass(frozen=True)
class CameraDay:
    """One camera on one day of its site's zone: recordings that start on it, seconds of kept footage in it."""

    site: str
    camera: str
    day: date
    recordings: int
    seconds: int
    bytes_in: int
    bytes_out: int
    first_utc: datetime | None
    last_utc: datetime | None


@dataclass(frozen=True)
class LineageRow:
    """One thing that happened to a recording, and which run, task and try did it."""

    at: datetime
    event: str
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    host: str
    detail: dict[str, Any]
