"""The tasks of the retention DAG. Each calls one function of `vms.purge`; all can be killed, retried and cleared.

The approval is Airflow's own, so that a person answers where the run is seen; the answer is written into the catalogue,
and what the catalogue says decides. Nobody answering means no.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Context, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from vms.config import load_config
from vms.errors import VmsError
from vms.home import from_environment
from vms.model import StoreTarget, dump, load
from vms_airflow.stop import stoppable
from vms_airflow.surroundings import catalogue, outcome, run_ref

log = logging.getLogger(__name__)

PLAN = "plan_id"
QUESTION = "question"
ALARMED = "alarmed"


@task(show_return_value_in_logs=False)
@stoppable
def plan() -> Any:
    """Write down what has expired, and what is unusual about it. Deletes nothing. Holds reach the buckets first."""
    from vms.catalogue.purge_facts import stores_of_plan
    from vms.hold_stores import hold_in_stores
    from vms.purge import make_plan
    from vms.purge_words import headline, lines
    from vms_airflow.store_clients import use_hooks

    use_hooks()
    context, now = get_current_context(), datetime.now(UTC)
    home = from_environment()
    run = run_ref(context)
    with catalogue(home) as conn:
        for text in hold_in_stores(conn, now, log.info).why:
            log.warning("%s The hold counts all the same.", text)
        late = bool(context["params"]["late"])
        who = f"{run.dag_id}/{run.run_id}"
        made = make_plan(conn, load_config(home.sites_file), who, now, late=late, report=log.info)
        stores = stores_of_plan(conn, made.plan_id)
    told = [headline(made), *lines(made)]
    for line in told:
        log.info("%s", line)
    context["ti"].xcom_push(key=PLAN, value=made.plan_id)
    context["ti"].xcom_push(key=ALARMED, value=bool(made.alarms))
    context["ti"].xcom_push(key=QUESTION, value="\n\n".join(told))
    return dump(stores)


class PurgeApproval(ApprovalOperator):
    """Asks a person when the plan is unusual, and lets it pass without asking when it is not."""

    def execute(self, context: Context) -> Any:
        if not outcome(context, "plan", ALARMED):
            log.info("Nothing is unusual about the plan; nobody has to be asked.")
            return None
        return self._answered(context) or super().execute(context)

    def _answered(self, context: Context) -> str:
        """Who has answered the plan already, by the command line, so that nobody is asked again; "" when nobody has.

        An answer that comes while the question is still being put makes this task start anew.
        """
        from vms.catalogue.purge_plans import get_plan

        with catalogue(from_environment()) as conn:
            found = get_plan(conn, int(outcome(context, "plan", PLAN)))
        if found.state == "waiting":
            return ""
        who = f"{found.answered_by or 'a newer plan'} ({found.answered_how or 'another run'})"
        log.info("The plan is %s: %s has decided that.", found.state, who)
        if found.state not in ("ready", "applying", "done"):
            self.skip(ti=context["ti"], tasks=list(context["task"].get_direct_relatives(upstream=False)))
        return who

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        if "error" not in event:
            approved = event["chosen_options"] == [self.APPROVE]
            silent = bool(event.get("timedout"))
            user = event.get("responded_by_user") or {}
            who = user.get("name") if isinstance(user, dict) else getattr(user, "name", None)
            self._write_down(context, approved=approved and not silent, silent=silent, who=str(who or "nobody"))
        return super().execute_complete(context, event)  # after a no it skips what follows by raising

    def _write_down(self, context: Context, *, approved: bool, silent: bool, who: str) -> None:
        from vms.catalogue.purge_plans import answer_plan, get_plan

        plan_id = int(outcome(context, "plan", PLAN))
        with catalogue(from_environment()) as conn:
            if get_plan(conn, plan_id).answered_by:  # somebody was quicker, by the command line
                return
            answer = "approved" if approved else "expired" if silent else "rejected"
            answer_plan(conn, plan_id, answer, who, "Airflow", datetime.now(UTC))


@task(show_return_value_in_logs=False)
@stoppable
def apply(store: Any) -> Any:
    """Delete in one store: mark, delete, confirm, close. Goes on where an earlier try was stopped."""
    from vms.purge import apply_in_store
    from vms_airflow.store_clients import use_hooks

    use_hooks()
    context = get_current_context()
    home, plan_id = from_environment(), int(outcome(context, "plan", PLAN))
    with catalogue(home) as conn:
        done = apply_in_store(
            conn,
            load_config(home.sites_file),
            plan_id,
            load(StoreTarget, store),
            run_ref(context),
            datetime.now(UTC),
            report=log.info,
        )
    log.info("%s: %d copies deleted, %d stay", done.store, done.gone, done.stayed)
    return done.gone


@task(show_return_value_in_logs=False)
@stoppable
def prove() -> Any:
    """Look for a sample of what was deleted in each store, and close the plan."""
    from vms.catalogue.purge_plans import get_plan
    from vms.purge import finish
    from vms.purge import prove as look_again
    from vms_airflow.store_clients import use_hooks

    use_hooks()
    context = get_current_context()
    home, plan_id = from_environment(), outcome(context, "plan", PLAN)
    if plan_id is None:
        raise AirflowFailException("Nothing could be planned. The log of the task `plan` says why.")
    with catalogue(home) as conn:
        if get_plan(conn, plan_id).applied_at is None and get_plan(conn, plan_id).state != "ready":
            return []
        wrong = look_again(conn, plan_id, report=log.info)
        finish(conn, load_config(home.sites_file), plan_id, datetime.now(UTC), report=log.info)
    return wrong


@task(show_return_value_in_logs=False)
@stoppable
def verdict() -> None:
    """Red when something that should have gone has not, or when nobody answered; its log says what became of all."""
    from vms.catalogue.purge_plans import get_plan
    from vms.purge_words import headline, lines

    context = get_current_context()
    plan_id = outcome(context, "plan", PLAN)
    if plan_id is None:
        raise AirflowFailException("Nothing could be planned. The log of the task `plan` says why.")
    try:
        with catalogue(from_environment()) as conn:
            done = get_plan(conn, plan_id)
    except VmsError as error:
        raise AirflowFailException(str(error)) from error
    for line in (headline(done), *lines(done)):
        log.info("%s", line)
    problems = [str(one) for one in outcome(context, "prove") or ()]
    if done.state in ("expired", "waiting"):
        problems.append("Nobody has answered, so nothing was deleted. The next run plans anew, and asks again.")
    elif done.state in ("ready", "applying") and done.copies:
        problems.append("Not everything could be deleted. The red task of `apply` says why; the next run goes on.")
    if problems:
        raise AirflowFailException("\n".join(problems))
