"""What a search says in its address, the calendar's days, the tree's choices, and why nothing was found."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest

from viewer import absence, calendar, camera_tree, places, query
from viewer.calendar import DayShare
from viewer.i18n import Words
from viewer.places import Places
from vms.catalogue.rows import CameraRow, SiteRow
from vms.coverage import CameraFacts
from vms.schedule import ALWAYS, parse_schedule

EN, ID = Words("en"), Words("id")
SITES = [
    SiteRow("ho", "Kantor Pusat", "Asia/Jakarta", (CameraRow("gate", "Gerbang"), CameraRow("lobby", "Lobi"))),
    SiteRow("mks", "Makassar", "Asia/Makassar", (CameraRow("yard", "Halaman"),)),
]
THERE = Places(tuple(SITES), {})
MANY = Places(
    tuple(replace(SITES[0], id=f"s{number:03d}", name=f"Site {number:03d}") for number in range(1000)),
    {f"s{number:03d}": ("Bali" if number % 4 else "Java", "branch") for number in range(0, 1000, 3)},
)


def read(**params: str) -> query.Find:
    return query.read({name: [value] for name, value in params.items()})


def test_a_search_to_the_minute_is_counted_on_the_clock_of_the_zone() -> None:
    find = read(**{"from": "2026-11-24T18:00", "to": "2026-11-24T21:30"})
    assert query.bounds(find, "Asia/Makassar") == (
        datetime(2026, 11, 24, 10, 0, tzinfo=UTC),
        datetime(2026, 11, 24, 13, 30, tzinfo=UTC),
    )
    assert query.read({name: [value] for name, value in query.write(find).items()}) == find


def test_a_period_with_one_time_has_a_whole_day_on_the_other_side() -> None:
    begin, end = query.bounds(read(**{"from": "2026-11-24T18:00", "to": "2026-11-25"}), "UTC")
    assert (begin, end) == (datetime(2026, 11, 24, 18, tzinfo=UTC), datetime(2026, 11, 26, tzinfo=UTC))


@pytest.mark.parametrize(
    ("first", "last"),
    [("2026-11-25", "2026-11-24"), ("2026-11-25T01:00", "2026-11-24"), ("2026-11-24T21:00", "2026-11-24T18:00")],
)
def test_a_reversed_period_is_turned_round(first: str, last: str) -> None:
    assert read(**{"from": first, "to": last}) == read(**{"from": last, "to": first})
    begin, end = query.bounds(read(**{"from": first, "to": last}), "UTC")
    assert begin is not None
    assert end is not None
    assert begin < end


def test_a_time_beside_a_whole_day_is_not_reversed() -> None:
    find = read(**{"from": "2026-11-24T18:00", "to": "2026-11-24"})
    assert (find.first_time, find.last_time) == (time(18), None)


@pytest.mark.parametrize("nonsense", ["2026-11-24T99:00", "2026-13-01", "T18:00", "x" * 999])
def test_nonsense_in_the_address_is_dropped(nonsense: str) -> None:
    assert read(**{"from": nonsense}).first is None


def test_the_calendar_tells_none_part_and_all() -> None:
    month, today = date(2026, 11, 1), date(2026, 11, 20)
    shares = {date(2026, 11, 2): DayShare(86_400, 86_400), date(2026, 11, 3): DayShare(86_400, 86_399)}
    shown = read(**{"from": "2026-11-02T06:00", "to": "2026-11-03"})
    made = calendar.page(EN, month, shares, shown, "WIB", today)
    days = {one["iso"]: one for one in made["days"]}
    assert len(days) == 30
    assert made["lead"] == 6, "1 November 2026 is a Sunday"
    assert (days["2026-11-02"]["share"], days["2026-11-03"]["share"], days["2026-11-04"]["share"]) == (1000, 999, 0)
    assert "all there" in days["2026-11-02"]["label"]
    assert "no footage" in days["2026-11-04"]["label"]
    assert days["2026-11-21"]["off"], "days to come can't be chosen"
    assert (made["from"], made["to"], made["from_time"], made["after"]) == ("2026-11-02", "2026-11-03", "06:00", "")
    assert calendar.page(EN, date(2026, 10, 9), {}, shown, "WIB", today)["after"] == "2026-11"
    not_yet = calendar.page(EN, month, None, shown, "WIB", today)
    assert not not_yet["counted"]
    assert not any("no footage" in one["label"] for one in not_yet["days"]), "what is not counted is not told"


def test_what_the_calendar_tells_becomes_a_search() -> None:
    told = calendar.chosen("2026-11-24T18:00/2026-11-25")
    assert told is not None
    find = query.read(told)
    assert (find.first, find.first_time, find.last) == (date(2026, 11, 24), time(18), date(2026, 11, 25))
    assert calendar.chosen("2026-11-24") is None
    assert calendar.month_of("2026-11") == date(2026, 11, 1)
    assert calendar.month_of("../../etc") is None


def test_the_period_is_told_on_its_button() -> None:
    one_day = read(**{"from": "2026-11-24T18:00", "to": "2026-11-24"})
    assert calendar.label(ID, one_day) == "24 Nov 2026, 18:00\N{EN DASH}24:00"
    assert (
        calendar.label(EN, read(**{"from": "2026-11-24", "to": "2026-12-01"})) == "24 Nov 2026 \N{EN DASH} 1 Dec 2026"
    )
    assert calendar.label(EN, read(**{"from": "all"})) == "All"


@pytest.mark.parametrize(
    ("told", "sites", "cameras"),
    [
        ("*", (), ()),
        ("ho", ("ho",), ()),
        ("mks/yard", (), (("mks", "yard"),)),
        ("ho,mks/yard", (), (("ho", "gate"), ("ho", "lobby"), ("mks", "yard"))),
        ("nobody,<script>/x", (), ()),
    ],
)
def test_what_the_tree_tells_becomes_a_search(
    told: str, sites: tuple[str, ...], cameras: tuple[tuple[str, str], ...]
) -> None:
    find = camera_tree.choose(read(site="mks", state="all"), THERE, told)
    assert (find.sites, find.cameras, find.state) == (sites, cameras, "all")


def test_a_site_is_chosen_by_itself_or_by_all_its_cameras() -> None:
    def chosen(find: query.Find) -> list[str]:
        shown = camera_tree.page(EN, THERE, find)
        assert [len(site["cameras"]) for site in shown["sites"]] == [2, 1], "of a few all is sent"
        assert shown["ask"] is None
        return list(shown["chosen"])

    assert chosen(query.Find()) == []
    assert chosen(read(site="ho")) == ["ho"]
    assert chosen(read(camera="ho/gate")) == ["ho/gate"]
    assert chosen(read(camera="ho/gate,ho/lobby")) == ["ho"]
    assert camera_tree.label(EN, THERE, read(camera="ho/gate,mks/yard")) == "Makassar, Gerbang"
    assert camera_tree.label(EN, MANY, read(site="s001,s002,s003")) == "3 sites"


def test_of_many_cameras_the_tree_gets_what_is_chosen_and_asks_for_the_rest() -> None:
    shown = camera_tree.page(EN, MANY, read(site="s700", camera="s900/gate"))
    assert [site["id"] for site in shown["sites"]][:3] == ["s700", "s900", "s000"]
    assert (len(shown["sites"]), shown["left"]) == (camera_tree.MOST_SITES, 1000 - camera_tree.MOST_SITES)
    assert {site["cameras"] for site in shown["sites"]} == {None}
    assert shown["chosen"] == ["s700", "s900/gate"]
    assert len(json.dumps(shown)) < 4000
    answers = {asked: camera_tree.answer(MANY, asked, "") for asked in ("BALI", "site 041", "041 gerb", "mars", "")}
    assert {asked: (len(one["sites"]), one["left"]) for asked, one in answers.items()} == {
        "BALI": (places.MOST_FOUND, 210),
        "site 041": (1, 0),
        "041 gerb": (1, 0),
        "mars": (0, 0),
        "": (places.MOST_FOUND, 1000 - places.MOST_FOUND),
    }
    assert answers["site 041"]["sites"][0]["cameras"] is None, "the site was meant"
    assert answers["041 gerb"]["sites"][0]["cameras"] == [{"id": "gate", "name": "Gerbang"}]
    assert len(camera_tree.answer(MANY, "", "s041")["sites"][0]["cameras"]) == 2
    assert camera_tree.answer(MANY, "", "s041x") == {"sites": [], "left": 0}


def _facts(schedule: str, since: datetime | None) -> CameraFacts:
    return CameraFacts(
        site="ho",
        camera="gate",
        camera_name="Gerbang",
        time_zone="Asia/Jakarta",
        schedule=parse_schedule(schedule) if schedule else ALWAYS,
        tolerance_s=5,
        since=since,
        until=datetime(2026, 12, 1, tzinfo=UTC),
        kept=[],
        causes=[],
    )


def test_nothing_found_says_why() -> None:
    start = datetime(2026, 11, 24, 1, tzinfo=UTC)
    end = start + timedelta(hours=2)

    def why(facts: CameraFacts) -> str:
        camera = absence.of_camera(facts, start, end)
        told = absence.gaps(EN, [camera], {"ho": "Kantor Pusat"})
        return str(told[0]["reason"]) if told else absence.unexpected(EN, [camera], end)

    assert why(_facts("", start - timedelta(days=9))) == "camera silent"
    assert why(_facts("00:00-01:00", start - timedelta(days=9))) == "These cameras were not to record at that time."
    assert why(_facts("", None)) == "Of these cameras nothing has been archived yet."
    assert why(_facts("", end)) == "The first footage of Gerbang is of 24 Nov 2026 10:00:00 WIB."
