"""`vms doctor` and stores: it says when a store is away, and never makes one where only the mount is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fake_airflow import FakeAirflow
from vms.catalogue import migrate
from vms.catalogue.connection import connect
from vms.catalogue.pace import Backlog
from vms.catalogue.reads_sites import store_identities
from vms.catalogue.rows import SiteOverview, StoreStateRow
from vms.cli import doctor_airflow, doctor_checks
from vms.cli.doctor_checks import examine
from vms.cli.doctor_finding import Finding
from vms.cli.status import Overview, look
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


@pytest.mark.parametrize(
    ("kept", "is_host", "ok", "said"),
    [
        (True, True, True, "is synchronized"),
        (False, True, False, "nothing on this machine keeps it right"),
        (False, False, True, "outside of this container"),
        (None, True, True, "is not known"),
    ],
)
def test_a_clock_that_nothing_keeps_right_is_a_fault_of_a_host(
    kept: bool | None, is_host: bool, ok: bool, said: str
) -> None:
    found = doctor_checks._clock("This machine", kept, is_host=is_host)
    assert (found.ok, said in found.what) == (ok, True)
    assert ("timedatectl set-ntp true" in found.remedy) is not ok
    assert ("rtcsync" in found.remedy) is not ok, "chrony alone does not tell the kernel"


def test_whether_the_clock_is_kept_is_asked_of_the_kernel_and_whether_it_is_a_host_of_systemd(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert doctor_checks._clock_is_kept() in (True, False, None)
    assert not doctor_checks._is_host(tmp_path)
    (tmp_path / "systemd" / "system").mkdir(parents=True)
    assert doctor_checks._is_host(tmp_path)
    (tmp_path / "systemd" / "container").write_text("lxc\n")
    assert not doctor_checks._is_host(tmp_path)
    monkeypatch.setattr(doctor_checks, "_clock_is_kept", lambda: False)
    for is_host in (True, False):
        monkeypatch.setattr(doctor_checks, "_is_host", lambda is_host=is_host: is_host)
        (told,) = (one for one in examine(home, Overview(home, None, (), {}, (), ())) if "The clock says" in one.what)
        assert told.ok is not is_host


@pytest.fixture
def fake() -> Iterator[FakeAirflow]:
    made = FakeAirflow()
    yield made
    made.server.shutdown()
    made.server.server_close()


def run(dag: str, number: int, state: str) -> dict[str, object]:
    return {"dag_id": dag, "dag_run_id": f"run {number}", "state": state, "start_date": None, "end_date": None}


def test_dags_that_cant_be_read_and_last_runs_that_failed_are_told(tmp_path: Path, fake: FakeAirflow) -> None:
    home = from_environment({"VMS_HOME": str(tmp_path), "VMS_AIRFLOW_PORT": str(fake.server.server_port)})

    def found() -> list[tuple[bool, str, str]]:
        told = doctor_airflow.airflow("Nothing appears", home)
        return [(one.ok, one.what, one.remedy) for one in told if "sign of life" not in one.what]

    errors = {"import_errors": [{"filename": "dags/mine.py", "stack_trace": "Traceback\n  line\nNameError: oops\n"}]}
    runs = [  # the newest first
        run("alerts", 9, "running"),
        run("alerts", 8, "success"),
        run("footage_ho", 7, "failed"),
        run("alerts", 6, "failed"),
        run("footage_ho", 5, "success"),
        run("footage_mks", 4, "queued"),
    ]
    fake.answers["GET /api/v2/importErrors"] = (200, errors | {"total_entries": 1})
    fake.answers["GET /api/v2/dags/~/dagRuns"] = (200, {"dag_runs": runs, "total_entries": len(runs)})
    unread, failed = found()
    assert unread == (False, "Airflow can't read dags/mine.py: NameError: oops", unread[2])
    assert "sites check" in unread[2]
    assert failed[:2] == (False, "The last run of footage_ho failed (run 7).")
    assert "(footage_ho)" in failed[2]

    fake.answers["GET /api/v2/importErrors"] = (200, {"import_errors": [], "total_entries": 0})
    fake.answers["GET /api/v2/dags/~/dagRuns"] = (200, {"dag_runs": runs[:2], "total_entries": 2})
    assert found() == [(True, "The last runs of 1 DAGs ended well.", "")]
    fake.answers["GET /api/v2/importErrors"] = (500, {"detail": "boom"})
    ((ok, what, remedy),) = found()
    assert (ok, "500: boom" in what, bool(remedy)) == (False, True, True)
    silent = [one.what for one in doctor_airflow.airflow("Nothing appears", home) if not one.ok]
    assert "Airflow's scheduler gives no sign of life." in silent


def test_a_schema_that_is_not_the_programs_is_told(catalogue: tuple[Home, str]) -> None:
    (well,) = doctor_airflow.schema("This machine", catalogue[0])
    assert (well.ok, well.what) == (True, f"The catalogue's schema is {migrate.newest()}.")
    with closing(connect(catalogue[1])) as conn, conn, conn.cursor() as cursor:
        cursor.execute("UPDATE alembic_version SET version_num = '0007'")
    (older,) = doctor_airflow.schema("This machine", catalogue[0])
    assert not older.ok
    assert older.what == f"The catalogue's schema is 0007, this program's is {migrate.newest()}."
    assert "./vms up" in older.remedy


def test_what_breaks_one_check_is_a_finding_and_the_others_are_made(home: Home, tmp_path: Path) -> None:
    impossible = f"{tmp_path}/{'x' * 300}"  # no file system takes such a name
    home.sites_file.write_text(home.sites_file.read_text() + f"  staging: {impossible}\n")
    found = list(examine(home, Overview(home, None, (), {}, (), ())))
    (broken,) = (one for one in found if "could not be looked at" in one.what)
    assert (broken.group, broken.ok) == ("Storage full", False)
    assert "File name too long" in broken.what
    assert any(one.group == "Slow upload" and "nas" in one.what for one in found)
    assert {one.group for one in found} >= {"Page not reachable", "Nothing appears", "This machine"}


def test_a_catalogue_of_another_shape_is_a_problem_and_no_end(
    catalogue: tuple[Home, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, address = catalogue
    monkeypatch.setenv("VMS_VIEWER_CATALOGUE_URL", address)
    with closing(connect(address)) as conn, conn.cursor() as cursor:
        cursor.execute("ALTER TABLE site RENAME COLUMN name TO another")
    seen = look(replace(home, postgres_url=address))
    assert "not of the same version" in " ".join(seen.problems)
