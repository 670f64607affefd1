"""The tasks between sense and verdict. Each loads what it needs, calls one function of `vms`, and hands JSON on.

compress, upload and release run on the site's machine and never talk to the catalogue; plan and record do.
Every task can be killed, retried and cleared in Airflow at any moment: what is done is found again on disk, in the
store and in the catalogue, so that a rerun only does what is missing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from vms.config import Site
from vms.home import Home
from vms.model import Batch, Recorded, ReleaseOrder, dump, load
from vms.receipts import Copied, Receipt
from vms.sightings import Sensed, SourceSeen
from vms.uplink import UNLIMITED
from vms_airflow.patience import wait_for_stores
from vms_airflow.stop import stoppable
from vms_airflow.surroundings import at_a_branch, catalogue, installation, outcome, outcomes, run_ref

log = logging.getLogger(__name__)

DUE = "due"
SETTLED = "settled"


@task(show_return_value_in_logs=False)
@stoppable
def plan(site: str, sensed: Any) -> Any:
    """Subtract what the catalogue knows, cut the rest into batches, and say what is due for release.

    For a branch, whose keys may only write, it also looks into the stores: what they hold, and what may be released.
    """
    from vms.catalogue.planning import plan_run
    from vms.steps.look_ahead import look_ahead
    from vms.steps.standing import vouch

    context = get_current_context()
    home, _, place = installation(site)
    with catalogue(home) as conn:
        made = plan_run(conn, place, load(Sensed, sensed), run_ref(context), datetime.now(UTC))
        if at_a_branch(place):
            _use_hooks()
            made = replace(made, batches=look_ahead(conn, made.batches, log.warning))
            made = replace(made, due=vouch(made.due, datetime.now(UTC), log.warning))
    for batch in made.batches:
        log.info("batch: %s, to %s", batch.title, ", ".join(store.name for store in batch.stores))
    files = sum(len(batch.items) for batch in made.batches)
    log.info("%d files to archive, %d recordings whose source files may be due to go", files, len(made.due))
    context["ti"].xcom_push(key=DUE, value=dump(made.due))
    context["ti"].xcom_push(key=SETTLED, value=dump(made.settled))
    return dump(made.batches)


@task(show_return_value_in_logs=False)
@stoppable
def compress(site: str, batch: Any) -> Any:
    """Make rendition and previews of each file of the batch. A file that can't be used never stops the others."""
    from vms.steps.compress import compress_batch

    home, _, place = installation(site)
    receipts = compress_batch(load(Batch, batch), place, home, report=log.info)
    return dump(receipts)


@task(show_return_value_in_logs=False)
@stoppable
def upload(site: str, batch: Any, receipts: Any) -> Any:
    """Put each rendition into each store and have the store confirm it. Goes on where an earlier try was stopped.

    What the stores did take is handed on in any case. While too few stores can be reached, it waits without using up
    tries; where somebody has to act first, it fails at once and says what to do. At a branch, whose keys may only
    write, it is the task `record` that has the stores confirm, and that copies what a further store lacks.
    """
    from vms.steps.replicate import copy_batch
    from vms.steps.upload import missing_of, upload_batch

    _use_hooks()
    home, _, place = installation(site)
    work = load(Batch, batch)
    context = get_current_context()
    if work.is_copies:
        if at_a_branch(place):
            log.info("The centre makes these copies, from a store that holds them.")
            return
        copied = copy_batch(work, place, home, report=log.info)
        context["ti"].xcom_push(key="return_value", value=dump(copied))
        _fail_for_good(work, copied)
        return
    may_look = not at_a_branch(place)
    done = upload_batch(work, _receipts(receipts), place, home, report=log.info, may_look=may_look)
    if home.branch:
        from vms.branches.view import note_sent

        note_sent(home, done, datetime.now(UTC))
    context["ti"].xcom_push(key="return_value", value=dump(done))
    wait_for_stores(context, home, site, missing_of(work, done))


@task(show_return_value_in_logs=False)
@stoppable
def record(site: str, batch: Any, receipts: Any) -> Any:
    """Commit to the catalogue what the stores have confirmed and what can't be used, one transaction per file.

    What a branch says it has put is first looked for in the stores, and nothing but what they show counts, whatever its
    receipt says. While a store can't be reached from here, it waits without using up tries.
    """
    from vms.catalogue.copying import record_copies
    from vms.catalogue.custody import record_receipts
    from vms.steps.standing import vouch
    from vms.steps.vouch import prove_unproven

    context = get_current_context()
    home, _, place = installation(site)
    work = load(Batch, batch)
    if work.is_copies and at_a_branch(place):
        receipts = dump(_copied_here(work, place, home))
    if receipts is None:
        raise AirflowSkipException("Nothing came back from this batch. Its files stay planned for the next run.")
    run, now = run_ref(context), datetime.now(UTC)
    if work.is_copies:
        copied = [load(Copied, one) for one in receipts]
        with catalogue(home) as conn:
            record_copies(conn, copied, run, now)
        log.info("%d of %d copies made", sum(one.fault is None for one in copied), len(work.orders))
        if at_a_branch(place):
            _fail_for_good(work, copied)
        return dump(Recorded(work.batch_id, (), (), ()))
    sent = _receipts(receipts)
    missing = None
    if at_a_branch(place) or any(receipt.unproven for receipt in sent):
        _use_hooks()
        vouched = prove_unproven(work, sent, place, home, log.info)
        sent, missing = vouched.receipts, vouched.missing
    with catalogue(home) as conn:
        recorded = record_receipts(conn, work, sent, run, now, place.keep_source)
    if at_a_branch(place):
        recorded = replace(recorded, archived=vouch(recorded.archived, datetime.now(UTC), log.warning))
    log.info(
        "%d archived, %d quarantined, %d not finished",
        *(len(recorded.archived), len(recorded.quarantined), len(recorded.unfinished)),
    )
    if missing is not None and (missing.line or missing.act):
        wait_for_stores(context, home, site, missing)
    return dump(recorded)


def _copied_here(work: Batch, place: Site, home: Home) -> tuple[Copied, ...]:
    """The copies that a branch's keys can't make: the centre reads and writes, over its own line."""
    from vms.steps.replicate import copy_batch

    _use_hooks()
    return copy_batch(work, replace(place, staging=None, uplink=UNLIMITED), home, report=log.info)


def _fail_for_good(work: Batch, copied: Sequence[Copied]) -> None:
    """Tell what is missing. Raises AirflowFailException where somebody has to act first."""
    from vms.steps.replicate import unsent

    for line in unsent(copied, work.stores[0].name):
        log.warning("%s", line)
    faults = {one.fault.message: one.fault for one in copied if one.fault}
    if any(fault.permanent for fault in faults.values()):
        raise AirflowFailException("\n".join(f"{fault.message} {fault.remedy}" for fault in faults.values()))


@task(show_return_value_in_logs=False)
@stoppable
def release(site: str) -> Any:
    """Remove source and staging files of recordings that the catalogue has committed as archived, when it is time."""
    from vms.steps.release import release as release_sources

    _use_hooks()
    context = get_current_context()
    due = outcome(context, "plan", DUE)
    if due is None:
        raise AirflowSkipException("This run has no plan, so nothing is released.")
    recorded = [load(Recorded, one) for one in outcomes(context, "batch.record")]
    orders = [load(ReleaseOrder, one) for one in due]
    orders += [order for one in recorded for order in one.archived]
    settled = [load(SourceSeen, one) for one in outcome(context, "plan", SETTLED) or ()]
    settled += [source for one in recorded for source in one.quarantined]
    home, _, place = installation(site)
    if home.branch:
        from vms.branches.view import note_proven

        note_proven(home, orders, datetime.now(UTC))
    receipts = release_sources(
        place, home, orders, settled, now=datetime.now(UTC), report=log.info, may_look=not at_a_branch(place)
    )
    return dump(receipts)


def _use_hooks() -> None:
    from vms_airflow.store_clients import use_hooks

    use_hooks()


def _receipts(data: Any) -> tuple[Receipt, ...]:
    return tuple(load(Receipt, one) for one in data or ())
