"""Whatever happens, in any order: one recording per identity, archived means proven, every file accounted for."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from catalogue_world import BROKEN, NOW, START, a_run, a_site, ask, picture, receipt_for, refused, seen, sensed
from vms.catalogue.connection import Connection, connect
from vms.catalogue.custody import close_run, record_receipts, record_releases
from vms.catalogue.planning import plan_run
from vms.catalogue.retries import ask_retry
from vms.config import StoreConfig
from vms.home import Home
from vms.model import Batch, Plan, RunRef
from vms.receipts import Receipt, ReleaseReceipt
from vms.sightings import Fault, Rejection, Sighting, TimeBasis

KEEP = timedelta(days=1)
STORES = (StoreConfig("nas", "file:///nas"), StoreConfig("san", "file:///san"))
BASES: tuple[TimeBasis, ...] = ("name", "mtime")

files = st.builds(
    lambda good, camera, path, content, hour, basis: (seen if good else refused)(
        f"{camera}/{path}", content=content, start=START + timedelta(hours=hour), basis=basis, camera=camera
    ),
    good=st.sampled_from([True, True, True, False]),
    camera=st.sampled_from(["lobby", "gate"]),
    path=st.sampled_from(["a.mp4", "b.mp4", "c.mp4"]),
    content=st.sampled_from(["x", "y", "z"]),
    hour=st.integers(0, 2),
    basis=st.sampled_from(BASES),
)
outcomes = st.sampled_from(["done", "done", "half", "broken", "away", "source_changed", "source_gone", "silent"])


class Archive(RuleBasedStateMachine):
    """Runs of one site against a real catalogue: planned, recorded, repeated, released in any order."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.conn: Connection = connect(self.url)
        self.site = ""
        self.runs: list[RunRef] = []
        self.plans: dict[str, Plan] = {}
        self.told: list[tuple[Batch, list[Receipt], RunRef]] = []
        self.now = NOW

    @initialize()
    def start(self) -> None:
        """Every example has a site of its own, as the lineage of the one before can't be removed."""
        (count,) = ask(self.conn, "SELECT count(*) FROM site")[0]
        self.site = f"site{count}"

    def teardown(self) -> None:
        self.conn.close()

    def plan(self, run: RunRef, found: list[Sighting | Rejection]) -> Plan:
        site = a_site(id=self.site, stores=STORES, keep_source=KEEP)
        return plan_run(self.conn, site, sensed(*found, site=self.site), run, self.now)

    @rule(found=st.lists(files, max_size=5), hours=st.integers(0, 30))
    def plan_a_run(self, found: list[Sighting | Rejection], hours: int) -> None:
        self.now += timedelta(hours=hours)
        run = a_run(len(self.runs), dag_id=f"footage_{self.site}")
        self.runs.append(run)
        self.plans[run.run_id] = self.plan(run, found)

    @rule(found=st.lists(files, max_size=3), which=st.integers(0, 100))
    def plan_an_old_run_again(self, found: list[Sighting | Rejection], which: int) -> None:
        if self.runs:
            run = self.runs[which % len(self.runs)]
            before, again = self.plans[run.run_id], self.plan(run, found)
            assert [batch.batch_id for batch in again.batches] == [batch.batch_id for batch in before.batches]
            for old, new in zip(before.batches, again.batches, strict=True):
                left = {item.recording_id for item in new.items}
                assert [item.recording_id for item in old.items if item.recording_id in left] == [
                    item.recording_id for item in new.items
                ]

    @rule(which=st.integers(0, 100), batch_number=st.integers(0, 5), what=st.lists(outcomes, min_size=8, max_size=8))
    def record_a_batch(self, which: int, batch_number: int, what: list[str]) -> None:
        batches = [(run, batch) for run in self.runs for batch in self.plans[run.run_id].batches]
        if batches:
            run, batch = batches[(which + batch_number) % len(batches)]
            receipts = [
                _report(batch, number, outcome)
                for number, outcome in zip(range(len(batch.items)), what, strict=False)
                if outcome != "silent" and batch.items[number].sources
            ]
            record_receipts(self.conn, batch, receipts, run, self.now, KEEP)
            self.told.append((batch, receipts, run))
            self.told[:] = self.told[-1:]

    @rule()
    def report_the_last_batch_again(self) -> None:
        for batch, receipts, run in self.told:
            before = picture(self.conn)
            record_receipts(self.conn, batch, receipts, run, self.now + timedelta(hours=5), KEEP)
            assert picture(self.conn) == before

    @rule(done=st.booleans())
    def release_what_is_due(self, done: bool) -> None:
        for run in self.runs[-1:]:
            receipts = [
                ReleaseReceipt(
                    order.recording_id,
                    order.start_utc,
                    tuple(source.path for source in order.sources) if done else (),
                    {} if done else {source.path: "busy" for source in order.sources},
                    done=done,
                )
                for order in self.plans[run.run_id].due
            ]
            record_releases(self.conn, receipts, run, self.now)
            self.told.clear()

    @rule()
    def ask_for_a_retry(self) -> None:
        ask_retry(self.conn, self.site, None, None, "sari", self.now)
        self.told.clear()

    @invariant()
    def no_identity_is_there_twice(self) -> None:
        doubles = "SELECT 1 FROM recording GROUP BY camera_id, start_at, fingerprint HAVING count(*) > 1"
        assert ask(self.conn, doubles) == []
        live = (
            "SELECT path FROM recording_source WHERE replaced_at IS NULL AND released_at IS NULL"
            " GROUP BY site_id, path HAVING count(*) > 1"
        )
        assert ask(self.conn, live) == []

    @invariant()
    def archived_means_proven_in_both_stores(self) -> None:
        unproven = """
            SELECT recording_id FROM recording r WHERE custody IN (1, 2) AND 2 <> (
                SELECT count(*) FROM copy k WHERE k.recording_id = r.recording_id AND k.start_at = r.start_at
                AND part = 0 AND k.sha256 = r.rendition_sha256 AND k.size_bytes = r.rendition_bytes)
        """
        assert ask(self.conn, unproven) == []

    @invariant()
    def every_planned_file_is_accounted_for(self) -> None:
        for run in self.runs:
            verdict = close_run(self.conn, run)
            outcomes = verdict.archived + verdict.quarantined + verdict.withdrawn + len(verdict.unfinished)
            assert verdict.planned == outcomes

    @invariant()
    def quarantined_says_why_and_nothing_is_left_behind(self) -> None:
        for orphans in (
            "SELECT 1 FROM recording LEFT JOIN quarantine USING (recording_id) WHERE custody = 4 AND reason IS NULL",
            "SELECT 1 FROM quarantine LEFT JOIN recording USING (recording_id)"
            " WHERE coalesce(custody, 1) NOT IN (0, 4)",
            "SELECT 1 FROM recording_source LEFT JOIN recording r USING (recording_id) WHERE r IS NULL",
            "SELECT 1 FROM copy LEFT JOIN recording r USING (recording_id) WHERE r IS NULL",
        ):
            assert ask(self.conn, orphans) == []

    @invariant()
    def a_batch_tells_how_much_it_has_archived(self) -> None:
        wrong = """
            SELECT batch_id FROM batch b WHERE kind = 'footage' AND recorded_at IS NOT NULL
            AND footage_s IS DISTINCT FROM (
                SELECT coalesce(sum(duration_s), 0) FROM batch_item i JOIN recording r USING (recording_id)
                WHERE i.batch_id = b.batch_id AND i.outcome = 'archived')
        """
        assert ask(self.conn, wrong) == []

    @invariant()
    def days_add_up(self) -> None:
        raw = ask(self.conn, "SELECT count(*) FROM recording WHERE custody IN (1, 2)")
        assert ask(self.conn, "SELECT coalesce(sum(archived + released), 0) FROM camera_day") == raw


def _report(batch: Batch, number: int, outcome: str) -> Receipt:
    item = batch.items[number]
    away = Fault("store_unreachable", "away", "wait", permanent=False)
    if outcome == "half":
        whole = receipt_for(item, batch)
        return replace(whole, copies=whole.copies[:3], store_faults={"san": away})
    faults = {"broken": BROKEN, "away": away}
    if outcome == "done":
        return receipt_for(item, batch)
    return receipt_for(item, batch, fault=faults.get(outcome, Fault(outcome, outcome, "", permanent=False)))


def test_any_order_of_events_keeps_the_promises(catalogue: tuple[Home, str]) -> None:
    Archive.url = catalogue[1]
    with closing(connect(catalogue[1])):
        run_state_machine_as_test(
            Archive,
            settings=settings(
                max_examples=25,
                stateful_step_count=15,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                database=None,
            ),
        )
