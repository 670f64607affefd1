"""When purging must stop and ask a person: what is unusual about a plan, as plain functions over plain facts.

Deleting the wrong thing is worse than deleting nothing for a day. Each alarm says what was seen and what to look at;
while there is one, nothing at all is purged until somebody approves that very plan. What a store itself contradicts
(it is empty, or another one) can't be approved away: that store keeps everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Literal

from vms.config import RetentionPolicy
from vms.retention import PlanSums, Rules

AlarmKind = Literal["share", "bytes", "clock", "store_wrong", "store_empty", "catalogue_old"]

FEW_RECORDINGS = 20
FEW_BYTES = 10**9
"""A site that loses fewer and less than this has too little for a share to mean anything."""

SILENCE = timedelta(days=7)
"""A time without any event, after which the clock is not believed without asking."""

SETTLED = timedelta(days=30)
"""So long after a silence it no longer matters."""

CLOCK_AHEAD = timedelta(hours=1)
APPROVAL = timedelta(days=3)
"""How long an answer is waited for; then it is no."""


@dataclass(frozen=True)
class Alarm:
    """One unusual thing. subject: the site or store it is about, "" for all."""

    kind: AlarmKind
    subject: str
    message: str


@dataclass(frozen=True)
class StoreLook:
    """What a look at a store showed before a plan was made.

    away: it can't be reached or asked ("" when it can); wrong: it is not the store that the catalogue knows. looked,
    missing: living copies that were looked for, and not found. recent, unknown: objects of footage of one day, and
    those of them that the catalogue does not know; day: that day, the one on which most are unknown ("": none has any).
    problem: the store's own words.
    """

    store_id: int
    name: str
    away: bool = False
    wrong: bool = False
    problem: str = ""
    looked: int = 0
    missing: int = 0
    recent: int = 0
    unknown: int = 0
    day: str = ""

    @property
    def empty(self) -> bool:
        """Whether it seems to have lost what it held."""
        return self.looked > 0 and 2 * self.missing >= self.looked

    @property
    def unusable(self) -> bool:
        """Whether nothing may be purged there, whoever approves."""
        return self.away or self.wrong or self.empty


@dataclass(frozen=True)
class PastRun:
    """A purge that was finished, for what is usual."""

    finished_at: datetime
    bytes: int


@dataclass(frozen=True)
class ClockFacts:
    """When anything happened in the catalogue: newest event; quiet: the last long silence as (from, to), if there was
    one that nobody has approved a plan after."""

    newest: datetime | None
    quiet: tuple[datetime, datetime] | None


def alarms(
    sums: PlanSums,
    rules: Rules,
    policy: RetentionPolicy,
    looks: Sequence[StoreLook],
    clock: ClockFacts,
    past: Sequence[PastRun],
    now: datetime,
) -> tuple[Alarm, ...]:
    """All that is unusual; empty when the plan may be applied without asking. past: the last runs, newest first."""
    found = [*_clock(clock, now), *_stores(looks)]
    if sums.copies:
        found += _shares(sums, rules, policy, past, now)
        found += _bytes(sums, policy, past, now)
    return tuple(found)


def _shares(
    sums: PlanSums, rules: Rules, policy: RetentionPolicy, past: Sequence[PastRun], now: datetime
) -> list[Alarm]:
    found = []
    elapsed = _elapsed(policy, past, now)
    for name, site in sorted(sums.sites.items()):
        if site.touched < FEW_RECORDINGS and site.bytes < FEW_BYTES:
            continue
        usual = 100 * min(1.0, elapsed / rules.shortest_at(name))  # in steady state it expires between two runs
        share = 100 * site.touched / max(site.living, 1)
        if share > policy.max_percent + usual:
            found.append(
                Alarm(
                    "share",
                    name,
                    f"{site.touched} of the {site.living} recordings of {name} would lose a copy ({share:.0f} %;"
                    f" usual are {usual:.1f} % and {policy.max_percent} % more are let through). Was its"
                    " retention shortened?",
                )
            )
    return found


def _bytes(sums: PlanSums, policy: RetentionPolicy, past: Sequence[PastRun], now: datetime) -> list[Alarm]:
    usual = median(run.bytes for run in past) * (_elapsed(policy, past, now) / policy.every) if past else 0
    if sums.bytes <= usual + policy.max_bytes:
        return []
    return [
        Alarm(
            "bytes",
            "",
            f"{sums.bytes / 1e9:,.1f} GB would go; usual are {usual / 1e9:,.1f} GB, and"
            f" {policy.max_bytes / 1e9:,.1f} GB more are let through.",
        )
    ]


def _clock(clock: ClockFacts, now: datetime) -> list[Alarm]:
    if clock.newest is None:
        return []
    if clock.newest > now + CLOCK_AHEAD:
        return [
            Alarm(
                "clock",
                "",
                f"It is {_at(now)} by this machine's clock, but the catalogue has events of {_at(clock.newest)}."
                " The clock was set back, or was ahead before.",
            )
        ]
    if now - clock.newest > SILENCE:
        return [
            Alarm(
                "clock",
                "",
                f"It is {_at(now)} by this machine's clock, and nothing has happened since {_at(clock.newest)}: either"
                " the clock has jumped, or no new footage arrives while old footage would go.",
            )
        ]
    if clock.quiet is not None and now - clock.quiet[1] < SETTLED:
        return [
            Alarm(
                "clock",
                "",
                f"Nothing happened between {_at(clock.quiet[0])} and {_at(clock.quiet[1])}: either everything stood"
                " still, or the clock has jumped and footage seems older than it is.",
            )
        ]
    return []


def _stores(looks: Sequence[StoreLook]) -> list[Alarm]:
    found = []
    for look in looks:
        if look.wrong:
            found.append(Alarm("store_wrong", look.name, f"{look.problem} Nothing is purged there in any case."))
        elif look.empty:
            found.append(
                Alarm(
                    "store_empty",
                    look.name,
                    f"Store {look.name} lacks {look.missing} of {look.looked} copies that were looked for: it was"
                    " emptied, or is another one. Nothing is purged there in any case.",
                )
            )
        elif _beyond_chance(look.recent, look.unknown) > 0:
            found.append(
                Alarm(
                    "catalogue_old",
                    look.name,
                    f"Store {look.name} holds objects that the catalogue does not know ({look.unknown} of {look.recent}"
                    f" looked at of {look.day}): the catalogue is older than its objects. Was it restored from a dump?"
                    " Holds that were made since are missing in it. `vms verify` takes the objects in.",
                )
            )
    return found


def worst_day(days: Mapping[str, tuple[int, int]]) -> tuple[str, int, int]:
    """The day, with its objects and those of them that are unknown, that speaks most for an old catalogue.

    Day by day, as the days of which an older catalogue knows everything would hide the one of which it knows nothing.
    """
    day = max(days, key=lambda one: _beyond_chance(*days[one]), default="")
    return (day, *days[day]) if day else ("", 0, 0)


def _beyond_chance(recent: int, unknown: int) -> int:
    """How many more are unknown than a few leftovers of killed uploads explain."""
    return unknown - max(2, recent // 10)


def _elapsed(policy: RetentionPolicy, past: Sequence[PastRun], now: datetime) -> timedelta:
    """Since the last run: at least one interval, and at most a few, so that a long pause does not excuse everything."""
    since = now - past[0].finished_at if past else policy.every
    return min(max(since, policy.every), 7 * policy.every, timedelta(days=14))


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def usable(looks: Sequence[StoreLook]) -> Mapping[int, StoreLook]:
    """The stores in which something may be purged, by number."""
    return {look.store_id: look for look in looks if not look.unusable}
