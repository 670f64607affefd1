"""What may be purged and why: the rules, as plain functions over plain data.

A recording is kept at least as long as its rule says and deleted after. The rule is its camera's, else its site's,
else the company's. A store may have a shorter time of its own for its copies; the last copy stays until the
recording's own time is over. Nothing here reads a clock, a database or a store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from vms.config import Config

Kept = Literal["held", "late", "only_copy", "no_rule", "store_away"]
"""Why a copy stays though its time has passed: a hold; it was too old already when it arrived; no other copy is left
while the recording itself must be kept; its site is not in sites.yaml; its store does not answer or is not itself."""

SUSPECT_MARKS = frozenset({"future", "before_2000"})
SUSPECT_BASES = frozenset({"mtime"})


@dataclass(frozen=True)
class Rules:
    """How long footage is kept: by site, by (site, camera) where that differs, by store where it is shorter.

    A site that is missing has no rule, and nothing of it is purged. late: see RetentionPolicy.
    """

    sites: Mapping[str, timedelta]
    cameras: Mapping[tuple[str, str], timedelta]
    stores: Mapping[str, timedelta]
    late: timedelta

    def keep(self, site: str, camera: str) -> timedelta | None:
        """How long this camera's recordings are kept; None when nothing is said about their site."""
        if site not in self.sites:
            return None
        return self.cameras.get((site, camera), self.sites[site])

    def keep_in(self, site: str, camera: str, store: str) -> timedelta | None:
        """How long this store keeps its copy of them, provided that another copy is left."""
        keep = self.keep(site, camera)
        return None if keep is None else min(keep, self.stores.get(store, keep))

    def shortest(self, store: str) -> timedelta | None:
        """No copy in this store can have expired that is younger than this; None when nothing can expire."""
        all_of_them = [*self.sites.values(), *self.cameras.values()]
        if not all_of_them:
            return None
        return min([*all_of_them, *([self.stores[store]] if store in self.stores else [])])

    def shortest_at(self, site: str) -> timedelta:
        """The shortest time that anything of this site is kept anywhere."""
        of_cameras = [keep for (one, _), keep in self.cameras.items() if one == site]
        return min([self.sites.get(site, timedelta.max), *of_cameras, *self.stores.values()])


@dataclass(frozen=True)
class LivingCopy:
    """A copy that a store holds. bytes: of footage and previews."""

    store_id: int
    store: str
    bytes: int


@dataclass(frozen=True)
class Recorded:
    """A recording with living copies, some of which may have expired. Times are UTC; held: under how many holds."""

    recording_id: int
    start_utc: datetime
    end_utc: datetime
    archived_at: datetime
    site: str
    camera: str
    time_basis: str
    time_marks: tuple[str, ...]
    custody: int
    held: tuple[int, ...]
    copies: tuple[LivingCopy, ...]


@dataclass(frozen=True)
class Decision:
    """What becomes of a recording's copies: those that go, those whose time is over but that stay, and why."""

    recorded: Recorded
    purge: tuple[LivingCopy, ...] = ()
    kept: tuple[tuple[LivingCopy, Kept], ...] = ()

    @property
    def is_last(self) -> bool:
        """Whether nothing is left of the recording afterwards."""
        return bool(self.purge) and len(self.purge) == len(self.recorded.copies)


def rules_of(config: Config) -> Rules:
    """The rules that sites.yaml states."""
    return Rules(
        sites={site.id: site.retention for site in config.sites},
        cameras={
            (site.id, camera.id): camera.retention
            for site in config.sites
            for camera in site.cameras
            if camera.retention is not None
        },
        stores={store.name: store.retention for store in config.stores if store.retention is not None},
        late=config.retention_policy.late,
    )


def counts_from(recorded: Recorded) -> datetime:
    """From when its age counts: its own end; from its arrival where its clock is suspect and that is later."""
    suspect = recorded.time_basis in SUSPECT_BASES or not SUSPECT_MARKS.isdisjoint(recorded.time_marks)
    return max(recorded.end_utc, recorded.archived_at) if suspect else recorded.end_utc


def decide(
    recorded: Recorded, rules: Rules, now: datetime, *, away: frozenset[int] = frozenset(), also_late: bool = False
) -> Decision:
    """What becomes of this recording now.

    away: stores that do not answer or are not themselves; nothing is purged there. also_late: somebody asked for what
    was too old already when it arrived.
    """
    keep = rules.keep(recorded.site, recorded.camera)
    if keep is None:
        return Decision(recorded, kept=tuple((copy, "no_rule") for copy in recorded.copies))
    begins = counts_from(recorded)
    expired = begins + keep <= now
    due = [copy for copy in recorded.copies if begins + min(keep, rules.stores.get(copy.store, keep)) <= now]
    if not due:
        return Decision(recorded)
    if recorded.held:
        return Decision(recorded, kept=tuple((copy, "held") for copy in due))
    if expired and not also_late and begins + keep <= recorded.archived_at and recorded.archived_at + rules.late > now:
        return Decision(recorded, kept=tuple((copy, "late") for copy in due))
    kept: list[tuple[LivingCopy, Kept]] = [(copy, "store_away") for copy in due if copy.store_id in away]
    purge = [copy for copy in due if copy.store_id not in away]
    if not expired:
        # what is away can't be counted on; a copy that shall last must be where it can be seen
        lasting = [copy for copy in recorded.copies if copy not in due and copy.store_id not in away]
        if not lasting:
            kept += [(copy, "only_copy") for copy in purge]
            purge = []
    return Decision(recorded, tuple(purge), tuple(kept))


@dataclass
class SitePlan:
    """What a plan would take from one site. recordings: that lose their last copy; touched: that lose any; living: all
    that the site has."""

    recordings: int = 0
    touched: int = 0
    copies: int = 0
    bytes: int = 0
    living: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None


@dataclass
class PlanSums:
    """What a plan would do in numbers, added up decision by decision.

    kept: copies and bytes by reason. by_hold: recordings that each hold keeps back.
    """

    recordings: int = 0
    copies: int = 0
    bytes: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    sites: dict[str, SitePlan] = field(default_factory=dict)
    stores: dict[str, list[int]] = field(default_factory=dict)
    kept: dict[Kept, list[int]] = field(default_factory=dict)
    by_hold: Counter[int] = field(default_factory=Counter)

    def add(self, decision: Decision) -> None:
        """Count one decision in."""
        at = decision.recorded
        for copy, why in decision.kept:
            sums = self.kept.setdefault(why, [0, 0])
            sums[0] += 1
            sums[1] += copy.bytes
        if any(why == "held" for _, why in decision.kept):
            self.by_hold.update(at.held)
        if not decision.purge:
            return
        size = sum(copy.bytes for copy in decision.purge)
        site = self.sites.setdefault(at.site, SitePlan())
        site.touched += 1
        for sums_of in (self, site):
            sums_of.recordings += decision.is_last
            sums_of.copies += len(decision.purge)
            sums_of.bytes += size
            sums_of.oldest = min(sums_of.oldest or at.start_utc, at.start_utc)
            sums_of.newest = max(sums_of.newest or at.start_utc, at.start_utc)
        for copy in decision.purge:
            store = self.stores.setdefault(copy.store, [0, 0])
            store[0] += 1
            store[1] += copy.bytes


def sums_of(decisions: Sequence[Decision]) -> PlanSums:
    """The sums over all of them."""
    sums = PlanSums()
    for decision in decisions:
        sums.add(decision)
    return sums
