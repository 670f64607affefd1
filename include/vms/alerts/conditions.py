"""What is wrong at this moment: pure rules over facts, so that each can be tried without a system around it.

A condition says that something is wrong now; an alert (vms.catalogue.alerts) is one from its beginning to its end. What
could not be looked at is neither good nor bad: its alerts stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from vms.config_alerts import AlertPolicy
from vms.coverage import CameraFacts, find_gaps
from vms.pieces import micros

Kind = Literal[
    "camera_silent", "site_unreachable", "site_never_seen", "backlog", "quarantine", "store_out", "store_full_soon",
    "footage_lost", "copies_broken", "purge_waiting", "free_space", "expiring", "backup_overdue",
]  # fmt: skip

KINDS: tuple[Kind, ...] = (
    "footage_lost", "copies_broken", "site_unreachable", "site_never_seen", "camera_silent", "store_out", "backlog",
    "quarantine", "free_space", "backup_overdue", "store_full_soon", "expiring", "purge_waiting",
)  # fmt: skip
"""The worst first."""

LOOK_BACK = timedelta(days=3)
_LEAST_SILENCE_S = 900.0  # so that a camera of one-minute files is not told of at each restart of its recorder


@dataclass(frozen=True)
class Condition:
    """Something wrong now. site and subject say of what; detail holds the figures of its message."""

    kind: Kind
    site: str = ""
    subject: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        return self.kind, self.site, self.subject


@dataclass(frozen=True)
class SiteFacts:
    """Of one site that sites.yaml has. last_sensed: None when it was never looked at; then awaited_since is since when
    that is waited for, None for a site that is new. waiting_since: since when the oldest of `waiting` files and missing
    copies waits. stores: those that the site uses. patience: how long it may go without a look. lost: archived
    recordings without a good copy."""

    site: str
    zone: ZoneInfo
    last_sensed: datetime | None
    patience: timedelta
    waiting: int
    waiting_since: datetime | None
    quarantined: int
    lost: int
    stores: frozenset[str]
    awaited_since: datetime | None = None

    def is_away(self, now: datetime) -> bool:
        """Whether it went without a look for longer than it may."""
        since = self.last_sensed or self.awaited_since
        return since is not None and since < now - self.patience


@dataclass(frozen=True)
class StoreAnswer:
    """How a store last answered to a site: ok, unreachable, full or denied."""

    site: str
    store: str
    state: str
    message: str


@dataclass(frozen=True)
class Facts:
    """All that the rules look at. cameras: with the seconds between the beginnings of their files, usually. broken:
    lost or damaged copies by store. full_on: days until a store is full, by store; None: not asked this time. plans:
    purges that wait, by number, with their recordings. free: bytes free by folder. expiring: (certificate or
    credential, its name) and when it ends, as far as it is known; all_asked: and no server kept its own to itself.
    backup: when the catalogue was last backed up, or since when it never was; None: there is no catalogue here.
    backup_age: how long that may be ago."""

    sites: Sequence[SiteFacts]
    cameras: Sequence[tuple[CameraFacts, float]]
    answers: Sequence[StoreAnswer]
    broken: Mapping[str, int]
    full_in_days: Mapping[str, int] | None
    plans: Mapping[int, int]
    free: Mapping[str, int]
    expiring: Mapping[tuple[str, str], datetime] = field(default_factory=dict)
    all_asked: bool = False
    backup: datetime | None = None
    backup_age: timedelta = timedelta(days=2)


@dataclass(frozen=True)
class Found:
    """conditions: what is wrong. unknown: (kind, site) of what could not be looked at; site "" is every site."""

    conditions: tuple[Condition, ...]
    unknown: frozenset[tuple[str, str]]


def find_conditions(facts: Facts, policy: AlertPolicy, now: datetime) -> Found:
    """What is wrong at `now` (UTC), without what is of sites under maintenance."""
    resting = {
        one.site for one in facts.sites if any(window.covers(one.site, one.zone, now) for window in policy.maintenance)
    }
    away = {one.site for one in facts.sites if one.is_away(now)}
    known = {one.site: one for one in facts.sites}
    conditions = [
        *(one for site in facts.sites for one in _of_site(site, site.site in away, policy, now)),
        *_silent_cameras(facts.cameras, policy, known.keys() - away),
        *_stores(facts.answers, {name: site for name, site in known.items() if name not in resting}),
        *(Condition("copies_broken", "", store, {"count": many}) for store, many in facts.broken.items() if many),
        *(
            Condition("store_full_soon", "", store, {"days": days})
            for store, days in (facts.full_in_days or {}).items()
            if days <= policy.full_within.days
        ),
        *(Condition("purge_waiting", "", str(plan), {"count": many}) for plan, many in facts.plans.items()),
        *(
            Condition("free_space", "", folder, {"bytes": free})
            for folder, free in facts.free.items()
            if free < policy.free_space
        ),
        *(
            Condition("expiring", "", f"{what} {name}", {"what": what, "name": name, "until": until.isoformat()})
            for (what, name), until in facts.expiring.items()
            if until <= now + policy.expires_within
        ),
    ]
    age = policy.backup_age or facts.backup_age
    if facts.backup is not None and facts.backup < now - age:
        conditions.append(Condition("backup_overdue", "", "", {"since": facts.backup.isoformat()}))
    unknown = {("camera_silent", site) for site in away} | {(kind, site) for kind in KINDS for site in resting}
    if facts.full_in_days is None:
        unknown.add(("store_full_soon", ""))
    if not facts.all_asked:
        unknown.add(("expiring", ""))
    return Found(tuple(one for one in conditions if one.site not in resting), frozenset(unknown))


def _of_site(site: SiteFacts, away: bool, policy: AlertPolicy, now: datetime) -> Iterator[Condition]:
    if away and site.last_sensed is not None:
        yield Condition("site_unreachable", site.site, "", {"since": site.last_sensed.isoformat()})
    elif away and site.awaited_since is not None:
        yield Condition("site_never_seen", site.site, "", {"since": site.awaited_since.isoformat()})
    if site.waiting_since is not None and site.waiting_since < now - policy.backlog:
        yield Condition(
            "backlog", site.site, "", {"count": site.waiting, "hours": round((now - site.waiting_since) / _HOUR)}
        )
    if site.quarantined:
        yield Condition("quarantine", site.site, "", {"count": site.quarantined})
    if site.lost:
        yield Condition("footage_lost", site.site, "", {"count": site.lost})


def _silent_cameras(
    cameras: Iterable[tuple[CameraFacts, float]], policy: AlertPolicy, looked_at: Iterable[str]
) -> Iterator[Condition]:
    """Silence counts up to what should have been archived by now, and only in the hours that a camera should record."""
    watched = set(looked_at)
    for camera, usual_s in cameras:
        if camera.site not in watched or camera.since is None:
            continue
        gaps = find_gaps(camera, camera.until - LOOK_BACK, camera.until)
        last = gaps[-1] if gaps else None
        if last is None or last.reason != "camera_silent" or any(end > micros(last.end) for _, end in camera.kept):
            continue
        if last.seconds > max(policy.camera_silent * usual_s, _LEAST_SILENCE_S):
            yield Condition(
                "camera_silent",
                camera.site,
                camera.camera,
                {"name": camera.camera_name, "since": last.start.isoformat()},
            )


def _stores(answers: Iterable[StoreAnswer], sites: Mapping[str, SiteFacts]) -> Iterator[Condition]:
    """One for each store and state, however many sites it does not answer to."""
    out: dict[tuple[str, str], list[StoreAnswer]] = {}
    for one in answers:
        if one.state != "ok" and one.site in sites and one.store in sites[one.site].stores:
            out.setdefault((one.store, one.state), []).append(one)
    for (store, state), some in out.items():
        names = sorted(one.site for one in some)
        yield Condition(
            "store_out",
            "",
            f"{store}: {state}",
            {"store": store, "state": state, "sites": ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")},
        )


_HOUR = timedelta(hours=1)
