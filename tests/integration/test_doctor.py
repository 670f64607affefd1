"""`vms doctor` and stores: it says when a store is away, and never makes one where only the mount is missing."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vms.catalogue.connection import connect
from vms.catalogue.pace import Backlog
from vms.catalogue.reads_sites import store_identities
from vms.catalogue.rows import SiteOverview, StoreStateRow
from vms.cli.doctor_checks import examine
from vms.cli.doctor_finding import Finding
from vms.cli.status import Overview
from vms.home import Home, from_environment
from vms.stack.state import StackState
from vms.stores import open_store


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    sites = tmp_path / "sites.yaml"
    footage = tmp_path / "nvr"
    footage.mkdir()
    sites.write_text(
        f"stores:\n  nas:\n    url: file://{tmp_path}/nas\n"
        f"sites:\n- id: ho\n  time_zone: WIB\n  stores: [nas]\n  footage: {footage}\n"
    )
    monkeypatch.setenv("VMS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VMS_SITES", str(sites))
    return from_environment()


def about_store(home: Home, identities: Mapping[str, str] | None) -> list[Finding]:
    seen = Overview(home, None, (), {}, (), (), identities)
    return [one for one in examine(home, seen) if "nas" in one.what and one.group in ("Storage full", "Slow upload")]


def test_before_the_first_start_a_store_that_is_not_made_yet_is_no_fault(home: Home, tmp_path: Path) -> None:
    found = about_store(home, None)
    assert found
    assert all(one.ok for one in found), found
    assert not (tmp_path / "nas").exists()


def test_an_empty_mount_point_is_not_taken_for_the_store_and_stays_empty(home: Home, tmp_path: Path) -> None:
    (tmp_path / "nas").mkdir()
    found = about_store(home, {"nas": "3f0c1d0e-known-to-the-catalogue"})
    assert found
    assert not any(one.ok for one in found), found
    assert "not mounted" in found[0].what
    assert list((tmp_path / "nas").iterdir()) == []


def test_with_the_catalogue_away_nothing_is_made_either(home: Home, tmp_path: Path) -> None:
    (tmp_path / "nas").mkdir()
    home.prepare()
    (home.run / "postgres.json").write_text('{"host": "127.0.0.1", "port": 1}')
    found = about_store(home, None)
    assert found
    assert not any(one.ok for one in found), found
    assert list((tmp_path / "nas").iterdir()) == []


@pytest.mark.parametrize("asked", [True, False])
def test_the_right_store_is_tried(home: Home, tmp_path: Path, asked: bool) -> None:
    identity = open_store("nas", f"file://{tmp_path}/nas").identify(None)
    found = about_store(home, {"nas": identity} if asked else None)
    assert all(one.ok for one in found if "free" not in one.what), found
    assert any("proves its bytes" in one.what for one in found)


def test_the_catalogue_tells_the_stores_it_knows(catalogue: tuple[Home, str]) -> None:
    with closing(connect(catalogue[1])) as conn:
        with conn, conn.cursor() as cursor:
            cursor.execute("INSERT INTO store (name, url, identity) VALUES ('nas', 'file:///n', 'x'), ('b', 'b', NULL)")
        assert store_identities(conn) == {"nas": "x"}


@pytest.mark.parametrize(("state", "group"), [("full", "Storage full"), ("denied", "Slow upload")])
def test_a_store_that_was_out_when_a_site_last_met_it_is_told_with_its_remedy(
    home: Home, state: str, group: str
) -> None:
    since = datetime(2026, 1, 31, 3, 15, tzinfo=UTC)
    row = StoreStateRow("branch", "cloud", state, "Store cloud says no.", "Give it what it wants.", since, since)
    seen = Overview(home, None, (), {}, (), (), None, stores=(row,))
    (told,) = (one for one in examine(home, seen) if "cloud" in one.what)
    assert (told.group, told.ok, told.remedy) == (group, False, "Give it what it wants.")
    assert told.what == f"branch: store cloud is {state} since 2026-01-31 03:15 UTC: Store cloud says no."
    well = StoreStateRow("branch", "cloud", "ok", "", "", since, since)
    assert not [
        one for one in examine(home, Overview(home, None, (), {}, (), (), stores=(well,))) if "cloud" in one.what
    ]


def test_nobody_is_late_for_the_time_in_which_the_system_stood_still(home: Home) -> None:
    """As at the end of an upgrade: the last look is from before it."""
    now = datetime.now(UTC)

    def looked(*, last: datetime | None, started: timedelta) -> list[bool]:
        stack = StackState("", 0, 0.0, (now - started).timestamp(), demo=False, phase="usable")
        site = SiteOverview("ho", "HO", "Asia/Jakarta", {}, 0, 0, None, None, None, last)
        found = examine(home, Overview(home, stack, (site,), {}, (), ()))
        return [one.ok for one in found if "looked at" in one.what]

    an_hour_ago = now - timedelta(hours=1)
    assert looked(last=an_hour_ago, started=timedelta(minutes=2)) == []
    assert looked(last=an_hour_ago, started=timedelta(hours=2)) == [False]
    assert looked(last=None, started=timedelta(minutes=2)) == [True]
    assert looked(last=None, started=timedelta(hours=2)) == [False]


def test_a_site_that_falls_behind_is_a_finding_and_one_that_catches_up_is_none(home: Home) -> None:
    waits = {"behind": Backlog(90, 27_000.0, 0, None, True), "better": Backlog(12, 3600.0, 3, 7200.0, False)}
    found = list(examine(home, Overview(home, None, (), {}, (), (), backlogs=waits)))
    (behind,) = (one for one in found if one.what.startswith("behind:"))
    assert (behind.ok, "7.5 hours of footage" in behind.what, bool(behind.remedy)) == (False, True, True)
    better = [one for one in found if one.what.startswith("better:")]
    assert [one.ok for one in better] == [True, True]
    assert "done in 2.0 hours" in better[0].what
    assert "3 copies are missing" in better[1].what
