"""When cameras should record: what is taken, what is refused, and days on which clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from vms.schedule import ALWAYS, expected_on, parse_schedule

JAKARTA, BERLIN = ZoneInfo("Asia/Jakarta"), ZoneInfo("Europe/Berlin")
SATURDAY = date(2026, 1, 31)


def hours(text: str, day: date, zone: ZoneInfo = JAKARTA) -> list[str]:
    return [
        f"{first.astimezone(zone):%H:%M}-{last.astimezone(zone):%H:%M}"
        for first, last in expected_on(parse_schedule(text), zone, day)
    ]


def seconds(text: str, day: date, zone: ZoneInfo) -> float:
    return sum((last - first).total_seconds() for first, last in expected_on(parse_schedule(text), zone, day))


@pytest.mark.parametrize(
    ("text", "day", "expected"),
    [
        ("Mon-Sat 07:00-19:00", SATURDAY, ["07:00-19:00"]),
        ("mon-sat 7:00 - 19:00", SATURDAY + timedelta(days=1), []),
        ("Mon-Fri 07:00-19:00, Sat 08:00-12:00; Saturday 13:00-14:00", SATURDAY, ["08:00-12:00", "13:00-14:00"]),
        ("Fri-Mon 00:00-24:00", SATURDAY, ["00:00-00:00"]),
        ("07:00-19:00", SATURDAY, ["07:00-19:00"]),
        ("Fri 22:00-06:00", SATURDAY, ["00:00-06:00"]),
        ("Sat 22:00-06:00", SATURDAY, ["22:00-00:00"]),
        ("22:00-06:00", SATURDAY, ["00:00-06:00", "22:00-00:00"]),
        ("08:00-12:00, 11:00-13:00", SATURDAY, ["08:00-13:00"]),
        ("always", SATURDAY, ["00:00-00:00"]),
    ],
)
def test_a_day_of_a_schedule(text: str, day: date, expected: list[str]) -> None:
    assert hours(text, day) == expected


def test_always_is_the_default() -> None:
    assert parse_schedule("") == parse_schedule(" Always ") == ALWAYS


@pytest.mark.parametrize(
    "text",
    ["whenever", "07:00", "Mon-Sut 07:00-19:00", "25:00-26:00", "07:00-07:00", "07:61-08:00", "Monkey 07:00-8:00"],
)
def test_what_can_t_be_read_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="allowed is"):
        parse_schedule(text)


@pytest.mark.parametrize(
    ("text", "day", "wanted_h"),
    [
        ("always", date(2026, 3, 29), 23),  # clocks go forward
        ("always", date(2026, 10, 25), 25),  # and back
        ("00:00-06:00", date(2026, 3, 29), 5),
        ("00:00-06:00", date(2026, 10, 25), 7),
        ("07:00-19:00", date(2026, 3, 29), 12),
        ("22:00-06:00", date(2026, 10, 25), 7 + 2),
    ],
)
def test_days_on_which_clocks_change_are_as_long_as_they_are(text: str, day: date, wanted_h: int) -> None:
    assert seconds(text, day, BERLIN) == wanted_h * 3600


def test_days_follow_each_other_without_hole_or_overlap() -> None:
    day, at = date(2026, 10, 20), datetime(2026, 10, 19, 22, tzinfo=UTC)
    for step in range(10):
        ((first, last),) = expected_on(ALWAYS, BERLIN, day + timedelta(days=step))
        assert first == at
        at = last
