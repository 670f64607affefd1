"""Which keys sites.yaml may hold, and of what kind each is (pydantic). `vms.config_sections` holds them to it.

Values arrive as the text in the file; None ("key:" with nothing behind it) counts as not given.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from vms import config_stores, config_values, uplink
from vms.schedule import parse_schedule

ID_ALLOWED = "1 to 40 of a-z, 0-9 and -, beginning with a letter or digit, such as branch-03"

LONGEST_RETENTION = timedelta(days=36500)

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}", re.ASCII)
_GROUPS = {
    "camera", "channel", "date", "time", "year", "month", "day", "hour", "minute", "second", "ampm", "epoch", "offset",
}  # fmt: skip


def _identifier(value: Any) -> Any:
    if isinstance(value, str) and not _ID.fullmatch(value):
        raise ValueError(f"allowed is {ID_ALLOWED}.")
    return value


def _duration(value: Any) -> Any:
    return config_values.duration(value) if isinstance(value, str) else value


def _size(value: Any) -> Any:
    return config_values.size_bytes(value) if isinstance(value, str) else value


def _kept_for(value: Any) -> Any:
    """How long footage is kept: a day at least, and no longer than times can be reckoned with."""
    kept = _duration(value)
    if isinstance(kept, timedelta) and not timedelta(days=1) <= kept <= LONGEST_RETENTION:
        raise ValueError(f"allowed is 1d or more, up to {LONGEST_RETENTION.days}d.")
    return kept


def _zone(value: Any) -> Any:
    return config_values.time_zone(value) if isinstance(value, str) else value


def _home(info: ValidationInfo) -> Path:
    home: Path = (info.context or {})["home"]
    return home


def _folder(value: Any, info: ValidationInfo) -> Any:
    return config_values.folder(value, _home(info)) if isinstance(value, str) else value


def _url(value: Any, info: ValidationInfo) -> Any:
    return config_values.store_url(value, _home(info)) if isinstance(value, str) else value


def _conn_id(value: Any) -> Any:
    return config_values.conn_id(value) if isinstance(value, str) else value


def _tags(value: Any) -> Any:
    return config_stores.tags(value) if isinstance(value, dict) else value


def _lock(value: Any) -> Any:
    return config_stores.lock(value) if isinstance(value, str) else value


def _keep(value: Any) -> Any:
    """keep becomes None: for ever."""
    if not isinstance(value, str) or value.lower() == "keep":
        return None if isinstance(value, str) else value
    try:
        return config_values.duration(value)
    except ValueError:
        near = config_values.did_you_mean(value, ["keep"])
        raise ValueError(
            f'allowed is "keep" (never remove), or how long to keep after archiving, such as 0d or 7d.{near}'
        ) from None


def _schedule(value: Any) -> Any:
    """A list is as good as one text. "always" becomes the empty text, so that it can overrule a default."""
    text = ", ".join(value) if isinstance(value, list) and all(isinstance(one, str) for one in value) else value
    if not isinstance(text, str):
        return text
    return text if parse_schedule(text).spans else ""


def _names(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _cameras(value: Any) -> Any:
    if isinstance(value, str) and value.lower() == "auto":
        return []
    if isinstance(value, str):
        raise ValueError(  # noqa: TRY004 - pydantic reports a ValueError only
            f'allowed is "auto" or a list of cameras.{config_values.did_you_mean(value, ["auto"])}'
        )
    return value


def _uplink(value: Any) -> Any:
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list) and all(isinstance(one, str) for one in texts):
        return uplink.parse(texts)
    if isinstance(value, uplink.Uplink):
        return value
    raise ValueError(f"{uplink.ALLOWED}.")


Identifier = Annotated[str, BeforeValidator(_identifier)]
Label = Annotated[str, StringConstraints(strip_whitespace=True, max_length=60, pattern=r"^[^\x00-\x1f,]*$")]
Duration = Annotated[timedelta, BeforeValidator(_duration)]


def _percent(value: Any) -> Any:
    if isinstance(value, str) and not (value.isdecimal() and 1 <= int(value) <= 100):
        raise ValueError("allowed is a whole number from 1 to 100.")
    return value


Retention = Annotated[timedelta, BeforeValidator(_kept_for)]
Size = Annotated[int, BeforeValidator(_size)]
Zone = Annotated[str, BeforeValidator(_zone)]
Folder = Annotated[Path, BeforeValidator(_folder)]
Keep = Annotated[timedelta | None, BeforeValidator(_keep)]
Timetable = Annotated[uplink.Uplink, BeforeValidator(_uplink)]
ScheduleText = Annotated[str, BeforeValidator(_schedule)]
Names = Annotated[list[str], BeforeValidator(_names), Field(min_length=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if value is not None or key not in cls.model_fields}
        return data


class StoreSection(Section):
    url: Annotated[str, BeforeValidator(_url)]
    conn_id: Annotated[str, BeforeValidator(_conn_id)] = ""
    storage_class: str = ""
    encryption: str = ""
    tags: Annotated[dict[str, str], BeforeValidator(_tags)] = {}
    lock: Annotated[timedelta | None, BeforeValidator(_lock)] = None
    lock_mode: Literal["governance", "compliance"] | None = None
    verify: Literal["read-back"] | None = None
    retention: Retention | None = None
    size: Size | None = None
    viewer: str = ""


class ProfileSection(Section):
    codec: Literal["av1", "h264", "copy"]
    preset: str | None = None
    crf: Annotated[int, Field(ge=0, le=63)] | None = None
    keyframe_every: Duration = timedelta(seconds=16)
    pixel_format: Literal["yuv420p", "yuv420p10le"] = "yuv420p"


class PatternSection(Section):
    regex: str
    time_is: Literal["start", "end"] = "start"
    zone: Literal["local", "utc"] = "local"

    @field_validator("regex")
    @classmethod
    def _regex(cls, text: str) -> str:
        try:
            groups = set(re.compile(text).groupindex)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"this is no regular expression Python knows: {error}.") from None
        unknown = sorted(groups - _GROUPS)
        if unknown:
            near = config_values.did_you_mean(unknown[0], _GROUPS)
            raise ValueError(f'unknown group "{unknown[0]}"; allowed are {", ".join(sorted(_GROUPS))}.{near}')
        dated = "epoch" in groups or "date" in groups or {"year", "month", "day"} <= groups
        timed = "epoch" in groups or "time" in groups or "hour" in groups
        if not (dated and timed):
            raise ValueError(
                "it needs groups for date and time: (?P<date>...) or year, month, day; (?P<time>...) or hour; or epoch."
            )
        return text


class DefaultsSection(Section):
    time_zone: Zone | None = None
    stores: Names | None = None
    profile: str | None = None
    keep_source: Keep = None
    retention: Retention | None = None
    every: Duration | None = None
    schedule: ScheduleText | None = None
    gap_tolerance: Duration | None = None
    min_copies: Annotated[int, Field(ge=1, le=20)] | None = None
    fallback: str | None = None
    fallback_after: Duration | None = None
    uplink: Timetable | None = None
    runs_on: Literal["centre", "worker", "edge"] | None = None

    @field_validator("gap_tolerance")
    @classmethod
    def _gap_tolerance(cls, value: timedelta | None) -> timedelta | None:
        if value is not None and not timedelta(seconds=2) <= value <= timedelta(minutes=10):
            raise ValueError("allowed is 2s to 10m.")
        return value

    @field_validator("fallback_after")
    @classmethod
    def _fallback_after(cls, value: timedelta | None) -> timedelta | None:
        if value is not None and value < timedelta(minutes=10):
            raise ValueError("allowed is 10m or more: a short cut of the line is no reason to change the store.")
        return value

    @field_validator("every")
    @classmethod
    def _every(cls, value: timedelta | None) -> timedelta | None:
        if value is not None and not timedelta(seconds=10) <= value <= timedelta(days=7):
            raise ValueError("allowed is 10s to 7d.")
        return value


class CameraSection(Section):
    id: Identifier
    name: str | None = None
    match: str | None = None
    retention: Retention | None = None
    schedule: ScheduleText | None = None


class RetentionPolicySection(Section):
    every: Duration | None = None
    max_percent: Annotated[int, BeforeValidator(_percent)] | None = None
    max_bytes: Size | None = None
    undo: Duration | None = None
    late: Duration | None = None

    @field_validator("every")
    @classmethod
    def _runs_every(cls, value: timedelta | None) -> timedelta | None:
        if value is not None and not timedelta(days=1) <= value <= timedelta(days=7):
            raise ValueError("allowed is 1d (daily) to 7d (weekly).")
        return value

    @field_validator("undo", "late")
    @classmethod
    def _bounded(cls, value: timedelta | None) -> timedelta | None:
        if value is not None and value > timedelta(days=365):
            raise ValueError("allowed is 0d to 365d.")
        return value


class ExportsSection(Section):
    keep: Duration | None = None
    largest: Size | None = None

    @field_validator("keep")
    @classmethod
    def _kept_exports(cls, value: timedelta | None) -> timedelta | None:
        if value is not None and not timedelta(hours=1) <= value <= timedelta(days=90):
            raise ValueError("allowed is 1h to 90d.")
        return value


class BackupSection(Section):
    every: Duration | None = None
    keep: Duration | None = None

    @field_validator("every")
    @classmethod
    def _made_every(cls, value: timedelta | None) -> timedelta | None:
        if value is not None and not timedelta(hours=1) <= value <= timedelta(days=2):
            raise ValueError("allowed is 1h to 2d.")
        return value

    @field_validator("keep")
    @classmethod
    def _kept(cls, value: timedelta | None) -> timedelta | None:
        if value is not None and not timedelta(days=1) <= value <= timedelta(days=3650):
            raise ValueError("allowed is 1d to 3650d.")
        return value


class SiteSection(DefaultsSection):
    id: Identifier
    name: str | None = None
    footage: Folder
    cameras: Annotated[list[CameraSection], BeforeValidator(_cameras)] = []
    pattern: str = "auto"
    enabled: bool = True
    staging: Folder | None = None
    region: Label = ""
    tier: Label = ""


class HistorySection(Section):
    keep: Duration | None = None

    @field_validator("keep")
    @classmethod
    def _kept(cls, value: timedelta | None) -> timedelta | None:
        """Not shorter than a plan of retention may wait for its answer, with room to look at what failed."""
        if value is not None and not timedelta(days=7) <= value <= timedelta(days=3650):
            raise ValueError("allowed is 7d to 3650d.")
        return value
