"""What a backfill does about a recording, how long it takes, and the turns that it gives to others."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from vms.backfill import MODES, WORDS, Mode, Order, Reason, Subject, is_work, reason_of
from vms.backfill_plan import File, PlanLine, SitePlan, estimate
from vms.catalogue.backfill_period import Rates
from vms.cli.backfill_report import length_text, why_nothing
from vms.home import from_environment
from vms.line import both
from vms.uplink import parse_rate
from vms.video import slots

NOW = datetime(2026, 2, 1, tzinfo=UTC)
ARCHIVED = Subject(1, NOW, "lobby", "archived", 300.0, 100, 40, (1, 2), (), None, "av1", "encoded", False, False)
ORDER = Order(0, "ho", "missing", NOW - timedelta(days=1), NOW)


@pytest.mark.parametrize(
    ("mode", "changes", "expected"),
    [
        ("missing", {}, "archived"),
        ("missing", {"state": "released"}, "archived"),
        ("missing", {"state": "planned", "live": ()}, "waiting"),
        ("missing", {"state": "planned", "live": (), "busy": True}, "busy"),
        ("missing", {"state": "quarantined", "live": ()}, "quarantined"),
        ("missing", {"state": "purged", "live": ()}, "purged"),
        ("missing", {"live": (1,)}, "too_few_copies"),
        ("missing", {"live": (1,), "broken": (2,)}, "copy_broken"),
        ("missing", {"live": (), "broken": (1, 2)}, "copy_broken"),
        ("missing", {"live": (), "broken": (1, 2), "lost": True}, "lost"),
        ("verify", {}, "unproven"),
        ("verify", {"proven_at": NOW - timedelta(hours=1)}, "proven"),
        ("verify", {"proven_at": NOW - timedelta(days=2)}, "unproven"),
        ("verify", {"state": "planned", "live": ()}, "not_archived"),
        ("verify", {"live": (), "lost": True}, "lost"),
        ("reupload", {}, "to_look_at"),
        ("reupload", {"broken": (2,), "live": (1,)}, "broken"),
        ("reupload", {"state": "quarantined", "live": ()}, "quarantined"),
        ("recompress", {}, "same_profile"),
        ("recompress", {"profile": "old"}, "other_profile"),
        ("recompress", {"kind": "original"}, "other_profile"),
        ("recompress", {"profile": "old", "held": True}, "held"),
        ("recompress", {"profile": "old", "live": (), "broken": (1,)}, "lost"),
        ("recompress", {"profile": "old", "live": (2,), "broken": (1,)}, "copy_broken"),
        ("recompress", {"state": "purged", "live": ()}, "purged"),
    ],
)
def test_each_recording_is_done_or_has_a_reason(mode: Mode, changes: dict[str, Any], expected: Reason) -> None:
    found = reason_of(replace(ARCHIVED, **changes), mode, "av1", {1, 2}, NOW)
    assert found == expected
    assert WORDS[found]


def test_an_order_covers_its_cameras_and_its_time_without_the_end() -> None:
    order = replace(ORDER, cameras=("lobby",))
    assert order.covers("lobby", ORDER.from_utc)
    assert not order.covers("gate", ORDER.from_utc)
    assert not order.covers("lobby", ORDER.to_utc)


def test_the_time_comes_from_measured_rates_and_the_cap_or_is_said_to_be_unknown() -> None:
    files = [File(0, "lobby", NOW, "on_disk", 1000, 0.0, "a.mp4"), File(2, "lobby", NOW, "waiting", 1000, 600.0)]
    rates = Rates(pace=10.0, seconds_per_byte=0.6, shrink=0.5)
    assert estimate(files, rates, ORDER, 2) == pytest.approx(120.0)
    assert estimate(files, rates, replace(ORDER, cap=1.0), 2) == pytest.approx(2000.0)
    assert estimate(files, Rates(), ORDER, 2) is None
    assert estimate([], Rates(), ORDER, 2) == 0.0
    assert length_text(None).startswith("time not known yet")
    assert [length_text(one) for one in (5.0, 600.0, 7200.0)] == ["about a minute", "about 10 min", "about 2.0 h"]


def test_nothing_to_do_says_why() -> None:
    lines = (PlanLine("lobby", "archived", 3, 0), PlanLine("gate", "archived", 2, 0), PlanLine("gate", "purged", 1, 0))
    told = why_nothing([SitePlan(ORDER, lines, "", 0.0)])
    assert told == "5 already archived in every store of the site; 1 purged: its retention has passed."
    assert "no footage" in why_nothing([SitePlan(ORDER, (), "", 0.0)])
    assert not any(is_work(reason) for reason in ("archived", "purged", "held", "busy"))
    assert all(MODES.values())


@pytest.mark.parametrize(("text", "rate"), [("5Mbit", 625_000.0), ("5 Mbit/s", 625_000.0), ("2MB/s", 2_000_000.0)])
def test_a_cap_is_read_as_people_type_it(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["fast", "5", "unlimited", "1kbit", "-5Mbit"])
def test_a_cap_that_is_none_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match=r"allowed|number"):
        parse_rate(text)


def test_two_caps_both_hold_for_every_byte() -> None:
    first, second = [], []
    pace = both(lambda wanted: first.append(wanted) or 10, lambda wanted: second.append(wanted) or 4)
    assert pace(100) == 10
    assert (first, second) == ([100], [10, 6, 2])


def test_what_gives_way_lets_others_have_the_encoder_first_and_has_its_turn_in_the_end(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "cores", lambda: 1)
    home = from_environment({"VMS_HOME": str(tmp_path)})
    order: list[str] = []

    def take(name: str, *, gives_way: bool) -> None:
        with slots.encode_slot(home, 1, gives_way=gives_way):
            order.append(name)

    with slots.encode_slot(home, 1):
        threads = [
            threading.Thread(target=take, args=("new",), kwargs={"gives_way": False}),
            threading.Thread(target=take, args=("backfill",), kwargs={"gives_way": True}),
        ]
        threads[0].start()
        while not slots._others_wait(slots.slots_folder(home)):  # only this one looks so far, so it sees the other
            time.sleep(0.01)
        threads[1].start()
        time.sleep(3 * slots._POLL_S)  # both wait when the slot becomes free
    for thread in threads:
        thread.join(30)
    assert order == ["new", "backfill"]

    monkeypatch.setattr(slots, "LONGEST_WAY_S", 0.0)
    monkeypatch.setattr(slots, "_others_wait", lambda _folder: True)
    with slots.encode_slot(home, 1, gives_way=True):
        pass
