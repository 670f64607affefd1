"""The rules of alerts, one by one, and that both languages say everything."""

from __future__ import annotations

import io
import string
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

import pytest
from PIL import Image

from vms.alerts import wording
from vms.alerts.conditions import KINDS, Condition, Facts, Kind, SiteFacts, StoreAnswer, find_conditions
from vms.alerts.picture import coverage_picture
from vms.catalogue.alerts import AlertRow
from vms.config_alerts import AlertPolicy
from vms.coverage import CameraFacts, DayCoverage
from vms.pieces import micros
from vms.schedule import parse_schedule

NOW = datetime(2026, 2, 1, 3, 0, tzinfo=UTC)
SITE = SiteFacts(
    "ho", ZoneInfo("Asia/Jakarta"), NOW, timedelta(minutes=30), 0, None, 0, 0, frozenset({"nas"})
)  # fmt: skip
NEW = replace(SITE, site="new", last_sensed=None)
FACTS = Facts(sites=(SITE,), cameras=(), answers=(), broken={}, full_in_days=None, plans={}, free={})
POLICY = AlertPolicy()


def wrong(facts: Facts) -> list[Condition]:
    return list(find_conditions(facts, POLICY, NOW).conditions)


def a_camera(silent: timedelta, schedule: str = "", usual_s: float = 300.0) -> tuple[CameraFacts, float]:
    until = NOW - timedelta(minutes=15)
    kept = [(micros(NOW - timedelta(days=5)), micros(until - silent))]
    since = NOW - timedelta(days=5)
    plan = parse_schedule(schedule)
    return CameraFacts("ho", "lobby", "Lobby", "Asia/Jakarta", plan, 5.0, since, until, kept), usual_s


@pytest.mark.parametrize(
    ("facts", "kinds"),
    [
        (FACTS, []),
        (replace(FACTS, sites=(replace(SITE, last_sensed=NOW - timedelta(minutes=31)),)), ["site_unreachable"]),
        (replace(FACTS, sites=(replace(SITE, last_sensed=None),)), []),
        (replace(FACTS, sites=(replace(NEW, awaited_since=NOW - timedelta(minutes=29)),)), []),
        (replace(FACTS, sites=(replace(NEW, awaited_since=NOW - timedelta(minutes=31)),)), ["site_never_seen"]),
        (replace(FACTS, sites=(replace(SITE, waiting=3, waiting_since=NOW - timedelta(hours=11)),)), []),
        (replace(FACTS, sites=(replace(SITE, waiting=3, waiting_since=NOW - timedelta(hours=13)),)), ["backlog"]),
        (replace(FACTS, sites=(replace(SITE, quarantined=2, lost=1),)), ["quarantine", "footage_lost"]),
        (replace(FACTS, answers=(StoreAnswer("ho", "nas", "full", ""),)), ["store_out"]),
        (replace(FACTS, answers=(StoreAnswer("ho", "nas", "ok", ""),)), []),
        (replace(FACTS, answers=(StoreAnswer("ho", "old", "full", ""),)), []),
        (replace(FACTS, broken={"nas": 2, "san": 0}), ["copies_broken"]),
        (replace(FACTS, full_in_days={"nas": 30, "san": 31}), ["store_full_soon"]),
        (replace(FACTS, plans={7: 1000}), ["purge_waiting"]),
        (replace(FACTS, free={"/a": 4 * 10**9, "/b": 6 * 10**9}), ["free_space"]),
        (replace(FACTS, expiring={("certificate", "nas:443"): NOW + timedelta(days=21)}), ["expiring"]),
        (replace(FACTS, expiring={("credential", "office"): NOW + timedelta(days=21, seconds=1)}), []),
        (replace(FACTS, expiring={("credential", "office"): NOW - timedelta(days=1)}), ["expiring"]),
        (replace(FACTS, backup=NOW - timedelta(days=2)), []),
        (replace(FACTS, backup=NOW - timedelta(days=2, seconds=1)), ["backup_overdue"]),
        (replace(FACTS, backup=NOW - timedelta(days=3), backup_age=timedelta(days=3)), []),
        (replace(FACTS, cameras=(a_camera(timedelta(minutes=29)),)), []),
        (replace(FACTS, cameras=(a_camera(timedelta(minutes=31)),)), ["camera_silent"]),
        (replace(FACTS, cameras=(a_camera(timedelta(minutes=31), usual_s=3600.0),)), []),
        (replace(FACTS, cameras=(a_camera(timedelta(minutes=31), schedule="18:00-20:00"),)), []),
    ],
)
def test_a_rule_tells_what_is_wrong_and_nothing_else(facts: Facts, kinds: list[str]) -> None:
    assert [one.kind for one in wrong(facts)] == kinds


def test_a_server_that_shows_no_certificate_hides_nothing_of_the_others() -> None:
    facts = replace(FACTS, expiring={("credential", "office"): NOW}, all_asked=False)
    found = find_conditions(facts, POLICY, NOW)
    assert [one.kind for one in found.conditions] == ["expiring"]
    assert ("expiring", "") in found.unknown, "and what was told of that server before goes on"
    assert ("expiring", "") not in find_conditions(replace(facts, all_asked=True), POLICY, NOW).unknown


def test_a_camera_of_a_site_that_is_away_and_an_unasked_forecast_are_unknown() -> None:
    facts = replace(
        FACTS,
        sites=(replace(SITE, last_sensed=NOW - timedelta(days=1)),),
        cameras=(a_camera(timedelta(days=1)),),
    )
    found = find_conditions(facts, POLICY, NOW)
    assert [one.kind for one in found.conditions] == ["site_unreachable"]
    assert {("camera_silent", "ho"), ("store_full_soon", ""), ("expiring", "")} <= found.unknown


def test_sites_yaml_says_how_old_a_backup_may_be() -> None:
    facts = replace(FACTS, backup=NOW - timedelta(days=5))
    assert not find_conditions(facts, replace(POLICY, backup_age=timedelta(days=5)), NOW).conditions
    assert find_conditions(facts, replace(POLICY, backup_age=timedelta(days=4)), NOW).conditions


def test_both_languages_have_words_for_everything() -> None:
    assert set(KINDS) == set(get_args(Kind))
    names = {text: {name for _, name, _, _ in string.Formatter().parse(text) if name} for text in _all_texts()}
    for kind in KINDS:
        english, indonesian = wording.KINDS["en"][kind], wording.KINDS["id"][kind]
        for part in ("begin", "remedy", "end"):
            mine, theirs = getattr(english, part), getattr(indonesian, part)
            assert mine != theirs
            assert names[mine] == names[theirs]
    assert wording.PHRASES["en"].keys() == wording.PHRASES["id"].keys()
    assert wording.STATES["en"].keys() == wording.STATES["id"].keys()


@pytest.mark.parametrize("language", ["en", "id"])
def test_every_kind_can_be_told_from_what_its_rule_found(language: wording.Language) -> None:
    facts = Facts(
        sites=(
            replace(SITE, waiting=3, waiting_since=NOW - timedelta(hours=13), quarantined=1, lost=1),
            replace(SITE, site="away", last_sensed=NOW - timedelta(days=1)),
            replace(NEW, awaited_since=NOW - timedelta(days=1)),
        ),
        cameras=(a_camera(timedelta(hours=2)),),
        answers=(StoreAnswer("ho", "nas", "denied", ""),),
        broken={"nas": 1},
        full_in_days={"nas": 3},
        plans={7: 10},
        free={"/a": 1},
        expiring={("certificate", "nas:443"): NOW},
        backup=NOW - timedelta(days=4),
    )
    found = wrong(facts)
    assert {one.kind for one in found} == set(KINDS)
    for one in found:
        alert = AlertRow(1, *one.key, one.detail, NOW, NOW, NOW)
        for make in (wording.begin_text, wording.end_text, wording.short_text):
            text = make(language, alert, SITE.zone)
            assert "{" not in text
            assert len(text) > 20


def test_one_and_many_are_told_as_such() -> None:
    def told(count: int, language: wording.Language) -> str:
        return wording.short_text(
            language, AlertRow(1, "quarantine", "ho", "", {"count": count}, NOW, NOW, None), SITE.zone
        )

    assert told(1, "en") == "ho: 1 file could not be archived and went into quarantine."
    assert told(2, "en").startswith("ho: 2 files could not")
    assert told(1, "id").startswith("ho: 1 berkas tidak dapat")
    assert wording.UNITS["en"].keys() == wording.UNITS["id"].keys()


def test_a_long_message_is_cut_and_counted() -> None:
    text = wording.joined("en", [f"line {number}" for number in range(25)])
    assert "line 11" in text
    assert "line 12" not in text
    assert "13 more" in text


def test_the_picture_is_a_png_with_a_row_for_each_camera() -> None:
    days = [
        DayCoverage("ho", camera, date(2026, 1, day), 86400, present)
        for day in (1, 2, 3)
        for camera, present in (("gate", 86400), ("lobby", 40000))
    ]
    image = Image.open(io.BytesIO(coverage_picture("ho", days)))
    assert image.format == "PNG"
    colors = {color for _, color in image.convert("RGB").getcolors(100_000) or []}
    assert (120, 200, 120) in colors
    assert len([color for color in colors if color[0] == 240 and color[2] == 90]) == 1


def _all_texts() -> set[str]:
    kinds = [words for language in wording.KINDS.values() for words in language.values()]
    return {text for one in kinds for text in (one.begin, one.remedy, one.end)}
