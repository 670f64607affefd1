"""Reads camera and time from the name that a recorder gave a file. What the names look like is in recorders.yaml.

A reading is what the name says, nothing more; `settle_start` turns it into one UTC instant by explicit rules for the
hours that a clock change repeats or skips, and falls back on the container's creation time and the file's mtime.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from hashlib import sha256
from typing import Literal
from zoneinfo import ZoneInfo

from vms.config_model import CameraConfig, NamePattern
from vms.recorders import built_in_patterns, words_that_name_no_camera
from vms.sightings import TimeBasis, TimeMark

DEFAULT_CAMERA = "camera-1"
"""For a file directly in the footage folder whose name tells no camera."""

FOLD_WITHIN = timedelta(hours=2)
"""In a repeated hour the mtime decides only when this near to one of the two ends; that of a copied file is not."""

FUTURE_AFTER = timedelta(minutes=10)
"""Clocks of recorders drift; a start this far ahead of now is marked `future`."""

OLDEST_PLAUSIBLE = datetime(2000, 1, 1, tzinfo=UTC)
"""Recorders that lost their clock begin at 1970 or 1980; earlier starts are marked `before_2000`."""

_EARLIEST, _LATEST = datetime(1, 1, 3), datetime(9999, 12, 29)  # noqa: DTZ001 - local times
_NON_ALNUM = re.compile(r"[^a-z0-9]+")
_DATE_FOLDER = re.compile(r"\d{4}([-_.]?\d\d){0,2}|\d{6}|\d{8}([AP]M)?|\d{10}")
_PLAIN_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,29}")
_CHANNEL_WORDS = frozenset({"cam", "camera", "ch", "channel"})
_ESCAPE = re.compile(r"%[0-9A-F]{2}")
_TIME_GROUPS = frozenset({"date", "time", "year", "month", "day", "hour", "minute", "second", "epoch"})


@dataclass(frozen=True)
class NameReading:
    """What a name tells. camera: an id. Of local (naive) and utc one is set, or neither when the name tells no time."""

    camera: str
    local: datetime | None
    utc: datetime | None
    time_is: Literal["start", "end"]
    pattern: str


@dataclass(frozen=True)
class Start:
    """When a recording begins, on what that rests, and what is odd about it."""

    utc: datetime
    basis: TimeBasis
    marks: tuple[TimeMark, ...]


def patterns_for(pattern: str, own: Sequence[NamePattern]) -> tuple[NamePattern, ...]:
    """The patterns a site's `pattern` setting means: all (own ones first) for auto, else the one of that name."""
    if pattern == "auto":
        return (*own, *built_in_patterns())
    return tuple(one for one in (*own, *built_in_patterns()) if one.name == pattern)[:1]


def read_name(
    path_text: str, patterns: Iterable[NamePattern], cameras: Sequence[CameraConfig] = ()
) -> NameReading | None:
    """What the first pattern that fits reads from a path below the footage folder, or None when none fits.

    A pattern whose digits make no date (a 31 February) does not fit. cameras: the listed ones, found by their `match`.
    """
    for pattern in patterns:
        match = _compiled(pattern.regex).search(path_text)
        if match is None:
            continue
        groups = {name: text for name, text in match.groupdict().items() if text}
        try:
            when = _time_of(groups)
        except ValueError:
            continue
        token = groups.get("camera") or _token_from_folders(path_text, match, groups.get("channel", ""))
        camera = camera_id(token, path_text, cameras)
        utc_by_pattern = pattern.zone == "utc"
        local = when if when and when.tzinfo is None and not utc_by_pattern else None
        utc = None
        if when and local is None:
            utc = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
        return NameReading(camera, local, utc, pattern.time_is, pattern.name)
    return None


def camera_without_pattern(path_text: str, cameras: Sequence[CameraConfig] = ()) -> str:
    """The camera id of a file whose name no pattern reads: its first folder that is no date, else the default."""
    folders = [one for one in path_text.split("/")[:-1] if not _DATE_FOLDER.fullmatch(one)]
    words = words_that_name_no_camera()
    token = next((one for one in folders if slug(one) not in words), DEFAULT_CAMERA)
    return camera_id(token, path_text, cameras)


def camera_id(token: str, path_text: str, cameras: Sequence[CameraConfig]) -> str:
    """The id of the listed camera that token or path names, else the token's own slug: footage is never dropped."""
    own = slug(token)
    for camera in cameras:
        if own in (slug(camera.match), camera.id):
            return camera.id
    fitting = [one for one in cameras if _has_word(path_text, one.match)]
    return max(fitting, key=lambda one: len(one.match)).id if fitting else own


def slug(text: str) -> str:
    """A camera id for any text: `Pos Jaga 2` -> pos-jaga-2. Text without a Latin letter or digit gets a stable hash."""
    plain = unicodedata.normalize("NFKD", _ESCAPE.sub(" ", text)).encode("ascii", "ignore").decode().lower()
    made = _NON_ALNUM.sub("-", plain).strip("-")
    if not made:
        return f"camera-{sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}" if text else DEFAULT_CAMERA
    if len(made) > 40:  # two long names must not become one camera
        made = f"{made[:31].rstrip('-')}-{sha256(made.encode()).hexdigest()[:8]}"
    return made


def settle_start(
    reading: NameReading | None,
    zone: ZoneInfo,
    *,
    duration_s: float,
    mtime: datetime,
    container_time: datetime | None,
    now: datetime,
) -> Start:
    """The one instant at which a recording begins.

    The name counts first, then the container's creation time (1904 and 1970 are nonsense of unset clocks), then mtime
    minus duration, because recorders write the mtime at the end.
    """
    duration = timedelta(seconds=duration_s)
    marks: list[TimeMark] = []
    basis: TimeBasis = "mtime"
    start = _before(mtime, duration)
    if reading is not None and (reading.utc or reading.local):
        named = reading.utc
        if named is None and reading.local is not None:
            length = timedelta(0) if reading.time_is == "end" else duration
            named, mark = local_to_utc(reading.local, zone, length, mtime)
            marks.extend([mark] if mark else [])
        if named is not None:
            ends = reading.time_is == "end"
            start, basis = (_before(named, duration), "name_end") if ends else (named, "name")
    elif container_time is not None and container_time >= OLDEST_PLAUSIBLE and container_time <= now + FUTURE_AFTER:
        start, basis = container_time, "container"
    start = start.replace(microsecond=0)
    if start > now + FUTURE_AFTER:
        marks.append("future")
    if start < OLDEST_PLAUSIBLE:
        marks.append("before_2000")
    return Start(start, basis, tuple(marks))


def local_to_utc(
    local: datetime, zone: ZoneInfo, until_end: timedelta, mtime: datetime
) -> tuple[datetime, TimeMark | None]:
    """A wall-clock time as UTC. until_end: from the named time to the end of the file.

    An hour that exists twice: the one whose end is nearest to mtime if within two hours, else the first; marked
    dst_repeated. An hour that does not exist: moved forward by the gap; marked dst_skipped. At the very edge of the
    calendar, where UTC would lie outside of it, the zone is left out.
    """
    if not _EARLIEST <= local <= _LATEST:
        return local.replace(tzinfo=UTC), None
    first = local.replace(tzinfo=zone, fold=0)
    second = local.replace(tzinfo=zone, fold=1)
    if first.utcoffset() == second.utcoffset():
        return first.astimezone(UTC), None
    first_utc, second_utc = first.astimezone(UTC), second.astimezone(UTC)
    if first_utc.astimezone(zone).replace(tzinfo=None) != local:
        return first_utc, "dst_skipped"  # fold=0 uses the offset before the gap, which moves the time forward
    off_first, off_second = abs(first_utc - mtime + until_end), abs(second_utc - mtime + until_end)
    if off_second < off_first and off_second <= FOLD_WITHIN:
        return second_utc, "dst_repeated"
    return first_utc, "dst_repeated"


def _before(at: datetime, duration: timedelta) -> datetime:
    """The start of what ended then; the end itself when a damaged header tells a length that no calendar holds."""
    try:
        return at - duration
    except OverflowError:
        return at


def _time_of(groups: dict[str, str]) -> datetime | None:
    """The time in the groups: aware when they tell a zone, else naive; None when there is none. ValueError: no date."""
    if "epoch" in groups:
        seconds = int(groups["epoch"][:10])
        return datetime.fromtimestamp(seconds, UTC)
    if not ("date" in groups or "year" in groups) or not ("time" in groups or "hour" in groups):
        return None
    date = _digits(groups["date"]) if "date" in groups else ""
    year = int(date[:4] or groups["year"])
    month, day = int(date[4:6] or groups["month"]), int(date[6:8] or groups["day"])
    time = _digits(groups.get("time", ""))
    hour = int(time[:2] or groups["hour"])
    minute = int(time[2:4] or groups.get("minute", "0"))
    second = int(time[4:6] or groups.get("second", "0"))
    half = groups.get("ampm", "").lower()
    if half:
        if not 1 <= hour <= 12:
            raise ValueError(f"{hour} {half} is no hour")
        hour = hour % 12 + (12 if half == "pm" else 0)
    leap = second == 60
    when = datetime(year + 2000 if year < 100 else year, month, day, hour, minute, 59 if leap else second)  # noqa: DTZ001
    offset = groups.get("offset", "")
    return when.replace(tzinfo=_offset(offset)) if offset else when


def _offset(text: str) -> timezone:
    digits = re.search(r"([+-])(\d{1,2}):?(\d\d)?$", text)
    if digits is None:
        return UTC
    span = timedelta(hours=int(digits[2]), minutes=int(digits[3] or 0))
    return timezone(span if digits[1] == "+" else -span)


def _digits(text: str) -> str:
    return "".join(char for char in text if char.isdigit())


def _token_from_folders(path_text: str, match: re.Match[str], channel: str) -> str:
    """The first folder that is not part of date and time, joined with the channel word where that tells more."""
    words = words_that_name_no_camera()
    spans = [match.span(name) for name in match.re.groupindex if name in _TIME_GROUPS and match.group(name)]
    folder, position = "", 0
    for part in path_text.split("/")[:-1]:
        begin, end = position, position + len(part)
        position = end + 1
        dated = any(start < end and begin < stop for start, stop in spans) or _DATE_FOLDER.fullmatch(part)
        if not dated and slug(part) not in words and begin < match.start() + 1:
            folder = part
            break
    extra = channel.rstrip(" -_.@")
    if not _tells_camera(extra, path_text):
        return folder or DEFAULT_CAMERA
    if extra.isdigit():
        return f"{folder or 'camera'}-{extra}"
    if not folder or slug(folder) in slug(extra):
        return extra
    # beside a camera folder, free text such as "it's him" is a remark and no second name
    return f"{folder}-{extra}" if _PLAIN_WORD.fullmatch(extra) and slug(extra) not in slug(folder) else folder


def _tells_camera(word: str, path_text: str) -> bool:
    """Whether a word names a camera: not `rec` or `clip12`, and no number unless it is a folder of its own."""
    if not word or not any(char.isalnum() for char in word):
        return False
    if word.isdigit():
        return f"/{word}/" in f"/{path_text}"
    base = slug(word).rstrip("0123456789").rstrip("-")
    numbered = base != slug(word)
    return base not in words_that_name_no_camera() or (numbered and base in _CHANNEL_WORDS)


def _has_word(path_text: str, word: str) -> bool:
    return re.search(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])", path_text, re.IGNORECASE) is not None


@lru_cache(maxsize=512)
def _compiled(regex: str) -> re.Pattern[str]:
    return re.compile(regex)
