"""The ways of the product, step by step as Airflow goes them, for a process that may be killed at any point.

What a step hands on is kept in a file, as Airflow keeps it: a life that continues a run begins with the step in which
the one before was killed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from points import Points
from vms.config import load_config
from vms.home import from_environment
from vms.model import Batch, Recorded, ReleaseOrder, RunRef, dump, load
from vms.receipts import Copied, Receipt
from vms.sightings import SourceSeen

COPY = ("copy", "--from", "nas", "--to", "cloud", "--json")


@dataclass(frozen=True)
class Life:
    """One process. way: see WAYS. folder: of the world. run: the name of its run; the same again continues it.

    kill_at: at which point it is killed; kill_after_s: or after so long. one_by_one: files one after the other, so that
    the points always come in the same order. told: all points are named in the answer. shift_s: so far ahead of the
    clock is its time. wait_at: at the first point of this name it says so by a file `waits`, and goes on when that is
    gone.
    words: of the command, for the way of that name; `copy` is one.
    """

    way: str
    folder: str
    environment: dict[str, str]
    run: str = "run 1"
    kill_at: int | None = None
    kill_after_s: float | None = None
    one_by_one: bool = True
    told: bool = False
    shift_s: float = 0.0
    wait_at: str = ""
    words: tuple[str, ...] = COPY


class _Steps:
    """The steps of a run: done once, handed on by a file."""

    def __init__(self, life: Life, points: Points, dag: str) -> None:
        self.points = points
        self.dag, self.run_id = dag, life.run
        self._folder = Path(life.folder) / "handed on" / dag / life.run
        self._folder.mkdir(parents=True, exist_ok=True)
        self.now = datetime.now(UTC) + timedelta(seconds=life.shift_s)

    def ref(self, step: str, index: int = -1) -> RunRef:
        tries = len(list(self._folder.glob(f"{step}{'' if index < 0 else index}.try*")))
        return RunRef(self.dag, self.run_id, step, index, max(tries, 1), "a host")

    def do(self, step: str, work: Callable[[RunRef], Any], index: int = -1) -> Any:
        """What the step handed on: by an earlier life of this run, or now."""
        name = f"{step}{'' if index < 0 else index}"
        kept = self._folder / f"{name}.json"
        if kept.exists():
            return json.loads(kept.read_text())
        self.points.where = step
        tries = len(list(self._folder.glob(f"{name}.try*")))
        (self._folder / f"{name}.try{tries + 1}").touch()
        result = dump(work(self.ref(step, index)))
        fresh = kept.with_suffix(f".{os.getpid()}.new")
        fresh.write_text(json.dumps(result))
        fresh.replace(kept)
        return result


def branch(life: Life, points: Points) -> Any:
    """One run of a site at a branch: its own steps have a key that may only write, and the centre looks for them."""
    return archive(life, points, at_branch=True)


def archive(life: Life, points: Points, *, at_branch: bool = False) -> Any:
    """One run of a site, the way of a file: sense, plan, compress, upload, record, release, verdict."""
    from vms.catalogue.connection import connect, url
    from vms.catalogue.copying import record_copies
    from vms.catalogue.custody import close_run, record_receipts, record_releases
    from vms.catalogue.planning import plan_run
    from vms.model import Plan
    from vms.receipts import ReleaseReceipt
    from vms.sightings import Sensed
    from vms.steps.compress import compress_batch
    from vms.steps.look_ahead import look_ahead
    from vms.steps.release import release
    from vms.steps.replicate import copy_batch
    from vms.steps.sense import sense
    from vms.steps.standing import vouch
    from vms.steps.upload import upload_batch
    from vms.steps.vouch import prove_unproven

    home = from_environment()
    config = load_config(home.sites_file)
    site = config.site("ho")
    steps = _Steps(life, points, "footage_ho")
    now = steps.now
    owner = url(home, "owner")

    def written(work: Callable[[Any], Any]) -> Any:
        conn = connect(owner)
        try:
            return work(conn)
        finally:
            conn.close()

    def near(work: Callable[[], Any]) -> Any:
        """With the key that the site's own machine has."""
        centre = os.environ["AIRFLOW_CONN_CLOUD"]
        os.environ["AIRFLOW_CONN_CLOUD"] = os.environ["CLOUD_OF_BRANCH"] if at_branch else centre
        try:
            return work()
        finally:
            os.environ["AIRFLOW_CONN_CLOUD"] = centre

    def planned(run: RunRef) -> Plan:
        def both(conn: Any) -> Plan:
            made = plan_run(conn, site, sensed, run, now)
            if not at_branch:
                return made
            return replace(made, batches=look_ahead(conn, made.batches, say), due=vouch(made.due, now, say))

        return written(both)

    sensed = load(Sensed, steps.do("sense", lambda _: sense(site, config, home, now=now)))
    plan = load(Plan, steps.do("plan", planned))
    recorded: list[Recorded] = []
    for number, batch in enumerate(plan.batches):
        if batch.is_copies:
            copied = steps.do("upload", lambda _, b=batch: copy_batch(b, site, home, report=say), number)
            some = [load(Copied, one) for one in copied]

            def keep(run: RunRef, some: list[Copied] = some, batch: Batch = batch) -> Recorded:
                written(lambda conn: record_copies(conn, some, run, now))
                return Recorded(batch.batch_id, (), (), ())

            steps.do("record", keep, number)
            continue
        made = steps.do("compress", lambda _, b=batch: compress_batch(b, site, home, report=say), number)
        receipts = [load(Receipt, one) for one in made]

        def put(batch: Batch = batch, receipts: list[Receipt] = receipts) -> Any:
            return upload_batch(batch, receipts, site, home, report=say, may_look=not at_branch)

        sent = steps.do("upload", lambda _, p=put: near(p), number)
        told = [load(Receipt, one) for one in sent]

        def note(run: RunRef, told: list[Receipt] = told, batch: Batch = batch) -> Recorded:
            seen = prove_unproven(batch, told, site, home, say).receipts if at_branch else told
            made = written(lambda conn: record_receipts(conn, batch, seen, run, now, site.keep_source))
            return replace(made, archived=vouch(made.archived, now, say)) if at_branch else made

        recorded.append(load(Recorded, steps.do("record", note, number)))
    orders: list[ReleaseOrder] = [*plan.due, *(order for one in recorded for order in one.archived)]
    settled: list[SourceSeen] = [*plan.settled, *(source for one in recorded for source in one.quarantined)]

    def let_go() -> Any:
        return release(site, home, orders, settled, now=now, report=say, may_look=not at_branch)

    done = steps.do("release", lambda _: near(let_go))
    released = [load(ReleaseReceipt, one) for one in done]

    def settle(run: RunRef) -> Any:
        def both(conn: Any) -> Any:
            record_releases(conn, released, run, now)
            return list(close_run(conn, run).unfinished)

        return written(both)

    unfinished = steps.do("verdict", settle)
    return {
        "waiting": len(sensed.waiting),
        "batches": len(plan.batches),
        "due": len(plan.due),
        "unfinished": unfinished,
        "kept": {path: why for one in released for path, why in one.kept.items()},
    }


def purge(life: Life, points: Points) -> Any:
    """One run of retention: plan, apply store by store, prove, finish. What waits for a person is left waiting."""
    from vms.catalogue import purge_facts, purge_plans
    from vms.catalogue.connection import connect, url
    from vms.purge import apply_in_store, finish, make_plan, prove

    home = from_environment()
    config = load_config(home.sites_file)
    steps = _Steps(life, points, "retention")
    now = steps.now
    conn = connect(url(home, "owner"))
    try:
        plan_id = steps.do("plan", lambda _: make_plan(conn, config, "faults", now, report=say).plan_id)
        plan = purge_plans.get_plan(conn, plan_id)
        if plan.state == "waiting":
            return {"state": plan.state, "alarms": [alarm.kind for alarm in plan.alarms], "wrong": []}
        for store in purge_facts.stores_of_plan(conn, plan_id):

            def take(run: RunRef, store: Any = store) -> Any:
                return asdict(apply_in_store(conn, config, plan_id, store, run, now, report=say))

            steps.do(f"apply {store.name}", take)
        wrong = steps.do("prove", lambda _: prove(conn, plan_id, report=say))
        state = steps.do("finish", lambda _: finish(conn, config, plan_id, now, report=say).state)
        if not plan.copies and state == "ready":
            state = "done"  # there was nothing to begin with
    finally:
        conn.close()
    return {"state": state, "wrong": wrong, "alarms": []}


def command(life: Life, points: Points) -> Any:
    """A command as a person gives it: `vms` and the words of the life. Its exit status."""
    from vms.cli.app import main

    points.where = "command"
    return main(life.words)


def repair(life: Life, points: Points) -> Any:
    """The nightly checks of all stores: reconcile, prove, repair."""
    from vms.catalogue.connection import connect, url
    from vms.catalogue.integrity import stores_in_use
    from vms.steps.prove import prove
    from vms.steps.reconcile import reconcile
    from vms.steps.repair import repair as mend

    home = from_environment()
    conn = connect(url(home, "owner"))
    result: dict[str, Any] = {}
    try:
        stores = stores_in_use(conn)
        for name, target in sorted(stores.items()):
            points.where = "reconcile"
            ref = RunRef("integrity", life.run, "reconcile", host="a host")
            result[f"reconcile {name}"] = asdict(reconcile(conn, target, home, ref, budget_s=600, report=say))
        for name, target in sorted(stores.items()):
            points.where = "prove"
            ref = RunRef("integrity", life.run, "prove", host="a host")
            result[f"prove {name}"] = asdict(prove(conn, target, home, ref, sample=100, budget_s=600, report=say))
        points.where = "repair"
        ref = RunRef("integrity", life.run, "repair", host="a host")
        targets = {one.store_id: one for one in stores.values()}
        result["repair"] = asdict(mend(conn, targets, home, ref, budget_s=600, report=say))
    finally:
        conn.close()
    return result


WAYS: dict[str, Callable[[Life, Points], Any]] = {
    "archive": archive,
    "branch": branch,
    "purge": purge,
    "copy": command,
    "repair": repair,
    "command": command,
}


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
