"""One round of alerts: look, open and close, then send what waits. Every five minutes by the DAG, by hand otherwise.

State lies in the catalogue only, so a round that is killed at any point is made good by the next one. Several messages
for one target become one text: a hundred cameras behind one dead switch, or what quiet hours held back.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from vms import coldness
from vms.alerts import wording
from vms.alerts.conditions import KINDS, LOOK_BACK, Facts, SiteFacts, StoreAnswer, find_conditions
from vms.alerts.picture import coverage_picture
from vms.alerts.sending import send
from vms.backups import not_backed_up_since, overdue_after
from vms.catalogue import alerts as kept
from vms.catalogue import reads, restores
from vms.catalogue.branches import list_branches
from vms.catalogue.connection import Connection
from vms.catalogue.coverage import camera_days, load_facts
from vms.catalogue.purge_plans import list_plans
from vms.catalogue.reads_sites import site_overviews
from vms.catalogue.reads_stores import store_states
from vms.config import Config, Site
from vms.config_alerts import AlertPolicy, AlertTarget
from vms.errors import ConfigError, VmsError
from vms.home import Home
from vms.proofs import forecasts
from vms.stores.cold import Cold
from vms.stores.expiry import Expiries, expiries

FORECAST_EVERY = timedelta(hours=6)  # it asks each store for its room, and servers for their certificates
PICTURE_DAYS = 14
_USUAL_S = 300.0  # of a camera with a single file
_MOST_RESTORES = 100  # looked at in a round, a request to the store for each

Report = Callable[[str], None]


@dataclass(frozen=True)
class Round:
    """open: alerts that are open now. sent: messages that were taken. held: that wait for the end of the quiet hours.
    errors: why others were not sent, by target; they are tried again."""

    open: int
    sent: int
    held: int
    errors: dict[str, str]


def run_round(conn: Connection, home: Home, config: Config, now: datetime, report: Report) -> Round:
    """Look and send. now: UTC. report gets a line for what was sent or failed.

    Raises ConfigError when the alerts section has mistakes, CatalogueError when another round is under way.
    """
    policy = policy_of(config)
    with kept.one_round(conn):
        _look(conn, home, config, policy, now)
        _plan_digests(conn, config, policy, now)
        _look_for_restored(conn, policy, now)
        return _send(conn, config, policy, now, report)


def policy_of(config: Config) -> AlertPolicy:
    """Raises ConfigError when the alerts section has mistakes."""
    if config.alerts.wrong:
        message = "\n".join(error.message for error in config.errors if not error.id)
        raise ConfigError(message, "Correct the alerts in sites.yaml; until then nobody is told of anything.")
    return config.alerts


def _look(conn: Connection, home: Home, config: Config, policy: AlertPolicy, now: datetime) -> None:
    asked = kept.last_done(conn, "forecast")
    forecast_due = asked is None or asked + FORECAST_EVERY <= now
    if forecast_due:
        kept.note_done(conn, "forecast", now)  # first, so that a store that hangs does not stop every round
    sites = {site.id for site in config.sites if site.enabled}
    wanted = sites | {error.id for error in config.errors if error.id}
    kept.keep_awaited(conn, [site for site in config.sites if site.enabled], wanted, now)
    found = find_conditions(_facts(conn, home, config, now, with_forecast=forecast_due), policy, now)
    wrong = [(*one.key, one.detail) for one in found.conditions]
    misspelt = {(kind, error.id) for error in config.errors if error.id for kind in KINDS}
    targets = [one.name for one in policy.targets]
    kept.keep_alerts(conn, wrong, found.unknown | misspelt, sites, targets, now)
    kept.note_done(conn, "look", now)


def _facts(conn: Connection, home: Home, config: Config, now: datetime, *, with_forecast: bool) -> Facts:
    sites = {site.id: site for site in config.sites if site.enabled}
    seen = {one.site: one for one in site_overviews(conn) if one.site in sites}
    waiting, lost, usual = kept.waiting_since(conn), kept.lost_by_site(conn), kept.usual_intervals(conn, now)
    facts = []
    for name, site in sites.items():
        overview = seen.get(name)
        count, since = waiting.get(name, (0, None))
        facts.append(
            SiteFacts(
                name,
                site.zone,
                overview.last_sensed if overview else None,
                max(3 * site.every, timedelta(minutes=30)),
                count,
                since,
                overview.counts.get("quarantined", 0) if overview else 0,
                lost.get(name, 0),
                frozenset(one.name for one in (*site.stores, *([site.fallback] if site.fallback else []))),
                overview.awaited_since if overview else None,
            )
        )
    cameras = (
        load_facts(conn, (now - LOOK_BACK).date(), now.date(), sites=tuple(seen), now=now) if seen else []
    )  # no site at all would mean every site
    full, ends = None, Expiries((), {})
    if with_forecast:
        ends = _ends(config)
        full = {one.store: (one.full_on - now.date()).days for one in forecasts(conn, config, now) if one.full_on}
    return Facts(
        sites=facts,
        cameras=[(one, usual.get((one.site, one.camera), _USUAL_S)) for one in cameras],
        answers=[StoreAnswer(one.site, one.store, one.state, one.message) for one in store_states(conn)],
        broken=kept.broken_by_store(conn),
        full_in_days=full,
        plans={one.plan_id: one.recordings for one in list_plans(conn, 10, "waiting") if one.expires_at > now},
        free=_free(home, list(sites.values())),
        expiring={(one.what, one.name): one.until for one in ends.found} | _branches(conn, now),
        all_asked=with_forecast and not ends.unread,
        backup=not_backed_up_since(home),
        backup_age=overdue_after(config.backup),
    )


def _branches(conn: Connection, now: datetime) -> dict[tuple[str, str], datetime]:
    """When certificates of branches end, or ended. They renew them a month before."""
    return {("branch", one.site): one.until for one in list_branches(conn, now) if one.until and one.state != "revoked"}


def _ends(config: Config) -> Expiries:
    """When certificates and credentials end, of stores and of those who are told."""
    return expiries([*(one.conn_id for one in config.stores), *(one.conn_id for one in config.alerts.targets)])


def _free(home: Home, sites: Sequence[Site]) -> dict[str, int]:
    """Free bytes of the disks of the state folder and of staging folders, each disk once."""
    free: dict[int, tuple[str, int]] = {}
    for folder in (home.root, *(site.staging for site in sites if site.staging is not None)):
        there = next((one for one in (folder, *folder.parents) if one.exists()), Path("/"))
        free.setdefault(there.stat().st_dev, (str(folder), shutil.disk_usage(there).free))
    return dict(free.values())


def _plan_digests(conn: Connection, config: Config, policy: AlertPolicy, now: datetime) -> None:
    if policy.digest is None or not policy.targets:
        return
    for site in config.sites:
        local = now.astimezone(site.zone)
        if site.enabled and local.time() >= policy.digest:
            yesterday = local.date() - timedelta(days=1)
            kept.add_digest(conn, site.id, yesterday, [one.name for one in policy.targets], now)


def _look_for_restored(conn: Connection, policy: AlertPolicy, now: datetime) -> None:
    """Whoever waits for footage from cold storage is told when its store has restored it: in the viewer, and here."""
    for one in restores.waited_for(conn, now, _MOST_RESTORES):
        found = coldness.of(reads.locate(conn, one.recording_id, one.start_utc, "rendition"))
        if found == "readable":
            restores.note_readable(conn, [(one.recording_id, one.start_utc)])
        if found == "readable" or (isinstance(found, Cold) and found.state == "ready"):
            until = found.until if isinstance(found, Cold) else None
            restores.note_ready(conn, one, until, [target.name for target in policy.targets], now)


def _send(conn: Connection, config: Config, policy: AlertPolicy, now: datetime, report: Report) -> Round:
    waiting = kept.waiting_messages(conn)
    errors = {one.target: one.error for one in waiting if one.error}
    quiet = policy.is_quiet(now)
    sent = 0
    zones = {site.id: site.zone for site in config.sites}
    for target in policy.targets:
        due = [one for one in waiting if one.target == target.name and one.is_due(now)] if not quiet else []
        news = [one for one in due if one.alert is not None]
        bundles = [news] if news else []
        bundles += [[one] for one in due if one.alert is None]
        for bundle in bundles:
            ids = [one.message_id for one in bundle]
            try:
                _deliver(conn, target, bundle, zones, policy, now)
            except VmsError as error:
                kept.note_failed(conn, ids, error.message, now)
                errors[target.name] = str(error)
                report(f"{len(ids)} messages to {target.name} not sent: {error}")
                break  # what follows would fare no better, and a service that limits calls wants no more of them
            kept.note_sent(conn, ids, now)
            sent += len(ids)
            report(f"{len(ids)} messages sent to {target.name}")
    left = kept.waiting_messages(conn)
    still = {one.target for one in left if one.error}
    return Round(
        len(kept.list_alerts(conn)), sent, len(left) if quiet else 0, {k: v for k, v in errors.items() if k in still}
    )


def _deliver(
    conn: Connection,
    target: AlertTarget,
    bundle: Sequence[kept.MessageRow],
    zones: dict[str, ZoneInfo],
    policy: AlertPolicy,
    now: datetime,
) -> None:
    """One text for all of the bundle: a digest, the end of a restore, or the beginnings and ends of alerts."""
    language = policy.language
    usual = ZoneInfo(policy.time_zone)
    first = bundle[0]
    if first.day is not None:
        zone = zones.get(first.site, usual)
        send(target, *_digest(conn, first.site, first.day, zone, policy, now))
        return
    if first.detail is not None:
        send(target, "VMS", wording.restored_text(language, first.site, first.detail, zones.get(first.site, usual)))
        return
    texts = []
    for one in bundle:
        if one.alert is not None:
            zone = zones.get(one.alert.site, usual)
            make = wording.begin_text if one.kind == "begin" else wording.end_text
            texts.append(make(language, one.alert, zone))
    title = wording.phrase(language, "several", count=len(texts)) if len(texts) > 1 else "VMS"
    send(target, title, wording.joined(language, texts))


def _digest(
    conn: Connection, site: str, day: date, zone: ZoneInfo, policy: AlertPolicy, now: datetime
) -> tuple[str, str, bytes]:
    """Title, text and picture."""
    days = camera_days(conn, day - timedelta(days=PICTURE_DAYS - 1), day, sites=(site,), now=now)
    open_alerts = [
        wording.short_text(policy.language, one, zone)
        for one in kept.list_alerts(conn)
        if one.site in (site, "") and one.closed_at is None
    ]
    title = wording.phrase(policy.language, "digest", site=site, day=wording.day_text(day))
    text = wording.digest_text(policy.language, [one for one in days if one.day == day], open_alerts)
    about = f"{site}: {wording.phrase(policy.language, 'picture', count=PICTURE_DAYS)}"
    return title, text, coverage_picture(about, days)
