"""The only copy of a recording is damaged or gone and its source lies on site: it is archived anew, beside the damage.

Real footage, FFmpeg and store; the steps are those of the site's own runs and of the nightly checks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from catalogue_world import ask, events, opened
from integrity_world import damage
from source_world import Site, a_source_site, put
from vms.catalogue.integrity import list_strays
from vms.catalogue.planning import load_batches
from vms.home import Home


@pytest.fixture
def site(catalogue: tuple[Home, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    home, address = catalogue
    with opened(address) as conn:
        yield a_source_site(conn, home, tmp_path, monkeypatch)


def test_a_damaged_only_copy_is_archived_anew_beside_the_damage(site: Site) -> None:
    damage(site.object())
    rotten = site.objects()["mp4"]
    assert site.prove().damaged == 1
    assert (site.state(), site.gap()) == ((0, False), ["waiting"])
    assert site.run() == 1
    assert (site.state(), site.gap()) == ((1, False), [])
    assert site.objects()["mp4"] == rotten, "nothing is overwritten"
    assert site.objects().keys() == {"mp4", "r1.mp4"}
    assert ask(site.conn, "SELECT encode(sha256, 'hex'), state FROM copy WHERE part = 0") == [
        (site.objects()["r1.mp4"], 0)
    ]
    told = events(site.conn, 1)
    assert told[told.index("copy_damaged") :] == [
        "copy_damaged", "replanned", "copied", "repaired", "compressed", "archived",
    ]  # fmt: skip
    ((detail,),) = ask(site.conn, "SELECT detail FROM lineage WHERE event = 'repaired'")
    assert (detail["before"][-4:], detail["key"][-7:]) == (".mp4", ".r1.mp4")
    assert [(one.kind, one.key[-4:]) for one in list_strays(site.conn)] == [("damaged", ".mp4")]
    assert (site.reconcile().foreign, site.prove().damaged, site.repair().broken) == (0, 0, 0)
    assert site.run() == 0

    (path,) = (site.folder / "nas").rglob("*.r1.mp4")
    damage(path)
    assert site.prove().damaged == 1
    assert site.run() == 1
    assert site.objects().keys() == {"mp4", "r1.mp4", "r2.mp4"}


def test_a_try_that_died_and_a_task_that_is_cleared_double_nothing(site: Site) -> None:
    damage(site.object())
    site.prove()
    (batch,) = site.plan()
    site.upload(batch)  # and killed before its receipt was recorded
    site.empty_staging()
    receipts = site.upload(batch)
    site.record(batch, receipts)
    assert site.state() == (1, False)
    before = site.objects()
    assert before.keys() == {"mp4", "r1.mp4"}
    with site.conn.cursor() as cursor:
        (again,) = load_batches(cursor, 2)
    receipts = site.upload(again)
    assert next((copy.key[-7:], copy.bytes_sent) for copy in receipts[0].copies) == (".r1.mp4", 0)
    site.record(again, receipts)
    assert (site.objects(), events(site.conn, 1).count("archived")) == (before, 2)


def test_a_lost_recording_is_archived_again_when_its_source_is_back(site: Site) -> None:
    aside = site.folder / "aside.mp4"
    site.source.rename(aside)
    site.run()
    ask(site.conn, "UPDATE recording_source SET released_at = now() RETURNING 1")
    site.object().unlink()
    assert site.reconcile().lost == 1
    assert (site.state(), site.gap()) == ((1, True), ["lost"])
    assert site.repair().without == 1
    aside.rename(site.source)
    assert site.run() == 1
    assert (site.state(), site.gap()) == ((1, False), [])
    assert "repaired" in events(site.conn, 1)


def test_what_was_lost_before_is_taken_up_by_the_repair(site: Site) -> None:
    damage(site.object())
    site.prove()
    ask(site.conn, "UPDATE recording SET custody = 1, lost_at = now() RETURNING 1")
    assert (site.repair().from_source, site.state()) == (1, (0, False))
    assert site.run() == 1
    assert site.objects().keys() == {"mp4", "r1.mp4"}


def test_a_source_that_is_gone_after_all_leaves_it_lost_and_not_forgotten(site: Site) -> None:
    damage(site.object())
    site.prove()
    site.source.unlink()
    assert site.run() == 1
    assert (site.state(), site.gap()) == ((1, True), ["lost"])
    assert events(site.conn, 1)[-1] == "lost"
    assert (site.repair().from_source, site.repair().without) == (0, 1), "it is not tried again each night"


def test_another_file_under_its_name_is_another_recording_and_takes_nothing_away(site: Site) -> None:
    damage(site.object())
    site.prove()
    put(site.source, 5)
    site.run()
    assert site.state() == (1, True)
    assert ask(site.conn, "SELECT custody FROM recording ORDER BY recording_id") == [(1,), (1,)]
    assert ask(site.conn, "SELECT state FROM copy WHERE part = 0 ORDER BY recording_id") == [(3,), (0,)]
