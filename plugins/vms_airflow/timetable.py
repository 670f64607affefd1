"""When a site runs: back-to-back intervals on the clock, each run a little after its interval has ended.

Data intervals are [k x period, (k + 1) x period) counted from 1970-01-01 UTC, the same for every site, so that an
interval covers whole periods of the clock whatever the stagger. Only the moment at which a run starts is shifted, by a
number of seconds that comes from the site's id: a thousand sites do not all start in the same second. Everything is
computed in UTC, so a change of summer time moves nothing.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction, Timetable
from airflow.utils.types import DagRunType
from pendulum import DateTime, instance

LONGEST_STAGGER = timedelta(seconds=60)
"""Of an installation of up to 64 sites."""

SECONDS_A_SITE = timedelta(seconds=0.9)
"""Of a large fleet: a thousand sites are spread over a quarter of an hour."""


def stagger_of(site: str, every: timedelta, sites: int = 1) -> timedelta:
    """Whole seconds by which this site's runs start later: below half a period and 60 s, and in a large fleet below
    the period, so that no more than about one run begins a second.

    It is the same for a site until the number of sites passes the next power of two: a fleet that grows by one site
    must not move all others.
    """
    few = min(every / 2, LONGEST_STAGGER)
    many = SECONDS_A_SITE * (1 << max(0, sites - 1).bit_length())
    bound = int(max(few, min(every, many)).total_seconds())
    digest = hashlib.sha256(site.encode()).digest()
    return timedelta(seconds=int.from_bytes(digest[:4], "big") % bound if bound else 0)


class SiteTimetable(Timetable):
    """Runs each `every`, aligned to the clock, `stagger` after the end of the interval."""

    def __init__(self, every: timedelta, stagger: timedelta = timedelta(0)) -> None:
        self.every = every
        self.stagger = stagger
        self.description = f"Every {_words(every)}, {int(stagger.total_seconds())} s after the full interval"

    @property
    def summary(self) -> str:
        return f"every {_words(self.every)}"

    def serialize(self) -> dict[str, Any]:
        return {"every_s": self.every.total_seconds(), "stagger_s": self.stagger.total_seconds()}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> Timetable:
        return cls(timedelta(seconds=data["every_s"]), timedelta(seconds=data["stagger_s"]))

    def infer_manual_data_interval(self, *, run_after: DateTime) -> DataInterval:
        """A run that somebody starts by hand belongs to the last interval that is over."""
        return self._interval_ending(self._floor(run_after))

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The interval after the last one; without catch-up never an older one than the last that is over."""
        candidates: list[datetime] = []
        if last_automated_data_interval is not None:
            candidates.append(self._ceil(last_automated_data_interval.end))
        if restriction.earliest is not None:
            candidates.append(self._ceil(restriction.earliest))
        if not restriction.catchup:
            candidates.append(self._floor(datetime.now(UTC) - self.stagger) - self.every)
        if not candidates:
            return None
        start = max(candidates)
        if restriction.latest is not None and start > restriction.latest:
            return None
        interval = self._interval_ending(start + self.every)
        return DagRunInfo(run_after=instance(start + self.every + self.stagger), data_interval=interval)

    def generate_run_id(
        self, *, run_type: DagRunType, run_after: DateTime, data_interval: DataInterval | None, **_: Any
    ) -> str:
        """`scheduled__20260131T100000Z` by the interval's start, a run by hand by its own moment: no sign that a web
        address or a shell would read as something else."""
        if data_interval is not None and run_type != DagRunType.MANUAL:
            return run_type.generate_run_id(suffix=f"{data_interval.start.astimezone(UTC):%Y%m%dT%H%M%SZ}")
        return run_type.generate_run_id(suffix=f"{run_after.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}")

    def _interval_ending(self, end: datetime) -> DataInterval:
        return DataInterval(start=instance(end - self.every), end=instance(end))

    def _floor(self, moment: datetime) -> datetime:
        period = self.every.total_seconds()
        return datetime.fromtimestamp(moment.timestamp() // period * period, UTC)

    def _ceil(self, moment: datetime) -> datetime:
        floor = self._floor(moment)
        return floor if floor == moment else floor + self.every


def _words(every: timedelta) -> str:
    seconds = int(every.total_seconds())
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length and seconds % length == 0:
            count = seconds // length
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{seconds} seconds"
