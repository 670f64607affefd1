"""What the company wants: sites, stores and profiles, read from sites.yaml by one loader.

`load_config` never raises for a mistake inside one site: that site gets an error and the others load. Messages name
file, line, column, what was found, what is allowed and the nearest valid word.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo


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
    """Where renditions are kept: `file:///mount/folder` (NAS/SAN)."""

    name: str
    url: str


@dataclass(frozen=True)
class CameraConfig:
    """A camera of a site. match: the word by which the footage folder names it (folder or part of the file name)."""

    id: str
    name: str
    match: str


@dataclass(frozen=True)
class Site:
    """One location as sites.yaml describes it, defaults filled in. keep_source None: sources are never removed."""

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
    """A site of the file that can't be used, with the whole message for the operator."""

    id: str
    message: str


@dataclass(frozen=True)
class Config:
    """All that sites.yaml says. errors: sites that are left out, each with its message."""

    company: str
    sites: tuple[Site, ...]
    stores: tuple[StoreConfig, ...]
    profiles: tuple[Profile, ...]
    patterns: tuple[NamePattern, ...]
    errors: tuple[SiteError, ...]

    def site(self, site_id: str) -> Site:
        """The site of this id. Raises ConfigError with the known ids and the nearest one."""
        raise NotImplementedError


def load_config(path: Path) -> Config:
    """Read and check sites.yaml. Raises ConfigError when the file can't be read or is no YAML at all."""
    raise NotImplementedError
