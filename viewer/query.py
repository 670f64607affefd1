"""What a person looks for, as the address carries it, so that every view can be linked, shared and gone back to.

The address is untrusted: whatever does not fit is dropped, never an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

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
KEYS = ("site", "camera", "from", "to", "state", "run", "recording")


@dataclass(frozen=True)
class Find:
    """One search. sites/cameras empty: all. first/last: whole days, None: open. state: a key of STATES.

    run: (DAG id, run id) or None. recording: (id, start) of the one that is opened, or None.
    everything: the person asked for all time, so no default period is filled in.
    """

    sites: tuple[str, ...] = ()
    cameras: tuple[tuple[str, str], ...] = ()
    first: date | None = None
    last: date | None = None
    everything: bool = False
    state: str = "archived"
    run: tuple[str, str] | None = None
    recording: tuple[int, datetime] | None = None

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
    first, last = _day(params.get("from", ())), _day(params.get("to", ()))
    if first and last and first > last:
        first, last = last, first
    state = _one(params.get("state", ()))
    run = _RUN.match(_one(params.get("run", ())))
    return Find(
        sites=sites,
        cameras=tuple(cameras),
        first=first,
        last=last,
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
        "from": "all" if find.everything else find.first.isoformat() if find.first else "",
        "to": find.last.isoformat() if find.last and not find.everything else "",
        "state": "" if find.state == usual_state else find.state,
        "run": "/".join(find.run) if find.run else "",
        "recording": recording_text(*find.recording) if find.recording else "",
    }
    return {key: value for key, value in made.items() if value}


def recording_text(recording_id: int, start_utc: datetime) -> str:
    """How an address names a recording: its id and start in microseconds since 1970, which finds its partition."""
    return f"{recording_id}.{tokens.microseconds(start_utc)}"


def as_filter(find: Find, zone_id: str) -> RecordingFilter:
    """The catalogue's filter for a search; days are counted in this zone. run: all time, whatever the days say."""
    start = end = None
    if find.first or find.last:
        first, last = find.first or date(1970, 1, 2), find.last or date(9998, 12, 30)
        start, end = (at.astimezone(UTC) for at in formats.day_bounds(first, last, zone_id))
    cameras = tuple(pair for pair in find.cameras if not find.sites or pair[0] in find.sites)
    return RecordingFilter(
        sites=find.sites, cameras=cameras, from_utc=start, to_utc=end, states=STATES[find.state], run=find.run
    )


def _split(values: Iterable[str]) -> list[str]:
    return [part.strip() for value in values for part in value.split(",")][:500]


def _one(values: Iterable[str]) -> str:
    return next(iter(values), "")


def _day(values: Iterable[str]) -> date | None:
    try:
        day = date.fromisoformat(_one(values)[:10])
    except ValueError:
        return None
    return day if 1970 < day.year < 9999 else None


def _recording(text: str) -> tuple[int, datetime] | None:
    match = _RECORDING.match(text)
    if not match:
        return None
    try:
        return int(match.group(1)), tokens.EPOCH + timedelta(microseconds=int(match.group(2)))
    except (ValueError, OverflowError, OSError):
        return None
