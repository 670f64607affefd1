"""What the words of `vms backfill start` ask for: checked, and made into what there is to do at each site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import typer
from rich.console import Console

from vms.backfill import MODES, Mode, Order, profile_of
from vms.backfill_plan import OnDisk, SitePlan, look_at_disk, survey
from vms.catalogue import backfills
from vms.catalogue.connection import Connection
from vms.catalogue.reads import list_sites
from vms.cli.selection import Moment, moment_of, nearest
from vms.config import Config, Site
from vms.errors import CatalogueError, ConfigError
from vms.home import Home
from vms.queues import has_own_machine
from vms.uplink import parse_rate


@dataclass(frozen=True)
class Asked:
    """What the words of the command line mean, checked. cap: bytes per second, None without one."""

    sites: tuple[Site, ...]
    begin: Moment
    end: Moment
    mode: Mode
    profile: str
    cap: float | None

    @classmethod
    def of(
        cls,
        site: str | None,
        every_site: bool,
        from_time: str | None,
        to_time: str | None,
        mode: str,
        profile: str,
        cap: str,
        config: Config,
    ) -> Asked:
        if (site is None) != every_site:
            raise typer.BadParameter("name a SITE, or use --all.")
        begin, end = moment_of(from_time, "--from"), moment_of(to_time, "--to")
        if begin is None or end is None:
            raise typer.BadParameter("give --from and --to: a day such as 2026-11-24, or 2026-11-24T08:00.")
        if mode not in MODES:
            raise typer.BadParameter(
                f"{mode!r} is no mode.{nearest(mode, MODES)} There are: {', '.join(MODES)}.", param_hint="--mode"
            )
        chosen: Mode = mode
        if profile and chosen == "verify":
            raise typer.BadParameter("--mode verify makes no renditions; leave it out.", param_hint="--profile")
        if profile:
            profile_of(config, profile)
        try:
            rate = parse_rate(cap) if cap else None
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--cap") from None
        sites = (config.site(site),) if site is not None else tuple(one for one in config.sites if one.enabled)
        if chosen in ("missing", "reupload"):  # they look into the footage folder, and backfills run at the centre
            if site is not None and has_own_machine(sites[0]):
                raise ConfigError(
                    f"{site} has runs_on: {sites[0].runs_on}: a backfill does not reach its footage folder.",
                    f"Its own runs take up whatever is missing, however old it is: `vms run {site}`.",
                )
            sites = tuple(one for one in sites if not has_own_machine(one))
        if not sites:
            raise ConfigError("sites.yaml has no enabled site that can run.", "`vms sites check` shows why.")
        now = datetime.now(UTC)
        for one in sites:
            if begin.begins(one.zone) >= end.ends(one.zone):
                raise typer.BadParameter("--to is not later than --from.")
            if begin.begins(one.zone) > now:
                raise typer.BadParameter(
                    "this time is still to come: there is no footage of it yet.", param_hint="--from"
                )
        return cls(sites, begin, end, chosen, profile, rate)


def plans_of(
    conn: Connection,
    home: Home,
    config: Config,
    asked: Asked,
    cameras: Sequence[str],
    files: bool,
    console: Console,
) -> list[SitePlan]:
    known = {one.id: {camera.id for camera in one.cameras} for one in list_sites(conn)}
    now = datetime.now(UTC)
    disks: dict[str, OnDisk] = {}
    for site in asked.sites:
        with console.status(f"{site.id}: looking into {site.footage} ..."):
            disks[site.id] = look_at_disk(site, config, now)
    there = {
        site.id: known.get(site.id, set()) | {one.id for one in site.cameras} | disks[site.id].cameras
        for site in asked.sites
    }
    every = set().union(*there.values())
    for word in cameras:
        if word not in every:
            where = f" at {asked.sites[0].id}" if len(asked.sites) == 1 else ""
            raise CatalogueError(
                f'There is no camera "{word}"{where}.{nearest(word, every)}',
                f"Known: {', '.join(sorted(every)[:20])}." if every else "Nothing was ever seen there.",
            )
    plans = []
    for site in asked.sites:
        named = tuple(word for word in cameras if word in there[site.id])
        if cameras and not named:
            continue
        order = Order(
            backfill_id=0,
            site=site.id,
            mode=asked.mode,
            from_utc=asked.begin.begins(site.zone),
            to_utc=asked.end.ends(site.zone),
            cameras=named,
            profile=asked.profile,
            cap=asked.cap,
        )
        other = backfills.overlapping(conn, order)
        if other is not None:
            raise backfills.overlap_error(site.id, other)
        with console.status(f"{site.id}: comparing it with the catalogue ..."):
            plans.append(survey(conn, home, site, disks[site.id], order, now, keep_files=files))
    return plans
