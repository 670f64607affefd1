"""The DAG of a site with real parts: real files and FFmpeg, a real Postgres, a real store, Airflow's own run of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from airflow_runs import DagRunResult
from footage_world import SITES, Place
from footage_world import clip as clip  # fixtures
from footage_world import place as place
from vms import logs
from vms.catalogue.connection import connect
from vms.catalogue.pace import backlogs
from vms.catalogue.reads_stores import store_states
from vms.steps.waiting import waiting_now
from vms.video.binaries import binaries

pytestmark = pytest.mark.slow


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


@pytest.fixture
def json_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(logs.FORMAT, "json")


def said_of(run: DagRunResult, text: str) -> set[int | None]:
    """Which recordings the lines of a run say that they are about, of those that have this text."""
    lines = [json.loads(line) for line in run.log.splitlines() if line.startswith("{")]
    return {one.get("recording") for one in lines if text in str(one["event"])}


@pytest.mark.usefixtures("json_logs")  # before the place, whose Airflow takes it over
def test_a_deleted_object_is_found_by_night_and_archived_again_by_the_next_run(
    place: Place, clip: Callable[[int], Path]
) -> None:
    place.leave("lobby/20260131_100000.mp4", clip(1))
    place.leave("lobby/20260131_100005.mp4", clip(2))
    first = place.run()
    assert first.state == "success"
    rows = place.recordings().values()
    numbers = {row.copies[0].key: row.id for row in rows}
    for row in rows:
        assert said_of(first, f"lobby 2026-01-31 10:00:{row.start_utc:%S} WIB  ") == {row.id}
    for step in ("MB -> ", "MB to nas in "):
        assert said_of(first, step) == set(numbers.values())
    whole = set(place.objects())
    sound = place.airflow.run("integrity", datetime(2026, 1, 5, tzinfo=UTC))
    assert (sound.state, sound.tasks["prove[0]"], sound.tasks["repair"]) == ("success", "success", "success")
    lost = next(key for key in sorted(whole) if key.endswith(".mp4"))
    (place.nas / lost).unlink()
    found = place.airflow.run("integrity", datetime(2026, 1, 6, tzinfo=UTC))
    assert said_of(found, f"has no object {lost}") == {numbers[lost]}
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
    assert said_of(bad, "archived again from its source") == set(numbers.values())
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
