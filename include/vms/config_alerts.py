"""The `alerts` section of sites.yaml: who is told, in which language, when not, and from when on something is told.

Addresses hold secrets (a bot's token, a mailbox's password). So the file only names connections; what they hold lies in
secrets/connections.json or in the environment, and an address found in sites.yaml is refused without repeating it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, model_validator

from vms.config_schema import Duration, ScheduleText, Section, Size, Zone
from vms.config_values import conn_id, did_you_mean
from vms.config_yaml import Located, Mistake
from vms.schedule import expected_on, parse_schedule

Language = Literal["id", "en"]

WHERE_ADDRESSES_BELONG = (
    "an address must not stand here, as it holds a secret: take it out and change that token or password. Write it into"
    ' secrets/connections.json of the state folder, as {"alerts_telegram": {"conn_type": "apprise", "password":'
    ' "tgram://..."}}, and name it here: conn_id: alerts_telegram'
)
"""The right way for whoever wrote an address into sites.yaml."""


@dataclass(frozen=True)
class AlertTarget:
    """Who is told. conn_id: the connection that holds the address (an Apprise URL)."""

    name: str
    conn_id: str


@dataclass(frozen=True)
class Maintenance:
    """While somebody works on a site nothing is told of it. begin, end: naive times are on the site's own clock."""

    site: str
    begin: datetime
    end: datetime

    def covers(self, site: str, zone: ZoneInfo, now: datetime) -> bool:
        """Whether the site is being worked on at `now`. zone: the site's."""
        begin, end = (one if one.tzinfo else one.replace(tzinfo=zone) for one in (self.begin, self.end))
        return site == self.site and begin <= now < end


@dataclass(frozen=True)
class AlertPolicy:
    """What sites.yaml says of alerts; without targets nobody is told and `vms alerts list` still shows them.

    quiet_hours: a schedule (vms.schedule) on the clock of time_zone, "" for none. digest: from when on, on each site's
    clock, its daily digest is sent; None: never. camera_silent: times its usual interval that a camera may be silent.
    backlog: the age from which on it is told. free_space: bytes that must be free. full_within: how soon a store must
    be forecast to be full. expires_within: how soon a certificate or credential must end. backup_age: how old the last
    good backup of the catalogue may be; None: two days, or what `backup.every` needs.
    wrong: the section has mistakes, so that nothing of it counts.
    """

    targets: tuple[AlertTarget, ...] = ()
    language: Language = "en"
    time_zone: str = "Asia/Jakarta"
    quiet_hours: str = ""
    digest: time | None = time(7)
    maintenance: tuple[Maintenance, ...] = ()
    camera_silent: int = 6
    backlog: timedelta = timedelta(hours=12)
    free_space: int = 5 * 10**9
    full_within: timedelta = timedelta(days=30)
    expires_within: timedelta = timedelta(days=21)
    backup_age: timedelta | None = None
    wrong: bool = False

    def is_quiet(self, now: datetime) -> bool:
        """Whether messages wait until the quiet hours are over."""
        zone = ZoneInfo(self.time_zone)
        spans = expected_on(parse_schedule(self.quiet_hours), zone, now.astimezone(zone).date())
        return bool(self.quiet_hours) and any(begin <= now < end for begin, end in spans)


NO_ALERTS = AlertPolicy()
"""Of a file without the section."""


def _target_conn_id(value: Any) -> Any:
    if isinstance(value, str) and ":" in value:
        raise ValueError(WHERE_ADDRESSES_BELONG)
    return conn_id(value) if isinstance(value, str) else value


def _no_url(_value: Any) -> Any:
    raise ValueError(WHERE_ADDRESSES_BELONG)


def _clock(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value.lower() == "never":
        return None
    found = re.fullmatch(r"(\d{1,2}):(\d\d)", value, re.ASCII)
    if not found or int(found[1]) > 23 or int(found[2]) > 59:
        raise ValueError(f'allowed is a time such as "07:00", or never.{did_you_mean(value, ["never"])}')
    return time(int(found[1]), int(found[2]))


def _times(value: Any) -> Any:
    if isinstance(value, str) and not (re.fullmatch(r"\d{1,3}", value, re.ASCII) and 2 <= int(value) <= 500):
        raise ValueError("allowed is a whole number from 2 to 500: so many times the camera's usual interval.")
    return value


def _moment(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        raise ValueError("allowed is a time on the site's clock such as 2026-11-24 08:00, or a date.") from None


class TargetSection(Section):
    conn_id: Annotated[str, BeforeValidator(_target_conn_id)]
    url: Annotated[None, BeforeValidator(_no_url)] = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        """`operations: alerts_telegram` says the same as a conn_id below it."""
        return {"conn_id": data} if isinstance(data, str) else data


class MaintenanceSection(Section):
    site: str
    begin: Annotated[datetime, BeforeValidator(_moment)]
    end: Annotated[datetime, BeforeValidator(_moment)]

    @model_validator(mode="before")
    @classmethod
    def _words(cls, data: Any) -> Any:
        """The file says from and to, which Python can't take as names."""
        names = {"from": "begin", "to": "end"}
        return {names.get(key, key): value for key, value in data.items()} if isinstance(data, dict) else data


class AlertsSection(Section):
    targets: dict[str, TargetSection] = Field(default_factory=dict)
    language: Language | None = None
    time_zone: Zone | None = None
    quiet_hours: ScheduleText | None = None
    digest: Annotated[time | None, BeforeValidator(_clock)] = time(7)
    maintenance: list[MaintenanceSection] = Field(default_factory=list)
    camera_silent: Annotated[int, BeforeValidator(_times)] | None = None
    backlog: Duration | None = None
    free_space: Size | None = None
    full_within: Duration | None = None
    expires_within: Duration | None = None
    backup_age: Duration | None = None


def alert_policy(section: AlertsSection, usual_zone: str | None) -> AlertPolicy:
    """The policy that the section says. usual_zone: of defaults, for the quiet hours."""
    given = section.model_dump(exclude_none=True, exclude={"targets", "maintenance", "digest", "time_zone"})
    return AlertPolicy(
        targets=tuple(AlertTarget(name, one.conn_id) for name, one in section.targets.items()),
        maintenance=tuple(Maintenance(one.site, one.begin, one.end) for one in section.maintenance),
        digest=section.digest,
        time_zone=section.time_zone or usual_zone or AlertPolicy.time_zone,
        **given,
    )


def alert_mistakes(located: Located, policy: AlertPolicy, site_ids: Sequence[str]) -> Iterator[Mistake]:
    """What fits the keys but not the rest of the file."""
    for number, window in enumerate(policy.maintenance):
        where = ("maintenance", number, "site")
        if window.site not in site_ids:
            near = did_you_mean(window.site, site_ids)
            text = f'alerts.maintenance.site: found "{window.site}", which is no site of this file.{near}'
            yield Mistake(*located.place(where), text, where)
        begin, end = window.begin, window.end
        if bool(begin.tzinfo) == bool(end.tzinfo) and begin >= end:
            where = ("maintenance", number, "to")
            yield Mistake(*located.place(where), "alerts.maintenance.to: it must be later than from.", where)
