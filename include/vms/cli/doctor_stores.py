"""What `vms doctor` finds about where footage is kept: space that runs short, stores that are out, slow uploads, and
whether the catalogue is backed up."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from vms.cli.doctor_finding import Finding
from vms.cli.status import Overview
from vms.cli.wording import size_text
from vms.config import Config, StoreConfig
from vms.errors import VmsError
from vms.home import Home
from vms.stack import postgres
from vms.stores import Finding as StoreFinding
from vms.stores import Store, open_store
from vms.stores.narrow import is_bucket

HOME_FLOOR_BYTES = 2_000_000_000
STORE_FLOOR_BYTES = 20_000_000_000
SLOW_MBIT_S = 1.0
"""Below this not even a few cameras' renditions get through."""


def storage(home: Home, seen: Overview, config: Config | None) -> Iterator[Finding]:
    """Where space may be short: here, in staging, in each store as the sites last met it and as it is now."""
    group = "Storage full"
    yield _space(group, "the state folder", home.root, HOME_FLOOR_BYTES, "Free some space, or set VMS_HOME elsewhere.")
    yield from _answered_badly(group, seen, states=("full",))
    if config is None:
        return
    for folder in sorted({site.staging for site in config.sites if site.staging and site.staging.exists()}):
        yield _space(
            group, "staging", folder, HOME_FLOOR_BYTES, "Free some space, or set another `staging` in sites.yaml."
        )
    for store in config.stores:
        if home.branch and is_bucket(store.url):
            continue  # which has no end, and its key here can read nothing
        try:
            free = _opened(store, seen).free_bytes()
        except VmsError as error:
            yield _not_reached(group, home, seen, store, error)
            continue
        if free is not None:
            ok = free >= STORE_FLOOR_BYTES
            words = f"Store {store.name} has {size_text(free)} free."
            remedy = "" if ok else "Give it more space, add a store, or shorten `retention` in sites.yaml."
            yield Finding(group, ok, words, remedy)


def _opened(store: StoreConfig, seen: Overview) -> Store:
    """The store, when it is the one that the catalogue knows; a folder whose mount is missing must not become one.

    Raises StoreError.
    """
    opened = open_store(store.name, store.url, conn_id=store.conn_id, options=store.options)
    if seen.identities is None:
        opened.head("vms-check/is-it-there")
    else:
        opened.identify(seen.identities.get(store.name))
    return opened


def _checked(home: Home, store: StoreConfig, seen: Overview) -> list[StoreFinding]:
    """Raises StoreError. At a branch the key can only write, and should; the centre checks the store as such."""
    if home.branch and is_bucket(store.url):
        from vms.cli.stores import narrow  # only where it is used

        return narrow(store, home.branch)
    return _opened(store, seen).check()


def _not_reached(group: str, home: Home, seen: Overview, store: StoreConfig, error: VmsError) -> Finding:
    if seen.identities is not None or _was_started(home):
        return Finding(group, False, error.message, error.remedy)
    return Finding(group, True, f"Store {store.name} ({store.url}) is not prepared yet: the first run does that.")


def _was_started(home: Home) -> bool:
    try:
        postgres.read_address(home)
    except VmsError:
        return bool(home.postgres_url)
    return True


def upload(home: Home, seen: Overview, config: Config | None) -> Iterator[Finding]:
    """What keeps footage from the stores: each site's backlog, each store as it was last met and as it answers now."""
    group = "Slow upload"
    for one in seen.waiting:
        yield Finding(group, False, str(one.get("why", "A site waits.")), "See the finding about that disk.")
    waiting = sum(site.counts.get("planned", 0) for site in seen.sites)
    if not home.branch:  # there it is told with the other facts of the branch
        yield Finding(group, True, f"{waiting} recordings wait for their compression or upload.")
    yield from _backlogs(group, seen)
    yield from _answered_badly(group, seen, states=("unreachable", "denied", "refused"))
    for store in config.stores if config else ():
        try:
            findings = _checked(home, store, seen)
        except VmsError as error:
            yield _not_reached(group, home, seen, store, error)
            continue
        for found in findings:
            yield Finding(group, found.ok, f"Store {store.name}: {found.what}", found.remedy)
        speed = next((found.numbers["up_mbit_s"] for found in findings if "up_mbit_s" in found.numbers), SLOW_MBIT_S)
        if speed < SLOW_MBIT_S:
            remedy = "Check the line to it and what else uses the line; uploads go on by themselves, only slowly."
            yield Finding(group, False, f"Store {store.name} takes only {speed:.2f} Mbit/s.", remedy)
    load = os.getloadavg()[1] / (os.cpu_count() or 1)
    remedy = "Compression sets the pace: more cores, a faster profile, or `profile: copy` for a site in sites.yaml."
    yield Finding(
        group,
        True,
        f"The processors are {'busy' if load > 1 else 'not busy'} (load {load:.1f} per core)."
        + (f" {remedy}" if load > 2 else ""),
    )


def backup(seen: Overview) -> Iterator[Finding]:
    """Whether the catalogue itself was backed up lately."""
    group = "Backup of the catalogue"
    if seen.backup_overdue:
        remedy = "./vms backup makes one; why the DAG `backup` made none, its last run in Airflow tells."
        yield Finding(group, False, seen.backup_overdue, remedy)
    elif seen.backup is not None:
        yield Finding(group, True, f"The last good one is of {seen.backup.made_at:%Y-%m-%d %H:%M} UTC.")
    else:
        yield Finding(group, True, "There is none yet; the DAG `backup` makes one every day.")


def _backlogs(group: str, seen: Overview) -> Iterator[Finding]:
    for site, backlog in sorted(seen.backlogs.items()):
        hours = backlog.footage_s / 3600
        if backlog.falls_behind:
            yield Finding(
                group,
                False,
                f"{site}: {hours:.1f} hours of footage wait, and new footage comes as fast as it is archived.",
                "Compare the stores' speeds and the processors' load below: the slower of the two sets the pace.",
            )
        elif backlog.files and backlog.catches_up_s is not None:
            done = f"will be done in {backlog.catches_up_s / 3600:.1f} hours at its pace of the last day"
            yield Finding(group, True, f"{site}: {hours:.1f} hours of footage wait and {done}.")
        if backlog.missing_copies:
            yield Finding(group, True, f"{site}: {backlog.missing_copies} copies are missing; later runs make them.")


def _answered_badly(group: str, seen: Overview, states: tuple[str, ...]) -> Iterator[Finding]:
    for one in seen.stores:
        if one.state in states:
            words = f"{one.site}: store {one.store} is {one.state} since {one.since:%Y-%m-%d %H:%M} UTC: {one.message}"
            yield Finding(group, False, words, one.remedy)


def _space(group: str, what: str, folder: Path, floor: int, remedy: str) -> Finding:
    try:
        free = shutil.disk_usage(folder if folder.exists() else folder.parent).free
    except OSError as error:
        return Finding(group, False, f"{folder} ({what}) can't be read ({error.strerror}).", remedy)
    ok = free >= floor
    return Finding(group, ok, f"{size_text(free)} are free in {folder} ({what}).", "" if ok else remedy)
