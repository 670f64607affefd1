"""Words and times of the command line as filters of the catalogue."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from vms.catalogue.reads import CameraRow, SiteRow
from vms.cli.selection import filters, moment
from vms.cli.wording import clock_text, plain, size_text, utc_text
from vms.errors import CatalogueError

HO = SiteRow("ho", "Head office", "Asia/Jakarta", (CameraRow("lobby", "Lobby"), CameraRow("gate", "Gate")))
EAST = SiteRow("jayapura", "Jayapura", "Asia/Jayapura", (CameraRow("gate", "Gate"),))
WEST = SiteRow("medan", "Medan", "Asia/Jakarta", (CameraRow("till", "Till"),))
KNOWN = (HO, EAST, WEST)
NOTHING = {"sites": [], "cameras": [], "begin": None, "end": None, "states": []}


def at(hour: int, day: int = 24) -> datetime:
    return datetime(2026, 11, day, hour, tzinfo=UTC)


def test_without_words_everything_is_meant() -> None:
    (one,) = filters(KNOWN, **NOTHING)
    assert (one.sites, one.cameras, one.from_utc, one.to_utc) == ((), (), None, None)


def test_naive_times_are_on_each_sites_clock() -> None:
    wanted = {**NOTHING, "begin": moment("2026-11-24T08:00"), "end": moment("2026-11-24")}
    found = {one.sites: (one.from_utc, one.to_utc) for one in filters(KNOWN, **wanted)}
    assert found == {("ho", "medan"): (at(1), at(17)), ("jayapura",): (at(23, 23), at(15))}


def test_an_offset_is_one_instant_for_all() -> None:
    wanted = {**NOTHING, "begin": moment("2026-11-24T08:00+07:00"), "end": moment("2026-11-24T03:00:00Z")}
    (one,) = filters(KNOWN, **wanted)
    assert (one.sites, one.from_utc, one.to_utc) == ((), at(1), at(3))


def test_a_camera_is_meant_at_every_site_that_has_it() -> None:
    (one,) = filters(KNOWN, **{**NOTHING, "cameras": ["gate"]})
    assert one.cameras == (("ho", "gate"), ("jayapura", "gate"))
    (one,) = filters(KNOWN, **{**NOTHING, "cameras": ["gate"], "sites": ["ho"]})
    assert one.cameras == (("ho", "gate"),)
    begin = moment("2026-11-24")
    (one,) = filters(KNOWN, **{**NOTHING, "cameras": ["till"], "begin": begin})
    assert (one.cameras, one.from_utc) == ((("medan", "till"),), at(17, 23))


def test_unknown_words_name_the_nearest() -> None:
    with pytest.raises(CatalogueError, match=r'no site "jayapure".*"jayapura".*Known: ho, jayapura, medan'):
        filters(KNOWN, **{**NOTHING, "sites": ["jayapure"]})
    with pytest.raises(CatalogueError, match=r'no camera "lobi" at ho\..*"lobby"'):
        filters(KNOWN, **{**NOTHING, "sites": ["ho"], "cameras": ["lobi"]})
    with pytest.raises(CatalogueError, match='no camera "till" at ho'):
        filters(KNOWN, **{**NOTHING, "sites": ["ho"], "cameras": ["till"]})
    with pytest.raises(CatalogueError, match="No site is known yet"):
        filters((), **{**NOTHING, "sites": ["ho"]})


@pytest.mark.parametrize(
    "text", ["", "today", "24-11-2026", "2026-13-01", "2026-W48", "0001-01-01", "9999-12-31", "8:00"]
)
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="is no time; write 2026-11-24"):
        moment(text)


def test_how_times_sizes_and_names_are_written() -> None:
    assert utc_text(datetime(2026, 11, 24, 1, tzinfo=UTC)) == "2026-11-24T01:00:00Z"
    assert clock_text(at(1), "Asia/Makassar") == "2026-11-24 09:00:00 WITA"
    assert clock_text(at(12), "America/Sao_Paulo") == "2026-11-24 09:00:00 UTC-03"
    assert [size_text(one) for one in (None, 0, 999, 1000, 12_300_000, 5_000_000_000_000)] == [
        "", "0 B", "999 B", "1.0 kB", "12.3 MB", "5.0 TB",
    ]  # fmt: skip
    assert plain("a[red]b\x1b[2Jc") == r"a\[red]b?[2Jc"
