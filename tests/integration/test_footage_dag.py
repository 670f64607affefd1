"""The DAG of a site with real parts: real files and FFmpeg, a real Postgres, a real store, Airflow's own run of it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

import weed
from airflow_runs import AirflowRuns, DagRunResult, migrate
from vms.catalogue.connection import connect
from vms.catalogue.pace import backlogs
from vms.catalogue.reads import RecordingFilter, RecordingRow, find_recordings
from vms.catalogue.reads_stores import store_states
from vms.home import Home
from vms.stack.airflow_env import airflow_environment
from vms.steps.waiting import waiting_now
from vms.stores import open_store
from vms.video.binaries import binaries

pytestmark = pytest.mark.slow

SITES = """
stores:
  nas:
    url: file://{nas}
profiles:
  quick:
    codec: h264
    preset: ultrafast
    crf: 30
defaults:
  time_zone: WIB
  stores: [nas]
  profile: quick
sites:
  - id: ho
    name: Head Office
    footage: {footage}
    keep_source: {keep}
"""


@dataclass
class Place:
    """A site with a footage folder, a store, a catalogue and an Airflow."""

    home: Home
    owner_url: str
    footage: Path
    nas: Path
    airflow: AirflowRuns
    runs: int = 0

    def run(self) -> DagRunResult:
        """One run of the site's DAG, ten minutes after the last."""
        self.runs += 1
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=10 * self.runs)
        return self.airflow.run("footage_ho", at)

    def configure(self, keep: str) -> None:
        self.home.sites_file.write_text(SITES.format(nas=self.nas, footage=self.footage, keep=keep))

    def recordings(self) -> dict[str, RecordingRow]:
        with closing(connect(self.owner_url)) as conn:
            return {row.source_name: row for row in find_recordings(conn, RecordingFilter())}

    def states(self) -> dict[str, str]:
        return {name: row.state for name, row in self.recordings().items()}

    def objects(self) -> dict[str, int]:
        return {
            str(path.relative_to(self.nas)): path.stat().st_size
            for path in sorted(self.nas.rglob("*"))
            if path.is_file() and not any(part.startswith(".") for part in path.relative_to(self.nas).parts)
        }

    def leave(self, name: str, source: Path | bytes) -> Path:
        """Put a file into the footage folder as a recorder would have an hour ago."""
        path = self.footage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, bytes):
            path.write_bytes(source)
        else:
            shutil.copy(source, path)
        hour_ago = time.time() - 3600
        os.utime(path, (hour_ago, hour_ago))
        return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Short clips whose pictures differ by number."""
    folder = tmp_path_factory.mktemp("clips")

    def make(number: int) -> Path:
        path = folder / f"{number}.mp4"
        if not path.exists():
            source = f"testsrc2=size=320x240:rate=10:duration=5,hue=h={number * 40}"
            how = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "10", "-pix_fmt", "yuv420p"]
            subprocess.run(
                [binaries().ffmpeg, "-v", "error", "-f", "lavfi", "-i", source, *how, str(path)], check=True, timeout=60
            )
        return path

    return make


@pytest.fixture(scope="session")
def airflow_tables(postgres: Home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Airflow's own tables, empty, in a file that each test takes a copy of: making them takes seconds."""
    path = tmp_path_factory.mktemp("airflow") / "airflow.db"
    migrate(airflow_environment(postgres) | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{path}"})
    return path


@pytest.fixture
def place(catalogue: tuple[Home, str], airflow_tables: Path, tmp_path: Path) -> Iterator[Place]:
    home, owner_url = catalogue
    tables = shutil.copy(airflow_tables, tmp_path)
    environment = airflow_environment(home) | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tables}"}
    footage, nas = tmp_path / "nvr", tmp_path / "nas"
    footage.mkdir()
    nas.mkdir()
    airflow = AirflowRuns(environment)
    made = Place(home, owner_url, footage, nas, airflow)
    made.configure("keep")
    try:
        yield made
    finally:
        airflow.close()


def test_archives_good_files_quarantines_the_broken_one_and_adds_nothing_when_run_again(
    place: Place, clip: Callable[[int], Path]
) -> None:
    place.leave("lobby/20260131_100000.mp4", clip(1))
    place.leave("lobby/20260131_100005.mp4", clip(2))
    place.leave("gate/20260131_100000 {{ 7 * 7 }}.mp4", clip(3))
    place.leave("lobby/20260131_100010.mp4", clip(4).read_bytes()[:2000])

    first = place.run()

    assert first.state == "success", first.log[-6000:]
    states = place.states()
    assert sorted(states.values()) == ["archived", "archived", "archived", "quarantined"]
    broken = next(row for row in place.recordings().values() if row.state == "quarantined")
    assert broken.source_name.endswith("20260131_100010.mp4")
    assert broken.message
    assert broken.remedy
    assert all(path.exists() for path in place.footage.rglob("*.mp4"))
    assert all("10:00" in name for name in first.names.values()), first.names
    lobby = next(row for row in place.recordings().values() if row.source_name.endswith("lobby/20260131_100000.mp4"))
    assert lobby.start_utc == datetime(2026, 1, 31, 3, 0, tzinfo=UTC)
    assert (place.nas / lobby.copies[0].key).stat().st_size == lobby.copies[0].size_bytes
    objects = place.objects()

    second = place.run()

    assert second.state == "success", second.log[-6000:]
    assert second.tasks["batch.compress"] == "skipped"
    assert second.tasks["verdict"] == "success"
    assert place.states() == states
    assert place.objects() == objects


def test_source_files_go_only_after_their_time(place: Place, clip: Callable[[int], Path]) -> None:
    source = place.leave("lobby/20260131_100000.mp4", clip(1))
    place.configure("1d")
    assert place.run().state == "success"
    assert source.exists()

    place.configure("0d")
    released = place.run()

    assert released.state == "success", released.log[-6000:]
    assert not source.exists()
    assert set(place.states().values()) == {"released"}
    assert place.objects()


def test_a_store_that_is_away_is_waited_for_without_using_up_tries(place: Place, clip: Callable[[int], Path]) -> None:
    place.leave("lobby/20260131_100000.mp4", clip(1))
    assert place.run().state == "success"
    place.leave("lobby/20260131_100005.mp4", clip(2))
    unplugged = place.nas.with_name("unplugged")
    place.nas.rename(unplugged)
    seen: list[str] = []

    def plug_in_when_it_waits() -> None:
        deadline = time.monotonic() + 300
        while not seen and time.monotonic() < deadline:
            seen.extend(str(one["why"]) for one in waiting_now(place.home))
            time.sleep(0.2)
        unplugged.rename(place.nas)

    watcher = threading.Thread(target=plug_in_when_it_waits)
    watcher.start()
    run = place.run()
    watcher.join()

    assert run.state == "success", run.log[-6000:]
    assert seen[0].startswith("ho: nas: 1 file not there.")
    assert "no try is used up" in run.log
    assert run.tries["batch.upload[0]"] == 1
    assert set(place.states().values()) == {"archived"}
    assert list(waiting_now(place.home)) == []


def test_one_of_two_stores_away_holds_nothing_up_and_catches_up_by_itself(
    place: Place, clip: Callable[[int], Path], tmp_path: Path
) -> None:
    san = tmp_path / "san"
    text = SITES.format(nas=place.nas, footage=place.footage, keep="0d")
    text = text.replace("profiles:", f"  san:\n    url: file://{san}\nprofiles:")
    place.home.sites_file.write_text(text.replace("stores: [nas]", "stores: [nas, san]\n  min_copies: 1"))
    san.mkdir()
    place.leave("lobby/20260131_100000.mp4", clip(1))
    assert place.run().state == "success"
    san.rename(san.with_name("unplugged"))
    place.leave("lobby/20260131_100005.mp4", clip(2))

    away = place.run()

    assert away.state == "success", away.log[-6000:]
    assert "what is missing is copied by a later run" in away.log
    assert place.states()["lobby/20260131_100005.mp4"] == "released"
    with closing(connect(place.owner_url)) as conn:
        (state,) = [one for one in store_states(conn) if one.store == "san"]
        assert (state.site, state.state) == ("ho", "unreachable")
        assert backlogs(conn, datetime.now(UTC))["ho"].missing_copies == 1
    still_away = place.run()
    assert still_away.state == "success", still_away.log[-6000:]
    assert still_away.names["batch.upload[0]"] == "missing on san, 1 recording"

    san.with_name("unplugged").rename(san)
    healed = place.run()

    assert healed.state == "success", healed.log[-6000:]
    assert {row.source_name: [one.store for one in row.copies] for row in place.recordings().values()} == {
        "lobby/20260131_100000.mp4": ["nas", "san"],
        "lobby/20260131_100005.mp4": ["nas", "san"],
    }
    with closing(connect(place.owner_url)) as conn:
        assert {one.state for one in store_states(conn)} == {"ok"}
        assert backlogs(conn, datetime.now(UTC))["ho"].missing_copies == 0


def test_a_deleted_object_is_found_by_night_and_archived_again_by_the_next_run(
    place: Place, clip: Callable[[int], Path]
) -> None:
    place.leave("lobby/20260131_100000.mp4", clip(1))
    place.leave("lobby/20260131_100005.mp4", clip(2))
    assert place.run().state == "success"
    whole = set(place.objects())
    sound = place.airflow.run("integrity", datetime(2026, 1, 5, tzinfo=UTC))
    assert (sound.state, sound.tasks["prove[0]"], sound.tasks["repair"]) == ("success", "success", "success")
    lost = next(key for key in sorted(whole) if key.endswith(".mp4"))
    (place.nas / lost).unlink()
    found = place.airflow.run("integrity", datetime(2026, 1, 6, tzinfo=UTC))
    assert "has no object" in found.log
    assert found.state == "success", "the next run of the site is to make it good"
    assert sorted(place.states().values()) == ["archived", "planned"]
    assert place.run().state == "success"
    assert set(place.states().values()) == {"archived"}
    assert set(place.objects()) == whole
    for path in place.nas.rglob("*.mp4"):
        path.chmod(0o644)
        path.write_bytes(b"rotten" + path.read_bytes()[6:])
    bad = place.airflow.run("integrity", datetime(2026, 1, 7, tzinfo=UTC))
    assert bad.state == "success", "the next run of the site makes it good from the sources"
    assert set(place.states().values()) == {"planned"}
    assert place.run().state == "success"
    assert set(place.states().values()) == {"archived"}
    assert set(place.objects()) > whole, "what is rotten stays, the new ones lie beside it"


def test_a_footage_folder_that_is_away_makes_the_run_red_and_heals(place: Place, clip: Callable[[int], Path]) -> None:
    place.leave("lobby/20260131_100000.mp4", clip(1))
    place.footage.rename(place.footage.with_name("unplugged"))

    away = place.run()

    assert away.state == "failed"
    assert away.tasks["sense"] == "failed"
    assert away.tasks["release"] == "skipped"
    assert "could not be looked at" in away.log

    place.footage.with_name("unplugged").rename(place.footage)
    assert place.run().state == "success"
    assert set(place.states().values()) == {"archived"}


def test_a_task_that_is_asked_to_stop_ends_its_ffmpeg_and_is_tried_again(place: Place, tmp_path: Path) -> None:
    clip = tmp_path / "long.mp4"
    source = "testsrc2=size=1280x720:rate=15:duration=12"
    how = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "10", "-pix_fmt", "yuv420p"]
    subprocess.run([binaries().ffmpeg, "-v", "error", "-f", "lavfi", "-i", source, *how, str(clip)], check=True)
    sites = place.home.sites_file
    sites.write_text(sites.read_text().replace("ultrafast", "veryslow"))
    place.leave("lobby/20260131_100000.mp4", clip)
    encoders: list[psutil.Process] = []

    def stop_while_it_encodes() -> None:
        while not encoders and time.monotonic() < give_up:
            for child in psutil.Process(place.airflow.pid).children(recursive=True):
                try:
                    if "rendition.mp4" in " ".join(child.cmdline()) and child.name().startswith("ffmpeg"):
                        encoders.append(child)
                except psutil.Error:
                    continue
        os.kill(place.airflow.pid, signal.SIGTERM)
        os.kill(place.airflow.pid, signal.SIGTERM)

    give_up = time.monotonic() + 120
    hunter = threading.Thread(target=stop_while_it_encodes)
    hunter.start()
    run = place.run()
    hunter.join()

    assert encoders, "no FFmpeg was seen at work"
    assert "asked to stop" in run.log
    assert run.tries["batch.compress[0]"] == 2
    assert not encoders[0].is_running()
    assert run.state == "success", run.log[-6000:]
    assert set(place.states().values()) == {"archived"}


@pytest.fixture
def bucket(s3_server: weed.S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a new store in a bucket; the tasks' environment holds the connection to it."""
    monkeypatch.setenv("AIRFLOW_CONN_OFFICE_S3", weed.connection_text(s3_server.endpoint))
    return f"s3://{weed.BUCKET}/{secrets.token_hex(8)}"


def test_archives_to_the_nas_and_to_a_bucket_through_airflow_s_own_hook(
    bucket: str, place: Place, clip: Callable[[int], Path]
) -> None:
    sites = SITES.format(nas=place.nas, footage=place.footage, keep="0d").replace(
        "stores: [nas]", "stores: [nas, cloud]"
    )
    cloud = f"stores:\n  cloud: {{url: {bucket}, conn_id: office_s3}}"
    place.home.sites_file.write_text(sites.replace("stores:", cloud, 1))
    source = place.leave("lobby/20260131_100000.mp4", clip(1))
    done = place.run()
    assert done.state == "success", done.log[-3000:]
    assert weed.SECRET not in done.log
    (row,) = place.recordings().values()
    assert row.state == "released"
    assert not source.exists()
    assert {copy.store: copy.checksum.split(":")[0] for copy in row.copies} == {"nas": "sha256", "cloud": "crc32"}
    store = open_store("cloud", bucket, conn_id="office_s3")
    store.identify(None)
    assert {one.key: one.size_bytes for one in store.list()} == place.objects()


def test_refused_credentials_fail_at_once_and_the_copy_follows_when_they_are_right(
    bucket: str, place: Place, clip: Callable[[int], Path]
) -> None:
    sites = SITES.format(nas=place.nas, footage=place.footage, keep="0d").replace(
        "stores: [nas]", "stores: [nas, cloud]"
    )
    cloud = f"stores:\n  cloud: {{url: {bucket}, conn_id: not_defined}}"
    place.home.sites_file.write_text(sites.replace("stores:", cloud, 1))
    source = place.leave("lobby/20260131_100000.mp4", clip(1))
    done = place.run()
    assert done.state == "failed"
    assert done.tries["batch.upload[0]"] == 1
    assert "AIRFLOW_CONN_NOT_DEFINED" in done.log
    assert place.states() == {"lobby/20260131_100000.mp4": "planned"}
    assert source.exists()
    assert len(place.objects()) > 0

    place.home.sites_file.write_text(place.home.sites_file.read_text().replace("not_defined", "office_s3"))
    assert place.run().state == "success"
    assert place.states() == {"lobby/20260131_100000.mp4": "released"}


@pytest.fixture
def branch_place(
    bucket: str,
    catalogue: tuple[Home, str],
    airflow_tables: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Place]:
    """A site at a branch, with two buckets, of which the second one's connection is not there yet."""
    monkeypatch.setenv("VMS_BRANCH", "ho")
    home, owner_url = catalogue
    tables = shutil.copy(airflow_tables, tmp_path)
    environment = airflow_environment(home) | {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tables}",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor,edge:vms_airflow.branch_executor.BranchExecutor",
        "VMS_BRANCH": "ho",
    }
    footage = tmp_path / "nvr"
    footage.mkdir()
    stores = (
        f"stores:\n  cloud: {{url: {bucket}, conn_id: office_s3}}\n  second: {{url: {bucket}-2, conn_id: not_defined}}"
    )
    sites = SITES.format(nas=tmp_path / "nas", footage=footage, keep="0d").replace("stores:", stores, 1)
    sites = sites.replace("stores: [nas]", "stores: [cloud, second]\n  min_copies: 1")
    home.sites_file.write_text(sites.rstrip() + "\n    runs_on: edge\n")
    airflow = AirflowRuns(environment)
    try:
        yield Place(home, owner_url, footage, tmp_path / "nas", airflow)
    finally:
        airflow.close()


def test_a_branch_only_puts_and_the_centre_proves_copies_and_lets_go(
    branch_place: Place, clip: Callable[[int], Path]
) -> None:
    source = branch_place.leave("lobby/20260131_100000.mp4", clip(1))
    done = branch_place.run()
    sent = done.log.index("to cloud in ")
    assert "to be proven by the centre" in done.log
    assert done.log.index("is proven on cloud") > sent
    (row,) = branch_place.recordings().values()
    assert (row.state, {copy.store for copy in row.copies}) == ("released", {"cloud"}), done.log[-6000:]
    assert not source.exists()  # the centre has vouched for every copy that is proven

    sites = branch_place.home.sites_file
    sites.write_text(sites.read_text().replace("not_defined", "office_s3"))
    again = branch_place.run()
    assert again.state == "success", again.log[-6000:]
    assert "The centre makes these copies" in again.log
    (row,) = branch_place.recordings().values()
    assert {copy.store for copy in row.copies} == {"cloud", "second"}
