"""Backfills: which footage of a period something is to be done about, in which mode, and why the rest is left alone.

Pure: what goes in is data, what comes out is data. The same question asked again after a backfill is done answers
"nothing to do" for each recording, with the reason; so a backfill may be stopped, resumed and repeated at will.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from vms.config import Config, Profile, Site
from vms.config_values import did_you_mean
from vms.errors import ConfigError
from vms.model import State

DAG_ID = "backfill"

Mode = Literal["missing", "verify", "reupload", "recompress"]

MODES: dict[Mode, str] = {
    "missing": "archive what lies in the footage folder and is not archived, and make the copies that stores lack",
    "verify": "fetch, hash and decode every copy",
    "reupload": "as missing, and put copies that are gone or broken again, from another store or the source",
    "recompress": "make a smaller rendition with --profile, prove it in every store, then delete the old one",
}

PROOF_HOLDS = timedelta(hours=24)
"""How long a copy that was fetched, found right and decoded needs no further look by `verify`."""

Reason = Literal[
    "on_disk", "waiting", "quarantined", "too_few_copies", "broken", "unproven", "to_look_at", "other_profile",
    "archived", "copy_broken", "purged", "lost", "not_archived", "proven", "held", "same_profile", "busy",
    "still_written",
]  # fmt: skip

WORDS: dict[Reason, str] = {
    "on_disk": "in the footage folder, not known yet",
    "waiting": "known, waiting to be archived",
    "quarantined": "in quarantine, to be tried again",
    "too_few_copies": "archived, but missing in a store of the site",
    "broken": "a copy is gone or damaged",
    "unproven": "copies to be fetched, hashed and decoded",
    "to_look_at": "copies to be looked for in their stores",
    "other_profile": "made with another profile",
    "archived": "already archived in every store of the site",
    "copy_broken": "a copy is gone or damaged: --mode reupload makes it good",
    "purged": "purged: its retention has passed",
    "lost": "lost: no store has a good copy and no source is left",
    "not_archived": "not archived yet: --mode missing does that",
    "proven": "proven within the last day",
    "held": "under a hold: it is not touched",
    "same_profile": "already made with this profile",
    "still_written": "still being written: taken when it is closed",
    "busy": "a run of its site is at work on it just now",
}
"""What is said of each reason; the first eight are something to do, the others are why nothing is done."""

_TO_DO: frozenset[Reason] = frozenset(
    ("on_disk", "waiting", "quarantined", "too_few_copies", "broken", "unproven", "to_look_at", "other_profile")
)


def is_work(reason: Reason) -> bool:
    """Whether the reason means that something is to be done."""
    return reason in _TO_DO


@dataclass(frozen=True)
class Order:
    """What one site has to do for a backfill; a run carries it as its configuration. Times are UTC.

    cameras: empty means all. profile "": the site's own. cap: bytes per second, None for no cap of its own.
    thorough: also look into files that the ledger calls settled, because the catalogue does not know some of them.
    """

    backfill_id: int
    site: str
    mode: Mode
    from_utc: datetime
    to_utc: datetime
    cameras: tuple[str, ...] = ()
    profile: str = ""
    cap: float | None = None
    thorough: bool = False

    def covers(self, camera: str, start_utc: datetime) -> bool:
        """Whether footage of this camera that starts then is meant."""
        return (not self.cameras or camera in self.cameras) and self.from_utc <= start_utc < self.to_utc


@dataclass(frozen=True)
class Subject:
    """A recording of the period as the catalogue knows it. live, broken: numbers of the stores whose copy of the
    rendition is good, or gone or damaged. proven_at: the oldest proof of its live copies, None when one was never
    proven. kind, profile: of its rendition. busy: a live run has planned it and has not reported yet."""

    recording_id: int
    start_utc: datetime
    camera: str
    state: State
    duration_s: float
    source_bytes: int
    rendition_bytes: int | None
    live: tuple[int, ...]
    broken: tuple[int, ...]
    proven_at: datetime | None
    profile: str
    kind: str
    held: bool
    lost: bool
    busy: bool = False

    def lacking(self, wanted: Collection[int]) -> list[int]:
        """The stores of these that have no copy of it, not even a broken one."""
        return sorted(set(wanted) - set(self.live) - set(self.broken))


def reason_of(subject: Subject, mode: Mode, profile: str, wanted: Collection[int], now: datetime) -> Reason:
    """What is to be done about it, or why nothing is. wanted: numbers of the stores that its site names now."""
    if subject.state == "purged":
        return "purged"
    if subject.state in ("planned", "quarantined"):
        if mode in ("verify", "recompress"):
            return "not_archived"
        if subject.busy:
            return "busy"
        return "waiting" if subject.state == "planned" else "quarantined"
    if mode == "missing":
        if not subject.live:
            return "lost" if subject.lost else "copy_broken"
        if subject.lacking(wanted):
            return "too_few_copies"
        return "copy_broken" if subject.broken else "archived"
    if mode == "reupload":
        return "broken" if subject.broken or not subject.live else "to_look_at"
    if not subject.live:
        return "lost"
    if mode == "verify":
        return "proven" if subject.proven_at is not None and subject.proven_at > now - PROOF_HOLDS else "unproven"
    if subject.broken:
        return "copy_broken"
    if subject.held:
        return "held"
    return "same_profile" if (subject.profile, subject.kind) == (profile, "encoded") else "other_profile"


def profile_of(config: Config, name: str) -> Profile:
    """The profile of this name. Raises ConfigError with the nearest one."""
    for profile in config.profiles:
        if profile.name == name:
            return profile
    names = [profile.name for profile in config.profiles]
    raise ConfigError(
        f'There is no profile "{name}" in sites.yaml.{did_you_mean(name, names)}',
        f"The profiles are: {', '.join(names)}.",
    )


def with_order(site: Site, config: Config, order: Order) -> Site:
    """The site as this backfill works on it. Raises ConfigError when its profile is not in sites.yaml any more."""
    return replace(site, profile=profile_of(config, order.profile)) if order.profile else site


def run_id(order: Order, round: int) -> str:
    """The name of a run in Airflow, always the same for the same round, so that it can't be started twice."""
    return f"backfill-{order.backfill_id}-{order.site}-{round}"
