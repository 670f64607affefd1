"""Clocks: the machine's jumps a year ahead and back, days of 23 and 25 hours, footage that is older than its retention.

The machine's clock is a parameter of every step (`now`), and that is what jumps here. Real are the times of files and
objects, and the marks that a step sets while it works.
"""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from catalogue_world import ask, opened
from facts import Facts
from fault_world import FaultWorld
from invariants import AT_THE_END, check, nothing_is_removed, row_and_object_agree
from vms.catalogue import purge_plans
from vms.catalogue.coverage import camera_days
from vms.errors import CatalogueError

YEAR_S = 365 * 24 * 3600.0


def name_of(camera: str, at: datetime, zone: str = "Asia/Jakarta") -> str:
    return f"{camera}/{at.astimezone(ZoneInfo(zone)):%Y%m%d_%H%M%S}.mp4"


def test_clock_a_year_ahead_and_back_purges_nothing_unasked(world: FaultWorld, clips: dict[str, Path]) -> None:
    now = datetime.now(UTC)
    world.leave(name_of("lobby", now - timedelta(hours=5)), clips["first"])
    world.leave(name_of("gate", now - timedelta(hours=4)), clips["second"])
    world.all_runs("before")
    assert world.live("purge", "night 0")["state"] == "done"
    before = world.look()
    world.doing = "the clock jumped a year ahead"

    world.leave(name_of("lobby", now - timedelta(hours=3)), clips["third"])
    world.all_runs("ahead", shift_s=YEAR_S)  # footage comes in under the wrong clock, too
    check(world.look(), *AT_THE_END)
    for night in range(3):
        asked = world.live("purge", f"ahead, night {night}", shift_s=YEAR_S + night * 86400)
        assert asked["state"] == "waiting", asked
        assert "clock" in asked["alarms"]
    with opened(world.owner_url) as conn:
        (newest,) = purge_plans.list_plans(conn, 1)
        assert newest.copies > 0, "it would take something if somebody said yes"
        with pytest.raises(CatalogueError, match="is waiting and not applied"):
            purge_plans.start_applying(conn, newest.plan_id, now + timedelta(days=365))
    nothing_is_removed(before, world.look())

    world.doing = "the clock jumped back"
    back = world.live("purge", "back")
    assert (back["state"], back["alarms"]) == ("waiting", ["clock"])
    world.leave(name_of("gate", now - timedelta(hours=2)), clips["fourth"])
    world.all_runs("back again")
    facts = world.look()
    check(facts, *AT_THE_END)
    nothing_is_removed(before, facts)
    assert len(facts.recordings) == 4


AUTUMN = (  # Berlin, 2025-10-26: at 3:00 summer time it is 2:00 again
    ("01:59:50", 2, datetime(2025, 10, 25, 23, 59, 50, tzinfo=UTC)),
    ("02:30:00", 2, datetime(2025, 10, 26, 0, 30, tzinfo=UTC)),
    ("02:30:30", 1, datetime(2025, 10, 26, 1, 30, 30, tzinfo=UTC)),
    ("03:00:10", 1, datetime(2025, 10, 26, 2, 0, 10, tzinfo=UTC)),
)
SPRING = (  # Berlin, 2026-03-29: after 1:59:59 comes 3:00:00; a recorder that did not know it names an hour too little
    ("01:59:50", 1, datetime(2026, 3, 29, 0, 59, 50, tzinfo=UTC)),
    ("02:30:00", 1, datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),
    ("03:45:10", 2, datetime(2026, 3, 29, 1, 45, 10, tzinfo=UTC)),
)


@pytest.mark.parametrize(("day", "files", "hours"), [(date(2025, 10, 26), AUTUMN, 25), (date(2026, 3, 29), SPRING, 23)])
def test_on_days_when_clocks_change_no_file_is_lost_or_doubled(
    day: date,
    files: tuple[tuple[str, int, datetime], ...],
    hours: int,
    world: FaultWorld,
    clips: dict[str, Path],
) -> None:
    """Each file begins when it did, by its name and its own time, and the day has as many hours as it had."""
    world.configure(zone="Europe/Berlin")
    world.doing = f"the clocks changed on {day}"
    lengths = {"first": 1.5, "second": 2.0, "third": 2.5, "fourth": 3.0}
    # footage of the day before and after, so that all of the day counts
    edges = [(day - timedelta(days=1), "12:00:00", None), (day + timedelta(days=1), "12:00:00", None)]
    for number, clip in enumerate(("first", "second")):
        at, local, _ = edges[number]
        world.leave(f"gate/{at:%Y%m%d}_{local.replace(':', '')}.mp4", clips[clip])
    starts = {}
    for (local, _, start), (clip, length) in zip(files, lengths.items(), strict=False):
        path = world.leave(f"lobby/{day:%Y%m%d}_{local.replace(':', '')}.mp4", clips[clip])
        ended = (start + timedelta(seconds=length)).timestamp()
        os.utime(path, (ended, ended))
        starts[f"lobby/{path.name}"] = start
    world.all_runs()
    world.all_runs("again")
    check(world.look(), *AT_THE_END)
    with opened(world.owner_url) as conn:
        found = dict(ask(conn, "SELECT source_name, start_at FROM recording WHERE source_name LIKE 'lobby/%%'"))
        assert found == starts
        days = camera_days(conn, day - timedelta(days=1), day + timedelta(days=1))
        of_day = {one.camera: one for one in days if one.day == day}
        present = sum(length for _, length in zip(files, lengths.values(), strict=False))
        assert of_day["gate"].expected_s == hours * 3600
        assert of_day["gate"].present_s == 0
        assert abs(of_day["lobby"].present_s - present) <= len(files), "each span is kept in whole seconds"
        assert of_day["lobby"].expected_s == pytest.approx(hours * 3600 - (2 * 3600 - 10), abs=1)
        assert sum(one.present_s for one in days if one.camera == "lobby") == of_day["lobby"].present_s


@pytest.mark.parametrize("way", ["recorder", "import"])
def test_footage_of_seven_months_ago_is_archived_and_not_purged_the_same_night(
    way: str, world: FaultWorld, clips: dict[str, Path]
) -> None:
    old = datetime.now(UTC) - timedelta(days=213)
    name = name_of("lobby", old)
    if way == "recorder":
        world.leave(name, clips["first"])
    else:
        archive = world.root / "old" / name
        archive.parent.mkdir(parents=True)
        archive.write_bytes(clips["first"].read_bytes())
        os.utime(archive, (old.timestamp(), old.timestamp()))
        said = world.live("command", words=("import", str(world.root / "old"), "--site", "ho"))
        assert said == 0
        (came,) = world.footage.rglob("*.mp4")
        os.utime(came, (old.timestamp(), old.timestamp()))
    world.all_runs()
    facts = world.look()
    assert [one.custody for one in facts.recordings] == ["released"]
    world.doing = "it was too old when it arrived"
    for night in range(2):
        purged = world.live("purge", f"night {night}")
        assert purged["state"] == "done"
        _unchanged(facts, world.look())
    with opened(world.owner_url) as conn:
        (plan, *_) = purge_plans.list_plans(conn, 1)
        assert (plan.copies, plan.kept["late"]["copies"]) == (0, 2)


def _unchanged(before: Facts, now: Facts) -> None:
    check(now, row_and_object_agree)
    nothing_is_removed(before, now)
    assert now.recordings == before.recordings
