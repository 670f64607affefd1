"""What the page Watch gives to its component: cameras and moment of the address, words in both languages."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from viewer import components, query
from viewer.i18n import Words
from viewer.pages import watch
from vms.catalogue.rows import CameraRow, SiteRow

HO = SiteRow("ho", "Kantor", "Asia/Jakarta", (CameraRow("lobby", "Lobi"), CameraRow("gate", "Gerbang")))
SHOP = SiteRow("shop", "Toko", "Asia/Makassar", (CameraRow("till", "Kasir"),))
SITES = [HO, SHOP]


@pytest.mark.parametrize(
    ("params", "cameras"),
    [
        ({"camera": ["ho/gate,shop/till"]}, (("ho", "gate"), ("shop", "till"))),
        ({"site": ["ho"], "camera": ["lobby"]}, (("ho", "lobby"),)),
        ({"site": ["ho"]}, (("ho", "lobby"), ("ho", "gate"))),
        ({"camera": ["ho/none", "x/../y", "ho/<b>"]}, ()),
        ({}, ()),
    ],
)
def test_the_cameras_of_the_address(params: dict[str, list[str]], cameras: tuple[tuple[str, str], ...]) -> None:
    assert watch._cameras(SITES, query.read(params)) == cameras


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T01:00:05Z", datetime(2026, 1, 31, 1, 0, 5, tzinfo=UTC)),
        ("2026-01-31T09:00:05+08:00", datetime(2026, 1, 31, 1, 0, 5, tzinfo=UTC)),
        ("2026-01-31T09:00:05", datetime(2026, 1, 31, 1, 0, 5, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 30, 16, 0, tzinfo=UTC)),
        ("0001-01-01T00:00:00", None),
        ("9999-12-31T23:59:59Z", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_the_moment_of_the_address_is_the_clock_of_the_first_cameras_site(text: str, moment: datetime | None) -> None:
    assert watch._moment(text, (("shop", "till"),), SITES) == moment


def test_the_day_of_the_address_is_one_of_the_first_cameras_site() -> None:
    day = (datetime(2026, 1, 30, 16, tzinfo=UTC), datetime(2026, 1, 31, 16, tzinfo=UTC))
    assert watch._day("2026-01-31", (("shop", "till"),), SITES) == day
    assert [watch._day(text, (("shop", "till"),), SITES) for text in ("", "today", "0001-01-01")] == [None] * 3


@pytest.mark.parametrize(
    ("begin", "end", "minutes"),
    [
        ("2026-01-31T01:00:05Z", "2026-01-31T09:10:05", (1, 10)),
        ("2026-01-31T01:00:05Z", "2026-01-31T01:00:05Z", None),
        ("2026-01-31T02:00:05Z", "2026-01-31T01:00:05Z", None),
        ("2026-01-31T01:00:05Z", "", None),
        ("<script>", "2026-01-31T01:00:05Z", None),
    ],
)
def test_the_range_of_the_address_ends_after_it_begins(
    begin: str, end: str, minutes: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch.st, "query_params", {"from": begin, "to": end})
    found = watch._range((("shop", "till"),), SITES)
    assert (found and (found[0].hour, found[1].minute)) == minutes


@pytest.mark.parametrize("lang", ["id", "en"])
def test_the_component_has_words_for_all_that_it_says(lang: str) -> None:
    given = watch.page(Words(lang), SITES, (("ho", "lobby"), ("shop", "till")), None, may_take=True)
    assert all(given["words"].values())
    assert all(text for _, text in given["keys"])
    assert "S" not in [
        keys for keys, _ in watch.page(Words(lang), SITES, (("ho", "lobby"),), None, may_take=False)["keys"]
    ]
    assert [one["name"] for one in given["cameras"]] == ["Lobi · Kantor", "Kasir · Toko"]
    said = (Path(components.__file__).parent / "front").glob("watch*.js")
    used = {name for file in said for name in re.findall(r"\bw\.([a-z0-9_]+)", file.read_text())}
    assert used - set(watch.SAID) <= {"key"}
