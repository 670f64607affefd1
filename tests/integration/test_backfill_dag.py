"""A backfill's run with real parts: files and FFmpeg, a real Postgres, real stores, Airflow's own run of the DAG."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_runs import DagRunResult
from test_footage_dag import Place
from test_footage_dag import airflow_tables as airflow_tables  # fixtures
from test_footage_dag import clip as clip
from test_footage_dag import place as place
from vms.backfill import Mode, Order
from vms.backfill_plan import SitePlan, look_at_disk, reasons, survey
from vms.catalogue.backfills import begin_backfill, get_backfill
from vms.catalogue.connection import connect
from vms.config import load_config
from vms.model import dump

pytestmark = pytest.mark.slow

DAY = datetime(2026, 1, 30, 17, tzinfo=UTC), datetime(2026, 1, 31, 17, tzinfo=UTC)
"""31 January in Jakarta."""


@dataclass
class Office:
    """A place, and backfills of it."""

    place: Place
    runs: int = 0

    def order(self, mode: Mode = "missing", **changes: Any) -> Order:
        return Order(**({"backfill_id": 0, "site": "ho", "mode": mode, "from_utc": DAY[0], "to_utc": DAY[1]} | changes))

    def plan(self, order: Order) -> SitePlan:
        config = load_config(self.place.home.sites_file)
        site, now = config.site("ho"), datetime.now(UTC)
        with closing(connect(self.place.owner_url)) as conn:
            disk = look_at_disk(site, config, now)
            return survey(conn, self.place.home, site, disk, order, now, keep_files=True)

    def reasons(self, order: Order) -> dict[str, int]:
        return {str(reason): count for reason, count in reasons([self.plan(order)]).items()}

    def begin(self, order: Order) -> Order:
        site = load_config(self.place.home.sites_file).site("ho")
        with closing(connect(self.place.owner_url)) as conn:
            _, (begun,) = begin_backfill(conn, "test", [(site, order)], datetime.now(UTC))
        return begun

    def run(self, order: Order, *, again: bool = False) -> DagRunResult:
        self.runs += 1
        at = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=self.runs)
        return self.place.airflow.run("backfill", at, {"order": dump(order), "again": again})

    def state(self, order: Order) -> str:
        with closing(connect(self.place.owner_url)) as conn:
            return get_backfill(conn, order.backfill_id).state


@pytest.fixture
def office(place: Place) -> Office:
    return Office(place)


def test_what_is_missing_of_a_period_is_archived_once_and_a_repeat_says_why_it_does_nothing(
    office: Office,
    clip: Callable[[int], Path],
) -> None:
    leave = office.place.leave
    leave("lobby/20260131_100000.mp4", clip(1))
    leave("lobby/20260131_100005.mp4", clip(2))
    leave("gate/20260131_100000.mp4", clip(3))
    leave("gate/20260131_110000.mp4", clip(4).read_bytes()[:2000])
    leave("lobby/20260201_100000.mp4", clip(5))
    order = office.order(profile="small", cap=50_000_000.0)
    sites = office.place.home.sites_file
    small = "profiles:\n  small: {codec: h264, preset: ultrafast, crf: 40}"
    sites.write_text(sites.read_text().replace("profiles:", small))
    assert office.reasons(order) == {"on_disk": 4}
    assert office.plan(order).work_bytes > 100_000

    begun = office.begin(order)
    first = office.run(begun)

    assert first.state == "success", first.log[-6000:]
    assert first.tasks["onward"] == "skipped"
    states = office.place.states()
    assert {name: states.get(name) for name in ("lobby/20260131_100000.mp4", "gate/20260131_110000.mp4")} == {
        "lobby/20260131_100000.mp4": "archived", "gate/20260131_110000.mp4": "quarantined",
    }  # fmt: skip
    assert "lobby/20260201_100000.mp4" not in states, "it is not of the period"
    assert {row.profile for row in office.place.recordings().values() if row.state == "archived"} == {"small"}
    assert office.state(begun) == "done"
    assert (office.place.home.staging / f".uplink-backfill-{begun.backfill_id}").exists() is False, "a NAS has no cap"
    objects = office.place.objects()
    assert office.reasons(order) == {"archived": 3, "quarantined": 1}

    again = office.run(office.begin(order))

    assert again.state == "success", again.log[-6000:]
    assert office.place.objects() == objects
    assert office.place.states() == states
