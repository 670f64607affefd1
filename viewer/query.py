"""What a person looks for, as the address carries it, so that every view can be linked, shared and gone back to.

The address is untrusted: whatever does not fit is dropped, never an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

from viewer import formats, tokens
from vms.catalogue.reads import RecordingFilter
from vms.model import State

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}\Z")
_RUN = re.compile(r"([A-Za-z0-9_.-]{1,250})/(.{1,250})\Z", re.DOTALL)
_RECORDING = re.compile(r"(\d{1,18})\.(-?\d{1,17})\Z")

STATES: dict[str, tuple[State, ...]] = {
    "archived": ("archived", "released"),
    "planned": ("planned",),
    "quarantined": ("quarantined",),
    "purged": ("purged",),
    "all": (),
}
KEYS = ("site", "camera", "from", "to", "state", "run", "view", "recording")


@dataclass(frozen=True)
class Find:
    """One search. sites/cameras empty: all. first/last: days, None: open. state: a key of STATES.

    first_time, last_time: from when on the first and until when on the last day, None: the whole day.

    run: (DAG id, run id) or None. recording: (id, start) of the one that is opened, or None.
    everything: the person asked for all time, so no default period is filled in. table: shown as a table.
    """

    sites: tuple[str, ...] = ()
    cameras: tuple[tuple[str, str], ...] = ()
    first: date | None = None
    last: date | None = None
    everything: bool = False
    state: str = "archived"
    run: tuple[str, str] | None = None
    recording: tuple[int, datetime] | None = None
    first_time: time | None = None
    last_time: time | None = None
    table: bool = False

    @property
    def has_period(self) -> bool:
        return self.first is not None or self.last is not None or self.everything

    def list_only(self) -> Find:
        return replace(self, recording=None)


def read(params: dict[str, list[str]]) -> Find:
    """The search that an address asks for. Lists may be repeated (?site=a&site=b) or joined by commas."""
    sites = tuple(dict.fromkeys(one for one in _split(params.get("site", ())) if _ID.match(one)))
    cameras: dict[tuple[str, str], None] = {}
    for one in _split(params.get("camera", ())):
        site, _, camera = one.rpartition("/")
        if not site and len(sites) == 1:
            site = sites[0]
        if _ID.match(site) and _ID.match(camera):
            cameras[(site, camera)] = None
    begin, end = _moment(params.get("from", ())), _moment(params.get("to", ()))
    if _reversed(begin, end):
        begin, end = end, begin
    state = _one(params.get("state", ()))
    run = _RUN.match(_one(params.get("run", ())))
    return Find(
        sites=sites,
        cameras=tuple(cameras),
        first=begin[0],
        last=end[0],
        first_time=begin[1],
        last_time=end[1],
        table=_one(params.get("view", ())) == "table",
        everything=_one(params.get("from", ())) == "all",
        state=state if state in STATES else ("all" if run else "archived"),
        run=(run.group(1), run.group(2)) if run else None,
        recording=_recording(_one(params.get("recording", ()))),
    )


def write(find: Find) -> dict[str, str]:
    """The address parameters of a search; what is usual is left out."""
    usual_state = "all" if find.run else "archived"
    made = {
        "site": ",".join(find.sites),
        "camera": ",".join(f"{site}/{camera}" for site, camera in find.cameras),
        "from": "all" if find.everything else _moment_text(find.first, find.first_time),
        "to": "" if find.everything else _moment_text(find.last, find.last_time),
        "state": "" if find.state == usual_state else find.state,
        "run": "/".join(find.run) if find.run else "",
        "view": "table" if find.table else "",
        "recording": recording_text(*find.recording) if find.recording else "",
    }
    return {key: value for key, value in made.items() if value}


def recording_text(recording_id: int, start_utc: datetime) -> str:
    """How an address names a recording: its id and start in microseconds since 1970, which finds its partition."""
    return f"{recording_id}.{tokens.microseconds(start_utc)}"


def watch_params(cameras: Iterable[tuple[str, str]], at_utc: datetime) -> dict[str, str]:
    """The address parameters of the page Watch."""
    at = at_utc.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {"camera": ",".join("/".join(key) for key in cameras), "at": at}


def as_filter(find: Find, zone_id: str) -> RecordingFilter:
    """The catalogue's filter for a search; days are counted in this zone. run: all time, whatever the days say."""
    start, end = bounds(find, zone_id)
    cameras = tuple(pair for pair in find.cameras if not find.sites or pair[0] in find.sites)
    return RecordingFilter(
        sites=find.sites, cameras=cameras, from_utc=start, to_utc=end, states=STATES[find.state], run=find.run
    )


def bounds(find: Find, zone_id: str) -> tuple[datetime | None, datetime | None]:
    """From when to when (UTC, the end not included) in this zone; None where it is open."""
    if not find.first and not find.last:
        return None, None
    first, last = find.first or date(1970, 1, 2), find.last or date(9998, 12, 30)
    start, end = formats.day_bounds(first, last, zone_id)
    if find.first and find.first_time:
        start = datetime.combine(first, find.first_time, start.tzinfo)
    if find.last and find.last_time:
        end = datetime.combine(last, find.last_time, start.tzinfo)
    return start.astimezone(UTC), end.astimezone(UTC)


def _split(values: Iterable[str]) -> list[str]:
    return [part.strip() for value in values for part in value.split(",")][:500]


def _one(values: Iterable[str]) -> str:
    return next(iter(values), "")


def _moment(values: Iterable[str]) -> tuple[date | None, time | None]:
    """2026-11-24 or 2026-11-24T18:05, on the clock of the zone in which days are counted."""
    day, _, clock = _one(values).partition("T")
    try:
        found = date.fromisoformat(day)
        at = time.fromisoformat(clock[:8]).replace(tzinfo=None) if clock else None
    except ValueError:
        return None, None
    return (found, at) if 1970 < found.year < 9999 else (None, None)


def _reversed(begin: tuple[date | None, time | None], end: tuple[date | None, time | None]) -> bool:
    (first, from_time), (last, to_time) = begin, end
    if first is None or last is None or first != last:
        return first is not None and last is not None and first > last
    return from_time is not None and to_time is not None and from_time > to_time


def _moment_text(day: date | None, at: time | None) -> str:
    if day is None:
        return ""
    return day.isoformat() if at is None else f"{day.isoformat()}T{at.isoformat('auto' if at.second else 'minutes')}"


def _recording(text: str) -> tuple[int, datetime] | None:
    match = _RECORDING.match(text)
    if not match:
        return None
    try:
        return int(match.group(1)), tokens.EPOCH + timedelta(microseconds=int(match.group(2)))
    except (ValueError, OverflowError, OSError):
        return None
