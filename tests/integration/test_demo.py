"""The demonstration's footage: names, times and contents agree, and its recorders stop cleanly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from vms import pulse
from vms.config import load_config
from vms.demo import has_first_set, prepare
from vms.demo.cameras import SITES, DemoSite
from vms.demo.clips import Clip, footage_folder, record, sweep
from vms.demo.first_set import EARLIEST_RECENT, first_clips, make_first_set
from vms.demo.past import AT_ONCE, DAYS, PICTURE_EVERY_S, past_clips, still_to_make
from vms.demo.recorder import _record, clips_of, make_up
from vms.errors import SourceRejected
from vms.home import Home, from_environment
from vms.names import patterns_for, read_name, settle_start
from vms.stack import launch
from vms.stack.supervisor import Supervisor
from vms.steps.sense import sense
from vms.video.binaries import binaries
from vms.video.ffmpeg import Stopped
from vms.video.probe import probe

EVENING = datetime(2026, 11, 24, 11, 52, 7, tzinfo=UTC)  # after six in all three zones
PATTERNS = {"ho": "hikvision", "makassar": "dahua-camera", "jayapura": "reolink-ftp"}


def small(site: DemoSite) -> DemoSite:
    return replace(site, cameras=tuple(replace(one, width=256, height=144) for one in site.cameras))


SMALL = tuple(small(site) for site in SITES)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("VMS_HOME", str(tmp_path / "home"))
    made = from_environment({"VMS_HOME": str(tmp_path / "home"), "VMS_DEMO": "1"})
    made.prepare()
    return made


def test_first_set_is_what_its_names_say_and_is_sensed(home: Home) -> None:
    made = make_first_set(home, EVENING, SMALL)
    clips = first_clips(EVENING, SMALL)
    assert len(made) == len(clips) + 1 == 7
    for clip, path in zip(clips, made, strict=False):
        folder = footage_folder(home, clip.site)
        reading = read_name(path.relative_to(folder).as_posix(), patterns_for("auto", ()))
        found = probe(path)
        assert reading is not None
        assert reading.pattern == PATTERNS[clip.site.id]
        assert reading.camera == clip.camera.word
        mtime = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        start = settle_start(
            reading,
            clip.site.zone,
            duration_s=found.duration_s,
            mtime=mtime,
            container_time=found.creation_time,
            now=EVENING,
        )
        assert (start.utc, start.basis, start.marks) == (clip.start_utc, "name", ())
        assert mtime == clip.start_utc + timedelta(seconds=clip.duration_s)
        assert found.duration_s == pytest.approx(clip.duration_s, abs=0.3)
        assert found.video.codec == clip.camera.encoding.removesuffix("+g711")
        assert (found.audio.codec if found.audio else None) == (
            "pcm_alaw" if clip.camera.encoding == "h264+g711" else None
        )
    with pytest.raises(SourceRejected) as refused:
        probe(made[-1])
    assert refused.value.reason == "no_moov"

    prepare_without_footage(home)
    config = load_config(home.root / "demo-sites.yaml")
    sensed = {site.id: sense(site, config, home, now=EVENING) for site in config.sites}
    assert {site: len(one.sightings) for site, one in sensed.items()} == {"ho": 2, "makassar": 2, "jayapura": 2}
    assert {site: [r.fault.reason for r in one.rejections] for site, one in sensed.items()} == {
        "ho": ["no_moov"],
        "makassar": [],
        "jayapura": [],
    }
    assert not any(one.waiting for one in sensed.values())


def prepare_without_footage(home: Home) -> None:
    home.demo_footage.mkdir(exist_ok=True)
    (home.demo_footage / "first-set.json").write_text("[]")
    assert prepare(home) is False


def test_demo_sites_load_and_the_persons_changes_stay(home: Home) -> None:
    prepare_without_footage(home)
    config = load_config(home.root / "demo-sites.yaml")
    assert config.errors == ()
    assert [(one.id, one.name, one.time_zone) for one in config.sites] == [
        (one.id, one.name, one.time_zone) for one in SITES
    ]
    assert [one.footage for one in config.sites] == [footage_folder(home, one) for one in SITES]
    (home.root / "demo-sites.yaml").write_text("company: Mine\nsites: []\n")
    prepare_without_footage(home)
    assert (home.root / "demo-sites.yaml").read_text().startswith("company: Mine")


def test_first_set_is_closed_at_the_first_look() -> None:
    for clip in first_clips(EVENING):
        assert clip.start_utc + timedelta(seconds=clip.duration_s) < EVENING - timedelta(minutes=2)


def test_past_is_whole_days_but_for_what_is_missing_on_purpose() -> None:
    clips = past_clips(EVENING.replace(second=0))
    by_camera: dict[str, list[Clip]] = {}
    for clip in clips:
        by_camera.setdefault(clip.camera.word, []).append(clip)
    assert by_camera.keys() == {camera.word for site in SITES for camera in site.cameras}
    for word, some in by_camera.items():
        ends = [one.start_utc + timedelta(seconds=one.duration_s) for one in some]
        assert ends[0] == EVENING.replace(second=0)
        assert some == sorted(some, key=lambda one: one.start_utc, reverse=True), "the newest first"
        holes = sum(later.start_utc != end for later, end in zip(some, ends[1:], strict=False))
        assert holes == (0 if word in ("lobi", "jalan", "kasir") else 1), word
        starts = {one.start_utc.astimezone(one.site.zone).date() for one in some}
        assert len(starts) >= DAYS
    assert len({one.name for one in clips}) == len(clips)


def test_past_is_made_once_a_few_at_a_time_and_goes_on_after_a_stop(home: Home) -> None:
    home.demo_footage.mkdir(parents=True)
    first = list(still_to_make(home, EVENING))
    assert first == list(past_clips(EVENING.replace(second=0) - EARLIEST_RECENT)[:AT_ONCE])
    for _stopped_while_it_is_made in still_to_make(home, EVENING):
        break
    later = EVENING + timedelta(days=1)
    second = list(still_to_make(home, later))
    assert second == list(past_clips(EVENING.replace(second=0) - EARLIEST_RECENT)[AT_ONCE : 2 * AT_ONCE])
    while made := list(still_to_make(home, later)):
        second += made
    assert tuple(first + second) == past_clips(EVENING.replace(second=0) - EARLIEST_RECENT)


def test_clip_of_the_past_is_a_time_lapse_as_long_as_its_name_says(home: Home) -> None:
    clip = past_clips(EVENING.replace(second=0))[2]
    path = record(clip, home, live=False)
    found = probe(path)
    assert found.duration_s == pytest.approx(clip.duration_s, abs=PICTURE_EVERY_S)
    assert found.duration_s > 3600
    assert path.stat().st_size < 20_000_000


def test_each_camera_gets_its_turn() -> None:
    minutes = [EVENING.replace(second=0) + timedelta(minutes=number) for number in range(2)]
    words = {clip.camera.word for minute in minutes for clip in clips_of(minute)}
    assert words == {camera.word for site in SITES for camera in site.cameras}
    assert all(clip.start_utc + timedelta(seconds=clip.duration_s) == minutes[0] for clip in clips_of(minutes[0]))


def test_stopped_recorder_leaves_nothing_half_made(home: Home) -> None:
    stop = threading.Event()
    stop.set()
    for site in SMALL:
        with pytest.raises(Stopped):
            record(Clip(site, site.cameras[0], EVENING.replace(microsecond=0), 5), home, live=True, stop=stop)
    assert [path for path in home.demo_footage.rglob("*") if path.is_file()] == []
    assert list(home.cache.glob("*")) == []


def test_file_that_grows_in_place_is_whole_at_the_end(home: Home) -> None:
    site = SMALL[2]
    assert site.unfinished == ""
    path = record(Clip(site, site.cameras[0], EVENING, 2), home, live=True)
    assert probe(path).duration_s == pytest.approx(2, abs=0.3)


@pytest.fixture
def lame(home: Home, tmp_path: Path) -> Home:
    """Where FFmpeg fails at encoding, as where it does not end in time."""
    program = tmp_path / "ffmpeg"
    program.write_text(f'#!/bin/sh\ncase "$*" in *-progress*) exit 1;; esac\nexec {binaries(home).ffmpeg} "$@"\n')
    program.chmod(0o755)
    return replace(home, ffmpeg=str(program))


def test_the_recorders_are_well_while_they_record(home: Home, lame: Home) -> None:
    clip = Clip(SMALL[2], SMALL[2].cameras[0], EVENING, 2)
    for at, well in ((lame, False), (home, True)):
        _record([clip], at, threading.Event(), live=True)
        assert pulse.beats(home, pulse.RECORDER) == well


class _Steps:
    def step(self, title: str, seconds: float | None = None) -> None:
        pass


def test_footage_that_could_not_be_made_ends_nothing_and_is_made_up_for(
    home: Home, lame: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    footage = launch._Footage(lame, cast(Supervisor, _Steps()))
    footage.wait_sites()
    footage.wait()
    assert home.sites_file.exists()
    assert not has_first_set(home)
    make_up(lame, threading.Event())
    assert not has_first_set(home)
    small = partial(make_first_set, sites=SMALL[:1])
    monkeypatch.setattr("vms.demo.make_first_set", small)
    make_up(home, threading.Event())
    assert has_first_set(home)


def test_sweep_takes_away_what_a_killed_recorder_left(home: Home) -> None:
    whole = footage_folder(home, SITES[0]) / "lobi_20261124080000_20261124080020.mp4"
    whole.parent.mkdir(parents=True)
    whole.write_bytes(b"x")
    left = whole.with_name("jalan_20261124080000_20261124080020.mp4.tmp")
    left.write_bytes(b"x")
    sweep(home, SITES)
    assert whole.exists()
    assert not left.exists()


def test_recorder_process_ends_on_sigterm(home: Home) -> None:
    environment = {**os.environ, "VMS_HOME": str(home.root), "VMS_DEMO": "1", "PYTHONPATH": "include"}
    child = subprocess.Popen(
        [sys.executable, "-m", "vms.demo.recorder"],
        env=environment,
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stderr is not None
        assert "Recording a clip of each site every minute" in child.stderr.readline()
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 0
    finally:
        child.kill()
        child.wait()
