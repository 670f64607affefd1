"""A backfill's run with real parts: files and FFmpeg, a real Postgres, real stores, Airflow's own run of the DAG."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import gcs_server
import pytest

import weed
from airflow_runs import DagRunResult
from catalogue_world import ask
from test_footage_dag import Place
from test_footage_dag import airflow_tables as airflow_tables  # fixtures
from test_footage_dag import clip as clip
from test_footage_dag import place as place
from vms.backfill import Mode, Order, profile_of, run_id
from vms.backfill_plan import SitePlan, look_at_disk, reasons, survey
from vms.catalogue import replacing
from vms.catalogue.backfills import begin_backfill, get_backfill, next_round, overlapping, set_state
from vms.catalogue.connection import Connection, connect
from vms.catalogue.copying import known_stores
from vms.catalogue.holds import add_hold, release_hold
from vms.config import load_config
from vms.model import RunRef, dump
from vms.steps import remaking
from vms.steps.repair import Stores
from vms.stores import Store, open_store
from vms.stores.keeping import Protection

pytestmark = pytest.mark.slow

DAY = datetime(2026, 1, 30, 17, tzinfo=UTC), datetime(2026, 1, 31, 17, tzinfo=UTC)
"""31 January in Jakarta."""


@dataclass
class Office:
    """A place, and backfills of it."""

    place: Place
    runs: int = 0

    def order(self, mode: Mode = "missing", **changes: Any) -> Order:
        return Order(**({"backfill_id": 0, "site": "ho", "mode": mode, "from_utc": DAY[0], "to_utc": DAY[1]} | changes))

    def plan(self, order: Order) -> SitePlan:
        config = load_config(self.place.home.sites_file)
        site, now = config.site("ho"), datetime.now(UTC)
        with closing(connect(self.place.owner_url)) as conn:
            disk = look_at_disk(site, config, now)
            return survey(conn, self.place.home, site, disk, order, now, keep_files=True)

    def reasons(self, order: Order) -> dict[str, int]:
        return {str(reason): count for reason, count in reasons([self.plan(order)]).items()}

    def begin(self, order: Order) -> Order:
        site = load_config(self.place.home.sites_file).site("ho")
        with closing(connect(self.place.owner_url)) as conn:
            _, (begun,) = begin_backfill(conn, "test", [(site, order)], datetime.now(UTC))
        return begun

    def run(self, order: Order, *, again: bool = False) -> DagRunResult:
        self.runs += 1
        at = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=self.runs)
        return self.place.airflow.run("backfill", at, {"order": dump(order), "again": again})

    def state(self, order: Order) -> str:
        with closing(connect(self.place.owner_url)) as conn:
            return get_backfill(conn, order.backfill_id).state


@pytest.fixture
def office(place: Place) -> Office:
    return Office(place)


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


@pytest.fixture
def two_stores(office: Office, tmp_path: Path) -> Path:
    """The site has a second store from now on; its folder."""
    san = tmp_path / "san"
    san.mkdir()
    sites = office.place.home.sites_file
    text = sites.read_text().replace("profiles:", f"  san:\n    url: file://{san}\nprofiles:")
    sites.write_text(text.replace("stores: [nas]", "stores: [nas, san]"))
    return san


def renditions(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.mp4") if not path.relative_to(folder).parts[0].startswith("."))


def spoil(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(b"rotten" + path.read_bytes()[6:])


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


@pytest.fixture(params=["s3", "gs"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a new store in a bucket; asked for before the place, whose Airflow inherits the connection to it."""
    if request.param == "s3":
        server: weed.S3Server = request.getfixturevalue("s3_server")
        monkeypatch.setenv("AIRFLOW_CONN_BUCKET", weed.connection_text(server.endpoint))
        yield f"s3://{weed.BUCKET}/{secrets.token_hex(8)}"
        return
    with gcs_server.run_gcs() as google:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", google.endpoint)
        monkeypatch.setenv("AIRFLOW_CONN_BUCKET", gcs_server.CONNECTION)
        google.make_bucket()
        yield f"gs://{gcs_server.BUCKET}/footage"


def rot(store: Store, key: str, folder: Path) -> None:
    """Other bytes of the same length under this key."""
    data = bytearray(b"".join(store.open_range(key)))
    data[len(data) // 2] ^= 1
    (folder / "rotten").write_bytes(data)
    store.delete([key])
    store.put(folder / "rotten", key, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))


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


def proven_in_place(office: Office) -> None:
    """What the catalogue tells of lies in the store with the very bytes."""
    (row,) = office.place.recordings().values()
    (copy,) = row.copies
    with closing(connect(office.place.owner_url)) as conn:
        ((sha256,),) = ask(conn, "SELECT encode(sha256, 'hex') FROM copy WHERE part = 0 AND state = 0")
    assert hashlib.sha256((office.place.nas / copy.key).read_bytes()).hexdigest() == sha256


def lineage(office: Office, recording_id: int) -> list[str]:
    with closing(connect(office.place.owner_url)) as conn:
        found = ask(conn, "SELECT event FROM lineage WHERE recording_id = %s ORDER BY lineage_id", recording_id)
    return [event for (event,) in found]
