"""Purging from end to end: look at the stores, plan, apply in two phases, prove. For the DAG and the command line.

Everything may be killed at any instruction and called again: a plan's copies that have no outcome yet are gone on with,
and copies that were marked are finished first. The rules are in `vms.retention`, the breaker in
`vms.retention_breaker`, what the catalogue does in `vms.catalogue.purging`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from vms.catalogue import purge_facts, purge_plans
from vms.catalogue.connection import Connection
from vms.catalogue.dead_months import drop_dead_months
from vms.catalogue.events import Actor
from vms.catalogue.expired import Expired, older_than
from vms.catalogue.holds import while_purging
from vms.catalogue.orders import Place
from vms.catalogue.partitions import ensure_partitions, months_ahead
from vms.catalogue.purge_plans import PurgePlan
from vms.catalogue.purging import (
    MarkedCopy,
    close,
    close_leftover,
    leftovers,
    mark,
    open_items,
    spoiled_leftovers,
    unmark,
)
from vms.config import Config
from vms.errors import CatalogueError, ConfigError, StoreError, StoreUnreachable, VmsError, WrongStore
from vms.model import RunRef, StoreTarget
from vms.retention import Decision, PlanSums, Rules, decide, rules_of
from vms.retention_breaker import APPROVAL, StoreLook, alarms, worst_day
from vms.stores import Store, open_store
from vms.stores.keeping import Protection, Protects, SetsAside

logger = logging.getLogger(__name__)

BATCH = 500
"""Recordings that are marked, deleted and closed together: with their previews one or two calls to a bucket."""

_SAMPLE = 10
_LISTINGS = 280
"""Most camera-days that are listed in each store to see whether the catalogue is older than its objects."""

_PLANNED_AT_ONCE = 2000
_UNDER_WAY = timedelta(hours=6)  # an object younger than this may be waiting to be recorded

Report = Callable[[str], None]


@dataclass(frozen=True)
class StoreOutcome:
    """What was done in one store: copies deleted, and those that stayed after all."""

    store: str
    gone: int
    stayed: int


def make_plan(
    conn: Connection, config: Config, made_by: str, now: datetime, *, late: bool = False, report: Report = logger.info
) -> PurgePlan:
    """Write down what would be purged now (UTC); nothing is deleted. late: also what came too old already.

    Raises ConfigError when sites.yaml has a mistake that concerns all sites: nothing is purged by half a rule.
    """
    rules = _rules(config)
    # a catalogue that was restored is as old as its backup at most, and nothing tells how long the centre was off since
    back = config.backup.keep + timedelta(days=1)
    looks = [look_at_store(conn, store, now, back) for store in purge_facts.stores_in_use(conn)]
    for look in looks:
        report(f"{look.name}: {_told(look)}")
    away = frozenset(look.store_id for look in looks if look.unusable)
    past, clock = purge_facts.past_runs(conn), purge_facts.clock_facts(conn, now)
    living = purge_facts.living_by_site(conn)
    bounds = {}
    for look in looks:
        shortest = rules.shortest(look.name)
        if shortest is not None:
            bounds[look.store_id] = now - shortest
    sums = PlanSums()
    with conn, conn.cursor() as cursor:
        plan_id = purge_plans.begin_plan(cursor, made_by, now, late=late, away=away)
        decided: list[Decision] = []
        for expired in older_than(conn, bounds):
            decision = decide(expired.recorded, rules, now, away=away, also_late=late)
            sums.add(decision)
            if decision.purge:
                decided.append(decision)
            if len(decided) >= _PLANNED_AT_ONCE:
                purge_plans.add_items(cursor, plan_id, decided)
                decided.clear()
        purge_plans.add_items(cursor, plan_id, decided)
        for name, site in sums.sites.items():
            site.living = living.get(name, 0)
        found = alarms(sums, rules, config.retention_policy, looks, clock, past, now)
        purge_plans.finish_plan(cursor, plan_id, sums, found, now, APPROVAL)
    return purge_plans.get_plan(conn, plan_id)


def apply_in_store(
    conn: Connection,
    config: Config,
    plan_id: int,
    store: StoreTarget,
    run: RunRef,
    now: datetime,
    *,
    report: Report = logger.info,
) -> StoreOutcome:
    """Purge what this plan, and a killed one before it, has in this store. Goes on where an earlier call was stopped.

    Raises CatalogueError when the plan may not be applied, StoreUnreachable (WrongStore) when the store is away, is not
    itself, or has lost what it should hold: then nothing is purged there.
    """
    rules = _rules(config)
    plan = purge_plans.start_applying(conn, plan_id, now)
    look = look_at_store(conn, store, now)
    if look.unusable:
        refusal = WrongStore if look.wrong or look.empty else StoreUnreachable
        raise refusal(f"Nothing is purged from store {store.name}: {_told(look)}", "Look at the store, then try again.")
    opened = open_store(store.name, store.url, conn_id=store.conn_id, options=store.options)
    opened.identify(store.identity)
    ensure_partitions(conn, months_ahead(now))
    actor = Actor(run, now)
    aside = config.retention_policy.undo > timedelta(0)
    gone = _finish_leftovers(conn, actor, store.store_id, opened, aside, report)
    done = 0

    def decide_now(expired: Expired) -> Decision:
        return decide(expired.recorded, rules, now, away=plan.away, also_late=plan.late)

    before: list[Place] = []
    while True:
        with while_purging(conn):
            places = open_items(conn, plan_id, store.store_id, BATCH)
            if not places:
                break
            if places == before:
                raise CatalogueError(f"Plan {plan_id} is no longer being applied.", "Make a new one.")
            before = places
            marked = mark(conn, actor, plan_id, store.store_id, places, decide_now)
            gone += _delete(conn, actor, store.store_id, opened, marked, aside)
        done += len(places)
        report(f"{store.name}: {done} copies looked at, {gone} deleted")
    _purge_spoiled(conn, actor, store.store_id, opened, aside, report)
    return StoreOutcome(store.name, gone, done - gone)


def finish(conn: Connection, config: Config, plan_id: int, now: datetime, *, report: Report = logger.info) -> PurgePlan:
    """Close the plan when every copy has its outcome, empty what is past its undo window, forget what is long over."""
    for old in purge_plans.list_plans(conn, 100, "applying"):
        if old.plan_id < plan_id:
            purge_plans.give_up_open_items(conn, old.plan_id)
            purge_plans.finish_applying(conn, old.plan_id, now)
    plan = purge_plans.finish_applying(conn, plan_id, now)
    before = (now - config.retention_policy.undo).date()
    for store in purge_facts.known_stores(conn):
        try:
            opened = open_store(store.name, store.url, conn_id=store.conn_id, options=store.options)
            if isinstance(opened, SetsAside):
                opened.identify(store.identity)
                freed = opened.clear_aside(before)
                if freed:
                    report(f"{store.name}: {freed} bytes whose undo window is over are freed")
        except VmsError as error:
            report(f"{store.name}: its undo area could not be emptied ({error.message})")
    for month in drop_dead_months(conn, now):
        report(f"nothing of {month} is left, its rows are dropped")
    purge_plans.drop_old_items(conn, now - config.retention_policy.undo - timedelta(days=30))
    return plan


def prove(conn: Connection, plan_id: int, *, report: Report = logger.info) -> list[str]:
    """Look again, in each store, whether a sample of what was purged is really gone. Returns what is not as it should.

    A store that can't be reached is reported and proves nothing.
    """
    wrong = []
    for store in purge_facts.stores_of_plan(conn, plan_id):
        keys = purge_facts.gone_sample(conn, plan_id, store.store_id, 2 * _SAMPLE)
        if not keys:
            continue
        try:
            opened = open_store(store.name, store.url, conn_id=store.conn_id, options=store.options)
            opened.identify(store.identity)
            left = [key for key in keys if opened.head(key) is not None]
        except StoreError as error:
            wrong.append(f"{store.name}: it could not be looked at: {error}")
            continue
        wrong += [f"{store.name}: {key} is still there, though it was confirmed gone" for key in left]
        report(f"{store.name}: {len(keys) - len(left)} of {len(keys)} objects looked for are gone")
    return wrong


def look_at_store(conn: Connection, store: StoreTarget, now: datetime, back: timedelta | None = None) -> StoreLook:
    """Whether the store is itself, holds what it should, and nothing that the catalogue does not know, as far as its
    footage is not older than `back` (None: not asked). Never raises for a store that is away: the look says so."""
    about = StoreLook(store.store_id, store.name)
    try:
        opened = open_store(store.name, store.url, conn_id=store.conn_id, options=store.options)
        if store.identity is None:
            raise WrongStore(f"Store {store.name} has copies but no identity that the catalogue knows.")  # noqa: TRY301
        opened.identify(store.identity)
        keys = purge_facts.sample_keys(conn, store.store_id, _SAMPLE)
        missing = sum(opened.head(key) is None for key in keys)
        days = {} if back is None else _unknown_by_day(conn, store, opened, now, back)
    except WrongStore as error:
        return StoreLook(about.store_id, about.name, wrong=True, problem=error.message)
    except VmsError as error:
        return StoreLook(about.store_id, about.name, away=True, problem=error.message)
    day, recent, unknown = worst_day(days)
    return StoreLook(about.store_id, about.name, False, False, "", len(keys), missing, recent, unknown, day)


def _unknown_by_day(
    conn: Connection, store: StoreTarget, opened: Store, now: datetime, back: timedelta
) -> dict[str, tuple[int, int]]:
    """Objects of some cameras' footage, by day (UTC) as far back as said, and how many of them the catalogue has no row
    of."""
    found: dict[str, tuple[int, int]] = {}
    days = [now - timedelta(days=one) for one in range(max(2, back.days + 1))]
    cameras = purge_facts.recent_cameras(conn, now - back, max(2, min(10, _LISTINGS // len(days))))
    for day in days:
        recent = unknown = 0
        for site, camera in cameras:
            known = purge_facts.known_keys(conn, store.store_id, site, camera, day)
            for one in opened.list(f"{site}/{camera}/{day:%Y/%m/%d}/"):
                if one.modified_at < now - _UNDER_WAY:
                    recent += 1
                    unknown += one.key not in known
        if recent:
            found[f"{day:%Y-%m-%d}"] = (recent, unknown)
    return found


def _finish_leftovers(conn: Connection, actor: Actor, store_id: int, opened: Store, aside: bool, report: Report) -> int:
    gone = 0
    while True:
        with while_purging(conn):
            marked, held = leftovers(conn, store_id, BATCH)
            there = [key for one in held for key in _keys(one) if opened.head(key) is not None]
            unmark(conn, actor, store_id, held, there)
            finished = _delete(conn, actor, store_id, opened, marked, aside)
        if marked or held:
            report(f"{opened.name}: {len(marked)} copies that a stopped run had marked are finished, {len(held)} held")
        gone += finished
        if not finished and not held:
            return gone


def _purge_spoiled(conn: Connection, actor: Actor, store_id: int, opened: Store, aside: bool, report: Report) -> None:
    """Damaged objects beside repaired copies go after them. Each row is closed when its object is gone, so that a stop
    in between is finished by the next run; what the store keeps locked stays listed."""
    take = opened.set_aside if aside and isinstance(opened, SetsAside) else opened.delete
    with while_purging(conn):
        due = spoiled_leftovers(conn, store_id)
        gone = set(take([key for _, key in due])) if due else set()
        for known, key in due:
            if key in gone:
                close_leftover(conn, actor, store_id, known, key)
    if due:
        report(f"{opened.name}: {len(gone)} of {len(due)} damaged objects that had been repaired are deleted")


def _delete(
    conn: Connection, actor: Actor, store_id: int, opened: Store, marked: Sequence[MarkedCopy], aside: bool
) -> int:
    """Delete the objects of marked copies, footage first, and close them; returns how many copies are gone."""
    if not marked:
        return 0
    take = opened.set_aside if aside and isinstance(opened, SetsAside) else opened.delete
    gone = set(take([one.footage for one in marked if one.footage]))
    previews = [key for one in marked if not one.footage or one.footage in gone for key in one.previews]
    gone |= set(take(previews)) if previews else set()

    def protection(key: str) -> Protection | None:
        return opened.protection(key) if isinstance(opened, Protects) else None

    return close(conn, actor, store_id, marked, gone, protection)


def _rules(config: Config) -> Rules:
    for error in config.errors:
        if not error.id:
            raise ConfigError(
                f"Nothing is purged while sites.yaml has a mistake that may concern every site:\n{error.message}",
                "Correct it; `vms sites check` shows what is still wrong.",
            )
    return rules_of(config)


def _keys(one: MarkedCopy) -> Iterable[str]:
    return [key for key in (one.footage, *one.previews) if key]


def _told(look: StoreLook) -> str:
    if look.away or look.wrong:
        return look.problem
    missing = f"{look.missing} of {look.looked} copies looked for are missing" if look.missing else "is there"
    if not look.unknown:
        return f"{missing}, and the catalogue knows what was looked at of its newer objects"
    return f"{missing}, {look.unknown} of {look.recent} objects of {look.day} are not in the catalogue"
