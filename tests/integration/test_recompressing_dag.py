"""Backfills that make renditions anew: proven before the old ones go, held ones stay, a kill anywhere is healed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import weed
from backfill_world import Office, lineage, proven_in_place, renditions, rot
from backfill_world import bucket as bucket  # fixtures
from backfill_world import office as office
from backfill_world import two_stores as two_stores
from catalogue_world import ask
from footage_world import clip as clip
from footage_world import place as place
from vms.backfill import profile_of
from vms.catalogue import replacing
from vms.catalogue.connection import Connection, connect
from vms.catalogue.copying import known_stores
from vms.catalogue.holds import add_hold, release_hold
from vms.config import load_config
from vms.model import RunRef
from vms.steps import remaking
from vms.steps.repair import Stores
from vms.stores import open_store
from vms.stores.keeping import Protection

pytestmark = pytest.mark.slow


def test_recompressing_makes_smaller_renditions_proves_them_and_retires_the_old_but_not_what_is_held(
    office: Office,
    two_stores: Path,
    clip: Callable[[int], Path],
) -> None:
    for number in range(3):
        office.place.leave(f"lobby/20260131_10000{number}.mp4", clip(number))
    held = office.place.leave("gate/20260131_120000.mp4", clip(4))
    office.place.configure("0d")
    sites = office.place.home.sites_file
    tiny = "profiles:\n  tiny: {codec: h264, preset: medium, crf: 45}"
    text = sites.read_text().replace("crf: 30", "crf: 15").replace("profiles:", tiny)
    text = text.replace("profiles:", f"  san:\n    url: file://{two_stores}\nprofiles:")
    sites.write_text(text.replace("stores: [nas]", "stores: [nas, san]"))
    assert office.place.run().state == "success"
    assert not held.exists(), "nothing but the copies is left to make it from"
    kept = office.place.leave("lobby/20260131_100002.mp4", clip(2))  # but one lies there again
    before = office.place.recordings()
    old = {path: path.stat().st_size for path in renditions(office.place.nas)}
    with closing(connect(office.place.owner_url)) as conn:
        begin = before["gate/20260131_120000.mp4"].start_utc
        add_hold(conn, [("ho", "gate")], begin, begin + timedelta(seconds=1), "theft", "hr", datetime.now(UTC))
    order = office.order("recompress", profile="tiny")
    assert office.reasons(order) == {"other_profile": 3, "held": 1}

    begun = office.begin(order)
    run = office.run(begun)

    assert run.state == "success", run.log[-6000:]
    assert office.state(begun) == "done"
    after = office.place.recordings()
    for name, row in after.items():
        if name.startswith("gate"):
            assert row == before[name], "a hold covers it"
            continue
        assert (row.profile, row.kind, row.state) == ("tiny", "encoded", before[name].state)
        assert (row.rendition_bytes or 0) < (before[name].rendition_bytes or 0)
        assert {copy.store for copy in row.copies} == {"nas", "san"}
        assert all(copy.key.endswith(".r1.mp4") for copy in row.copies)
        events = lineage(office, row.id)
        assert events.index("recompressed") < events.index("retired")
    assert kept.exists()
    now = renditions(office.place.nas)
    assert len(now) == len(renditions(two_stores)) == 4
    assert len(set(now) & set(old)) == 1, "three of the old ones are gone"
    with closing(connect(office.place.owner_url)) as conn:
        assert ask(conn, "SELECT count(*) FROM replaced_object") == [(0,)]
        assert ask(conn, "SELECT count(*) FROM stray_object") == [(0,)]
        assert ask(
            conn,
            "SELECT (SELECT sum(bytes_out) FROM camera_day) = (SELECT sum(rendition_bytes) FROM recording)",
        ) == [(True,)]

    assert office.reasons(order) == {"same_profile": 3, "held": 1}
    proven = office.run(office.begin(office.order("verify")))
    assert proven.state == "success", proven.log[-6000:]
    nightly = office.place.airflow.run("integrity", datetime(2026, 1, 9, tzinfo=UTC))
    assert nightly.state == "success", nightly.log[-6000:]
    assert len(renditions(office.place.nas)) == 4


def test_copies_in_a_bucket_are_verified_put_again_and_made_smaller_as_those_of_a_folder(
    bucket: str,
    office: Office,
    clip: Callable[[int], Path],
    tmp_path: Path,
) -> None:
    sites = office.place.home.sites_file
    text = sites.read_text().replace("crf: 30", "crf: 15")
    text = text.replace("profiles:", "profiles:\n  tiny: {codec: h264, preset: medium, crf: 45}")
    text = text.replace("stores:", f"stores:\n  cloud: {{url: '{bucket}', conn_id: bucket}}", 1)
    sites.write_text(text.replace("stores: [nas]", "stores: [nas, cloud]"))
    for number in range(4):
        office.place.leave(f"lobby/20260131_10000{number}.mp4", clip(number))
    assert office.place.run().state == "success"
    store = open_store("cloud", bucket, conn_id="bucket")
    store.identify(None)

    def films() -> list[str]:
        return [one.key for one in store.list() if one.key.endswith(".mp4")]

    gone, rotten, nowhere, _ = films()
    store.delete([gone, nowhere])
    (office.place.nas / nowhere).unlink()
    rot(store, rotten, tmp_path)

    verified = office.run(office.begin(office.order("verify")))

    assert verified.state == "failed"
    assert weed.SECRET not in verified.log
    with closing(connect(office.place.owner_url)) as conn:
        found = ask(conn, "SELECT name, outcome FROM backfill_item JOIN store USING (store_id)")
    assert Counter(found) == Counter(
        {
            ("cloud", "lost"): 2,
            ("cloud", "damaged"): 1,
            ("cloud", "proven"): 1,
            ("nas", "lost"): 1,
            ("nas", "proven"): 3,
        }
    )

    mended = office.run(office.begin(office.order("reupload")))

    assert mended.state == "success", mended.log[-6000:]
    assert set(office.place.states().values()) == {"archived"}
    assert {len(row.copies) for row in office.place.recordings().values()} == {2}
    assert len(films()) == 5, "the rotten one stays, the good one lies beside it"
    again = office.run(office.begin(office.order("verify")))
    assert again.state == "success", again.log[-6000:]

    before = office.place.recordings()
    row = before["lobby/20260131_100003.mp4"]
    with closing(connect(office.place.owner_url)) as conn:
        add_hold(conn, [("ho", "lobby")], row.start_utc, row.end_utc, "theft", "hr", datetime.now(UTC))
    held = [name for name, one in before.items() if one.start_utc < row.end_utc and one.end_utc > row.start_utc]
    remade = office.run(office.begin(office.order("recompress", profile="tiny")))

    assert remade.state == "success", remade.log[-6000:]
    after = office.place.recordings()
    assert {name for name, one in after.items() if one.profile == "quick"} == set(held)
    in_catalogue = {copy.key for one in after.values() for copy in one.copies if copy.store == "cloud"}
    assert in_catalogue == set(films()) - {rotten}, "the former ones are gone"
    for name in set(before) - set(held):
        assert (after[name].rendition_bytes or 0) < (before[name].rendition_bytes or 0)
    assert office.run(office.begin(office.order("verify"))).state == "success"


class Killed(BaseException):
    """As a kill -9 at this very instruction: nothing tidies up."""


class Locked:
    """A store that keeps every object locked; no store of a folder can."""

    def __init__(self, store: Any) -> None:
        self.store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def protection(self, _key: str) -> Protection:
        return Protection("object lock", None)


def test_a_kill_at_any_step_of_recompressing_leaves_one_proven_rendition_and_locks_are_respected(
    office: Office,
    clip: Callable[[int], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    office.place.leave("lobby/20260131_100000.mp4", clip(1))
    sites = office.place.home.sites_file
    tiny = "profiles:\n  tiny: {codec: h264, preset: medium, crf: 45}"
    sites.write_text(sites.read_text().replace("crf: 30", "crf: 15").replace("profiles:", tiny))
    assert office.place.run().state == "success"
    (row,) = office.place.recordings().values()
    place = (row.id, row.start_utc)
    config = load_config(sites)
    site = replace(config.site("ho"), profile=profile_of(config, "tiny"))

    close = replacing.close_replaced

    def kill(*_: object) -> None:
        raise Killed

    def kill_after_the_commit(conn: Connection, *rest: Any) -> None:
        if any(one.state == "old" for one in replacing.replaced_of(conn, place)):
            raise Killed
        close(conn, *rest)

    with closing(connect(office.place.owner_url)) as conn:
        targets = {target.store_id: target for target in known_stores(conn).values()}
        stores = Stores(targets, print)
        work = remaking.Remaking(conn, stores, site, office.place.home, RunRef("backfill", "x"))
        locked = Locked(stores.get(1))
        with monkeypatch.context() as patched:
            patched.setattr(stores, "get", lambda _number: locked)
            assert remaking.remake(work, place).outcome == "locked"
        put = remaking.put

        def put_while_somebody_holds_it(*given: Any) -> Any:
            add_hold(conn, [("ho", "lobby")], row.start_utc, row.end_utc, "theft", "hr", datetime.now(UTC))
            return put(*given)

        with monkeypatch.context() as patched:
            patched.setattr(remaking, "put", put_while_somebody_holds_it)
            assert remaking.remake(work, place).outcome == "held"
        proven_in_place(office)
        assert len(renditions(office.place.nas)) == 1
        assert remaking.remake(work, place).outcome == "held"
        release_hold(conn, 1, "hr", "solved", datetime.now(UTC))
        for module, step, by in (
            (remaking, "put", kill),
            (replacing, "commit_replacing", kill),
            (replacing, "close_replaced", kill_after_the_commit),
        ):
            with monkeypatch.context() as patched:
                patched.setattr(module, step, by)
                with pytest.raises(Killed):
                    remaking.remake(work, place)
            proven_in_place(office)
        assert len(renditions(office.place.nas)) == 1, "deleted, and not yet written down"
        assert replacing.left_over(conn, office.order("recompress")) == {place}

        assert remaking.remake(work, place).outcome == "same_profile"

        assert replacing.left_over(conn, office.order("recompress")) == set()
        (only,) = renditions(office.place.nas)
        assert only.name.endswith(".r1.mp4")
        proven_in_place(office)
        other = replace(work, site=replace(site, profile=replace(site.profile, name="larger", crf=15)))
        assert remaking.remake(other, place).outcome == "no_smaller"
        assert renditions(office.place.nas) == [only]
    assert lineage(office, row.id)[-3:] == ["copied", "recompressed", "retired"]
