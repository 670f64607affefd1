"""Is the promise kept? Promised against achieved days per camera, and when a store will be full.

Plain functions over plain facts. A promise of 180 days is kept when nothing younger has been purged; it is proven once
so much time has gone by since the camera's first footage, or since the last time that the promise was broken.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

FILL_DAYS = 14
"""Over how many days the rates at which a store fills and empties are taken."""


@dataclass(frozen=True)
class CameraFacts:
    """Of one camera: days of its site's zone, in which it is `today`. first: with footage ever; oldest: of footage that
    is still kept; broken: the newest of which footage was purged though its time was not over. None: there is none."""

    site: str
    camera: str
    first: date | None
    oldest: date | None
    broken: date | None
    today: date


@dataclass(frozen=True)
class Proof:
    """met: kept and proven; filling: kept so far, but the camera is younger than the promise; broken: footage younger
    than promised was purged. since: from when on the promise holds, or will. achieved_days: for how many days back
    nothing was purged."""

    site: str
    camera: str
    promised_days: int
    achieved_days: int
    state: Literal["met", "filling", "broken", "nothing"]
    since: date | None


@dataclass(frozen=True)
class StoreFacts:
    """Of one store, in bytes. held: now. added: copies of footage of the last FILL_DAYS. leaving: of footage whose time
    is over within FILL_DAYS. room: left for more, None when nobody knows. longest: the longest time it keeps footage.
    """

    name: str
    held: int
    added: int
    leaving: int
    room: int | None
    longest: timedelta


@dataclass(frozen=True)
class Forecast:
    """full_on: when the store is full at the present rates, None when that will not be. needed: bytes that it will hold
    once the oldest footage goes as fast as new footage comes. advice: what to change, "" when nothing; the same in
    numbers: short bytes more, or fits_days instead of longest_days."""

    store: str
    held: int
    room: int | None
    per_day: int
    needed: int
    full_on: date | None
    advice: str
    short: int = 0
    fits_days: int = 0
    longest_days: int = 0


def prove_camera(facts: CameraFacts, promised: timedelta) -> Proof:
    """What can be said of one camera today."""
    today = facts.today
    if facts.first is None or facts.oldest is None:
        return Proof(facts.site, facts.camera, promised.days, 0, "nothing", None)
    if facts.broken is not None and facts.broken >= today - promised:
        achieved = (today - facts.broken).days - 1
        since = facts.broken + timedelta(days=1) + promised
        return Proof(facts.site, facts.camera, promised.days, max(achieved, 0), "broken", since)
    since = facts.first + promised
    achieved = (today - facts.oldest).days
    return Proof(facts.site, facts.camera, promised.days, achieved, "met" if since <= today else "filling", since)


def forecast(facts: StoreFacts, now: datetime) -> Forecast:
    """When this store is full, at the rate at which it fills and empties now, and what would help."""
    added, leaving = facts.added / FILL_DAYS, facts.leaving / FILL_DAYS
    needed = int(added * facts.longest.days)
    about = (facts.name, facts.held, facts.room, int(added - leaving), needed)
    if facts.room is None or added <= leaving:
        return Forecast(*about, None, "")
    days = facts.room / (added - leaving)
    if facts.held + facts.room >= needed and needed > facts.held:  # it stops filling before it is full
        return Forecast(*about, None, "")
    if days > 3650:
        return Forecast(*about, None, "")
    fits = int((facts.held + facts.room) / added)
    short = max(needed - facts.held - facts.room, 0)
    advice = f"Add {short / 1e9:,.0f} GB, or let it keep {fits} days instead of {facts.longest.days}"
    advice += f" (stores.{facts.name}.retention: {max(fits, 1)}d)."
    return Forecast(*about, (now + timedelta(days=days)).date(), advice, short, max(fits, 1), facts.longest.days)
