"""The timeline as pure data: footage, gaps and holds within what was asked for, and the zone's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from viewer.i18n import Words
from viewer.watch import spans
from vms.catalogue.timeline import Stretch
from vms.coverage import CameraFacts, Cause
from vms.pieces import micros
from vms.schedule import parse_schedule

DAY = datetime(2026, 1, 31, tzinfo=UTC)
KEY = ("ho", "lobby")
HOUR = timedelta(hours=1)
HOUR_MS = 3_600_000


def _facts(kept: list[tuple[datetime, datetime]], causes: tuple[Cause, ...] = ()) -> CameraFacts:
    return CameraFacts(
        site="ho", camera="lobby", camera_name="Lobi", time_zone="Asia/Jakarta", schedule=parse_schedule(""),
        tolerance_s=5, since=DAY, until=DAY + 20 * HOUR,
        kept=[(micros(begin), micros(end)) for begin, end in kept], causes=causes,
    )  # fmt: skip


def test_footage_is_cut_to_what_was_asked_and_gaps_have_their_reasons() -> None:
    asked = spans.Asked((KEY,), DAY + HOUR, DAY + 5 * HOUR)
    kept = [(DAY, DAY + 2 * HOUR), (DAY + 3 * HOUR, DAY + 4 * HOUR)]
    facts = _facts(kept, (Cause(micros(DAY + 2 * HOUR), micros(DAY + 3 * HOUR), "waiting"),))
    found = [
        Stretch(KEY, 1, DAY, DAY + 2 * HOUR, lacking=True, damaged=False, doubtful=True),
        Stretch(KEY, 2, DAY + 3 * HOUR, DAY + 4 * HOUR, lacking=False, damaged=True, doubtful=False),
    ]
    made = spans.timeline(Words("en"), asked, [facts], found, [(KEY, DAY, DAY + 2 * HOUR)])
    camera = made["cameras"][0]
    assert (made["from"], made["to"], made["fine"]) == (
        spans.milliseconds(asked.begin),
        spans.milliseconds(asked.end),
        True,
    )
    assert camera["spans"] == [[0, HOUR_MS, spans.LACKING | spans.DOUBTFUL], [2 * HOUR_MS, HOUR_MS, spans.DAMAGED]]
    assert camera["held"] == [[0, HOUR_MS]]
    assert [(*gap[:3], made["texts"][gap[3]]) for gap in camera["gaps"]] == [
        (HOUR_MS, HOUR_MS, 0, "waiting to be archived"),
        (3 * HOUR_MS, HOUR_MS, 1, "camera silent"),
    ]


def test_a_long_time_shows_where_there_is_footage_and_the_few_that_deviate_and_says_when_these_are_not_all() -> None:
    asked = spans.Asked((KEY,), DAY - timedelta(days=10), DAY + timedelta(days=2))
    found = [
        Stretch(KEY, number, DAY + minute * timedelta(minutes=1), DAY + (minute + 1) * timedelta(minutes=1),
                lacking=lacking, damaged=not lacking, doubtful=False)
        for number, minute, lacking in ((1, 0, True), (2, 1, True), (3, 2, False), (4, 40, True))
    ]  # fmt: skip
    for are_all, code in ((True, 0), (False, spans.UNKNOWN)):
        made = spans.timeline(Words("id"), asked, [_facts([(DAY, DAY + HOUR)])], found, [], are_all=are_all)
        assert (made["fine"], made["whole"]) == (False, are_all)
        (camera,) = made["cameras"]
        assert camera["spans"] == [[240 * HOUR_MS, HOUR_MS, code]]
        assert [[(one[0] - 240 * HOUR_MS) // 60_000, one[1] // 60_000, one[2]] for one in camera["odd"]] == [
            [0, 2, spans.LACKING],
            [2, 1, spans.DAMAGED],
            [40, 1, spans.LACKING],
        ]


def test_the_clock_of_a_zone_changes_at_the_minute_at_which_it_does() -> None:
    jakarta = spans.clock(DAY, DAY + timedelta(days=1), "Asia/Jakarta")
    assert jakarta == [[spans.milliseconds(DAY), 7 * 3600, "WIB"]]
    spring = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    for margin in (timedelta(hours=5, minutes=17), timedelta(days=90, minutes=11)):
        berlin = spans.clock(spring - margin, spring + 2 * margin, "Europe/Berlin")
        assert [one[1:] for one in berlin] == [[3600, "CET"], [7200, "CEST"]]
        assert berlin[1][0] == spans.milliseconds(spring)
