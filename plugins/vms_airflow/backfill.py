"""The tasks of a backfill's run: those of a site's own runs, for a past period, and giving way to what is new.

What a run has to do is its configuration (`vms.backfill.Order`), so that the tasks on a site's machine need nothing of
the catalogue. Every task can be killed, retried and cleared, as in a site's own runs.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Context, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from vms.backfill import DAG_ID, Order, with_order
from vms.config import Site
from vms.home import Home
from vms.model import Batch, dump, load
from vms.receipts import Receipt
from vms.sightings import Sensed
from vms_airflow.patience import wait_for_stores
from vms_airflow.stop import stoppable
from vms_airflow.surroundings import catalogue, installation, outcome, run_ref
from vms_airflow.tasks import DUE, SETTLED
from vms_airflow.verdict import settle

log = logging.getLogger(__name__)

MORE = "more"
COPYING_S = 4 * 3600.0
"""How long a batch of copies begins further ones: nothing new waits for the run of a backfill."""


def order_of(context: Context) -> Order:
    """What this run was started with."""
    return load(Order, context["params"]["order"])


def _place(context: Context) -> tuple[Home, Site, Order]:
    order = order_of(context)
    home, config, site = installation(order.site)
    return home, with_order(site, config, order), order


def _cap(home: Home, order: Order) -> Any:
    """The backfill's own cap: one account for all of it on this machine."""
    from vms.line import Cap

    if order.cap is None:
        return None
    home.staging.mkdir(parents=True, exist_ok=True)
    return Cap(order.cap, home.staging / f".uplink-backfill-{order.backfill_id}")


@task(show_return_value_in_logs=False)
@stoppable
def sense() -> Any:
    """Look into the footage folder for files of the period."""
    from vms.steps.sense import look_back

    context = get_current_context()
    order = order_of(context)
    home, config, site = installation(order.site)
    if order.mode in ("verify", "recompress"):
        return dump(Sensed(site.id, datetime.now(UTC), 0, 0, 0, 0, (), (), ()))
    seen = look_back(site, config, home, order, now=datetime.now(UTC))
    log.info(
        "%s: %d files of the period in %s: %d new, %d that can't be used, %d still being written, %d left",
        *(site.name, seen.files, site.footage, len(seen.sightings), len(seen.rejections), len(seen.waiting), seen.more),
    )
    for rejected in seen.rejections:
        log.warning("can't be used: %s: %s %s", rejected.source.path, rejected.fault.message, rejected.fault.remedy)
    return dump(seen)


@task(show_return_value_in_logs=False)
@stoppable
def choose() -> Any:
    """The recordings whose copies are to be looked at; none with mode missing."""
    from vms.catalogue.backfill_planning import choose_to_look

    context = get_current_context()
    home, site, order = _place(context)
    with catalogue(home) as conn:
        chosen = choose_to_look(conn, site, order, datetime.now(UTC), again=bool(context["params"]["again"]))
    log.info("%d recordings whose copies are looked at", sum(len(part) for part in chosen))
    return [[[recording_id, start.isoformat()] for recording_id, start in part] for part in chosen]


@task(show_return_value_in_logs=False)
@stoppable
def look(places: Any) -> None:
    """Look at the copies of some recordings; put again what is gone or broken, or make smaller ones, as asked for."""
    from threading import Event

    from vms.catalogue.copying import known_stores
    from vms.line import paces_of
    from vms.steps.going_over import go_over
    from vms_airflow.store_clients import use_hooks

    use_hooks()
    context = get_current_context()
    home, site, order = _place(context)
    staging = site.staging or home.site_staging(site.id)
    pace = paces_of(site.uplink, site.zone, staging, Event(), _cap(home, order))
    wanted = [(int(recording_id), datetime.fromisoformat(start)) for recording_id, start in places]
    with catalogue(home) as conn:
        targets = {target.store_id: target for target in known_stores(conn).values()}
        go_over(conn, order, site, wanted, targets, home, run_ref(context), report=log.warning, pace=pace)


@task(show_return_value_in_logs=False)
@stoppable
def plan(sensed: Any) -> Any:
    """Subtract what is done, and cut the rest into batches."""
    from vms.catalogue.backfill_planning import plan_backfill

    context = get_current_context()
    if sensed is None:
        raise AirflowFailException("The footage folder could not be looked at. The log of the task `sense` says why.")
    home, site, order = _place(context)
    again = bool(context["params"]["again"])
    with catalogue(home) as conn:
        made = plan_backfill(conn, site, order, load(Sensed, sensed), run_ref(context), datetime.now(UTC), again=again)
    for batch in made.plan.batches:
        log.info("batch: %s, to %s", batch.title, ", ".join(store.name for store in batch.stores))
    if not made.plan.batches:
        log.info("Nothing is left to be done. `vms backfill %s ... --dry-run` says why, file by file.", site.id)
    context["ti"].xcom_push(key=MORE, value=made.more)
    context["ti"].xcom_push(key=DUE, value=[])
    context["ti"].xcom_push(key=SETTLED, value=dump(made.plan.settled))
    return dump(made.plan.batches)


@task(show_return_value_in_logs=False)
@stoppable
def compress(batch: Any) -> Any:
    """Make rendition and previews of each file of the batch; whatever is new has the encoders first."""
    from vms.steps.compress import compress_batch

    home, site, _ = _place(get_current_context())
    return dump(compress_batch(load(Batch, batch), site, home, report=log.info, gives_way=True))


@task(show_return_value_in_logs=False)
@stoppable
def upload(batch: Any, receipts: Any) -> Any:
    """Put each rendition into each store, within line and cap, and have the store confirm it."""
    from vms.steps.replicate import copy_batch, unsent
    from vms.steps.upload import missing_of, upload_batch
    from vms_airflow.store_clients import use_hooks

    use_hooks()
    context = get_current_context()
    home, site, order = _place(context)
    work, cap = load(Batch, batch), _cap(home, order)
    if work.is_copies:
        copied = copy_batch(work, site, home, report=log.info, cap=cap, seconds=COPYING_S)
        context["ti"].xcom_push(key="return_value", value=dump(copied))
        for line in unsent(copied, work.stores[0].name):
            log.warning("%s", line)
        faults = [one.fault for one in copied if one.fault]
        if faults:
            raise AirflowFailException("\n".join(sorted({f"{one.message} {one.remedy}" for one in faults})))
        return
    received = tuple(load(Receipt, one) for one in receipts or ())
    done = upload_batch(work, received, site, home, report=log.info, cap=cap, gives_way=True)
    context["ti"].xcom_push(key="return_value", value=dump(done))
    wait_for_stores(context, home, site.id, missing_of(work, done))


@task
@stoppable
def verdict() -> None:
    """Red when something of the backfill is neither archived nor quarantined; says in the catalogue how far it is."""
    from vms.catalogue.backfill_items import counts
    from vms.catalogue.backfill_planning import broken_left
    from vms.catalogue.backfills import set_state, unfinished

    context = get_current_context()
    home, _, order = _place(context)
    if outcome(context, "plan") is None:
        problems = ["Nothing could be planned. The logs of the tasks `sense` and `plan` say why."]
    else:
        problems = settle(home, run_ref(context), outcome(context, "release"))
    with catalogue(home) as conn:
        if not outcome(context, "plan", MORE):
            left = unfinished(conn, order.backfill_id, order.site)
            if left and not problems:
                problems = [f"{left} recordings of earlier runs of this backfill are not archived."]
            problems += looked_problems(order, counts(conn, order), broken_left(conn, order, datetime.now(UTC)))
            state = "failed" if problems else "done"
            told = problems[0].splitlines()[0] if problems else ""
            set_state(conn, order.backfill_id, order.site, state, told, datetime.now(UTC))
    if problems:
        after = f"Once it is mended: `vms backfill resume {order.backfill_id}`."
        raise AirflowFailException("\n".join([*problems, after]))


def looked_problems(order: Order, found: dict[str, int], broken: int) -> list[str]:
    """What is wrong with the copies that were looked at, in sentences; empty when all is well."""
    if order.mode == "missing":
        return []
    told = []
    if broken and order.mode != "recompress":
        does = "`--mode reupload` makes good what can be" if order.mode == "verify" else "the logs of `look` say why"
        told.append(f"Recordings with copies that are gone or damaged: {broken}; {does}.")
    return [*told, *(f"{found[kind]} {words}" for kind, words in _WRONG.items() if found.get(kind))]


_WRONG = {
    "unplayable": "copies have the very bytes that were archived, and do not decode; the logs of `look` name them.",
    "cold": "copies lie in a class of storage that has to be restored first.",
    "unreachable": "copies could not be looked at, as their store can't be used now.",
    "without": "recordings have no good copy in any store, and none can be made; the logs of `look` name them.",
    "failed": "copies could not be made good, or smaller, now; the logs of `look` say why.",
}


class Onward(TriggerDagRunOperator):
    """Starts the next run of the same backfill when a long period is not through yet."""

    def execute(self, context: Context) -> Any:
        from vms.catalogue.backfills import next_round, state_of

        if not outcome(context, "plan", MORE):
            raise AirflowSkipException("The period is through.")
        home, _, order = _place(context)
        with catalogue(home) as conn:
            if state_of(conn, order.backfill_id, order.site) == "cancelled":
                raise AirflowSkipException("The backfill was cancelled.")
            name = next_round(conn, order, after=run_ref(context).run_id, now=datetime.now(UTC))
        if name is None:
            raise AirflowSkipException("Somebody has gone on with this backfill already.")
        self.trigger_dag_id, self.trigger_run_id = DAG_ID, name
        self.conf = {"order": dump(order), "again": False}
        return super().execute(context)
