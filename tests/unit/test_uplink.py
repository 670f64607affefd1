"""The timetable of a site's uplink: what it understands, what it refuses, and which rate goes at which moment."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vms.uplink import DAYS, LEAST, UNLIMITED, Cap, Uplink, parse, rate_text, until_text

JAKARTA = ZoneInfo("Asia/Jakarta")
BERLIN = ZoneInfo("Europe/Berlin")
MBIT = 125_000.0
WEEK = 7 * 24 * 60


def at(uplink: Uplink, text: str, zone: ZoneInfo = JAKARTA) -> float | None:
    """The rate at a local time such as "Mon 07:00" of an ordinary week."""
    day, clock = text.split()
    start = datetime(2026, 3, 2 + DAYS.index(day), *map(int, clock.split(":")), tzinfo=zone)
    return uplink.rate_at(start.astimezone(UTC), zone)


def test_one_cap_goes_at_all_hours():
    assert parse("2 Mbit/s") == Uplink((), 2 * MBIT)
    assert at(parse("2 Mbit/s"), "Sun 03:00") == 2 * MBIT


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("500 kbit/s", 62_500),
        ("1.5 Mbit/s", 187_500),
        ("1 Gbit/s", 125e6),
        ("40 kB/s", 40_000),
        ("2 MB/s", 2e6),
        ("2mbit/s", 250_000),
        ("unlimited", None),
        ("Unlimited", None),
    ],
)
def test_units(text, rate):
    assert parse(text).otherwise == rate


def test_working_hours_end_at_the_minute():
    uplink = parse("07:00-18:00 2 Mbit/s, else unlimited")
    found = [at(uplink, f"Wed {clock}") for clock in ("06:59", "07:00", "17:59", "18:00")]
    assert found == [None, 2 * MBIT, 2 * MBIT, None]


def test_days_differ_and_the_rest_has_its_own_cap():
    uplink = parse("Mon-Fri 07:00-18:00 2 Mbit/s, Sat 08:00-12:00 4 Mbit/s, else 20 Mbit/s")
    assert at(uplink, "Fri 17:59") == 2 * MBIT
    assert at(uplink, "Sat 07:59") == 20 * MBIT
    assert at(uplink, "Sat 08:00") == 4 * MBIT
    assert at(uplink, "Sun 08:00") == 20 * MBIT


def test_hours_over_midnight_belong_to_the_day_on_which_they_begin():
    uplink = parse("Fri 22:00-05:00 unlimited, else 1 Mbit/s")
    assert at(uplink, "Fri 04:00") == MBIT
    assert at(uplink, "Fri 22:00") is None
    assert at(uplink, "Sat 04:59") is None
    assert at(uplink, "Sat 05:00") == MBIT
    assert at(uplink, "Sat 22:00") == MBIT


def test_days_may_go_over_the_end_of_the_week():
    uplink = parse("Sat-Mon 2 Mbit/s")
    assert [at(uplink, f"{day} 12:00") is not None for day in DAYS] == [True, False, False, False, False, True, True]


def test_the_hours_are_those_on_the_wall_also_when_clocks_are_changed():
    uplink = parse("02:00-03:00 1 Mbit/s, else unlimited")
    spring = [datetime(2026, 3, 29, 0, 30, tzinfo=UTC) + timedelta(hours=hours) for hours in range(3)]
    assert [uplink.rate_at(when, BERLIN) for when in spring] == [None, None, None]  # 01:30, 03:30, 04:30
    autumn = [datetime(2026, 10, 24, 23, 30, tzinfo=UTC) + timedelta(hours=hours) for hours in range(4)]
    assert [uplink.rate_at(when, BERLIN) for when in autumn] == [None, MBIT, MBIT, None]  # 02:30 comes twice


def test_each_site_goes_by_its_own_clock():
    when = datetime(2026, 3, 2, 0, 30, tzinfo=UTC)  # 07:30 in Jakarta, 09:30 in Jayapura
    uplink = parse("09:00-17:00 1 Mbit/s, else unlimited")
    assert uplink.rate_at(when, JAKARTA) is None
    assert uplink.rate_at(when, ZoneInfo("Asia/Jayapura")) == MBIT


def test_a_list_says_the_same_as_a_line():
    line = "Mon-Fri 07:00-18:00 2 Mbit/s, else 20 Mbit/s"
    assert parse(line.split(", ")) == parse(line)


def test_spaces_long_names_and_midnight_are_taken():
    text = "  monday - Friday  7:00 - 24:00  2 Mbit/s ,  else  unlimited "
    assert str(parse(text)) == "Mon-Fri 07:00-24:00 2 Mbit/s, else unlimited"
    assert parse("22:00-00:00 2 Mbit/s") == parse("22:00-24:00 2 Mbit/s")


def test_only_a_timetable_with_a_cap_is_limited():
    assert UNLIMITED.is_unlimited
    assert parse("07:00-18:00 unlimited, else unlimited").is_unlimited
    assert not parse("07:00-18:00 unlimited, else 1 Mbit/s").is_unlimited
    assert not parse("07:00-18:00 1 Mbit/s").is_unlimited


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "allowed is a cap such as"),
        (" , ", "allowed is a cap such as"),
        ("fast", '"fast" is not understood'),
        ("07:00-18:00 2 Mbit/s,, else unlimited", '"" is not understood'),
        ("2", "kbit/s, Mbit/s, Gbit/s, kB/s, MB/s"),
        ("2 Mb/s", 'the rate of "2 Mb/s" is not understood'),
        ("07:00 2 Mbit/s", 'the rate of "07:00 2 Mbit/s"'),
        ("-1 Mbit/s", "is not understood"),
        ("1e9 Mbit/s", "is not understood"),
        ("0 Mbit/s", "allowed is 128 kbit/s or more"),
        ("127 kbit/s", "allowed is 128 kbit/s or more"),
        ("else 64 kbit/s", "allowed is 128 kbit/s or more"),
        ("Senin 2 Mbit/s", '"Senin" in "Senin 2 Mbit/s" is no day; allowed are Mon, Tue'),
        ("07:00-25:00 2 Mbit/s", '"25:00"'),
        ("07:60-08:00 2 Mbit/s", '"07:60"'),
        ("07:00-07:00 2 Mbit/s", "covers no time"),
        ("24:00-07:00 2 Mbit/s", "covers no time"),
        ("07:00-18:00 2 Mbit/s, else 3 Mbit/s, else 4 Mbit/s", '"else 3 Mbit/s" and "else 4 Mbit/s"'),
        ("2 Mbit/s, else 3 Mbit/s", '"else 3 Mbit/s" never comes about'),
        ("07:00-18:00 2 Mbit/s, 17:00-19:00 3 Mbit/s", '"07:00-18:00 2 Mbit/s" and "17:00-19:00 3 Mbit/s"'),
        ("07:00-18:00 2 Mbit/s, 07:00-18:00 2 Mbit/s", "both speak of Mon 07:00"),
        ("2 Mbit/s, Sun 3 Mbit/s", '"2 Mbit/s" and "Sun 3 Mbit/s" both speak of Sun 00:00'),
        ("Sun 22:00-05:00 1 Mbit/s, Mon 04:00-06:00 2 Mbit/s", "both speak of Mon 04:00"),
    ],
)
def test_what_is_refused_and_what_is_said(text, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        parse(text)


def test_the_lowest_cap_is_allowed():
    assert parse(rate_text(LEAST)).otherwise == LEAST


def test_what_goes_now_and_until_when():
    uplink = parse("07:00-18:00 2 Mbit/s, else unlimited")
    noon = datetime(2026, 3, 2, 5, 0, 30, tzinfo=UTC)
    assert until_text(uplink, noon, JAKARTA) == "2 Mbit/s until 18:00"
    assert until_text(uplink, noon + timedelta(hours=8), JAKARTA) == "unlimited until 07:00"
    assert until_text(parse("2 Mbit/s"), noon, JAKARTA) == "2 Mbit/s"


rates = st.none() | st.integers(128, 999_999).map(lambda kilobits: kilobits * 125.0)


@st.composite
def timetables(draw: st.DrawFn) -> Uplink:
    """Caps between random points of a day, on random runs of days, of which those that overlap earlier ones are left
    out."""
    caps: list[Cap] = []
    taken: set[tuple[int, int]] = set()
    for _ in range(draw(st.integers(0, 5))):
        first, length = draw(st.integers(0, 6)), draw(st.integers(1, 7))
        days = tuple(range(7)) if length == 7 else tuple((first + step) % 7 for step in range(length))
        begin = draw(st.integers(0, 1439))
        end = draw(st.integers(1, 1440).filter(lambda end, begin=begin: end != begin))
        span = (end - begin) % 1440 or 1440
        minutes = {divmod((day * 1440 + begin + step) % WEEK, 1440) for day in days for step in range(span)}
        if not minutes & taken and len(minutes) < WEEK:
            taken |= minutes
            caps.append(Cap(days, begin, end, draw(rates)))
    return Uplink(tuple(caps), draw(rates))


@settings(max_examples=40, deadline=None)
@given(timetables(), st.integers(0, WEEK - 1))
def test_the_rate_is_that_of_the_one_entry_that_covers_the_minute(uplink, moment):
    """Counted the other way round: from the begin of each entry, minute by minute."""
    covering = [
        cap.rate
        for cap in uplink.caps
        if any((moment - day * 1440 - cap.begin) % WEEK < ((cap.end - cap.begin) % 1440 or 1440) for day in cap.days)
    ]
    assert len(covering) <= 1
    when = datetime(2026, 3, 2, tzinfo=JAKARTA) + timedelta(minutes=moment)
    assert uplink.rate_at(when.astimezone(UTC), JAKARTA) == (covering[0] if covering else uplink.otherwise)


@settings(max_examples=40, deadline=None)
@given(timetables())
def test_its_text_says_it_whole(uplink):
    assert parse(str(uplink)) == uplink


@given(st.text("0123456789:-, .MonkbitsunlimedBG/else"))
def test_whatever_is_written_is_read_or_refused(text):
    try:
        uplink = parse(text)
    except ValueError:
        return
    assert parse(str(uplink)) == uplink
