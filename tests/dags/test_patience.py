"""What an upload does when stores did not take everything: wait, try again, fail at once, or go on."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException

from vms.errors import StoreUnreachable
from vms.home import Home, from_environment
from vms.steps.upload import Missing
from vms.steps.waiting import waiting_now
from vms_airflow.patience import WAIT_MOST, wait_for_stores

LINE = "nas: 3 files not there. The NAS does not answer. Check the mount."


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return from_environment({"VMS_HOME": str(tmp_path)})


def waited(home: Home, missing: Missing, since: datetime | None = None) -> None:
    ti = SimpleNamespace(get_first_reschedule_date=lambda _context: since)
    context: Any = {"ti": ti}
    wait_for_stores(context, home, "ho", missing)


def a_missing(*lines: str, enough: bool = False, act: bool = False, line: bool = True) -> Missing:
    return Missing(lines, enough, act, line)


def test_a_store_that_is_away_is_waited_for_and_status_tells(home: Home) -> None:
    with pytest.raises(AirflowRescheduleException) as caught:
        waited(home, a_missing(LINE))
    assert datetime.now(UTC) < caught.value.reschedule_date < datetime.now(UTC) + timedelta(minutes=1)
    (told,) = waiting_now(home)
    assert LINE in told["why"]
    with pytest.raises(AirflowRescheduleException) as caught:
        waited(home, a_missing(LINE), datetime.now(UTC) - timedelta(minutes=40))
    assert caught.value.reschedule_date > datetime.now(UTC) + timedelta(minutes=3)
    assert [one["since"] for one in waiting_now(home)] == [told["since"]]
    waited(home, a_missing())
    assert list(waiting_now(home)) == []


@pytest.mark.parametrize("behind_s", [600.0, -600.0])
def test_a_branch_whose_clock_is_off_is_called_again_by_the_centres(tmp_path: Path, behind_s: float) -> None:
    own = tmp_path / "branch"
    own.mkdir()
    known = dict.fromkeys(("url", "site", "worker", "queue", "edge_secret", "version", "joined_at"), "")
    (own / "branch.json").write_text(json.dumps(known | {"clock_off_s": behind_s}))
    with pytest.raises(AirflowRescheduleException) as caught:
        waited(from_environment({"VMS_HOME": str(tmp_path), "VMS_BRANCH": "mks"}), a_missing(LINE))
    pause = caught.value.reschedule_date - datetime.now(UTC) - timedelta(seconds=behind_s)
    assert timedelta() < pause < timedelta(minutes=1)


def test_what_was_told_long_ago_is_no_longer_waited_for(home: Home) -> None:
    with pytest.raises(AirflowRescheduleException):
        waited(home, a_missing(LINE))
    (path,) = home.run.glob("waiting-*.json")
    old = json.loads(path.read_text()) | {"until": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}
    path.write_text(json.dumps(old))
    assert list(waiting_now(home)) == []


def test_after_an_hour_the_run_ends_without_further_tries(home: Home) -> None:
    with pytest.raises(AirflowFailException, match="the next run goes on"):
        waited(home, a_missing(LINE), datetime.now(UTC) - WAIT_MOST - timedelta(seconds=1))
    assert list(waiting_now(home)) == []


def test_where_somebody_has_to_act_it_fails_at_once_even_when_enough_is_proven(home: Home) -> None:
    for enough in (False, True):
        with pytest.raises(AirflowFailException, match="does not answer"):
            waited(home, a_missing(LINE, act=True, enough=enough, line=False))


def test_what_is_about_one_file_is_tried_again(home: Home) -> None:
    with pytest.raises(StoreUnreachable):
        waited(home, a_missing(LINE, line=False))


def test_enough_copies_elsewhere_are_enough(home: Home) -> None:
    waited(home, a_missing(LINE, enough=True))
