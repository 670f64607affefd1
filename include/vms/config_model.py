"""What the company wants, as data: sites, stores, profiles, name patterns. `vms.config` reads them from sites.yaml."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from vms.config_alerts import NO_ALERTS, AlertPolicy
from vms.config_openlineage import OpenLineagePolicy
from vms.config_sign_in import SignInPolicy
from vms.errors import ConfigError
from vms.model import NO_OPTIONS, StoreOptions
from vms.uplink import UNLIMITED, Uplink

RunsOn = Literal["centre", "worker", "edge"]

RETENTION = timedelta(days=180)
"""How long footage is kept, unless sites.yaml says otherwise."""

EVERY = timedelta(minutes=10)
"""How often a site is backed up, unless sites.yaml says otherwise."""

GAP_TOLERANCE = timedelta(seconds=5)
"""Recorders lose one to three seconds when they change files, and begin the new one at the next key frame, up to four
seconds later; a camera that restarts is away for twenty seconds and more. Five seconds part the two."""

FALLBACK_AFTER = timedelta(hours=6)
"""How long a store must be out before a site's fallback takes its place, unless sites.yaml says otherwise."""


@dataclass(frozen=True)
class Profile:
    """A named way to make a rendition. codec: av1, h264 or copy; preset and crf are the encoder's own scales."""

    name: str
    codec: Literal["av1", "h264", "copy"]
    preset: str
    crf: int
    keyframe_every_s: float
    pixel_format: Literal["yuv420p", "yuv420p10le"]


@dataclass(frozen=True)
class StoreConfig:
    """Where renditions are kept: `file:///mount/folder` (NAS/SAN), `s3://bucket/prefix` or `gs://bucket/prefix`.

    retention: how long this store keeps its copies, where that is shorter than what a recording is kept for; None: as
    long. size_bytes: what it has room for, None when it is not said (a folder knows itself).
    browsers: where browsers fetch footage themselves, by links signed for a few minutes: "redirect" for the address of
    its connection, or another address of the same server; "through": all passes through the viewer; "": what is
    played as by "redirect" where the bucket's server is Amazon's or Google's and answers, all else through the viewer.
    conn_id: the connection that says how it is reached (vms.stores.connections); "" means the machine's own rights.
    """

    name: str
    url: str
    conn_id: str = ""
    options: StoreOptions = NO_OPTIONS
    retention: timedelta | None = None
    size_bytes: int | None = None
    browsers: str = ""


@dataclass(frozen=True)
class CameraConfig:
    """A camera of a site. match: the word by which the footage folder names it (folder or part of the file name).

    retention: how long its footage is kept; None: as its site says.
    schedule: when it is expected to record (vms.schedule); "": always.
    """

    id: str
    name: str
    match: str
    retention: timedelta | None = None
    schedule: str = ""


@dataclass(frozen=True)
class RetentionPolicy:
    """How purging goes about its work, for the whole company.

    every: how often it runs. max_percent of a site's recordings, max_bytes above the usual: from there on a person is
    asked. undo: how long what was purged can be brought back. late: how long footage stays that was older than its
    retention when it arrived.
    """

    every: timedelta = timedelta(days=1)
    max_percent: int = 10
    max_bytes: int = 10**12
    undo: timedelta = timedelta(days=7)
    late: timedelta = timedelta(days=30)


@dataclass(frozen=True)
class ExportPolicy:
    """How long an export that was ordered in the viewer is kept, and how many bytes of footage one may have."""

    keep: timedelta = timedelta(days=7)
    largest: int = 50 * 10**9


@dataclass(frozen=True)
class BackupPolicy:
    """How often the catalogue itself is backed up, and for how long each backup is kept (the newest stay anyway)."""

    every: timedelta = timedelta(days=1)
    keep: timedelta = timedelta(days=14)


@dataclass(frozen=True)
class HistoryPolicy:
    """How long Airflow keeps its finished runs and their logs. What became of footage is in the catalogue anyway."""

    keep: timedelta = timedelta(days=90)


@dataclass(frozen=True)
class Site:
    """One location as sites.yaml describes it, defaults filled in. keep_source None: sources are never removed.

    schedule: of cameras that are not listed with one of their own. gap_tolerance: a shorter hole between two files is
    no gap.
    min_copies: in how many of its stores a recording must be proven to be archived; None: in all of them.
    fallback: takes the place of a store that is out for longer than fallback_after, until it is back.
    uplink: how much of the line its uploads to buckets may take, by its own clock.
    runs_on: which machine reaches its footage: one of the centre's, a worker of its own on the centre's network, or one
    at the branch that has nothing but HTTPS.
    region, tier: by which people sort many sites; "" for none.
    """

    id: str
    name: str
    time_zone: str
    footage: Path
    cameras: tuple[CameraConfig, ...]
    pattern: str
    stores: tuple[StoreConfig, ...]
    profile: Profile
    keep_source: timedelta | None
    retention: timedelta
    every: timedelta
    enabled: bool
    staging: Path | None
    schedule: str = ""
    gap_tolerance: timedelta = GAP_TOLERANCE
    min_copies: int | None = None
    fallback: StoreConfig | None = None
    fallback_after: timedelta = FALLBACK_AFTER
    uplink: Uplink = UNLIMITED
    runs_on: RunsOn = "centre"
    region: str = ""
    tier: str = ""

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)


@dataclass(frozen=True)
class NamePattern:
    """How a recorder names its files: a regular expression with named groups over the path below the footage folder.

    Groups: camera; year, month, day, hour, minute, second (or date/time in one piece, see recorders.yaml); time_is says
    whether the named time is the start or the end of the file, zone whether it is local or UTC.
    """

    name: str
    regex: str
    time_is: Literal["start", "end"]
    zone: Literal["local", "utc"]


@dataclass(frozen=True)
class SiteError:
    """What of the file can't be used, with the whole message for the operator; all mistakes of a site in one message.

    id: the site that is left out; "" for a mistake beside the sites, such as a broken store that no site uses.
    """

    id: str
    message: str


@dataclass(frozen=True)
class Config:
    """All that sites.yaml says. errors: sites that are left out, each with its message.

    sign_in: None where people sign in with a password only. openlineage: None where nobody is told. unknown: keys that
    only a newer version knows, and that were left out for it.
    """

    company: str
    sites: tuple[Site, ...]
    stores: tuple[StoreConfig, ...]
    profiles: tuple[Profile, ...]
    patterns: tuple[NamePattern, ...]
    errors: tuple[SiteError, ...]
    retention_policy: RetentionPolicy = RetentionPolicy()
    backup: BackupPolicy = BackupPolicy()
    exports: ExportPolicy = ExportPolicy()
    history: HistoryPolicy = HistoryPolicy()
    alerts: AlertPolicy = NO_ALERTS
    sign_in: SignInPolicy | None = None
    openlineage: OpenLineagePolicy | None = None
    unknown: tuple[str, ...] = ()

    def site(self, site_id: str) -> Site:
        """The site of this id. Raises ConfigError with the known ids and the nearest one."""
        for site in self.sites:
            if site.id == site_id:
                return site
        for error in self.errors:
            if error.id == site_id:
                raise ConfigError(error.message, "Correct sites.yaml; `vms sites check` shows what is still wrong.")
        known = [site.id for site in self.sites]
        close = difflib.get_close_matches(site_id, known, n=1)
        raise ConfigError(
            f"There is no site {site_id!r} in sites.yaml." + (f" Did you mean {close[0]!r}?" if close else ""),
            f"The sites are: {', '.join(known)}." if known else "No site is configured yet: add one to sites.yaml.",
        )
