"""Both languages are complete, and times, lengths and sizes read as people write them."""

from __future__ import annotations

import importlib
import re
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest

from viewer import audit_log, formats, heat
from viewer.i18n import TEXTS, Words, choose_language
from vms.errors import Reason

VIEWER = Path(__file__).resolve().parents[2] / "viewer"
ID, EN = Words("id"), Words("en")
COUNTED = re.compile(r"""counted\(\s*words,\s*["']([a-z_.0-9]+)["']""")
USED_DIRECTLY = re.compile(r"""["']([a-z_]+(?:\.[a-z0-9_]+)+)["']""")
FAMILIES = re.compile(r"""one_of\(\s*["']([a-z_.]+)["']""")
START = datetime(2026, 1, 31, 1, 0, 0, tzinfo=UTC)


def _sources() -> str:
    paths = [path for path in sorted(VIEWER.rglob("*.py")) if not path.parent.name.startswith("words_")]
    return "\n".join(path.read_text() for path in paths)


def _parts(lang: str) -> dict[str, dict[str, str]]:
    names = sorted(path.stem for path in (VIEWER / f"words_{lang}").glob("[a-z]*.py"))
    return {name: importlib.import_module(f"viewer.words_{lang}.{name}").TEXT for name in names}


def test_both_languages_have_the_same_keys_in_the_same_parts_and_each_in_one_part_only() -> None:
    english, indonesian = _parts("en"), _parts("id")
    assert {name: part.keys() for name, part in english.items()} == {
        name: part.keys() for name, part in indonesian.items()
    }
    assert TEXTS["id"].keys() == TEXTS["en"].keys()
    assert len(TEXTS["en"]) == sum(len(part) for part in english.values())


def test_no_key_is_used_that_has_no_words() -> None:
    used = set(re.findall(r"""words\(\s*["']([a-z_.0-9]+)["']""", _sources()))
    assert used
    counted = set(COUNTED.findall(_sources()))
    assert counted
    assert used | counted | {f"{key}.one" for key in counted} <= TEXTS["en"].keys()


def test_no_words_are_kept_that_nothing_uses() -> None:
    source = _sources()
    direct = set(USED_DIRECTLY.findall(source))
    families = tuple(f"{name}." for name in FAMILIES.findall(source))
    direct |= {f"{key}.one" for key in COUNTED.findall(source)}
    assert not [key for key in TEXTS["en"] if key not in direct and not key.startswith(families)]


def test_every_reason_that_the_product_gives_has_words_and_a_remedy_and_no_other_has() -> None:
    worded = {key.partition(".")[2] for key in TEXTS["en"] if key.startswith("reason.")} - {"other"}
    assert worded == set(get_args(Reason))
    assert {f"remedy.{reason}" for reason in worded} <= TEXTS["en"].keys()


def test_the_log_can_be_asked_for_every_deed_that_has_words() -> None:
    assert sorted(audit_log.ACTIONS) == sorted(key[7:] for key in TEXTS["en"] if key.startswith("action."))


@pytest.mark.parametrize("key", sorted(TEXTS["en"]))
def test_placeholders_agree_and_nothing_is_left_untranslated(key: str) -> None:
    english, indonesian = TEXTS["en"][key], TEXTS["id"][key]
    names = [{part[1] for part in Formatter().parse(text) if part[1]} for text in (english, indonesian)]
    assert names[0] == names[1]
    assert english.strip()
    assert indonesian.strip()
    if len(english.split()) > 2 and not key.startswith(("length.", "recording.copy")) and key != "find.total.size":
        assert english != indonesian


@pytest.mark.parametrize(
    ("asked", "header", "lang"),
    [
        ("en", "id-ID", "en"),
        ("fr", "en-GB,en;q=0.8", "en"),
        (None, "id-ID,id;q=0.9,en;q=0.8", "id"),
        (None, "en;q=0.3, id;q=0.9", "id"),
        (None, "de-DE,en;q=0.5", "en"),
        (None, "in", "id"),
        (None, "de", "id"),
        (None, "en;q=zero,;;,id", "id"),
        (None, None, "id"),
    ],
)
def test_language(asked: str | None, header: str | None, lang: str) -> None:
    assert choose_language(asked, header) == lang


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("Asia/Jakarta", "31 Jan 2026 08:00:00 WIB"),
        ("Asia/Makassar", "31 Jan 2026 09:00:00 WITA"),
        ("Asia/Jayapura", "31 Jan 2026 10:00:00 WIT"),
        ("Asia/Singapore", "31 Jan 2026 09:00:00 UTC+8"),
        ("Asia/Kathmandu", "31 Jan 2026 06:45:00 UTC+5:45"),
        ("Nowhere/Else", "31 Jan 2026 01:00:00 UTC"),
    ],
)
def test_moments_carry_the_name_of_their_zone(zone: str, shown: str) -> None:
    assert formats.moment(EN, START, zone) == shown


def test_dates_have_their_own_month_and_day_names() -> None:
    assert formats.day_long(ID, date(2026, 8, 17)) == "Senin, 17 Agustus 2026"
    assert formats.day_long(EN, date(2026, 8, 17)) == "Monday, 17 August 2026"
    assert formats.day_short(ID, date(2026, 5, 1)) == "1 Mei 2026"


def test_a_span_over_midnight_names_the_second_day() -> None:
    start = datetime(2026, 1, 31, 16, 58, tzinfo=UTC)
    assert "1 Feb 2026" in formats.span(ID, start, start + timedelta(minutes=5), "Asia/Jakarta")
    assert "Feb" not in formats.span(ID, start, start + timedelta(minutes=1), "Asia/Jakarta")


@pytest.mark.parametrize(
    ("count", "indonesian"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1,0 kB"),
        (52_140_000, "52,1 MB"),
        (999_600_000, "1,0 GB"),
        (148 * 10**6, "148 MB"),
    ],
)
def test_sizes(count: int, indonesian: str) -> None:
    assert formats.size(ID, count) == indonesian
    assert formats.size(EN, count) == indonesian.replace(",", ".")


def test_one_thing_is_told_as_one() -> None:
    keys = set(COUNTED.findall(_sources()))
    rest = {"size": "2 MB", "length": "1 min"}
    for key in keys:
        one, many = formats.counted(EN, key, 1, **rest), formats.counted(EN, key, 1234, **rest)
        assert one.startswith("1 "), key
        assert many.startswith("1,234 "), key
        assert many.split()[1].rstrip(",.") == one.split()[1].rstrip(",.") + "s", key
        assert formats.counted(ID, key, 1, **rest).split()[1:] == formats.counted(ID, key, 2, **rest).split()[1:], key


def test_saving_is_only_told_when_there_is_one() -> None:
    assert formats.saving(EN, 100, 35) == "65 %"
    assert formats.saving(EN, 100, 100) == formats.saving(EN, 0, 0) == formats.saving(EN, 100, 0) == ""


@pytest.mark.parametrize(
    ("seconds", "badge", "words"),
    [(0.2, "0:00", "0 dtk"), (59.6, "1:00", "1 mnt"), (300, "5:00", "5 mnt"), (3723, "1:02:03", "1 jam 2 mnt")],
)
def test_lengths(seconds: float, badge: str, words: str) -> None:
    assert formats.stopwatch(seconds) == badge
    assert formats.length(ID, seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3, "just now"), (61, "1 minute ago"), (3599, "59 minutes ago"), (3600, "1 hour ago"), (47 * 3600, "47 hours ago"),
     (49 * 3600, "2 days ago"), (-3600, "in the future")],
)  # fmt: skip
def test_ages(seconds: float, words: str) -> None:
    assert formats.age(EN, START, START + timedelta(seconds=seconds)) == words


def test_a_day_is_counted_in_the_sites_zone() -> None:
    first, after = formats.day_bounds(date(2026, 1, 31), date(2026, 1, 31), "Asia/Jayapura")
    assert first.astimezone(UTC) == datetime(2026, 1, 30, 15, tzinfo=UTC)
    assert after - first == timedelta(hours=24)


def test_days_of_the_map_do_not_run_into_each_other() -> None:
    """A month that begins on the second day of the map would be written over the first."""
    days = [date(2026, 10, 31) + timedelta(days=step) for step in range(31)]
    told = heat._days(ID, days)
    assert [one["month"] for one in told if one["month"]] == ["Nov"]
    marked = [at for at, one in enumerate(told) if one["number"]]
    assert all(after - before >= heat._APART for before, after in pairwise(marked))
