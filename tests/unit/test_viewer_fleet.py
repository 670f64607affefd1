"""Many sites at a glance: which is how, which are asked for, and the map by region."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from viewer import fleet
from viewer.fleet import Asked
from viewer.i18n import Words
from vms.catalogue.pace import Backlog
from vms.catalogue.rows import SiteOverview, StoreStateRow

NOW = datetime(2026, 11, 30, 8, tzinfo=UTC)
WELL = SiteOverview("s1", "Kemang", "Asia/Jakarta", {}, 0, 0, NOW, None, NOW, NOW)
BEHIND = Backlog(9, 7200.0, 0, None, True)


def _out(site: str) -> StoreStateRow:
    return StoreStateRow(site, "nas", "unreachable", "The share is gone.", "Mount it.", NOW, NOW)


@pytest.mark.parametrize(
    ("changes", "more", "kind"),
    [
        ({}, {}, "ok"),
        ({"last_sensed": None}, {}, "quiet"),
        ({"last_sensed": None, "awaited_since": NOW - timedelta(minutes=59)}, {}, "quiet"),
        ({"last_sensed": None, "awaited_since": NOW - timedelta(minutes=61)}, {}, "silent"),
        ({"last_sensed": NOW - timedelta(hours=5), "every_s": 7200.0}, {}, "ok"),
        ({"last_sensed": NOW - timedelta(hours=7), "every_s": 7200.0}, {}, "silent"),
        ({"counts": {"quarantined": 1}}, {}, "attention"),
        ({"counts": {"planned": 1}}, {}, "ok"),
        ({"counts": {"planned": 1, "quarantined": 1}, "newest_archived": NOW - timedelta(hours=25)}, {}, "late"),
        ({"counts": {"planned": 1}, "newest_archived": None}, {}, "late"),
        ({"newest_archived": None}, {}, "ok"),
        ({"counts": {"quarantined": 1}}, {"backlog": BEHIND}, "growing"),
        ({"last_sensed": NOW - timedelta(hours=2)}, {"backlog": BEHIND}, "silent"),
        ({"last_sensed": NOW - timedelta(hours=2)}, {"waits": True}, "waits"),
        ({"last_sensed": NOW - timedelta(hours=2)}, {"store_out": True}, "away"),
        ({}, {"store_out": True, "waits": True, "paused": True}, "paused"),
    ],
)
def test_of_all_that_is_wrong_with_a_site_the_worst_counts(
    changes: dict[str, Any], more: dict[str, Any], kind: str
) -> None:
    assert fleet.judge(replace(WELL, **changes), NOW, **more) == kind


def _thousand() -> list[fleet.Judged]:
    sites = [replace(WELL, site=f"s{number:03d}", name=f"Cabang {number:03d}") for number in range(1000)]
    labels = {
        site.site: (f"Region {place % 9}", "kiosk" if place % 2 else "branch") for place, site in enumerate(sites)
    }
    del labels["s999"]
    backlogs = {"s005": BEHIND, "s014": BEHIND}
    sites[3] = replace(sites[3], counts={"quarantined": 2})
    sites[8] = replace(sites[8], last_footage=NOW + timedelta(days=900))
    return fleet.judged(sites, backlogs, [_out("s021"), replace(_out("s022"), state="ok")], labels, NOW)


def test_the_worst_come_first_and_words_region_tier_and_state_narrow_them() -> None:
    sites = _thousand()
    assert [one.site.site for one in sites[:5]] == ["s021", "s005", "s014", "s003", "s000"]
    asked = {
        Asked(state="bad"): ["s021", "s005", "s014", "s003"],
        Asked(state="growing"): ["s005", "s014"],
        Asked(state="bad", tier="kiosk"): ["s021", "s005", "s003"],
        Asked(state="bad", region="Region 5"): ["s005", "s014"],
        Asked("region cabang 007"): ["s007"],
        Asked("s007 KIOSK"): ["s007"],
        Asked("mars"): [],
    }
    assert {one: [found.site.site for found in fleet.fitting(sites, one)] for one in asked} == asked
    assert len(fleet.fitting(sites, Asked(region="Region 8"))) == 111


def test_what_is_asked_for_stands_in_the_address_and_nonsense_is_dropped() -> None:
    asked = Asked("kemang", "Jawa Barat", "kiosk", "bad")
    assert fleet.read(fleet.write(asked)) == asked
    assert fleet.write(Asked()) == {}
    assert fleet.read({"state": "<script>", "q": "x" * 9999}) == Asked("x" * 100)


def test_the_map_has_a_block_with_sums_for_each_region_and_is_small() -> None:
    words = Words("en")
    shown = fleet.page(words, _thousand(), NOW, "/sites?site=", "?region=")
    assert [one["name"] for one in shown["regions"]] == [*(f"Region {place}" for place in range(9)), "Without a region"]
    five = shown["regions"][5]
    kinds = [one["text"] for one in shown["kinds"]]
    assert [(kinds[place], count) for place, count in five["counts"]] == [("Falls behind", "2"), ("Running", "109")]
    assert [fact["value"] for fact in five["facts"]] == ["111", "4 h", "just now"]
    assert shown["regions"][8]["facts"][2]["value"] == "just now", "a clock that is ahead hides nobody's silence"
    assert five["tiles"][0] == ["s005", "Cabang 005", kinds.index("Falls behind")]
    assert sum(len(one["tiles"]) for one in shown["regions"]) == 1000
    assert [kinds[place] for place in shown["legend"]] == [
        "Store does not answer",
        "Falls behind",
        "Needs attention",
        "Running",
    ]
    assert len(json.dumps(shown)) < 40_000
    without = fleet.page(words, [replace(one, region="") for one in _thousand()], NOW, "", "")
    assert [one["name"] for one in without["regions"]] == [""], "who has no regions is told of none"
