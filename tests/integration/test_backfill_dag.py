"""A backfill's run with real parts: files and FFmpeg, a real Postgres, real stores, Airflow's own run of the DAG."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backfill_world import Office, renditions, spoil
from backfill_world import office as office  # fixtures
from backfill_world import two_stores as two_stores
from catalogue_world import ask
from footage_world import clip as clip
from footage_world import place as place
from vms.backfill import run_id
from vms.catalogue.backfills import get_backfill, next_round, overlapping, set_state
from vms.catalogue.connection import connect

pytestmark = pytest.mark.slow


def test_what_is_missing_of_a_period_is_archived_once_and_a_repeat_says_why_it_does_nothing(
    office: Office,
    clip: Callable[[int], Path],
) -> None:
    leave = office.place.leave
    leave("lobby/20260131_100000.mp4", clip(1))
    leave("lobby/20260131_100005.mp4", clip(2))
    leave("gate/20260131_100000.mp4", clip(3))
    leave("gate/20260131_110000.mp4", clip(4).read_bytes()[:2000])
    leave("lobby/20260201_100000.mp4", clip(5))
    order = office.order(profile="small", cap=50_000_000.0)
    sites = office.place.home.sites_file
    small = "profiles:\n  small: {codec: h264, preset: ultrafast, crf: 40}"
    sites.write_text(sites.read_text().replace("profiles:", small))
    assert office.reasons(order) == {"on_disk": 4}
    assert office.plan(order).work_bytes > 100_000

    begun = office.begin(order)
    first = office.run(begun)

    assert first.state == "success", first.log[-6000:]
    assert first.tasks["onward"] == "skipped"
    states = office.place.states()
    assert {name: states.get(name) for name in ("lobby/20260131_100000.mp4", "gate/20260131_110000.mp4")} == {
        "lobby/20260131_100000.mp4": "archived", "gate/20260131_110000.mp4": "quarantined",
    }  # fmt: skip
    assert "lobby/20260201_100000.mp4" not in states, "it is not of the period"
    assert {row.profile for row in office.place.recordings().values() if row.state == "archived"} == {"small"}
    assert office.state(begun) == "done"
    assert (office.place.home.staging / f".uplink-backfill-{begun.backfill_id}").exists() is False, "a NAS has no cap"
    objects = office.place.objects()
    assert office.reasons(order) == {"archived": 3, "quarantined": 1}

    again = office.run(office.begin(order))

    assert again.state == "success", again.log[-6000:]
    assert office.place.objects() == objects
    assert office.place.states() == states


def test_a_store_that_is_new_to_a_site_gets_the_copies_of_a_period(
    office: Office,
    clip: Callable[[int], Path],
    tmp_path: Path,
) -> None:
    office.place.leave("lobby/20260131_100000.mp4", clip(1))
    office.place.leave("lobby/20260201_100000.mp4", clip(2))
    assert office.place.run().state == "success"
    san = tmp_path / "san"
    san.mkdir()
    sites = office.place.home.sites_file
    text = sites.read_text().replace("profiles:", f"  san:\n    url: file://{san}\nprofiles:")
    sites.write_text(text.replace("stores: [nas]", "stores: [nas, san]"))
    order = office.order()
    assert office.reasons(order) == {"too_few_copies": 1}

    done = office.run(office.begin(order))

    assert done.state == "success", done.log[-6000:]
    assert len(renditions(san)) == 1
    assert office.reasons(order) == {"archived": 1}


def test_copies_that_are_gone_or_damaged_are_found_by_verify_and_put_again_by_reupload(
    office: Office,
    two_stores: Path,
    clip: Callable[[int], Path],
) -> None:
    for number in range(4):
        office.place.leave(f"lobby/20260131_10000{number}.mp4", clip(number))
    assert office.place.run().state == "success"
    here, there = renditions(office.place.nas), renditions(two_stores)
    assert len(here) == len(there) == 4
    here[0].unlink()
    spoil(there[1])
    here[2].unlink()
    there[2].unlink()

    begun = office.begin(office.order("verify"))
    verified = office.run(begun)

    assert verified.state == "failed"
    assert "has no object" in verified.log
    assert "--mode reupload" in verified.log
    assert office.state(begun) == "failed"
    assert office.place.recordings()["lobby/20260131_100002.mp4"].state == "planned", "its source lies on site"
    with closing(connect(office.place.owner_url)) as conn:
        found = ask(conn, "SELECT outcome, count(*) FROM backfill_item GROUP BY 1 ORDER BY 1")
        assert found == [("damaged", 1), ("lost", 3), ("proven", 4)]
        assert ask(conn, "SELECT count(*) FROM copy WHERE part = 0 AND proven_at IS NOT NULL AND state = 0") == [(4,)]
    assert office.reasons(office.order("verify")) == {"proven": 3, "not_archived": 1}

    order = office.order("reupload")
    assert office.reasons(order) == {"broken": 2, "to_look_at": 1, "waiting": 1}
    mended = office.run(office.begin(order))

    assert mended.state == "success", mended.log[-6000:]
    assert set(office.place.states().values()) == {"archived"}
    assert {len(row.copies) for row in office.place.recordings().values()} == {2}
    assert here[0].read_bytes() == there[0].read_bytes()
    assert len(renditions(two_stores)) == 5, "the damaged one stays, the good one lies beside it"
    again = office.run(office.begin(office.order("verify")))
    assert again.state == "success", again.log[-6000:]


def test_what_no_store_and_no_source_has_any_more_is_said_and_stays_red(
    office: Office,
    clip: Callable[[int], Path],
) -> None:
    source = office.place.leave("lobby/20260131_100000.mp4", clip(1))
    office.place.configure("0d")
    assert office.place.run().state == "success"
    assert not source.exists()
    (lost,) = renditions(office.place.nas)
    lost.unlink()
    begun = office.begin(office.order("reupload"))
    run = office.run(begun)
    assert run.state == "failed"
    assert "no store has a good copy, and no source is left on site" in run.log
    with closing(connect(office.place.owner_url)) as conn:
        assert get_backfill(conn, begun.backfill_id).sites[0].message.startswith("Recordings with copies that are gone")
        assert ask(conn, "SELECT lost_at IS NOT NULL FROM recording") == [(True,)]
    assert office.reasons(office.order("missing")) == {"lost": 1}


def test_a_cancelled_backfill_plans_nothing_and_leaves_the_files_to_the_sites_own_runs(
    office: Office,
    clip: Callable[[int], Path],
) -> None:
    office.place.leave("lobby/20260131_100000.mp4", clip(1))
    begun = office.begin(office.order())
    with closing(connect(office.place.owner_url)) as conn:
        assert overlapping(conn, office.order()) == begun.backfill_id
        set_state(conn, begun.backfill_id, "ho", "cancelled", "by test", datetime.now(UTC))
        assert overlapping(conn, office.order()) is None
    run = office.run(begun)
    assert run.state == "failed"
    assert f"`vms backfill resume {begun.backfill_id}` goes on with it" in run.log
    assert office.place.states() == {}
    with closing(connect(office.place.owner_url)) as conn:
        first = run_id(begun, 1)
        assert next_round(conn, begun, after=first, now=datetime.now(UTC)) == run_id(begun, 2)
        assert next_round(conn, begun, after=first, now=datetime.now(UTC)) == run_id(begun, 2), "the same again"
        assert next_round(conn, begun, after="another", now=datetime.now(UTC)) is None
    assert office.run(begun, again=True).state == "success"
    assert set(office.place.states().values()) == {"archived"}
